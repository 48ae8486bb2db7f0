//! `oomscope audit`: what is likely to end in an OOM kill, before it does.

mod cluster;
mod manifests;
mod node;
mod past;
mod unnamed;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use oomscope_core::audit::{Audit, Inventory, Production, Risk, Scope};
use oomscope_core::report::{audit as report, json};
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::kubernetes::api::Access;

use super::kept::At;
use super::output::{CannotWrite, answer};
use super::{Colour, Outcome, When, complain, in_words};

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  audited; with --fail-on: nothing of that risk or worse was found
  1  --fail-on, and something of that risk or worse was found
  2  something could not be read (the rest was audited all the same), there was nothing to audit, or the command line was wrong";

pub(super) const AFTER_LONG_HELP: &str = "\
Examples:
  oomscope audit                                   this node; from a laptop the cluster of the kubeconfig
  oomscope audit --cluster -n shop                 one namespace, from the API
  oomscope audit -f deploy/                        every manifest below a folder
  helm template shop ./chart | oomscope audit -f - --fail-on high
  oomscope audit --production 'prod-*' -o json

The rules are listed by `oomscope audit --rules`, with their reasons in docs/audit.md.

Exit codes:
  0  audited; with --fail-on: nothing of that risk or worse was found
  1  --fail-on, and something of that risk or worse was found
  2  something could not be read (the rest was audited all the same), there was nothing to audit, or the command line was wrong";

/// Findings of one kind that are shown without --all.
const SHOWN: usize = 8;

/// Find what is likely to end in an OOM kill, an eviction or a starved node, ranked by risk, each with its fix
///
/// Audits manifests (-f), this node from its own files (cgroups, kubelet configuration, services outside of pods), or a cluster through its
/// API. Without -f, --node or --cluster it is this node where pods run on it, else the cluster of the kubeconfig, else this machine as it
/// is. What `oomscope watch` has stored of earlier kills, and the peaks of living cgroups, count as evidence.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A manifest, a folder of them (with all below it), or `-` for standard input, as the output of `helm template`
    #[arg(short, long = "filename", value_name = "FILE", value_hint = clap::ValueHint::AnyPath)]
    files: Vec<PathBuf>,

    /// Audit this machine from its own files
    #[arg(long, conflicts_with = "files")]
    node: bool,

    /// Audit a cluster through its API
    #[arg(long, conflicts_with_all = ["files", "node"])]
    cluster: bool,

    /// The kubeconfig of the cluster [default: $KUBECONFIG, the pod's service account, ~/.kube/config]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["files", "node"], value_hint = clap::ValueHint::FilePath)]
    kubeconfig: Option<PathBuf>,

    /// A context of the kubeconfig
    #[arg(long, value_name = "NAME", conflicts_with_all = ["files", "node"])]
    context: Option<String>,

    /// Only this namespace of the cluster; of manifests, the one that they are meant for where they name none
    #[arg(short, long, value_name = "NS", conflicts_with = "node")]
    namespace: Option<String>,

    /// Which namespaces are production, with `*` for any text; may be given more than once [default: all but kube-*, and names or
    /// environment labels with a word like dev, test or staging]
    #[arg(long, value_name = "PATTERN")]
    production: Vec<String>,

    /// Exit with 1 if there is something of this risk or worse
    #[arg(long, value_enum, value_name = "RISK")]
    fail_on: Option<FailOn>,

    /// Show every finding, however many are alike
    #[arg(long)]
    all: bool,

    /// List the rules of the audit, and audit nothing
    #[arg(long)]
    rules: bool,

    #[command(flatten)]
    at: At,

    /// How to print the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Answer,

    /// When to use colour
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    color: When,

    /// Where the machine's / is, as with the node's / mounted into a container
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
}

/// `--fail-on`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Only what is of high risk
    High,
    /// Medium and high
    Medium,
    /// Anything
    Low,
}

impl FailOn {
    const fn risk(self) -> Risk {
        match self {
            Self::High => Risk::High,
            Self::Medium => Risk::Medium,
            Self::Low => Risk::Low,
        }
    }
}

/// `-o`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Answer {
    /// For people
    #[default]
    Text,
    /// JSON Lines: one finding a line and a summary, schema oomscope.audit/v1
    Json,
}

/// What was gathered.
struct Gathered {
    inventory: Inventory,
    scope: Scope,
    /// Documents and objects that could not be read; each was told on standard error.
    unread: u64,
}

/// Audits and prints.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    if args.rules {
        return list_rules();
    }
    let mut gathered = gather(args)?;
    gathered.inventory.finish();
    let mut audit = Audit::of(&gathered.inventory, gathered.scope);
    audit.unread = gathered.unread;
    let text = match args.output {
        Answer::Text => report::render(&audit, most(args), &Colour::options(args.color, false)),
        Answer::Json => json::audit(&audit).context("writing the answer as JSON")?,
    };
    answer(&text)?;
    let fails = args.fail_on.is_some_and(|fail_on| audit.worst() >= Some(fail_on.risk()));
    Ok(match (audit.unread, fails) {
        (1.., _) => Outcome::CannotRead,
        (0, true) => Outcome::AtRisk,
        (0, false) => Outcome::Explained,
    })
}

const fn most(args: &Args) -> usize {
    if args.all { usize::MAX } else { SHOWN }
}

fn gather(args: &Args) -> anyhow::Result<Gathered> {
    let mut inventory = Inventory::new(Production { patterns: args.production.clone() });
    if !args.files.is_empty() {
        let unread = manifests::read(&args.files, args.namespace.as_deref(), &mut inventory)?;
        past::observe(&args.at, None, &mut inventory);
        return Ok(Gathered { inventory, scope: Scope::Manifests, unread });
    }
    let wants_cluster = args.cluster || args.kubeconfig.is_some() || args.context.is_some() || args.namespace.is_some();
    if wants_cluster {
        return of_cluster(args, inventory);
    }
    let look = node::Look::at(&HostRoot::at(&args.root));
    if !args.node && !look.has_pods() {
        // A machine without pods is most often a laptop; without a cluster to ask it is a machine to be audited itself.
        match of_cluster(args, inventory.clone()) {
            Ok(gathered) => return Ok(gathered),
            Err(error) => {
                let why = in_words(&error);
                complain(&format!(
                    "no pods run here, and no cluster can be asked ({why}): auditing this machine by itself"
                ));
            }
        }
    }
    let directory = look.tell(&mut inventory);
    past::observe(&args.at, Some(&directory), &mut inventory);
    Ok(Gathered { inventory, scope: Scope::Node, unread: 0 })
}

fn of_cluster(args: &Args, mut inventory: Inventory) -> anyhow::Result<Gathered> {
    let access = Access::new(args.kubeconfig.as_deref(), args.context.as_deref());
    let unread = cluster::read(&access, args.namespace.as_deref(), &mut inventory)?;
    past::observe(&args.at, None, &mut inventory);
    if inventory.is_empty() && args.namespace.is_some() {
        bail!("no pods in namespace {}", args.namespace.as_deref().unwrap_or_default());
    }
    Ok(Gathered { inventory, scope: Scope::Cluster, unread })
}

fn list_rules() -> anyhow::Result<Outcome> {
    let rules = oomscope_core::audit::rules::RULES;
    let widest = rules.iter().map(|rule| rule.name.len()).max().unwrap_or(0);
    let mut out = std::io::stdout().lock();
    for rule in rules {
        writeln!(out, "{:widest$}  {:9}  {}", rule.name, rule.asks.of(), rule.about).context(CannotWrite)?;
    }
    Ok(Outcome::Explained)
}
