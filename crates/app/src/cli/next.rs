//! `oomscope next`: who would be killed now.

mod domain;
mod members;

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use oomscope_core::evidence::Gap;
use oomscope_core::next::{Machine, Outlook, outlook};
use oomscope_core::report::{json, next as report};
use oomscope_core::units::Bytes;
use oomscope_sources::cgroup::Hierarchy;
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::node::{Node, NodeReading};
use oomscope_sources::process::Proc;

use super::output::answer;
use super::target::Target;
use super::{Colour, Outcome, When, complain};

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  the first of the ranking was named
  1  nobody would be killed: no process, or all are exempt
  2  there is no such target, it could not be read, or the command line was wrong";

/// Say whom the kernel would kill now, if memory ran out
///
/// Ranks the processes as the kernel's OOM killer does: resident memory, swap and page tables, plus oom_score_adj as a share of the
/// limit. For a TARGET, of its limits and those above it, the one with the least room left decides who is in the ranking: a pod's limit
/// kills in any of its containers. Without a TARGET, or where nothing limits it, that is the whole machine.
///
/// A TARGET is the path of a cgroup, a pid, a container id or its beginning (12 digits), a pod's uid or its beginning (8 digits), or a
/// systemd unit.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whose memory: a cgroup, pid, container, pod or unit; without it the machine's
    #[arg(value_name = "TARGET")]
    target: Option<OsString>,

    /// Who would be killed if the target's limit were this (256Mi, 1.5Gi), and whether that would be at once
    #[arg(long, value_name = "SIZE", requires = "target")]
    if_limit: Option<Bytes>,

    /// How many processes to show
    #[arg(short = 'n', long, default_value = "10", value_name = "N")]
    count: NonZeroUsize,

    /// How to print the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Answer,

    /// When to use colour
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    color: When,
}

/// `-o`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Answer {
    /// For people
    #[default]
    Text,
    /// One object, schema oomscope.next/v1
    Json,
}

/// What is looked at.
struct Host {
    proc: Proc,
    node: NodeReading,
    swappiness: Option<u64>,
    /// The machine's ranking does without.
    hierarchy: anyhow::Result<Hierarchy>,
}

impl Host {
    fn new(root: &HostRoot) -> Self {
        let node = Node::new(root.clone());
        Self {
            proc: Proc::new(root),
            swappiness: node.swappiness(),
            node: node.read(),
            hierarchy: Hierarchy::of_this_machine(root).map_err(Into::into),
        }
    }
}

/// Ranks and prints.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let outlook = look(&HostRoot::default(), args.target.as_deref(), args.if_limit, args.count.get())?;
    let text = match args.output {
        Answer::Text => report::render(&outlook, &Colour::options(args.color, false)),
        Answer::Json => json::next(&outlook).context("writing the answer as JSON")? + "\n",
    };
    answer(&text)?;
    let nobody = outlook.nobody_would_be_killed();
    Ok(if nobody { Outcome::NothingFound } else { Outcome::Explained })
}

/// The ranking for the whole machine below `root`.
pub(super) fn of_machine(root: &HostRoot, count: usize) -> anyhow::Result<Outlook> {
    let host = Host::new(root);
    let mut gaps = Vec::new();
    let candidates = members::of_node(&host, &mut gaps)?;
    let machine = Machine { page_size: host.node.page_size, kernel_release: host.node.kernel_release.as_deref() };
    let mut outlook = outlook(domain::of_node(&host.node), candidates, machine, count);
    outlook.gaps.extend(gaps);
    Ok(outlook)
}

type Contest = (oomscope_core::next::Domain, Vec<oomscope_core::next::Candidate>);

/// Ranks; `None` for the whole machine.
pub(crate) fn look(
    root: &HostRoot,
    target: Option<&OsStr>,
    if_limit: Option<Bytes>,
    count: usize,
) -> anyhow::Result<Outlook> {
    let host = Host::new(root);
    let mut gaps = Vec::new();
    let (domain, candidates) = match target {
        None => (domain::of_node(&host.node), members::of_node(&host, &mut gaps)?),
        Some(target) => of_target(&host, target, if_limit, &mut gaps)?,
    };
    let machine = Machine { page_size: host.node.page_size, kernel_release: host.node.kernel_release.as_deref() };
    let mut outlook = outlook(domain, candidates, machine, count);
    outlook.gaps.extend(gaps);
    Ok(outlook)
}

fn of_target(host: &Host, target: &OsStr, if_limit: Option<Bytes>, gaps: &mut Vec<Gap>) -> anyhow::Result<Contest> {
    let hierarchy = match &host.hierarchy {
        Ok(hierarchy) => hierarchy,
        Err(error) => bail!("{error:#}"),
    };
    let target = Target::find(target, hierarchy, &host.proc)?;
    let level = match if_limit {
        Some(limit) => Some(domain::supposed(hierarchy, &target.folder, limit, host)?),
        None => domain::nearest(hierarchy, &target.folder, host)?,
    };
    if let Some((folder, domain)) = level {
        return Ok((domain, members::of_cgroup(host, hierarchy, &folder)));
    }
    complain("nothing limits the memory of this target but the machine's own: ranking all processes of the machine");
    Ok((domain::of_node(&host.node), members::of_node(host, gaps)?))
}

#[cfg(test)]
mod tests;
