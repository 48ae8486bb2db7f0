//! What is forgotten, and when: the oldest incidents first, by age and by the size of the file.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;

use super::{Error, Store, schema};

/// How long and how much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Incidents that happened longer ago are forgotten.
    pub(crate) max_age: Duration,
    /// The file is kept at most this large, in bytes, by forgetting the oldest; the newest incident is always kept.
    pub(crate) max_bytes: u64,
}

impl Default for Retention {
    /// 90 days and 256 MiB.
    fn default() -> Self {
        Self { max_age: Duration::from_secs(90 * 86_400), max_bytes: 256 << 20 }
    }
}

/// How often ages are looked at.
const EVERY: Duration = Duration::from_secs(3600);

/// An incident of before then was stamped by a clock that had not been set yet: its age is not known, and it is not
/// forgotten for it. 2020-01-01, before there was an oomscope.
const CLOCK_WAS_SET_US: i64 = 1_577_836_800_000_000;

impl Store {
    /// Forgets what is too old at `now`, and the oldest where the file is too large, and gives the space back to the file
    /// system. Answers how many were forgotten.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::ReadOnly`] and those of the file.
    pub(crate) fn prune(&mut self, now: Timestamp) -> Result<u64, Error> {
        self.pruned = Some(Instant::now());
        let oldest =
            now.as_microsecond().saturating_sub(i64::try_from(self.retention.max_age.as_micros()).unwrap_or(i64::MAX));
        let forgotten = forget(&self.db, oldest, self.retention.max_bytes);
        forgotten.map_err(|source| Error::of_sqlite("forgetting old incidents in", &self.path, source))
    }

    /// The size of the file, in bytes, without its write-ahead log.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(crate) fn size(&self) -> Result<u64, Error> {
        size(&self.db).map_err(|source| Error::of_sqlite("reading", &self.path, source))
    }

    /// After every put: by age once an hour, by size whenever it is too large. What fails here is tried again with the next
    /// put; the case itself is on disk.
    pub(super) fn prune_when_due(&mut self) {
        let due = self.pruned.is_none_or(|at| at.elapsed() >= EVERY);
        if due || self.size().is_ok_and(|size| size > self.retention.max_bytes) {
            let _ = self.prune(Timestamp::now());
        }
    }
}

fn size(db: &Connection) -> rusqlite::Result<u64> {
    let pages: i64 = db.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let page: i64 = db.pragma_query_value(None, "page_size", |row| row.get(0))?;
    Ok(pages.saturating_mul(page).unsigned_abs())
}

fn forget(db: &Connection, oldest_us: i64, max_bytes: u64) -> rusqlite::Result<u64> {
    let by_age = db.execute("DELETE FROM incident WHERE at_us >= ?1 AND at_us < ?2", [CLOCK_WAS_SET_US, oldest_us])?;
    let mut forgotten = by_age;
    if by_age > 0 {
        give_back(db)?;
    }
    // A page is given back when its last row goes: what has to go is not exactly what is too much.
    loop {
        let excess = size(db)?.saturating_sub(max_bytes);
        if excess == 0 {
            break;
        }
        let gone = db.execute(schema::FORGET_OLDEST, [i64::try_from(excess).unwrap_or(i64::MAX)])?;
        if gone == 0 {
            break;
        }
        forgotten += gone;
        give_back(db)?;
    }
    Ok(forgotten as u64)
}

/// Moves the free pages to the end of the file and cuts them off.
fn give_back(db: &Connection) -> rusqlite::Result<()> {
    let mut vacuum = db.prepare("PRAGMA incremental_vacuum")?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    drop(rows);
    // A reader that is at work keeps the log from being cut; the next one to come does it.
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}
