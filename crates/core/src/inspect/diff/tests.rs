use super::*;
use crate::diagnosis::{Counted, MemoryUse};
use crate::evidence::{Counters, Limits, Mapping, Process, Snapshot};
use crate::inspect::{Level, Totals};
use crate::time::BootTime;

const MIB: u64 = 1 << 20;

fn process(pid: u32, started: u64, pss: u64, heap: u64, sockets: u64) -> InspectedProcess {
    let mapping = |name: &str, bytes: u64| Mapping {
        name: name.into(),
        count: 1,
        size_bytes: Bytes(bytes),
        rss_bytes: Some(Bytes(bytes)),
        pss_bytes: Some(Bytes(bytes)),
        ..Mapping::default()
    };
    let snapshot = Snapshot {
        process: Process {
            pid,
            started_ticks: Some(started),
            comm: "app".into(),
            threads: Some(4),
            ..Process::default()
        },
        pss_bytes: Some(Bytes(pss)),
        fds: Some([("socket".to_owned(), sockets)].into_iter().collect()),
        mappings: Some(vec![mapping("[heap]", heap), mapping("/lib/libc.so", MIB)]),
        ..Snapshot::default()
    };
    InspectedProcess { cgroup: "/a".into(), snapshot }
}

/// A look at so many seconds after boot.
fn look(second: u64, anon: u64, shmem: u64, processes: Vec<InspectedProcess>) -> Inspection {
    let stat = [("anon", anon), ("file", shmem + MIB), ("shmem", shmem), ("kernel", 0)];
    let stat = stat.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let usage = anon + shmem + MIB;
    let limit = Limit::At(Bytes(128 * MIB));
    let counters = Counters { failcnt: Some(second), ..Counters::default() };
    let mut totals = Totals::default();
    processes.iter().for_each(|process| totals.add(&process.snapshot));
    let (mappings, fds) = totals.finish();
    Inspection {
        at: When { boot_us: Some(BootTime(second * 1_000_000)), ..When::default() },
        boot_id: Some("b".to_owned()),
        target: Target { cgroup: "/a".into(), inode: Some(7), ..Target::default() },
        levels: vec![Level::new(
            "/a".into(),
            Limits { max_bytes: Some(limit), ..Limits::default() },
            Some(Bytes(usage)),
            None,
            counters,
        )],
        memory: MemoryUse::of_files(&stat, Counted { usage: Some(Bytes(usage)), limit: limit.bytes(), kernel: None }),
        processes,
        mappings,
        fds,
        ..Inspection::default()
    }
}

/// What grew stands first, in the right kind of memory, mapping, process and kind of file, with its rate.
#[test]
fn growth_is_found_where_it_is() {
    let before =
        look(100, 20 * MIB, 8 * MIB, vec![process(1, 5, 10 * MIB, 8 * MIB, 3), process(2, 6, 9 * MIB, MIB, 1)]);
    let after =
        look(400, 50 * MIB, 4 * MIB, vec![process(1, 5, 40 * MIB, 38 * MIB, 8), process(2, 6, 9 * MIB, MIB, 1)]);
    let diff = InspectionDiff::between(&before, &after);
    assert_eq!((diff.elapsed_us, diff.continuity), (Some(300_000_000), Continuity::Same));
    let names: Vec<_> = diff.memory.iter().map(|c| (c.name.to_string(), c.change_bytes)).collect();
    assert_eq!(names, [("anonymous".into(), 30 * MIB as i64), ("tmpfs and shared memory".into(), -4 * MIB as i64)]);
    assert_eq!(diff.memory[0].per_minute_bytes, Some(6 * MIB as i64));
    assert_eq!(diff.segments[0].name.as_bytes(), b"[heap]");
    assert_eq!((diff.segments[0].change_bytes, diff.segments.len()), (30 * MIB as i64, 1));
    assert_eq!(
        diff.fds,
        [CountChange { kind: "socket".into(), before: 4, after: 9, change: 5, per_minute: Some(1.0) }]
    );
    let [grown] = diff.processes.as_slice() else { panic!("{:?}", diff.processes) };
    assert_eq!((grown.pid, grown.measure.as_str(), grown.fds_change), (1, "pss", Some(5)));
    assert_eq!(grown.segment.as_ref().unwrap().name.as_bytes(), b"[heap]");
    assert_eq!(diff.rises(|c| c.failcnt).map(|(_, n)| n).collect::<Vec<_>>(), [300]);
    assert_eq!(serde_json::from_str::<InspectionDiff>(&serde_json::to_string(&diff).unwrap()).unwrap(), diff);
}

/// The forecast counts what cannot be taken back: growing cache fills no limit.
#[test]
fn forecast_leaves_cache_out() {
    let before = look(0, 20 * MIB, 0, vec![]);
    let diff = InspectionDiff::between(&before, &look(60, 30 * MIB, 0, vec![]));
    // 98 MiB of room at 10 MiB a minute.
    let until = diff.forecast.unwrap().until_limit_us;
    assert_eq!(until / 1_000_000, 588);
    let mut cached = look(60, 20 * MIB, 0, vec![]);
    cached.memory.as_mut().unwrap().usage_bytes += 50 * MIB;
    let diff = InspectionDiff::between(&before, &cached);
    assert_eq!((diff.usage.unwrap().change_bytes, diff.forecast), (50 * MIB as i64, None));
}

/// A restart in between is said, by the cgroup, by the processes, by the boot.
#[test]
fn restarts() {
    let before = look(0, MIB, 0, vec![process(1, 5, MIB, MIB, 1)]);
    // The same pid with another start time is another process.
    let after = look(60, MIB, 0, vec![process(1, 99, MIB, MIB, 1)]);
    let diff = InspectionDiff::between(&before, &after);
    assert_eq!(diff.continuity, Continuity::ProcessesReplaced);
    assert_eq!((diff.processes.len(), diff.came.len(), diff.went.len()), (0, 1, 1));
    let change = |change: &dyn Fn(&mut Inspection)| {
        let mut other = before.clone();
        change(&mut other);
        InspectionDiff::between(&before, &other).continuity
    };
    assert_eq!(change(&|i| i.target.inode = Some(8)), Continuity::CgroupReplaced);
    assert_eq!(change(&|i| i.boot_id = Some("c".to_owned())), Continuity::Rebooted);
    assert_eq!(change(&|i| i.target.cgroup = "/b".into()), Continuity::OtherCgroup);
    assert_eq!(change(&|i| i.target.inode = None), Continuity::Same);
    let mut rebooted = before.clone();
    rebooted.boot_id = Some("c".to_owned());
    let diff = InspectionDiff::between(&before, &rebooted);
    assert_eq!((diff.elapsed_us, diff.came.len(), diff.went.len()), (None, 1, 1));
}

/// What one of the looks does not know has not changed to nothing; numbers from an edited file do not overflow.
#[test]
fn unknown_and_absurd() {
    let known = look(0, MIB, 0, vec![process(1, 5, MIB, MIB, 1)]);
    let mut unknown = known.clone();
    (unknown.memory, unknown.mappings, unknown.fds) = (None, None, None);
    let diff = InspectionDiff::between(&known, &unknown);
    assert_eq!((diff.usage, diff.memory.len(), diff.segments.len(), diff.fds.len()), (None, 0, 0, 0));
    let huge = look(1, u64::MAX / 2, 0, vec![process(1, 5, u64::MAX, u64::MAX, u64::MAX)]);
    let diff = InspectionDiff::between(&known, &huge);
    assert_eq!(diff.processes[0].change_bytes, i64::MAX);
    assert_eq!(diff.forecast, None);
}
