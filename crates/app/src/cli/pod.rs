//! `oomscope pod`: all that is known of one pod, on one page.

mod agent;
mod asked;
mod here;
mod past;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use jiff::Timestamp;
use oomscope_core::evidence::Gap;
use oomscope_core::incident::identity::Identity;
use oomscope_core::kubernetes::{Directory, PodRecord, Reconciler};
use oomscope_core::report::{json, runbook as report};
use oomscope_core::runbook::{ContainerNow, PodPage, SCHEMA};
use oomscope_sources::host_root::HostRoot;

use super::output::answer;
use super::{Colour, Outcome, When, complain, in_words, kept};

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  the pod is known, and shown
  1  nobody knows such a pod
  2  a file could not be read, or the command line was wrong";

pub(super) const AFTER_LONG_HELP: &str = "\
Examples:
  oomscope pod shop/checkout-api-775874766-sgp8q           on its node, or from a laptop
  kubectl oomscope pod -n shop checkout-api-775874766-sgp8q
  oomscope pod shop/checkout-api --kubernetes saved/ --log dmesg.txt

Exit codes:
  0  the pod is known, and shown
  1  nobody knows such a pod
  2  a file could not be read, or the command line was wrong";

/// All of one pod on one page: what killed it, what Kubernetes says, where its memory is, who is next, what to do
///
/// On the pod's node it reads the node: the stored incidents, the kernel's log, the pod's cgroups. Elsewhere it asks the API server, and the
/// agent on the pod's node where there is one; what neither could tell is said. With --kubernetes it reads saved objects instead.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// NAMESPACE/NAME, or NAME alone, or the beginning of its uid (8 digits)
    #[arg(value_name = "POD")]
    pod: String,

    /// Namespace of the pod [default: that of the kubeconfig's context]
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// Saved objects in place of the API server (a file or a folder)
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    kubernetes: Vec<PathBuf>,

    /// A label of the pod that its account repeats (may be given more than once)
    #[arg(long = "label", value_name = "NAME")]
    labels: Vec<String>,

    /// Kernel logs to explain, in place of this machine's
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    log: Vec<PathBuf>,

    /// The API server to ask [default: $KUBECONFIG, else this pod's service account, else ~/.kube/config]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    kubeconfig: Option<PathBuf>,

    /// A context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,

    /// Ask neither the API server nor an agent: only this machine
    #[arg(long)]
    local: bool,

    #[command(flatten)]
    kept: kept::At,

    /// How many processes to rank
    #[arg(long, default_value = "5", value_name = "N")]
    count: std::num::NonZeroUsize,

    /// How to print the page
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Answer,

    /// When to use colour
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    color: When,

    /// Where the machine's files are, as with the node's / mounted into a container
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
}

/// `-o`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Answer {
    /// For people
    #[default]
    Text,
    /// One object, schema oomscope.pod/v1
    Json,
}

/// A pod as somebody named it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    namespace: Option<String>,
    name: String,
}

impl Name {
    fn of(args: &Args) -> anyhow::Result<Self> {
        let (namespace, name) = match args.pod.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name.to_owned()),
            None => (args.namespace.clone(), args.pod.clone()),
        };
        if args.namespace.as_ref().zip(namespace.as_ref()).is_some_and(|(one, other)| one != other) {
            bail!("two namespaces: --namespace and the one before the slash");
        }
        if name.is_empty() || name.contains('/') || namespace.as_deref() == Some("") {
            bail!("a pod is NAMESPACE/NAME");
        }
        Ok(Self { namespace, name })
    }

    /// The uid of the pod of this name; of several the living one.
    fn find<'a>(&self, directory: &'a Directory) -> Option<&'a str> {
        let named = directory.pods_named(self.namespace.as_deref(), &self.name);
        let by_uid = || directory.pods().find(|(uid, _)| self.name.len() >= 8 && uid.starts_with(&self.name));
        named.first().copied().or_else(by_uid).map(|(uid, _)| uid)
    }

    /// By a container of it that only the runtime or the node's files know.
    fn find_by_container(&self, directory: &Directory) -> Option<String> {
        let fits = |namespace: Option<&String>| self.namespace.is_none() || self.namespace.as_ref() == namespace;
        let found = directory.containers().filter(|(container, _)| {
            let by_name = container.pod.as_ref() == Some(&self.name) && fits(container.namespace.as_ref());
            by_name || container.pod_uid.as_ref().is_some_and(|uid| self.name.len() >= 8 && uid.starts_with(&self.name))
        });
        found.max_by_key(|(container, _)| container.started).and_then(|(container, _)| container.pod_uid.clone())
    }
}

/// Gathers and prints.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let name = Name::of(args)?;
    let root = HostRoot::at(&args.root);
    let mut found = asked::ask(args, &name, &root)?;
    let Some(uid) = found.uid.clone() else {
        for gap in &found.gaps {
            complain(&format!("{}: {}", gap.wanted, gap.why));
        }
        let namespace = name.namespace.as_ref().map_or_else(String::new, |namespace| format!("{namespace}/"));
        complain(&format!("nobody here knows a pod {namespace}{}", name.name));
        let is_unread = !args.kubernetes.is_empty() && !found.gaps.is_empty();
        return Ok(if is_unread { Outcome::CannotRead } else { Outcome::NothingFound });
    };
    let here = if args.kubernetes.is_empty() {
        here::look(&root, &uid, &found.directory, args.count.get())
    } else {
        here::Here::default()
    };
    if !here.is_its_node && args.kubernetes.is_empty() && !args.local {
        match agent::page(args, &found, &uid) {
            Ok(Some(page)) => return print(args, &page),
            Ok(None) => found.gaps.push(Gap::new(
                "what only the node knows: the kernel's log, the cgroups, who is next",
                "this is not the pod's node, and no oomscope runs there",
            )),
            Err(error) => found.gaps.push(Gap::new("what the agent on the pod's node knows", in_words(&error))),
        }
    }
    let mut page = page(args, &uid, found, here)?;
    page.advise();
    print(args, &page)
}

fn page(args: &Args, uid: &str, found: asked::Found, here: here::Here) -> anyhow::Result<PodPage> {
    let asked::Found { directory, mut gaps, .. } = found;
    let past = past::cases(args, uid, &directory, here.is_its_node, &mut gaps)?;
    let mut identity = Identity { pod_uid: Some(uid.to_owned()), ..Identity::default() };
    directory.complete(&mut identity);
    let by_path = here.inspection.as_ref().and_then(|inspection| inspection.target.identity.clone());
    identity.qos = identity.qos.or_else(|| by_path.and_then(|by_path| by_path.qos));
    let record = directory.pod(uid);
    let account = record.map(|record| Reconciler::new(&directory, &[], past.log).account_of_pod(record));
    let containers = containers(&directory, uid, record, &here);
    if let Some(container) =
        directory.containers().map(|(container, _)| container).find(|c| c.pod_uid.as_deref() == Some(uid))
    {
        identity.namespace = identity.namespace.or_else(|| container.namespace.clone());
        identity.pod = identity.pod.or_else(|| container.pod.clone());
    }
    gaps.extend(here.gaps);
    Ok(PodPage {
        schema: SCHEMA.to_owned(),
        at: Some(Timestamp::now()),
        identity,
        source: account.as_ref().map(|account| account.source),
        events: account.as_ref().map(|account| account.events.clone()).unwrap_or_default(),
        node: account.as_ref().and_then(|account| account.node.clone()),
        pod: account.and_then(|account| account.pod),
        node_memory: here.node_memory,
        containers,
        cases: past.cases,
        cases_omitted: past.omitted,
        inspection: here.inspection,
        next: here.next,
        remedies: Vec::new(),
        gaps,
    })
}

/// By the status, else by the runtime.
fn containers(directory: &Directory, uid: &str, record: Option<&PodRecord>, here: &here::Here) -> Vec<ContainerNow> {
    let accounts = match record {
        Some(record) => Reconciler::containers_of(record),
        None => Reconciler::containers_of_runtime(directory, uid),
    };
    let now = |account: oomscope_core::kubernetes::ContainerAccount| {
        let charged = account.current_id.as_ref().and_then(|id| here.containers.get(id)).copied().unwrap_or_default();
        ContainerNow {
            account,
            usage_bytes: charged.usage_bytes,
            unreclaimable_bytes: charged.unreclaimable_bytes,
            peak_bytes: charged.peak_bytes,
            limit_in_force_bytes: charged.limit_bytes,
        }
    };
    accounts.into_iter().map(now).collect()
}

fn print(args: &Args, page: &PodPage) -> anyhow::Result<Outcome> {
    let text = match args.output {
        Answer::Text => report::render(page, &Colour::options(args.color, false)),
        Answer::Json => json::pod_page(page).context("writing the page as JSON")? + "\n",
    };
    answer(&text)?;
    Ok(Outcome::Explained)
}

fn is_root_of_this_machine(path: &Path) -> bool {
    path == Path::new("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn name(line: &[&str]) -> anyhow::Result<Name> {
        Name::of(&Line::try_parse_from([&["pod"], line].concat())?.args)
    }

    /// As kubectl takes it, and as people paste it; contradictions and empty names are refused.
    #[test]
    fn names() {
        let of = |namespace: Option<&str>, name: &str| Name {
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        };
        assert_eq!(name(&["shop/api"]).unwrap(), of(Some("shop"), "api"));
        assert_eq!(name(&["-n", "shop", "api"]).unwrap(), of(Some("shop"), "api"));
        assert_eq!(name(&["api"]).unwrap(), of(None, "api"));
        for wrong in [&["shop/"][..], &["/api"], &["a/b/c"], &["-n", "x", "shop/api"]] {
            assert!(name(wrong).is_err(), "{wrong:?}");
        }
    }
}
