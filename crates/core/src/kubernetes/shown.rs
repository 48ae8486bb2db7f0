//! What Kubernetes' objects and the runtime's words come to in an account: pods, containers, back-offs, evictions, nodes.

use std::collections::BTreeSet;

use super::account::{
    Account, BackOff, ContainerAccount, Eviction, KernelSide, NodeAccount, PodAccount, State, ToldEvent,
};
use super::clock_tie::moved;
use super::eviction::EvictionCause;
use super::{
    Condition, ContainerStatus, Directory, EmptyDir, Ending, Event, NodeCondition, Pod, PodRecord, Qos, Quantity,
    Resources, RuntimeContainer, Source,
};
use crate::units::Bytes;

/// What the kubelet did to the pod, by its status or by the event.
pub(super) fn eviction(record: &PodRecord) -> Option<Eviction> {
    let status = &record.pod.status;
    let event = record.events.iter().rev().find(|event| event.reason == "Evicted");
    let by_status = status.reason.as_deref() == Some("Evicted");
    let message = match (by_status, event) {
        (true, event) => {
            status.message.clone().or_else(|| event.map(|event| event.message.clone())).unwrap_or_default()
        }
        // Others call it so too when they drain a node or move a pod (Karpenter: "Evicted pod: Underutilized").
        (false, Some(event)) if EvictionCause::parse(&event.message).is_some() => event.message.clone(),
        (false, _) => return None,
    };
    let disrupted = status.conditions.iter().find(|condition| condition.kind == "DisruptionTarget");
    let at = event.and_then(Event::first).or_else(|| disrupted?.last_transition_time);
    Some(Eviction::of_message(at, message))
}

pub(super) fn told(event: &Event) -> ToldEvent {
    ToldEvent {
        first: event.first(),
        last: event.last(),
        count: event.count,
        reason: event.reason.clone(),
        message: event.message.clone(),
        container: event.container().map(str::to_owned),
    }
}

pub(super) fn pod_account(record: &PodRecord, labels: &[String]) -> PodAccount {
    let pod = &record.pod;
    let meta = &pod.metadata;
    let is_odd = |condition: &&Condition| {
        let usual = matches!(
            condition.kind.as_str(),
            "Ready" | "ContainersReady" | "Initialized" | "PodScheduled" | "PodReadyToStartContainers"
        );
        if usual { condition.status != "True" } else { condition.status == "True" }
    };
    PodAccount {
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: pod.cgroup_uid().map(str::to_owned),
        phase: pod.status.phase.clone(),
        reason: pod.status.reason.clone(),
        message: pod.status.message.clone(),
        qos: Some(pod.qos()),
        priority: pod.spec.priority,
        restart_policy: pod.spec.restart_policy.clone(),
        deletion: meta.deletion_timestamp,
        grace_seconds: meta.deletion_grace_period_seconds.or(pod.spec.termination_grace_period_seconds),
        containers: pod.containers().count(),
        statuses_lost: pod.statuses().next().is_none(),
        conditions: pod.status.conditions.iter().filter(is_odd).cloned().collect(),
        memory_volumes: memory_volumes(pod),
        gone: record.gone,
        labels: labels
            .iter()
            .filter_map(|name| meta.labels.get_key_value(name))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect(),
    }
}

fn memory_volumes(pod: &Pod) -> Vec<String> {
    let volumes = pod.spec.volumes.iter();
    let in_memory = volumes.filter(|volume| volume.empty_dir.as_ref().is_some_and(EmptyDir::is_memory));
    in_memory.map(|volume| volume.name.clone()).collect()
}

pub(super) fn container_account(pod: &Pod, name: &str, source: Source) -> ContainerAccount {
    let spec = pod.container(name);
    let resources = spec.map(|container| &container.resources);
    let memory = |quantity: Option<Quantity>| quantity.map(Quantity::bytes);
    let account = ContainerAccount {
        name: name.to_owned(),
        kind: pod.kind_of(name),
        image: spec.and_then(|container| container.image.clone()),
        limit_bytes: memory(resources.and_then(Resources::memory_limit)),
        request_bytes: memory(resources.and_then(Resources::memory_request)),
        ..ContainerAccount::default()
    };
    match pod.status_of(name) {
        Some(status) => with_status(account, pod, status, source),
        None => account,
    }
}

fn with_status(account: ContainerAccount, pod: &Pod, status: &ContainerStatus, source: Source) -> ContainerAccount {
    let state = &status.state;
    let last = status.last_state.terminated.as_ref().map(|ended| Ending::of(pod, status, ended, source));
    let (what, reason) = match (&state.waiting, &state.running, &state.terminated) {
        (Some(waiting), _, _) => (Some(State::Waiting), waiting.reason.clone()),
        (_, Some(_), _) => (Some(State::Running), None),
        (_, _, Some(ended)) => (Some(State::Terminated), ended.reason.clone()),
        _ => (None, None),
    };
    ContainerAccount {
        image: account.image.or_else(|| status.image.clone()),
        resize: resize(pod),
        restart_count: Some(status.restart_count),
        ready: Some(status.ready),
        state: what,
        reason,
        running_since: state.running.as_ref().and_then(|running| running.started_at),
        current_id: status.id().map(str::to_owned),
        back_off: back_off(status, last.as_ref()),
        last,
        ..account
    }
}

/// A resize that the kubelet has not finished (`status.resize` before 1.33, conditions since).
fn resize(pod: &Pod) -> Option<String> {
    let condition = pod.status.conditions.iter().find(|condition| {
        matches!(condition.kind.as_str(), "PodResizePending" | "PodResizeInProgress") && condition.status == "True"
    });
    let by_condition = condition.map(|condition| match &condition.reason {
        Some(reason) => format!("{}: {reason}", condition.kind),
        None => condition.kind.clone(),
    });
    by_condition.or_else(|| pod.status.resize.clone().filter(|resize| !resize.is_empty()))
}

/// `back-off 20s restarting failed container=…` (pkg/kubelet/kuberuntime/kuberuntime_manager.go, `doBackOff`).
fn back_off(status: &ContainerStatus, last: Option<&Ending>) -> Option<BackOff> {
    let waiting =
        status.state.waiting.as_ref().filter(|waiting| waiting.reason.as_deref() == Some("CrashLoopBackOff"))?;
    let words = waiting.message.as_deref().and_then(|message| message.strip_prefix("back-off "));
    let length = words.and_then(|words| words.split_once(' ')).and_then(|(length, _)| go_duration(length));
    let end = last.and_then(|last| last.finished);
    let until = end.zip(length).map(|(end, seconds)| moved(end, i64::try_from(seconds).unwrap_or(0) * 1_000_000));
    Some(BackOff { seconds: length, until })
}

/// `20s`, `2m40s`, `5m0s`
fn go_duration(text: &str) -> Option<u64> {
    let length: jiff::SignedDuration = text.parse().ok()?;
    u64::try_from(length.as_secs()).ok()
}

/// The node, unless it is another one than the pod's: objects of a whole cluster have several.
pub(super) fn node_account(directory: &Directory, of_pod: Option<&str>) -> Option<NodeAccount> {
    let node = directory.node.as_ref().filter(|node| of_pod.is_none_or(|name| name == node.metadata.name))?;
    let is_odd = |condition: &&NodeCondition| match condition.kind.as_str() {
        "MemoryPressure" => true,
        "Ready" => condition.status != "True",
        _ => condition.status == "True",
    };
    Some(NodeAccount {
        name: node.metadata.name.clone(),
        conditions: node.status.conditions.iter().filter(is_odd).cloned().collect(),
        memory_pressure: directory.memory_pressure.clone(),
        ..NodeAccount::default()
    })
}

/// Where only the runtime knows the container: no pod's status, but names, and how the instance ended.
pub(super) fn of_runtime(container: &RuntimeContainer, directory: &Directory) -> Option<Account> {
    let (_, source) = directory.containers().find(|(known, _)| known.id == container.id)?;
    let same_pod = |other: &RuntimeContainer| {
        other.container.is_some() && container.pod_uid.is_some() && other.pod_uid == container.pod_uid
    };
    let names: BTreeSet<&str> = directory
        .containers()
        .filter(|(other, _)| same_pod(other))
        .filter_map(|(other, _)| other.container.as_deref())
        .collect();
    Some(Account {
        source,
        as_of: None,
        pod: Some(PodAccount {
            namespace: container.namespace.clone(),
            name: container.pod.clone()?,
            uid: container.pod_uid.clone(),
            qos: None::<Qos>,
            containers: names.len(),
            ..PodAccount::default()
        }),
        container: runtime_account(container),
        ending: None,
        ended_by: None,
        eviction: None,
        events: Vec::new(),
        node: node_account(directory, None),
        kernel: KernelSide::default(),
    })
}

/// A container by the runtime's words; `None` for a sandbox.
pub(super) fn runtime_account(container: &RuntimeContainer) -> Option<ContainerAccount> {
    Some(ContainerAccount {
        name: container.container.clone()?,
        kind: container.kind,
        image: container.image.clone(),
        limit_bytes: container.memory_limit.filter(|limit| *limit > Bytes(0)),
        restart_count: container.restart_count,
        state: Some(if container.finished.is_some() { State::Terminated } else { State::Running }),
        reason: container.reason.clone(),
        running_since: container.started.filter(|_| container.finished.is_none()),
        current_id: Some(container.id.clone()),
        ..ContainerAccount::default()
    })
}
