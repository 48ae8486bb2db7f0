//! A container that ended by something else than a kill of the kernel: by what, and how sure that is.
//!
//! 137 is any SIGKILL: a probe that failed, a pod that did not stop in its grace period, an eviction, a shutdown of the node, `kill -9`.
//! `OOMKilled` comes from a counter of the runtime that never goes back: once any process of the container was killed (or, on cgroup v1,
//! any limit above it was reached), every later end of that instance carries it, whatever it was.

use jiff::Timestamp;

use super::words;
use crate::diagnosis::{Confidence, Killer};
use crate::evidence::Gap;
use crate::incident::Incident;
use crate::kubernetes::eviction::{EvictedUsage, EvictionCause};
use crate::kubernetes::{Account, Coverage, Ending, Eviction, KillSeen, PodAccount, ToldEvent};
use crate::text::name_in_text;

/// The clocks of the API server and of the node may differ by this much.
const SKEW_S: i64 = 5;

/// What ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::diagnosis) enum Cause<'a> {
    /// The kubelet evicted the pod.
    Evicted(&'a Eviction),
    /// A probe failed.
    Probe { startup: bool, event: &'a ToldEvent },
    /// The pod was deleted and its grace period was over.
    GraceOver { deadline: Option<Timestamp> },
    /// The kubelet ended the pod for a reason that its status names.
    Pod { reason: &'a str },
    /// The kubelet does not know how it ended and wrote a code of its own.
    StatusLost,
    /// It ended by itself; a process of it had been killed before.
    AfterChild { kill: &'a KillSeen, by_itself: bool },
    /// It ended by itself; another container of its pod lost a process.
    AfterSibling { kill: &'a KillSeen, by_itself: bool },
    /// Called an OOM kill, ended with a code that is none, and no kill is known.
    FalseOom,
    /// Called an OOM kill with the code of one, and no kill is known.
    OomUnseen,
    /// A SIGKILL whose sender nobody names.
    Stranger,
}

/// The judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::diagnosis) struct Judged<'a> {
    pub(in crate::diagnosis) account: &'a Account,
    pub(in crate::diagnosis) cause: Cause<'a>,
    pub(in crate::diagnosis) killer: Killer,
    pub(in crate::diagnosis) confidence: Confidence,
    pub(in crate::diagnosis) gap: Option<Gap>,
}

/// Judges an incident that only Kubernetes tells; `None` where the kernel told it, or nobody.
#[must_use]
pub(in crate::diagnosis) fn judge(incident: &Incident) -> Option<Judged<'_>> {
    let account = incident.kubernetes.as_deref().filter(|_| incident.kills.is_empty())?;
    let cause = cause(account)?;
    let (killer, confidence) = verdict(account, cause);
    Some(Judged { account, cause, killer, confidence, gap: gap(account, cause) })
}

fn cause(account: &Account) -> Option<Cause<'_>> {
    let Some(ending) = &account.ending else { return account.eviction.as_ref().map(Cause::Evicted) };
    if ending.reason.as_deref() == Some("ContainerStatusUnknown") {
        return Some(Cause::StatusLost);
    }
    let by_itself = !ending.is_sigkill() && !ending.start_was_killed();
    let kills = &account.kernel.kills;
    let in_instance = kills.iter().rev().find(|kill| kill.same_instance);
    // A container's own limit is no other container's, and where the machine runs out no cgroup is notified.
    let notifies_others = |kill: &KillSeen| {
        !matches!(kill.killer, Killer::ContainerLimit | Killer::Node | Killer::Cpuset | Killer::MemoryPolicy)
    };
    let is_beside = |kill: &&KillSeen| kill.beside_instance.unwrap_or(true) && notifies_others(kill);
    let beside = kills.iter().rev().filter(|kill| !kill.same_instance).find(is_beside);
    let flag_is_known = in_instance.or(beside).is_some() || account.kernel.log == Coverage::Whole || !ending.says_oom();
    if !by_itself
        && flag_is_known
        && let Some(cause) = sent_by_the_kubelet(account, ending)
    {
        return Some(cause);
    }
    if let Some(kill) = in_instance {
        return Some(Cause::AfterChild { kill, by_itself });
    }
    if let Some(kill) = beside.filter(|_| ending.says_oom()) {
        return Some(Cause::AfterSibling { kill, by_itself });
    }
    Some(match (ending.says_oom(), by_itself) {
        (true, true) => Cause::FalseOom,
        (true, false) => Cause::OomUnseen,
        (false, _) => Cause::Stranger,
    })
}

/// The kubelet sends SIGTERM and, when the grace period is over, SIGKILL. It says so in events.
fn sent_by_the_kubelet<'a>(account: &'a Account, ending: &Ending) -> Option<Cause<'a>> {
    let pod = account.pod.as_ref()?;
    let grace = pod.grace_seconds.unwrap_or(30).clamp(0, 24 * 3600);
    // An event that is counted up keeps the first and the last time, and stands for ends between them too.
    let near = |event: &&ToldEvent| {
        let Some((last, ended)) = event.last.zip(ending.finished) else { return true };
        let first = event.first.filter(|_| event.count.is_some_and(|count| count > 1)).unwrap_or(last);
        (first.as_second() - 5..=last.as_second() + grace + 60).contains(&ended.as_second())
    };
    let about = |event: &&ToldEvent| event.container.is_none() || event.container == ending.container;
    let probe = account.events.iter().rev().filter(near).filter(about).find_map(|event| {
        let failed = event.reason == "Killing" && event.message.contains("probe");
        failed.then(|| Cause::Probe { startup: event.message.contains("startup probe"), event })
    });
    probe.or_else(|| of_pod(account, pod, ending)).or_else(|| {
        if let Some(deadline) = pod.deletion {
            // An earlier end was not the deletion's: it came before, or while there was still time.
            let is_over = ending.finished.is_none_or(|ended| ended.as_second() + SKEW_S >= deadline.as_second());
            return is_over.then_some(Cause::GraceOver { deadline: Some(deadline) });
        }
        let stopped = account.events.iter().filter(near).filter(about).any(|event| event.reason == "Killing");
        stopped.then_some(Cause::GraceOver { deadline: None })
    })
}

/// Why the whole pod was ended, if this end was part of that: an earlier instance, or an end before it, was not.
fn of_pod<'a>(account: &Account, pod: &'a PodAccount, ending: &Ending) -> Option<Cause<'a>> {
    const OF_KUBELET: [&str; 6] =
        ["Terminated", "NodeShutdown", "Shutdown", "Preempting", "DeadlineExceeded", "NodeAffinity"];
    let current = account.container.as_ref().and_then(|container| container.current_id.as_ref());
    let is_latest = current.zip(ending.container_id.as_ref()).is_none_or(|(current, ended)| current == ended);
    if !is_latest {
        return None;
    }
    let by_status = pod.reason.as_deref().filter(|reason| OF_KUBELET.contains(reason));
    let disrupted = pod.conditions.iter().find(|condition| condition.kind == "DisruptionTarget");
    let is_before = disrupted
        .and_then(|condition| condition.last_transition_time)
        .zip(ending.finished)
        .is_some_and(|(disrupted, ended)| ended.as_second() + SKEW_S < disrupted.as_second());
    let reason = by_status.or_else(|| disrupted?.reason.as_deref()).filter(|_| !is_before)?;
    Some(Cause::Pod { reason })
}

fn verdict(account: &Account, cause: Cause<'_>) -> (Killer, Confidence) {
    use Confidence::{Certain, Likely, Possible};
    let watched = account.kernel.log == Coverage::Whole;
    match cause {
        Cause::Evicted(_) => (Killer::KubeletEviction, Certain),
        Cause::Probe { .. } | Cause::GraceOver { deadline: Some(_) } | Cause::Pod { .. } => {
            (Killer::OtherSigkill, if watched { Certain } else { Likely })
        }
        Cause::GraceOver { deadline: None } => (Killer::OtherSigkill, Likely),
        Cause::StatusLost | Cause::OomUnseen => (Killer::Unknown, Possible),
        Cause::AfterChild { by_itself: true, .. } => (Killer::NotOom, Certain),
        Cause::AfterChild { by_itself: false, .. } => (Killer::OtherSigkill, if watched { Certain } else { Likely }),
        Cause::AfterSibling { by_itself: true, .. } => (Killer::NotOom, Certain),
        Cause::AfterSibling { by_itself: false, .. } => (Killer::OtherSigkill, if watched { Likely } else { Possible }),
        // The code is that of an exit, and an OOM kill leaves none.
        Cause::FalseOom => (Killer::NotOom, if watched { Certain } else { Likely }),
        Cause::Stranger => (Killer::OtherSigkill, if watched { Certain } else { Likely }),
    }
}

fn gap(account: &Account, cause: Cause<'_>) -> Option<Gap> {
    let why = match account.kernel.log {
        Coverage::Whole => None,
        Coverage::Uncertain => Some("the kernel's log that was read may not reach to the time of this end"),
        Coverage::None => Some("the kernel's log of its node was not read; Kubernetes alone tells of this end"),
    };
    let wanted = match cause {
        Cause::Evicted(_) | Cause::Probe { .. } | Cause::Pod { .. } | Cause::GraceOver { .. } => return None,
        Cause::StatusLost => {
            return Some(Gap::new(
                "how the container ended",
                "the kubelet had lost it and wrote exit code 137 in place of the real one",
            ));
        }
        Cause::FalseOom => "the kill that raised the flag OOMKilled",
        Cause::OomUnseen => "which limit was reached, and who was killed",
        Cause::AfterChild { .. } | Cause::AfterSibling { .. } => return None,
        Cause::Stranger => "whether the kernel killed it",
    };
    match (why, cause) {
        (Some(why), _) => Some(Gap::new(wanted, why)),
        (None, Cause::Stranger) => {
            Some(Gap::new("who sent the SIGKILL", "neither the kernel's log nor an event names the sender"))
        }
        (None, _) => Some(Gap::new(
            wanted,
            "the kernel's log of that time has no such kill: it was lost there, or there was none",
        )),
    }
}

impl Judged<'_> {
    /// The one sentence.
    #[must_use]
    pub(in crate::diagnosis) fn summary(&self) -> String {
        let account = self.account;
        let who = first_up(&words::container(account));
        let end = account.ending.as_ref().map_or_else(String::new, words::how);
        match self.cause {
            Cause::Evicted(eviction) => evicted(account, eviction),
            Cause::Probe { startup, .. } => format!(
                "{who} was killed by the kubelet because its {} probe failed, not for memory: {end}.",
                if startup { "startup" } else { "liveness" }
            ),
            Cause::GraceOver { .. } => format!(
                "{who} did not end within its grace period after the pod was told to stop, and the kubelet killed it: {end}; memory was \
                 not the reason."
            ),
            Cause::Pod { reason } => {
                format!(
                    "{who} was killed because the whole pod was ended ({}), not for memory: {end}.",
                    name_in_text(reason.as_bytes())
                )
            }
            Cause::StatusLost => format!(
                "Nobody knows how {} ended: the kubelet had lost it and wrote exit code 137 itself, which here proves no kill.",
                words::container(account)
            ),
            Cause::AfterChild { by_itself: true, kill } => format!(
                "{who} {} ({end}); OOMKilled is left from {}, which it had survived.",
                account.ending.as_ref().map_or("ended by itself", words::by_itself),
                earlier_kill(kill, "a process of it that was killed")
            ),
            Cause::AfterChild { by_itself: false, kill } => format!(
                "{who} was ended by somebody's SIGKILL; OOMKilled is left from {}, which it had survived.",
                earlier_kill(kill, "a process of it that was killed")
            ),
            Cause::AfterSibling { by_itself: true, kill } => format!(
                "{who} {} ({end}) and lost no process to the kernel; OOMKilled is left from {} in another container of its pod.",
                account.ending.as_ref().map_or("ended by itself", words::by_itself),
                earlier_kill(kill, "a kill")
            ),
            Cause::AfterSibling { by_itself: false, kill } => format!(
                "{who} was ended by a SIGKILL that is not known to be the kernel's; OOMKilled may be left from {} in another container of \
                 its pod.",
                earlier_kill(kill, "a kill")
            ),
            Cause::FalseOom => format!(
                "{who} {} ({end}): an OOM kill of its first process would have left 137, so it was at most an earlier kill of another \
                 process.",
                account.ending.as_ref().map_or("ended by itself", words::by_itself)
            ),
            Cause::OomUnseen if account.ending.as_ref().is_some_and(Ending::failed_to_start) => format!(
                "{who} could not be started{}: the runtime says that its own process was killed for memory before the program ran, so the \
                 limit is most likely too low for any container; the kernel's word for it is missing.",
                words::at(account.ending.as_ref().and_then(|ending| ending.finished))
            ),
            Cause::OomUnseen => format!(
                "Kubernetes says that {} was OOMKilled with exit code 137{}; the kernel's word for it is missing, so which limit it was is \
                 not known.",
                words::container(account),
                words::at(account.ending.as_ref().and_then(|ending| ending.finished))
            ),
            Cause::Stranger if account.kernel.log == Coverage::Whole => {
                format!("{who} was ended by a SIGKILL that was not the OOM killer's: {end}.")
            }
            Cause::Stranger => format!(
                "{who} was ended by a SIGKILL that Kubernetes does not call an OOM kill: {end}. Without the kernel's log of that time it \
                 is not sure that it was none."
            ),
        }
    }
}

fn evicted(account: &Account, eviction: &Eviction) -> String {
    let pod = words::pod(account);
    match &eviction.cause {
        Some(EvictionCause::LowOnResource(low)) => {
            let resource = name_in_text(low.resource.as_bytes());
            let before =
                if low.is_about_memory() { ", before the kernel had to kill" } else { "; memory was not the reason" };
            let using: Vec<String> = low.containers.iter().filter_map(using).collect();
            let using = if using.is_empty() { String::new() } else { format!(": {}", using.join(", ")) };
            format!("The kubelet evicted pod {pod} because the node was low on {resource}{before}{using}.")
        }
        Some(EvictionCause::RefusedForCondition { condition }) => format!(
            "The kubelet refused to start pod {pod} because the node had the condition {}; it never ran.",
            name_in_text(condition.as_bytes())
        ),
        Some(EvictionCause::EmptyDirLimit { volume, limit }) => format!(
            "The kubelet evicted pod {pod} because its volume {} outgrew its sizeLimit{}.",
            name_in_text(volume.as_bytes()),
            limit.map_or_else(String::new, |limit| format!(" of {}", limit.bytes()))
        ),
        Some(EvictionCause::EphemeralStorage) => {
            format!("The kubelet evicted pod {pod} for its use of local storage; memory was not the reason.")
        }
        None => format!("The kubelet evicted pod {pod}; its message does not say why in words that are known here."),
    }
}

/// `main was said to use 4.8 MiB of a request of 0 B`
fn using(container: &EvictedUsage) -> Option<String> {
    let (usage, request) = (container.usage?.bytes(), container.request.unwrap_or_default().bytes());
    Some(format!("{} was said to use {usage} of a request of {request}", name_in_text(container.name.as_bytes())))
}

/// `a kill 4 s before`, `a kill at some time before`.
fn earlier_kill(kill: &KillSeen, what: &str) -> String {
    match kill.seconds_before_end {
        Some(seconds) if seconds > 0 => format!("{what} at least {} before", words::seconds(seconds)),
        _ => format!("{what} before"),
    }
}

fn first_up(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
