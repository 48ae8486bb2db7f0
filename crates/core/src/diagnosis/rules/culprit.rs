//! Who grew, beside who asked and who died.
//!
//! The trigger only asked last, and the victim was only the one with most points; what filled the limit is what *grew*. Trips where one
//! process, or one cgroup below the limit, accounts for at least half of the growth over the shortest of 10 s, 1 min and 10 min that
//! holds the whole rise; with less, several grew and are named. Sizes are those of the kernel's own report at the kill where it has
//! them, else of the last sample.

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::facts::{Facts, Minutes};
use crate::diagnosis::growth::{self, Grower, Grown, Who};
use crate::diagnosis::words::{self, duration, percent};
use crate::evidence::{Gap, Part};
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "culprit",
    about: "Who grew in the last seconds and minutes before the kill, and whether that is who asked or who was killed.",
    check,
};

const PARTS: &[Part] = &[Part::Processes, Part::FlightRecord, Part::Kill, Part::TaskTable];

fn check(facts: &Facts<'_>) -> Answer {
    let minutes = match facts.recorded.minutes() {
        Ok(minutes) => minutes,
        Err(answer) => return answer,
    };
    let rise_us = minutes.pattern.as_ref().ok().map(|p| minutes.recorded.kill.0.saturating_sub(p.from_us.0));
    let over_us = growth::stretch_for(rise_us);
    let whole = growth::of_limit(&minutes.recorded, facts.memory.as_ref(), over_us).map_or(0, |grown| positive(&grown));
    let grown: Vec<(&Grower, Grown)> =
        minutes.growth.iter().filter_map(|grower| Some((grower, *grower.over(over_us)?))).collect();
    let Some((first, by)) = grown.first() else { return nobody(minutes, whole) };
    if positive(by).saturating_mul(2) >= whole {
        return with_function(facts, first, one(facts, minutes, first, by, whole)).into();
    }
    several(minutes, &grown, whole)
}

fn positive(grown: &Grown) -> u64 {
    u64::try_from(grown.bytes).unwrap_or(0)
}

fn nobody(minutes: &Minutes<'_>, whole: u64) -> Answer {
    if minutes.recorded.timeline.processes.is_empty() {
        return Answer::CannotTell(Gap::new("who grew before the kill", "no process of the cgroup was recorded"));
    }
    if whole == 0 {
        return Answer::Absent;
    }
    let detail = format!("{} more were charged before the kill, and no recorded process grew.", Bytes(whole));
    Found::that("No process grew", detail, PARTS).into()
}

fn name(grower: &Grower) -> String {
    match &grower.who {
        Who::Process { pid, comm } => words::process(Some(comm), Some(*pid)),
        Who::Cgroup => grower.cgroup.to_string(),
    }
}

/// `in the last 2.1 s`: from the reading that the growth is measured from.
fn stretch(minutes: &Minutes<'_>, grown: &Grown) -> String {
    format!("in the last {}", duration(minutes.recorded.kill.0.saturating_sub(grown.from_us.0)))
}

fn one(facts: &Facts<'_>, minutes: &Minutes<'_>, grower: &Grower, by: &Grown, whole: u64) -> Found {
    let share = match percent(Bytes(positive(by)), Bytes(whole.max(positive(by)))) {
        share if whole > 0 => format!(", {share} of what the limit's cgroup grew by"),
        _ => String::new(),
    };
    let detail = format!("{} grew by {} {}{share}.", name(grower), Bytes(positive(by)), stretch(minutes, by));
    let innocent = || {
        let victim = facts.victim().map_or_else(|| "another process".to_owned(), words::victim);
        format!("{detail} {victim} was killed for it.")
    };
    if matches!(grower.who, Who::Cgroup) {
        return Found::that("Which cgroup grew", detail, PARTS);
    }
    let elsewhere = facts.report.victim_cgroup.as_ref().is_some_and(|cgroup| *cgroup != grower.cgroup);
    match (grower.is_victim, grower.is_trigger, facts.victim()) {
        (true, true, _) => Found::that("The one that grew asked, and was killed", detail, PARTS),
        (true, false, _) => Found::that("The one that grew was killed", detail, PARTS),
        (false, _, None) => Found::that("Who grew", detail, PARTS),
        (false, true, _) => Found::that("The one that grew asked, and another was killed", innocent(), PARTS),
        (false, false, _) if elsewhere => look_elsewhere(
            grower,
            Found::that(
                "It was killed for the growth of another cgroup",
                format!("{} It grew in {}, not in the victim's cgroup.", innocent(), grower.cgroup),
                PARTS,
            ),
        ),
        (false, false, _) => {
            look_elsewhere(grower, Found::that("The one that grew neither asked nor was killed", innocent(), PARTS))
        }
    }
}

/// The function of the grower that made most memory resident, where page faults were sampled and it has a quarter of them at least.
fn with_function(facts: &Facts<'_>, grower: &Grower, found: Found) -> Found {
    let (Who::Process { pid, .. }, Some(hot)) = (&grower.who, &facts.incident.hot_stacks) else { return found };
    let functions = hot.functions(Some(*pid));
    let sampled = hot.of_process(*pid);
    let Some(most) = functions.first().filter(|most| most.bytes.0.saturating_mul(4) >= sampled.0) else { return found };
    let detail = format!(
        "{} of what {} made resident in the last {} is by {}. What it has freed since is counted too.",
        percent(most.bytes, sampled),
        name(grower),
        duration(hot.length_us()),
        most.own.sentence()
    );
    found.and("The function that grew", detail, &[Part::HotStacks]).named("function")
}

fn look_elsewhere(grower: &Grower, found: Found) -> Found {
    found.advise(
        Rank::Cause,
        format!("Look at {}, not at the victim", name(grower)),
        "It took the memory; who was killed only had most points at that instant. You can tell that it worked when its size stays level.",
        None,
    )
}

fn several(minutes: &Minutes<'_>, grown: &[(&Grower, Grown)], whole: u64) -> Answer {
    let processes: Vec<_> = grown.iter().filter(|(grower, _)| matches!(grower.who, Who::Process { .. })).collect();
    let told = if processes.is_empty() { grown.iter().collect() } else { processes };
    let list = words::list(told.iter().map(|(grower, by)| format!("{} by {}", name(grower), Bytes(positive(by)))));
    let span = grown.first().map_or_else(String::new, |(_, by)| format!(" {}", stretch(minutes, by)));
    let detail = format!("{} more were charged{span}; of what was recorded, {list}.", Bytes(whole));
    Found::that("No single process accounts for the growth", detail, PARTS).into()
}
