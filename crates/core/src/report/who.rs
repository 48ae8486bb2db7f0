//! WHO: victims, trigger, the cgroup whose limit was reached, the pod, and when.

use super::page::Page;
use super::style::Role;
use super::table::{self, Row, Shrink};
use super::words;
use crate::case::Case;
use crate::evidence::{KernelReport, Scope, Trigger, Victim, levels};
use crate::incident::Origin;
use crate::incident::history::Recurrence;
use crate::incident::identity::Identity;
use crate::kubernetes::ContainerKind;
use crate::text::Untrusted;

/// Victims of a group kill that are listed one by one.
const VICTIMS_LISTED: usize = 6;
/// Levels of a path that are looked at; Kubernetes has six.
const LEVELS_LISTED: usize = 16;

pub(super) fn write(page: &mut Page, case: &Case) {
    let report = case.incident.report();
    page.heading("WHO", "");
    victims(page, report);
    if let Some(trigger) = &report.trigger {
        page.facts("trigger", Role::Plain, &trigger_facts(report, trigger));
    }
    cgroups(page, report);
    levels(page, case);
    if let Some(identity) = &case.incident.identity {
        owner(page, identity);
    }
    when(page, case);
    origin(page, &case.incident.origin, report);
    if let Some(recurrence) = &case.incident.recurrence {
        again(page, case, recurrence);
    }
}

fn victims(page: &mut Page, report: &KernelReport) {
    match report.victims.as_slice() {
        [] => {}
        [victim] => {
            page.fact("victim", Role::Strong, &words::victim(victim));
            page.facts("", Role::Plain, &victim_facts(victim));
        }
        many => {
            let whole = if report.group_kill == Some(true) { ", the whole cgroup" } else { "" };
            let names = words::victim_names(many, 4, page.glyphs.times);
            let count = words::count(many.len(), "process", "processes");
            page.fact("victims", Role::Strong, &format!("{count}{whole}: {names}"));
            victim_table(page, many);
        }
    }
    if let Some(chosen) = &report.chosen {
        page.facts("chosen", Role::Plain, &[words::victim(chosen), "its child was killed in its place".to_owned()]);
    }
    if !report.killed_sharing_memory.is_empty() {
        let names = words::victim_names(&report.killed_sharing_memory, 4, page.glyphs.times);
        page.fact("with it", Role::Plain, &format!("{names}, sharing its memory"));
    }
}

/// What the kill line says of one victim.
fn victim_facts(victim: &Victim) -> Vec<String> {
    let sizes = [
        (victim.anon_bytes, "anonymous"),
        (victim.shmem_bytes, "shared"),
        (victim.file_bytes, "file"),
        (victim.pgtables_bytes, "page tables"),
    ];
    let mut facts: Vec<String> = sizes
        .into_iter()
        .filter_map(|(size, name)| size.filter(|b| b.0 > 0).map(|bytes| format!("{bytes} {name}")))
        .collect();
    facts.extend(victim.uid.map(|uid| format!("uid {uid}")));
    facts.extend(victim.oom_score_adj.map(|adj| format!("oom_score_adj {adj}")));
    facts
}

fn victim_table(page: &mut Page, victims: &[Victim]) {
    use table::{left, right};
    let columns = [
        left("name", 0).shrinking(Shrink::End, 8),
        right("pid", 0),
        right("anonymous", 0),
        right("shared", 2),
        right("file", 3),
        right("adj", 1),
    ];
    // A column of zeros tells nothing.
    let has_shared = victims.iter().any(|v| v.shmem_bytes.is_some_and(|b| b.0 > 0));
    let row = |v: &Victim| {
        Row::plain(vec![
            v.comm.as_ref().map_or_else(String::new, words::name),
            v.pid.to_string(),
            words::size(v.anon_bytes),
            words::size(v.shmem_bytes.filter(|_| has_shared)),
            words::size(v.file_bytes),
            words::adj(v.oom_score_adj),
        ])
    };
    let rows: Vec<Row> = victims.iter().take(VICTIMS_LISTED).map(row).collect();
    page.blank();
    table::write(page, &columns, &rows);
    if victims.len() > VICTIMS_LISTED {
        let rest = words::count(victims.len() - VICTIMS_LISTED, "more process", "more processes");
        page.paragraph(Role::Dim, 0, &format!("and {rest}"));
    }
    page.blank();
}

fn trigger_facts(report: &KernelReport, trigger: &Trigger) -> Vec<String> {
    let is_victim = trigger.process().is_some() && report.victims.iter().any(|v| Some(v.pid) == trigger.process());
    let is_thread = trigger.tgid.is_some() && trigger.tgid != trigger.pid;
    let who = words::process(trigger.comm.as_ref(), "thread", trigger.pid);
    let relation = match (is_victim, is_thread, report.victims.len()) {
        (true, true, 1) => ", a thread of the victim".to_owned(),
        (true, true, _) => ", a thread of one of the victims".to_owned(),
        (true, false, 1) => ", the victim itself".to_owned(),
        (true, false, _) => ", one of the victims".to_owned(),
        (false, true, _) => process_of(report, trigger),
        (false, false, _) => String::new(),
    };
    let asked = match report.order {
        _ if words::is_by_hand(report) => Some("sysrq-f: asked for by hand".to_owned()),
        Some(order @ 0..=20) => Some(format!("asked for {}", words::count(1 << order, "page", "pages"))),
        _ => None,
    };
    // The flags matter where one page would not have done: they say what the kernel may do to find several in a row.
    let flags = report.gfp_flags.clone().filter(|_| report.order.is_some_and(|order| order > 0));
    [Some(format!("{who}{relation}")), asked, flags].into_iter().flatten().collect()
}

/// `, of worker (pid 701)`.
fn process_of(report: &KernelReport, trigger: &Trigger) -> String {
    let task = report.tasks.iter().find(|task| Some(task.pid) == trigger.tgid);
    format!(", of {}", words::process(task.map(|task| &task.comm), "pid", trigger.tgid))
}

fn cgroups(page: &mut Page, report: &KernelReport) {
    if let Some(cgroup) = &report.limit_cgroup {
        page.path("limit of", &cgroup.to_string());
        let met = |n: u64| format!("reached {}", times(n));
        let facts: Vec<String> = report
            .limit_bytes
            .map(words::limit)
            .into_iter()
            .chain(report.failcnt.filter(|&n| n > 0).map(met))
            .collect();
        page.facts("", Role::Plain, &facts);
    }
    if let Some(cgroup) = &report.victim_cgroup
        && report.limit_cgroup.as_ref() != Some(cgroup)
    {
        match report.limit_cgroup.as_ref().and_then(|limit| below(limit, cgroup)) {
            Some(rest) => page.path("victim in", &format!("{}{}", page.glyphs.ellipsis, rest)),
            None => page.path("victim in", &cgroup.to_string()),
        }
    }
}

/// What a program in the kernel saw charged at the other levels that have a limit: how near those were.
fn levels(page: &mut Page, case: &Case) {
    let Some(context) = case.incident.contexts.first() else { return };
    let report = case.incident.report();
    let limited = levels::levels(context, report).into_iter().filter(|level| !level.is_reached);
    let mut label = "also in";
    for named in limited.take(LEVELS_LISTED) {
        let (Some(limit), Some(path)) = (named.level.limit_bytes, &named.path) else { continue };
        let (usage, shown) = named.level.usage_bytes.side_by_side(limit);
        let usage = format!("{usage} of {shown} ({})", words::percent(named.level.usage_bytes.share_of(limit)));
        match report.limit_cgroup.as_ref().and_then(|limit| below(limit, path)) {
            Some(rest) => page.facts(label, Role::Plain, &[format!("{}{rest}", page.glyphs.ellipsis), usage]),
            None => {
                page.path(label, &path.to_string());
                page.fact("", Role::Plain, &usage);
            }
        }
        label = "";
    }
}

fn times(n: u64) -> String {
    if n == 1 { "once".to_owned() } else { format!("{} times", words::grouped(i128::from(n))) }
}

/// The part of `cgroup` below `ancestor`, with its slash.
fn below(ancestor: &Untrusted, cgroup: &Untrusted) -> Option<Untrusted> {
    let ancestor = ancestor.as_bytes();
    let rest = cgroup.as_bytes().strip_prefix(ancestor.strip_suffix(b"/").unwrap_or(ancestor))?;
    rest.starts_with(b"/").then(|| Untrusted::from(rest))
}

fn owner(page: &mut Page, identity: &Identity) {
    if let Some(pod) = words::pod(identity) {
        let qos = identity.qos.as_deref().map(str::to_owned);
        let owner = identity.owner.as_deref().map(|owner| format!("of {owner}"));
        let facts: Vec<String> = [Some(pod), qos, owner].into_iter().flatten().collect();
        page.facts("pod", Role::Plain, &facts);
    } else if let Some(qos) = &identity.qos {
        page.fact("QoS", Role::Plain, qos);
    }
    let named = identity.container.clone().map(|name| match identity.container_kind {
        None | Some(ContainerKind::App) => name,
        Some(kind) => format!("{name} ({kind})"),
    });
    let pause = identity.container_kind.filter(|kind| *kind == ContainerKind::Pause).map(|kind| kind.to_string());
    let container = [named.or(pause), identity.container_id.as_deref().map(words::container_id)];
    let label = if container.iter().any(Option::is_some) { "container" } else { "run by" };
    let facts: Vec<String> =
        container.into_iter().chain([identity.runtime.clone(), identity.image.clone()]).flatten().collect();
    page.facts(label, Role::Plain, &facts);
}

fn when(page: &mut Page, case: &Case) {
    let at = &case.incident.at;
    let facts: Vec<String> = words::wall(at).into_iter().chain(at.boot_us.map(words::boot)).collect();
    page.facts("when", Role::Plain, &facts);
}

fn origin(page: &mut Page, origin: &Origin, report: &KernelReport) {
    let host = origin.host.as_ref().map(|host| format!("host {host}"));
    let kernel = report.kernel_release.as_ref().map(|release| format!("kernel {release}"));
    let facts: Vec<String> = [place(page.glyphs.to, origin), host, kernel].into_iter().flatten().collect();
    page.facts("read from", Role::Plain, &facts);
}

/// `kern.log, lines 120–180`.
pub(super) fn place(to: &str, origin: &Origin) -> Option<String> {
    let lines = origin.lines.map(|lines| line_range(to, lines));
    match (&origin.file, lines) {
        (Some(file), Some(lines)) => Some(format!("{file}, {lines}")),
        (Some(file), None) => Some(file.clone()),
        (None, lines) => lines,
    }
}

/// `line 7`, `lines 120–180`.
pub(super) fn line_range(to: &str, (first, last): (u64, u64)) -> String {
    if first == last { format!("line {first}") } else { format!("lines {first}{to}{last}") }
}

fn again(page: &mut Page, case: &Case, recurrence: &Recurrence) {
    let earlier = recurrence.same_pod.max(recurrence.same_cgroup);
    if earlier == 0 {
        return;
    }
    let of_what = match case.incident.report().scope {
        Some(Scope::Global) => "this machine",
        _ if recurrence.same_pod > recurrence.same_cgroup => "this pod",
        _ => "this cgroup",
    };
    let since = case.incident.at.boot_us.zip(recurrence.previous_at).and_then(|(now, then)| now.0.checked_sub(then.0));
    let since = since.map(|us| format!("{} after the one before", words::duration(us)));
    let nth = format!("kill number {} of {of_what} in this log", u64::from(earlier) + 1);
    page.facts("again", Role::Plain, &[nth, since.unwrap_or_default()]);
}
