//! Swap under a kubelet.
//!
//! By default the kubelet refuses to start where there is swap (`failSwapOn`): it keeps running until the next reboot or upgrade, and then the
//! node is gone. With that off, what happens depends: `NoSwap` (the default) leaves pods without it and lets services swap, which is what
//! people want. `LimitedSwap` needs cgroup v2; on v1 the kubelet sets no bound and containers may swap as much as there is, where a limit
//! then holds back only resident memory.

use super::{Asks, Observation, Rule};
use crate::audit::finding::Risk;
use crate::audit::machine::Machine;
use crate::kubernetes::KubeletConfig;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "swap",
    about: "Swap that the kubelet will not start with (high), that it cannot bound on cgroup v1 (medium), or that pods use (low).",
    asks: Asks::Machine(check),
};

fn check(machine: &Machine) -> Vec<Observation> {
    let swap = machine.swap.filter(|swap| swap.0 > 0 && machine.has_pods);
    let Some((swap, kubelet)) = swap.zip(machine.kubelet.as_ref()) else { return Vec::new() };
    let seen = if kubelet.fail_swap_on.unwrap_or(true) {
        refuses(swap)
    } else if machine.cgroup_version == Some(1) {
        unbounded(swap)
    } else if is_limited(kubelet) {
        limited(swap)
    } else {
        return Vec::new();
    };
    vec![seen]
}

fn is_limited(kubelet: &KubeletConfig) -> bool {
    kubelet.memory_swap.swap_behavior.as_deref() == Some("LimitedSwap")
}

fn refuses(swap: Bytes) -> Observation {
    Observation {
        risk: Risk::High,
        title: "The kubelet will not start again with this swap",
        why: "failSwapOn is on, which is its default: a kubelet that runs now was started before the swap, and the next restart or upgrade fails.",
        evidence: format!("the machine has {swap} of swap, and failSwapOn is not false"),
        fix: "Switch swap off for good, or allow it on purpose and say what pods may have of it.",
        patch: Some("swapoff -a    # and remove it from /etc/fstab\n# or, in the kubelet configuration:\nfailSwapOn: false\nmemorySwap:\n  swapBehavior: NoSwap\n".to_owned()),
        containers: Vec::new(),
    }
}

fn unbounded(swap: Bytes) -> Observation {
    Observation {
        risk: Risk::Medium,
        title: "Swap without a bound for pods",
        why: "On cgroup v1 the kubelet sets no limit of memory and swap together: a container that leaks fills the swap of the whole node before \
              its limit kills it, and everything gets slow first.",
        evidence: format!("the machine has {swap} of swap, failSwapOn is false, and memory is on cgroup v1"),
        fix: "Switch swap off on nodes with cgroup v1, or move to cgroup v2.",
        patch: None,
        containers: Vec::new(),
    }
}

fn limited(swap: Bytes) -> Observation {
    Observation {
        risk: Risk::Low,
        title: "Burstable pods may swap",
        why: "With LimitedSwap a Burstable container gets a share of the swap in proportion to its request: a leak shows as latency first, and as a \
              kill only later; memory.swap.max says how much each has.",
        evidence: format!("the machine has {swap} of swap, and swapBehavior is LimitedSwap"),
        fix: "Watch memory.swap.current and major faults of what must answer quickly, or make it Guaranteed: that never swaps.",
        patch: None,
        containers: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each way in which swap surprises, and the one in which it does not.
    #[test]
    fn surprises() {
        let risk = |config: &str, version: u8, swap: u64| {
            let kubelet = KubeletConfig::from_json(serde_json::from_str(config).unwrap()).ok();
            let machine = Machine {
                has_pods: true,
                kubelet,
                swap: Some(Bytes(swap)),
                cgroup_version: Some(version),
                ..Machine::default()
            };
            check(&machine).first().map(|seen| seen.risk)
        };
        let limited = r#"{"failSwapOn":false,"memorySwap":{"swapBehavior":"LimitedSwap"}}"#;
        assert_eq!((risk("{}", 2, 1 << 30), risk("{}", 2, 0)), (Some(Risk::High), None));
        assert_eq!((risk(limited, 2, 1 << 30), risk(limited, 1, 1 << 30)), (Some(Risk::Low), Some(Risk::Medium)));
        assert_eq!(risk(r#"{"failSwapOn":false}"#, 2, 1 << 30), None);
    }
}
