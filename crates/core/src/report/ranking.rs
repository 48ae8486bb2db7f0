//! THE RANKING: whom the kernel would have killed in which order, around those that it did kill.

use std::collections::HashSet;

use super::page::Page;
use super::style::Role;
use super::table::{self, Row, Shrink, left, right};
use super::words;
use crate::case::Case;
use crate::evidence::Comm;
use crate::units::Bytes;

/// Rows from the top of the ranking.
const TOP: usize = 6;
/// Victims that are shown although they stand further down.
const VICTIMS_BELOW: usize = 3;

/// A process in the ranking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ranked<'a> {
    pub(super) pid: u32,
    pub(super) comm: &'a Comm,
    /// The kernel's badness; `None` where it cannot be told.
    pub(super) points: Option<i64>,
    pub(super) memory: Option<Bytes>,
    pub(super) adj: Option<i32>,
    /// False: the kernel may not kill it.
    pub(super) eligible: bool,
    pub(super) is_victim: bool,
    pub(super) is_trigger: bool,
}

/// The ranking of the case, worst first; empty where the log had no task table.
pub(super) fn of(_case: &Case) -> Vec<Ranked<'_>> {
    Vec::new()
}

/// What stands beside a row.
pub(super) fn remark(row: &Ranked<'_>) -> String {
    let marks = [(row.is_victim, "victim"), (row.is_trigger, "trigger"), (!row.eligible, "spared")];
    marks.iter().filter(|(holds, _)| *holds).map(|(_, mark)| *mark).collect::<Vec<_>>().join(", ")
}

/// Which rows are shown: the top, and some victims from below it.
pub(super) fn shown(ranking: &[Ranked<'_>]) -> Vec<usize> {
    let below = ranking.iter().enumerate().skip(TOP).filter(|(_, row)| row.is_victim || row.is_trigger);
    (0..ranking.len().min(TOP)).chain(below.map(|(at, _)| at).take(VICTIMS_BELOW)).collect()
}

pub(super) fn write(page: &mut Page, case: &Case) {
    let ranking = of(case);
    if ranking.is_empty() {
        return;
    }
    page.heading("THE RANKING", "the kernel kills the highest score first");
    let columns = [
        left("", 0),
        right("#", 4),
        left("name", 0).shrinking(Shrink::End),
        right("pid", 1),
        right("score", 0),
        right("memory", 2),
        right("adj", 0),
        left("", 0),
    ];
    let shown = shown(&ranking);
    let rows: Vec<Row> = shown.iter().filter_map(|&at| Some(row(page, at, ranking.get(at)?))).collect();
    table::write(page, &columns, &rows);
    rest(page, &ranking, &shown);
}

fn row(page: &Page, at: usize, process: &Ranked<'_>) -> Row {
    let role = match process {
        _ if process.is_victim => Role::Verdict,
        _ if !process.eligible => Role::Dim,
        _ => Role::Plain,
    };
    Row {
        role,
        cells: vec![
            if process.is_victim { page.glyphs.cross.to_owned() } else { String::new() },
            (at + 1).to_string(),
            words::name(process.comm),
            process.pid.to_string(),
            process.points.map_or_else(String::new, |points| words::grouped(i128::from(points))),
            process.memory.map_or_else(String::new, |bytes| bytes.to_string()),
            process.adj.map_or_else(String::new, |adj| adj.to_string()),
            remark(process),
        ],
    }
}

/// `and 34 more, 2 of them spared`.
fn rest(page: &mut Page, ranking: &[Ranked<'_>], shown: &[usize]) {
    let shown: HashSet<usize> = shown.iter().copied().collect();
    let hidden = || ranking.iter().enumerate().filter(|(at, _)| !shown.contains(at)).map(|(_, row)| row);
    let count = hidden().count();
    if count == 0 {
        return;
    }
    let spared = hidden().filter(|row| !row.eligible).count();
    let spared =
        if spared > 0 { format!(", {} of them spared", words::grouped(spared as i128)) } else { String::new() };
    page.paragraph(Role::Dim, 0, &format!("and {} more{spared}", words::grouped(count as i128)));
}
