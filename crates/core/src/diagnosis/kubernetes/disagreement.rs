//! Where the two accounts disagree, each with what Kubernetes says, what the kernel did, and why they differ.

use super::ending::{Cause, Judged};
use super::words;
use crate::diagnosis::Killer;
use crate::evidence::{Part, Scope};
use crate::incident::Incident;
use crate::kubernetes::{Account, ContainerAccount, EndedBy, Ending, Eviction, NodeAccount, State, ToldEvent};

/// An event this long after its kill is told again, not late.
const REPLAY_S: i64 = 60;

/// The kubelet posts a status within a second of what it tells, and its times are whole seconds.
const LATE_S: i64 = 3;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::diagnosis) struct Disagreement {
    /// Its stable name, for machines.
    pub(in crate::diagnosis) kind: &'static str,
    pub(in crate::diagnosis) title: &'static str,
    pub(in crate::diagnosis) detail: String,
    pub(in crate::diagnosis) parts: &'static [Part],
}

const STATUS: &[Part] = &[Part::PodStatus, Part::Kill, Part::OomKill];
const EVENTS: &[Part] = &[Part::PodEvents, Part::PodStatus];
const NODE: &[Part] = &[Part::NodeStatus, Part::Kill, Part::OomKill];

fn of(kind: &'static str, title: &'static str, detail: String, parts: &'static [Part]) -> Disagreement {
    Disagreement { kind, title, detail, parts }
}

/// All of them.
#[must_use]
pub(in crate::diagnosis) fn disagreements(
    incident: &Incident,
    killer: Killer,
    judged: Option<&Judged<'_>>,
) -> Vec<Disagreement> {
    let Some(account) = incident.kubernetes.as_deref() else { return Vec::new() };
    match judged {
        Some(judged) => of_ending(account, judged),
        None => of_kill(incident, account, killer),
    }
}

fn of_kill(incident: &Incident, account: &Account, killer: Killer) -> Vec<Disagreement> {
    let id = incident.identity.as_ref().and_then(|identity| identity.container_id.as_deref());
    let mut found = Vec::new();
    match &account.ending {
        Some(ending) => found.extend(of_ended(account, ending, killer)),
        None => found.extend(of_unended(account, id, incident.at.wall)),
    }
    if let (Some(container), Some(id)) = (&account.container, id) {
        found.extend(other_instance(container, id, incident.at.wall));
    }
    found.extend(system_oom(incident, account, killer));
    found
}

/// The instance ended, in one way or another.
fn of_ended(account: &Account, ending: &Ending, killer: Killer) -> Option<Disagreement> {
    let who = words::container(account);
    let said = format!("Kubernetes says {}{} for {who}", words::how(ending), words::at(ending.finished));
    match (account.ended_by?, ending.says_oom()) {
        (EndedBy::Kill, _) if ending.failed_to_start() => Some(of(
            "kill_at_start",
            "Kubernetes tells a failure to start, not an OOM kill",
            format!(
                "{said}; the kernel killed the runtime's own process, which had not become the container's first one yet. So the limit is \
                 too low for the container to start at all, or a shared limit was full at that moment."
            ),
            STATUS,
        )),
        (EndedBy::Kill, false) => Some(of(
            "kill_shown_as_error",
            "Kubernetes does not call it OOMKilled",
            format!(
                "{said}; the kernel killed its first process for memory. The runtime learns of an OOM kill by an event of its own, which \
                 can come after the end of the process or not at all; 137 is then all that remains."
            ),
            STATUS,
        )),
        (EndedBy::Kill | EndedBy::ChildsStatus, true) if is_above(killer) => Some(of(
            "level_hidden",
            "OOMKilled hides whose limit it was",
            format!("{said}, as if it were the container's own limit; the kernel names {}.", level(killer)),
            STATUS,
        )),
        (EndedBy::ChildsStatus, _) => Some(of(
            "childs_status",
            "137 is the status of a child",
            format!(
                "{said}. The kernel killed another process than the first one, which ended right after it: a shell ends with the status \
                 of its last command, so the code is passed on and no SIGKILL hit the first process."
            ),
            STATUS,
        )),
        (EndedBy::Otherwise, _) if let Some(last) = account.kernel.kills.iter().find(|kill| kill.ended_instance) => {
            Some(of(
                "invisible_kill",
                "Kubernetes shows nothing of this kill",
                format!(
                    "{said}: that is another kill's doing (case {}). This one hit a process that was not the container's first, which lived on until \
                 then.",
                    last.case
                ),
                STATUS,
            ))
        }
        (EndedBy::Otherwise, true) if !ending.is_sigkill() => Some(of(
            "false_oomkilled",
            no_sigkill(ending),
            format!(
                "{said}. This kill hit another process of the container and did not end it; the runtime's flag stays set from then on, \
                 whatever the end."
            ),
            STATUS,
        )),
        (EndedBy::Otherwise, true) => Some(of(
            "false_oomkilled",
            "OOMKilled, but another SIGKILL ended the container",
            format!(
                "{said}. This kill hit another process of the container, which lived on; the SIGKILL that ended it came from elsewhere, \
                 and the runtime's flag stays set from the earlier kill."
            ),
            STATUS,
        )),
        (EndedBy::Otherwise, false) => Some(of(
            "invisible_kill",
            "Kubernetes shows nothing of this kill",
            format!(
                "{said}, which is another end. The kill hit a process that was not the container's first and left no trace there."
            ),
            STATUS,
        )),
        (EndedBy::Kill | EndedBy::Unknown, _) => None,
    }
}

/// Kubernetes tells no end of the instance.
fn of_unended(account: &Account, id: Option<&str>, kill: Option<jiff::Timestamp>) -> Option<Disagreement> {
    let container = account.container.as_ref()?;
    let lives_on = container.state == Some(State::Running) && container.current_id.as_deref() == id && id.is_some();
    let asked_before = kill.zip(account.as_of).is_some_and(|(kill, asked)| asked < kill);
    if !lives_on || asked_before {
        return None;
    }
    if account.ended_by == Some(EndedBy::Kill) {
        return Some(older(container));
    }
    let events = if account.events.iter().any(|event| event.message.contains("OOM")) {
        ""
    } else {
        ", and no event of the pod speaks of it"
    };
    Some(of(
        "invisible_kill",
        "Kubernetes shows nothing of this kill",
        format!(
            "{} is shown {}{events}. The process that was killed was not its first one, so the container lives on; what remains are the \
             kernel's log and, as long as the container lives, oom_kill in its cgroup.",
            words::container(account),
            words::status(container)
        ),
        STATUS,
    ))
}

fn older(container: &ContainerAccount) -> Disagreement {
    of(
        "status_older",
        "The status is older than the kill",
        format!(
            "{} {} is shown {}, as it was before: the status was read or saved before the kubelet told of this end.",
            container.kind.unwrap_or(crate::kubernetes::ContainerKind::App),
            crate::text::name_in_text(container.name.as_bytes()),
            words::status(container)
        ),
        STATUS,
    )
}

/// The status shows other instances of the container than the one of the kill: later ones, or earlier ones.
fn other_instance(container: &ContainerAccount, id: &str, kill: Option<jiff::Timestamp>) -> Option<Disagreement> {
    let last = container.last.as_ref().and_then(|last| last.container_id.as_deref());
    let is_shown = container.current_id.as_deref() == Some(id)
        || last == Some(id)
        || last.is_none() && container.restart_count == Some(0);
    if is_shown || container.current_id.is_none() {
        return None;
    }
    let ended = container.last.as_ref().and_then(|last| last.finished);
    let latest = container.running_since.or(ended);
    if kill.zip(latest).is_some_and(|(kill, latest)| kill.as_second() > latest.as_second() + LATE_S) {
        return Some(older(container));
    }
    Some(of(
        "status_overwritten",
        "The status has forgotten this instance",
        format!(
            "container {} is shown {}; a status keeps the end of one earlier instance, and this kill hit one before that.",
            crate::text::name_in_text(container.name.as_bytes()),
            words::status(container)
        ),
        STATUS,
    ))
}

fn system_oom(incident: &Incident, account: &Account, killer: Killer) -> Vec<Disagreement> {
    let Some(node) = &account.node else { return Vec::new() };
    let mut found = Vec::new();
    let events: Vec<_> = node.events.iter().filter(|event| event.reason == "SystemOOM").collect();
    let Some(event) = events.first() else { return found };
    let of_cgroup = incident.report().scope == Some(Scope::Memcg);
    let of_machine = matches!(killer, Killer::Node | Killer::Cpuset | Killer::MemoryPolicy)
        || (killer == Killer::Unknown && !of_cgroup);
    if !of_machine {
        found.push(of(
            "system_oom_event",
            "SystemOOM, but the machine was not out of memory",
            format!(
                "An event of node {} calls this kill a system OOM; the kernel names {}. Older kubelets take every kill in the kernel's log \
                 for one of the machine.",
                crate::text::name_in_text(node.name.as_bytes()),
                level(killer)
            ),
            NODE,
        ));
    }
    found.extend(replayed(incident, node, event));
    let combined = event.message.contains("combined from similar events");
    if combined {
        found.push(of(
            "system_oom_combined",
            "Events of kills are merged",
            "The event was combined with similar ones: the kubelet sends at most a burst of 25 about one object, so events do not count kills.".to_owned(),
            NODE,
        ));
    }
    found
}

/// A kubelet that starts reads the kernel's log from its beginning and gives each kill in it the present time.
fn replayed(incident: &Incident, node: &NodeAccount, event: &ToldEvent) -> Option<Disagreement> {
    let told = event.first?;
    let late = incident.at.wall.map(|kill| told.as_second() - kill.as_second());
    let after_start = node
        .kubelet_started
        .map(|started| told.as_second() - started.as_second())
        .filter(|seconds| (0..=REPLAY_S).contains(seconds));
    let how = match (late, after_start) {
        (Some(late), _) if late > REPLAY_S => format!("{} after the kill", words::seconds(late)),
        (Some(late), Some(_)) if late > 1 => {
            format!("{} after the kill, when the kubelet had just started", words::seconds(late))
        }
        (None, Some(0)) => "the second in which the kubelet started".to_owned(),
        (None, Some(seconds)) => format!("{} after the kubelet started", words::seconds(seconds)),
        _ => return None,
    };
    let surely = if late.is_some() { "this is" } else { "so this is probably" };
    Some(of(
        "system_oom_replayed",
        "An old kill, told as new",
        format!(
            "The event SystemOOM is dated {}, {how}; {surely} a replay: a kubelet that starts reads the kernel's log from its beginning and \
             gives what it finds the present time.",
            words::clock(told)
        ),
        NODE,
    ))
}

/// Where Kubernetes tells an end that the kernel did not cause.
fn of_ending(account: &Account, judged: &Judged<'_>) -> Vec<Disagreement> {
    let who = words::container(account);
    let said = account
        .ending
        .as_ref()
        .map(|ending| format!("Kubernetes says {}{} for {who}", words::how(ending), words::at(ending.finished)));
    let said = said.unwrap_or_default();
    let one = match judged.cause {
        Cause::Evicted(eviction) => return of_eviction(account, eviction),
        Cause::AfterChild { by_itself, kill } => of(
            "false_oomkilled",
            if by_itself {
                account.ending.as_ref().map_or("OOMKilled, but the container ended by itself", no_sigkill)
            } else {
                "OOMKilled, but another SIGKILL ended the container"
            },
            format!(
                "{said}. The kernel killed another process of this instance before (case {}), and the runtime's flag stays set from then \
                 on; this end was {}.",
                kill.case,
                match &account.ending {
                    _ if !by_itself => "a SIGKILL from elsewhere",
                    Some(ending) if is_of_signal(ending) => "another signal's",
                    _ => "the first process's own",
                }
            ),
            STATUS,
        ),
        Cause::AfterSibling { kill, .. } => of(
            "innocent_container",
            "OOMKilled, but the kernel killed nothing in this container",
            format!(
                "{said}. The kill was in another container (case {}): when the limit of a pod is reached, the kernel notifies every cgroup \
                 below it, and the runtime flags every container of the pod.",
                kill.case
            ),
            STATUS,
        ),
        Cause::FalseOom => of(
            "false_oomkilled",
            "OOMKilled, but the exit code is no SIGKILL's",
            format!(
                "{said}. A first process that the kernel kills leaves 137. The runtime's flag stays set from any earlier kill in the \
                 container (or, on cgroup v1, from a limit above it), whatever the end."
            ),
            STATUS,
        ),
        Cause::OomUnseen if account.ending.as_ref().is_some_and(Ending::failed_to_start) => of(
            "kill_at_start",
            "Kubernetes tells a failure to start, not an OOM kill",
            format!("{said}; only the runtime's message to it speaks of the kill."),
            STATUS,
        ),
        Cause::OomUnseen if account.kernel.log == crate::kubernetes::Coverage::Whole => of(
            "oomkilled_without_kill",
            "OOMKilled, but the kernel's log has no such kill",
            format!("{said}; the kernel's log of that time was read and has no kill in this pod."),
            STATUS,
        ),
        Cause::StatusLost => of(
            "status_lost",
            "Exit code 137 was made up",
            format!(
                "{said}. The kubelet writes this code when the runtime no longer knows the container, as after a reboot of the node."
            ),
            STATUS,
        ),
        Cause::Stranger | Cause::Probe { .. } | Cause::GraceOver { .. } | Cause::Pod { .. } => of(
            "sigkill_not_oom",
            if account.kernel.log == crate::kubernetes::Coverage::None && judged.cause == Cause::Stranger {
                "Exit code 137 is not called an OOM kill"
            } else {
                "Exit code 137, and no OOM kill"
            },
            format!("{said}. 137 is 128 + 9, any SIGKILL; dashboards and people read it as an OOM kill."),
            EVENTS,
        ),
        Cause::OomUnseen => return Vec::new(),
    };
    vec![one]
}

fn of_eviction(account: &Account, eviction: &Eviction) -> Vec<Disagreement> {
    let mut found = Vec::new();
    // Newer kubelets keep them.
    if account.pod.as_ref().is_some_and(|pod| pod.reason.as_deref() == Some("Evicted") && pod.statuses_lost) {
        found.push(of(
            "status_lost",
            "The status has lost the containers",
            "The pod is Failed with reason Evicted, and exit codes, restart counts and the last states of its containers are gone from it."
                .to_owned(),
            STATUS,
        ));
    }
    if eviction.low_on().is_some_and(|low| low.is_about_memory() && !low.containers.is_empty()) {
        found.push(of(
            "usage_stale",
            "The usage in the message is an old sample",
            "The kubelet ranks and reports by its last sample, up to ten seconds old or more: a pod that grows fast held more than it says."
                .to_owned(),
            STATUS,
        ));
    }
    // Of the transitions seen, the one that belongs to this eviction.
    let pressure = account.node.iter().flat_map(|node| &node.memory_pressure);
    let since = eviction.at.and_then(|evicted| {
        pressure.filter(|since| (since.as_second() - evicted.as_second()).abs() < 300).min().copied()
    });
    if let Some((evicted, since)) = eviction.at.zip(since).filter(|(evicted, since)| since > evicted) {
        found.push(of(
            "condition_late",
            "MemoryPressure came after the eviction",
            format!(
                "The pod was evicted at {}, the node's condition turned true at {}: conditions are posted every ten seconds.",
                words::clock(evicted),
                words::clock(since)
            ),
            NODE,
        ));
    }
    found
}

/// An exit code that tells a signal, but another than SIGKILL: 143 is what a pod leaves that is drained or deleted.
fn is_of_signal(ending: &Ending) -> bool {
    ending.exit_code.is_some_and(|code| (129..=192).contains(&code))
}

fn no_sigkill(ending: &Ending) -> &'static str {
    if is_of_signal(ending) {
        "OOMKilled, but another signal than SIGKILL ended the container"
    } else {
        "OOMKilled, but the container ended by itself"
    }
}

const fn is_above(killer: Killer) -> bool {
    !matches!(killer, Killer::ContainerLimit | Killer::Unknown)
}

const fn level(killer: Killer) -> &'static str {
    match killer {
        Killer::ContainerLimit => "the limit of the container's own cgroup",
        Killer::PodLimit => "the limit of the pod's cgroup (its own, else the sum of its containers' limits)",
        Killer::AncestorLimit => "a limit above the pods: all pods of the node, or a QoS class",
        Killer::CgroupLimit => "the limit of a cgroup outside of Kubernetes",
        Killer::Node => "the machine: it ran out of memory",
        Killer::Cpuset => "the memory nodes of a cpuset",
        Killer::MemoryPolicy => "the memory nodes of a memory policy",
        _ => "the limit of a cgroup",
    }
}
