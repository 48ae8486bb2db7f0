//! Files of CRI-O and Podman, which share a storage library: `overlay-containers/<id>/userdata/` below a folder that survives a boot and
//! one that does not. The spec is in both while the container exists; CRI-O adds how it ended (`state.json`, its
//! `internal/oci/container.go`).

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use oomscope_core::kubernetes::RuntimeContainer;
use serde::Deserialize;

use super::{Ids, json, name_is_id};
use crate::kubernetes::below::Below;
use crate::kubernetes::oci::Spec;

/// By storage driver; the second is that of file systems without overlays.
const FOLDERS: [&str; 4] = [
    "/run/containers/storage/overlay-containers",
    "/var/lib/containers/storage/overlay-containers",
    "/run/containers/storage/vfs-containers",
    "/var/lib/containers/storage/vfs-containers",
];
/// In each of the folders: what the storage library knows, for all containers at once.
const RECORDS: &str = "containers.json";

pub(super) fn ids(below: &Below, ids: &mut Ids) {
    for folder in FOLDERS {
        // Podman keeps lists and locks beside the containers' folders.
        ids.folder(below, folder, |name| name_is_id(name).filter(|name| !name.contains('.')));
    }
}

pub(super) fn container(below: &Below, id: &str) -> Option<RuntimeContainer> {
    let userdata = |folder: &str| PathBuf::from(folder).join(id).join("userdata");
    let spec: Spec = FOLDERS.iter().find_map(|folder| json(below, userdata(folder).join("config.json")))?;
    let mut container = spec.container(id);
    if let Some(state) = FOLDERS.iter().find_map(|folder| json::<State>(below, userdata(folder).join("state.json"))) {
        container.fill(state.container());
    }
    if container.container.is_none() && container.kind.is_none() {
        container.fill(FOLDERS.iter().find_map(|folder| record(below, folder, id)).unwrap_or_default());
    }
    Some(container)
}

/// CRI-O's state of a container.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct State {
    status: String,
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
    exit_code: Option<i32>,
    #[serde(rename = "oomKilled")]
    oom_killed: bool,
    init_pid: Option<u32>,
}

impl State {
    fn container(self) -> RuntimeContainer {
        let has_ended = self.status == "stopped";
        RuntimeContainer {
            init_pid: self.init_pid.filter(|pid| *pid > 0 && self.status == "running"),
            started: self.started.filter(is_a_time),
            finished: self.finished.filter(|time| has_ended && is_a_time(time)),
            exit_code: self.exit_code.filter(|_| has_ended),
            reason: (has_ended && self.oom_killed).then(|| "OOMKilled".to_owned()),
            ..RuntimeContainer::default()
        }
    }
}

/// Go's zero time is in the year 1.
pub(super) fn is_a_time(time: &Timestamp) -> bool {
    time.as_second() > 0
}

/// What the storage library knows of a container; Podman's names are only there.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Record {
    id: String,
    names: Option<Vec<String>>,
    /// JSON of whoever made it.
    metadata: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Metadata {
    image_name: Option<String>,
}

fn record(below: &Below, folder: &str, id: &str) -> Option<RuntimeContainer> {
    let records: Vec<Record> = json(below, Path::new(folder).join(RECORDS))?;
    let record = records.into_iter().find(|record| record.id == id)?;
    let metadata: Metadata = serde_json::from_str(&record.metadata).unwrap_or_default();
    Some(RuntimeContainer {
        container: record.names.unwrap_or_default().into_iter().next(),
        image: metadata.image_name.filter(|name| !name.is_empty()),
        ..RuntimeContainer::default()
    })
}
