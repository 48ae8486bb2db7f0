//! The trigger, the victim and the largest are three things.
//!
//! The trigger is whatever *thread* asked for a page at the wrong moment; the victim is the process with the most points;
//! the largest is the process with the most memory. People read "X invoked oom-killer" as "X was killed" or "X leaks"; neither
//! follows. The trigger's pid is a thread id, so it is its victim only when the ids agree, or when the table says that it is
//! not a process of its own and the names do not speak against it.

use super::{Answer, Found, Rule};
use crate::diagnosis::facts::Facts;
use crate::diagnosis::words;
use crate::evidence::{Part, Trigger, Victim};
use crate::text::Untrusted;

pub(super) const RULE: Rule = Rule {
    name: "trigger_victim",
    about: "Who asked for the page, who was killed for it, and who was the largest: three things.",
    check,
};

const PARTS: &[Part] = &[Part::Header, Part::Cpu, Part::TaskTable, Part::OomKill, Part::Kill, Part::KillContext];

fn check(facts: &Facts<'_>) -> Answer {
    if facts.is_sysrq() {
        return Answer::Absent;
    }
    let Some(victim) = facts.victim() else {
        return if facts.report.no_killable_process || facts.report.panic.is_some() {
            Answer::Absent
        } else {
            Answer::CannotTell(facts.missing("who was killed", Part::Kill))
        };
    };
    let Some(trigger) = facts.trigger().filter(|t| t.comm.is_some() || t.pid.is_some()) else {
        return Answer::CannotTell(facts.missing("who asked for the memory", Part::Header));
    };
    let (asked, killed) = (words::trigger(trigger, &facts.report.tasks), words::victim(victim));
    let found = match another_process(facts, trigger, victim) {
        Some(false) if trigger.pid == Some(victim.pid) => Found::that(
            "The trigger was the victim",
            format!("{killed} asked for more memory and was itself killed."),
            PARTS,
        ),
        Some(false) if trigger.tgid == Some(victim.pid) => Found::that(
            "A thread of the victim triggered it",
            format!("{asked} asked for more memory, and its process was killed."),
            PARTS,
        ),
        Some(false) => Found::that(
            "A thread of the victim triggered it",
            format!("{asked} is not a process of its own in the table: a thread, most likely of {killed}."),
            PARTS,
        ),
        Some(true) => Found::that(
            "The trigger was not the victim",
            format!(
                "{asked} asked for more memory, {killed} was killed for it. Asking last proves no guilt, and neither does dying."
            ),
            PARTS,
        ),
        None if !facts.report.tasks.is_empty() && trigger.pid.is_some() => Found::that(
            "A thread triggered it",
            format!(
                "{asked} is not a process of its own in the table, so it is a thread, perhaps of {killed}, which was killed."
            ),
            PARTS,
        ),
        None => Found::that(
            "Trigger and victim",
            format!(
                "{asked} asked for more memory, {killed} was killed; whether the one is a thread of the other is not known."
            ),
            PARTS,
        ),
    };
    let found = if is_kernel_thread(facts, trigger) {
        found.and(
            "A kernel thread triggered it",
            format!("{asked} runs as a kernel thread: the kernel needed the memory on somebody's behalf."),
            &[Part::Header, Part::Cpu, Part::Stack],
        )
    } else {
        found
    };
    let found = match (facts.report.cpuset.as_ref().and_then(container_id), victim_cgroup(facts).and_then(container_id))
    {
        (Some(asked_in), Some(died_in)) if asked_in != died_in => found.and(
            "They ran in different containers",
            format!("{asked} ran in container {asked_in}, {killed} in container {died_in}."),
            &[Part::OomKill, Part::Cpuset],
        ),
        _ => found,
    };
    with_largest(facts, victim, found).into()
}

fn victim_cgroup<'a>(facts: &Facts<'a>) -> Option<&'a Untrusted> {
    facts.report.victim_cgroup.as_ref()
}

/// The first 12 digits of the container id in the last component: runtimes name a container's cpuset and its memory cgroup alike.
fn container_id(path: &Untrusted) -> Option<String> {
    let path = path.to_lossy();
    let last = path.rsplit('/').next()?;
    let id = last.split(|c: char| !c.is_ascii_hexdigit()).find(|run| run.len() == 64)?;
    id.get(..12).map(str::to_owned)
}

/// Whether the trigger is another process than the victim; `None` where that cannot be told.
pub(in crate::diagnosis) fn another_process(facts: &Facts<'_>, trigger: &Trigger, victim: &Victim) -> Option<bool> {
    if let Some(tgid) = trigger.tgid {
        return Some(tgid != victim.pid);
    }
    let tid = trigger.pid?;
    if tid == victim.pid {
        return Some(false);
    }
    if let Some(row) = facts.report.tasks.iter().find(|t| t.pid == tid) {
        return Some(row.tgid.unwrap_or(row.pid) != victim.pid);
    }
    // Not a process of the table: a thread of one of its processes, when the table is that of a cgroup. Of which one follows
    // when only one has the trigger's uid.
    let of_cgroup = facts.is_cgroup_kill() && facts.row_of(victim.pid).is_some();
    let others = facts.report.tasks.iter().filter(|t| t.pid != victim.pid && t.tgid != Some(victim.pid));
    let mut possible = others.filter(|t| trigger.uid.is_none() || t.uid.is_none() || t.uid == trigger.uid);
    (of_cgroup && possible.next().is_none()).then_some(false)
}

/// Kernel threads have no user frames; those that the log can show are workers by name.
pub(super) fn is_kernel_thread(facts: &Facts<'_>, trigger: &Trigger) -> bool {
    let named = trigger.comm.as_ref().is_some_and(|c| {
        [&b"kworker/"[..], b"kswapd", b"ksoftirqd/", b"kcompactd", b"khugepaged", b"jbd2/", b"loop"]
            .iter()
            .any(|p| c.as_bytes().starts_with(p))
    });
    let bottom = facts.report.stacks.as_ref().and_then(|s| s.kernel.last());
    named && bottom.is_none_or(|frame| frame.starts_with("ret_from_fork") || frame.starts_with("kthread"))
}

fn with_largest(facts: &Facts<'_>, victim: &Victim, found: Found) -> Found {
    let largest = facts.report.tasks.iter().filter(|t| t.rss_bytes.is_some()).max_by_key(|t| t.rss_bytes);
    match (largest, facts.row_of(victim.pid).and_then(|t| t.rss_bytes)) {
        (Some(largest), Some(own)) if largest.pid != victim.pid && largest.rss_bytes > Some(own) => found.and(
            "The victim was not the largest",
            format!(
                "{} is the largest with {} resident, the victim has {own}.",
                words::task(largest),
                largest.rss_bytes.unwrap_or_default()
            ),
            &[Part::TaskTable, Part::Kill],
        ),
        _ => found,
    }
}
