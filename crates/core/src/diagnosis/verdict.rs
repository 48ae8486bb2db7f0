//! Which killer, at which level: the first question, answered from what the kernel named and nothing else.
//!
//! The level is that of the cgroup whose *limit* was hit (`oom_memcg`), never the victim's (`task_memcg`): a limit of
//! the pod kills inside a container. Where the limit's cgroup is not in the log, the level is unknown, because a limit
//! of any ancestor of the victim would look the same.

use super::facts::{KernelVersion, in_pod, list_contains};
use super::{Confidence, Killer};
use crate::evidence::{Constraint, Gap, KernelReport, Scope};
use crate::incident::level::{Level, level_of};
use crate::text::Untrusted;

/// Killer, confidence, and the gap that keeps it from being surer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What killed.
    pub killer: Killer,
    /// How sure.
    pub confidence: Confidence,
    /// What would have told more.
    pub gap: Option<Gap>,
}

impl Verdict {
    const fn certain(killer: Killer) -> Self {
        Self { killer, confidence: Confidence::Certain, gap: None }
    }

    fn unsure(killer: Killer, confidence: Confidence, wanted: &str, why: &str) -> Self {
        Self { killer, confidence, gap: Some(Gap::new(wanted, why)) }
    }
}

/// Judges one report, without the counters: see [`super::counted`].
#[must_use]
pub(super) fn of_report(report: &KernelReport) -> Verdict {
    match (&report.constraint, report.scope) {
        (Some(Constraint::Memcg), _) | (None | Some(Constraint::None), Some(Scope::Memcg)) => of_cgroup(report),
        (Some(Constraint::None), _) => Verdict::certain(Killer::Node),
        (Some(Constraint::Cpuset), _) => Verdict::certain(Killer::Cpuset),
        (Some(Constraint::MemoryPolicy), _) => Verdict::certain(Killer::MemoryPolicy),
        (Some(Constraint::Other(_)), Some(Scope::Memcg)) => of_cgroup(report),
        (Some(Constraint::Other(_)), _) => Verdict::unsure(
            Killer::Unknown,
            Confidence::Possible,
            "what ran out",
            "this kernel printed a constraint that is not one of the mainline kernel's four",
        ),
        // sysrq-f looks at the whole machine: drivers/tty/sysrq.c, moom_callback() passes no memcg and no nodemask.
        (None, _) if report.sysrq || report.order == Some(-1) => Verdict::certain(Killer::Node),
        (None, Some(Scope::Global)) if whole_machine_allowed(report) => Verdict::certain(Killer::Node),
        (None, Some(Scope::Global)) => of_machine(report),
        (None, None) if charge_in_stack(report) => of_cgroup(report),
        (None, None) if in_stack(report, ALLOCATES) || only_of_machine(report) => of_machine(report),
        (None, None) => Verdict::unsure(
            Killer::Unknown,
            Confidence::Possible,
            "what ran out: a cgroup's limit or the machine",
            "the lines of the report that say it are not in the log",
        ),
    }
}

/// The machine's memory, of which nodes is not said. A node mask or a cpuset that leaves out node 0, which nearly every machine has, was not the
/// whole machine.
fn of_machine(report: &KernelReport) -> Verdict {
    let leaves_out = |nodes: &Option<String>| nodes.as_deref().is_some_and(|list| !list_contains(list, 0));
    let killer = match () {
        () if leaves_out(&report.nodemask) => Killer::MemoryPolicy,
        () if leaves_out(&report.mems_allowed) => Killer::Cpuset,
        () => Killer::Node,
    };
    Verdict { killer, ..of_some_machine() }
}

/// No cgroup's limit, so the machine's memory; of which nodes, is not known.
#[must_use]
pub(super) fn of_some_machine() -> Verdict {
    Verdict::unsure(
        Killer::Node,
        Confidence::Likely,
        "constraint of the OOM kill",
        "the log has no `oom-kill:constraint=` line, which says whether the whole machine or only the memory nodes of a cpuset or of a \
         memory policy ran out",
    )
}

/// Frames of a charge to a cgroup that calls the OOM killer (mm/memcontrol.c, of all versions).
const CHARGES: &[&str] =
    &["mem_cgroup_out_of_memory", "mem_cgroup_oom_synchronize", "mem_cgroup_handle_oom", "try_charge"];
/// Frames of the page allocator doing so (mm/page_alloc.c). `__alloc_pages` itself is no sign: kernel memory is charged from there.
const ALLOCATES: &[&str] = &["__alloc_pages_slowpath", "__alloc_pages_may_oom", "__alloc_pages_internal"];

/// From 3.9 on (commit 58cf188ed649) reports about a cgroup have no Mem-Info.
fn only_of_machine(report: &KernelReport) -> bool {
    report.node_memory.is_some() && KernelVersion::of(report).is_some_and(|k| k >= KernelVersion(3, 9, 0))
}

/// The call trace shows a cgroup's limit, where nothing else says it.
#[must_use]
pub(super) fn charge_in_stack(report: &KernelReport) -> bool {
    in_stack(report, CHARGES)
}

fn in_stack(report: &KernelReport, functions: &[&str]) -> bool {
    let frames = report.stacks.iter().flat_map(|s| &s.kernel);
    frames.into_iter().any(|frame| functions.iter().any(|f| frame.starts_with(f)))
}

fn of_cgroup(report: &KernelReport) -> Verdict {
    let Some(limit) = &report.limit_cgroup else {
        return Verdict::unsure(
            Killer::Unknown,
            Confidence::Possible,
            "the cgroup whose limit was reached",
            "the log says that a cgroup's limit was reached, not which: a limit of the container, its pod or anything \
             above would look the same",
        );
    };
    of_limit(limit, report.victim_cgroup.as_ref())
}

/// Judges by the path of the cgroup whose limit was reached.
#[must_use]
pub(super) fn of_limit(limit: &Untrusted, victim: Option<&Untrusted>) -> Verdict {
    Verdict::certain(match level_of(limit.as_bytes()) {
        Level::Container | Level::BelowContainer => Killer::ContainerLimit,
        Level::Pod => Killer::PodLimit,
        Level::QosClass | Level::Kubepods | Level::AboveKubepods => Killer::AncestorLimit,
        Level::InKubepods => return in_damaged_path(limit),
        _ if above_a_pod(limit, victim) => Killer::AncestorLimit,
        _ => Killer::CgroupLimit,
    })
}

/// Somewhere in kubepods, by a name that no kubelet gives: below a pod it can only be a container's, elsewhere it may be anything.
fn in_damaged_path(limit: &Untrusted) -> Verdict {
    let (killer, confidence) = if in_pod(limit) {
        (Killer::ContainerLimit, Confidence::Likely)
    } else {
        (Killer::Unknown, Confidence::Possible)
    };
    let why = "the path in the log is cut or damaged, or not named as a kubelet names cgroups";
    Verdict::unsure(killer, confidence, "level of the cgroup whose limit was reached", why)
}

/// True where the victim lives in a pod somewhere below `limit`: a slice above kubepods, the container of a kind node.
fn above_a_pod(limit: &Untrusted, victim: Option<&Untrusted>) -> bool {
    let Some(victim) = victim else { return false };
    let below = victim.as_bytes().strip_prefix(limit.as_bytes().strip_suffix(b"/").unwrap_or(limit.as_bytes()));
    below.is_some_and(|rest| rest.starts_with(b"/")) && in_pod(victim)
}

/// Kernels before 5.0 print no constraint, but from 4.9 both masks that it is computed from (mm/oom_kill.c,
/// `constrained_alloc()`): no node mask, and a cpuset that allows every node of the report, mean `CONSTRAINT_NONE`.
fn whole_machine_allowed(report: &KernelReport) -> bool {
    let prints_nodemask = KernelVersion::of(report).is_some_and(|k| k >= KernelVersion(4, 9, 0));
    let (Some(memory), Some(allowed)) = (&report.node_memory, &report.mems_allowed) else { return false };
    prints_nodemask
        && report.extent.header
        && report.nodemask.is_none()
        && !memory.zones.is_empty()
        && memory.zones.iter().all(|zone| list_contains(allowed, zone.node))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memcg(limit: Option<&str>, victim: &str) -> KernelReport {
        KernelReport {
            scope: Some(Scope::Memcg),
            constraint: Some(Constraint::Memcg),
            limit_cgroup: limit.map(Untrusted::from),
            victim_cgroup: Some(victim.into()),
            ..KernelReport::default()
        }
    }

    const CTR: &str = "/kubepods/burstable/pod0890e4ec-26c7-4b33-a1da-e364a1f444fc/\
                       aea2a6cfac1a387209a5b99fff8397e5938619d3734e841c698440227869c61f";
    const POD: &str = "/kubepods/burstable/pod0890e4ec-26c7-4b33-a1da-e364a1f444fc";

    /// The level is that of the limit, whatever cgroup the victim is in.
    #[test]
    fn the_limit_decides_the_level() {
        for (limit, killer) in [
            (CTR, Killer::ContainerLimit),
            (POD, Killer::PodLimit),
            ("/kubepods", Killer::AncestorLimit),
            ("/", Killer::AncestorLimit),
            ("/other", Killer::CgroupLimit),
            ("/kube", Killer::CgroupLimit),
        ] {
            assert_eq!(of_report(&memcg(Some(limit), CTR)), Verdict::certain(killer), "{limit}");
        }
    }

    /// A path that was cut is judged by what is left of it, and not as certain.
    #[test]
    fn a_damaged_path() {
        let verdict = of_report(&memcg(Some(&format!("{POD}/aea2")), CTR));
        assert_eq!((verdict.killer, verdict.confidence), (Killer::ContainerLimit, Confidence::Likely));
        assert_eq!(of_report(&memcg(Some("/kubepods/burstable/pod08"), CTR)).killer, Killer::Unknown);
    }

    /// The victim's cgroup alone is no ground for a level.
    #[test]
    fn no_limit_named_is_unknown() {
        let verdict = of_report(&memcg(None, CTR));
        assert_eq!((verdict.killer, verdict.confidence), (Killer::Unknown, Confidence::Possible));
        assert!(verdict.gap.is_some());
    }

    /// A bare line of an OOM of the machine is likely the machine; a header alone is nothing.
    #[test]
    fn remains_of_a_report() {
        let bare = KernelReport { scope: Some(Scope::Global), ..KernelReport::default() };
        assert_eq!((of_report(&bare).killer, of_report(&bare).confidence), (Killer::Node, Confidence::Likely));
        assert_eq!(of_report(&KernelReport::default()).killer, Killer::Unknown);
        let sysrq = KernelReport { order: Some(-1), ..KernelReport::default() };
        assert_eq!(of_report(&sysrq), Verdict::certain(Killer::Node));
    }
}
