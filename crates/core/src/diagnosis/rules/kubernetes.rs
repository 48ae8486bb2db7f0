//! What Kubernetes shows, and where it disagrees with the kernel.
//!
//! The kernel's report is about processes and cgroups, the pod's status about containers: the one does not see restarts, the other
//! neither children nor levels. See [`super::super::kubernetes`].

use super::{Answer, Found, Rule};
use crate::diagnosis::facts::Facts;
use crate::diagnosis::kubernetes::{container, disagreements, status};
use crate::evidence::Part;
use crate::kubernetes::{Account, State};

pub(super) const RULE: Rule = Rule {
    name: "kubernetes",
    about: "What Kubernetes shows of it (state, restarts, back-off), and each point in which that disagrees with what the kernel did.",
    check,
};

const PARTS: &[Part] = &[Part::PodStatus, Part::PodEvents];

fn check(facts: &Facts<'_>) -> Answer {
    let Some(account) = facts.incident.kubernetes.as_deref() else { return Answer::Absent };
    let mut found = Found::default();
    for one in disagreements(facts.incident, facts.verdict.killer, facts.ending.as_ref()) {
        found = found.and(one.title, one.detail, one.parts).named(one.kind);
    }
    if let Some(shown) = shown(account) {
        found = found.and("What Kubernetes shows", shown, PARTS).named("status");
    }
    if found.observations.is_empty() { Answer::Absent } else { found.into() }
}

fn shown(account: &Account) -> Option<String> {
    let shown = account.container.as_ref().filter(|container| container.state.is_some())?;
    let mut sentence = format!("{} is {}", container(account), status(shown));
    if let Some(back_off) = shown.back_off {
        let length = back_off
            .seconds
            .map_or_else(String::new, |seconds| format!(" of {}", crate::time::span(seconds * 1_000_000)));
        let until = back_off.until.map_or_else(String::new, |at| format!(", until about {}", at.strftime("%H:%M:%SZ")));
        sentence.push_str(&format!("; it waits out a back-off{length}{until}"));
    }
    let speaks_of_oom = account.events.iter().any(|event| event.message.contains("OOM"));
    if !account.events.is_empty() && !speaks_of_oom && shown.state != Some(State::Running) {
        let mut reasons: Vec<&str> = account.events.iter().map(|event| event.reason.as_str()).collect();
        reasons.sort_unstable();
        reasons.dedup();
        let reasons =
            reasons.iter().take(8).map(|reason| crate::text::name_in_text(reason.as_bytes())).collect::<Vec<_>>();
        sentence.push_str(&format!(". Its events do not speak of memory, only of {}", reasons.join(", ")));
    }
    if account.pod.as_ref().is_some_and(|pod| pod.gone) {
        sentence.push_str("; the pod is gone by now");
    }
    Some(sentence + ".")
}
