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
    /// May be cut, but to no fewer than so many columns.
    pub(super) shrinks: Option<(Shrink, usize)>,
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
    pub(super) const fn shrinking(mut self, how: Shrink, least: usize) -> Self {
        self.shrinks = Some((how, least));
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
                let text = match column.shrinks.map_or(Shrink::End, |(how, _)| how) {
                    Shrink::End => layout::shorten_end(row.cell(at), width, page.glyphs.ellipsis),
                    Shrink::Middle => layout::shorten_middle(row.cell(at), width, page.glyphs.ellipsis),
                };
                Some(layout::pad(&text, width, column.align))
            })
            .collect();
        let line =
            layout::shorten_end(cells.join(&" ".repeat(GAP)).trim_end(), page.inner_width(), page.glyphs.ellipsis);
        let line = page.paint(row.role, &line);
        page.line(&line);
    }
}

/// A column that is shown.
#[derive(Clone, Copy)]
struct Shown {
    at: usize,
    width: usize,
    least: usize,
    shrinks: bool,
    expendable: u8,
}

/// Which columns are shown, and how wide each: names give way to their least width first, then the least important columns
/// go, and what is left shares the line.
fn fit(columns: &[Column], rows: &[Row], width: usize) -> Vec<(usize, usize)> {
    let natural = |(at, column): (usize, &Column)| {
        let cells = rows.iter().map(|row| layout::width_of(row.cell(at))).max().unwrap_or(0);
        let width = cells.max(layout::width_of(column.title));
        let least = column.shrinks.map_or(width, |(_, least)| least.min(width));
        (cells > 0).then_some(Shown {
            at,
            width,
            least,
            shrinks: column.shrinks.is_some(),
            expendable: column.expendable,
        })
    };
    let mut shown: Vec<Shown> = columns.iter().enumerate().filter_map(natural).collect();
    while shown.iter().map(|c| c.least + GAP).sum::<usize>() > width + GAP {
        let Some(worst) = shown.iter().map(|c| c.expendable).max().filter(|&worst| worst > 0) else {
            // What must stay and does not fit: names go down to a letter.
            shown.iter_mut().filter(|c| c.shrinks).for_each(|c| c.least = 1);
            break;
        };
        shown.retain(|c| c.expendable < worst);
    }
    let taken = shown.iter().map(|c| c.width + GAP).sum::<usize>();
    shrink(&mut shown, taken.saturating_sub(width + GAP));
    shown.iter().map(|c| (c.at, c.width)).collect()
}

/// Takes `excess` columns away, each time from the column that is widest above its least.
fn shrink(shown: &mut [Shown], excess: usize) {
    for _ in 0..excess {
        let Some(widest) = shown.iter_mut().filter(|c| c.width > c.least).max_by_key(|c| c.width) else { return };
        widest.width -= 1;
    }
}
