//! A kubelet that lets a container live on when one of its processes was killed.
//!
//! Since 1.28 the kubelet sets `memory.oom.group` on cgroup v2: the container dies whole and is restarted. `singleProcessOOMKill: true` (1.32)
//! goes back to the kernel's old way, which on v1 is the only one: a worker dies, init lives, and nothing in the Pod's status shows it.

use super::{Asks, Observation, Rule};
use crate::audit::finding::Risk;
use crate::audit::machine::Machine;

pub(super) const RULE: Rule = Rule {
    name: "single_process_kill",
    about: "A kubelet with singleProcessOOMKill: true on cgroup v2, which makes kills of workers invisible (low).",
    asks: Asks::Machine(check),
};

fn check(machine: &Machine) -> Vec<Observation> {
    let is_set = machine.kubelet.as_ref().is_some_and(|kubelet| kubelet.single_process_oom_kill == Some(true));
    if !is_set || machine.cgroup_version == Some(1) {
        return Vec::new();
    }
    vec![Observation {
        risk: Risk::Low,
        title: "OOM kills of workers stay invisible",
        why: "The kernel kills one process and the container lives on: half a server, no restart, no OOMKilled in any status.",
        evidence: "singleProcessOOMKill is true".to_owned(),
        fix: "Leave it false unless the programs here replace their own workers; with it, watch memory.events (`oomscope watch` does).",
        patch: Some("# kubelet configuration\nsingleProcessOOMKill: false\n".to_owned()),
        containers: Vec::new(),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::KubeletConfig;

    /// Only where it was switched on, and where there is another way.
    #[test]
    fn switched_on() {
        let found = |single_process_oom_kill, version| {
            let kubelet = Some(KubeletConfig { single_process_oom_kill, ..KubeletConfig::default() });
            check(&Machine { kubelet, cgroup_version: Some(version), ..Machine::default() }).len()
        };
        assert_eq!((found(Some(true), 2), found(Some(true), 1), found(None, 2)), (1, 0, 0));
    }
}
