//! What files on the node tell of its containers, with no socket and no API: state folders of the runtimes, the kubelet's logs.
//!
//! A runtime removes most of a container's files within a fraction of a second of its end; [`container_on_disk`] looks at those of one
//! id only, to be quick. Names of logs, and how a container ended, stay until the kubelet has the dead container removed.
//!
//! The files are written by runtimes, but names, labels and images in them are chosen by whoever may create pods, and a damaged
//! disk is a damaged disk: sizes and counts are bounded, links never lead out of the machine's root.

mod containerd;
mod docker;
mod kubelet_logs;
mod storage;
#[cfg(test)]
mod tests;
mod volumes;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use oomscope_core::evidence::Gap;
use oomscope_core::kubernetes::RuntimeContainer;
use serde::de::DeserializeOwned;

use super::below::Below;
use crate::host_root::HostRoot;
use containerd::Containerd;
use kubelet_logs::Logs;

pub use kubelet_logs::PodNames;
pub use volumes::{MemoryVolume, memory_volumes};

/// A folder of containers has some hundred.
const MOST_CONTAINERS: usize = 20_000;
/// The largest that a file about one container is read: a spec with the variables of a thousand services has some hundred KiB.
const LARGEST_FILE: u64 = 4 << 20;

/// Every container that files on the node tell of, and what could not be read.
#[must_use]
pub fn containers_on_disk(root: &HostRoot) -> (Vec<RuntimeContainer>, Vec<Gap>) {
    let mut ids = Ids::default();
    let below = match Below::new(root) {
        Ok(below) => below,
        Err(error) => {
            ids.failed("the machine's root", &error);
            return (Vec::new(), ids.gaps);
        }
    };
    let runtimes = Runtimes::find(&below);
    runtimes.ids(&below, &mut ids);
    let logs = Logs::all(&below, &mut ids);
    if ids.folders == 0 && ids.gaps.is_empty() {
        ids.gaps
            .push(Gap::new(WANTED, "no files of containerd, CRI-O, Podman, Docker or a kubelet at the usual places"));
    }
    let containers = ids.names.iter().filter_map(|id| container(&below, &runtimes, &logs, id)).collect();
    (containers, ids.gaps)
}

/// The container with this whole id, from its own files.
#[must_use]
pub fn container_on_disk(root: &HostRoot, id: &str) -> Option<RuntimeContainer> {
    // It becomes a part of paths.
    if !is_name(id) {
        return None;
    }
    let below = Below::new(root).ok()?;
    container(&below, &Runtimes::find(&below), &Logs::of_one(), id)
}

/// The pod with this uid, from its folder of logs, which is there as long as the pod: for a cgroup of a pod without a container's id.
#[must_use]
pub fn pod_on_disk(root: &HostRoot, uid: &str) -> Option<PodNames> {
    kubelet_logs::pod(&Below::new(root).ok()?, uid)
}

fn container(below: &Below, runtimes: &Runtimes, logs: &Logs, id: &str) -> Option<RuntimeContainer> {
    let mut known = runtimes.container(below, id);
    if let Some(container) = &mut known
        && let Some(sandbox) = container.sandbox_id.as_deref().filter(|sandbox| *sandbox != id && is_name(sandbox))
        && let Some(sandbox) = runtimes.container(below, sandbox)
    {
        complete_from_sandbox(container, sandbox);
    }
    let by_log = logs.container(below, id, known.as_ref());
    merge([known, by_log])
}

/// Who keeps files about its containers.
struct Runtimes {
    containerd: Containerd,
}

impl Runtimes {
    fn find(below: &Below) -> Self {
        Self { containerd: Containerd::find(below) }
    }

    fn ids(&self, below: &Below, ids: &mut Ids) {
        self.containerd.ids(below, ids);
        storage::ids(below, ids);
        docker::ids(below, ids);
    }

    fn container(&self, below: &Below, id: &str) -> Option<RuntimeContainer> {
        merge([self.containerd.container(below, id), storage::container(below, id), docker::container(below, id)])
    }
}

/// One account from several, the first knowing best.
fn merge(accounts: impl IntoIterator<Item = Option<RuntimeContainer>>) -> Option<RuntimeContainer> {
    accounts.into_iter().flatten().reduce(|mut known, other| {
        known.fill(other);
        known
    })
}

/// What a pod's containers have in common.
fn complete_from_sandbox(container: &mut RuntimeContainer, sandbox: RuntimeContainer) {
    let RuntimeContainer { pod_uid, namespace, pod, labels, .. } = sandbox;
    container.fill(RuntimeContainer { pod_uid, namespace, pod, labels, ..RuntimeContainer::default() });
}

/// What is sought, for a gap.
const WANTED: &str = "containers by files on the node";

/// The containers that there are files of.
#[derive(Debug, Default)]
struct Ids {
    names: BTreeSet<String>,
    /// How many folders of containers there are.
    folders: usize,
    gaps: Vec<Gap>,
}

impl Ids {
    /// Takes in a folder that has an entry for each container; no such folder is nothing to say.
    fn folder(&mut self, below: &Below, folder: impl AsRef<Path>, id: fn(&str) -> Option<&str>) -> Vec<String> {
        let folder = folder.as_ref();
        let names = match below.names(folder, MOST_CONTAINERS) {
            Ok(names) => names,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    self.failed(&folder.display().to_string(), &error);
                }
                return Vec::new();
            }
        };
        self.folders += 1;
        if !names.are_all {
            let why = format!("{} has more than {MOST_CONTAINERS} entries", folder.display());
            self.gaps.push(Gap::new(WANTED, why));
        }
        let names: Vec<String> = names.names.into_iter().filter_map(|name| name.into_string().ok()).collect();
        self.names.extend(names.iter().filter_map(|name| id(name)).map(str::to_owned));
        names
    }

    fn failed(&mut self, what: &str, error: &io::Error) {
        self.gaps.push(Gap::new(WANTED, format!("reading {what}: {error}")));
    }
}

/// JSON of a file about one container. One that is missing or damaged tells nothing.
fn json<T: DeserializeOwned>(below: &Below, path: impl AsRef<Path>) -> Option<T> {
    serde_json::from_slice(&below.read(path, LARGEST_FILE).ok()?).ok()
}

/// The id that a name is, where it is one: runtimes make 64 hex digits for pods, people choose names for others.
fn name_is_id(name: &str) -> Option<&str> {
    is_name(name).then_some(name)
}

/// As containerd has names (`pkg/identifiers`): safe as a part of a path.
fn is_name(name: &str) -> bool {
    /// 76 for containerd; a pod's name has up to 253.
    const LONGEST: usize = 253;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.len() <= LONGEST && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.bytes().all(is_plain)
}
