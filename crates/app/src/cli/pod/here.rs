//! What this machine knows of the pod as it is now, where it is the pod's node: its cgroups, who would be killed next.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use oomscope_core::evidence::Gap;
use oomscope_core::incident::identity::identify;
use oomscope_core::inspect::Inspection;
use oomscope_core::kubernetes::Directory;
use oomscope_core::kubernetes::limits_in_force::InForce;
use oomscope_core::next::{Domain, Outlook};
use oomscope_core::runbook::NodeMemoryNow;
use oomscope_core::units::{Bytes, Limit};
use oomscope_sources::cgroup::{CgroupFiles, Depth, Hierarchy, PeakReset, Version};
use oomscope_sources::clock::since_boot;
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::node::Node;

use crate::cli::inspect::look::Looker;
use crate::cli::inspect::pod::{FoundPod, compare};
use crate::cli::{in_words, next, target};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Here {
    /// The pod has a cgroup here.
    pub(super) is_its_node: bool,
    pub(super) inspection: Option<Inspection>,
    pub(super) next: Option<Outlook>,
    pub(super) node_memory: Option<NodeMemoryNow>,
    /// By container id.
    pub(super) containers: HashMap<String, Charged>,
    pub(super) gaps: Vec<Gap>,
}

/// What is charged to a container's cgroup.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Charged {
    pub(super) usage_bytes: Option<Bytes>,
    pub(super) unreclaimable_bytes: Option<Bytes>,
    pub(super) peak_bytes: Option<Bytes>,
    pub(super) limit_bytes: Option<Bytes>,
}

/// Looks for the pod's cgroup. A machine without one is not its node, or its containers are gone.
pub(super) fn look(root: &HostRoot, uid: &str, names: &Directory, count: usize) -> Here {
    let mut here = Here::default();
    let inspection = Looker::new(root.clone(), true).and_then(|looker| looker.look(OsStr::new(uid)));
    let Ok(mut inspection) = inspection else { return here };
    here.is_its_node = true;
    match next::look(root, Some(OsStr::new(uid)), None, count) {
        Ok(outlook) => here.next = Some(outlook),
        Err(error) => here.gaps.push(Gap::new("whom the kernel would kill next", in_words(&error))),
    }
    if let Err(error) = containers(root, &inspection, &mut here.containers) {
        here.gaps.push(Gap::new("memory of each container", in_words(&error)));
    }
    match in_force(root, uid, names, &inspection) {
        Ok(in_force) => inspection.in_force = Some(in_force),
        Err(error) => here.gaps.push(Gap::new("the spec against what is in force", in_words(&error))),
    }
    here.gaps.extend(inspection.gaps.iter().cloned());
    here.inspection = Some(inspection);
    here.node_memory = Some(node_memory(root));
    here
}

/// The pod's spec against the files of its cgroups.
fn in_force(root: &HostRoot, uid: &str, names: &Directory, inspection: &Inspection) -> anyhow::Result<InForce> {
    let hierarchy = Hierarchy::of_this_machine(root)?;
    let name = names.pod(uid).map_or_else(|| uid.to_owned(), |record| record.pod.metadata.full_name());
    let found = FoundPod { uid: uid.to_owned(), name, names: names.clone(), gaps: Vec::new() };
    let cgroup = std::path::Path::new(OsStr::from_bytes(inspection.target.cgroup.as_bytes()));
    compare(&found, cgroup, root, &hierarchy)
}

fn containers(root: &HostRoot, pod: &Inspection, found: &mut HashMap<String, Charged>) -> anyhow::Result<()> {
    let hierarchy = Hierarchy::of_this_machine(root)?;
    let path = std::path::Path::new(OsStr::from_bytes(pod.target.cgroup.as_bytes()));
    let Some(folder) = hierarchy.folder(path) else { return Ok(()) };
    target::walk(&folder, &mut |below| {
        let owner = identify(hierarchy.kernel_path(below).as_os_str().as_bytes());
        let Some(id) = owner.filter(|_| below != folder).and_then(|owner| owner.container_id) else { return true };
        // A container that ends meanwhile is one less.
        if let Some(charged) = charged(&hierarchy, below) {
            found.insert(id, charged);
        }
        false
    });
    Ok(())
}

fn charged(hierarchy: &Hierarchy, folder: &std::path::Path) -> Option<Charged> {
    let mut files = CgroupFiles::open(hierarchy, folder, PeakReset::Never).ok()?;
    let sample = files.sample(since_boot(), Depth::Full).ok()?;
    let mut domain = Domain::default();
    domain.fill_from(&sample);
    Some(Charged {
        usage_bytes: files.usage().ok().flatten(),
        unreclaimable_bytes: domain.unreclaimable_bytes,
        // Of v1 a watcher resets it at each reading.
        peak_bytes: files.lifetime_peak().filter(|_| hierarchy.version() == Version::V2),
        limit_bytes: files.limits().ok().and_then(|limits| limits.max_bytes).and_then(Limit::bytes),
    })
}

fn node_memory(root: &HostRoot) -> NodeMemoryNow {
    let reading = Node::new(root.clone()).read();
    let of = |name: &str| reading.meminfo.get(name);
    NodeMemoryNow { total_bytes: of("MemTotal"), available_bytes: of("MemAvailable"), swap_free_bytes: of("SwapFree") }
}
