//! The task table: its header names the columns, its rows are numbers and then a name of arbitrary bytes.
//!
//! Source: `dump_tasks()`, `dump_task()` in mm/oom_kill.c. Columns by kernel: `cpu oom_adj` (2.6.27), `oom_score_adj` added
//! (2.6.36), `nr_ptes swapents` (3.7), `nr_pmds` (4.0), `pgtables_bytes` (4.15), `rss_anon rss_file rss_shmem` (6.8).

use bstr::ByteSlice;

use super::COMM_MAX;
use super::scan::{fields, narrow, signed};

/// A numeric column. The name of the process is always the last one and has no entry here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Owner.
    Uid,
    /// Thread group.
    Tgid,
    /// Virtual size, pages.
    TotalVm,
    /// Resident pages.
    Rss,
    /// Resident anonymous pages.
    RssAnon,
    /// Resident file pages.
    RssFile,
    /// Resident shared pages.
    RssShmem,
    /// Page tables, bytes.
    PgtablesBytes,
    /// Page tables of the lowest level, pages.
    NrPtes,
    /// Page tables of the second level, pages.
    NrPmds,
    /// Page tables of the third level, pages.
    NrPuds,
    /// Swapped-out pages.
    Swapents,
    /// The last CPU (2.6).
    Cpu,
    /// −17…15 (2.6).
    OomAdj,
    /// −1000…1000.
    OomScoreAdj,
    /// The process's name, which ends the row.
    Name,
    /// A vendor's own.
    Other,
}

/// The numeric columns after the pid, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns(pub Vec<Column>);

const MOST_COLUMNS: usize = 24;

pub(super) fn header(text: &[u8]) -> Option<Columns> {
    let inside = text.trim_ascii_start().strip_prefix(b"[")?;
    let (pid, rest) = super::scan::split_at(inside, "]")?;
    if pid.trim_ascii() != b"pid" {
        return None;
    }
    let mut columns: Vec<Column> = Vec::new();
    for name in fields(rest).take(MOST_COLUMNS) {
        let ends_before = columns.last() == Some(&Column::Name);
        if ends_before || !name.iter().all(|b| b.is_ascii_lowercase() || *b == b'_') {
            // Something else stands on this line too.
            return None;
        }
        columns.push(column(name));
    }
    // The name has no number; a line that was cut has no name either.
    columns.retain(|column| *column != Column::Name);
    (columns.len() >= 3).then_some(Columns(columns))
}

fn column(name: &[u8]) -> Column {
    match name {
        b"uid" => Column::Uid,
        b"tgid" => Column::Tgid,
        b"total_vm" => Column::TotalVm,
        b"rss" => Column::Rss,
        b"rss_anon" => Column::RssAnon,
        b"rss_file" => Column::RssFile,
        b"rss_shmem" => Column::RssShmem,
        b"pgtables_bytes" => Column::PgtablesBytes,
        b"nr_ptes" => Column::NrPtes,
        b"nr_pmds" => Column::NrPmds,
        b"nr_puds" => Column::NrPuds,
        b"swapents" => Column::Swapents,
        b"cpu" => Column::Cpu,
        b"oom_adj" => Column::OomAdj,
        b"oom_score_adj" => Column::OomScoreAdj,
        b"name" => Column::Name,
        _ => Column::Other,
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// Process id.
    pub pid: u32,
    /// Numbers with their columns; fewer than the table has where the row broke off.
    pub cells: Vec<(Column, i64)>,
    /// `None` where the row broke off before its name.
    pub comm: Option<&'a [u8]>,
}

pub(super) fn row<'a>(text: &'a [u8], columns: Option<&Columns>) -> Option<Row<'a>> {
    let inside = text.trim_ascii_start().strip_prefix(b"[")?;
    let (pid, rest) = narrow(inside.trim_ascii_start())?;
    let rest = rest.trim_start_with(|c| c == ' ').strip_prefix(b"]")?;
    match columns {
        Some(columns) => known_columns(pid, rest, &columns.0),
        None => guessed_columns(pid, rest),
    }
}

fn known_columns<'a>(pid: u32, mut rest: &'a [u8], columns: &[Column]) -> Option<Row<'a>> {
    let mut cells = Vec::with_capacity(columns.len());
    for &column in columns {
        let Some((value, after)) = cell(rest) else { break };
        cells.push((column, value));
        rest = after;
    }
    let whole = cells.len() == columns.len();
    let comm = if whole { comm_at_end(rest) } else { None };
    // Two numbers at the very least: fewer is some other text in brackets.
    (cells.len() >= 2).then_some(Row { pid, cells, comm })
}

/// The name behind the last number: one blank separates them, more belong to it. Pasted text may be padded with blanks on
/// the right; a name that is too long all the same is no name.
fn comm_at_end(rest: &[u8]) -> Option<&[u8]> {
    let comm = rest.strip_prefix(b" ").unwrap_or(rest);
    let comm = if comm.len() > COMM_MAX { comm.trim_ascii_end() } else { comm };
    // The joiner may have put a name of several lines together, which is within the limit as well.
    (comm.len() <= COMM_MAX).then_some(comm)
}

fn cell(text: &[u8]) -> Option<(i64, &[u8])> {
    let trimmed = text.trim_start_with(|c| c == ' ');
    if trimmed.len() == text.len() {
        return None;
    }
    let (value, rest) = signed(trimmed)?;
    (rest.is_empty() || rest.starts_with(b" ")).then_some((value, rest))
}

/// Without a header the number of columns tells the kernel. A row with another number, or without a name, broke off or was
/// damaged.
fn guessed_columns(pid: u32, rest: &[u8]) -> Option<Row<'_>> {
    use Column::*;
    const BY_COUNT: [&[Column]; 4] = [
        &[Uid, Tgid, TotalVm, Rss, Cpu, OomAdj],
        &[Uid, Tgid, TotalVm, Rss, PgtablesBytes, Swapents, OomScoreAdj],
        &[Uid, Tgid, TotalVm, Rss, NrPtes, NrPmds, Swapents, OomScoreAdj],
        &[Uid, Tgid, TotalVm, Rss, RssAnon, RssFile, RssShmem, PgtablesBytes, Swapents, OomScoreAdj],
    ];
    const FEWEST: usize = 4;
    let mut numbers = 0;
    let mut at = rest;
    while let Some((_, after)) = cell(at) {
        numbers += 1;
        at = after;
    }
    if !(FEWEST..=MOST_COLUMNS).contains(&numbers) {
        return None;
    }
    let named = !at.trim_ascii().is_empty();
    let Some(columns) = BY_COUNT.iter().find(|columns| columns.len() == numbers && named) else {
        return Some(Row { pid, cells: Vec::new(), comm: None });
    };
    let mut row = known_columns(pid, rest, columns)?;
    // Seven columns are either those of 3.7 (`nr_ptes`, a small count) or of 4.15 (`pgtables_bytes`, whole pages).
    if let Some(tables) = row.cells.iter_mut().find(|(c, v)| *c == PgtablesBytes && v % 1024 != 0 && columns.len() == 7)
    {
        tables.0 = NrPtes;
    }
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(row: &Row<'_>, column: Column) -> Option<i64> {
        row.cells.iter().find(|(c, _)| *c == column).map(|(_, v)| *v)
    }

    /// A row under its header, with a name that looks like another row.
    #[test]
    fn rows_under_a_header() {
        let columns = header(b"[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name").unwrap();
        assert_eq!(columns.0.len(), 10);
        let r = row(b"[    302]     0   302  1049643     4077     3000     1077         0    81920        0          1000  [1] 0 0 9 9 9", Some(&columns)).unwrap();
        assert_eq!((r.pid, r.comm), (302, Some(&b" [1] 0 0 9 9 9"[..])));
        assert_eq!((named(&r, Column::Rss), named(&r, Column::OomScoreAdj)), (Some(4077), Some(1000)));
    }

    /// A row that breaks off keeps its whole numbers and admits that the name is missing.
    #[test]
    fn a_cut_row() {
        let columns = header(b"[ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name").unwrap();
        let r = row(b"[14881]     0 14881  5063909   119961    1661", Some(&columns)).unwrap();
        assert_eq!((r.cells.len(), r.comm), (5, None));
    }

    /// Without the header the shape of the row tells its columns.
    #[test]
    fn rows_without_a_header() {
        let r = row(b"[14881]     0 14881  5063909   119961    1661   136409          -998 java", None).unwrap();
        assert_eq!(
            (named(&r, Column::NrPtes), named(&r, Column::OomScoreAdj), r.comm),
            (Some(1661), Some(-998), Some(&b"java"[..]))
        );
        let r = row(b"[    302]     0   302  1049643     4077    81920        0          1000 x", None).unwrap();
        assert_eq!(named(&r, Column::PgtablesBytes), Some(81920));
        assert_eq!(row(b"[  123.456789] hello", None), None);
        assert_eq!(row(b"[1] 2", None), None);
    }
}
