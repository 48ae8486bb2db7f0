//! Whom the kubelet would evict first when memory runs short.
//!
//! Pods whose usage the kubelet does not know go first, then those that use more than they request, of these the lower priority
//! first, and of equals the one that uses most above its request (or least below it). The class (`BestEffort` …) does not enter: a
//! `BestEffort` pod goes first only because it requests nothing. Static pods, mirrors and those of a system priority are ranked like
//! any other and then passed over. Usage is the working set.
//! Source: pkg/kubelet/eviction/helpers.go, `rankMemoryPressure`; eviction_manager.go, `evictPod`; pkg/kubelet/types/pod_update.go,
//! `IsCriticalPod`. Go's sort is not stable: of pods that are equal in all of this, any may be first.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use crate::kubernetes::{Pod, Qos};
use crate::units::Bytes;

/// pkg/apis/scheduling/types.go, `SystemCriticalPriority`.
const SYSTEM_CRITICAL: i32 = 2_000_000_000;

/// A pod of the node with what it uses.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Usage without inactive file pages; `None` where it is not known.
    pub working_set: Option<Bytes>,
}

/// Why the kubelet never evicts a pod for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spared {
    /// It comes from a manifest on the node: nobody would start it again.
    StaticPod,
    /// Its priority is that of the system.
    SystemPriority,
}

impl Spared {
    /// As `IsCriticalPod` decides.
    #[must_use]
    pub fn of(pod: &Pod) -> Option<Self> {
        let annotation = |name: &str| pod.metadata.annotations.get(name).map(String::as_str);
        let is_from_node = annotation("kubernetes.io/config.source").is_some_and(|source| source != "api");
        if is_from_node || annotation("kubernetes.io/config.mirror").is_some() {
            return Some(Self::StaticPod);
        }
        (pod.spec.priority? >= SYSTEM_CRITICAL).then_some(Self::SystemPriority)
    }

    const fn why(self) -> &'static str {
        match self {
            Self::StaticPod => "a static pod is never evicted",
            Self::SystemPriority => "a pod of system priority is never evicted",
        }
    }
}

/// A pod's place in the ranking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranked {
    /// 1 would be evicted first; `null` for one that is never evicted.
    pub rank: Option<u32>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub pod: String,
    /// Its uid, as its cgroup carries it.
    pub pod_uid: Option<String>,
    /// Its class, which the ranking does not ask for.
    pub qos: Qos,
    /// Its priority; 0 where it has none.
    pub priority: i32,
    /// What it requests, overhead included.
    pub request_bytes: Bytes,
    /// What it uses.
    pub working_set_bytes: Option<Bytes>,
    /// Usage less request; below zero where it uses less.
    pub over_request_bytes: Option<i64>,
    /// Why it is never evicted.
    pub spared: Option<Spared>,
    /// Why it stands where it does, for people.
    pub why: String,
}

/// Ranks pods. Those that have ended are left out, as they hold nothing.
#[must_use]
pub fn rank(candidates: &[Candidate<'_>]) -> Vec<Ranked> {
    let mut ranked: Vec<_> = candidates.iter().filter(|candidate| is_active(candidate.pod)).map(of).collect();
    ranked.sort_by_cached_key(|pod| (pod.spared.is_some(), key(pod), pod.namespace.clone(), pod.pod.clone()));
    let mut place = 0;
    for pod in ranked.iter_mut().filter(|pod| pod.spared.is_none()) {
        place += 1;
        pod.rank = Some(place);
    }
    ranked
}

/// pkg/kubelet/kubelet_pods.go, `filterOutInactivePods`.
fn is_active(pod: &Pod) -> bool {
    !matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed"))
}

fn of(candidate: &Candidate<'_>) -> Ranked {
    let pod = candidate.pod;
    let request = pod.memory_request();
    let over = candidate.working_set.map(|usage| difference(usage, request));
    let mut ranked = Ranked {
        rank: None,
        namespace: pod.metadata.namespace.clone(),
        pod: pod.metadata.name.clone(),
        pod_uid: pod.cgroup_uid().map(str::to_owned),
        qos: pod.qos(),
        priority: pod.spec.priority.unwrap_or(0),
        request_bytes: request,
        working_set_bytes: candidate.working_set,
        over_request_bytes: over,
        spared: Spared::of(pod),
        why: String::new(),
    };
    ranked.why = why(&ranked);
    ranked
}

/// Less goes sooner.
fn key(pod: &Ranked) -> (bool, bool, i32, Reverse<i64>) {
    let over = pod.over_request_bytes.unwrap_or(0);
    (pod.over_request_bytes.is_some(), over <= 0, pod.priority, Reverse(over))
}

fn difference(usage: Bytes, request: Bytes) -> i64 {
    i64::try_from(i128::from(usage.0) - i128::from(request.0)).unwrap_or(i64::MAX)
}

fn why(pod: &Ranked) -> String {
    let usage = match (pod.working_set_bytes, pod.over_request_bytes) {
        (Some(usage), Some(over)) if over > 0 && pod.request_bytes == Bytes(0) => {
            format!("uses {usage}, requests nothing")
        }
        (Some(_), Some(over)) if over > 0 => {
            format!("uses {} more than its request of {}", Bytes(over.unsigned_abs()), pod.request_bytes)
        }
        (Some(_), Some(over)) => {
            format!("uses {} less than its request of {}", Bytes(over.unsigned_abs()), pod.request_bytes)
        }
        _ => "its usage is not known: such a pod goes first".to_owned(),
    };
    let priority = if pod.priority == 0 { String::new() } else { format!("; priority {}", pod.priority) };
    let spared = pod.spared.map_or_else(String::new, |spared| format!("; {}", spared.why()));
    format!("{usage}{priority}{spared}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn pod(name: &str, request_mib: u64, priority: i32) -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": name, "namespace": "prod"},
            "spec": {"priority": priority, "containers": [{"name": "a", "resources": {"requests": {"memory": format!("{request_mib}Mi")}}}]},
        }))
        .unwrap()
    }

    fn order(pods: &[(Pod, Option<u64>)]) -> Vec<(String, Option<u32>)> {
        let candidates: Vec<_> =
            pods.iter().map(|(pod, mib)| Candidate { pod, working_set: mib.map(|mib| Bytes(mib * MIB)) }).collect();
        rank(&candidates).into_iter().map(|ranked| (ranked.pod, ranked.rank)).collect()
    }

    /// Unknown usage first, then those over their request by priority and excess, then those below it likewise.
    #[test]
    fn the_order() {
        let found = order(&[
            (pod("below", 200, 0), Some(150)),
            (pod("far-below", 400, 0), Some(150)),
            (pod("over", 100, 0), Some(150)),
            (pod("far-over", 0, 0), Some(80)),
            (pod("important", 0, 1000), Some(900)),
            (pod("unknown", 0, 1000), None),
            (pod("exactly", 70, 0), Some(70)),
        ]);
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["unknown", "far-over", "over", "important", "exactly", "below", "far-below"]);
        assert_eq!(found[2].1, Some(3));
    }

    /// Static pods and those of system priority are passed over, and pods that have ended are not there.
    #[test]
    fn spared() {
        let mut fixed = pod("fixed", 0, 0);
        fixed.metadata.annotations.insert("kubernetes.io/config.source".to_owned(), "file".to_owned());
        let mut ended = pod("ended", 0, 0);
        ended.status.phase = Some("Failed".to_owned());
        let found = order(&[
            (fixed, Some(900)),
            (pod("dns", 0, SYSTEM_CRITICAL), Some(900)),
            (pod("app", 0, 0), Some(1)),
            (ended, None),
        ]);
        assert_eq!(found, [("app".to_owned(), Some(1)), ("fixed".to_owned(), None), ("dns".to_owned(), None)]);
    }

    /// In words.
    #[test]
    fn reasons() {
        let why = |request, priority, mib: Option<u64>| {
            let pod = pod("a", request, priority);
            rank(&[Candidate { pod: &pod, working_set: mib.map(|mib| Bytes(mib * MIB)) }]).remove(0).why
        };
        assert_eq!(why(0, 0, Some(80)), "uses 80 MiB, requests nothing");
        assert_eq!(why(100, 0, Some(150)), "uses 50 MiB more than its request of 100 MiB");
        assert_eq!(why(100, 7, Some(20)), "uses 80 MiB less than its request of 100 MiB; priority 7");
        assert!(why(0, SYSTEM_CRITICAL, None).ends_with("never evicted"));
    }
}
