//! `oomscope watch`: this node, as it happens.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use oomscope_core::notice;
use oomscope_core::recorder::{Budget, Pace};
use oomscope_sources::cgroup::PeakReset;
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::kubernetes::api::Access;
use oomscope_sources::kubernetes::feed::Options;

use super::output::Printer;
use super::{Colour, Format, Outcome, When, complain, kept};
use crate::store::{Retention, Store};
use crate::watch::{self, Config, Ebpf, Witnesses};

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  ended by a signal, by --for or by --count
  2  there was nothing that could be watched, or the command line was wrong";

pub(super) const AFTER_LONG_HELP: &str = "\
What it needs: root, or CAP_SYSLOG for the kernel log and read access to the cgroup and proc files of others. Optional, each
said on standard error where it is missing: CAP_SYS_NICE (a real-time thread looks at processes before they are gone),
CAP_BPF with CAP_PERFMON (programs in the kernel see
which code asked for the page), CAP_SYS_RESOURCE (the watcher itself is not killed when the machine runs out of memory), CAP_IPC_LOCK (its pages stay in memory).

Exit codes:
  0  ended by a signal, by --for or by --count
  2  there was nothing that could be watched, or the command line was wrong";

/// Watch this machine: record the minutes before each OOM kill, and explain it as it happens
///
/// Follows the kernel log, the cgroups and their processes. A line tells of what happens between kills (a limit met, a stall at
/// memory.high); a kill is explained within milliseconds, with the recorded minutes before it, and stored: see `oomscope
/// incidents`. With `-o json` standard output has cases only, one a line; a case may come again with the same id and a higher
/// `revision` when more is known.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this cgroup and those below it: a path in the hierarchy (/kubepods) or a folder
    #[arg(long, value_name = "PATH")]
    cgroup: Option<String>,

    /// Only this pod or container: the beginning of its uid or id
    #[arg(long, value_name = "UID")]
    pod: Option<String>,

    /// Tell what happens between kills from this severity on
    #[arg(long, value_enum, default_value_t, value_name = "SEVERITY")]
    min_severity: MinSeverity,

    /// How to print cases
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,

    /// Also print the evidence that the verdict rests on
    #[arg(short, long)]
    evidence: bool,

    /// End after this time (90s, 15m, 2h)
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,

    /// End after so many cases
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    #[command(flatten)]
    kept: kept::At,

    /// Print only, keep nothing
    #[arg(long, conflicts_with = "store")]
    no_store: bool,

    /// Forget stored incidents that are older than this
    #[arg(long, value_name = "TIME", default_value = "2160h", value_parser = duration)]
    keep: Duration,

    /// Forget the oldest stored incidents where the file is larger than this, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    keep_size: u64,

    /// Read each cgroup this often while nothing happens
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    interval: Duration,

    /// Read a cgroup this often while it is about to be killed
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = duration)]
    finest: Duration,

    /// Memory for the recording of all cgroups, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 32)]
    memory: u64,

    /// On cgroup v1: also leave memory.max_usage_in_bytes as it is
    ///
    /// Without this oomscope resets it after each reading, because that is how cgroup v1 tells the exact peak between two readings. Others
    /// that read this file (cAdvisor's container_memory_max_usage_bytes) then see the peak since that reading. On cgroup v2 each
    /// reader has a peak of its own, and nothing is taken from anybody.
    #[arg(long)]
    keep_v1_peaks: bool,

    /// Whether to ask for names, and for what Kubernetes says of each kill
    ///
    /// The container runtime and the node's files are always asked where there are any. The API server is asked in a pod with a service
    /// account, or where --kubeconfig or KUBECONFIG name one; the kubelet while that is away.
    #[arg(long, value_enum, default_value_t, value_name = "WHETHER")]
    kubernetes: Kubernetes,

    /// What eBPF programs in the kernel are to see
    ///
    /// They tell which code asked for the page that was one too many, and what the log leaves out. Where they cannot be loaded (no BTF,
    /// no CAP_BPF) it says so and goes on without.
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    ebpf: Ebpf,

    /// A label of the pod that its account repeats (may be given more than once)
    #[arg(long = "label", value_name = "NAME")]
    labels: Vec<String>,

    /// The API server to ask [default: $KUBECONFIG, else this pod's service account]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    kubeconfig: Option<PathBuf>,

    /// Where the node's / is, as when it is mounted into a container (/host)
    #[arg(long, value_name = "DIR", default_value = "/", value_hint = clap::ValueHint::DirPath)]
    root: PathBuf,

    /// This node's name [default: $NODE_NAME, else the host's name]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,

    /// When to use colour
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    color: When,
}

/// `--kubernetes`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Kubernetes {
    /// Ask whoever is there
    #[default]
    Auto,
    /// Only the container runtime and the node's files
    Node,
    /// Nobody
    Off,
}

/// `--min-severity`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum MinSeverity {
    /// Also cgroups that come and go, and limits met by page cache alone
    Info,
    /// Limits met by memory that cannot be reclaimed, stalls, lost records
    #[default]
    Warning,
    /// Kills only
    Critical,
}

/// Watches.
pub(crate) fn run(args: Args) -> anyhow::Result<Outcome> {
    let store = if args.no_store { None } else { open_store(&args) };
    let printer = Printer::new(args.output, Colour::options(args.color, args.evidence));
    let witnesses = witnesses(&args);
    let config = Config {
        root: HostRoot::at(&args.root),
        witnesses,
        pace: pace(&args)?,
        budget: Budget { total_bytes: usize::try_from(args.memory.saturating_mul(1 << 20))?, ..Budget::default() },
        cgroup: args.cgroup,
        pod: args.pod,
        peaks: if args.keep_v1_peaks { PeakReset::PerFile } else { PeakReset::AlsoGlobal },
        min_severity: match args.min_severity {
            MinSeverity::Info => notice::Severity::Info,
            MinSeverity::Warning => notice::Severity::Warning,
            MinSeverity::Critical => notice::Severity::Critical,
        },
        format: args.output,
        ebpf: args.ebpf,
        count: args.count,
        duration: args.duration,
    };
    watch::run(config, printer, store)?;
    Ok(Outcome::Explained)
}

fn witnesses(args: &Args) -> Option<Witnesses> {
    let root = HostRoot::at(&args.root);
    let api = Access::new(args.kubeconfig.as_deref(), None);
    let cluster = (args.kubernetes == Kubernetes::Auto && api.is_given()).then(|| Options {
        api: api.clone(),
        node: args.node.clone(),
        root: root.clone(),
        ..Options::default()
    });
    (args.kubernetes != Kubernetes::Off).then(|| Witnesses { root, cluster, labels: args.labels.clone() })
}

/// Watching is worth more than keeping: without a store it goes on, and says so.
fn open_store(args: &Args) -> Option<Store> {
    let retention = Retention { max_age: args.keep, max_bytes: args.keep_size.saturating_mul(1 << 20) };
    match args.kept.open_to_write(retention) {
        Ok(store) => Some(store),
        Err(error) => {
            complain(&format!("incidents are printed and not kept: {}", super::in_words(&error)));
            None
        }
    }
}

fn pace(args: &Args) -> anyhow::Result<Pace> {
    let us = |time: Duration| u64::try_from(time.as_micros()).context("too long a time");
    let pace = Pace { base_us: us(args.interval)?, finest_us: us(args.finest)? };
    if pace.finest_us < 1_000 || pace.finest_us > pace.base_us {
        bail!("--finest must be at least 1ms and at most --interval");
    }
    Ok(pace)
}

/// `90s`, `15m`, `1h 30m`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time: give it as 500ms, 90s, 15m or 2h");
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(span).map_err(|_| wrong())
}
