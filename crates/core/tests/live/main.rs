//! What the recorded minutes and the counters mean.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic, also in its helpers")]
#![allow(clippy::disallowed_methods, reason = "a test may read its samples")]

mod contexts;
mod stories;

use std::path::{Path, PathBuf};

use oomscope_core::case::Case;
use oomscope_core::diagnosis::pattern::{Bucket, Shape};
use oomscope_core::diagnosis::{Confidence, Diagnosis, Killer, diagnose};
use oomscope_core::evidence::{CounterChange, Gap};
use oomscope_core::incident::Incident;
use oomscope_core::incident::counted::{self, CountedLimit};
use oomscope_core::incident::timeline::Role;
use oomscope_core::recorder::{Sample, Series};
use oomscope_core::report::{TextOptions, json, markdown, text};
use oomscope_core::text::{Untrusted, acts_on_its_surroundings};
use oomscope_core::time::When;
use oomscope_core::units::Bytes;
use oomscope_testkit::golden;
use serde::Deserialize;
use stories::*;
use unicode_width::UnicodeWidthStr;

fn finding<'a>(diagnosis: &'a Diagnosis, rule: &str) -> Vec<&'a str> {
    diagnosis.findings.iter().filter(|f| f.rule == rule).map(|f| f.title.as_str()).collect()
}

fn shape(samples: Vec<Sample>) -> (Shape, Option<Bucket>) {
    let diagnosis = diagnose(&recorded(samples));
    diagnosis.pattern.map_or((Shape::None, None), |pattern| (pattern.shape, pattern.bucket))
}

/// Counters of real kernels around a kill, with the cgroup whose limit the scenario was made to reach.
#[derive(Deserialize)]
struct RealCounters {
    name: String,
    constraint: String,
    limit_cgroup: Option<Untrusted>,
    counters: Vec<CounterChange>,
}

/// The counters of every kernel name the limit that was really reached, or that it was no cgroup's.
#[test]
fn counters_of_real_kernels() {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/live/recorded_counters.jsonl"].iter().collect();
    let text = std::fs::read_to_string(path).unwrap();
    let mut told = 0;
    for line in text.lines() {
        let real: RealCounters = serde_json::from_str(line).unwrap();
        let limit = counted::limit(&real.counters);
        match (&limit, real.constraint.as_str()) {
            (CountedLimit::Of { level, .. }, "memcg") => {
                assert_eq!(Some(&real.counters[*level].cgroup), real.limit_cgroup.as_ref(), "{}", real.name);
                told += 1;
            }
            (CountedLimit::NoCgroup, "none" | "cpuset" | "mempolicy") => told += 1,
            _ => panic!("{} ({}): {limit:?}", real.name, real.constraint),
        }
    }
    assert!(told >= 50, "{told}");
}

/// A kill that only the counters tell, with the level of each row of the table.
#[test]
fn the_level_by_counters_alone() {
    use Confidence::{Certain, Likely, Possible};
    let kubepods = |own, all| v2("/kubepods", own, all);
    let mut removed = v2(CONTAINER, (0, 0), (0, 0));
    removed.removed = true;
    let mut unread = v2(POD, (0, 0), (0, 0));
    unread.after = None;
    let mut full = v1(POD, 9, 0);
    full.usage_bytes = Some(Bytes(64 * MIB));
    full.limits.max_bytes = Some(oomscope_core::units::Limit::At(Bytes(64 * MIB)));
    let table = [
        (vec![v2(CONTAINER, (1, 1), (1, 1)), v2(POD, (0, 0), (1, 1))], Killer::ContainerLimit, Certain),
        (vec![v2(CONTAINER, (0, 1), (0, 1)), v2(POD, (1, 0), (1, 1))], Killer::PodLimit, Certain),
        (
            vec![v2(CONTAINER, (0, 1), (0, 1)), v2(POD, (0, 0), (0, 1)), kubepods((1, 0), (1, 1))],
            Killer::AncestorLimit,
            Certain,
        ),
        (vec![v2(CONTAINER, (0, 1), (0, 1)), v2(POD, (0, 0), (0, 1)), kubepods((0, 0), (0, 1))], Killer::Node, Likely),
        // The container was gone before it could be read again: the pod's ledger has it.
        (vec![removed, v2(POD, (0, 0), (1, 1))], Killer::ContainerLimit, Likely),
        // A level that could not be read may have been the limit.
        (vec![v2(CONTAINER, (0, 1), (0, 1)), unread], Killer::Unknown, Possible),
        (vec![v1(CONTAINER, 20, 1), v1(POD, 0, 0)], Killer::ContainerLimit, Likely),
        (vec![v1(CONTAINER, 0, 1), v1(POD, 9, 0)], Killer::PodLimit, Likely),
        (vec![v1(CONTAINER, 3, 1), full], Killer::PodLimit, Likely),
        (vec![v1(CONTAINER, 3, 1), v1(POD, 9, 0)], Killer::Unknown, Possible),
        (vec![v1(CONTAINER, 0, 1), v1(POD, 0, 0)], Killer::Node, Likely),
    ];
    for (counters, killer, confidence) in table {
        let gap = Gap::new("kernel log", "no permission");
        let incident = Incident::from_counters(When::default(), None, counters.clone(), None, Vec::new(), vec![gap]);
        let diagnosis = diagnose(&incident);
        assert_eq!((diagnosis.killer, diagnosis.confidence), (killer, confidence), "{counters:?}");
        assert!(!diagnosis.summary.contains("The log has only a fragment"), "{}", diagnosis.summary);
    }
}

/// A log that names the limit is borne out, or contradicted; a contradiction is shown and makes the verdict less sure.
#[test]
fn the_log_is_cross_checked() {
    let log = || from_log(report(CONTAINER, CONTAINER, (4711, "java", 63 * MIB)));
    let with = |counters| {
        let mut incident = log();
        incident.add_live(None, counters);
        diagnose(&incident)
    };
    let agrees = with(vec![v2(CONTAINER, (1, 1), (1, 1)), v2(POD, (0, 0), (1, 1))]);
    assert_eq!((agrees.killer, agrees.confidence), (Killer::ContainerLimit, Confidence::Certain));
    assert_eq!(finding(&agrees, "counters"), ["The counters agree with the log"]);
    let differs = with(vec![v2(CONTAINER, (0, 1), (0, 1)), v2(POD, (1, 0), (1, 1))]);
    assert_eq!((differs.killer, differs.confidence), (Killer::ContainerLimit, Confidence::Likely));
    assert_eq!(finding(&differs, "counters"), ["The counters disagree with the log"]);
    // The other kills of a burst have reports, and cases, of their own; without any report the number is all there is.
    let storm = vec![v2(CONTAINER, (3, 3), (3, 3)), v2(POD, (0, 0), (3, 3))];
    assert_eq!(finding(&with(storm.clone()), "counters"), ["The counters agree with the log"]);
    let gap = Gap::new("kernel log", "no permission");
    let untold = Incident::from_counters(When::default(), None, storm, None, Vec::new(), vec![gap]);
    assert!(finding(&diagnose(&untold), "counters").contains(&"More kills were counted than are told"));
    assert!(finding(&diagnose(&log()), "counters").is_empty());
}

/// A bare line of a rate-limited report gets its limit from the counters.
#[test]
fn counters_complete_a_bare_kill_line() {
    let mut bare = report(CONTAINER, CONTAINER, (4711, "java", 63 * MIB));
    (bare.limit_cgroup, bare.victim_cgroup, bare.limit_bytes, bare.usage_bytes) = (None, None, None, None);
    (bare.constraint, bare.extent.header, bare.extent.rate_limited) = (None, false, true);
    let mut incident = from_log(bare);
    incident.evidence.remove(0);
    assert_eq!(diagnose(&incident).killer, Killer::Unknown);
    let mut unseen = incident.clone();
    unseen.add_live(None, vec![v2(CONTAINER, (0, 1), (0, 1)), v2(POD, (0, 0), (0, 1))]);
    assert_eq!(diagnose(&unseen).killer, Killer::Unknown, "the line says that it was a cgroup's limit");
    incident.add_live(None, vec![v2(CONTAINER, (0, 1), (0, 1)), v2(POD, (1, 0), (1, 1))]);
    let diagnosis = diagnose(&incident);
    assert_eq!((diagnosis.killer, diagnosis.confidence), (Killer::PodLimit, Confidence::Certain));
    assert_eq!(incident.report().limit_cgroup, Some(POD.into()));
    assert!(incident.identity.is_some());
}

/// Every shape of growth is recognised, with what grew.
#[test]
fn patterns() {
    let full = instants(900_000_000, 500_000);
    let share = |at: u64, length: u64| (at + length).saturating_sub(KILL) as f64 / length as f64;
    let of = |part: f64| (part * 64.0 * MIB as f64) as u64;
    let leak = |at: u64| of(0.1 + 0.88 * share(at, 900_000_000));
    assert_eq!(shape(rows(&full, |at, s| anon(leak(at), s))), (Shape::Leak, Some(Bucket::Anon)));
    // A garbage collector saws at it.
    let saw = |at: u64| leak(at) - (at / 1_000_000 % 20) * MIB / 4;
    assert_eq!(shape(rows(&full, |at, s| anon(saw(at), s))), (Shape::Leak, Some(Bucket::Anon)));
    let tmpfs = |at: u64, s: Sample| anon(leak(at), s).with(Series::Anon, MIB).with(Series::Shmem, leak(at) - MIB);
    assert_eq!(shape(rows(&full, tmpfs)), (Shape::Leak, Some(Bucket::Shmem)));
    let spike = |at: u64| of(0.3 + 0.68 * share(at, 2_000_000));
    assert_eq!(
        shape(rows(&instants(900_000_000, 2_000_000), |at, s| anon(spike(at), s))),
        (Shape::Spike, Some(Bucket::Anon))
    );
    let start = instants(8_000_000, 500_000);
    assert_eq!(shape(rows(&start, |at, s| anon(of(share(at, 8_000_000)), s))), (Shape::StartUp, Some(Bucket::Anon)));
    assert_eq!(shape(rows(&full, |_, s| anon(of(0.98), s))).0, Shape::Full);
    let stairs = |at: u64| {
        of(if KILL - at < 300_000_000 { 0.3 + 0.1 * ((300_000_000 - (KILL - at)) / 43_000_000) as f64 } else { 0.2 })
    };
    assert_eq!(shape(rows(&full, |at, s| anon(stairs(at), s))), (Shape::Growth, Some(Bucket::Anon)));
}

/// Cache that fills what processes leave free is told to be harmless, and the jump of anonymous memory into it is the pattern.
#[test]
fn cache_is_no_growth() {
    let cached = |at: u64, s: Sample| {
        let anon = if KILL - at < 1_000_000 { 40 * MIB } else { 10 * MIB };
        let file = (64 * MIB - anon) * (900_000_000 - (KILL - at)) / 900_000_000;
        s.with(Series::Current, anon + file).with(Series::Anon, anon).with(Series::File, file)
    };
    let (found, bucket) = shape(rows(&instants(900_000_000, 2_000_000), cached));
    assert_eq!((found, bucket), (Shape::Spike, Some(Bucket::Anon)));
    let mut incident = recorded(rows(&instants(900_000_000, 2_000_000), |at, s| {
        let file = 60 * MIB * (900_000_000 - (KILL - at)) / 900_000_000;
        s.with(Series::Current, 2 * MIB + file).with(Series::Anon, 2 * MIB).with(Series::File, file)
    }));
    // The machine ran out: what the log says is not about this cgroup.
    let report = &mut incident.kills[0];
    (report.limit_cgroup, report.usage_bytes, report.limit_bytes) = (None, None, None);
    let diagnosis = diagnose(&incident);
    assert_eq!(finding(&diagnosis, "pattern"), ["Only page cache grew, which is harmless"]);
}

/// Ever more processes are told beside the growth.
#[test]
fn forks() {
    let forked = |at: u64, s: Sample| {
        let processes = 2 + (600_000_000 - (KILL - at)) / 15_000_000;
        anon(processes * 3 * MIB / 2, s).with(Series::Processes, processes)
    };
    let diagnosis = diagnose(&recorded(rows(&instants(600_000_000, 500_000), forked)));
    assert!(
        finding(&diagnosis, "pattern").contains(&"The number of processes rose with it"),
        "{:?}",
        diagnosis.findings
    );
}

/// Too little data is a gap, and without a recorder nothing is missing.
#[test]
fn too_little_to_tell() {
    let diagnosis = diagnose(&recorded(rows(&[KILL - 1], |_, s| anon(MIB, s))));
    assert!(diagnosis.pattern.is_none());
    assert!(diagnosis.gaps.iter().any(|gap| gap.wanted == "how memory grew before the kill"), "{:?}", diagnosis.gaps);
    let diagnosis = diagnose(&from_log(report(CONTAINER, CONTAINER, (1, "java", MIB))));
    assert!(diagnosis.pattern.is_none() && diagnosis.dashboards.is_none() && diagnosis.growth.is_empty());
    assert!(!diagnosis.gaps.iter().any(|gap| gap.wanted.contains("before the kill")), "{:?}", diagnosis.gaps);
}

/// Whoever grew is named, whether it asked or died or neither.
#[test]
fn the_culprit() {
    let diagnosis = diagnose(&spike());
    assert_eq!(finding(&diagnosis, "culprit"), ["The one that grew asked, and was killed"]);
    let first = &diagnosis.growth[0];
    assert_eq!((first.is_victim, first.is_trigger, first.grown[0].bytes), (true, true, (44 * MIB) as i64));
    let diagnosis = diagnose(&sidecar_killed_unseen());
    assert_eq!(finding(&diagnosis, "culprit"), ["It was killed for the growth of another cgroup"]);
    assert!(diagnosis.remedies.iter().any(|r| r.title == "Look at java (pid 4711), not at the victim"));
}

/// The peak is exact to the byte, a scraper misses it, and how long it lasted is told.
#[test]
fn dashboards() {
    let diagnosis = diagnose(&spike());
    let dashboards = diagnosis.dashboards.as_ref().unwrap();
    assert!(dashboards.peak.exact && dashboards.peak.bytes == Bytes(64 * MIB), "{:?}", dashboards.peak);
    assert!(dashboards.peak.lasted_at_most_us < 100_000, "{:?}", dashboards.peak);
    let scraper = dashboards.scraper(15_000_000).unwrap();
    assert!(scraper.usage.lowest_bytes.unwrap() <= Bytes(22 * MIB), "{scraper:?}");
    assert!(finding(&diagnosis, "dashboards").len() == 1);
}

/// Earlier meetings with the limit, throttling and stalls are told; those of the kill itself are not.
#[test]
fn near_misses() {
    let diagnosis = diagnose(&sidecar_killed_unseen());
    let titles = finding(&diagnosis, "near_misses");
    assert_eq!(titles, ["The limit was met before, without a kill", "Tasks waited for memory"]);
    assert!(finding(&diagnose(&spike()), "near_misses").is_empty());
}

/// A child was killed, the container goes on: nothing else would show it.
#[test]
fn a_kill_that_kubernetes_does_not_show() {
    let titles = finding(&diagnose(&spike()), "counters").join("; ");
    assert!(titles.contains("A process was killed and its cgroup lives on"), "{titles}");
}

/// The whole report of two live cases, as people see it.
#[test]
fn reports() {
    for (name, incident) in [("live_spike", spike()), ("live_sidecar", sidecar_killed_unseen())] {
        let case = Case::new(incident.clone(), diagnose(&incident));
        let file =
            |ending: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/report/{name}.{ending}"));
        for width in [40, 80, 120] {
            let options = TextOptions { width, evidence: width == 80, ..TextOptions::default() };
            let shown = text::render(&case, &options);
            assert!(!shown.contains("the log does not have"), "{shown}");
            golden::compare(file(&format!("{width}.txt")), &shown);
        }
        let ascii = text::render(&case, &TextOptions { unicode: false, evidence: true, ..TextOptions::default() });
        assert!(ascii.is_ascii(), "{ascii}");
        golden::compare(file("80.ascii.txt"), &ascii);
        golden::compare(file("md"), &markdown::render(&case));
        let line = json::line(&case).unwrap();
        assert_eq!(serde_json::from_str::<Case>(&line).unwrap(), case);
    }
}

/// No line of the live sections is wider than asked, and no name in them acts on a terminal or a ticket.
#[test]
fn live_sections_hold_their_width() {
    let mut hostile = sidecar_killed_unseen();
    let name = &b"\x1b[31m\xff`|@all"[..];
    let timeline = hostile.timeline.as_mut().unwrap();
    timeline.processes[0].comm = name.into();
    timeline.cgroups[2].cgroup = format!("{POD}/\u{202e}\u{1b}[2J{}", "日".repeat(90)).as_str().into();
    let counters = std::mem::take(&mut hostile.counters);
    let timeline = hostile.timeline.take();
    hostile.add_live(timeline, counters);
    for incident in [spike(), hostile] {
        let case = Case::new(incident.clone(), diagnose(&incident));
        assert!(!markdown::render(&case).contains(|c| c != '\n' && acts_on_its_surroundings(c)));
        for width in 40..=130 {
            for unicode in [true, false] {
                let shown = text::render(&case, &TextOptions { width, unicode, evidence: true, colour: false });
                assert!(!shown.contains(|c| c != '\n' && acts_on_its_surroundings(c)), "{shown}");
                // Text to paste is not broken; the plot has the same bar at its axis, and is looked at.
                let pastes = |line: &&str| line.trim_start().starts_with(['│', '|']);
                for line in shown.lines().filter(|line| !pastes(line)) {
                    assert!(line.width() <= width, "{} columns at {width}\n{line}", line.width());
                }
            }
        }
    }
}

/// A stored case may hold anything: no order, no numbers, no length that breaks what is made of it.
#[test]
fn hostile_records() {
    let wild = [u64::MAX, 0, KILL, KILL - 1, 1, KILL + 5, u64::MAX - 1];
    let samples =
        rows(&wild, |at, s| s.with(Series::Current, at).with(Series::File, u64::MAX).with(Series::Peak, at / 2));
    for kill in [0, 1, KILL, u64::MAX] {
        let mut incident = recorded(samples.clone());
        incident.at.boot_us = Some(oomscope_core::time::BootTime(kill));
        let record = incident.timeline.as_mut().unwrap().cgroups.first_mut().unwrap();
        (record.base_interval_us, record.role) = (u64::MAX, Role::Victim);
        let case = Case::new(incident.clone(), diagnose(&incident));
        let _ = (text::render(&case, &TextOptions::default()), markdown::render(&case));
    }
}
