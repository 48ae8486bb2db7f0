//! Aligned columns that give up the least important ones when the page is narrow.

use super::layout::{self, Align};
use super::page::Page;
use super::style::Role;

/// Space between two columns.
const GAP: usize = 2;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// Its title; a column whose cells are all empty is left out.
    pub(super) title: &'static str,
    pub(super) align: Align,
    /// Which columns go first where there is not room for all: the higher, the sooner. 0 stays always.
    pub(super) expendable: u8,
    /// May be cut short to what is left of the line. At most one column should be.
    pub(super) shrinks: Option<Shrink>,
}

/// What a column that is too wide loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shrink {
    /// Names.
    End,
    /// Paths.
    Middle,
}

/// A column of text.
pub(super) const fn left(title: &'static str, expendable: u8) -> Column {
    Column { title, align: Align::Left, expendable, shrinks: None }
}

/// A column of numbers.
pub(super) const fn right(title: &'static str, expendable: u8) -> Column {
    Column { title, align: Align::Right, expendable, shrinks: None }
}

impl Column {
    /// The same, cut short where need be.
    pub(super) const fn shrinking(mut self, how: Shrink) -> Self {
        self.shrinks = Some(how);
        self
    }
}

/// One line: its cells, and the colour of all of them.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) role: Role,
    /// Missing cells count as empty.
    pub(super) cells: Vec<String>,
}

impl Row {
    pub(super) fn plain(cells: Vec<String>) -> Self {
        Self { role: Role::Plain, cells }
    }

    fn cell(&self, column: usize) -> &str {
        self.cells.get(column).map_or("", String::as_str)
    }
}

/// Columns wide enough for a name that had to be cut.
const LEAST_SHRUNK: usize = 8;

/// Writes the table into the page's current section.
pub(super) fn write(page: &mut Page, columns: &[Column], rows: &[Row]) {
    let rows: Vec<Row> =
        rows.iter().map(|r| Row { role: r.role, cells: r.cells.iter().map(|c| page.text(c)).collect() }).collect();
    let widths = fit(columns, &rows, page.inner_width());
    let titles = Row { role: Role::Dim, cells: columns.iter().map(|c| c.title.to_owned()).collect() };
    let has_titles = columns.iter().any(|c| !c.title.is_empty());
    for row in has_titles.then_some(&titles).into_iter().chain(&rows) {
        let cells: Vec<String> = widths
            .iter()
            .filter_map(|&(at, width)| {
                let column = columns.get(at)?;
                let text = match column.shrinks.unwrap_or(Shrink::End) {
                    Shrink::End => layout::shorten_end(row.cell(at), width, page.glyphs.ellipsis),
                    Shrink::Middle => layout::shorten_middle(row.cell(at), width, page.glyphs.ellipsis),
                };
                Some(layout::pad(&text, width, column.align))
            })
            .collect();
        let line = page.paint(row.role, cells.join(&" ".repeat(GAP)).trim_end());
        page.line(&line);
    }
}

/// Which columns are shown, and how wide each.
fn fit(columns: &[Column], rows: &[Row], width: usize) -> Vec<(usize, usize)> {
    let natural = |at: usize, column: &Column| {
        let cells = rows.iter().map(|row| layout::width_of(row.cell(at))).max().unwrap_or(0);
        (cells > 0).then(|| (at, cells.max(layout::width_of(column.title))))
    };
    let mut shown: Vec<(usize, usize)> = columns.iter().enumerate().filter_map(|(at, c)| natural(at, c)).collect();
    loop {
        let taken = shown.iter().map(|&(_, w)| w + GAP).sum::<usize>().saturating_sub(GAP);
        let excess = taken.saturating_sub(width);
        if excess == 0 {
            return shown;
        }
        let of = |at: usize| columns.get(at);
        if let Some((_, w)) = shown.iter_mut().find(|(at, _)| of(*at).is_some_and(|c| c.shrinks.is_some()))
            && w.saturating_sub(excess) >= LEAST_SHRUNK
        {
            *w -= excess;
            return shown;
        }
        let rank = |at: usize| of(at).map_or(0, |c| c.expendable);
        let Some(worst) = shown.iter().map(|&(at, _)| rank(at)).max().filter(|&worst| worst > 0) else {
            return shown;
        };
        shown.retain(|&(at, _)| rank(at) < worst);
    }
}
