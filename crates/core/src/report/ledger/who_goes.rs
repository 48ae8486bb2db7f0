//! Who would be evicted, and who killed.

use std::collections::HashMap;

use crate::incident::describe::describe;
use crate::incident::level::{Level, level_of};
use crate::kubernetes::eviction::Ranked;
use crate::ledger::{Ledger, Part};
use crate::next;
use crate::report::inspection::more;
use crate::report::next::cells;
use crate::report::page::Page;
use crate::report::style::Role;
use crate::report::table::{self, Row, Shrink, left, right};
use crate::report::words;
use crate::text::Untrusted;

/// Pods in the kubelet's order.
pub(super) fn evictions(page: &mut Page, ledger: &Ledger, count: usize) {
    let order = &ledger.eviction_order;
    if order.is_empty() {
        return;
    }
    page.heading("WHO WOULD BE EVICTED", "the kubelet ends whole pods, in this order");
    let columns = [
        right("#", 0),
        left("pod", 0).shrinking(Shrink::Middle, 16),
        right("in use", 1),
        left("class", 3),
        left("why", 0),
    ];
    let rows: Vec<_> = order.iter().take(count).map(pod).collect();
    table::write(page, &columns, &rows);
    more(page, order.len(), rows.len(), "pod", "pods");
}

fn pod(ranked: &Ranked) -> Row {
    let name = match &ranked.namespace {
        Some(namespace) => format!("{namespace}/{}", ranked.pod),
        None => ranked.pod.clone(),
    };
    Row {
        role: if ranked.rank.is_some() { Role::Plain } else { Role::Dim },
        cells: vec![
            ranked.rank.map_or_else(String::new, |rank| rank.to_string()),
            name,
            words::size(ranked.working_set_bytes),
            ranked.qos.to_string(),
            ranked.why.clone(),
        ],
    }
}

/// Processes in the kernel's order.
pub(super) fn kills(page: &mut Page, ledger: &Ledger, count: usize) {
    if ledger.kill_order.is_empty() {
        return;
    }
    page.heading("WHO WOULD BE KILLED", "if the machine ran out of memory: the kernel kills processes, in this order");
    let columns = [
        right("#", 4),
        left("name", 0).shrinking(Shrink::End, 15),
        right("pid", 0),
        right("score", 2),
        right("memory", 0),
        right("adj", 1),
        left("in", 3).shrinking(Shrink::Middle, 20),
    ];
    let mut names = HashMap::new();
    ledger.parts.iter().for_each(|part| containers(part, &mut names));
    let rows: Vec<_> = ledger.kill_order.iter().take(count).map(|row| process(row, &names)).collect();
    table::write(page, &columns, &rows);
    let all = ledger.kill_order.len().saturating_add(usize::try_from(ledger.kill_order_omitted).unwrap_or(usize::MAX));
    more(page, all, rows.len(), "process", "processes");
}

/// Containers of pods by their cgroups, named as in the account.
fn containers<'a>(part: &'a Part, names: &mut HashMap<&'a Untrusted, String>) {
    for inner in &part.parts {
        match &inner.cgroup {
            Some(cgroup) if level_of(cgroup.as_bytes()) == Level::Container => {
                names.insert(cgroup, format!("{} of {}", inner.name, part.name));
            }
            _ => containers(inner, names),
        }
    }
}

fn process(row: &next::Row, names: &HashMap<&Untrusted, String>) -> Row {
    let cgroup = |cgroup: &Untrusted| names.get(cgroup).cloned().unwrap_or_else(|| describe(cgroup.as_bytes()));
    Row {
        role: if row.rank.is_some() { Role::Plain } else { Role::Dim },
        cells: cells(row, row.cgroup.as_ref().map_or_else(String::new, cgroup)),
    }
}
