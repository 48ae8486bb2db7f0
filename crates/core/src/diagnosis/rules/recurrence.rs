//! Again: crash loops and kill storms.
//!
//! Containers get a new cgroup with each restart, so a crash loop shows as many cgroups of one pod. Rests on what stood earlier in the same
//! input; a log that begins later has seen less, so the count is a lower bound. Trips from the second event of the same cgroup or pod on,
//! and for ten events of any cgroup within a minute.

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::facts::Facts;
use crate::diagnosis::words;
use crate::evidence::Part;
use crate::incident::history::Recurrence;
use crate::units::{Bytes, Limit};

pub(super) const RULE: Rule = Rule {
    name: "recurrence",
    about: "The same cgroup or pod was hit before in this log, or kills come in a storm.",
    check,
};

const STORM: u32 = 10;
const PARTS: &[Part] = &[Part::Usage, Part::OomKill, Part::TaskInCgroup, Part::Kill, Part::NoKillable];

fn check(facts: &Facts<'_>) -> Answer {
    let Some(before) = &facts.incident.recurrence else { return Answer::Absent };
    let mut found = Found::default();
    let same = before.same_pod.max(before.same_cgroup);
    if same > 0 {
        found = again(facts, before, same, found);
    }
    if before.any_within_minute >= STORM {
        found = found.and(
            "A storm of kills",
            format!("{} other OOM events stand in this log within the minute before.", before.any_within_minute),
            PARTS,
        );
    }
    if found.observations.is_empty() { Answer::Absent } else { found.into() }
}

fn again(facts: &Facts<'_>, before: &Recurrence, same: u32, found: Found) -> Found {
    let which = match (facts.is_cgroup_kill(), before.same_pod > 0) {
        (false, _) => "on this machine",
        (true, true) => "for this pod",
        (true, false) => "for this cgroup",
    };
    let name = match before.same_victim_name {
        0 => String::new(),
        n if n == same => ", each time with a victim of this name".to_owned(),
        n => format!(", {n} of them with a victim of this name"),
    };
    let since = before
        .since_previous_us
        .map_or_else(String::new, |us| format!("; the last was {} before", duration(us / 1_000_000)));
    let found = found.and(
        format!("Not the first time: number {}", same.saturating_add(1)),
        format!(
            "This log has {} {which} before this one{name}{since}.",
            words::count(same as usize, "OOM event", "OOM events")
        ),
        PARTS,
    );
    match (before.previous_limit_bytes, facts.limit()) {
        (Some(then), Some(now)) if Limit::from_printed(Bytes(then)).bytes().is_some_and(|then| then < now) => found
            .and(
                "The limit was raised since, and reached again",
                format!("It was {} at the event before and is {now} now: the usage follows the limit.", Bytes(then)),
                PARTS,
            )
            .advise(
                Rank::Cause,
                "Look for a leak instead of raising the limit again",
                "A higher limit was filled too. Take a heap profile of a fresh and of an old process, and compare.",
                None,
            ),
        _ if same >= 2 => found.advise(
            Rank::Learn,
            "Watch how the memory grows between two kills",
            "Steady growth is a leak, a jump is a request or a job, and a kill right after the start is a limit below what it needs to start.",
            None,
        ),
        _ => found,
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0 => "under a second".to_owned(),
        s if s < 120 => format!("{s} s"),
        s if s < 7200 => format!("{} min", s / 60),
        s if s < 172_800 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86_400),
    }
}
