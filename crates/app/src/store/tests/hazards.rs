//! What a machine does to a process that writes: full and read-only disks, SIGKILL.

use std::io::Write as _;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::*;

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

/// A store on a file system that is mounted read-only can be read.
#[test]
#[allow(clippy::print_stderr, reason = "a test that did nothing must not look like one that passed")]
fn a_read_only_disk() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED a_read_only_disk: may not mount a tmpfs here");
        return;
    };
    let path = disk.0.path().join("in cidents?#%.db");
    let mut store = opened(&path).store;
    store.put(&case(0)).unwrap();
    drop(store);
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.0.path()).status();
    assert!(remounted.unwrap().success());
    assert_eq!(readable(&Store::open_to_read(&path).unwrap().unwrap().store), [0]);
    let error = Store::open(&path, ALL).map(drop).unwrap_err();
    assert!(error.to_string().starts_with("opening"), "{error}");
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
            .args(["--exact", "store::tests::hazards::writes_until_killed", "--ignored", "--nocapture"])
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
