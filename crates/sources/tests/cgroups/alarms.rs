//! Alarms of real cgroups.

use std::time::{Duration, Instant};

use oomscope_core::units::Bytes;
use oomscope_sources::cgroup::{Alarm, AlarmKind, Alarms, CgroupFiles, PeakReset, Version};

use crate::Own;

const KEY: u64 = 7;

/// A real kill rings within a second, in a thread that was waiting before the cgroup was registered.
#[test]
fn a_kill_rings() {
    let Some(own) = Own::limited_to(16) else { return };
    let alarms = Alarms::new(&own.hierarchy).unwrap();
    let mut files = own.files(PeakReset::PerFile);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| (alarms.wait(Some(Duration::from_secs(20))).unwrap(), Instant::now()));
        alarms.watch(KEY, &files, None).unwrap();
        let killed = !own.spike(64).wait().unwrap().success();
        let ended = Instant::now();
        let (rang, at) = waiter.join().unwrap();
        let kind = if own.hierarchy.version() == Version::V1 { AlarmKind::Oom } else { AlarmKind::Events };
        assert!(killed);
        assert_eq!(rang, [Alarm { key: KEY, kind }]);
        assert!(at.saturating_duration_since(ended) < Duration::from_secs(1));
    });
    assert_eq!(files.counters().unwrap().local.unwrap().oom_kill, Some(1));
}

/// The threshold rings before the limit is met, and where it has been moved, at its new place only.
#[test]
fn a_threshold_rings() {
    let Some(own) = Own::limited_to(96) else { return };
    if own.hierarchy.version() == Version::V2 {
        return;
    }
    let alarms = Alarms::new(&own.hierarchy).unwrap();
    let files = own.files(PeakReset::PerFile);
    alarms.watch(KEY, &files, Some(Bytes(20 << 20))).unwrap();
    assert!(own.spike(40).wait().unwrap().success());
    let threshold = Alarm { key: KEY, kind: AlarmKind::Threshold };
    assert_eq!(alarms.wait(Some(Duration::from_secs(1))).unwrap(), [threshold]);

    alarms.watch(KEY, &files, Some(Bytes(80 << 20))).unwrap();
    assert!(own.spike(40).wait().unwrap().success());
    assert_eq!(alarms.wait(Some(Duration::from_millis(50))).unwrap(), []);
    alarms.watch(KEY, &files, None).unwrap();
    assert!(own.spike(85).wait().unwrap().success());
    assert_eq!(alarms.wait(Some(Duration::from_millis(50))).unwrap(), []);
}

/// The removal of a cgroup is not taken for an OOM, and one that was removed is not registered.
#[test]
fn removal_is_no_oom() {
    let Some(own) = Own::limited_to(16) else { return };
    let alarms = Alarms::new(&own.hierarchy).unwrap();
    let folder = own.scratch.folder().join("child");
    std::fs::create_dir(&folder).unwrap();
    let files = CgroupFiles::open(&own.hierarchy, &folder, PeakReset::PerFile).unwrap();
    if own.hierarchy.version() == Version::V1 {
        alarms.watch(KEY, &files, Some(Bytes(8 << 20))).unwrap();
    }
    std::fs::remove_dir(&folder).unwrap();
    let mut rang = Vec::new();
    let until = Instant::now() + Duration::from_millis(300);
    while Instant::now() < until {
        rang.extend(alarms.wait(Some(Duration::from_millis(50))).unwrap());
    }
    assert!(rang.iter().all(|alarm| alarm.kind == AlarmKind::Removed), "{rang:?}");
    assert_eq!(rang.is_empty(), own.hierarchy.version() == Version::V2);
    alarms.forget(KEY);
    assert!(alarms.watch(KEY, &files, None).is_err());
}

/// A wait without end is ended from another thread, and one that begins too late is too.
#[test]
fn waking() {
    let Some(own) = Own::limited_to(16) else { return };
    let alarms = Alarms::new(&own.hierarchy).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| alarms.wait(None).unwrap());
        alarms.wake();
        assert_eq!(waiter.join().unwrap(), []);
    });
    alarms.wake();
    assert_eq!(alarms.wait(None).unwrap(), []);
}
