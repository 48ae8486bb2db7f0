//! The file: its tables, its versions, and how it is opened.
//!
//! ```text
//! application_id  0x6f6f6d73 ("ooms"): by it the file is known as ours
//! user_version    the version of the tables: the number of MIGRATIONS that made them
//! incident        row       INTEGER  in the order of arrival
//!                 id        TEXT     the case's id, unique
//!                 revision  INTEGER
//!                 at_us     INTEGER  the kill, microseconds since 1970 in UTC; NULL where no clock said it
//!                 stored_us INTEGER  when the row was first written, the same clock
//!                 boot_id, host, killer, victim_comm, victim_pid, limit_cgroup, victim_cgroup, pod_uid, ruleset: copies, for choosing
//!                 body      BLOB     the case, see `blob`
//! ```
//!
//! Pages are as large as SQLite has them (64 KiB): most cases then lie in one piece in the file, where they can be found even
//! if the tables cannot be read any more (see `recover`).

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use oomscope_core::case::Case;
use oomscope_core::diagnosis::Killer;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use super::error::{Error, shown};

/// "ooms"
const APPLICATION_ID: i32 = 0x6f6f_6d73;

/// Each makes the tables of one version into those of the next.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE incident (
        row INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        revision INTEGER NOT NULL,
        at_us INTEGER,
        stored_us INTEGER NOT NULL,
        boot_id TEXT,
        host TEXT,
        killer TEXT NOT NULL,
        victim_comm TEXT,
        victim_pid INTEGER,
        limit_cgroup TEXT,
        victim_cgroup TEXT,
        pod_uid TEXT,
        ruleset TEXT NOT NULL,
        body BLOB NOT NULL
    );
"];

/// Newest first, for `:most` of them.
pub(super) const LIST: &str = "
    SELECT row, id FROM incident
    WHERE (:since IS NULL OR coalesce(at_us, stored_us) >= :since)
      AND (:until IS NULL OR coalesce(at_us, stored_us) < :until)
      AND (:killer IS NULL OR killer = :killer)
      AND (:cgroup IS NULL OR instr(coalesce(limit_cgroup, ''), :cgroup) > 0 OR instr(coalesce(victim_cgroup, ''), :cgroup) > 0)
      AND (:pod IS NULL OR substr(pod_uid, 1, length(:pod)) = :pod)
    ORDER BY coalesce(at_us, stored_us) DESC, row DESC
    LIMIT :most";

/// Ids that begin so, a few.
pub(super) const BEGINS: &str = "
    SELECT row, id FROM incident
    WHERE substr(id, 1, length(?1)) = ?1 OR substr(id, 1, length(?1) + 4) = 'oom-' || ?1
    ORDER BY row DESC LIMIT 6";

/// The oldest, as many as take ?1 bytes, and one at least; never the newest.
pub(super) const FORGET_OLDEST: &str = "
    DELETE FROM incident WHERE row IN (
        SELECT row FROM (
            SELECT row, sum(length(body)) OVER (ORDER BY row ROWS UNBOUNDED PRECEDING) - length(body) AS before FROM incident
        ) WHERE before < ?1 AND row < (SELECT max(row) FROM incident))";

const INSERT: &str = "
    INSERT INTO incident (id, revision, at_us, stored_us, boot_id, host, killer, victim_comm, victim_pid, limit_cgroup,
                          victim_cgroup, pod_uid, ruleset, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
    ON CONFLICT (id) DO UPDATE SET
        revision = excluded.revision, at_us = excluded.at_us, boot_id = excluded.boot_id, host = excluded.host,
        killer = excluded.killer, victim_comm = excluded.victim_comm, victim_pid = excluded.victim_pid,
        limit_cgroup = excluded.limit_cgroup, victim_cgroup = excluded.victim_cgroup, pod_uid = excluded.pod_uid,
        ruleset = excluded.ruleset, body = excluded.body
    WHERE excluded.revision > incident.revision";

/// How long a writer waits for another one.
const PATIENCE: Duration = Duration::from_secs(5);

/// The write-ahead log is folded into the file at this many pages (1 MiB), about every fifth case.
const FOLD_AT_PAGES: i64 = 16;

/// What may be done with an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Full,
    /// It was opened so.
    Reading,
    /// Its tables are of a version of a later oomscope.
    ReadingNewer(i32),
}

impl Access {
    pub(super) fn notice(self, path: &Path) -> Option<String> {
        let Self::ReadingNewer(version) = self else { return None };
        let known = MIGRATIONS.len();
        Some(format!(
            "{} was made by a newer oomscope (version {version} of the tables, this one knows {known}): it is read and not written to",
            shown(path)
        ))
    }
}

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId(pub(super) u64, pub(super) u64);

impl FileId {
    pub(super) fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|file| Self(file.dev(), file.ino()))
    }
}

/// Makes the folder of a file, for the user alone.
pub(super) fn make_folder(path: &Path) -> Result<(), Error> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| Error::File {
        doing: "making the folder",
        path: folder.to_owned(),
        source,
    })
}

/// Opens the file to write, makes it where there is none, and brings its tables up to date.
pub(super) fn open(path: &Path) -> Result<(Connection, Access), Error> {
    let failed = |source| Error::of_sqlite("opening", path, source);
    make_file(path)?;
    must_be_ours(path)?;
    let mut db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    let version = version(&db).map_err(failed)?;
    if version > MIGRATIONS.len() as i32 {
        drop(db);
        return Ok((read_only(path).map_err(failed)?, Access::ReadingNewer(version)));
    }
    prepare(&db).map_err(failed)?;
    check(&db, path)?;
    migrate(&mut db).map_err(failed)?;
    Ok((db, Access::Full))
}

/// Opens the file to read. `None` where there is none.
pub(super) fn open_to_read(path: &Path) -> Result<Option<(Connection, Access)>, Error> {
    if std::fs::metadata(path).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
        return Ok(None);
    }
    must_be_ours(path)?;
    let failed = |source| Error::of_sqlite("opening", path, source);
    let db = read_only(path).map_err(failed)?;
    let version = version(&db).map_err(failed)?;
    if version == 0 {
        return Ok(None);
    }
    check(&db, path)?;
    let access = if version > MIGRATIONS.len() as i32 { Access::ReadingNewer(version) } else { Access::Reading };
    Ok(Some((db, access)))
}

/// Tables as a new file has them, kept in memory.
pub(super) fn in_memory() -> rusqlite::Result<Connection> {
    let mut db = Connection::open_in_memory()?;
    migrate(&mut db)?;
    Ok(db)
}

/// The connection alone, without a look at what is in the file.
pub(super) fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    db.busy_timeout(PATIENCE)?;
    match version(&db).map_err(|error| error.sqlite_error_code()) {
        // Readers of a write-ahead log make a file beside it. Where nothing can be made (a disk image mounted to be looked at)
        // nobody writes either.
        Err(Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)) => immutable(path),
        _ => Ok(db),
    }
}

/// <https://www.sqlite.org/uri.html>; every byte is escaped but those that mean themselves.
fn immutable(path: &Path) -> rusqlite::Result<Connection> {
    use std::fmt::Write as _;
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(byte)),
            // Writing to a string does not fail.
            byte => write!(uri, "%{byte:02x}").unwrap_or_default(),
        }
    }
    uri.push_str("?immutable=1");
    Connection::open_with_flags(uri, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)
}

fn version(db: &Connection) -> rusqlite::Result<i32> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn application_id(db: &Connection) -> rusqlite::Result<i32> {
    db.pragma_query_value(None, "application_id", |row| row.get(0))
}

/// SQLite would make it readable for everybody.
fn make_file(path: &Path) -> Result<(), Error> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(Error::File { doing: "making", path: path.to_owned(), source }),
    }
}

/// A file of somebody else is not written to, and not renamed either.
///
/// The header of SQLite's files has the application id at offset 68: <https://www.sqlite.org/fileformat2.html#the_database_header>.
fn must_be_ours(path: &Path) -> Result<(), Error> {
    let not_ours = |what: &str| Err(Error::NotOurs { path: path.to_owned(), what: what.to_owned() });
    let failed = |source| Error::File { doing: "opening", path: path.to_owned(), source };
    let kind = std::fs::metadata(path).map_err(failed)?.file_type();
    if kind.is_dir() {
        return not_ours("a folder");
    }
    if kind.is_block_device() || kind.is_char_device() || kind.is_fifo() || kind.is_socket() {
        return not_ours("a device or a pipe");
    }
    let mut header = Vec::new();
    OpenOptions::new()
        .read(true)
        .open(path)
        .and_then(|file| file.take(100).read_to_end(&mut header))
        .map_err(failed)?;
    let is_sqlite = header.starts_with(b"SQLite format 3\0");
    match header.get(68..72) {
        Some(id) if is_sqlite && id != APPLICATION_ID.to_be_bytes() => not_ours("another program's database"),
        _ => Ok(()),
    }
}

/// How this process uses the file. What is a property of the file itself must be set before its first table.
fn prepare(db: &Connection) -> rusqlite::Result<()> {
    db.busy_timeout(PATIENCE)?;
    db.pragma_update(None, "page_size", 65536)?;
    db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    // Before the write-ahead log, so that it is in the file itself: there `must_be_ours` looks for it, also after a crash.
    if application_id(db)? == 0 {
        db.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    // A file system without shared memory (some network ones) answers with another mode, which is as safe and slower.
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "wal_autocheckpoint", FOLD_AT_PAGES)?;
    db.pragma_update(None, "journal_size_limit", FOLD_AT_PAGES * 65536)?;
    // What was forgotten is gone: command lines may hold secrets.
    db.pragma_update(None, "secure_delete", "ON")
}

fn migrate(db: &mut Connection) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version = version(&transaction)?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(0)) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    transaction.commit()
}

/// Whether the tables hold together. The rows have checksums of their own.
fn check(db: &Connection, path: &Path) -> Result<(), Error> {
    let said: String = db
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|source| Error::of_sqlite("checking", path, source))?;
    if said == "ok" { Ok(()) } else { Err(Error::Damaged { path: path.to_owned(), why: said.replace('\n', " ") }) }
}

/// Writes the row of a case; 0 where the one that is there is as new.
pub(super) fn insert(db: &Connection, case: &Case, body: &[u8], stored: Timestamp) -> rusqlite::Result<usize> {
    let incident = &case.incident;
    let report = incident.report();
    let victim = report.victims.first();
    db.prepare(INSERT)?.execute(params![
        case.id,
        case.revision,
        incident.at.wall.map(Timestamp::as_microsecond),
        stored.as_microsecond(),
        incident.origin.boot_id,
        incident.origin.host,
        killer_name(case.diagnosis.killer),
        victim.and_then(|v| v.comm.as_ref()).map(|comm| comm.0.to_lossy()),
        victim.map(|v| v.pid),
        report.limit_cgroup.as_ref().map(|path| path.to_lossy()),
        report.victim_cgroup.as_ref().map(|path| path.to_lossy()),
        incident.identity.as_ref().and_then(|identity| identity.pod_uid.as_ref()),
        case.ruleset,
        body,
    ])
}

/// As in the JSON: `container_limit`.
pub(crate) fn killer_name(killer: Killer) -> String {
    let name = serde_json::to_value(killer).ok();
    name.as_ref().and_then(|name| name.as_str()).unwrap_or("unknown").to_owned()
}
