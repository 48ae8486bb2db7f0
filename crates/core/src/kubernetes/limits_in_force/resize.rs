//! A change of a running pod's resources that is not in force yet.
//!
//! Source: KEP-1287. 1.27 to 1.32 tell the state in `status.resize`, newer ones in the conditions `PodResizePending` and
//! `PodResizeInProgress`; in all of them `status.containerStatuses[].resources` is what runs.

use serde::{Deserialize, Serialize};

use crate::kubernetes::{Pod, Quantity};

/// A resize in flight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resize {
    /// `pending`, `in progress`, `not told by the kubelet`.
    pub state: String,
    /// `Deferred` (there is no room now), `Infeasible` (the node is too small), `Error`, …
    pub reason: Option<String>,
    /// The sentence to it.
    pub message: Option<String>,
    /// Containers whose memory limit differs.
    pub containers: Vec<ContainerResize>,
}

/// One container of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerResize {
    /// Its name.
    pub name: String,
    /// The limit that is wanted; `null`: none.
    pub wanted: Option<Quantity>,
    /// The limit that it runs with.
    pub running: Option<Quantity>,
}

impl Resize {
    /// `None`: none is in flight.
    #[must_use]
    pub fn of(pod: &Pod) -> Option<Self> {
        let condition = |kind: &str| pod.status.conditions.iter().find(|c| c.kind == kind && c.status == "True");
        let told = condition("PodResizePending")
            .map(|condition| ("pending", condition))
            .or_else(|| condition("PodResizeInProgress").map(|condition| ("in progress", condition)));
        let containers = containers(pod);
        if let Some((state, condition)) = told {
            let (reason, message) = (condition.reason.clone(), condition.message.clone());
            return Some(Self { state: state.to_owned(), reason, message, containers });
        }
        match pod.status.resize.as_deref().filter(|state| !state.is_empty()) {
            Some("InProgress") => Some(Self { state: "in progress".to_owned(), containers, ..Self::default() }),
            Some(state) => {
                Some(Self { state: "pending".to_owned(), reason: Some(state.to_owned()), message: None, containers })
            }
            None if containers.is_empty() => None,
            None => Some(Self { state: "not told by the kubelet".to_owned(), containers, ..Self::default() }),
        }
    }
}

fn containers(pod: &Pod) -> Vec<ContainerResize> {
    let differing = pod.statuses().filter_map(|status| {
        let running = status.resources.as_ref()?.memory_limit();
        let wanted = pod.container(&status.name)?.resources.memory_limit();
        (running != wanted).then(|| ContainerResize { name: status.name.clone(), wanted, running })
    });
    differing.collect()
}
