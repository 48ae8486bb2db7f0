//! What can go wrong with the store.

use std::io;
use std::path::{Path, PathBuf};

use oomscope_core::text::escape;
use rusqlite::ErrorCode;

/// Says what was attempted, on what, and why it failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file system is full (or the quota, or the limit of a file's size). Nothing was changed; what was there is there.
    #[error("{doing} {}: no space left; nothing was changed", shown(.path))]
    Full { doing: &'static str, path: PathBuf },
    /// What is there is not a store of oomscope. It was not touched.
    #[error("{} is {what}, not a store of oomscope; it was not touched (choose another file with --store)", shown(.path))]
    NotOurs { path: PathBuf, what: String },
    /// A newer oomscope made the store.
    #[error("writing to {}: a newer oomscope made this store, and this one only reads it", shown(.path))]
    ReadOnly { path: PathBuf },
    /// Several ids begin so.
    #[error("several incidents begin with {}: {}", escape(.prefix.as_bytes()), some_of(.ids))]
    Ambiguous { prefix: String, ids: Vec<String> },
    /// One row is damaged; the others may be well.
    #[error("reading the incident {} in {}: {source}", escape(.id.as_bytes()), shown(.path))]
    BadRow { path: PathBuf, id: String, source: io::Error },
    /// The case could not be made into a row.
    #[error("packing the case {}: {source}", escape(.id.as_bytes()))]
    Packing { id: String, source: io::Error },
    /// The file system does not let us.
    #[error("{doing} {}: {source}", shown(.path))]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    /// Whatever else SQLite says.
    #[error("{doing} {}: {source}", shown(.path))]
    Sqlite { doing: &'static str, path: PathBuf, source: rusqlite::Error },
    /// The file is a store of ours no longer, or not whole.
    #[error("{} is damaged: {why}", shown(.path))]
    Damaged { path: PathBuf, why: String },
}

impl Error {
    /// Sorts what SQLite says by what can be done about it.
    pub(super) fn of_sqlite(doing: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { doing, path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged { path, why: source.to_string() }
            }
            _ => Self::Sqlite { doing, path, source },
        }
    }

    pub(super) const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}

pub(super) fn shown(path: &Path) -> String {
    escape(path.as_os_str().as_encoded_bytes())
}

/// The first few, one a line.
fn some_of(ids: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut words: Vec<_> = ids.iter().take(SHOWN).map(|id| escape(id.as_bytes())).collect();
    if ids.len() > SHOWN {
        words.push("…".to_owned());
    }
    words.join(", ")
}
