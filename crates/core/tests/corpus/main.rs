//! Recorded logs through the whole path, against what is known to be true of them.
//!
//! Every log is of a kernel that really killed something: see `crates/testkit/src/corpus.rs` on where they lie and what is
//! skipped where they are not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic, also in its helpers")]

mod golden;
mod kernel;
mod killers;
mod numbers;
mod public;
mod score;

use oomscope_core::case::Case;
use oomscope_testkit::corpus::{
    KernelScenario, own_kernel_scenarios, public_logs, say_skipped, shared_kernel_scenarios,
};
use oomscope_testkit::explain;
use score::Score;

/// The scenarios of the repository, and those of the shared corpus where it is here.
fn all_scenarios(test: &str) -> Vec<KernelScenario> {
    let mut all = own_kernel_scenarios();
    match shared_kernel_scenarios() {
        Some(shared) => all.extend(shared),
        None => say_skipped(&format!("the larger part of {test}")),
    }
    all
}

/// The logs of a scenario, by file name.
fn logs_of(scenario: &KernelScenario) -> Vec<(&'static str, Vec<u8>)> {
    let files = [("kmsg.txt", scenario.kmsg()), ("dmesg.txt", scenario.dmesg()), ("console.txt", scenario.console())];
    files.into_iter().filter_map(|(name, log)| Some((name, log?))).collect()
}

/// Every event of every scenario is one case, and every field that the truth knows is right, in each form of the log.
#[test]
fn kernel_scenarios_are_read_right() {
    let mut score = Score::default();
    for scenario in all_scenarios("kernel_scenarios_are_read_right") {
        for (file, log) in logs_of(&scenario) {
            kernel::compare(&mut score, &scenario, file, &explain(&log));
        }
    }
    assert!(score.mismatches().is_empty(), "{}", score.report());
}

/// The records of /dev/kmsg and what dmesg makes of them give the same cases, under the same ids.
#[test]
fn kmsg_and_dmesg_give_the_same_case() {
    for scenario in all_scenarios("kmsg_and_dmesg_give_the_same_case") {
        let (Some(kmsg), Some(dmesg)) = (scenario.kmsg(), scenario.dmesg()) else { continue };
        let (kmsg, dmesg) = (explain(&kmsg), explain(&dmesg));
        assert_eq!(kmsg.len(), dmesg.len(), "{}", scenario.id());
        for (from_kmsg, from_dmesg) in kmsg.iter().zip(&dmesg) {
            let (kmsg, dmesg) = (said(from_kmsg), said(from_dmesg));
            let differing = kmsg.lines().zip(dmesg.lines()).find(|(a, b)| a != b);
            assert!(kmsg == dmesg, "{}: from kmsg and from dmesg: {differing:#?}", scenario.id());
            assert_statistics_begin_alike(from_kmsg, from_dmesg, &scenario.id());
        }
    }
}

/// The syslog interface cuts a record at about 1000 bytes with its prefixes, so where the statistics are one record (before
/// 6.12) the last of them are in /dev/kmsg alone.
fn assert_statistics_begin_alike(from_kmsg: &Case, from_dmesg: &Case, scenario: &str) {
    let statistics = |case: &Case| case.incident.report().memory_stat.clone().unwrap_or_default();
    let (kmsg, dmesg) = (statistics(from_kmsg), statistics(from_dmesg));
    assert!(kmsg.len() == dmesg.len() || dmesg.len() >= 24, "{scenario}: {} of {}", dmesg.len(), kmsg.len());
    assert!(kmsg.iter().zip(&dmesg).all(|(a, b)| a == b), "{scenario}: {kmsg:#?}, {dmesg:#?}");
}

/// What a case says, without what only one of the two forms can know: records have numbers in /dev/kmsg alone, so only there
/// is it known how many were lost.
fn said(case: &Case) -> String {
    let mut report = case.incident.report().clone();
    report.extent.records_lost = 0;
    report.memory_stat = None;
    let diagnosis = &case.diagnosis;
    let verdict = (&case.id, case.incident.at, diagnosis.killer, diagnosis.confidence, &diagnosis.summary);
    format!("{verdict:#?}\n{report:#?}")
}

/// Where the numbers of the records have no gap, none is said to be missing: not those of other writers in between, not those
/// that continue one before them.
#[test]
fn no_record_is_missed_that_is_there() {
    for scenario in all_scenarios("no_record_is_missed_that_is_there") {
        let Some(kmsg) = scenario.kmsg() else { continue };
        let numbers: Vec<u64> = kmsg.split(|b| *b == b'\n').filter_map(sequence_number).collect();
        if numbers.windows(2).all(|pair| pair[1] == pair[0] + 1) {
            for case in explain(&kmsg) {
                assert_eq!(case.incident.report().extent.records_lost, 0, "{} {}", scenario.id(), case.id);
            }
        }
    }
}

/// The second field of `6,404,4641338,-;text`.
fn sequence_number(line: &[u8]) -> Option<u64> {
    let head = std::str::from_utf8(line.split(|b| *b == b';').next()?).ok()?;
    let fields: Vec<&str> = head.split(',').collect();
    if fields.len() == 4 { fields[1].parse().ok() } else { None }
}

/// What people paste is read as well: damaged, wrapped, quoted, recoded, of any kernel and distribution.
#[test]
fn public_logs_are_read_right() {
    let mut score = Score::with_exceptions(public::EXCEPTIONS);
    for log in public_logs() {
        public::compare(&mut score, &log, &explain(&log.log));
    }
    let stale = score.stale_exceptions();
    assert!(score.mismatches().is_empty(), "{}", score.report());
    assert!(stale.is_empty(), "read right by now, so no exception is needed:\n{}", stale.join("\n"));
    assert!(score.recall() >= 0.97 && score.precision() >= 0.99, "{}", score.table());
}
