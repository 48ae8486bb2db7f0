//! What the kernel or the log lost of this report.
//!
//! The kernel prints at most 10 reports in 5 s (all cgroups together) and only a kill line of the others; its ring buffer overwrites
//! the oldest records, so a busy machine's report may begin in the middle; and records may be dropped on the way. Each makes other rules unable
//! to tell. A line that was cut away leaves no trace of itself, so no answer here ever means "complete".

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::facts::Facts;
use crate::diagnosis::words;
use crate::evidence::{Gap, Part};

pub(super) const RULE: Rule = Rule {
    name: "lost_records",
    about: "The kernel suppressed the report, or records of it are missing from the log.",
    check,
};

/// What is left: any part may be the only one.
const PARTS: &[Part] = &[
    Part::Lost,
    Part::Header,
    Part::Cpu,
    Part::Stack,
    Part::TaskInCgroup,
    Part::Usage,
    Part::OtherUsage,
    Part::MemoryStat,
    Part::NodeMemory,
    Part::TaskTable,
    Part::OomKill,
    Part::Chosen,
    Part::Kill,
    Part::GroupKill,
    Part::NoKillable,
    Part::Reaper,
    Part::Panic,
    Part::Sysrq,
];

fn check(facts: &Facts<'_>) -> Answer {
    if facts.incident.is_without_log() {
        return Answer::Absent;
    }
    let extent = &facts.report.extent;
    if extent.rate_limited {
        return Found::that(
            "The kernel printed no report for this kill",
            "It prints at most 10 reports in 5 s, for all cgroups together, and for further kills only the line that names the process.",
            PARTS,
        )
        .lacking(Gap::new("the report of this kill", "the kernel prints at most 10 reports in 5 s, and only the kill line of the others"))
        .advise(
            Rank::Learn,
            "Read the limit from the reports just before",
            "The first kills of a storm have whole reports; they are usually about the same cgroup.",
            None,
        )
        .into();
    }
    if extent.records_lost > 0 {
        let lost = words::count(usize::try_from(extent.records_lost).unwrap_or(usize::MAX), "record is", "records are");
        return larger_buffer(Found::that("Records are missing", format!("{lost} missing inside this report."), PARTS))
            .into();
    }
    if !extent.header {
        return larger_buffer(
            Found::that("The beginning is missing", "The log does not have the first lines of this report.", PARTS)
                .lacking(Gap::new(
                    "the first lines of the report",
                    "the log does not have the beginning of this report",
                )),
        )
        .into();
    }
    if !extent.kill_line && !facts.report.no_killable_process && facts.report.panic.is_none() {
        return Found::that(
            "The end is missing",
            "The report was begun, but no line says that a process was killed.",
            PARTS,
        )
        .lacking(Gap::new("who was killed", "the log does not have the end of this report"))
        .into();
    }
    Answer::Absent
}

fn larger_buffer(found: Found) -> Found {
    found.advise(
        Rank::Learn,
        "Keep the kernel log where it is not overwritten",
        "Read it continuously into a file (journald, syslog), or enlarge the kernel's ring buffer.",
        Some("log_buf_len=4M    # kernel command line".to_owned()),
    )
}
