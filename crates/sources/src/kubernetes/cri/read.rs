//! From CRI's answers to what the rest of the program knows of a container.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use oomscope_core::kubernetes::{ContainerKind, RuntimeContainer};
use oomscope_core::units::Bytes;
use serde::Deserialize;

use super::messages::{
    Container, ContainerMetadata, ContainerStatusResponse, ImageSpec, PodSandbox, PodSandboxMetadata,
    PodSandboxStatusResponse,
};
use crate::kubernetes::oci::{self, Spec, null_is_default};

/// `CONTAINER_RUNNING` of a container, `CONTAINER_EXITED`.
const RUNNING: i32 = 1;
const EXITED: i32 = 2;
/// `SANDBOX_READY`.
const READY: i32 = 0;

/// What both containerd (`pkg/cri/server/container_status.go`) and CRI-O (`server/container_status.go`) put under `info`, among
/// other things; cri-dockerd puts nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Info {
    #[serde(rename = "sandboxID")]
    sandbox_id: Option<String>,
    /// 0 once it has ended.
    pid: Option<u32>,
    #[serde(rename = "runtimeSpec", deserialize_with = "null_is_default")]
    spec: Spec,
    #[serde(deserialize_with = "null_is_default")]
    config: Config,
}

/// The kubelet's request, of which the digest in the status has lost the image's name.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    #[serde(deserialize_with = "null_is_default")]
    image: ConfigImage,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigImage {
    user_specified_image: Option<String>,
}

/// A form that is not understood is as good as none.
fn info(info: &HashMap<String, String>) -> Info {
    info.get("info").and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

/// A container from its status.
pub(super) fn container(answer: &ContainerStatusResponse, runtime: &str) -> RuntimeContainer {
    let status = answer.status.clone().unwrap_or_default();
    let info = info(&answer.info);
    let by_spec = with_pod_labels(info.spec.container(&status.id), &status.labels);
    let (name, attempt) = name_of(status.metadata.as_ref());
    let has_ended = status.state == EXITED;
    let resources = status.resources.as_ref().and_then(|resources| resources.linux.as_ref());
    let limit = resources.and_then(|linux| u64::try_from(linux.memory_limit_in_bytes).ok()).filter(|limit| *limit > 0);
    RuntimeContainer {
        runtime: Some(runtime.to_owned()),
        container: name.or_else(|| label(&status.labels, oci::CONTAINER_NAME)).or(by_spec.container),
        kind: None,
        sandbox_id: info.sandbox_id.or(by_spec.sandbox_id),
        restart_count: attempt,
        image: user_image(status.image.as_ref(), &info.config)
            .or(by_spec.image)
            .or_else(|| image(status.image.as_ref())),
        init_pid: info.pid.filter(|pid| *pid > 0 && status.state == RUNNING),
        started: time(status.started_at),
        finished: time(status.finished_at),
        exit_code: has_ended.then_some(status.exit_code),
        reason: text(&status.reason),
        // What is in force after a resize comes before what it was created with.
        memory_limit: limit.map(Bytes).or(by_spec.memory_limit),
        labels: BTreeMap::new(),
        ..by_spec
    }
}

/// A sandbox from its status.
pub(super) fn sandbox(answer: &PodSandboxStatusResponse, runtime: &str) -> RuntimeContainer {
    let status = answer.status.clone().unwrap_or_default();
    let info = info(&answer.info);
    let listed = PodSandbox {
        id: status.id,
        metadata: status.metadata,
        state: status.state,
        created_at: status.created_at,
        labels: status.labels,
    };
    let by_spec = info.spec.container(&listed.id);
    let by_status = listed_sandbox(&listed, runtime);
    RuntimeContainer {
        image: by_spec.image,
        init_pid: info.pid.filter(|pid| *pid > 0 && status.state == READY),
        cgroup: by_spec.cgroup,
        memory_limit: by_spec.memory_limit,
        oom_score_adj: by_spec.oom_score_adj,
        ..by_status
    }
}

/// A sandbox as the list has it.
pub(super) fn listed_sandbox(sandbox: &PodSandbox, runtime: &str) -> RuntimeContainer {
    let mut container = RuntimeContainer {
        id: sandbox.id.clone(),
        runtime: Some(runtime.to_owned()),
        kind: Some(ContainerKind::Pause),
        sandbox_id: Some(sandbox.id.clone()),
        restart_count: sandbox.metadata.as_ref().map(|metadata| metadata.attempt),
        started: time(sandbox.created_at),
        ..RuntimeContainer::default()
    };
    complete(&mut container, sandbox);
    container
}

/// A container as the list has it.
pub(super) fn listed(listed: &Container, runtime: &str) -> RuntimeContainer {
    let (container, restart_count) = name_of(listed.metadata.as_ref());
    RuntimeContainer {
        runtime: Some(runtime.to_owned()),
        container,
        restart_count,
        sandbox_id: text(&listed.pod_sandbox_id),
        image: image(listed.image.as_ref()),
        ..with_pod_labels(RuntimeContainer { id: listed.id.clone(), ..RuntimeContainer::default() }, &listed.labels)
    }
}

/// Adds what the sandbox tells of the pod.
pub(super) fn complete(container: &mut RuntimeContainer, sandbox: &PodSandbox) {
    let own = |part: fn(&PodSandboxMetadata) -> &str| sandbox.metadata.as_ref().map(part).and_then(text);
    let fill = |known: &mut Option<String>, other: Option<String>| *known = known.take().or(other);
    fill(&mut container.pod_uid, own(|metadata| &metadata.uid));
    fill(&mut container.namespace, own(|metadata| &metadata.namespace));
    fill(&mut container.pod, own(|metadata| &metadata.name));
    let labels = sandbox.labels.iter().filter(|(name, _)| !oci::is_kubelets(name));
    container.labels = labels.map(|(name, value)| (name.clone(), value.clone())).collect();
}

/// The kubelet's labels name the pod of every container.
fn with_pod_labels(container: RuntimeContainer, labels: &HashMap<String, String>) -> RuntimeContainer {
    RuntimeContainer {
        pod_uid: label(labels, oci::POD_UID).or(container.pod_uid),
        namespace: label(labels, oci::POD_NAMESPACE).or(container.namespace),
        pod: label(labels, oci::POD_NAME).or(container.pod),
        ..container
    }
}

fn label(labels: &HashMap<String, String>, name: &str) -> Option<String> {
    labels.get(name).and_then(|value| text(value))
}

fn name_of(metadata: Option<&ContainerMetadata>) -> (Option<String>, Option<u32>) {
    (metadata.and_then(|metadata| text(&metadata.name)), metadata.map(|metadata| metadata.attempt))
}

fn user_image(image: Option<&ImageSpec>, config: &Config) -> Option<String> {
    let by_status = image.and_then(|image| text(&image.user_specified_image));
    by_status.or_else(|| config.image.user_specified_image.clone())
}

fn image(image: Option<&ImageSpec>) -> Option<String> {
    image.and_then(|image| text(&image.image))
}

/// CRI writes nothing as the empty string.
fn text(text: impl AsRef<str>) -> Option<String> {
    Some(text.as_ref().to_owned()).filter(|text| !text.is_empty())
}

/// Nanoseconds since 1970, 0 for never.
fn time(nanoseconds: i64) -> Option<Timestamp> {
    if nanoseconds <= 0 {
        return None;
    }
    Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()
}
