//! The store: what is put is there.

mod damage;
mod hazards;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use oomscope_core::case::Case;
use oomscope_core::diagnosis::diagnose;
use oomscope_core::evidence::{KernelReport, Victim};
use oomscope_core::incident::{Incident, Origin};
use oomscope_core::time::{BootTime, When};
use tempfile::TempDir;

use super::*;

/// 2026-04-04T03:41:03Z
const FIRST: i64 = 1_775_274_063;

/// Forgets nothing.
const ALL: Retention = Retention { max_age: Duration::MAX, max_bytes: u64::MAX };

/// The `n`th kill of a boot, a second after the one before; as large as a real one, and hardly compressible.
fn case(n: u32) -> Case {
    let mut noise = u64::from(n) + 1;
    let tasks: Vec<String> = (0..400)
        .map(|_| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{noise:016x}")
        })
        .collect();
    let report = KernelReport {
        victims: vec![Victim { pid: 1000 + n, comm: Some("java".into()), ..Victim::default() }],
        limit_cgroup: Some(format!("/kubepods/pod{n}/x").as_str().into()),
        ..KernelReport::default()
    };
    let seconds = u64::from(n);
    let incident = Incident {
        at: When {
            boot_us: Some(BootTime(seconds * 1_000_000)),
            wall: Timestamp::from_second(FIRST + i64::from(n)).ok(),
            wall_local: None,
        },
        origin: Origin {
            source: "live".to_owned(),
            boot_id: Some("0123456789abcdef".to_owned()),
            file: Some(tasks.join("")),
            ..Origin::default()
        },
        kills: vec![report],
        ..Incident::default()
    };
    let diagnosis = diagnose(&incident);
    Case::new(incident, diagnosis)
}

fn opened(path: &Path) -> Opened {
    Store::open(path, ALL).unwrap()
}

fn ids(store: &Store, wanted: &Wanted) -> Vec<String> {
    store.list(wanted).unwrap().into_iter().map(|entry| entry.id).collect()
}

/// The numbers of the cases that can be read back whole.
#[track_caller]
fn readable(store: &Store) -> Vec<u32> {
    let entries = store.list(&Wanted::default()).unwrap();
    entries
        .iter()
        .filter_map(|entry| store.read(entry).ok())
        .map(|read| {
            let n = read.incident.report().victims[0].pid - 1000;
            assert_eq!(read, case(n));
            n
        })
        .collect()
}

/// A folder with a store of cases 0 to `count`, closed.
fn store_of(count: u32) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("incidents.db");
    let Opened { mut store, notices } = opened(&path);
    assert_eq!(notices, [""; 0]);
    for n in 0..count {
        store.put(&case(n)).unwrap();
    }
    (folder, path)
}

/// What is put is read back the same, oldest first, by another opening of the file.
#[test]
fn what_is_put_is_there() {
    let (_folder, path) = store_of(5);
    let Opened { store, notices } = opened(&path);
    assert_eq!(notices, [""; 0]);
    assert_eq!(readable(&store), [0, 1, 2, 3, 4]);
    assert_eq!(store.count().unwrap(), 5);
}

/// A higher revision replaces a lower one; an equal or lower one never does.
#[test]
fn the_highest_revision_is_kept() {
    let folder = TempDir::new().unwrap();
    let mut store = opened(&folder.path().join("incidents.db")).store;
    let revision = |revision: u32| Case { revision, ruleset: format!("rules of {revision}"), ..case(1) };
    for (put, kept, there) in [
        (2, Kept::ThisOne, 2),
        (1, Kept::TheOther, 2),
        (2, Kept::TheOther, 2),
        (5, Kept::ThisOne, 5),
        (4, Kept::TheOther, 5),
    ] {
        assert_eq!(store.put(&revision(put)).unwrap().kept, kept, "{put}");
        let entry = store.find(&case(1).id).unwrap().unwrap();
        assert_eq!(store.read(&entry).unwrap(), revision(there), "{put}");
    }
    assert_eq!(store.count().unwrap(), 1);
}

/// Every filter keeps what it says, and `most` means the newest.
#[test]
fn lists_what_was_asked_for() {
    let (_folder, path) = store_of(6);
    let store = opened(&path).store;
    let at = |n: i64| Timestamp::from_second(FIRST + n).ok();
    let all = ids(&store, &Wanted::default());
    let list = |wanted: Wanted| ids(&store, &wanted);
    assert_eq!(list(Wanted { since: at(4), ..Wanted::default() }), all[4..]);
    assert_eq!(list(Wanted { until: at(2), ..Wanted::default() }), all[..2]);
    assert_eq!(list(Wanted { most: Some(2), ..Wanted::default() }), all[4..]);
    assert_eq!(list(Wanted { cgroup: Some("pod3/".to_owned()), ..Wanted::default() }), all[3..4]);
    let killer = schema::killer_name(case(0).diagnosis.killer);
    assert_eq!(list(Wanted { killer: Some(killer), ..Wanted::default() }), all);
    assert_eq!(list(Wanted { killer: Some("node".to_owned()), ..Wanted::default() }), [""; 0]);
}

/// An id may be shortened as long as one incident has it, and `%` and `_` are no patterns.
#[test]
fn finds_by_the_beginning_of_an_id() {
    let (_folder, path) = store_of(12);
    let store = opened(&path).store;
    let id = |short: &str| store.find(short).unwrap().map(|entry| entry.id);
    assert_eq!(id("oom-01234567-2000000-1002"), Some(case(2).id));
    assert_eq!(id("oom-01234567-2"), Some(case(2).id));
    assert_eq!(id("01234567-2"), Some(case(2).id));
    assert_eq!(id("oom-9"), None);
    assert_eq!(id("oom_0"), None);
    assert_eq!(id("%"), None);
    let error = store.find("oom-01234567-1").unwrap_err().to_string();
    assert!(error.contains("several incidents begin with") && error.contains(&case(11).id), "{error}");
}

/// Only the user can read the file, its journal and the folder that was made for them.
#[test]
fn is_the_users_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state/oomscope/incidents.db");
    let mut store = opened(&path).store;
    store.put(&case(1)).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&path.with_extension("db-wal")), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(path.parent().unwrap().parent().unwrap()), 0o700);
}

/// A reader sees what a writer has put, while both have the file open, and holds it up in nothing.
#[test]
fn reads_while_another_writes() {
    let (_folder, path) = store_of(1);
    let mut writer = opened(&path).store;
    let reader = Store::open_to_read(&path).unwrap().unwrap().store;
    for n in 1..4 {
        let entries = reader.list(&Wanted::default()).unwrap();
        assert_eq!(entries.len(), n as usize);
        writer.put(&case(n)).unwrap();
    }
    assert_eq!(readable(&reader), [0, 1, 2, 3]);
    assert!(matches!({ reader }.put(&case(9)), Err(Error::ReadOnly { .. })));
}

/// The incidents that are too old are forgotten, but for those of a clock that was not set.
#[test]
fn forgets_by_age() {
    let (_folder, path) = store_of(5);
    let retention = Retention { max_age: Duration::from_secs(60), ..ALL };
    let mut store = Store { retention, ..opened(&path).store };
    let mut unset = case(7);
    unset.incident.at.wall = Timestamp::from_second(100).ok();
    store.put(&unset).unwrap();
    assert_eq!(store.prune(Timestamp::from_second(FIRST + 62).unwrap()).unwrap(), 2);
    assert_eq!(ids(&store, &Wanted::default()), [unset.id, case(2).id, case(3).id, case(4).id]);
}

/// The file stays as small as was asked for, by forgetting the oldest, and what it gave up is not left in it.
#[test]
fn forgets_by_size() {
    const MOST: u64 = 1 << 20;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("incidents.db");
    let retention = Retention { max_bytes: MOST, max_age: Duration::MAX };
    let mut store = Store::open(&path, retention).unwrap().store;
    for n in 0..400 {
        store.put(&case(n)).unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() <= MOST, "after {n}");
    }
    let kept = readable(&store);
    assert_eq!(kept.last(), Some(&399));
    assert!(kept.len() > 50 && kept.windows(2).all(|two| two[1] == two[0] + 1), "the newest, without a hole: {kept:?}");
    let tiny = Retention { max_bytes: 1, ..retention };
    drop(store);
    assert_eq!(readable(&Store::open(&path, tiny).unwrap().store), [399], "the newest is always kept");
}

/// Somebody else's database, a folder, a device: refused with a word on what it is, and not touched.
#[test]
fn what_is_not_ours_is_not_touched() {
    let folder = TempDir::new().unwrap();
    let theirs = folder.path().join("theirs.db");
    rusqlite::Connection::open(&theirs)
        .unwrap()
        .execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (1);")
        .unwrap();
    let before = std::fs::read(&theirs).unwrap();
    for (path, what) in [(theirs.as_path(), "database"), (folder.path(), "folder"), (Path::new("/dev/null"), "device")]
    {
        for error in [Store::open(path, ALL).map(drop).unwrap_err(), Store::open_to_read(path).map(drop).unwrap_err()] {
            assert!(matches!(error, Error::NotOurs { .. }) && error.to_string().contains(what), "{error}");
        }
    }
    assert_eq!(std::fs::read(&theirs).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A store of a later version is read, and not written to.
#[test]
fn a_newer_store() {
    let (_folder, path) = store_of(2);
    opened(&path).store.db.pragma_update(None, "user_version", 99).unwrap();
    let before = std::fs::read(&path).unwrap();
    let Opened { mut store, notices } = opened(&path);
    assert!(notices.join("").contains("made by a newer oomscope"), "{notices:?}");
    assert_eq!(readable(&store), [0, 1]);
    assert!(matches!(store.put(&case(5)), Err(Error::ReadOnly { .. })));
    drop(store);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// The file is removed, or replaced, while it is open: the next case goes into the file that has the name now.
#[test]
fn the_file_is_taken_away() {
    let (_folder, path) = store_of(2);
    let mut store = opened(&path).store;
    std::fs::remove_file(&path).unwrap();
    for name in ["incidents.db-wal", "incidents.db-shm"] {
        let _ = std::fs::remove_file(path.with_file_name(name));
    }
    let put = store.put(&case(7)).unwrap();
    assert!(put.notices.join("").contains("was removed or replaced"), "{:?}", put.notices);
    assert_eq!(readable(&opened(&path).store), [7]);
}

/// Not a test: writes the store that the tests of the command line read, as this version makes it. For a new version of the
/// tables make one more beside it; the old ones stay, to be read for ever.
#[test]
#[ignore = "writes tests/cli/store-v1.db.zst"]
fn writes_the_sample() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("incidents.db");
    let mut store = opened(&path).store;
    for scenario in oomscope_testkit::corpus::own_kernel_scenarios() {
        if !["6.1-v2/e", "6.12-v2/f", "6.12-v2/a"].contains(&scenario.id().as_str()) {
            continue;
        }
        for found in oomscope_testkit::explain(&scenario.dmesg().unwrap()) {
            let mut incident = found.incident;
            incident.origin.boot_id = Some("5ca1ab1e-0000-4000-8000-000000000000".to_owned());
            let boot_us = incident.at.boot_us.unwrap().0;
            incident.at.wall = Timestamp::from_microsecond(FIRST * 1_000_000 + i64::try_from(boot_us).unwrap()).ok();
            let diagnosis = diagnose(&incident);
            store.put(&Case { ruleset: "0".to_owned(), ..Case::new(incident, diagnosis) }).unwrap();
        }
    }
    drop(store);
    let packed = zstd::bulk::compress(&std::fs::read(&path).unwrap(), 19).unwrap();
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/store-v1.db.zst"), packed).unwrap();
}
