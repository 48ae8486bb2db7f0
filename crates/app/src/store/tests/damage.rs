//! Damaged files: what can be read is saved, the damaged file is kept, and the store goes on.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

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

/// Two writers, one of whom has found damage and replaced the file: both go on in the fresh one, and neither takes its journal
/// away when it lets go of the old one.
#[test]
fn replaced_under_another_writer() {
    let (folder, path) = store_of(1);
    let [mut a, mut b] = [opened(&path).store, opened(&path).store];
    a.put(&case(1)).unwrap();
    b.put(&case(2)).unwrap();
    recover::replace(&path, &Error::Damaged { path: path.clone(), why: "a test".to_owned() }).unwrap();
    for (n, store) in [(3, &mut b), (4, &mut a)] {
        let notices = store.put(&case(n)).unwrap().notices;
        assert!(notices.join("").contains("was removed or replaced"), "{notices:?}");
    }
    b.put(&case(5)).unwrap();
    a.put(&case(6)).unwrap();
    // As a crash would leave it.
    let crashed = folder.path().join("crashed.db");
    std::fs::copy(&path, &crashed).unwrap();
    std::fs::copy(folder.path().join("incidents.db-wal"), folder.path().join("crashed.db-wal")).unwrap();
    let Opened { store, notices } = opened(&crashed);
    assert_eq!(notices, [""; 0]);
    assert_eq!(readable(&store), [0, 1, 2, 3, 4, 5, 6]);
}

/// The damage comes while the file is open: the put that meets it mends the store and keeps its case.
#[test]
fn damaged_while_open() {
    let (_folder, path) = store_of(60);
    let mut store = opened(&path).store;
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xa5; 2 * 65536], 65536).unwrap();
    // As if other pages had been read since.
    store.db.execute_batch("PRAGMA shrink_memory").unwrap();
    let put = store.put(&case(100)).unwrap();
    assert!(put.notices.join("").contains("is damaged"), "{:?}", put.notices);
    let kept = readable(&store);
    assert!(kept.len() > 40 && kept.last() == Some(&100), "{kept:?}");
    assert!(store.put(&case(101)).unwrap().notices.is_empty());
}
