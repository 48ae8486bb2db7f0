//! This machine to be audited, from its own files: cgroups of pods and of services, the kubelet's configuration.
//!
//! Names come from whoever knows them: the kubelet's own list of pods (specs included), else the container runtime and files on disk. With
//! nobody to ask, pods go by their uids, and what a cgroup does not tell (requests) is not concluded from.

use std::path::Path;

use oomscope_core::audit::{Committed, Inventory, Machine, Seen, Service, Sight, Sighting, Witness};
use oomscope_core::evidence::Gap;
use oomscope_core::incident::identity::{Identity, identify};
use oomscope_core::incident::level::{Level, level_of};
use oomscope_core::kubernetes::{ContainerKind, Directory, Source};
use oomscope_core::recorder::Sample;
use oomscope_core::time::BootTime;
use oomscope_core::units::{Bytes, Limit};
use oomscope_sources::cgroup::{CgroupFiles, Depth, Hierarchy, PeakReset, Version, limit_on_path};
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::kubernetes::cri::Cri;
use oomscope_sources::kubernetes::disk::containers_on_disk;
use oomscope_sources::kubernetes::kubelet::{ConfigFile, Kubelet, KubeletAccess};
use oomscope_sources::node::Node;
use std::os::unix::ffi::OsStrExt as _;

use super::unnamed;
use crate::cli::target::walk;

/// A container of a pod that lives.
pub(super) struct Living {
    pub(super) identity: Identity,
    pub(super) limit: Option<Limit>,
    pub(super) seen: Seen,
}

/// Everything that was read of the machine.
pub(super) struct Look {
    root: HostRoot,
    version: Option<Version>,
    living: Vec<Living>,
    services: Vec<Service>,
    /// What all pods hold that cannot be given up.
    kubepods: Option<Bytes>,
    has_kubepods: bool,
    gaps: Vec<Gap>,
}

impl Look {
    pub(super) fn at(root: &HostRoot) -> Self {
        let mut look = Self {
            root: root.clone(),
            version: None,
            living: Vec::new(),
            services: Vec::new(),
            kubepods: None,
            has_kubepods: false,
            gaps: Vec::new(),
        };
        match Hierarchy::of_this_machine(root) {
            Ok(hierarchy) => look.cgroups(&hierarchy),
            Err(error) => look.gaps.push(Gap::new("cgroups of pods and services", error.to_string())),
        }
        look
    }

    /// Whether a kubelet has pods here.
    pub(super) const fn has_pods(&self) -> bool {
        self.has_kubepods
    }

    fn cgroups(&mut self, hierarchy: &Hierarchy) {
        self.version = Some(hierarchy.version());
        walk(hierarchy.mount(), &mut |folder| {
            let path = hierarchy.kernel_path(folder);
            match level_of(path.as_os_str().as_bytes()) {
                Level::Container => {
                    self.container(hierarchy, folder);
                    false
                }
                Level::Kubepods if !self.has_kubepods => {
                    self.has_kubepods = true;
                    self.kubepods =
                        Reading::of(hierarchy, folder).and_then(|reading| reading.sample.unreclaimable()).map(Bytes);
                    true
                }
                Level::Service => {
                    self.service(hierarchy, folder);
                    false
                }
                // A kind node is a container with pods below it.
                Level::PlainContainer | Level::VirtualMachine | Level::Job => {
                    self.service(hierarchy, folder);
                    true
                }
                _ => true,
            }
        });
    }

    fn container(&mut self, hierarchy: &Hierarchy, folder: &Path) {
        let path = hierarchy.kernel_path(folder);
        let Some(identity) = identify(path.as_os_str().as_bytes()) else { return };
        let Some(reading) = Reading::of(hierarchy, folder) else { return };
        let seen = Seen {
            high: reading.high.and_then(Limit::bytes),
            stalled_percent: reading.stalled_percent,
            ..Seen::of_sample(&reading.sample, reading.peak, reading.limit)
        };
        self.living.push(Living { identity, limit: reading.limit, seen });
    }

    fn service(&mut self, hierarchy: &Hierarchy, folder: &Path) {
        let Some(reading) = Reading::of(hierarchy, folder) else { return };
        let seen = Seen::of_sample(&reading.sample, reading.peak, reading.limit);
        self.services.push(Service {
            cgroup: hierarchy.kernel_path(folder).as_os_str().as_bytes().into(),
            held: seen.held,
            usage: reading.sample.get(oomscope_core::recorder::Series::Current).map(Bytes),
            peak: seen.peak,
            limit: Some(limit_on_path(hierarchy, folder).0),
            throttled: seen.throttled,
            stalled_percent: reading.stalled_percent,
        });
    }

    /// Puts everything into the inventory; answers who is who.
    pub(super) fn tell(mut self, inventory: &mut Inventory) -> Directory {
        let directory = self.directory();
        let knows_pods = directory.pods().next().is_some();
        for (_, record) in directory.pods() {
            inventory.see_pod(&record.pod, Sighting::default(), Witness::Pod);
        }
        for living in &mut self.living {
            directory.complete(&mut living.identity);
        }
        let is_unknown =
            |living: &&Living| living.identity.pod_uid.as_ref().is_none_or(|uid| directory.pod(uid).is_none());
        let unnamed = unnamed::pods(self.living.iter().filter(is_unknown));
        let mut committed = Committed::default();
        for pod in &unnamed {
            committed.add(None, pod.memory_limit());
            inventory.see_pod(pod, Sighting::default(), Witness::Cgroups);
        }
        for Living { identity, seen, .. } in &self.living {
            let mut identity = identity.clone();
            if identity.container.is_none() {
                identity.container = unnamed::short_id(&identity);
            }
            inventory.observe(&Sight { identity, seen: seen.clone() });
        }
        if self.has_kubepods && !knows_pods {
            let why = "no kubelet could be asked for its pods: cgroups tell limits, but no requests";
            self.gaps.push(Gap::new("requests, volumes and arguments of the pods", why));
        }
        inventory.see_machine(self.machine(&directory, committed));
        inventory.gaps.append(&mut self.gaps);
        directory
    }

    /// Everybody who may know a name is asked; who cannot be reached is none of a reader's business as long as another could.
    fn directory(&self) -> Directory {
        let mut directory = Directory::default();
        if !self.has_kubepods {
            return directory;
        }
        let (containers, _) = containers_on_disk(&self.root);
        containers.into_iter().for_each(|container| directory.see_container(container, Source::Disk));
        if let Ok(containers) = Cri::connect(&self.root, None).and_then(|runtime| runtime.containers()) {
            containers.into_iter().for_each(|container| directory.see_container(container, Source::Cri));
        }
        let pods = Kubelet::connect(&KubeletAccess::default(), None).and_then(|kubelet| kubelet.pods());
        if let Ok(document) = pods {
            directory.see_document(document, Source::Kubelet, None);
        }
        directory
    }

    fn machine(&mut self, directory: &Directory, committed: Committed) -> Machine {
        let reading = Node::new(self.root.clone()).read();
        let memory = &reading.meminfo;
        let capacity = memory.total();
        let kubelet = ConfigFile::find(&self.root).map(|found| {
            self.gaps.extend(found.gaps);
            found.config
        });
        if self.has_kubepods && kubelet.is_none() {
            let why = "no config file of a kubelet where installers put it, and no kubelet among the processes";
            self.gaps.push(Gap::new("the kubelet's configuration", why));
        }
        let held = capacity.zip(memory.available()).map(|(all, available)| all.0.saturating_sub(available.0));
        let outside = held.map(|held| Bytes(held.saturating_sub(self.kubepods.unwrap_or_default().0)));
        let name = directory.pods().find_map(|(_, record)| record.pod.spec.node_name.clone());
        Machine {
            name: name.or_else(|| self.host_name()),
            is_local: true,
            has_pods: self.has_kubepods,
            capacity,
            allocatable: None,
            kubelet,
            swap: memory.swap_total(),
            cgroup_version: self.version.map(|version| if version == Version::V1 { 1 } else { 2 }),
            outside: outside.filter(|_| self.kubepods.is_some() || !self.has_kubepods),
            committed,
            services: std::mem::take(&mut self.services),
        }
    }

    fn host_name(&self) -> Option<String> {
        let name = std::fs::read_to_string(self.root.path("/etc/hostname")).ok()?;
        Some(name.trim().to_owned()).filter(|name| !name.is_empty())
    }
}

/// What the files of one cgroup say.
struct Reading {
    sample: Sample,
    limit: Option<Limit>,
    high: Option<Limit>,
    peak: Option<Bytes>,
    stalled_percent: Option<f64>,
}

impl Reading {
    /// `None`: it is gone, or the memory controller is not on for it.
    fn of(hierarchy: &Hierarchy, folder: &Path) -> Option<Self> {
        let mut files = CgroupFiles::open(hierarchy, folder, PeakReset::Never).ok()?;
        // When it was read does not matter here.
        let sample = files.sample(BootTime::default(), Depth::Full).ok()?;
        sample.get(oomscope_core::recorder::Series::Current)?;
        let limits = files.limits().ok()?;
        let stalls = files.stalls().ok().flatten();
        let stalled_percent = stalls.and_then(|stalls| stalls.some).map(|some| some.avg300_percent);
        Some(Self {
            sample,
            limit: limits.max_bytes,
            high: limits.high_bytes,
            peak: files.lifetime_peak(),
            stalled_percent,
        })
    }
}

/// Whether the runtime says that it is the pause container.
pub(super) fn is_pause(identity: &Identity) -> bool {
    identity.container_kind == Some(ContainerKind::Pause)
}
