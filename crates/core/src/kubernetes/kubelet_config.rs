//! The kubelet's configuration, as far as it decides over memory: `/configz` of the kubelet, or its config file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Quantity, null_is_empty};
use crate::units::Bytes;

/// `KubeletConfiguration`. What is absent has the kubelet's default, which the methods tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KubeletConfig {
    /// `memory.available: 100Mi` or `5%`.
    #[serde(deserialize_with = "null_is_empty")]
    pub eviction_hard: BTreeMap<String, String>,
    /// True: `evictionHard` adds to the defaults instead of replacing all of them (1.33 and newer).
    pub merge_default_eviction_settings: Option<bool>,
    /// Must be met for a grace period.
    #[serde(deserialize_with = "null_is_empty")]
    pub eviction_soft: BTreeMap<String, String>,
    /// By signal: `1m30s`.
    #[serde(deserialize_with = "null_is_empty")]
    pub eviction_soft_grace_period: BTreeMap<String, String>,
    /// How much more than the threshold an eviction shall free.
    #[serde(deserialize_with = "null_is_empty")]
    pub eviction_minimum_reclaim: BTreeMap<String, String>,
    /// How long a condition stays after it is over.
    pub eviction_pressure_transition_period: Option<String>,
    /// Kept for the kubelet and the runtime.
    #[serde(deserialize_with = "null_is_empty")]
    pub kube_reserved: BTreeMap<String, Quantity>,
    /// Kept for the system's own services.
    #[serde(deserialize_with = "null_is_empty")]
    pub system_reserved: BTreeMap<String, Quantity>,
    /// `pods` (the default), `kube-reserved`, `system-reserved`, `none`.
    pub enforce_node_allocatable: Option<Vec<String>>,
    /// The cgroup whose limit `kube-reserved` becomes where that is enforced.
    pub kube_reserved_cgroup: Option<String>,
    /// The cgroup whose limit `system-reserved` becomes where that is enforced.
    pub system_reserved_cgroup: Option<String>,
    /// `cgroupfs` (the default) or `systemd`.
    pub cgroup_driver: Option<String>,
    /// What kubepods is put into.
    pub cgroup_root: Option<String>,
    /// False: no QoS cgroups.
    #[serde(rename = "cgroupsPerQOS")]
    pub cgroups_per_qos: Option<bool>,
    /// Of `MemoryQoS`: memory.high between request and limit.
    pub memory_throttling_factor: Option<f64>,
    /// True: one process dies, not the whole container (1.32 and newer).
    #[serde(rename = "singleProcessOOMKill")]
    pub single_process_oom_kill: Option<bool>,
    /// False: the kubelet runs on a machine with swap.
    pub fail_swap_on: Option<bool>,
    /// How pods may swap.
    #[serde(deserialize_with = "null_is_empty")]
    pub memory_swap: MemorySwap,
    /// `MemoryQoS: true`.
    #[serde(deserialize_with = "null_is_empty")]
    pub feature_gates: BTreeMap<String, bool>,
}

/// `memorySwap`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MemorySwap {
    /// `NoSwap` (the default) or `LimitedSwap`.
    pub swap_behavior: Option<String>,
}

/// One threshold of one signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Threshold {
    /// An amount.
    Bytes(Bytes),
    /// Hundredths of a percent of the capacity.
    Share(u32),
}

impl Threshold {
    /// `100Mi`, `5%`, `7.5%`; `None` where it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(percent) = text.trim().strip_suffix('%') {
            let percent: f64 = percent.trim().parse().ok()?;
            return (0.0..=100.0).contains(&percent).then(|| Self::Share((percent * 100.0).round() as u32));
        }
        text.parse::<Quantity>().ok().map(|quantity| Self::Bytes(quantity.bytes()))
    }

    /// As an amount of memory.
    #[must_use]
    pub fn of(self, capacity: Bytes) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Share(share) => Bytes((u128::from(capacity.0) * u128::from(share) / 10_000) as u64),
        }
    }
}

/// The thresholds of `memory.available`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Evicts at once.
    pub hard: Option<Threshold>,
    /// Evicts after its grace period.
    pub soft: Option<Threshold>,
}

/// The signal of the machine's memory.
const MEMORY: &str = "memory.available";
/// pkg/kubelet/apis/config/v1beta1/defaults_linux.go, `DefaultEvictionHard`.
const DEFAULT_HARD: Threshold = Threshold::Bytes(Bytes(100 << 20));

impl KubeletConfig {
    /// Of `/configz` (`{"kubeletconfig": {…}}`) or of a config file.
    ///
    /// # Errors
    /// Where a field has another type than the kubelet gives it.
    pub fn from_json(mut value: serde_json::Value) -> Result<Self, serde_json::Error> {
        let inner = value.get_mut("kubeletconfig").map(serde_json::Value::take);
        serde_json::from_value(inner.unwrap_or(value))
    }

    /// The thresholds of memory: where no hard threshold at all is configured, the kubelet's default holds.
    #[must_use]
    pub fn memory_thresholds(&self) -> Thresholds {
        let of = |map: &BTreeMap<String, String>| map.get(MEMORY).and_then(|text| Threshold::parse(text));
        let is_default = self.eviction_hard.is_empty() || self.merge_default_eviction_settings == Some(true);
        let hard = of(&self.eviction_hard).or(Some(DEFAULT_HARD).filter(|_| is_default));
        Thresholds { hard, soft: of(&self.eviction_soft) }
    }

    /// Whether the pods' memory together is limited to allocatable.
    #[must_use]
    pub fn enforces_pods(&self) -> bool {
        self.enforce_node_allocatable.as_ref().is_none_or(|enforced| enforced.iter().any(|what| what == "pods"))
    }

    /// Whether pods get a memory.high.
    #[must_use]
    pub fn memory_qos(&self) -> bool {
        self.feature_gates.get("MemoryQoS").copied().unwrap_or(false)
    }

    /// Reserved for the kubelet and for the system.
    #[must_use]
    pub fn reserved(&self) -> (Option<Quantity>, Option<Quantity>) {
        (self.kube_reserved.get("memory").copied(), self.system_reserved.get("memory").copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Amounts, shares of the capacity, and the default where nothing is configured.
    #[test]
    fn thresholds() {
        let config = |json: &str| KubeletConfig::from_json(serde_json::from_str(json).unwrap()).unwrap();
        assert_eq!(config("{}").memory_thresholds().hard, Some(DEFAULT_HARD));
        let set = config(
            r#"{"kubeletconfig":{"evictionHard":{"memory.available":"7.5%"},"evictionSoft":{"memory.available":"1Gi"}}}"#,
        );
        let thresholds = set.memory_thresholds();
        assert_eq!(thresholds.hard.map(|t| t.of(Bytes(1000))), Some(Bytes(75)));
        assert_eq!(thresholds.soft, Some(Threshold::Bytes(Bytes(1 << 30))));
        assert_eq!(config(r#"{"evictionHard":{"nodefs.available":"10%"}}"#).memory_thresholds().hard, None);
        let merged = r#"{"evictionHard":{"nodefs.available":"10%"},"mergeDefaultEvictionSettings":true}"#;
        assert_eq!(config(merged).memory_thresholds().hard, Some(DEFAULT_HARD));
        for wrong in ["", "%", "101%", "x", "-5%"] {
            assert_eq!(Threshold::parse(wrong), None, "{wrong}");
        }
    }
}
