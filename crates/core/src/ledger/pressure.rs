//! The account against what was reserved, and how far the kubelet is from evicting.

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::observed::Observed;
use crate::kubernetes::{KubeletConfig, Node};
use crate::units::{Bytes, Limit};

/// What pods may use, and what is kept from them. `None`: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Memory of the machine, as the kubelet counts it.
    pub capacity_bytes: Option<Bytes>,
    /// `kubeReserved`.
    pub kube_reserved_bytes: Option<Bytes>,
    /// `systemReserved`.
    pub system_reserved_bytes: Option<Bytes>,
    /// What pods may request together: capacity less both and less the hard eviction threshold.
    pub allocatable_bytes: Option<Bytes>,
    /// The limit of all pods together that is in force. The hard threshold is not taken off it: it is larger than allocatable.
    pub kubepods_limit_bytes: Option<Limit>,
    /// In use outside of kubepods; `None` without kubepods.
    pub outside_kubepods_bytes: Option<Bytes>,
    /// Of that, what is not page cache or reclaimable slab: this is what a reservation has to cover.
    pub outside_kubepods_unreclaimable_bytes: Option<Bytes>,
    /// By how much that exceeds what is reserved (below zero: what is left of the reservation). Beyond it, pods that stay within
    /// allocatable run the machine out of memory.
    pub beyond_reservation_bytes: Option<i64>,
}

/// How far the kubelet is from evicting pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pressure {
    /// `memory.available` as the kubelet computes it: capacity less anonymous memory and page cache in use lately. It leaves out
    /// kernel memory, and it is not `MemAvailable`.
    pub available_bytes: Option<Bytes>,
    /// What it takes off the capacity.
    pub working_set_bytes: Option<Bytes>,
    /// To the hard threshold.
    pub hard: Option<Distance>,
    /// To the soft threshold.
    pub soft: Option<Distance>,
    /// To the hard threshold below the limit of kubepods (`allocatableMemory.available`), where that limit is enforced.
    pub allocatable: Option<Distance>,
}

/// The distance to a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distance {
    /// The threshold.
    pub threshold_bytes: Bytes,
    /// Available.
    pub available_bytes: Bytes,
    /// What may still be used before it is met; below zero: by how much it was crossed.
    pub left_bytes: i64,
}

impl Distance {
    fn new(threshold: Bytes, available: Bytes) -> Self {
        let left = i128::from(available.0) - i128::from(threshold.0);
        Self {
            threshold_bytes: threshold,
            available_bytes: available,
            left_bytes: i64::try_from(left).unwrap_or(i64::MAX),
        }
    }

    /// The kubelet would act (the threshold itself does not suffice).
    #[must_use]
    pub const fn is_crossed(&self) -> bool {
        self.left_bytes < 0
    }
}

impl Reservation {
    pub(super) fn of(account: &Account<'_>, node: Option<&Node>, config: Option<&KubeletConfig>) -> Self {
        let capacity = node.and_then(Node::memory_capacity).map(|quantity| quantity.bytes());
        let capacity = capacity.or_else(|| config.map(|_| account.total)).or(Some(account.total));
        let reserved = config.map(KubeletConfig::reserved);
        let (kube, system) = reserved.map_or((None, None), |(kube, system)| {
            let amount = |quantity: Option<crate::kubernetes::Quantity>| {
                Some(quantity.map_or(Bytes(0), |quantity| quantity.bytes()))
            };
            (amount(kube), amount(system))
        });
        let outside = Self::outside(account);
        let unreclaimable = outside.map(|outside| less(outside, account.reclaimable_outside));
        let allocatable = node.and_then(Node::memory_allocatable).map(|quantity| quantity.bytes());
        let of_config = || {
            let (capacity, hard) = (capacity?, config?.memory_thresholds().hard);
            let kept = kube?.0.saturating_add(system?.0);
            let memory = less(less(capacity, kept), hard.map_or(0, |hard| hard.of(capacity).0));
            // Huge pages are a resource of their own (pkg/kubelet/nodestatus/setters.go, `MachineInfo`).
            Some(less(memory, part(account, "hugepages").unwrap_or(0)))
        };
        let allocatable = allocatable.or_else(of_config);
        let kept = capacity.zip(allocatable).map(|(capacity, allocatable)| capacity.0.saturating_sub(allocatable.0));
        let limits = account.kubepods.iter().filter_map(|pods| pods.limit);
        Self {
            capacity_bytes: capacity,
            kube_reserved_bytes: kube,
            system_reserved_bytes: system,
            allocatable_bytes: allocatable,
            kubepods_limit_bytes: limits.reduce(tighter),
            outside_kubepods_bytes: outside,
            outside_kubepods_unreclaimable_bytes: unreclaimable,
            beyond_reservation_bytes: unreclaimable.zip(kept).map(|(used, kept)| difference(used, Bytes(kept))),
        }
    }

    fn outside(account: &Account<'_>) -> Option<Bytes> {
        let kubepods = part(account, "kubepods")?;
        Some(less(less(account.total, kubepods), part(account, "free").unwrap_or(0)))
    }
}

impl Pressure {
    pub(super) fn of(
        observed: &Observed,
        account: &Account<'_>,
        config: Option<&KubeletConfig>,
        capacity: Bytes,
    ) -> Self {
        let Some(working_set) = working_set(observed) else { return Self::default() };
        let available = less(capacity, working_set.0);
        let thresholds = config.map(KubeletConfig::memory_thresholds).unwrap_or_default();
        let hard = thresholds.hard.map(|hard| Distance::new(hard.of(capacity), available));
        Self {
            available_bytes: Some(available),
            working_set_bytes: Some(working_set),
            hard,
            soft: thresholds.soft.map(|soft| Distance::new(soft.of(capacity), available)),
            allocatable: config.filter(|config| config.enforces_pods()).and_then(|config| of_kubepods(account, config)),
        }
    }
}

/// The kubelet asks the same of kubepods as of the machine: helpers.go, `addAllocatableThresholds`.
fn of_kubepods(account: &Account<'_>, config: &KubeletConfig) -> Option<Distance> {
    let [pods] = account.kubepods.as_slice() else { return None };
    let limit = pods.limit?.bytes()?;
    let available = less(limit, pods.working_set()?.0);
    Some(Distance::new(config.memory_thresholds().hard?.of(limit), available))
}

/// What cAdvisor calls the working set of the root: anonymous memory and page cache, without inactive files. On v1 that is
/// `memory.usage_in_bytes` of the root (which has no kernel memory, unlike any other cgroup's) less `total_inactive_file`; on v2
/// runc 1.1.9 and newer adds up `anon` and `file` of the root's `memory.stat` to say the same (before: `MemTotal − MemFree`). /proc/meminfo
/// has the same counters.
fn working_set(observed: &Observed) -> Option<Bytes> {
    let root = observed.root.as_ref().filter(|_| observed.is_whole_machine).and_then(|root| root.charged);
    let of_root = root.and_then(|charged| Some((charged.anon?.saturating_add(charged.file?), charged.inactive_file?)));
    let get = |name: &str| observed.meminfo.get(name).map(|bytes| bytes.0);
    let of_meminfo = || {
        let file = get("Cached")?.saturating_add(get("Buffers")?).saturating_add(get("SwapCached").unwrap_or(0));
        Some((get("AnonPages")?.saturating_add(file), get("Inactive(file)")?))
    };
    let (usage, inactive) = of_root.or_else(of_meminfo)?;
    Some(Bytes(usage.saturating_sub(inactive)))
}

fn part(account: &Account<'_>, name: &str) -> Option<u64> {
    account.parts.iter().find(|part| part.name == name).map(|part| part.amount().0)
}

fn tighter(one: Limit, other: Limit) -> Limit {
    match (one.bytes(), other.bytes()) {
        (Some(a), Some(b)) => Limit::At(a.min(b)),
        (Some(a), None) | (None, Some(a)) => Limit::At(a),
        (None, None) => Limit::Unlimited,
    }
}

fn less(from: Bytes, what: u64) -> Bytes {
    Bytes(from.0.saturating_sub(what))
}

fn difference(used: Bytes, kept: Bytes) -> i64 {
    i64::try_from(i128::from(used.0) - i128::from(kept.0)).unwrap_or(i64::MAX)
}
