//! The kernel panicked.
//!
//! `vm.panic_on_oom=1` panics on an OOM of the machine, `2` also on one of a cgroup or cpuset (mm/oom_kill.c,
//! `check_panic_on_oom()`); `System is deadlocked on memory` is the panic when nothing can be killed.

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::facts::Facts;
use crate::evidence::Part;
use crate::text::escape;

pub(super) const RULE: Rule = Rule {
    name: "panic_on_oom",
    about: "The kernel panicked instead of killing, or because nothing could be killed.",
    check,
};

fn check(facts: &Facts<'_>) -> Answer {
    let Some(panic) = &facts.report.panic else { return Answer::Absent };
    let message: String = escape(panic.message.as_bytes()).chars().take(120).collect();
    let found =
        Found::that("The kernel panicked", format!("It stopped the whole machine with: {message}"), &[Part::Panic]);
    if panic.message.contains("panic_on_oom") {
        let detail = "With 2 every OOM, even of one container, takes the machine down; with 0 only a process dies.";
        found.advise(
            Rank::Cause,
            "Turn panic_on_oom off unless it is meant",
            detail,
            Some("sysctl -w vm.panic_on_oom=0".into()),
        )
    } else {
        found.advise(
            Rank::Cause,
            "Leave something that may be killed",
            "The kernel panics when every process is exempt: give oom_score_adj -1000 to as few as possible.",
            None,
        )
    }
    .into()
}
