//! `inspect pod NAMESPACE/NAME`: which cgroup that is, and its spec against what is in force.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use oomscope_core::evidence::{Comm, Gap};
use oomscope_core::formats::cgroup as format;
use oomscope_core::incident::identity::{Identity, identify};
use oomscope_core::incident::level::{Level, level_of};
use oomscope_core::kubernetes::limits_in_force::{FoundLevel, InForce, Step, Surroundings, in_force};
use oomscope_core::kubernetes::{ContainerKind, Directory, Node as NodeObject, Pod};
use oomscope_core::text::escape;
use oomscope_sources::cgroup::{CgroupFiles, Hierarchy, PeakReset};
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::node::Node;
use oomscope_sources::process::Proc;

use crate::cli::target::upwards;
use crate::cli::witnesses::Witnesses;

/// Processes of one cgroup whose `oom_score_adj` is read.
const MOST_PROCESSES: usize = 1000;
/// Pods named when several fit.
const LISTED: usize = 5;

/// A pod, found by its name.
pub(in crate::cli) struct FoundPod {
    /// Its uid, as its cgroup carries it.
    pub(in crate::cli) uid: String,
    /// `namespace/name`.
    pub(in crate::cli) name: String,
    pub(in crate::cli) names: Directory,
    pub(in crate::cli) gaps: Vec<Gap>,
}

/// The pod that is named: `NAMESPACE/NAME`, `NAME` where there is one of it, or a uid.
pub(in crate::cli) fn find(asked: &OsStr, witnesses: &Witnesses, root: &HostRoot) -> anyhow::Result<FoundPod> {
    let asked = String::from_utf8_lossy(asked.as_bytes()).into_owned();
    let mut gaps = Vec::new();
    let names = witnesses.ask(root, true, &mut gaps);
    let (namespace, name) = match asked.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, asked.as_str()),
    };
    let mut found = by_object(&names, namespace, name);
    if found.is_empty() {
        found = by_runtime(&names, namespace, name);
    }
    if found.is_empty() && names.pod(&asked).is_some() {
        found.push((asked.clone(), asked.clone()));
    }
    match found.as_slice() {
        [(uid, name)] => Ok(FoundPod { uid: uid.clone(), name: name.clone(), names, gaps }),
        [] => bail!("{}", nobody_knows(&asked, &gaps)),
        several => {
            let list: Vec<_> = several.iter().take(LISTED).map(|(_, name)| name.as_str()).collect();
            bail!(
                "{} pods are called {asked}, among them {}: say NAMESPACE/NAME, or the uid",
                several.len(),
                list.join(", ")
            )
        }
    }
}

/// Of one name the living; the dead only where none lives.
fn by_object(names: &Directory, namespace: Option<&str>, name: &str) -> Vec<(String, String)> {
    let all = names.pods_named(namespace, name);
    let anybody_lives = all.iter().any(|(_, record)| !record.gone);
    let wanted = all.into_iter().filter(|(_, record)| !record.gone || !anybody_lives);
    wanted.map(|(uid, record)| (uid.to_owned(), record.pod.metadata.full_name())).collect()
}

fn by_runtime(names: &Directory, namespace: Option<&str>, name: &str) -> Vec<(String, String)> {
    let is_it =
        |found: &Option<String>, wanted: Option<&str>| wanted.is_none_or(|wanted| found.as_deref() == Some(wanted));
    let containers = names.containers().map(|(container, _)| container);
    let wanted =
        containers.filter(|container| is_it(&container.pod, Some(name)) && is_it(&container.namespace, namespace));
    // Of a pod that was made anew under the same name (a StatefulSet's), those that run.
    let (running, ended): (Vec<_>, Vec<_>) = wanted.partition(|container| container.finished.is_none());
    let wanted = if running.is_empty() { ended } else { running };
    let mut found: Vec<_> = wanted
        .into_iter()
        .filter_map(|container| {
            let name = format!("{}/{name}", container.namespace.as_deref().unwrap_or("?"));
            Some((container.pod_uid.clone()?, name))
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

fn nobody_knows(asked: &str, gaps: &[Gap]) -> String {
    let mut text = format!(
        "no pod {asked} is known here; its objects can be given with --kubernetes FILE, or its uid instead of its name"
    );
    for gap in gaps {
        text.push_str(&format!("\n{}: {}", gap.wanted, gap.why));
    }
    text
}

/// The pod's cgroups with what is in their files, compared with its spec.
pub(in crate::cli) fn compare(
    found: &FoundPod,
    cgroup: &Path,
    root: &HostRoot,
    hierarchy: &Hierarchy,
) -> anyhow::Result<InForce> {
    let folder = hierarchy.folder(cgroup).context("the pod's cgroup lies outside of what is mounted")?;
    let record = found.names.pod(&found.uid);
    let pod = record.map(|record| record.with_statuses());
    let reading = Reading { hierarchy, proc: Proc::new(root), names: &found.names, pod };
    let levels = reading.levels(&folder);
    let node = Node::new(root.clone()).read();
    let object = found.names.node.as_ref();
    let surroundings = Surroundings {
        version: hierarchy.version(),
        page_size: node.page_size,
        capacity: object.and_then(NodeObject::memory_capacity).map(|q| q.bytes()).or(node.meminfo.total()),
        allocatable: object.and_then(NodeObject::memory_allocatable).map(|q| q.bytes()),
        swap_total: node.meminfo.swap_total(),
        kubelet: found.names.kubelet.as_ref(),
    };
    let mut answer = in_force(pod, &levels, surroundings);
    answer.pod = answer.pod.or_else(|| Some(found.name.clone()));
    Ok(answer)
}

struct Reading<'a> {
    hierarchy: &'a Hierarchy,
    proc: Proc,
    names: &'a Directory,
    pod: Option<&'a Pod>,
}

impl Reading<'_> {
    fn levels(&self, pod: &Path) -> Vec<FoundLevel> {
        let containers = folders(pod).into_iter().filter_map(|folder| self.level(&folder));
        let above = upwards(self.hierarchy, pod).filter_map(|folder| self.level(folder));
        containers.chain(above).collect()
    }

    /// `None`: it is gone meanwhile.
    fn level(&self, folder: &Path) -> Option<FoundLevel> {
        let mut files = CgroupFiles::open(self.hierarchy, folder, PeakReset::Never).ok()?;
        let path = self.hierarchy.kernel_path(folder);
        let path = path.as_os_str().as_bytes();
        let limits = files.limits().ok()?;
        let usage = files.usage().ok().flatten();
        let processes = self.processes(folder);
        let step = match level_of(path) {
            Level::Container => self.container(path, &processes),
            Level::Pod => Step::Pod,
            Level::QosClass => Step::QosClass,
            Level::Kubepods => Step::Kubepods,
            _ => Step::Above,
        };
        // The root of v2, and what has nothing to say.
        let says_nothing = step == Step::Above && limits.max_bytes.and_then(|limit| limit.bytes()).is_none();
        (!says_nothing).then(|| FoundLevel { step, cgroup: path.into(), limits, usage, processes })
    }

    fn processes(&self, folder: &Path) -> Vec<(u32, Comm, i32)> {
        let mut pids = Vec::new();
        crate::cli::target::walk(folder, &mut |folder| {
            // Those of the pod itself and above are its containers', which are asked each.
            let is_container = matches!(self.level_of(folder), Level::Container | Level::BelowContainer);
            if is_container {
                pids.extend(format::pids(&std::fs::read(folder.join("cgroup.procs")).unwrap_or_default()));
            }
            is_container && pids.len() < MOST_PROCESSES
        });
        let of = |pid| {
            let process = self.proc.read_without_arguments(pid).ok()?;
            Some((pid, process.comm, process.oom_score_adj?))
        };
        pids.into_iter().take(MOST_PROCESSES).filter_map(of).collect()
    }

    fn level_of(&self, folder: &Path) -> Level {
        level_of(self.hierarchy.kernel_path(folder).as_os_str().as_bytes())
    }

    fn container(&self, path: &[u8], processes: &[(u32, Comm, i32)]) -> Step {
        let mut identity: Identity = identify(path).unwrap_or_default();
        let id = identity.container_id.clone().unwrap_or_default();
        if let Some(name) = self.names.container_name(&id) {
            return Step::Container(Some(name.to_owned()));
        }
        self.names.complete(&mut identity);
        let is_pause = |(_, comm, _): &(u32, Comm, i32)| comm.as_bytes() == b"pause";
        let is_sandbox = identity.container_kind == Some(ContainerKind::Pause)
            || (!processes.is_empty() && processes.iter().all(is_pause));
        match (is_sandbox, self.pod) {
            (true, _) => Step::Pause,
            // The status names every instance; another is not the container of that name.
            (false, Some(pod)) if pod.statuses().any(|status| status.id().is_some()) => Step::Container(None),
            (false, _) => Step::Container(identity.container),
        }
    }
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut folders: Vec<_> = folders.map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

/// What is said where the pod has no cgroup here.
pub(in crate::cli) fn elsewhere(found: &FoundPod) -> String {
    let node = found.names.pod(&found.uid).and_then(|record| record.pod.spec.node_name.clone());
    let node = node.map_or_else(String::new, |node| format!("; it was bound to the node {}", escape(node.as_bytes())));
    format!("pod {} (uid {}) has no cgroup on this machine{node}", found.name, found.uid)
}

#[cfg(test)]
mod tests;
