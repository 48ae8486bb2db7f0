//! No hard threshold of `memory.available`: the kubelet does not evict for memory, so the kernel decides.
//!
//! Easily done by accident: any `evictionHard` replaces all defaults, so a list that only mentions the disk switches memory off
//! (pkg/kubelet/apis/config/v1beta1/defaults_linux.go), unless `mergeDefaultEvictionSettings` is on. A threshold of 0 does the same on
//! purpose.

use super::{Asks, Observation, Rule};
use crate::audit::finding::Risk;
use crate::audit::machine::Machine;
use crate::kubernetes::Threshold;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "eviction_threshold",
    about: "Hard eviction for memory switched off or at zero (high).",
    asks: Asks::Machine(check),
};

fn check(machine: &Machine) -> Vec<Observation> {
    let Some(kubelet) = machine.kubelet.as_ref().filter(|_| machine.has_pods) else { return Vec::new() };
    let evidence = match kubelet.memory_thresholds().hard {
        None => "evictionHard is set and has no memory.available, which switches the default of 100Mi off",
        Some(Threshold::Bytes(Bytes(0)) | Threshold::Share(0)) => "evictionHard sets memory.available to zero",
        Some(_) => return Vec::new(),
    };
    vec![Observation {
        risk: Risk::High,
        title: "No eviction for memory",
        why: "The kubelet lets the node run out: the kernel then kills by its own rank, without grace, and may stall for minutes before.",
        evidence: evidence.to_owned(),
        fix: "Set a threshold; every signal has to be listed, since one of them replaces all defaults.",
        patch: Some(
            "# kubelet configuration\nevictionHard:\n  memory.available: 100Mi    # more on large nodes\n".to_owned(),
        ),
        containers: Vec::new(),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::KubeletConfig;

    /// A list that forgets memory switches it off; no list at all does not.
    #[test]
    fn forgotten() {
        let found = |config: &str| {
            let kubelet = KubeletConfig::from_json(serde_json::from_str(config).unwrap()).ok();
            check(&Machine { has_pods: true, kubelet, ..Machine::default() }).len()
        };
        assert_eq!(found(r#"{"evictionHard":{"nodefs.available":"10%"}}"#), 1);
        assert_eq!(found(r#"{"evictionHard":{"memory.available":"0%"}}"#), 1);
        assert_eq!((found("{}"), found(r#"{"evictionHard":{"memory.available":"5%"}}"#)), (0, 0));
    }
}
