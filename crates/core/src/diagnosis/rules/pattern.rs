//! How memory came to be full: a spike, a leak, a start that asks for more than there is.
//!
//! The shape decides what to look for: a spike is one request or one job, a leak is time, a step at start-up is configuration. It is taken
//! from what the kernel cannot take back (charged memory without page cache), since cache fills every limit and harms nobody. How:
//! see [`super::super::pattern`].

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::facts::Facts;
use crate::diagnosis::pattern::{Bucket, Pattern, Shape};
use crate::diagnosis::words::{duration, percent};
use crate::evidence::Part;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "pattern",
    about: "How memory grew before the kill: sudden spike, steady leak, step at start-up, cache or tmpfs filling up, ever more processes.",
    check,
};

const PARTS: &[Part] = &[Part::FlightRecord];

fn check(facts: &Facts<'_>) -> Answer {
    let minutes = match facts.recorded.minutes() {
        Ok(minutes) => minutes,
        Err(answer) => return answer,
    };
    let pattern = match &minutes.pattern {
        Ok(pattern) => pattern,
        Err(gap) => return Answer::CannotTell(gap.clone()),
    };
    let found = Found::that(title(pattern), detail(pattern, minutes.recorded.limit), PARTS);
    advice(pattern, forks(pattern, found)).into()
}

fn title(pattern: &Pattern) -> &'static str {
    match (pattern.shape, pattern.bucket) {
        (Shape::Full, _) => "It was full all the time",
        (Shape::None, _) => "It did not grow",
        (_, Some(Bucket::FileCache)) => "Only page cache grew, which is harmless",
        (Shape::Spike, _) => "Memory rose suddenly",
        (Shape::StartUp, _) => "It filled up right after it was started",
        (Shape::Leak, Some(Bucket::Shmem)) => "tmpfs filled up steadily",
        (Shape::Leak, _) => "Memory grew steadily, as a leak does",
        (Shape::Growth, Some(Bucket::Shmem)) => "tmpfs filled up",
        (Shape::Growth, _) => "Memory grew, neither suddenly nor evenly",
    }
}

/// What grew, for a sentence.
pub(in crate::diagnosis) const fn bucket(bucket: Option<Bucket>) -> &'static str {
    match bucket {
        Some(Bucket::Anon) => "anonymous memory",
        Some(Bucket::FileCache) => "page cache",
        Some(Bucket::Shmem) => "tmpfs and shared memory",
        Some(Bucket::Kernel) => "kernel memory",
        Some(Bucket::Sock) => "network buffers",
        None => "memory",
    }
}

fn detail(pattern: &Pattern, limit: Option<Bytes>) -> String {
    let (from, to) = pattern.from_bytes.side_by_side(pattern.to_bytes);
    let length = duration(pattern.to_us.0.saturating_sub(pattern.from_us.0));
    if matches!(pattern.shape, Shape::Full | Shape::None) {
        return format!("What the kernel cannot take back went from {from} to {to} in the {length} before the kill.");
    }
    let what = bucket(pattern.bucket);
    let share = limit.map_or_else(String::new, |limit| format!(" ({} of the limit)", percent(pattern.to_bytes, limit)));
    let per_second = Bytes(pattern.bytes_per_s);
    match pattern.shape {
        Shape::Leak => {
            let refill = pattern.refill_us.map_or_else(String::new, |us| {
                format!(" At this rate one that starts empty is there again after {}.", duration(us))
            });
            let per_minute = Bytes(pattern.bytes_per_s.saturating_mul(60));
            format!("From {from} to {to}{share} in {length}, mostly {what}: {per_minute} a minute.{refill}")
        }
        _ => {
            let rise = duration(pattern.rise_us);
            let rise = if pattern.rise_at_most { format!("{rise} or less") } else { rise };
            let rate = if pattern.rise_at_most { "at least " } else { "about " };
            format!("From {from} to {to}{share} within {rise}, mostly {what}: {rate}{per_second} a second.")
        }
    }
}

fn forks(pattern: &Pattern, found: Found) -> Found {
    let Some((from, to)) = pattern.forked() else { return found };
    found.and(
        "The number of processes rose with it",
        format!("From {from} to {to} processes: each may be small, and together they fill the limit."),
        PARTS,
    )
}

fn advice(pattern: &Pattern, found: Found) -> Found {
    match (pattern.shape, pattern.bucket) {
        (Shape::Leak, Some(Bucket::Anon)) => found.advise(
            Rank::Cause,
            "Look for what is kept and never given back",
            "It grew by about as much in every minute: compare two heap profiles taken some minutes apart. A larger limit only takes longer \
             to fill.",
            None,
        ),
        (Shape::Spike, Some(Bucket::Anon)) => found.advise(
            Rank::Cause,
            "Find what ran at that instant, and make it take less at once",
            "One request, query or batch took it in one go: stream it, page it, or let fewer run at the same time. The application's log \
             of the seconds before the kill names it.",
            None,
        ),
        (Shape::StartUp, Some(Bucket::Anon)) => found.advise(
            Rank::Fit,
            "Fit what is loaded at the start to the limit",
            "It never reached its working state. Heap sizes, caches and numbers of workers that are derived from the machine rather than from the limit \
             are the usual reason.",
            None,
        ),
        _ => found,
    }
}
