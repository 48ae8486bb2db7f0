//! Many cases on one page: grouped by what killed and whose memory it was.
//!
//! A log can hold millions of kills, and every one of them another cgroup (each restart of a container has a new id): the
//! number of groups is bounded, and so is what each of them remembers. What is beyond the bound is still counted.

use indexmap::IndexMap;

use super::page::Page;
use super::style::Role;
use super::table::{self, Row, Shrink, left, right};
use super::text::TextOptions;
use super::words;
use crate::case::Case;
use crate::diagnosis::Killer;
use crate::time::When;
use crate::units::Bytes;

/// Groups that are told apart.
const GROUPS: usize = 1000;
/// Names of victims that a group remembers.
const NAMES: usize = 16;
/// Rows of the table.
const ROWS: usize = 30;

/// Counts of the cases seen, by what killed and whose memory it was.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    cases: usize,
    processes: usize,
    span: Span,
    groups: IndexMap<Key, Group>,
    others: Group,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    killer: Killer,
    /// Pod, cgroup or, for want of both, the name of the victim.
    owner: String,
}

#[derive(Clone, Debug, Default)]
struct Group {
    cases: usize,
    names: IndexMap<String, usize>,
    limits: Option<(Bytes, Bytes)>,
    span: Span,
}

/// From when to when, in the order in which cases came.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    first: Option<When>,
    last: Option<When>,
}

impl Span {
    fn add(&mut self, at: When) {
        if !at.is_unknown() {
            self.first.get_or_insert(at);
            self.last = Some(at);
        }
    }

    fn first(&self) -> Option<String> {
        self.first.as_ref().and_then(words::instant)
    }

    fn last(&self) -> Option<String> {
        self.last.as_ref().and_then(words::instant)
    }
}

impl Summary {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many cases were added.
    #[must_use]
    pub const fn cases(&self) -> usize {
        self.cases
    }

    /// Counts a case. Takes over only what it needs of it.
    pub fn add(&mut self, case: &Case) {
        self.cases += 1;
        self.span.add(case.incident.at);
        self.processes += case.incident.report().victims.len();
        let key = Key { killer: case.diagnosis.killer, owner: owner(case) };
        let is_full = self.groups.len() >= GROUPS;
        let group = match self.groups.get_mut(&key) {
            Some(group) => group,
            None if is_full => &mut self.others,
            None => self.groups.entry(key).or_default(),
        };
        group.add(case);
    }

    /// `25 OOM kills in 3 groups` and a table of them, the most frequent first. Ends with a newline.
    #[must_use]
    pub fn render(&self, options: &TextOptions) -> String {
        let mut page = Page::new(options);
        let cases = words::count(self.cases, "OOM event", "OOM events");
        let groups = words::count(self.groups.len(), "group", "groups");
        let more = if self.others.cases > 0 { " and others" } else { "" };
        let killed = words::count(self.processes, "process", "processes");
        let title = page.paint(Role::Heading, &format!("{cases} in {groups}{more}, {killed} killed"));
        page.raw(&title);
        if let (Some(first), Some(last)) = (self.span.first(), self.span.last())
            && first != last
        {
            page.paragraph(Role::Dim, 0, &format!("{first} {} {last}", page.glyphs.to));
        }
        if self.cases > 0 {
            page.blank();
            self.table(&mut page);
        }
        page.finish()
    }

    fn table(&self, page: &mut Page) {
        let columns = [
            right("count", 0),
            left("killer", 0),
            left("whose", 0).shrinking(Shrink::Middle, 28),
            left("victims", 1).shrinking(Shrink::End, 14),
            right("limit", 2),
            left("first", 4),
            left("last", 3),
        ];
        let mut groups: Vec<(&Key, &Group)> = self.groups.iter().collect();
        groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.cases));
        let mut rows: Vec<Row> = groups
            .iter()
            .take(ROWS)
            .map(|(key, group)| group.row(page, words::killer(key.killer), &key.owner))
            .collect();
        let rest = groups.iter().skip(ROWS).map(|(_, group)| group.cases).sum::<usize>() + self.others.cases;
        if rest > 0 {
            rows.push(Row { role: Role::Dim, cells: vec![rest.to_string(), "others".to_owned()] });
        }
        table::write(page, &columns, &rows);
    }
}

/// Pod or cgroup; where the log names neither, the victim's name, with `*` for the number at its end: workers of one kind
/// are one group.
fn owner(case: &Case) -> String {
    let victim =
        || case.incident.report().victims.first().and_then(|v| v.comm.as_ref()).map(|comm| kind(&words::name(comm)));
    words::owner(case).or_else(victim).unwrap_or_default()
}

fn kind(name: &str) -> String {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() < name.len() { format!("{stem}*") } else { name.to_owned() }
}

impl Group {
    fn add(&mut self, case: &Case) {
        let report = case.incident.report();
        self.cases += 1;
        for victim in &report.victims {
            let name = victim.comm.as_ref().map_or_else(|| "?".to_owned(), words::name);
            let is_full = self.names.len() >= NAMES;
            match self.names.get_mut(&name) {
                Some(count) => *count += 1,
                None if is_full => {}
                None => {
                    self.names.insert(name, 1);
                }
            }
        }
        if let Some(limit) = report.limit_bytes {
            let (least, most) = self.limits.unwrap_or((limit, limit));
            self.limits = Some((least.min(limit), most.max(limit)));
        }
        self.span.add(case.incident.at);
    }

    fn row(&self, page: &Page, killer: &str, owner: &str) -> Row {
        let limit = match self.limits {
            Some((least, most)) if least == most => words::limit(least),
            Some((least, most)) => format!("{} {} {}", words::limit(least), page.glyphs.to, words::limit(most)),
            None => String::new(),
        };
        let first = self.span.first().filter(|_| self.cases > 1);
        Row::plain(vec![
            self.cases.to_string(),
            killer.to_owned(),
            owner.to_owned(),
            words::counted_names(&self.names, 2, page.glyphs.times),
            limit,
            first.unwrap_or_default(),
            self.span.last().unwrap_or_default(),
        ])
    }
}
