//! A case that was written is the same case when it is read again: what `show` and `explain` of saved cases rest on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic, also in its helpers")]

use oomscope_core::case::Case;
use oomscope_core::diagnosis::diagnose;
use oomscope_core::evidence::{Comm, CounterChange, Counters, Limits, Mapping, Process, Snapshot};
use oomscope_core::incident::Incident;
use oomscope_core::incident::timeline::{CgroupRecord, ProcessPoint, ProcessRecord, Rows, Timeline};
use oomscope_core::recorder::Series;
use oomscope_core::report::{TextOptions, json, text};
use oomscope_core::time::BootTime;
use oomscope_core::units::{Bytes, Limit};
use oomscope_testkit::corpus::{own_kernel_scenarios, public_logs};
use oomscope_testkit::explain;

/// Every case of every log of the repository.
fn cases() -> Vec<(String, Case)> {
    let kernel = own_kernel_scenarios().into_iter().flat_map(|s| {
        let logs = [s.kmsg(), s.dmesg()].into_iter().flatten();
        logs.flat_map(|log| explain(&log)).map(|case| (s.id(), case)).collect::<Vec<_>>()
    });
    let public = public_logs().into_iter().flat_map(|log| {
        let cases = explain(&log.log);
        cases.into_iter().map(|case| (log.name.clone(), case)).collect::<Vec<_>>()
    });
    kernel.chain(public).collect()
}

fn again(line: &str) -> Case {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Written and read, nothing is lost and nothing is added, and the same rules come to the same diagnosis and page.
#[test]
fn every_case_survives_its_json() {
    let cases = cases();
    assert!(cases.len() > 50, "only {} cases", cases.len());
    for (name, case) in cases {
        let line = json::line(&case).unwrap();
        let read = again(&line);
        assert_eq!(json::line(&read).unwrap(), line, "{name}");
        if line.contains('\u{fffd}') {
            continue; // see the next test
        }
        assert_eq!(read, case, "{name}");
        assert_eq!(diagnose(&read.incident), case.diagnosis, "{name}");
        let options = TextOptions::default();
        assert_eq!(text::render(&read, &options), text::render(&case, &options), "{name}");
    }
}

/// What only a watcher knows comes back too: the recording, the processes with their snapshots, the counters.
#[test]
fn the_live_parts_survive() {
    let name = || Comm::from(&b"a\xffb"[..]);
    let mut samples = Rows { at_us: vec![BootTime(1), BootTime(2)], ..Rows::default() };
    samples.columns.insert(Series::Current, vec![Some(4096), None]);
    let limits =
        Limits { max_bytes: Some(Limit::At(Bytes(1 << 20))), high_bytes: Some(Limit::Unlimited), ..Limits::default() };
    let record = CgroupRecord { cgroup: "/a".into(), limits, rows: samples, ..CgroupRecord::default() };
    let snapshot = Snapshot {
        process: Process { pid: 7, comm: name(), cmdline: Some("java\0-Xmx1g".into()), ..Process::default() },
        fds: Some([("socket".to_owned(), 3)].into_iter().collect()),
        mappings: Some(vec![Mapping { name: "[heap]".into(), count: 1, ..Mapping::default() }]),
        ..Snapshot::default()
    };
    let process = ProcessRecord {
        pid: 7,
        comm: name(),
        points: vec![ProcessPoint { at_us: BootTime(1), ..ProcessPoint::default() }],
        snapshot: Some(snapshot),
        ..ProcessRecord::default()
    };
    let change = CounterChange {
        cgroup: "/a".into(),
        before: None,
        after: Some(Counters { failcnt: Some(3), ..Counters::default() }),
        usage_bytes: Some(Bytes(5)),
        limits,
        removed: true,
    };
    let incident = Incident {
        timeline: Some(Timeline { cgroups: vec![record], processes: vec![process], ..Timeline::default() }),
        counters: vec![change],
        ..Incident::default()
    };
    let case = Case::new(incident.clone(), diagnose(&incident));
    assert_eq!(again(&json::line(&case).unwrap()), case);
}

/// Of names that are not UTF-8, a process's comes back byte for byte (`comm_hex`). A cgroup's path comes back as it was
/// written, with U+FFFD where bytes were not UTF-8: it is shown, and never opened.
#[test]
fn names_that_are_not_utf8() {
    let log = b"[ 1.0] Memory cgroup out of memory: Killed process 7 (a\xffb) total-vm:4kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB, UID:0 \
        pgtables:4kB oom_score_adj:0\n";
    let mut case = explain(log).remove(0);
    case.incident.kills[0].limit_cgroup = Some((&b"/x\xfe/y"[..]).into());
    let line = json::line(&case).unwrap();
    let read = again(&line);
    assert_eq!(read.incident.report().victims[0].comm.as_ref().unwrap().as_bytes(), b"a\xffb");
    assert_eq!(read.incident.report().limit_cgroup.as_ref().unwrap().as_bytes(), "/x\u{fffd}/y".as_bytes());
    assert_eq!(json::line(&read).unwrap(), line, "once written, it changes no more");
}
