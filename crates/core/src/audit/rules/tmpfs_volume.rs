//! A memory-backed volume without a bound of its own.
//!
//! Files in an `emptyDir` with medium Memory are charged to whoever wrote them, belong to no process, and live as long as the pod: a full
//! one kills its writer, and the restarted container meets it again, for ever. `sizeLimit` turns that into ENOSPC for the writer. Without it
//! the kubelet (from 1.22 on) mounts the tmpfs as large as the pod's memory limit, or the node's allocatable where a container has none:
//! large enough to kill. A size as large as the smallest limit of the containers does not help that container.

use super::{Asks, Observation, Rule, listed, named};
use crate::audit::amounts;
use crate::audit::finding::Risk;
use crate::audit::patch::{self, Amount};
use crate::audit::subject::Subject;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "tmpfs_volume",
    about: "Memory-backed emptyDir volumes without a sizeLimit (high), or with one that no container's limit can hold (medium).",
    asks: Asks::Subject(check),
};

fn check(subject: &Subject) -> Vec<Observation> {
    let volumes = subject.pod().spec.volumes.iter();
    let of_memory = volumes.filter_map(|volume| Some((volume.name.as_str(), volume.empty_dir.as_ref()?)));
    of_memory
        .filter(|(_, folder)| folder.is_memory())
        .filter_map(|(name, folder)| {
            let size = folder.size_limit.filter(|size| !size.is_zero());
            match size {
                None => Some(unbounded(subject, name)),
                Some(size) => too_large(subject, name, size.bytes()),
            }
        })
        .collect()
}

const WHY: &str = "Its files are memory of the container that writes them, and they outlive its restart: once full, the container is killed \
                   again and again until the pod is deleted.";
const FIX: &str = "Give the volume a size well below the limit of who writes to it: a full disk is an error message, a full cgroup is a kill.";

fn unbounded(subject: &Subject, volume: &str) -> Observation {
    let bound = match (largest_limit(subject), subject.unlimited().next()) {
        (_, Some(_)) => "nothing bounds it but the node's memory".to_owned(),
        (Some(limit), None) => format!("it can fill the limit of {limit} of its writer"),
        (None, None) => "nothing bounds it but the pod's limit".to_owned(),
    };
    Observation {
        risk: Risk::High,
        title: "Memory-backed volume without a size",
        why: WHY,
        evidence: format!("volume {} has medium Memory and no sizeLimit: {bound}", named(volume)),
        fix: FIX,
        patch: Some(patch::volume_size(subject, volume, &size_for(subject))),
        containers: Vec::new(),
    }
}

fn too_large(subject: &Subject, volume: &str, size: Bytes) -> Option<Observation> {
    let limit = largest_limit(subject).filter(|limit| size >= *limit && subject.unlimited().next().is_none())?;
    let containers: Vec<String> = subject.lasting_containers().map(|container| container.name.clone()).collect();
    Some(Observation {
        risk: Risk::Medium,
        title: "Memory-backed volume larger than the limits",
        why: WHY,
        evidence: format!(
            "volume {} may hold {size}, more than {} may use ({limit} at most)",
            named(volume),
            listed(&containers)
        ),
        fix: FIX,
        patch: Some(patch::volume_size(subject, volume, &size_for(subject))),
        containers: Vec::new(),
    })
}

/// Who mounts it is not looked at: the container with the largest limit has the best chance.
fn largest_limit(subject: &Subject) -> Option<Bytes> {
    subject.lasting_containers().filter_map(amounts::limit).max()
}

/// Half of the largest limit: room for the files and for the program.
fn size_for(subject: &Subject) -> Amount {
    largest_limit(subject).map_or(Amount::Ask("what it has to hold"), |limit| Amount::Of(Bytes(limit.0 / 2)))
}

#[cfg(test)]
mod tests {
    use crate::audit::finding::Risk;
    use crate::audit::testing::{found, pod_with_volume};
    use serde_json::json;

    /// No size, a useless size, a good one, and a volume on disk.
    #[test]
    fn sizes() {
        let risk = |volume| found(&[pod_with_volume("64Mi", volume)]).first().map(|finding| finding.risk);
        assert_eq!(risk(json!({"medium": "Memory"})), Some(Risk::High));
        assert_eq!(risk(json!({"medium": "Memory", "sizeLimit": "64Mi"})), Some(Risk::Medium));
        assert_eq!(risk(json!({"medium": "Memory", "sizeLimit": "16Mi"})), None);
        assert_eq!(risk(json!({})), None);
    }
}
