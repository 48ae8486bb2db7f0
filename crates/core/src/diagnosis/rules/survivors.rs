//! Does the container live on?
//!
//! When a child dies and the container's first process does not, Kubernetes shows nothing at all: no restart, no
//! `OOMKilled`. The task table lists the processes of the *limit's* cgroup. Within a container's own limit, others in the table
//! live on (except in a group kill), and the first process is the one with the lowest pid as a rule, since pids of the
//! machine grow. With a limit further up the table mixes containers, so nothing is said; without a table nothing can be.

use std::collections::HashSet;

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::Killer;
use crate::diagnosis::facts::Facts;
use crate::diagnosis::words;
use crate::evidence::{Gap, Part, Task};
use crate::text::Untrusted;

pub(super) const RULE: Rule = Rule {
    name: "survivors",
    about: "Whether other processes of the container survived, so that Kubernetes may show nothing of the kill.",
    check,
};

const PARTS: &[Part] = &[Part::TaskTable, Part::Kill];

fn check(facts: &Facts<'_>) -> Answer {
    let report = facts.report;
    let level_fits = matches!(facts.verdict.killer, Killer::ContainerLimit | Killer::CgroupLimit);
    if !level_fits || report.no_killable_process || report.panic.is_some() || report.group_kill == Some(true) {
        return Answer::Absent;
    }
    if report.victims.is_empty() {
        return Answer::CannotTell(facts.missing("who was killed", Part::Kill));
    }
    if report.tasks.is_empty() {
        return Answer::CannotTell(facts.missing("task table", Part::TaskTable));
    }
    if !facts.table_is_whole() {
        return Answer::CannotTell(Gap::new("all rows of the task table", "some are missing, damaged or cut"));
    }
    let killed: HashSet<u32> = report.victims.iter().chain(&report.killed_sharing_memory).map(|v| v.pid).collect();
    let dead = |t: &&Task| killed.contains(&t.pid) || t.tgid.is_some_and(|tgid| killed.contains(&tgid));
    let alive: Vec<&Task> = report.tasks.iter().filter(|t| !dead(t)).collect();
    let Some(first) = report.tasks.iter().min_by_key(|t| t.pid) else { return Answer::Absent };
    if let (false, Some(inner)) = (alive.is_empty(), cgroup_of_its_own(facts)) {
        return Found::that(
            "Others live on under this limit",
            format!(
                "{}. The victim ran in a cgroup of its own further down, {inner}; the table does not say who else was in it, so \
                 nor whether that lives on.",
                words::list(alive.iter().map(|task| words::task(task)))
            ),
            PARTS,
        )
        .into();
    }
    match (alive.is_empty(), dead(&first)) {
        (true, _) => Found::that(
            "Nobody was left",
            "Every process that the table lists for this cgroup was killed; a container ends with that.",
            PARTS,
        )
        .into(),
        (false, true) => Found::that(
            "The oldest process was killed",
            format!(
                "{} has the lowest pid of the table, so it is probably the first process; {} died or dies with it if it is a \
                 container's pid 1.",
                words::task(first),
                words::count(alive.len(), "other", "others")
            ),
            PARTS,
        )
        .into(),
        (false, false) => invisible(facts, &alive, first),
    }
}

/// The victim's cgroup where the limit is that of one further up: a container's monitor (conmon) lives beside it.
fn cgroup_of_its_own<'a>(facts: &Facts<'a>) -> Option<&'a Untrusted> {
    let (limit, victim) = (facts.report.limit_cgroup.as_ref()?, facts.report.victim_cgroup.as_ref()?);
    (limit != victim).then_some(victim)
}

fn invisible(facts: &Facts<'_>, alive: &[&Task], first: &Task) -> Answer {
    let kubernetes = facts.verdict.killer == Killer::ContainerLimit;
    let consequence = if kubernetes {
        "the container probably goes on, and Kubernetes shows neither a restart nor OOMKilled for this kill"
    } else {
        "what runs there probably goes on, with one process less"
    };
    let found = Found::that("Others survived", format!("{}; {consequence}.", lives(alive.len(), first)), PARTS);
    if !kubernetes {
        return found.into();
    }
    found
        .advise(
            Rank::Contain,
            "Make the loss of a worker visible",
            "Alert on container_oom_events_total or on this log; a liveness probe that needs all workers, or memory.oom.group (the \
             default on cgroup v2 from Kubernetes 1.28), turns a silent loss into a restart.",
            None,
        )
        .into()
}

fn lives(alive: usize, first: &Task) -> String {
    match alive {
        1 => format!("{}, the oldest process of this cgroup, lives on", words::task(first)),
        n => format!("{n} processes of this cgroup live on, with {}, the oldest", words::task(first)),
    }
}
