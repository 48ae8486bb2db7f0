//! The store: what is put is there, whatever happens to the process, the disk and the file.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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

/// The one file in the folder whose name has this in it.
fn aside(path: &Path) -> PathBuf {
    let entries = std::fs::read_dir(path.parent().unwrap()).unwrap();
    let mut names = entries.map(|entry| entry.unwrap().path()).filter(|p| p.to_string_lossy().contains(".db.damaged-"));
    names.find(|name| !name.to_string_lossy().ends_with("-wal")).unwrap()
}

/// A closed store of 60 cases, damaged as told: opened to write it is replaced, with as many cases as could be read, and
/// the damaged file is kept as it was.
#[track_caller]
fn recovers(damage: impl Fn(&mut Vec<u8>), at_least: usize) -> String {
    let (_folder, path) = store_of(60);
    let mut bytes = std::fs::read(&path).unwrap();
    damage(&mut bytes);
    std::fs::write(&path, &bytes).unwrap();

    let read = Store::open_to_read(&path).unwrap().unwrap();
    let found = readable(&read.store);
    assert!(found.len() >= at_least, "a reader found {}", found.len());
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "a reader changes nothing");
    drop(read);

    let Opened { mut store, notices } = opened(&path);
    assert_eq!(readable(&store), found);
    let notice = notices.join("\n");
    assert!(notice.contains("is damaged") && notice.contains("set aside as"), "{notice}");
    assert!(notice.contains(&found.len().to_string()), "{} in: {notice}", found.len());
    assert_eq!(std::fs::read(aside(&path)).unwrap(), bytes);
    store.put(&case(100)).unwrap();
    drop(store);
    let again = opened(&path);
    assert_eq!(again.notices, [""; 0]);
    assert_eq!(readable(&again.store).len(), found.len() + 1);
    notice
}

/// A store of which nothing is left but noise.
#[test]
fn garbage() {
    recovers(|bytes| bytes.fill(b'x'), 0);
    recovers(|bytes| *bytes = b"these are my notes".to_vec(), 0);
}

/// The header is lost, as when the first page of a file system is: the cases themselves are still in the file.
#[test]
fn the_header_is_lost() {
    recovers(|bytes| bytes[..4096].fill(0), 55);
    recovers(|bytes| bytes[..65536].fill(0xff), 55);
}

/// The end of the file is gone.
#[test]
fn truncated() {
    recovers(|bytes| bytes.truncate(bytes.len() * 3 / 4), 20);
    recovers_if_noticed(|bytes| bytes.truncate(bytes.len() - 1), 59);
}

/// The inner page of a table, and one of its leaves, are overwritten: the rows on the other pages are saved.
#[test]
fn pages_are_overwritten() {
    for page in 1..6 {
        recovers_if_noticed(|bytes| bytes[page * 65536..][..4096].fill(0xa5), 35);
    }
}

/// As [`recovers`], or the damage is where nothing lay.
#[track_caller]
fn recovers_if_noticed(damage: impl Fn(&mut Vec<u8>), at_least: usize) {
    let (_folder, path) = store_of(60);
    let mut bytes = std::fs::read(&path).unwrap();
    damage(&mut bytes);
    std::fs::write(&path, &bytes).unwrap();
    let Opened { mut store, .. } = opened(&path);
    assert!(readable(&store).len() >= at_least, "{} are left", readable(&store).len());
    store.put(&case(100)).unwrap();
}

/// A flipped bit, wherever it is: nothing wrong is ever read, little is lost, and the store goes on.
#[test]
fn flipped_bits() {
    let (_folder, path) = store_of(60);
    let whole = std::fs::read(&path).unwrap();
    let folder = TempDir::new().unwrap();
    for step in 0..40 {
        let path = folder.path().join(format!("{step}.db"));
        let mut bytes = whole.clone();
        let at = (whole.len() / 40 * step + 97 * step).min(whole.len() - 1);
        bytes[at] ^= 0x10;
        std::fs::write(&path, &bytes).unwrap();
        match Store::open(&path, ALL) {
            Ok(Opened { mut store, .. }) => {
                assert!(readable(&store).len() >= 40, "bit flipped at {at}: {} are left", readable(&store).len());
                store.put(&case(100)).unwrap();
            }
            // In the header, where it says whose file it is.
            Err(error) => assert!(matches!(error, Error::NotOurs { .. }) && at < 100, "{at}: {error}"),
        }
    }
}

/// A row that is damaged says so by its id, and the others are read.
#[test]
fn one_bad_row() {
    let (_folder, path) = store_of(3);
    let store = opened(&path).store;
    store.db.execute("UPDATE incident SET body = zeroblob(50) WHERE row = 2", []).unwrap();
    assert_eq!(readable(&store), [0, 2]);
    let entry = store.find(&case(1).id).unwrap().unwrap();
    let error = store.read(&entry).unwrap_err().to_string();
    assert!(error.contains(&case(1).id), "{error}");
}

/// An empty file is a store in which nothing is yet.
#[test]
fn an_empty_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("incidents.db");
    std::fs::write(&path, b"").unwrap();
    assert!(Store::open_to_read(&path).unwrap().is_none());
    let Opened { mut store, notices } = opened(&path);
    assert_eq!(notices, [""; 0]);
    store.put(&case(0)).unwrap();
    assert_eq!(readable(&store), [0]);
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

/// A file system of 8 MiB, of this test alone.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "oomscope-test"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// A full disk is told as such, costs nothing that was stored, and when there is room again the store goes on.
#[test]
#[allow(clippy::print_stderr, reason = "a test that did nothing must not look like one that passed")]
fn a_full_disk() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED a_full_disk: may not mount a tmpfs here");
        return;
    };
    let path = disk.0.path().join("incidents.db");
    let ballast = disk.0.path().join("ballast");
    let mut store = opened(&path).store;
    store.put(&case(0)).unwrap();
    let mut filler = std::fs::File::create(&ballast).unwrap();
    while filler.write_all(&[1; 4096]).is_ok() {}

    let mut stored = 1;
    let error = loop {
        match store.put(&case(stored)) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
    assert!(error.to_string().contains("no space left"), "{error}");
    assert!(matches!(store.put(&case(stored)), Err(Error::Full { .. })));
    assert_eq!(readable(&store), (0..stored).collect::<Vec<_>>());

    drop(filler);
    std::fs::remove_file(&ballast).unwrap();
    store.put(&case(stored)).unwrap();
    drop(store);
    let Opened { store, notices } = opened(&path);
    assert_eq!(notices, [""; 0]);
    assert_eq!(readable(&store), (0..=stored).collect::<Vec<_>>());
}

const CHILD: &str = "OOMSCOPE_TEST_STORE";

/// Not a test: what [`killed_while_writing`] kills. Says the number of each case that was put.
#[test]
#[ignore = "run by killed_while_writing"]
#[allow(clippy::print_stdout, reason = "read by the test that started it")]
fn writes_until_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let mut store = opened(Path::new(&path)).store;
    for n in 0.. {
        store.put(&case(n)).unwrap();
        println!("put {n}");
    }
}

/// Everything that was acknowledged before a SIGKILL is there after it, and the file is whole.
#[test]
fn killed_while_writing() {
    use std::io::BufRead as _;
    let folder = TempDir::new().unwrap();
    for round in 0..4 {
        let path = folder.path().join(format!("{round}.db"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::writes_until_killed", "--ignored", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let number = |line: &str| line.strip_prefix("put ").and_then(|n| n.parse::<u32>().ok());
        let enough = 5 + 23 * round;
        while number(&lines.next().unwrap().unwrap()).is_none_or(|n| n < enough) {}
        child.kill().unwrap();
        child.wait().unwrap();
        let acknowledged = lines.map_while(Result::ok).filter_map(|line| number(&line)).last().unwrap_or(enough);
        let Opened { store, notices } = opened(&path);
        assert_eq!(notices, [""; 0]);
        let kept = readable(&store);
        assert!(kept.len() as u32 > acknowledged, "{acknowledged} acknowledged, {} kept", kept.len());
    }
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
