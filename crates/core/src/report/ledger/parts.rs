//! The account as a table: what is large is shown with what it is made of.

use crate::ledger::{Ledger, Part};
use crate::report::page::Page;
use crate::report::style::Role;
use crate::report::table::{self, Row, Shrink, left, right};
use crate::report::words;
use crate::units::{Bytes, Limit};

/// A name that is cut keeps so much.
const NAME: usize = 30;
/// Levels below the account's own parts.
const DEEPEST: usize = 4;

/// Writes it.
pub(super) fn write(page: &mut Page, ledger: &Ledger, count: usize) {
    let note = format!("adds up to {}", ledger.total_bytes);
    page.heading("WHERE THE MEMORY IS", &note);
    let columns = [
        left("", 0).shrinking(Shrink::End, NAME),
        right("bytes", 0),
        right("share", 1),
        right("limit", 2),
        left("", 3).shrinking(Shrink::End, 10),
    ];
    let mut lines = Lines { rows: Vec::new(), count, total: ledger.total_bytes, is_of_pods: false };
    for part in &ledger.parts {
        let stays = matches!(part.name.as_str(), "free" | "remainder" | "kernel");
        if stays || part.bytes != 0 {
            lines.add(part, title(&part.name), 0);
        }
    }
    table::write(page, &columns, &lines.rows);
}

struct Lines {
    rows: Vec<Row>,
    count: usize,
    total: Bytes,
    is_of_pods: bool,
}

impl Lines {
    fn add(&mut self, part: &Part, name: String, depth: usize) {
        let role = if depth == 0 { Role::Strong } else { Role::Plain };
        self.line(role, depth, name, part.bytes, part.limit_bytes, remark(part));
        let is_of_pods = self.is_of_pods;
        self.is_of_pods |= part.name == "kubepods";
        let inner: Vec<_> = part.parts.iter().filter(|inner| inner.bytes != 0).collect();
        let shown = self.worth_showing(&inner, depth);
        for inner in &shown {
            self.add(inner, inner_title(inner), depth + 1);
        }
        if !shown.is_empty() && inner.len() > shown.len() {
            let rest =
                inner.iter().map(|part| part.bytes).sum::<i64>() - shown.iter().map(|part| part.bytes).sum::<i64>();
            self.line(Role::Dim, depth + 1, format!("{} more", inner.len() - shown.len()), rest, None, "");
        }
        self.is_of_pods = is_of_pods;
    }

    /// The largest, of other things than pods only what is a thousandth of the machine. A pod's only container would say the same again.
    fn worth_showing<'a>(&self, inner: &[&'a Part], depth: usize) -> Vec<&'a Part> {
        let is_large = |part: &Part| self.is_of_pods || part.bytes.unsigned_abs() >= self.total.0 / 1000;
        let shown: Vec<_> = inner.iter().copied().filter(|part| is_large(part)).take(self.count).collect();
        let says_more = shown.iter().filter(|inner| inner.name != "pause").count() > 1
            || shown.iter().any(|inner| !inner.parts.is_empty());
        if depth < DEEPEST && says_more { shown } else { Vec::new() }
    }

    fn line(&mut self, role: Role, depth: usize, name: String, bytes: i64, limit: Option<Limit>, remark: &str) {
        let amount = Bytes(bytes.unsigned_abs());
        let sign = if bytes < 0 { "-" } else { "" };
        let share = words::percent(amount.share_of(self.total));
        self.rows.push(Row {
            role,
            cells: vec![
                format!("{}{name}", "  ".repeat(depth)),
                format!("{sign}{amount}"),
                format!("{sign}{share}"),
                limit.and_then(Limit::bytes).map_or_else(String::new, |limit| limit.to_string()),
                remark.to_owned(),
            ],
        });
    }
}

/// A name of the account's own parts, for people.
fn title(name: &str) -> String {
    match name {
        "kubepods" => "pods",
        "system" => "system services",
        "user" => "user sessions",
        "other_cgroups" => "other cgroups",
        "outside_cgroups" => "processes in no cgroup",
        "shared_memory" => "tmpfs, shared memory",
        "page_cache" => "page cache",
        "hugepages" => "huge pages",
        "remainder" => "in no count",
        other => other,
    }
    .to_owned()
}

/// Words of ours lose their underscores; names of cgroups and pods stay as they are.
fn inner_title(part: &Part) -> String {
    let is_ours = part.cgroup.is_none() && !part.name.contains(' ');
    match part.name.as_str() {
        "outside_containers" => "outside its containers".to_owned(),
        name if is_ours => name.replace('_', " "),
        name => name.to_owned(),
    }
}

fn remark(part: &Part) -> &'static str {
    match part.name.as_str() {
        "page_cache" => "can be taken back",
        "kernel" => "in no cgroup",
        "shared_memory" => "in no cgroup",
        "hugepages" => "the pool, used or not",
        "remainder" if part.bytes < 0 => "counted twice",
        "remainder" => "drivers, boot",
        "outside_containers" => "tmpfs, leftovers",
        "removed_pods" => "leftovers",
        _ => "",
    }
}
