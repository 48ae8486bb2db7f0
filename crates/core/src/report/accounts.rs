//! KERNEL AND KUBERNETES: what each of the two says, and where they disagree.

use super::page::Page;
use super::style::Role;
use super::words;
use crate::case::Case;
use crate::diagnosis::{Finding, Killer};
use crate::kubernetes::{Account, ContainerAccount, Coverage, EndedBy, Ending, Source, State};

/// The rule whose findings stand here and not among the others.
const RULE: &str = "kubernetes";

/// Findings that this section shows.
pub(super) fn is_shown_here(case: &Case, finding: &Finding) -> bool {
    case.incident.kubernetes.is_some() && finding.rule == RULE
}

pub(super) fn write(page: &mut Page, case: &Case) {
    let Some(account) = case.incident.kubernetes.as_deref() else { return };
    let found = || {
        case.diagnosis
            .findings
            .iter()
            .filter(|finding| finding.rule == RULE && finding.kind.as_deref() != Some("status"))
    };
    let note = match found().count() {
        0 if case.incident.kills.is_empty() => "only Kubernetes tells of it".to_owned(),
        0 => "they agree".to_owned(),
        n => format!("they disagree in {}", words::count(n, "point", "points")),
    };
    page.heading("KERNEL AND KUBERNETES", &note);
    page.facts("kernel", Role::Plain, &kernel(case, account));
    if let Some(pod) = &account.pod {
        let phase = pod.phase.as_ref().map(|phase| format!("pod {phase}"));
        let words: Vec<String> = phase.into_iter().chain(pod.reason.clone()).collect();
        let mut facts = Vec::new();
        facts.extend((!words.is_empty()).then(|| words.join(" ")));
        facts.extend(pod.gone.then(|| "gone by now".to_owned()));
        facts.extend(pod.labels.iter().map(|(name, value)| format!("{name}={value}")));
        facts.push(asked(account));
        page.facts("status", Role::Plain, &facts);
    }
    if let Some(container) = &account.container {
        page.facts("", Role::Plain, &container_facts(container));
    }
    if let Some(ending) = &account.ending {
        page.facts("", Role::Plain, &ending_facts(ending));
    }
    let last = account.container.as_ref().and_then(|container| container.last.as_ref());
    if let Some(last) = last.filter(|last| account.ending.as_ref().is_none_or(|ending| !ending.is_same(last))) {
        let mut facts = ending_facts(last);
        facts.push("another instance".to_owned());
        page.facts("", Role::Dim, &facts);
    }
    if let Some(node) = &account.node {
        let conditions = node.conditions.iter().map(|condition| format!("{}={}", condition.kind, condition.status));
        let events = node.events.len();
        let events = (events > 0).then(|| words::count(events, "SystemOOM event of it", "SystemOOM events of it"));
        let facts: Vec<String> = std::iter::once(node.name.clone()).chain(conditions).chain(events).collect();
        page.facts("node", Role::Plain, &facts);
    }
    for finding in found() {
        page.blank();
        let unlike = page.glyphs.unlike;
        page.hanging(Role::Gap, unlike, 2, &finding.title);
        page.paragraph(Role::Plain, 2, &finding.detail);
    }
}

fn kernel(case: &Case, account: &Account) -> Vec<String> {
    let report = case.incident.report();
    if case.incident.kills.is_empty() {
        let own = account.kernel.kills.iter().filter(|kill| kill.same_instance).count();
        let others = account.kernel.kills.len() - own;
        let known = match account.kernel.log {
            _ if own == 1 => "killed another process of this instance before".to_owned(),
            _ if own > 1 => format!("killed {own} other processes of this instance before"),
            Coverage::Whole => "no kill of this instance in its log".to_owned(),
            Coverage::Uncertain => "no kill of this instance in the log that was read".to_owned(),
            Coverage::None => "its log was not read".to_owned(),
        };
        let others = (others > 0).then(|| words::count(others, "other kill in this pod", "other kills in this pod"));
        return std::iter::once(known).chain(others).collect();
    }
    let victims = match report.victims.as_slice() {
        [] => "killed nothing".to_owned(),
        [one] => format!("killed {}", words::victim(one)),
        many => format!("killed {}", words::count(many.len(), "process", "processes")),
    };
    let ended = match account.ended_by {
        Some(EndedBy::Kill) => Some("which ended the container"),
        Some(EndedBy::ChildsStatus) => Some("a child; the container ended with it"),
        Some(EndedBy::Otherwise) => Some("which did not end the container"),
        Some(EndedBy::Unknown) | None => None,
    };
    let limit = reached(case.diagnosis.killer).to_owned();
    [Some(victims), Some(limit), ended.map(str::to_owned)].into_iter().flatten().collect()
}

/// What had run out.
const fn reached(killer: Killer) -> &'static str {
    match killer {
        Killer::ContainerLimit => "at the container's limit",
        Killer::PodLimit => "at the pod's limit",
        Killer::AncestorLimit => "at a limit above the pod",
        Killer::CgroupLimit => "at a cgroup's limit",
        Killer::Node => "the machine was out of memory",
        Killer::Cpuset | Killer::MemoryPolicy => "memory nodes were full",
        _ => "not known at which limit",
    }
}

fn asked(account: &Account) -> String {
    match (account.source, account.as_of) {
        (Source::File, _) => "from saved objects".to_owned(),
        (source, Some(at)) => format!("{source} at {}", at.strftime("%H:%M:%SZ")),
        (source, None) => source.to_string(),
    }
}

fn container_facts(container: &ContainerAccount) -> Vec<String> {
    let kind = container.kind.map_or_else(|| "container".to_owned(), |kind| kind.to_string());
    let state = container.state.map(|state| {
        let state = match state {
            State::Waiting => "waiting",
            State::Running => "running",
            State::Terminated => "terminated",
        };
        container.reason.as_ref().map_or_else(|| state.to_owned(), |reason| format!("{state}: {reason}"))
    });
    let since = container.running_since.map(|at| format!("since {}", at.strftime("%H:%M:%SZ")));
    let back_off = container.back_off.and_then(|back_off| back_off.until);
    let facts = [
        Some(format!("{kind} {}", container.name)),
        state,
        since,
        back_off.map(|until| format!("back-off until about {}", until.strftime("%H:%M:%SZ"))),
        container.restart_count.map(|count| words::count(count as usize, "restart", "restarts")),
        container.limit_bytes.map(|limit| format!("limit {limit}")),
        container.request_bytes.map(|request| format!("request {request}")),
        container.resize.clone(),
    ];
    facts.into_iter().flatten().collect()
}

fn ending_facts(ending: &Ending) -> Vec<String> {
    let facts = [
        Some(format!("ended {}", ending.reason.as_deref().unwrap_or("without a reason"))),
        ending.exit_code.map(|code| format!("exit code {code}")),
        ending.finished.map(|at| format!("at {}", at.strftime("%H:%M:%SZ"))),
    ];
    facts.into_iter().flatten().collect()
}

/// The account in one line, for whoever has read the case already: `Kubernetes on oom-…: container api ended OOMKilled, …`. `None` where
/// there is none.
#[must_use]
pub fn line(case: &Case) -> Option<String> {
    let account = case.incident.kubernetes.as_deref()?;
    let pod = case.incident.identity.as_ref().and_then(words::pod).map(|pod| format!("pod {pod}"));
    let container = account
        .container
        .as_ref()
        .map(|container| container_facts(container).into_iter().take(3).collect::<Vec<_>>().join(", "));
    let ending = account.ending.as_ref().map(|ending| ending_facts(ending).join(", "));
    let found = case
        .diagnosis
        .findings
        .iter()
        .filter(|finding| finding.rule == RULE && finding.kind.as_deref() != Some("status"));
    let titles: Vec<&str> = found.map(|finding| finding.title.as_str()).collect();
    let disagree = (!titles.is_empty()).then(|| titles.join("; "));
    let said: Vec<String> = [pod, container, ending, disagree].into_iter().flatten().collect();
    Some(format!("{}: Kubernetes: {}", case.id, words::clean(&said.join(" · "))))
}
