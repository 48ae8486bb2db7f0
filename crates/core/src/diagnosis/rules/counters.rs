//! What the kernel's own counters say of the kill.
//!
//! They cannot be rate-limited, overwritten or cut, and rise before the log's line is printed: `memory.events.local` (v2), `failcnt` and
//! `oom_control` (v1). Where the log names the limit they are a second witness, and a contradiction is shown; where it does not they are
//! the only one. They count what happened between two readings, so a second kill in between is counted along.
//! [`crate::incident::counted`] explains how they are read.

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::counted::{self, Check};
use crate::diagnosis::facts::Facts;
use crate::diagnosis::words;
use crate::evidence::Part;
use crate::incident::counted::{self as counters, CountedLimit};
use crate::incident::timeline::CgroupRecord;
use crate::recorder::Series;
use crate::time::BootTime;

pub(super) const RULE: Rule = Rule {
    name: "counters",
    about: "Whose limit was reached by the cgroups' own counters, whether the log agrees, and kills that neither the log nor Kubernetes shows.",
    check,
};

const PARTS: &[Part] = &[Part::Counters];
const BOTH: &[Part] = &[Part::Counters, Part::OomKill, Part::TaskInCgroup, Part::Kill];

fn check(facts: &Facts<'_>) -> Answer {
    let mut found = Found::default();
    match counted::check(facts.incident) {
        Check::NotRead => return Answer::Absent,
        Check::Agrees => found = found.and("The counters agree with the log", format!("{}.", risen(facts)), BOTH),
        Check::Alone(CountedLimit::Unknown(gap)) | Check::Unknown(gap) => found = found.lacking(gap),
        Check::Alone(said) => found = found.and("The counters tell which limit it was", alone(facts, &said), PARTS),
        Check::Disagrees(said) => {
            found = found.and("The counters disagree with the log", disagreement(facts, &said), BOTH);
        }
    }
    found = more_kills(facts, found);
    found = lives_on(facts, found);
    match (found.observations.is_empty(), found.gaps.pop()) {
        (true, Some(gap)) => Answer::CannotTell(gap),
        (_, Some(gap)) => found.lacking(gap).into(),
        (true, None) => Answer::Absent,
        (false, None) => found.into(),
    }
}

/// `oom rose by 1 and oom_kill by 1 in /a; oom_kill by 1 in /a/b`.
fn risen(facts: &Facts<'_>) -> String {
    let levels = facts.incident.counters.iter().filter_map(|change| {
        let rises: Vec<String> = counters::rises(change).map(|(name, by)| format!("{name} by {by}")).collect();
        (!rises.is_empty()).then(|| format!("{} in {}", rises.join(" and "), change.cgroup))
    });
    let levels: Vec<String> = levels.collect();
    if levels.is_empty() { "No counter that was read rose".to_owned() } else { format!("Risen: {}", levels.join("; ")) }
}

fn alone(facts: &Facts<'_>, said: &CountedLimit) -> String {
    let meaning = match said {
        CountedLimit::Of { level, sure } => {
            let path = facts.incident.counters.get(*level).map(|c| c.cgroup.to_string()).unwrap_or_default();
            let surely = if *sure { "so it was the limit of" } else { "which points to the limit of" };
            format!("{surely} {path}")
        }
        _ => "and no level counted that its limit was reached, so the machine or some of its memory nodes ran out"
            .to_owned(),
    };
    format!("{}, {meaning}. No log names it.", risen(facts))
}

fn disagreement(facts: &Facts<'_>, said: &CountedLimit) -> String {
    let log = match &facts.report.limit_cgroup {
        Some(cgroup) => format!("The log names the limit of {cgroup}"),
        None => "The log says that no cgroup's limit was reached".to_owned(),
    };
    let counted = match said {
        CountedLimit::Of { level, .. } => {
            let path = facts.incident.counters.get(*level).map(|c| c.cgroup.to_string()).unwrap_or_default();
            format!("the counters point to {path}")
        }
        CountedLimit::NoCgroup => "no counter shows that a limit was reached".to_owned(),
        CountedLimit::Unknown(_) => "the counters of that cgroup did not rise".to_owned(),
    };
    format!("{log}, but {counted}. {}. The verdict follows the log.", risen(facts))
}

/// Kills between the two readings where no report says how many: those that have one are cases of their own.
fn more_kills(facts: &Facts<'_>, found: Found) -> Found {
    if !facts.incident.is_without_log() {
        return found;
    }
    let told = facts.report.victims.iter().filter(|v| !v.only_chosen).count() as u64;
    let counted = counters::kills(&facts.incident.counters);
    if counted <= told.max(1) {
        return found;
    }
    let named = match told {
        0 => "no process that was killed is known by name".to_owned(),
        1 => "this report has 1".to_owned(),
        n => format!("this report has {n}"),
    };
    found.and(
        "More kills were counted than are told",
        format!(
            "The kernel counted {} between the two readings; {named}. The others have reports of their own, or none that \
             could be read.",
            words::count(usize::try_from(counted).unwrap_or(usize::MAX), "kill", "kills")
        ),
        PARTS,
    )
}

/// The victim's cgroup still has processes some time after the kill. Kubernetes shows nothing of such a kill.
fn lives_on(facts: &Facts<'_>, found: Found) -> Found {
    let Some((cgroup, processes)) = survivors(facts) else { return found };
    let found = found.and(
            "A process was killed and its cgroup lives on",
            format!(
                "{} counted the kill, and {} still ran in it afterwards; a container that goes on like this shows neither a restart \
                 nor OOMKilled.",
                cgroup,
                words::count(usize::try_from(processes).unwrap_or(usize::MAX), "process", "processes")
            ),
            &[Part::Counters, Part::FlightRecord],
        );
    // Where the log has the table, the rule about survivors says what to do.
    if !facts.report.tasks.is_empty() {
        return found;
    }
    found.advise(
        Rank::Contain,
        "Watch the counter of kills, not only restarts",
        "`oom_kill` of memory.events rises with every process that is killed, also when the container goes on.",
        None,
    )
}

/// A dying process is still in its cgroup for a moment; it is counted only this long after the kill.
const SETTLED_US: u64 = 50_000;

fn survivors(facts: &Facts<'_>) -> Option<(String, u64)> {
    let at = facts.incident.at.boot_us?;
    let victim = facts.report.victim_cgroup.as_ref()?;
    let change = facts.incident.counters.iter().find(|change| change.cgroup == *victim && !change.removed)?;
    counters::kills_in(change).filter(|kills| *kills > 0)?;
    let record = facts.incident.timeline.as_ref()?.cgroups.iter().find(|record| record.cgroup == *victim)?;
    let processes = processes_after(record, BootTime(at.0.saturating_add(SETTLED_US)))?;
    (processes > 0).then(|| (victim.to_string(), processes))
}

fn processes_after(record: &CgroupRecord, at: BootTime) -> Option<u64> {
    record.rows.series(Series::Processes).next_back().filter(|(then, _)| *then >= at).map(|(_, processes)| processes)
}
