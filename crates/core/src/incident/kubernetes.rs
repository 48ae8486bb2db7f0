//! The account of Kubernetes as evidence: what a finding about it can be checked against.

use super::Incident;
use crate::evidence::{Evidence, Part};
use crate::kubernetes::{Account, ContainerAccount, Ending, NodeAccount, State, ToldEvent};
use crate::text::{Untrusted, escape};

/// Events shown, the latest ones.
const EVENTS: usize = 24;

impl Incident {
    /// Adds what Kubernetes says. What it said before is replaced.
    pub fn add_kubernetes(&mut self, account: Account) {
        self.evidence.retain(|evidence| !evidence.part.is_kubernetes());
        let events = account.events.iter().skip(account.events.len().saturating_sub(EVENTS));
        let parts = [
            (Part::PodStatus, pod_status(&account)),
            (Part::PodEvents, events.map(event).collect()),
            (Part::NodeStatus, account.node.as_ref().map(node).unwrap_or_default()),
        ];
        let evidence = |(part, text): (Part, Vec<String>)| Evidence {
            id: part.into(),
            part,
            lines: None,
            text: text.iter().map(|line| Untrusted::from(line.as_str())).collect(),
        };
        self.evidence.extend(parts.into_iter().filter(|(_, text)| !text.is_empty()).map(evidence));
        self.kubernetes = Some(Box::new(account));
    }
}

fn pod_status(account: &Account) -> Vec<String> {
    let Some(pod) = &account.pod else { return Vec::new() };
    let name = pod.namespace.as_ref().map_or_else(|| pod.name.clone(), |namespace| format!("{namespace}/{}", pod.name));
    let mut words = vec![format!("pod {name}")];
    words.extend(pod.phase.clone());
    words.extend(pod.reason.clone());
    words.extend(pod.message.as_ref().map(|message| format!("\"{message}\"")));
    words.extend(pod.qos.map(|qos| qos.to_string()));
    words.extend(pod.deletion.map(|at| format!("deleted with grace until {at}")));
    words.push(match account.as_of {
        Some(at) => format!("({} at {})", account.source, at.strftime("%H:%M:%SZ")),
        None => format!("({})", account.source),
    });
    let mut lines = vec![words.join(", ")];
    lines.extend(account.container.as_ref().map(container));
    let last = account.container.as_ref().and_then(|container| container.last.as_ref());
    let endings = account.ending.iter().chain(last.filter(|last| Some(*last) != account.ending.as_ref()));
    lines.extend(endings.map(ending));
    lines.extend(pod.conditions.iter().map(|condition| {
        let words =
            [condition.reason.as_deref(), condition.message.as_deref()].into_iter().flatten().collect::<Vec<_>>();
        format!("condition {}={} {}", condition.kind, condition.status, words.join(": "))
    }));
    lines
}

fn container(container: &ContainerAccount) -> String {
    let kind = container.kind.map_or_else(|| "container".to_owned(), |kind| kind.to_string());
    let mut words = vec![format!("{kind} {}", container.name)];
    words.extend(container.state.map(|state| {
        let state = match state {
            State::Waiting => "waiting",
            State::Running => "running",
            State::Terminated => "terminated",
        };
        container.reason.as_ref().map_or_else(|| state.to_owned(), |reason| format!("{state} {reason}"))
    }));
    words.extend(container.running_since.map(|at| format!("since {at}")));
    words.extend(container.restart_count.map(|count| format!("restartCount {count}")));
    words.extend(container.back_off.and_then(|back_off| back_off.until).map(|until| format!("back-off until {until}")));
    words.extend(container.limit_bytes.map(|limit| format!("limit {limit}")));
    words.extend(container.request_bytes.map(|request| format!("request {request}")));
    words.join(", ")
}

fn ending(ending: &Ending) -> String {
    let mut words = vec![format!("ended {}", ending.reason.as_deref().unwrap_or("without a reason"))];
    words.extend(ending.exit_code.map(|code| format!("exit code {code}")));
    words.extend(ending.started.map(|at| format!("started {at}")));
    words.extend(ending.finished.map(|at| format!("finished {at}")));
    words
        .extend(ending.container_id.as_ref().map(|id| format!("instance {}", id.chars().take(12).collect::<String>())));
    words.extend(ending.message.as_ref().map(|message| format!("\"{}\"", escape(message.trim().as_bytes()))));
    words.join(", ")
}

fn event(event: &ToldEvent) -> String {
    let at = event.last.map_or_else(|| "at an unknown time".to_owned(), |at| at.to_string());
    let times = event.count.filter(|count| *count > 1).map_or_else(String::new, |count| format!(" ({count} times)"));
    format!("{at} {}{times}: {}", event.reason, event.message.trim())
}

fn node(node: &NodeAccount) -> Vec<String> {
    let conditions = node.conditions.iter().map(|condition| {
        let since = condition.last_transition_time.map_or_else(String::new, |at| format!(" since {at}"));
        format!("node {}: {}={}{since}", node.name, condition.kind, condition.status)
    });
    conditions.chain(node.events.iter().map(|told| format!("node {}: {}", node.name, event(told)))).collect()
}
