//! How the sentences name pods, containers, ends and times. Names come from objects that anybody may have written.

use jiff::Timestamp;

use crate::kubernetes::{Account, ContainerAccount, ContainerKind, Ending, State};
use crate::text::name_in_text;

/// `container api`, `init container migrate`, `the container`.
pub(in crate::diagnosis) fn container(account: &Account) -> String {
    let ending = account.ending.as_ref();
    let name = account.container.as_ref().map(|container| &container.name).or_else(|| ending?.container.as_ref());
    let kind = account.container.as_ref().and_then(|container| container.kind).or_else(|| ending?.kind);
    match name {
        Some(name) => format!("{} {}", kind.unwrap_or(ContainerKind::App), name_in_text(name.as_bytes())),
        None => "the container".to_owned(),
    }
}

/// `shop/checkout-api-7f9c`.
pub(super) fn pod(account: &Account) -> String {
    let Some(pod) = &account.pod else { return "of an unknown name".to_owned() };
    let name = name_in_text(pod.name.as_bytes());
    pod.namespace.as_ref().map_or_else(|| name.clone(), |space| format!("{}/{name}", name_in_text(space.as_bytes())))
}

/// `OOMKilled with exit code 137`.
pub(super) fn how(ending: &Ending) -> String {
    let reason =
        ending.reason.as_deref().map_or_else(|| "no reason".to_owned(), |reason| name_in_text(reason.as_bytes()));
    match ending.exit_code {
        Some(code) => format!("{reason} with exit code {code}"),
        None => reason,
    }
}

/// How an end came about that was no SIGKILL's, as its exit code tells it: `ended by itself`, `was told to end (SIGTERM)`.
pub(super) fn by_itself(ending: &Ending) -> &'static str {
    match ending.exit_code {
        Some(143) => "was told to end (SIGTERM) and did",
        Some(134) => "ended itself by SIGABRT",
        Some(135) => "was ended by SIGBUS",
        Some(139) => "was ended by SIGSEGV",
        Some(code) if (129..=192).contains(&code) => "was ended by another signal than SIGKILL",
        _ => "ended by itself",
    }
}

/// `at 07:33:43Z`, or nothing.
pub(super) fn at(when: Option<Timestamp>) -> String {
    when.map_or_else(String::new, |at| format!(" at {}", clock(at)))
}

/// `07:33:43Z`; the date is the case's.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}

/// `running since 07:37:11Z, 0 restarts`.
pub(in crate::diagnosis) fn status(container: &ContainerAccount) -> String {
    let state = match (container.state, &container.reason) {
        (Some(State::Running), _) => match container.running_since {
            Some(since) => format!("running since {}", clock(since)),
            None => "running".to_owned(),
        },
        (Some(State::Waiting), Some(reason)) => format!("waiting ({})", name_in_text(reason.as_bytes())),
        (Some(State::Waiting), None) => "waiting".to_owned(),
        (Some(State::Terminated), Some(reason)) => format!("terminated ({})", name_in_text(reason.as_bytes())),
        (Some(State::Terminated), None) => "terminated".to_owned(),
        (None, _) => "without a status".to_owned(),
    };
    match container.restart_count {
        Some(1) => format!("{state}, 1 restart"),
        Some(count) => format!("{state}, {count} restarts"),
        None => state,
    }
}

/// `4 s`, `3 min`.
pub(super) fn seconds(seconds: i64) -> String {
    crate::time::span(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000))
}
