//! What could have warned: the limit was met before, without a kill.
//!
//! `max` of memory.events (v1 `failcnt`) counts charges that met the limit; mostly reclaim helped, and nothing more happened. `high`
//! counts throttling at `memory.high`, and pressure the time that tasks stalled for memory. Rises less than 5 s apart are one
//! occasion. The one that ends with the kill is the kill's own, and not told here unless it had gone on for long.

use super::{Answer, Found, Rule};
use crate::diagnosis::facts::{Facts, Minutes};
use crate::diagnosis::words::{self, duration};
use crate::evidence::Part;
use crate::recorder::Series;
use crate::time::BootTime;

pub(super) const RULE: Rule = Rule {
    name: "near_misses",
    about: "Whether the limit was met before without a kill, and whether tasks were throttled or stalled: what could have warned.",
    check,
};

const PARTS: &[Part] = &[Part::FlightRecord];
/// Rises further apart than this are two occasions.
const APART_US: u64 = 5_000_000;
/// An occasion that goes on into the kill is the kill's own, unless it began longer ago than this.
const OWN_US: u64 = 30_000_000;
/// Stalls are told over this time before the kill.
const STALLS_US: u64 = 60_000_000;
/// Less than this share of that time is ordinary.
const STALLED: u64 = 20;

fn check(facts: &Facts<'_>) -> Answer {
    let minutes = match facts.recorded.minutes() {
        Ok(minutes) => minutes,
        Err(answer) => return answer,
    };
    let found = stalls(minutes, throttled(minutes, met(minutes, Found::default())));
    if found.observations.is_empty() { Answer::Absent } else { found.into() }
}

/// Rises of a counter close to each other.
#[derive(Clone, Copy, Debug)]
struct Occasion {
    from: BootTime,
    to: BootTime,
    times: u64,
}

fn occasions(minutes: &Minutes<'_>, series: Series) -> Vec<Occasion> {
    let mut all: Vec<Occasion> = Vec::new();
    let mut before: Option<u64> = None;
    for (at, count) in minutes.recorded.series(series) {
        let times = before.map_or(0, |before| count.saturating_sub(before));
        before = Some(count);
        if times == 0 {
            continue;
        }
        match all.last_mut() {
            Some(last) if at.0.saturating_sub(last.to.0) <= APART_US => {
                last.to = at;
                last.times = last.times.saturating_add(times);
            }
            _ => all.push(Occasion { from: at, to: at, times }),
        }
    }
    all
}

fn met(minutes: &Minutes<'_>, found: Found) -> Found {
    let mut occasions = occasions(minutes, Series::Max);
    let kill = minutes.recorded.kill.0;
    let before_kill = |at: BootTime| kill.saturating_sub(at.0);
    occasions.retain(|o| before_kill(o.to) > APART_US || before_kill(o.from) > OWN_US);
    let (Some(first), Some(last)) = (occasions.first(), occasions.last()) else { return found };
    let times: u64 = occasions.iter().fold(0, |sum, o| sum.saturating_add(o.times));
    let ago = |at: BootTime| format!("{} before the kill", duration(kill.saturating_sub(at.0)));
    let when = match occasions.len() {
        1 if kill.saturating_sub(last.to.0) <= APART_US => format!("from {} on", ago(first.from)),
        1 => ago(first.from),
        _ => format!("first {}, last {}", ago(first.from), ago(last.to)),
    };
    found.and(
        "The limit was met before, without a kill",
        format!(
            "{} ({} charges), {when}: reclaim helped then. An alert on `max` of memory.events would have warned.",
            words::count(occasions.len(), "time", "times"),
            times
        ),
        PARTS,
    )
}

fn throttled(minutes: &Minutes<'_>, found: Found) -> Found {
    let occasions = occasions(minutes, Series::High);
    let Some(first) = occasions.first() else { return found };
    let times: u64 = occasions.iter().fold(0, |sum, o| sum.saturating_add(o.times));
    let high = minutes.recorded.record.limits.high_bytes.and_then(crate::units::Limit::bytes);
    let high = high.map_or_else(String::new, |high| format!(" of {high}"));
    found.and(
        "It was throttled at memory.high",
        format!(
            "{times} times from {} before the kill on: charges above memory.high{high} are made to wait, and the program was slow before it was killed.",
            duration(minutes.recorded.kill.0.saturating_sub(first.from.0))
        ),
        PARTS,
    )
}

/// Pressure is weak for a leak of anonymous memory without swap: there is little to stall on. So its absence is no finding.
fn stalls(minutes: &Minutes<'_>, found: Found) -> Found {
    let stalled = |series| {
        let begin = minutes.recorded.kill.0.saturating_sub(STALLS_US);
        let mut values = minutes.recorded.series(series).skip_while(|(at, _)| at.0 < begin);
        let first = values.next()?;
        let last = values.last()?;
        Some((last.1.saturating_sub(first.1), last.0.0.saturating_sub(first.0.0)))
    };
    let Some((some, over)) = stalled(Series::PressureSome) else { return found };
    if some.saturating_mul(STALLED) < over || over == 0 {
        return found;
    }
    let full = stalled(Series::PressureFull).filter(|(full, _)| *full > 0);
    let full = full.map_or_else(String::new, |(full, _)| format!(", and all of them for {}", duration(full)));
    found.and(
        "Tasks waited for memory",
        format!("In the last {} some task stalled for {}{full}.", duration(over), duration(some)),
        PARTS,
    )
}
