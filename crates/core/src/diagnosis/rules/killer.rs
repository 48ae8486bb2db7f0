//! Which killer, at which level.
//!
//! The kernel names the cgroup whose limit was hit (`oom_memcg=`, `limit of …`), or that none was. The level follows from
//! that path; see [`super::super::verdict`], which decides, and this rule, which says so. Without the path the level
//! is not guessed from the victim's: a limit of the pod kills inside a container as well.

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::Killer;
use crate::diagnosis::facts::Facts;
use crate::diagnosis::words;
use crate::evidence::Part;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "killer",
    about: "Which limit was reached, and at which level: container, pod, an ancestor, another cgroup, or the machine.",
    check,
};

const NAMED: &[Part] = &[Part::OomKill, Part::TaskInCgroup, Part::Usage, Part::Counters];
const MACHINE: &[Part] = &[Part::OomKill, Part::Header, Part::Stack, Part::NodeMemory, Part::Chosen, Part::Kill];

fn check(facts: &Facts<'_>) -> Answer {
    let found = match facts.verdict.killer {
        Killer::ContainerLimit => Found::that(
            "The container's own limit was reached",
            format!("{} was full{}; processes outside the container were not at risk.", path(facts), of_limit(facts)),
            NAMED,
        ),
        Killer::PodLimit => pod(facts),
        Killer::AncestorLimit => ancestor(facts),
        Killer::CgroupLimit => Found::that(
            "A cgroup's limit was reached, outside Kubernetes",
            format!("{} was full{}; the report is about this cgroup, not about the machine.", path(facts), of_limit(facts)),
            NAMED,
        ),
        Killer::Node if facts.is_sysrq() => return Answer::Absent,
        Killer::Node => node(facts),
        Killer::Cpuset => Found::that(
            "The memory nodes of a cpuset ran out",
            format!(
                "The trigger may use memory node(s) {} only, and these were full while others may have had memory free.",
                known(facts.report.mems_allowed.as_deref())
            ),
            MACHINE,
        )
        .advise(
            Rank::Cause,
            "Let the cpuset use more memory nodes, or move something off these",
            "Only the memory of the allowed nodes counts for this cpuset (`cpuset.mems`). You can tell that it worked when their free memory \
             in /sys/devices/system/node/node*/meminfo stays above the low watermark.",
            Some("echo <nodes> > /sys/fs/cgroup/<cgroup>/cpuset.mems".to_owned()),
        ),
        Killer::MemoryPolicy => Found::that(
            "The memory nodes of a memory policy ran out",
            format!(
                "The allocation was bound to memory node(s) {} (mbind, set_mempolicy, numactl), and these were full; the victim \
                 may hold little or nothing there.",
                known(facts.report.nodemask.as_deref())
            ),
            MACHINE,
        )
        .advise(
            Rank::Cause,
            "Prefer the memory node instead of binding to it",
            "A preferred node falls back to the others when it is full; a bound one kills.",
            Some("numactl --preferred=<node> …    # instead of --membind=<node>".to_owned()),
        ),
        _ => return facts.verdict.gap.clone().map_or(Answer::Absent, Answer::CannotTell),
    };
    match &facts.verdict.gap {
        Some(gap) => found.lacking(gap.clone()).into(),
        None => found.into(),
    }
}

fn pod(facts: &Facts<'_>) -> Found {
    let account = facts.incident.kubernetes.as_ref().and_then(|account| account.pod.as_ref());
    if account.is_some_and(|pod| pod.containers == 1) {
        return Found::that(
            "The pod's limit was reached",
            format!(
                "{} was full{}. The pod has one container, so its limit is the same as the pod's, and the pod's, which also counts the \
                 pause container, is met first.",
                path(facts),
                of_limit(facts)
            ),
            NAMED,
        );
    }
    let victim = facts.report.victims.first();
    let another =
        facts.trigger().zip(victim).and_then(|(trigger, victim)| super::another_process(facts, trigger, victim));
    Found::that(
        "The pod's limit was reached",
        format!(
            "{} was full{}. All containers of the pod count together, and the victim may be in another container than the one \
             that grew. In a pod of one container both limits may be equal, and the pod's is then the one that is named.",
            path(facts),
            of_limit(facts)
        ),
        NAMED,
    )
    .advise(
        if another == Some(true) { Rank::Cause } else { Rank::Probe },
        "Find out which container of the pod grew",
        "The pod's limit is the sum of its containers' limits; the one that grew is not necessarily the one that was killed.",
        Some("kubectl top pod <pod> --containers".to_owned()),
    )
}

fn ancestor(facts: &Facts<'_>) -> Found {
    Found::that(
        "A limit above the pods was reached",
        format!(
            "{} was full{}: all pods below it together used what it allows, and the kernel chose among all of them. The victim \
             may be well within its own limit.",
            path(facts),
            of_limit(facts)
        ),
        NAMED,
    )
    .advise(
        Rank::Cause,
        "Make the pods of this node ask for what they use",
        "The sum of what pods use came to more than the node's allocatable memory; requests close to real use keep the scheduler \
         from placing too many. You can tell that it worked when the usage of kubepods stays below its limit.",
        Some("kubectl describe node <node> | sed -n '/Allocated resources/,$p'".to_owned()),
    )
}

fn node(facts: &Facts<'_>) -> Found {
    let largest = facts.report.tasks.iter().filter_map(|t| t.rss_bytes.map(|rss| (rss, t))).max_by_key(|(rss, _)| *rss);
    let shown = if facts.table_is_whole() { "" } else { " that the log shows" };
    let largest = largest.map_or_else(String::new, |(rss, task)| {
        format!(" Begin with {}, which is the largest{shown} with {rss} resident.", words::task(task))
    });
    let in_pod = facts.victim_in_pod() == Some(true);
    let whose = if in_pod {
        " Look for pods without a memory limit, or with one far above their request, and let the kubelet evict before the kernel kills."
    } else {
        " A limit keeps one service from starving the others."
    };
    Found::that(
        "The machine ran out of memory",
        "No cgroup's limit was reached: the machine had no memory left for this allocation, and any process of it could be \
         chosen, also one well within its limit.",
        MACHINE,
    )
    .advise(
        Rank::Cause,
        "Find what took the machine's memory, and give it a limit",
        format!("The victim is not necessarily the culprit.{largest}{whose}"),
        Some(if in_pod {
            eviction_threshold(facts)
        } else {
            "systemctl set-property <unit> MemoryMax=<size>    # docker: --memory <size>".to_owned()
        }),
    )
}

/// The kubelet's own default is 100Mi whatever the machine's size: much for a small one, little for a large one.
fn eviction_threshold(facts: &Facts<'_>) -> String {
    let memory = facts.memory.as_ref().and_then(|m| m.limit_bytes).map(Bytes);
    let (threshold, note) = match memory {
        Some(memory) => {
            let least = if memory.0 >= 2 << 30 { 100 << 20 } else { 0 };
            (Bytes((memory.0 / 20).max(least)).manifest_quantity(), format!("of the {memory} of this machine"))
        }
        None => ("5%".to_owned(), "of the machine's memory".to_owned()),
    };
    format!("evictionHard:    # kubelet configuration\n  memory.available: \"{threshold}\"    # {note}")
}

fn path(facts: &Facts<'_>) -> String {
    facts.report.limit_cgroup.as_ref().map_or_else(|| "A cgroup".to_owned(), ToString::to_string)
}

fn of_limit(facts: &Facts<'_>) -> String {
    match (facts.report.usage_bytes, facts.limit()) {
        (Some(usage), Some(limit)) => format!(": {usage} of {limit}"),
        (None, Some(limit)) => format!(": {limit}"),
        _ => String::new(),
    }
}

fn known(nodes: Option<&str>) -> String {
    nodes.map_or_else(|| "(not in the log)".to_owned(), |n| crate::text::escape(n.as_bytes()))
}
