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
    labels.get(name).and_then(text)
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

#[cfg(test)]
mod tests {
    use super::super::messages::{ContainerStatus, PodSandboxStatus};
    use super::*;
    use serde_json::{Value, json};

    fn labels(value: &Value) -> HashMap<String, String> {
        serde_json::from_value(value.clone()).unwrap_or_default()
    }

    fn number(value: &Value) -> i32 {
        value.as_i64().unwrap_or(0).try_into().unwrap()
    }

    fn nanoseconds(value: &Value) -> i64 {
        let time = value.as_str().and_then(|time| time.parse::<Timestamp>().ok());
        time.map_or(0, |time| time.as_nanosecond().try_into().unwrap())
    }

    fn word(value: &Value) -> String {
        value.as_str().unwrap_or_default().to_owned()
    }

    /// The answer that crictl has printed as JSON.
    fn answer(printed: &Value) -> ContainerStatusResponse {
        let status = &printed["status"];
        let metadata = &status["metadata"];
        ContainerStatusResponse {
            status: Some(ContainerStatus {
                id: word(&status["id"]),
                metadata: Some(ContainerMetadata {
                    name: word(&metadata["name"]),
                    attempt: number(&metadata["attempt"]).try_into().unwrap(),
                }),
                state: number(&status["state"]),
                started_at: nanoseconds(&status["startedAt"]),
                finished_at: nanoseconds(&status["finishedAt"]),
                exit_code: number(&status["exitCode"]),
                image: Some(ImageSpec { image: word(&status["image"]["image"]), ..ImageSpec::default() }),
                reason: word(&status["reason"]),
                labels: labels(&status["labels"]),
                resources: None,
            }),
            info: HashMap::from([("info".to_owned(), printed["info"]["info"].to_string())]),
        }
    }

    /// A container after its kill, as containerd 1.6 answers.
    #[test]
    fn a_killed_container() {
        let container = container(
            &answer(&json!({
                "status": {
                    "id": "13ca", "metadata": {"name": "api", "attempt": 2}, "state": 2,
                    "startedAt": "2026-11-21T07:33:34.146043774Z", "finishedAt": "2026-11-21T07:33:43.264570162Z",
                    "exitCode": 137, "reason": "OOMKilled", "image": {"image": "localhost/workload:1"},
                    "labels": {"io.kubernetes.pod.name": "checkout-1", "io.kubernetes.pod.namespace": "shop",
                               "io.kubernetes.pod.uid": "5cd4", "io.kubernetes.container.name": "api"}
                },
                "info": {"info": {"sandboxID": "2982", "pid": 0, "config": {"image": {"image": "sha256:745f"}},
                    "runtimeSpec": {"linux": {"cgroupsPath": "/kubepods/burstable/pod5cd4/13ca",
                                              "resources": {"memory": {"limit": 52_428_800}}},
                                    "process": {"oomScoreAdj": 999}}}}
            })),
            "containerd",
        );
        let expected = RuntimeContainer {
            id: "13ca".to_owned(),
            runtime: Some("containerd".to_owned()),
            pod_uid: Some("5cd4".to_owned()),
            namespace: Some("shop".to_owned()),
            pod: Some("checkout-1".to_owned()),
            container: Some("api".to_owned()),
            sandbox_id: Some("2982".to_owned()),
            restart_count: Some(2),
            image: Some("localhost/workload:1".to_owned()),
            started: "2026-11-21T07:33:34.146043774Z".parse().ok(),
            finished: "2026-11-21T07:33:43.264570162Z".parse().ok(),
            exit_code: Some(137),
            reason: Some("OOMKilled".to_owned()),
            cgroup: Some("/kubepods/burstable/pod5cd4/13ca".to_owned()),
            memory_limit: Some(Bytes(52_428_800)),
            oom_score_adj: Some(999),
            ..RuntimeContainer::default()
        };
        assert_eq!(container, expected);
    }

    /// A runtime that tells nothing more, and one whose JSON is no longer understood.
    #[test]
    fn without_info() {
        for info in [HashMap::new(), HashMap::from([("info".to_owned(), "{\"pid\":\"one\"".to_owned())])] {
            let status = ContainerStatus { id: "c".to_owned(), state: RUNNING, ..ContainerStatus::default() };
            let container = container(&ContainerStatusResponse { status: Some(status), info: info.clone() }, "x");
            let expected =
                RuntimeContainer { id: "c".to_owned(), runtime: Some("x".to_owned()), ..RuntimeContainer::default() };
            assert_eq!(container, expected);
            let sandbox = sandbox(&PodSandboxStatusResponse { status: Some(PodSandboxStatus::default()), info }, "x");
            assert_eq!((sandbox.kind, sandbox.pod, sandbox.started), (Some(ContainerKind::Pause), None, None));
        }
    }

    /// Every container of the recorded cluster is named alike by its labels and by its spec.
    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test must say so")]
    fn recorded_containers() {
        let shared = oomscope_testkit::corpus::shared_root();
        let Some(fixtures) = shared.map(|corpus| corpus.join("../fixtures/kubernetes")).filter(|path| path.is_dir())
        else {
            return eprintln!("SKIPPED recorded_containers: no recorded cluster here (OOMSCOPE_CORPUS)");
        };
        let files = std::fs::read_dir(fixtures).unwrap().flatten().flat_map(|folder| std::fs::read_dir(folder.path()));
        let files = files.flatten().flatten().filter(|file| file.file_name().to_string_lossy().starts_with("cri-"));
        let mut seen = 0;
        for file in files {
            let printed: Value = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
            for printed in printed["containers"].as_array().into_iter().flatten() {
                let answer = answer(printed);
                let container = container(&answer, "containerd");
                let by_spec = info(&answer.info).spec.container(&container.id);
                if by_spec.cgroup.is_none() {
                    continue;
                }
                seen += 1;
                assert_eq!((&container.pod, &container.namespace), (&by_spec.pod, &by_spec.namespace));
                assert_eq!((&container.pod_uid, &container.container), (&by_spec.pod_uid, &by_spec.container));
                assert!(container.cgroup.unwrap().ends_with(&container.id));
                assert_eq!(container.finished.is_some(), container.exit_code.is_some());
            }
        }
        assert!(seen > 3, "{seen}");
    }
}
