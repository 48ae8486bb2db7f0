//! What can be read of a damaged file, carried over into a fresh one.
//!
//! Two ways, the second for what the first cannot: the rows one by one by their numbers, so that a broken page costs only the
//! rows on it; and the cases themselves, found in the bytes of the file by the magic number of zstd, whatever has become of
//! the tables around them. Every case has a checksum, so what is saved is whole. The damaged file is renamed, never removed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use memchr::memmem;
use rusqlite::Connection;

use super::error::{Error, shown};
use super::{blob, schema};

/// Puts a fresh file in the place of a damaged one, with what could be read of it. Answers what the user should know.
pub(super) fn replace(path: &Path, why: &Error) -> Result<String, Error> {
    // Follows a link to the file itself, so that the fresh one lies where the user wants it.
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let failed = |doing| move |source| Error::File { doing, path: path.clone(), source };
    let damaged = File::open(path).map_err(failed("opening"))?;
    // Two processes may find the damage at the same time; the second one finds the fresh file in place.
    rustix::fs::flock(&damaged, rustix::fs::FlockOperation::LockExclusive).map_err(|e| failed("locking")(e.into()))?;
    let locked = damaged.metadata().map_err(failed("reading"))?;
    if schema::FileId::of(path) != Some(schema::FileId(locked.dev(), locked.ino())) {
        return Ok(format!("{why}; another process has replaced it meanwhile"));
    }

    let fresh = beside(path, ".fresh");
    remove_with_journal(&fresh);
    let (db, _) = schema::open(&fresh)?;
    let saved = carry_over(path, &db).map_err(|source| Error::of_sqlite("recovering", path, source))?;
    db.close().map_err(|(_, source)| Error::of_sqlite("recovering", path, source))?;

    let aside = free_name(path);
    std::fs::rename(path, &aside).map_err(failed("setting aside"))?;
    // The journal of the old file must never be read into the fresh one.
    if journal(path).exists() {
        std::fs::rename(journal(path), journal(&aside)).map_err(failed("setting aside the journal of"))?;
    }
    let _ = std::fs::remove_file(beside(path, "-shm"));
    std::fs::rename(&fresh, path).map_err(failed("renaming to"))?;
    if let Some(folder) = path.parent() {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(format!("{why}; it is set aside as {}, {} in the fresh one", shown(&aside), saved.in_words()))
}

/// What can be read of a damaged file, in memory: for a reader, which changes nothing.
pub(super) fn into_memory(path: &Path, why: &Error) -> Result<(Connection, String), Error> {
    let failed = |source| Error::of_sqlite("recovering", path, source);
    let db = schema::in_memory().map_err(failed)?;
    let saved = carry_over(path, &db).map_err(failed)?;
    Ok((db, format!("{why}; {} here (`oomscope watch` mends the file when it starts)", saved.in_words())))
}

/// How much was saved.
struct Saved {
    saved: u64,
    /// How many rows there were, where the file still says so.
    of: Option<u64>,
}

impl Saved {
    fn in_words(&self) -> String {
        let Self { saved, of } = self;
        match of {
            Some(of) if of > saved => format!("{saved} of its {of} incidents could be read and are"),
            _ if *saved == 1 => "the 1 incident that could be read is".to_owned(),
            _ => format!("the {saved} incidents that could be read are"),
        }
    }
}

/// Only errors of the fresh file are errors; what cannot be read of the damaged one is what this is about.
fn carry_over(damaged: &Path, fresh: &Connection) -> rusqlite::Result<Saved> {
    let of = rows(damaged, fresh)?;
    for file in [damaged.to_owned(), journal(damaged)] {
        if let Ok(file) = File::open(file) {
            bodies(file, fresh)?;
        }
    }
    let saved: i64 = fresh.query_row("SELECT count(*) FROM incident", [], |row| row.get(0))?;
    Ok(Saved { saved: saved.unsigned_abs(), of })
}

/// More rows than a store has; the numbers of a damaged file may be anything.
const MOST_ROWS: i64 = 1 << 20;

/// Carries over every row that can be fetched by its number. Answers how many there were.
fn rows(damaged: &Path, fresh: &Connection) -> rusqlite::Result<Option<u64>> {
    let Ok(db) = schema::read_only(damaged) else { return Ok(None) };
    let known = row_numbers(&db);
    let (Some(&first), Some(&last)) = (known.first(), known.last()) else { return Ok(None) };
    let Ok(mut fetch) = db.prepare("SELECT body, stored_us FROM incident WHERE row = ?1") else { return Ok(None) };
    for number in first..=last.min(first.saturating_add(MOST_ROWS)) {
        let row = fetch.query_row([number], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?)));
        let Ok((body, stored_us)) = row else { continue };
        if let Ok((case, _)) = blob::unpack(&body) {
            let stored = Timestamp::from_microsecond(stored_us).unwrap_or_else(|_| Timestamp::now());
            schema::insert(fresh, &case, &body, stored)?;
        }
    }
    let counted = db.query_row("SELECT count(*) FROM incident NOT INDEXED", [], |row| row.get::<_, i64>(0));
    Ok(Some(counted.map_or(known.len() as u64, i64::unsigned_abs)))
}

/// From the table, from both ends, and from its index: each stops where it meets the damage.
fn row_numbers(db: &Connection) -> BTreeSet<i64> {
    let mut known = BTreeSet::new();
    for order in ["NOT INDEXED ORDER BY row", "NOT INDEXED ORDER BY row DESC", "ORDER BY id"] {
        let Ok(mut query) = db.prepare(&format!("SELECT row FROM incident {order}")) else { continue };
        let Ok(numbers) = query.query_map([], |row| row.get::<_, i64>(0)) else { continue };
        known.extend(numbers.map_while(Result::ok).take(MOST_ROWS as usize));
    }
    known
}

/// <https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1>
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Cases that lie in one piece in the file: nearly all, a page being 64 KiB. Two pages at a time, so that none is missed for
/// where it begins (in the write-ahead log pages do not begin at multiples of their size).
fn bodies(mut file: File, fresh: &Connection) -> rusqlite::Result<()> {
    const PAGE: usize = 64 << 10;
    let mut window = Vec::with_capacity(2 * PAGE);
    loop {
        let before = window.len();
        if file.by_ref().take(PAGE as u64).read_to_end(&mut window).is_err() || window.len() == before {
            return Ok(());
        }
        let mut at = 0;
        while let Some(found) = window.get(at..).and_then(|rest| memmem::find(rest, &ZSTD)) {
            at += found;
            let Some(frame) = window.get(at..) else { break };
            match blob::unpack(frame) {
                Ok((case, length)) => {
                    schema::insert(fresh, &case, frame.get(..length).unwrap_or(frame), Timestamp::now())?;
                    at += length;
                }
                Err(_) => at += ZSTD.len(),
            }
        }
        window.drain(..window.len().saturating_sub(PAGE));
    }
}

/// `incidents.db.damaged-2026-04-04`, with a number where there is one already.
fn free_name(path: &Path) -> PathBuf {
    let day = Timestamp::now().strftime("%Y-%m-%d");
    let first = beside(path, &format!(".damaged-{day}"));
    let others = (2..).map(|n: u32| beside(path, &format!(".damaged-{day}-{n}")));
    std::iter::once(first.clone()).chain(others).find(|name| !name.exists()).unwrap_or(first)
}

fn journal(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

/// A leftover of a recovery that was interrupted.
fn remove_with_journal(path: &Path) {
    for file in [path.to_owned(), journal(path), beside(path, "-shm")] {
        let _ = std::fs::remove_file(file);
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
