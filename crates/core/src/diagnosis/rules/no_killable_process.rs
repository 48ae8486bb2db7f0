//! Nobody could be killed.
//!
//! `Out of memory and no killable processes...`: every process of the domain has `oom_score_adj` −1000, is the machine's
//! init, or has already been killed. In a cgroup the allocation then fails or is tried again: a report for each page
//! fault, hundreds a second. The line itself is the whole evidence, so it needs no other.

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::facts::Facts;
use crate::diagnosis::words;
use crate::evidence::Part;

pub(super) const RULE: Rule = Rule {
    name: "no_killable_process",
    about: "Nothing was killed, because every process is exempt or dying already; the shortage goes on.",
    check,
};

fn check(facts: &Facts<'_>) -> Answer {
    let report = facts.report;
    if !report.no_killable_process {
        return if report.extent.header || !report.victims.is_empty() {
            Answer::Absent
        } else {
            Answer::CannotTell(facts.missing("whether a process was killed", Part::Kill))
        };
    }
    let exempt: Vec<String> = report.tasks.iter().filter(|t| t.oom_score_adj == Some(-1000)).map(words::task).collect();
    let who = if exempt.is_empty() {
        "No process could be killed: each is exempt, or dying already".to_owned()
    } else {
        format!("Exempt with oom_score_adj -1000: {}", words::list(exempt.iter().cloned()))
    };
    let found = Found::that(
        "Nothing could be killed",
        format!(
            "{who}. The allocation fails or is tried again, with a report each time, until memory is freed some other way."
        ),
        &[Part::NoKillable, Part::TaskTable],
    );
    if exempt.is_empty() && facts.table_is_whole() {
        return found.into();
    }
    found.advise(
        Rank::Cause,
        "Take oom_score_adj -1000 away from processes that run in a limited cgroup",
        "A process that may not be killed can only stall or fail when its limit is reached. -999 is as good a protection against \
         OOMs of the machine.",
        Some("OOMScoreAdjust=-999    # systemd; or: echo -999 > /proc/<pid>/oom_score_adj".to_owned()),
    )
    .into()
}
