//! The incidents of this machine, kept in one SQLite file.
//!
//! What shaped it: an incident must survive the machine going down a moment after the kill, so every [`Store::put`] is a
//! committed and synced transaction; a reader (`oomscope incidents`) must never hold up the watcher, so the journal is a
//! write-ahead log; and a broken file must never keep the watcher from running, so what can be read of it is carried over
//! into a fresh one (see [`recover`]).
//!
//! One row a case, by its id. The row holds the case as its line of JSON, compressed with zstd and its checksum; the other
//! columns are copies for listing and choosing. The file is the current user's alone (0600): command lines may hold secrets.
//!
//! A process opens a file once at a time: SQLite's locks are those of POSIX, and the look at the header that [`Store::open`]
//! takes would let go of those of another opening.

#![allow(dead_code, reason = "the writing half is for the watcher")]

mod blob;
mod error;
mod place;
mod recover;
mod retention;
mod schema;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Instant;

use jiff::Timestamp;
use oomscope_core::case::Case;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

pub(crate) use error::Error;
pub(crate) use place::place;
pub(crate) use retention::Retention;
use schema::Access;
pub(crate) use schema::killer_name;

/// The incidents of one file.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    db: Connection,
    access: Access,
    retention: Retention,
    /// Which file `db` is, so that one put in its place is noticed.
    file: Option<schema::FileId>,
    pruned: Option<Instant>,
}

/// An open store, and what the user should know of how it was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: Store,
    /// Whole sentences for standard error; empty where all is as expected.
    pub(crate) notices: Vec<String>,
}

/// What became of a case that was put.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) kept: Kept,
    /// As [`Opened::notices`]: the file was found damaged or gone, and replaced.
    pub(crate) notices: Vec<String>,
}

/// Which of two cases with the same id is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The case that was put.
    ThisOne,
    /// The one that was there: its revision is as high or higher.
    TheOther,
}

/// Which cases to list. The default is all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Not before this instant.
    pub(crate) since: Option<Timestamp>,
    /// Before this instant.
    pub(crate) until: Option<Timestamp>,
    /// Name of the killer as in the JSON (`container_limit`).
    pub(crate) killer: Option<String>,
    /// Any part of the path of the limit's cgroup or the victim's.
    pub(crate) cgroup: Option<String>,
    /// The pod's uid or its beginning.
    pub(crate) pod: Option<String>,
    /// Only so many, the newest ones.
    pub(crate) most: Option<u64>,
}

/// A case that is kept, to be read with [`Store::read`]: a case may be large, a list of them more so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    row: i64,
    pub(crate) id: String,
}

impl Store {
    /// Opens the file to read and write, and makes it (and the folder it is in) where there is none.
    ///
    /// A damaged file is set aside and what could be read of it carried over; a notice says so. A file of a newer oomscope is
    /// opened for reading only, which a notice says too.
    ///
    /// # Errors
    /// [`Error::NotOurs`] for somebody else's database, a folder and the like, none of which is touched; [`Error::Full`]; and
    /// what the file system says.
    pub(crate) fn open(path: &Path, retention: Retention) -> Result<Opened, Error> {
        schema::make_folder(path)?;
        let mut notices = Vec::new();
        let (db, access) = match schema::open(path) {
            Err(error) if error.is_damage() => {
                notices.push(recover::replace(path, &error)?);
                schema::open(path)?
            }
            other => other?,
        };
        notices.extend(access.notice(path));
        let file = schema::FileId::of(path);
        let mut store = Self { path: path.to_owned(), db, access, retention, file, pruned: None };
        if store.access == Access::Full {
            store.prune(Timestamp::now())?;
        }
        Ok(Opened { store, notices })
    }

    /// Opens a file that is there for reading, and changes nothing in it. `None` where there is none.
    ///
    /// Of a damaged file what can be read is there; a notice says so.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub(crate) fn open_to_read(path: &Path) -> Result<Option<Opened>, Error> {
        let mut notices = Vec::new();
        let (db, access) = match schema::open_to_read(path) {
            Ok(None) => return Ok(None),
            Ok(Some(opened)) => opened,
            Err(error) if error.is_damage() => {
                let (db, notice) = recover::into_memory(path, &error)?;
                notices.push(notice);
                (db, Access::Reading)
            }
            Err(error) => return Err(error),
        };
        notices.extend(access.notice(path));
        let store =
            Self { path: path.to_owned(), db, access, retention: Retention::default(), file: None, pruned: None };
        Ok(Some(Opened { store, notices }))
    }

    /// Keeps a case, on disk when this returns, unless one of the same id and as high a revision is there: what a watcher saw
    /// is not replaced by what a later one reads of the same kill in the log.
    ///
    /// # Errors
    /// [`Error::Full`]: nothing was changed, and it can be tried again. [`Error::ReadOnly`] for a store of a newer oomscope.
    pub(crate) fn put(&mut self, case: &Case) -> Result<Put, Error> {
        if self.access != Access::Full {
            return Err(Error::ReadOnly { path: self.path.clone() });
        }
        let mut notices = self.open_again_if_gone()?;
        let kept = match self.insert(case) {
            Err(error) if error.is_damage() => {
                self.let_go()?;
                notices.push(recover::replace(&self.path, &error)?);
                notices.extend(self.open_again()?);
                self.insert(case)?
            }
            other => other?,
        };
        self.prune_when_due();
        Ok(Put { kept, notices })
    }

    /// What is kept, oldest first: the order in which logs and `explain` tell it.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(crate) fn list(&self, wanted: &Wanted) -> Result<Vec<Entry>, Error> {
        let mut query = self.db.prepare(schema::LIST).map_err(|e| self.reading(e))?;
        let limit = wanted.most.map_or(-1, |most| i64::try_from(most).unwrap_or(i64::MAX));
        let parameters = named_params! {
            ":since": wanted.since.map(Timestamp::as_microsecond),
            ":until": wanted.until.map(Timestamp::as_microsecond),
            ":killer": wanted.killer,
            ":cgroup": wanted.cgroup,
            ":pod": wanted.pod,
            ":most": limit,
        };
        let rows = query.query_map(parameters, entry).map_err(|e| self.reading(e))?;
        let mut entries = rows.collect::<Result<Vec<_>, _>>().map_err(|e| self.reading(e))?;
        entries.reverse();
        Ok(entries)
    }

    /// The case of an entry.
    ///
    /// # Errors
    /// [`Error::BadRow`] where it is damaged.
    pub(crate) fn read(&self, entry: &Entry) -> Result<Case, Error> {
        let blob: Vec<u8> = self
            .db
            .query_row("SELECT body FROM incident WHERE row = ?1", [entry.row], |row| row.get(0))
            .map_err(|e| self.reading(e))?;
        blob::unpack(&blob).map(|(case, _)| case).map_err(|source| Error::BadRow {
            path: self.path.clone(),
            id: entry.id.clone(),
            source,
        })
    }

    /// The entry with this id, or the only one whose id begins so (with or without `oom-`).
    ///
    /// # Errors
    /// [`Error::Ambiguous`] where there are several.
    pub(crate) fn find(&self, id: &str) -> Result<Option<Entry>, Error> {
        let exact = self.db.query_row("SELECT row, id FROM incident WHERE id = ?1", [id], entry).optional();
        if let Some(exact) = exact.map_err(|e| self.reading(e))? {
            return Ok(Some(exact));
        }
        let mut query = self.db.prepare(schema::BEGINS).map_err(|e| self.reading(e))?;
        let rows = query.query_map([id], entry).map_err(|e| self.reading(e))?;
        let mut found = rows.collect::<Result<Vec<_>, _>>().map_err(|e| self.reading(e))?;
        if found.len() > 1 {
            let ids = found.into_iter().map(|entry| entry.id).collect();
            return Err(Error::Ambiguous { prefix: id.to_owned(), ids });
        }
        Ok(found.pop())
    }

    /// How many cases are kept.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(crate) fn count(&self) -> Result<u64, Error> {
        let count: i64 =
            self.db.query_row("SELECT count(*) FROM incident", [], |row| row.get(0)).map_err(|e| self.reading(e))?;
        Ok(count.unsigned_abs())
    }

    fn insert(&self, case: &Case) -> Result<Kept, Error> {
        let body = blob::pack(case).map_err(|source| Error::Packing { id: case.id.clone(), source })?;
        let stored = Timestamp::now();
        schema::insert(&self.db, case, &body, stored)
            .map(|changed| if changed == 0 { Kept::TheOther } else { Kept::ThisOne })
            .map_err(|source| Error::of_sqlite("writing to", &self.path, source))
    }

    /// The file may have been removed, or replaced by another process that found it damaged: then what is written to the one
    /// that is open here is lost.
    fn open_again_if_gone(&mut self) -> Result<Vec<String>, Error> {
        let now = schema::FileId::of(&self.path);
        if now.is_some() && now == self.file {
            return Ok(Vec::new());
        }
        let mut notices = vec![format!("{} was removed or replaced; opened anew", self.path.display())];
        notices.extend(self.open_again()?);
        Ok(notices)
    }

    fn open_again(&mut self) -> Result<Vec<String>, Error> {
        self.let_go()?;
        let Opened { store, notices } = Self::open(&self.path, self.retention)?;
        *self = store;
        Ok(notices)
    }

    /// Closes the file. What closes a file last removes the journal beside it, by its name: once another file has taken the
    /// place of this one, the journal is that one's.
    fn let_go(&mut self) -> Result<(), Error> {
        let nothing = schema::in_memory().map_err(|e| self.reading(e))?;
        self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(|e| self.reading(e))?;
        self.db = nothing;
        self.file = None;
        Ok(())
    }

    fn reading(&self, source: rusqlite::Error) -> Error {
        Error::of_sqlite("reading", &self.path, source)
    }
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry { row: row.get(0)?, id: row.get(1)? })
}
