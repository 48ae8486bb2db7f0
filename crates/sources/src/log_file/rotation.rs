//! Which log files are pieces of one log, and in which order they were written.

use std::path::{Path, PathBuf};

/// Where in its log a file stands, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    /// `messages-20240101`, logrotate's `dateext`; digits of date and time as a number.
    Dated(u64),
    /// `kern.log.2`: the larger, the older.
    Numbered(std::cmp::Reverse<u32>),
    /// `kern.log`: being written.
    Current,
}

/// A file as a piece of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    /// The path without rotation mark and compression.
    log: PathBuf,
    age: Age,
}

/// Names that end a compressed piece.
const COMPRESSED: [&str; 6] = [".gz", ".xz", ".zst", ".bz2", ".lz4", ".Z"];
/// One file a boot: pieces of one series, but no text runs on from one into the next.
const ONE_PER_BOOT: [&str; 2] = ["dmesg", "boot.log"];

/// True when `next` takes up the text where `previous` ends, so that a report may begin in one and end in the other.
///
/// Numbered pieces must be neighbours. Dated ones are believed to be: their names do not tell how often the log is rotated.
#[must_use]
pub fn continues(previous: &Path, next: &Path) -> bool {
    let (Some(older), Some(newer)) = (Piece::of(previous), Piece::of(next)) else { return false };
    let one_per_boot = older.log.file_name().is_some_and(|n| ONE_PER_BOOT.iter().any(|one| n == *one));
    if older.log != newer.log || one_per_boot {
        return false;
    }
    match (older.age, newer.age) {
        (Age::Dated(a), Age::Dated(b)) => a < b,
        (Age::Dated(_), Age::Current) => true,
        // logrotate's newest is .1, savelog's .0.
        (Age::Numbered(a), Age::Current) => a.0 <= 1,
        (Age::Numbered(a), Age::Numbered(b)) => a.0.checked_sub(1) == Some(b.0),
        _ => false,
    }
}

/// Brings the pieces of each log together at the place of the first of them, oldest first; all else stays in its order.
pub(super) fn order_by_age<T>(files: Vec<T>, path: impl Fn(&T) -> Option<&Path>) -> Vec<T> {
    let mut logs: Vec<PathBuf> = Vec::new();
    let mut keyed: Vec<((usize, Age), T)> = Vec::with_capacity(files.len());
    let mut places = std::collections::HashMap::new();
    for file in files {
        let piece = path(&file).and_then(Piece::of);
        let (log, age) = piece.map_or((None, Age::Current), |p| (Some(p.log), p.age));
        let place = match log {
            Some(log) => *places.entry(log.clone()).or_insert_with(|| {
                logs.push(log);
                logs.len()
            }),
            None => {
                logs.push(PathBuf::new());
                logs.len()
            }
        };
        keyed.push(((place, age), file));
    }
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, file)| file).collect()
}

impl Piece {
    /// `None` for standard input and names that are not UTF-8.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str().filter(|n| *n != "-")?;
        let name = COMPRESSED.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let (log, age) =
            rotated(name).or_else(|| rotated_before_extension(name)).unwrap_or((name.to_owned(), Age::Current));
        Some(Self { log: path.with_file_name(log), age })
    }
}

/// `kern.log.2`, `messages-20240101`, `messages.2024-01-01`, `messages-20240101-1704067200`.
fn rotated(name: &str) -> Option<(String, Age)> {
    if let Some((log, mark)) = name.rsplit_once('.')
        && let Some(age) = numbered(mark).or_else(|| dated(mark))
    {
        return Some((log.to_owned(), age));
    }
    // The date itself may hold dashes: try the leftmost that leaves one.
    name.match_indices('-').find_map(|(at, _)| {
        let (log, mark) = (name.get(..at)?, name.get(at + 1..)?);
        Some((log.to_owned(), dated(mark)?)).filter(|_| !log.is_empty())
    })
}

/// `kern-20240101.log`, `kern.1.log`: logrotate's `extension .log`.
fn rotated_before_extension(name: &str) -> Option<(String, Age)> {
    let stem = name.strip_suffix(".log")?;
    let (log, age) = rotated(stem)?;
    Some((format!("{log}.log"), age))
}

fn numbered(mark: &str) -> Option<Age> {
    let short = (1..=4).contains(&mark.len()) && mark.bytes().all(|b| b.is_ascii_digit());
    short.then(|| mark.parse().ok().map(|n| Age::Numbered(std::cmp::Reverse(n)))).flatten()
}

/// A date of eight digits with or without dashes, and a time or epoch after it.
fn dated(mark: &str) -> Option<Age> {
    let digits: String = mark.chars().filter(char::is_ascii_digit).collect();
    let shape = mark.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | '_'))
        && mark.starts_with(|c: char| c.is_ascii_digit())
        && (8..=18).contains(&digits.len());
    let year: u32 = digits.get(..4)?.parse().ok()?;
    let month: u32 = digits.get(4..6)?.parse().ok()?;
    // Padded on the right, so that a date with a time comes after the bare date.
    (shape && (1970..2200).contains(&year) && (1..=12).contains(&month))
        .then(|| format!("{digits:0<18}").parse().ok().map(Age::Dated))
        .flatten()
}
