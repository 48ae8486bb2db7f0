//! What runs beside the pods, or where there are none, without a limit, and is big.
//!
//! Small services are left alone, and so are the parts of the node that must not be killed for a limit (kubelet, container runtime, init):
//! for them memory is reserved instead, see `reservation`. What stalls at its own MemoryHigh is said here too.

use super::{Asks, Observation, Rule, stalls};
use crate::audit::finding::Risk;
use crate::audit::machine::{Machine, Service};
use crate::units::{Bytes, Limit};

pub(super) const RULE: Rule = Rule {
    name: "host_service",
    about: "Services and containers outside of pods without a limit that hold a tenth of the machine's memory (medium) or a twentieth (low), and those that stall for memory (medium).",
    asks: Asks::Machine(check),
};

/// Limits would do more harm than good there; systemd's own units among them.
const SPARED: [&str; 13] = [
    "kubelet.service",
    "containerd.service",
    "crio.service",
    "cri-docker.service",
    "docker.service",
    "k3s.service",
    "k3s-agent.service",
    "rke2-server.service",
    "rke2-agent.service",
    "snap.microk8s.daemon-kubelite.service",
    "init.scope",
    "systemd-journald.service",
    "dbus.service",
];
/// Below this nothing is worth a remark, however small the machine.
const SMALL: Bytes = Bytes(64 << 20);
/// More than this reads nobody.
const MOST: usize = 10;

fn check(machine: &Machine) -> Vec<Observation> {
    let mut big: Vec<(&Service, Risk, Bytes)> = machine
        .services
        .iter()
        .filter_map(|service| is_big(service, machine.capacity?).map(|(risk, held)| (service, risk, held)))
        .collect();
    big.sort_by_key(|(_, _, held)| std::cmp::Reverse(*held));
    let unlimited = big.into_iter().take(MOST).map(|(service, risk, held)| observation(service, risk, held));
    unlimited.chain(machine.services.iter().filter_map(stalled).take(MOST)).collect()
}

fn is_big(service: &Service, capacity: Bytes) -> Option<(Risk, Bytes)> {
    let spared = service.unit().is_some_and(|unit| SPARED.contains(&unit.as_str()));
    if spared || service.limit != Some(Limit::Unlimited) {
        return None;
    }
    let held = service.held.or(service.usage).filter(|held| *held >= SMALL)?;
    let share = held.share_of(capacity);
    let risk = if share >= 0.10 { Risk::Medium } else { Risk::Low };
    (share >= 0.05).then_some((risk, held))
}

fn observation(service: &Service, risk: Risk, held: Bytes) -> Observation {
    let peak =
        service.peak.filter(|peak| *peak > held).map(|peak| format!(", {peak} at its peak, page cache included"));
    Observation {
        risk,
        title: "Big outside of pods, without a limit",
        why: "Nothing bounds it but the machine's memory, and the scheduler knows nothing of it: when it grows, others die.",
        evidence: format!("{} holds {held} that cannot be given up{}", service.describe(), peak.unwrap_or_default()),
        fix: "Set MemoryMax (and MemoryHigh below it), or run a container with a memory limit; with pods on this machine, reserve memory for it.",
        patch: patch(service, service.held.max(Some(held)).unwrap_or(held)),
        containers: Vec::new(),
    }
}

fn patch(service: &Service, held: Bytes) -> Option<String> {
    let unit = service.unit()?;
    let mib = Bytes(held.0.saturating_add(held.0 / 2)).0.div_ceil(1 << 20);
    // The unit's name is a file's, so it may hold what a shell would read.
    Some(format!(
        "systemctl set-property '{}' MemoryMax={mib}M",
        crate::text::escape(unit.as_bytes()).replace('\'', "'\\''")
    ))
}

fn stalled(service: &Service) -> Option<Observation> {
    let evidence = stalls::in_words(service.stalled_percent, service.throttled)?;
    Some(Observation {
        risk: Risk::Medium,
        title: "Stalls for memory outside of pods",
        why: "It is not killed but slowed down: as slow as a hung disk, and in no log.",
        evidence: format!("{} {evidence}", service.describe()),
        fix: "Raise its MemoryHigh or MemoryMax, or make it need less; `oomscope inspect` shows what it holds.",
        patch: None,
        containers: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(cgroup: &str, held_mib: u64, limit: Limit) -> Machine {
        let service = Service {
            cgroup: cgroup.into(),
            held: Some(Bytes(held_mib << 20)),
            limit: Some(limit),
            ..Service::default()
        };
        Machine { capacity: Some(Bytes(8 << 30)), services: vec![service], ..Machine::default() }
    }

    /// Big and unbounded counts; small, limited, or the kubelet itself does not.
    #[test]
    fn big_and_unbounded() {
        let risk = |machine: Machine| check(&machine).first().map(|seen| seen.risk);
        assert_eq!(risk(machine("/system.slice/db.service", 2000, Limit::Unlimited)), Some(Risk::Medium));
        assert_eq!(risk(machine("/system.slice/db.service", 500, Limit::Unlimited)), Some(Risk::Low));
        assert_eq!(risk(machine("/system.slice/db.service", 100, Limit::Unlimited)), None);
        assert_eq!(risk(machine("/system.slice/db.service", 2000, Limit::At(Bytes(4 << 30)))), None);
        assert_eq!(risk(machine("/system.slice/kubelet.service", 2000, Limit::Unlimited)), None);
    }

    /// A unit's name cannot run a command of its own.
    #[test]
    fn hostile_unit() {
        let seen = check(&machine("/system.slice/a';reboot;'.service", 2000, Limit::Unlimited));
        let patch = seen[0].patch.clone().unwrap_or_default();
        assert!(patch.contains(r"'a'\'';reboot;'\''.service'"), "{patch}");
    }
}
