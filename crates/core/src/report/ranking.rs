//! THE RANKING: whom the kernel would have killed in which order, around those that it did kill.

use std::collections::{HashMap, HashSet};

use super::page::Page;
use super::style::Role;
use super::table::{self, Row, Shrink, left, right};
use super::words;
use crate::case::Case;
use crate::diagnosis::{Choice, Ranked, Ranking};
use crate::evidence::Task;
use crate::units::Bytes;

/// Rows from the top of the ranking.
const TOP: usize = 6;

/// A process name has up to 15 bytes: it is cut only after other columns have gone.
const NAME: usize = 15;

/// The ranking with what else the log says of its rows.
pub(super) struct View<'a> {
    pub(super) ranking: &'a Ranking,
    tasks: HashMap<u32, &'a Task>,
    trigger: Option<u32>,
}

impl<'a> View<'a> {
    /// `None` where the log did not allow a ranking.
    pub(super) fn of(case: &'a Case) -> Option<Self> {
        let ranking = case.diagnosis.ranking.as_ref().filter(|ranking| !ranking.rows.is_empty())?;
        let report = case.incident.report();
        let pids: HashSet<u32> = ranking.rows.iter().map(|row| row.pid).collect();
        let tasks = report.tasks.iter().filter(|task| pids.contains(&task.pid)).map(|task| (task.pid, task)).collect();
        Some(Self { ranking, tasks, trigger: report.trigger.as_ref().and_then(|trigger| trigger.process()) })
    }

    /// The rows shown, with their places: the top, and from below it the victim and the trigger.
    pub(super) fn shown(&self) -> impl Iterator<Item = (usize, &'a Ranked)> + '_ {
        let is_shown = |at: usize, row: &Ranked| at < TOP || row.is_victim || Some(row.pid) == self.trigger;
        self.ranking.rows.iter().enumerate().filter(move |(at, row)| is_shown(*at, row)).map(|(at, row)| (at + 1, row))
    }

    /// What a process held when the table was printed: resident, swapped out and page tables, as the kernel counts it.
    pub(super) fn memory(&self, row: &Ranked) -> Option<Bytes> {
        let task = self.tasks.get(&row.pid)?;
        let other = [task.swap_bytes, task.pgtables_bytes].into_iter().flatten();
        Some(other.fold(task.rss_bytes?, |sum, bytes| Bytes(sum.0.saturating_add(bytes.0))))
    }

    pub(super) fn adj(&self, row: &Ranked) -> Option<i32> {
        self.tasks.get(&row.pid)?.oom_score_adj
    }

    /// What stands beside a row.
    pub(super) fn remark(&self, row: &Ranked) -> String {
        let marks = [(row.is_victim, "victim"), (Some(row.pid) == self.trigger, "trigger"), (!row.eligible, "spared")];
        marks.iter().filter(|(holds, _)| *holds).map(|(_, mark)| *mark).collect::<Vec<_>>().join(", ")
    }

    /// How the order and the choice go together.
    pub(super) const fn note(&self) -> &'static str {
        match self.ranking.choice {
            Choice::Confirmed | Choice::Consistent => "the kernel kills the highest score first",
            Choice::Contradicted => "the kernel did not choose the highest score",
            Choice::NotByPoints => "the kernel took whoever asked for memory, not the highest score",
            Choice::NotInTable => "by the kernel's score",
        }
    }

    /// How many processes are not shown.
    pub(super) fn hidden(&self) -> u64 {
        (self.ranking.rows.len() - self.shown().count()) as u64 + self.ranking.rows_omitted
    }
}

pub(super) fn write(page: &mut Page, case: &Case) {
    let Some(view) = View::of(case) else { return };
    page.heading("THE RANKING", view.note());
    let columns = [
        left("", 0),
        right("#", 4),
        left("name", 0).shrinking(Shrink::End, NAME),
        right("pid", 2),
        right("score", 0),
        right("memory", 3),
        right("adj", 1),
        left("", 0),
    ];
    let rows: Vec<Row> = view.shown().map(|(place, process)| row(page, &view, place, process)).collect();
    table::write(page, &columns, &rows);
    let hidden = view.hidden();
    if hidden > 0 {
        page.paragraph(Role::Dim, 0, &format!("and {} more", words::grouped(i128::from(hidden))));
    }
}

fn row(page: &Page, view: &View<'_>, place: usize, process: &Ranked) -> Row {
    let role = match process {
        _ if process.is_victim => Role::Verdict,
        _ if !process.eligible => Role::Dim,
        _ => Role::Plain,
    };
    Row {
        role,
        cells: vec![
            if process.is_victim { page.glyphs.cross.to_owned() } else { String::new() },
            place.to_string(),
            words::name(&process.comm),
            process.pid.to_string(),
            if process.eligible { words::grouped(i128::from(process.points)) } else { String::new() },
            words::size(view.memory(process)),
            words::adj(view.adj(process)),
            view.remark(process),
        ],
    }
}
