//! `oomscope node`: where all of this machine's memory is, how far it is from evictions, and who would go.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use jiff::Timestamp;
use oomscope_core::evidence::Gap;
use oomscope_core::incident::level::{Level, level_of};
use oomscope_core::ledger::{CgroupUse, Ledger, MemoryVolume, Observed, Settings, settle};
use oomscope_core::report::{json, ledger as report};
use oomscope_sources::cgroup::{Hierarchy, census};
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::kubernetes::disk::memory_volumes;
use oomscope_sources::node::Node;

use super::output::answer;
use super::witnesses::{Witnesses, host_name};
use super::{Colour, Outcome, When, next};

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  shown
  2  the machine's memory could not be read, or the command line was wrong";

pub(super) const AFTER_LONG_HELP: &str = "\
Examples:
  oomscope node                                    this machine, with the names that it finds by itself
  oomscope node --kubernetes pods.json             with saved pods (kubectl get pods -A -o json)
  oomscope node -o json | jq '.parts[] | .name, .bytes'

Exit codes:
  0  shown
  2  the machine's memory could not be read, or the command line was wrong";

/// Show where all of this machine's memory is, as one account that adds up, and how far it is from evictions
///
/// Pods by class, system and user services, processes in no cgroup, kernel, page cache, huge pages, free, and what is in no count of the
/// kernel's. Beside it: what is reserved for the system and what it really takes, the distance to the kubelet's eviction thresholds as
/// the kubelet computes them, the pods in the order in which it would evict them, and the processes in the order in which the kernel
/// would kill them. Works without Kubernetes too.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    witnesses: Witnesses,

    /// How many pods, services and processes to show of each list
    #[arg(short = 'n', long, default_value = "10", value_name = "N")]
    count: NonZeroUsize,

    /// How to print the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Answer,

    /// When to use colour
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    color: When,

    /// Where the machine's /proc and /sys are, as with the node's / mounted into a container
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
}

/// `-o`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Answer {
    /// For people
    #[default]
    Text,
    /// One object, schema oomscope.node/v1
    Json,
}

/// Reads, accounts and prints.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let ledger = look(&HostRoot::at(&args.root), &args.witnesses, args.count.get())?;
    let text = match args.output {
        Answer::Text => report::render(&ledger, args.count.get(), &Colour::options(args.color, false)),
        Answer::Json => json::ledger(&ledger).context("writing the answer as JSON")? + "\n",
    };
    answer(&text)?;
    Ok(Outcome::Explained)
}

/// The account of the machine below `root`; at most `count` processes are named.
pub(crate) fn look(root: &HostRoot, witnesses: &Witnesses, count: usize) -> anyhow::Result<Ledger> {
    let mut observed = Observed::default();
    let at = Timestamp::now();
    match Hierarchy::of_this_machine(root) {
        Ok(hierarchy) => {
            let mut gaps = Vec::new();
            observed.root = Some(census(&hierarchy, &mut gaps));
            observed.is_whole_machine = hierarchy.is_whole();
            observed.version = Some(hierarchy.version());
            observed.gaps = gaps;
        }
        Err(error) => observed.gaps.push(Gap::new("which cgroup holds what", error.to_string())),
    }
    // Right after the charges: what is charged to nobody is a difference of the two.
    let node = Node::new(root.clone()).read();
    observed.meminfo = node.meminfo;
    observed.compressed = node.compressed;
    observed.on_cpu_lists = node.on_cpu_lists;
    let is_node = observed.root.as_ref().is_some_and(has_kubepods);
    let names = witnesses.ask(root, is_node, &mut observed.gaps);
    if is_node {
        observed.volumes = volumes(root, &mut observed.gaps);
    }
    let killing = next::of_machine(root, count)?;
    let host = host_name(root);
    let settings = Settings { names: &names, at: Some(at), host: host.as_deref() };
    match settle(&observed, settings, killing) {
        Ok(ledger) => Ok(ledger),
        Err(gap) => bail!("{}: {}", gap.wanted, gap.why),
    }
}

fn has_kubepods(cgroup: &CgroupUse) -> bool {
    level_of(cgroup.path.as_bytes()) == Level::Kubepods || cgroup.children.iter().any(has_kubepods)
}

fn volumes(root: &HostRoot, gaps: &mut Vec<Gap>) -> Vec<MemoryVolume> {
    let (volumes, missing) = memory_volumes(root, None);
    gaps.extend(missing);
    let known = |volume: oomscope_sources::kubernetes::disk::MemoryVolume| {
        Some(MemoryVolume { used: volume.used?, pod_uid: volume.pod_uid, name: volume.name, size: volume.size })
    };
    volumes.into_iter().filter_map(known).collect()
}

#[cfg(test)]
mod tests;
