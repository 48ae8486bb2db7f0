//! containerd's files: the bundle of each running container, and how each ended.
//!
//! `<state>/io.containerd.runtime.v2.task/<namespace>/<id>/{config.json,init.pid}` is there while the container's shim is: from its
//! creation to some 50 ms after its end. `<root>/io.containerd.grpc.v1.cri/containers/<id>/status` is there until the container is
//! removed, and has exit code, reason and times, but no names (containerd's `pkg/cri/store/container/status.go`). The rest is in a
//! database of containerd's that is not read here.

use std::path::PathBuf;

use jiff::Timestamp;
use oomscope_core::kubernetes::RuntimeContainer;
use oomscope_core::units::Bytes;
use serde::Deserialize;

use super::{Ids, is_name, json, merge, name_is_id};
use crate::kubernetes::below::Below;
use crate::kubernetes::oci::Spec;

/// State and root folder of containerd itself and of the distributions that bring their own.
const PLACES: [(&str, &str); 6] = [
    ("/run/containerd", "/var/lib/containerd"),
    ("/run/k3s/containerd", "/var/lib/rancher/k3s/agent/containerd"),
    ("/run/k3s/containerd", "/var/lib/rancher/rke2/agent/containerd"),
    ("/var/snap/microk8s/common/run/containerd", "/var/snap/microk8s/common/var/lib/containerd"),
    ("/run/k0s/containerd", "/var/lib/k0s/containerd"),
    ("/run/docker/containerd/daemon", "/var/lib/docker/containerd/daemon"),
];
/// Of the shims in use, and of containerd before 1.4.
const TASKS: [&str; 2] = ["io.containerd.runtime.v2.task", "io.containerd.runtime.v1.linux"];
const STATUSES: &str = "io.containerd.grpc.v1.cri/containers";
/// Namespaces of one containerd: two or three.
const MOST_NAMESPACES: usize = 64;

/// Where this machine's containerds keep their files.
#[derive(Debug, Default)]
pub(super) struct Containerd {
    bundles: Vec<Bundles>,
    statuses: Vec<PathBuf>,
}

#[derive(Debug)]
struct Bundles {
    namespace: String,
    folder: PathBuf,
}

impl Containerd {
    pub(super) fn find(below: &Below) -> Self {
        let mut found = Self::default();
        let mut states: Vec<&str> = PLACES.iter().map(|(state, _)| *state).collect();
        states.dedup();
        for folder in states.iter().flat_map(|state| TASKS.map(|tasks| PathBuf::from(state).join(tasks))) {
            // Where a namespace cannot be listed, that of pods may still be entered.
            let names =
                below.names(&folder, MOST_NAMESPACES).map_or_else(|_| vec!["k8s.io".into()], |names| names.names);
            let names = names.into_iter().filter_map(|name| name.into_string().ok()).filter(|name| is_name(name));
            let bundles = names.map(|namespace| Bundles { folder: folder.join(&namespace), namespace });
            found.bundles.extend(bundles.filter(|bundles| below.is_there(&bundles.folder)));
        }
        let statuses = PLACES.iter().map(|(_, root)| PathBuf::from(root).join(STATUSES));
        found.statuses = statuses.filter(|folder| below.is_there(folder)).collect();
        found
    }

    pub(super) fn ids(&self, below: &Below, ids: &mut Ids) {
        for folder in self.bundles.iter().map(|bundles| &bundles.folder).chain(&self.statuses) {
            ids.folder(below, folder, name_is_id);
        }
    }

    pub(super) fn container(&self, below: &Below, id: &str) -> Option<RuntimeContainer> {
        let bundles = self.bundles.iter().map(|bundles| bundles.container(below, id));
        let statuses = self
            .statuses
            .iter()
            .map(|folder| Some(json::<Status>(below, folder.join(id).join("status"))?.container(id)));
        merge(bundles.chain(statuses))
    }
}

impl Bundles {
    fn container(&self, below: &Below, id: &str) -> Option<RuntimeContainer> {
        let bundle = self.folder.join(id);
        let mut container = json::<Spec>(below, bundle.join("config.json"))?.container(id);
        let by_namespace = if self.namespace == "moby" { "docker" } else { "containerd" };
        container.runtime.get_or_insert_with(|| by_namespace.to_owned());
        let pid = below.read(bundle.join("init.pid"), 32).ok();
        container.init_pid = pid.and_then(|pid| std::str::from_utf8(&pid).ok()?.trim().parse().ok());
        Some(container)
    }
}

/// Times are nanoseconds since 1970, 0 for not yet.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Status {
    pid: u32,
    started_at: i64,
    finished_at: i64,
    exit_code: i32,
    reason: String,
    resources: Option<Resources>,
}

/// Since containerd 1.7: what is in force, also after a resize.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resources {
    linux: Option<Linux>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Linux {
    memory_limit_in_bytes: u64,
    oom_score_adj: Option<i32>,
}

impl Status {
    fn container(self, id: &str) -> RuntimeContainer {
        let finished = time(self.finished_at);
        let linux = self.resources.and_then(|resources| resources.linux).unwrap_or_default();
        RuntimeContainer {
            id: id.to_owned(),
            runtime: Some("containerd".to_owned()),
            init_pid: Some(self.pid).filter(|pid| *pid > 0 && finished.is_none()),
            started: time(self.started_at),
            finished,
            exit_code: finished.map(|_| self.exit_code),
            reason: Some(self.reason).filter(|reason| !reason.is_empty()),
            memory_limit: Some(Bytes(linux.memory_limit_in_bytes)).filter(|limit| limit.0 > 0),
            oom_score_adj: linux.oom_score_adj,
            ..RuntimeContainer::default()
        }
    }
}

fn time(nanoseconds: i64) -> Option<Timestamp> {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).ok().filter(|_| nanoseconds > 0)
}
