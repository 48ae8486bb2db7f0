//! The whole cgroup was killed.
//!
//! `memory.oom.group=1` (the kubelet's default from Kubernetes 1.28 on cgroup v2) kills every member except those with
//! `oom_score_adj` −1000. The kernel announces it in one line, so a kill line without that line is a plain kill.

use std::collections::HashSet;

use super::{Answer, Found, Rule};
use crate::diagnosis::facts::{Facts, KernelVersion};
use crate::diagnosis::words;
use crate::evidence::{Gap, Part, Task};

pub(super) const RULE: Rule = Rule {
    name: "group_kill",
    about: "The whole cgroup was killed at once (memory.oom.group), and who was spared.",
    check,
};

fn check(facts: &Facts<'_>) -> Answer {
    match facts.report.group_kill {
        Some(true) => {}
        Some(false) if notice_would_show(facts) => return Answer::Absent,
        Some(false) => {
            return Answer::CannotTell(Gap::new(
                "whether the whole cgroup was killed",
                "the log has only the error-level lines of this report; the notice of a group kill is of level info",
            ));
        }
        None if facts.report.no_killable_process || facts.report.panic.is_some() => return Answer::Absent,
        None => return Answer::CannotTell(facts.missing("whether the whole cgroup was killed", Part::Kill)),
    }
    let killed = facts.report.victims.len();
    let found = Found::that(
        "The whole cgroup was killed",
        format!(
            "memory.oom.group is set: {} died together. Kubernetes sets it for containers from 1.28 on, unless \
             singleProcessOOMKill is on.",
            words::count(killed, "process", "processes")
        ),
        &[Part::GroupKill, Part::Kill],
    );
    let spared: Vec<String> = spared(facts).map(words::task).collect();
    if spared.is_empty() {
        return found.into();
    }
    found
        .and(
            "Exempt processes were spared",
            format!("With oom_score_adj -1000 these live on: {}.", words::list(spared.into_iter())),
            &[Part::TaskTable, Part::Kill],
        )
        .into()
}

/// The notice is of level info (mm/memcontrol.c, `mem_cgroup_print_oom_group()`): a log filtered by level lacks it, which shows by the
/// other parts of that level. Kernels before 4.19 have no group kills.
fn notice_would_show(facts: &Facts<'_>) -> bool {
    let (report, extent) = (facts.report, &facts.report.extent);
    let info_was_read = extent.usage || extent.oom_kill_line || !report.tasks.is_empty() || !report.reaped.is_empty();
    info_was_read || KernelVersion::of(report).is_some_and(|k| k < KernelVersion(4, 19, 0))
}

/// Members that the group kill leaves alive.
pub(in crate::diagnosis) fn spared<'a>(facts: &Facts<'a>) -> impl Iterator<Item = &'a Task> {
    let killed: HashSet<u32> = facts.report.victims.iter().map(|v| v.pid).collect();
    facts.report.tasks.iter().filter(move |t| t.oom_score_adj == Some(-1000) && !killed.contains(&t.pid))
}
