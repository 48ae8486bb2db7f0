//! Memory for the node itself: the kubelet, the runtime, systemd, sshd, the kernel.
//!
//! Pods may request capacity − kube-reserved − system-reserved − the hard eviction threshold. Where nothing is reserved, that is nearly
//! everything, and what runs beside the pods lives on what they happen to leave: the node dies instead of a pod. What is needed can be
//! measured: what is held outside of kubepods and cannot be given up. From the API alone the configuration is not seen, but capacity −
//! allocatable is; no more than the default threshold of 100Mi is no reservation.

use super::{Asks, Observation, Rule};
use crate::audit::finding::Risk;
use crate::audit::machine::Machine;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "reservation",
    about: "No kube- or system-reserved memory (high where more is in use than is kept, else medium), less than is in use outside of pods (medium), or pods not held to allocatable (medium).",
    asks: Asks::Machine(check),
};

/// A threshold alone: the kubelet's default.
const DEFAULT_THRESHOLD: Bytes = Bytes(100 << 20);

fn check(machine: &Machine) -> Vec<Observation> {
    if !machine.has_pods {
        return Vec::new();
    }
    let amount = match (&machine.kubelet, machine.reserved()) {
        (Some(_), Some(Bytes(0))) => Some(nothing(machine)),
        (Some(_), Some(reserved)) => too_little(machine, reserved),
        _ => by_allocatable(machine),
    };
    amount.into_iter().chain(not_enforced(machine)).collect()
}

const WHY: &str = "What runs beside the pods has no memory of its own: when pods use what they were promised, the kubelet, the container runtime \
                   or sshd are what the kernel kills or starves, and the node goes NotReady with everything on it.";
const FIX: &str =
    "Reserve what is in use outside of pods, with room; pods in excess are then refused instead of the node lost.";

fn nothing(machine: &Machine) -> Observation {
    let outside = machine.outside.map(|bytes| format!("; {bytes} are held outside of pods and cannot be given up"));
    let kept = machine.outside.is_some_and(|outside| outside > DEFAULT_THRESHOLD);
    Observation {
        risk: if kept { Risk::High } else { Risk::Medium },
        title: "Nothing reserved for the node",
        why: WHY,
        evidence: format!("kubeReserved and systemReserved state no memory{}", outside.unwrap_or_default()),
        fix: FIX,
        patch: Some(patch(machine.outside)),
        containers: Vec::new(),
    }
}

fn too_little(machine: &Machine, reserved: Bytes) -> Option<Observation> {
    let outside = machine.outside.filter(|outside| *outside > reserved)?;
    let (outside_shown, reserved) = outside.side_by_side(reserved);
    Some(Observation {
        risk: Risk::Medium,
        title: "Less reserved than is used outside of pods",
        why: WHY,
        evidence: format!("{outside_shown} are held outside of pods and cannot be given up; {reserved} are reserved"),
        fix: FIX,
        patch: Some(patch(Some(outside))),
        containers: Vec::new(),
    })
}

fn by_allocatable(machine: &Machine) -> Option<Observation> {
    let (capacity, allocatable) = machine.capacity.zip(machine.allocatable)?;
    let kept = Bytes(capacity.0.checked_sub(allocatable.0)?);
    (kept <= DEFAULT_THRESHOLD).then(|| Observation {
        risk: Risk::Medium,
        title: "Nothing reserved for the node",
        why: WHY,
        evidence: format!("of {capacity} pods may request all but {kept}, which is the eviction threshold alone"),
        fix: FIX,
        patch: Some(patch(machine.outside)),
        containers: Vec::new(),
    })
}

fn not_enforced(machine: &Machine) -> Option<Observation> {
    let kubelet = machine.kubelet.as_ref().filter(|kubelet| !kubelet.enforces_pods())?;
    let enforced = kubelet.enforce_node_allocatable.as_deref().unwrap_or_default().join(", ");
    Some(Observation {
        risk: Risk::Medium,
        title: "Pods are not held to allocatable",
        why: "kubepods has no limit, so a reservation is only arithmetic of the scheduler: pods that exceed their requests take it.",
        evidence: format!("enforceNodeAllocatable is [{}], without pods", crate::text::escape(enforced.as_bytes())),
        fix: "Let the kubelet enforce it for pods; that is the default.",
        patch: Some("# kubelet configuration\nenforceNodeAllocatable:\n  - pods\n".to_owned()),
        containers: Vec::new(),
    })
}

/// A quarter more than is in use, for the system; the kubelet's own share is not told apart.
fn patch(outside: Option<Bytes>) -> String {
    let system = outside.map_or("<what is in use outside of pods>".to_owned(), |outside| {
        Bytes(outside.0.saturating_add(outside.0 / 4)).manifest_quantity()
    });
    format!(
        "# kubelet configuration; the kubelet restarts, pods stay\nsystemReserved:\n  memory: {system}\nkubeReserved:\n  memory: 256Mi\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::KubeletConfig;

    fn machine(config: &str, outside_mib: u64) -> Machine {
        let kubelet = KubeletConfig::from_json(serde_json::from_str(config).unwrap()).unwrap();
        Machine {
            has_pods: true,
            kubelet: Some(kubelet),
            outside: Some(Bytes(outside_mib << 20)),
            ..Machine::default()
        }
    }

    fn risks(machine: &Machine) -> Vec<Risk> {
        check(machine).iter().map(|seen| seen.risk).collect()
    }

    /// Nothing, too little, enough; and enforcement switched off.
    #[test]
    fn amounts() {
        assert_eq!(risks(&machine("{}", 900)), [Risk::High]);
        assert_eq!(risks(&machine("{}", 60)), [Risk::Medium]);
        assert_eq!(risks(&machine(r#"{"systemReserved":{"memory":"512Mi"}}"#, 900)), [Risk::Medium]);
        assert_eq!(risks(&machine(r#"{"systemReserved":{"memory":"1Gi"}}"#, 900)), []);
        let unenforced = r#"{"systemReserved":{"memory":"1Gi"},"enforceNodeAllocatable":["none"]}"#;
        assert_eq!(risks(&machine(unenforced, 900)), [Risk::Medium]);
    }

    /// From the API alone: what is kept from pods is the threshold and nothing else.
    #[test]
    fn from_the_api() {
        let node = |kept_mib: u64| Machine {
            has_pods: true,
            capacity: Some(Bytes(8 << 30)),
            allocatable: Some(Bytes((8 << 30) - (kept_mib << 20))),
            ..Machine::default()
        };
        assert_eq!((risks(&node(100)).len(), risks(&node(1500)).len()), (1, 0));
    }
}
