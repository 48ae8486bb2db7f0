//! Docker's files: `containers/<id>/{config.v2.json,hostconfig.json}`, which stay until the container is removed. cri-dockerd gives the
//! kubelet's names as labels (its `core/helpers.go`).

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use oomscope_core::kubernetes::{ContainerKind, RuntimeContainer};
use oomscope_core::units::Bytes;
use serde::Deserialize;

use super::storage::is_a_time;
use super::{Ids, json, name_is_id};
use crate::kubernetes::below::Below;
use crate::kubernetes::oci::{self, null_is_default};

const FOLDER: &str = "/var/lib/docker/containers";

pub(super) fn ids(below: &Below, ids: &mut Ids) {
    ids.folder(below, FOLDER, name_is_id);
}

pub(super) fn container(below: &Below, id: &str) -> Option<RuntimeContainer> {
    let folder = Path::new(FOLDER).join(id);
    let mut container = json::<Container>(below, folder.join("config.v2.json"))?.container(id);
    let host: HostConfig = json(below, folder.join("hostconfig.json")).unwrap_or_default();
    container.memory_limit = u64::try_from(host.memory).ok().filter(|limit| *limit > 0).map(Bytes);
    container.oom_score_adj = host.oom_score_adj;
    Some(container)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Container {
    name: String,
    restart_count: Option<u32>,
    #[serde(deserialize_with = "null_is_default")]
    config: Config,
    #[serde(deserialize_with = "null_is_default")]
    state: State,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    image: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct State {
    running: bool,
    pid: u32,
    exit_code: i32,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    memory: i64,
    oom_score_adj: Option<i32>,
}

impl Container {
    fn container(self, id: &str) -> RuntimeContainer {
        let Self { name, restart_count, config: Config { image, labels }, state } = self;
        let label = |name: &str| labels.get(name).cloned().filter(|value| !value.is_empty());
        let is_sandbox = label("io.kubernetes.docker.type").as_deref() == Some("podsandbox");
        let own_name = Some(name.trim_start_matches('/').to_owned()).filter(|name| !name.is_empty());
        let kubelets_count = label(&format!("annotation.{}", oci::RESTART_COUNT)).and_then(|count| count.parse().ok());
        // The end that is written down while it runs is that of the run before.
        let finished = state.finished_at.filter(|time| !state.running && is_a_time(time));
        RuntimeContainer {
            id: id.to_owned(),
            runtime: Some("docker".to_owned()),
            pod_uid: label(oci::POD_UID),
            namespace: label(oci::POD_NAMESPACE),
            pod: label(oci::POD_NAME),
            container: label(oci::CONTAINER_NAME).or(own_name).filter(|_| !is_sandbox),
            kind: is_sandbox.then_some(ContainerKind::Pause),
            sandbox_id: label("io.kubernetes.sandbox.id"),
            restart_count: kubelets_count.or(restart_count),
            image,
            init_pid: Some(state.pid).filter(|pid| state.running && *pid > 0),
            started: state.started_at.filter(is_a_time),
            finished,
            exit_code: finished.map(|_| state.exit_code),
            reason: (finished.is_some() && state.oom_killed).then(|| "OOMKilled".to_owned()),
            // A container's own labels are not its pod's.
            labels: labels.into_iter().filter(|(name, _)| is_sandbox && !oci::is_kubelets(name)).collect(),
            ..RuntimeContainer::default()
        }
    }
}
