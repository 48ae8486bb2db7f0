//! A curve for a terminal: memory over the time before the kill, with the limit, the looks of a scraper, and the kill.
//!
//! One column is one stretch of time and is as high as the *highest* value in it, so that a spike of a millisecond stands beside hours of calm.
//! The lower, solid part is what the kernel cannot take back, the lighter part page cache.

use super::layout::{self, Align};
use super::page::Page;
use super::style::Role;
use super::text::TextOptions;
use super::words;
use crate::incident::timeline::Rows;
use crate::recorder::Series;
use crate::time::BootTime;
use crate::units::Bytes;

/// Lines of the plot, without the axis.
const HEIGHT: usize = 10;
/// Columns of the plot at most.
const WIDEST: usize = 100;
/// Columns left of the axis.
const LABEL: usize = 9;

/// What is drawn.
#[derive(Clone, Debug, Default)]
pub struct Plot {
    /// From the left edge …
    pub from: BootTime,
    /// … to the right one, where the kill is.
    pub to: BootTime,
    /// Drawn as a line.
    pub limit: Option<Bytes>,
    /// The values, ascending in time.
    pub points: Vec<Point>,
    /// What a scraper saw.
    pub looks: Vec<(BootTime, Bytes)>,
    /// Whether the right edge is a kill.
    pub killed: bool,
}

/// Memory at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// When.
    pub at: BootTime,
    /// The highest charge that is known since the point before.
    pub highest: u64,
    /// Charged at the instant.
    pub charged: u64,
    /// Of that, page cache.
    pub cache: u64,
}

impl Plot {
    /// The rows of one cgroup.
    #[must_use]
    pub fn of_rows(rows: &Rows, from: BootTime, to: BootTime) -> Self {
        let point = |sample: crate::recorder::Sample| {
            let charged = sample.get(Series::Current)?;
            let cache = sample.get(Series::File).unwrap_or(0).min(charged);
            Some(Point { at: sample.at, highest: sample.highest().unwrap_or(charged), charged, cache })
        };
        let mut points: Vec<Point> = rows.samples().filter_map(point).collect();
        points.sort_by_key(|point| point.at);
        // The first after the kill tells the highest charge of the time that the kill lies in, and nothing else of interest.
        let end = points.partition_point(|point| point.at <= to);
        let at_kill = points.get(end).filter(|_| rows.columns.contains_key(&Series::Peak)).copied();
        points.truncate(end);
        if let (Some(after), Some(last)) = (at_kill, points.last().copied()) {
            points.push(Point { at: to, highest: after.highest, ..last });
        }
        Self { from, to, points, ..Self::default() }
    }

    /// The lines of the plot, each with a newline.
    #[must_use]
    pub fn render(&self, options: &TextOptions) -> String {
        let mut page = Page::new(options);
        self.write(&mut page);
        page.finish()
    }

    /// Writes the plot into the page's current section.
    pub(super) fn write(&self, page: &mut Page) {
        let width = page.inner_width().saturating_sub(LABEL + 3).min(WIDEST);
        let columns = self.columns(width);
        let top = columns.iter().map(|c| c.total).chain(self.limit.map(|l| l.0)).max().unwrap_or(0);
        if top == 0 {
            return;
        }
        let mut canvas = Canvas::new(width, top, page.is_unicode());
        for (at, column) in columns.iter().enumerate() {
            canvas.fill(at, column);
        }
        if let Some(limit) = self.limit {
            canvas.line(limit.0);
        }
        for (at, seen) in &self.looks {
            canvas.mark(self.column_of(*at, width), seen.0, page.glyphs.look, Role::Strong);
        }
        self.write_lines(page, &canvas, top);
        self.write_axis(page, width);
    }

    fn write_lines(&self, page: &mut Page, canvas: &Canvas, top: u64) {
        let limit_row = self.limit.map(|limit| canvas.row_of(limit.0));
        for row in 0..HEIGHT {
            let label = match row {
                row if Some(row) == limit_row => self.limit.map_or_else(String::new, |limit| limit.to_string()),
                0 => Bytes(top).to_string(),
                row if row == HEIGHT / 2 => Bytes(top / 2).to_string(),
                row if row == HEIGHT - 1 => "0".to_owned(),
                _ => String::new(),
            };
            let label = layout::pad(&label, LABEL, Align::Right);
            let label = page.paint(Role::Dim, &format!("{label} {}", page.glyphs.gutter));
            let is_kill = self.killed && self.kill_row(canvas) == row;
            let kill = if is_kill { page.paint(Role::Verdict, page.glyphs.cross) } else { String::new() };
            let cells = canvas.line_text(row, |role, text| page.paint(role, text));
            page.line(&format!("{label}{cells}{kill}"));
        }
    }

    fn kill_row(&self, canvas: &Canvas) -> usize {
        canvas.row_of(self.points.last().map_or(0, |point| point.highest))
    }

    /// `5 min before` at the left edge, half of it in the middle, the kill at the right.
    fn write_axis(&self, page: &mut Page, width: usize) {
        let length = self.to.0.saturating_sub(self.from.0);
        let left = format!("-{}", words::span(length));
        let middle = format!("-{}", words::span(length / 2));
        let right = if self.killed { "kill" } else { "now" };
        let gap = (width / 2).saturating_sub(layout::width_of(&left) + layout::width_of(&middle) / 2);
        let used = layout::width_of(&left) + gap + layout::width_of(&middle);
        let rest = width.saturating_sub(used + layout::width_of(right));
        let shows_middle = gap >= 2 && rest >= 2;
        let axis = if shows_middle {
            format!("{left}{}{middle}{}{right}", " ".repeat(gap), " ".repeat(rest))
        } else {
            let between = width.saturating_sub(layout::width_of(&left) + layout::width_of(right)).max(1);
            format!("{left}{}{right}", " ".repeat(between))
        };
        let axis = page.paint(Role::Dim, &format!("{}{axis}", " ".repeat(LABEL + 2)));
        page.line(&axis);
    }

    /// The highest of each column; a column without a sample goes on as the one before ended.
    fn columns(&self, width: usize) -> Vec<Column> {
        let mut columns = vec![Column::default(); width];
        let begin = self.points.partition_point(|point| point.at < self.from);
        let mut points = self.points.iter().skip(begin).peekable();
        let before = begin.checked_sub(1).and_then(|before| self.points.get(before));
        let mut now = before.map_or(Column::default(), |point| Column::new(point.charged, point.cache));
        for (at, column) in columns.iter_mut().enumerate() {
            *column = now;
            while let Some(point) = points.next_if(|point| self.column_of(point.at, width) <= at) {
                now = Column::new(point.charged, point.cache);
                let highest = Column::new(point.highest.max(point.charged), point.cache);
                *column = if highest.total > column.total { highest } else { *column };
            }
        }
        columns
    }

    fn column_of(&self, at: BootTime, width: usize) -> usize {
        let length = u128::from(self.to.0.saturating_sub(self.from.0)).max(1);
        let into = u128::from(at.0.saturating_sub(self.from.0));
        let column = into * width as u128 / length;
        usize::try_from(column).unwrap_or(usize::MAX).min(width.saturating_sub(1))
    }
}

/// One column: all that was charged, and what of it is not cache.
#[derive(Clone, Copy, Debug, Default)]
struct Column {
    total: u64,
    held: u64,
}

impl Column {
    const fn new(total: u64, cache: u64) -> Self {
        Self { total, held: total.saturating_sub(cache) }
    }
}

/// The characters, with their colours.
struct Canvas {
    cells: Vec<Vec<(char, Role)>>,
    top: u64,
    unicode: bool,
}

/// The lower eighths of a cell.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

impl Canvas {
    fn new(width: usize, top: u64, unicode: bool) -> Self {
        Self { cells: vec![vec![(' ', Role::Plain); width]; HEIGHT], top, unicode }
    }

    /// A height in eighths of a line; anything that is not nothing is seen.
    fn eighths(&self, bytes: u64) -> usize {
        let all = (HEIGHT * 8) as u128;
        let height = (u128::from(bytes) * all).div_ceil(u128::from(self.top.max(1)));
        usize::try_from(height).unwrap_or(usize::MAX).min(HEIGHT * 8)
    }

    /// The line, from the top, that a height ends in.
    fn row_of(&self, bytes: u64) -> usize {
        (HEIGHT - 1).saturating_sub(self.eighths(bytes).saturating_sub(1) / 8)
    }

    fn fill(&mut self, at: usize, column: &Column) {
        let (held, total) = (self.eighths(column.held), self.eighths(column.total));
        let unicode = self.unicode;
        for (row, line) in self.cells.iter_mut().enumerate() {
            let below = (HEIGHT - 1 - row) * 8;
            let Some(cell) = line.get_mut(at) else { return };
            *cell = match (held.saturating_sub(below).min(8), total.saturating_sub(below).min(8)) {
                (_, 0) => (' ', Role::Plain),
                (held, total) if held == total => (level(held, unicode), Role::Held(3)),
                (held, _) if held >= 4 => (level(8, unicode), Role::Held(3)),
                (_, _) => (if unicode { '░' } else { '.' }, Role::Reclaimable),
            };
        }
    }

    /// A level line, behind everything else.
    fn line(&mut self, bytes: u64) {
        let (row, dash) = (self.row_of(bytes), if self.unicode { '─' } else { '-' });
        let free = self.cells.get_mut(row).into_iter().flatten().filter(|(c, _)| *c == ' ');
        free.for_each(|cell| *cell = (dash, Role::Verdict));
    }

    fn mark(&mut self, column: usize, bytes: u64, glyph: &str, role: Role) {
        let row = self.row_of(bytes);
        let cell = self.cells.get_mut(row).and_then(|line| line.get_mut(column));
        if let (Some(cell), Some(c)) = (cell, glyph.chars().next()) {
            *cell = (c, role);
        }
    }

    /// One line, painted in runs of equal colour.
    fn line_text(&self, row: usize, paint: impl Fn(Role, &str) -> String) -> String {
        let line = self.cells.get(row).map(Vec::as_slice).unwrap_or_default();
        line.chunk_by(|(_, a), (_, b)| a == b)
            .map(|run| {
                let text: String = run.iter().map(|(c, _)| *c).collect();
                paint(run.first().map_or(Role::Plain, |(_, role)| *role), &text)
            })
            .collect()
    }
}

/// So many eighths of a cell, or what ASCII has for it.
fn level(eighths: usize, unicode: bool) -> char {
    if unicode {
        return EIGHTHS.get(eighths).copied().unwrap_or('█');
    }
    match eighths {
        0 => ' ',
        1..4 => '_',
        _ => '#',
    }
}
