//! The pods' part: by class, pod and container, and what of a pod is in none of its containers.

use super::account::Weighed;
use super::observed::MemoryVolume;
use super::part::{Part, sum};
use crate::incident::identity::{Identity, identify};
use crate::incident::level::Level;
use crate::kubernetes::{ContainerKind, Directory};
use crate::units::Bytes;

const CLASSES: [&str; 3] = ["guaranteed", "burstable", "besteffort"];
const REMOVED: &str =
    "left behind by pods that are gone: page cache and kernel memory that the kernel has not taken back yet";

/// All trees of pods of the machine; one, but for kubelets in containers.
pub(super) fn part(kubepods: &[&Weighed<'_>], names: &Directory, volumes: &[MemoryVolume]) -> Part {
    let mut trees: Vec<_> = kubepods.iter().map(|tree| of_tree(tree, names, volumes)).collect();
    match (trees.pop(), trees.is_empty()) {
        (Some(only), true) => Part { name: "kubepods".to_owned(), ..only },
        (last, _) => {
            trees.extend(last);
            Part::of("kubepods", trees)
        }
    }
}

fn of_tree(tree: &Weighed<'_>, names: &Directory, volumes: &[MemoryVolume]) -> Part {
    let mut part = tree.part(tree.cgroup.path.to_lossy());
    for class in CLASSES {
        // Guaranteed pods have no cgroup of their class above them.
        let own = tree
            .children
            .iter()
            .find(|child| child.cgroup.level() == Level::QosClass && class_of(child) == Some(class.to_owned()));
        let pods = own.map_or(&tree.children, |class| &class.children);
        let pods =
            pods.iter().filter(|pod| pod.cgroup.level() == Level::Pod && class_of(pod).as_deref() == Some(class));
        let pods: Vec<_> = pods.map(|pod| of_pod(pod, names, volumes)).collect();
        match own {
            Some(own) => part.parts.push(Part { parts: pods, ..own.part(class) }.filled("removed_pods", REMOVED)),
            None if !pods.is_empty() => part.parts.push(Part::of(class, pods).filled("", "")),
            None => {}
        }
    }
    part.filled("removed_pods", REMOVED)
}

fn class_of(cgroup: &Weighed<'_>) -> Option<String> {
    identify(cgroup.cgroup.path.as_bytes())?.qos
}

fn named(cgroup: &Weighed<'_>, names: &Directory) -> Identity {
    let mut identity = identify(cgroup.cgroup.path.as_bytes()).unwrap_or_default();
    names.complete(&mut identity);
    identity
}

fn of_pod(pod: &Weighed<'_>, names: &Directory, volumes: &[MemoryVolume]) -> Part {
    let identity = named(pod, names);
    let uid = identity.pod_uid.clone().unwrap_or_default();
    let name = match (&identity.namespace, &identity.pod) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        (None, Some(name)) => name.clone(),
        _ => format!("pod {uid}"),
    };
    let mut part = pod.part(name);
    part.parts = pod.children.iter().map(|container| container.part(container_name(container, names))).collect();
    part.parts.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    let outside = part.bytes - sum(&part.parts);
    if outside > 0 {
        let of_pod: Vec<_> = volumes.iter().filter(|volume| volume.pod_uid == uid).collect();
        part.parts.push(orphaned(outside, shmem_outside(pod), &of_pod));
    }
    part
}

fn container_name(container: &Weighed<'_>, names: &Directory) -> String {
    let identity = named(container, names);
    match (identity.container, identity.container_kind, identity.container_id) {
        (_, Some(ContainerKind::Pause), _) => "pause".to_owned(),
        (Some(name), _, _) => name,
        (None, _, Some(id)) => format!("container {}", id.get(..12).unwrap_or(&id)),
        _ => container.cgroup.last_name(),
    }
}

/// tmpfs that is charged to the pod and to none of its containers. `None` where that is not told.
fn shmem_outside(pod: &Weighed<'_>) -> Option<u64> {
    let of = |cgroup: &Weighed<'_>| cgroup.cgroup.charged.and_then(|charged| charged.shmem);
    let inside = pod.children.iter().map(|container| of(container).unwrap_or(0)).fold(0, u64::saturating_add);
    Some(of(pod)?.saturating_sub(inside))
}

/// What no container is charged with: files in tmpfs volumes whose writer is gone, and what the kernel has not taken back of containers
/// that are.
fn orphaned(outside: i64, shmem: Option<u64>, volumes: &[&MemoryVolume]) -> Part {
    let part = Part::new("outside_containers", outside)
        .noted("charged to the pod, but to no container that is there: tmpfs volumes that outlived their container, and leftovers");
    let in_volumes = Bytes(volumes.iter().map(|volume| volume.used.0).fold(0, u64::saturating_add));
    let held = shmem.unwrap_or(0).min(in_volumes.0).min(outside.unsigned_abs());
    let held = i64::try_from(held).unwrap_or(0);
    if held == 0 {
        return part;
    }
    let used: Vec<_> = volumes.iter().filter(|volume| volume.used.0 > 0).map(|volume| volume.name.as_str()).collect();
    let label = if used.len() == 1 { "volume" } else { "volumes" };
    let volume = Part::new(format!("{label} {}", used.join(", ")), held);
    Part { parts: vec![volume], ..part }.filled("leftovers", "of containers that are gone")
}
