//! The page of a pod, for a terminal: what happened first, then where things stand, then what to do.

use super::page::Page;
use super::style::Role;
use super::table::{self, Row, Shrink, left, right};
use super::text::{self, TextOptions};
use super::{inspection, next, one_line, words};
use crate::case::Case;
use crate::kubernetes::{NodeAccount, Source, State, ToldEvent};
use crate::runbook::{ContainerNow, NodeMemoryNow, PodPage};
use crate::units::Bytes;

/// Cases listed.
const CASES: usize = 8;
/// Events listed, the latest ones.
const EVENTS: usize = 8;
/// Remedies listed.
const REMEDIES: usize = 5;

/// The page. Ends with a newline.
#[must_use]
pub fn render(pod: &PodPage, options: &TextOptions) -> String {
    let mut page = Page::new(options);
    title(&mut page, pod);
    happened(&mut page, pod, options);
    containers(&mut page, pod);
    if let Some(inspected) = &pod.inspection {
        inspection::short(&mut page, inspected);
    }
    if let Some(outlook) = &pod.next {
        next::short(&mut page, outlook);
    }
    node(&mut page, pod.node.as_ref(), pod.node_memory);
    events(&mut page, &pod.events);
    text::remedies(&mut page, pod.remedies.get(..REMEDIES).unwrap_or(&pod.remedies));
    inspection::gaps(&mut page, &pod.gaps);
    page.finish()
}

fn title(page: &mut Page, pod: &PodPage) {
    let identity = &pod.identity;
    let name = words::pod(identity).unwrap_or_else(|| "a pod of an unknown name".to_owned());
    let line = page.text(&format!("pod {name}"));
    let line = page.paint(Role::Strong, &line);
    page.raw(&line);
    page.paragraph(Role::Plain, 0, &verdict(pod));
    let status = pod.pod.as_ref();
    let phase = status.and_then(|pod| pod.phase.clone());
    let reason = status.and_then(|pod| pod.reason.clone());
    let facts = [
        phase.map(|phase| reason.map_or_else(|| phase.clone(), |reason| format!("{phase} ({reason})"))),
        identity.qos.clone(),
        identity.owner.as_ref().map(|owner| format!("of {owner}")),
        identity.node.as_ref().map(|node| format!("on {node}")),
        status.filter(|pod| pod.gone).map(|_| "gone by now".to_owned()),
        status.and_then(|pod| pod.deletion).map(|at| format!("told to stop, until {}", at.strftime("%H:%M:%SZ"))),
    ];
    let facts: Vec<String> = facts.into_iter().flatten().collect();
    page.blank();
    page.facts("status", Role::Plain, &facts);
    let labels = status.map(|pod| pod.labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>());
    if let Some(labels) = labels.filter(|labels| !labels.is_empty()) {
        page.facts("labels", Role::Plain, &labels);
    }
    page.facts("uid", Role::Dim, &identity.pod_uid.iter().cloned().collect::<Vec<_>>());
    let told = pod.source.map(|source| format!("from {source}"));
    // When somebody saved them, nobody knows.
    let at = pod.at.filter(|_| pod.source != Some(Source::File)).map(|at| format!("{}Z", words::utc(at)));
    page.facts("seen", Role::Dim, &at.into_iter().chain(told).collect::<Vec<_>>());
}

/// The answer in a sentence or two.
fn verdict(pod: &PodPage) -> String {
    let waits = pod.containers.iter().find(|container| container.account.back_off.is_some());
    let waits = waits.map_or_else(String::new, |container| {
        let until = container.account.back_off.and_then(|back_off| back_off.until);
        let until = until.map_or_else(String::new, |until| format!(", until about {}", until.strftime("%H:%M:%SZ")));
        format!(" Container {} waits to be restarted{until}.", words::clean(&container.account.name))
    });
    match pod.cases.first() {
        Some(case) => {
            let when = words::instant(&case.incident.at).map_or_else(String::new, |at| format!("Last, at {at}: "));
            format!("{when}{}{waits}", case.diagnosis.summary)
        }
        None => format!("No kill, end or eviction of this pod is known here.{waits}"),
    }
}

fn happened(page: &mut Page, pod: &PodPage, options: &TextOptions) {
    if pod.cases.is_empty() {
        return;
    }
    page.heading("WHAT HAPPENED", "the latest first");
    for case in pod.cases.iter().take(CASES) {
        let line = one_line::render(case, &TextOptions { width: options.columns().saturating_sub(2), ..*options });
        page.line(&line);
        for title in disagreements(case) {
            page.hanging(Role::Gap, page.glyphs.unlike, 2, title);
        }
    }
    let more = pod.cases_omitted + pod.cases.len().saturating_sub(CASES) as u64;
    if more > 0 {
        page.paragraph(
            Role::Dim,
            0,
            &format!("and {} before", words::count(usize::try_from(more).unwrap_or(usize::MAX), "case", "cases")),
        );
    }
    let ids: Vec<&str> = pod.cases.iter().take(1).map(|case| case.id.as_str()).collect();
    if let [latest] = ids.as_slice() {
        page.paragraph(Role::Dim, 0, &format!("all of the latest, where it is stored: oomscope show {latest}"));
    }
}

fn disagreements(case: &Case) -> impl Iterator<Item = &str> {
    let is_one = |kind: &str| kind != "status";
    let findings = case.diagnosis.findings.iter().filter(|finding| finding.rule == "kubernetes");
    findings.filter(move |finding| finding.kind.as_deref().is_some_and(is_one)).map(|finding| finding.title.as_str())
}

fn containers(page: &mut Page, pod: &PodPage) {
    if pod.containers.is_empty() {
        return;
    }
    page.heading("CONTAINERS", "");
    let columns = [
        left("name", 0).shrinking(Shrink::End, 10),
        left("state", 0).shrinking(Shrink::End, 12),
        right("restarts", 1),
        right("memory", 0),
        right("peak", 3),
        right("limit", 0),
        right("request", 2),
        left("last end", 1).shrinking(Shrink::End, 12),
    ];
    let rows: Vec<Row> = pod.containers.iter().map(row).collect();
    table::write(page, &columns, &rows);
    for container in &pod.containers {
        let spec = container.account.limit_bytes;
        // The kernel rounds down to pages.
        let differs =
            spec.zip(container.limit_in_force_bytes).is_some_and(|(spec, force)| spec.0 / 65536 != force.0 / 65536);
        if differs {
            let text = format!(
                "container {}: the limit in force, {}, is not that of the spec: oomscope inspect pod shows every file",
                words::clean(&container.account.name),
                words::size(container.limit_in_force_bytes)
            );
            page.hanging(Role::Gap, page.glyphs.unlike, 2, &text);
        }
    }
}

fn row(container: &ContainerNow) -> Row {
    let account = &container.account;
    let kind = account.kind.filter(|kind| *kind != crate::kubernetes::ContainerKind::App);
    let name = kind.map_or_else(|| account.name.clone(), |kind| format!("{} ({kind})", account.name));
    let state = match (account.state, &account.reason) {
        // containerd says so of a container that lives on.
        (Some(State::Running), Some(reason)) if reason == "OOMKilled" => "running, child OOM-killed".to_owned(),
        (Some(State::Running), _) => "running".to_owned(),
        (Some(State::Waiting), reason) => reason.clone().unwrap_or_else(|| "waiting".to_owned()),
        (Some(State::Terminated), reason) => reason.clone().unwrap_or_else(|| "terminated".to_owned()),
        (None, _) => String::new(),
    };
    let last = account.last.as_ref().map(|last| {
        let at = last.finished.map_or_else(String::new, |at| format!(" at {}", at.strftime("%H:%M:%SZ")));
        format!(
            "{} {}{at}",
            last.reason.as_deref().unwrap_or("?"),
            last.exit_code.map_or_else(String::new, |code| code.to_string())
        )
    });
    let limit = |bytes: Option<Bytes>| bytes.map_or_else(|| "none".to_owned(), |bytes| bytes.to_string());
    Row::plain(vec![
        name,
        state,
        account.restart_count.map_or_else(String::new, |count| count.to_string()),
        words::size(container.usage_bytes),
        words::size(container.peak_bytes),
        limit(account.limit_bytes.or(container.limit_in_force_bytes)),
        limit(account.request_bytes),
        last.unwrap_or_default(),
    ])
}

fn node(page: &mut Page, node: Option<&NodeAccount>, memory: Option<NodeMemoryNow>) {
    let conditions =
        node.map(|node| node.conditions.iter().map(|condition| format!("{}={}", condition.kind, condition.status)));
    let mut facts: Vec<String> = node.map(|node| node.name.clone()).into_iter().collect();
    if let Some(NodeMemoryNow { total_bytes: Some(total), available_bytes: Some(available), .. }) = memory {
        facts.push(format!("{available} of {total} available"));
    }
    facts.extend(conditions.into_iter().flatten());
    if facts.is_empty() {
        return;
    }
    page.heading("THE NODE", "all of its memory: oomscope node");
    page.facts("node", Role::Plain, &facts);
}

fn events(page: &mut Page, events: &[ToldEvent]) {
    let wanted = |event: &&ToldEvent| {
        !matches!(event.reason.as_str(), "Pulled" | "Created" | "Scheduled" | "Started" | "Pulling")
    };
    let events: Vec<&ToldEvent> = events.iter().filter(wanted).collect();
    if events.is_empty() {
        return;
    }
    page.heading("EVENTS", "what Kubernetes told of it");
    for event in events.iter().skip(events.len().saturating_sub(EVENTS)) {
        let at = event.last.map_or_else(String::new, |at| format!("{}  ", at.strftime("%H:%M:%SZ")));
        let times = event.count.filter(|count| *count > 1).map_or_else(String::new, |count| format!(" (×{count})"));
        page.hanging(Role::Plain, "", 0, &format!("{at}{}{times}: {}", event.reason, event.message.trim()));
    }
}
