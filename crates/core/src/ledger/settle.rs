//! From readings to the account.

use jiff::Timestamp;

use super::account::account;
use super::observed::{CgroupUse, Observed};
use super::pressure::{Pressure, Reservation};
use super::{Ledger, SCHEMA};
use crate::evidence::Gap;
use crate::incident::identity::identify;
use crate::incident::level::Level;
use crate::kubernetes::Directory;
use crate::kubernetes::eviction::{Candidate, rank};
use crate::next::Outlook;
use crate::units::Bytes;

/// What is known besides the readings.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// Who is who, with the node's object and the kubelet's configuration where they are known.
    pub names: &'a Directory,
    /// When the readings were taken.
    pub at: Option<Timestamp>,
    /// The machine's own name.
    pub host: Option<&'a str>,
}

/// Makes the account. `killing` is the kernel's ranking for the whole machine.
///
/// # Errors
/// Where the machine's memory is not known: then there is nothing to account for.
pub fn settle(observed: &Observed, settings: Settings<'_>, killing: Outlook) -> Result<Ledger, Gap> {
    let names = settings.names;
    let account = account(observed, names)?;
    let config = names.kubelet.as_ref();
    let reservation = Reservation::of(&account, names.node.as_ref(), config);
    let capacity = reservation.capacity_bytes.unwrap_or(account.total);
    let pressure = Pressure::of(observed, &account, config, capacity);
    let mut gaps = observed.gaps.clone();
    gaps.extend(account.gaps.iter().cloned());
    let eviction_order = eviction_order(&account.kubepods, names, &mut gaps);
    gaps.extend(missing(&account.kubepods, names, &pressure));
    gaps.extend(killing.gaps);
    Ok(Ledger {
        schema: SCHEMA.to_owned(),
        at: settings.at,
        node: names.node.as_ref().map(|node| node.metadata.name.clone()).or_else(|| settings.host.map(str::to_owned)),
        total_bytes: account.total,
        parts: account.parts,
        reservation,
        pressure,
        eviction_order,
        kill_order: killing.processes,
        kill_order_omitted: killing.processes_omitted,
        gaps,
    })
}

/// Every pod with a cgroup, as far as its spec is known.
fn eviction_order(
    kubepods: &[&CgroupUse],
    names: &Directory,
    gaps: &mut Vec<Gap>,
) -> Vec<crate::kubernetes::eviction::Ranked> {
    let mut pods = Vec::new();
    kubepods.iter().for_each(|tree| pods_below(tree, &mut pods));
    let (known, unknown): (Vec<_>, Vec<_>) = pods.iter().partition(|(uid, _)| names.pod(uid).is_some());
    if !unknown.is_empty() {
        gaps.push(Gap::new(
            format!("{} of {} pods in the order of eviction", unknown.len(), pods.len()),
            "their requests and priorities are not known: it takes their objects from the API, the kubelet or --kubernetes",
        ));
    }
    let candidates: Vec<_> = known
        .iter()
        .filter_map(|(uid, working_set)| Some(Candidate { pod: &names.pod(uid)?.pod, working_set: *working_set }))
        .collect();
    rank(&candidates)
}

fn pods_below(cgroup: &CgroupUse, pods: &mut Vec<(String, Option<Bytes>)>) {
    match cgroup.level() {
        Level::Pod => {
            let uid = identify(cgroup.path.as_bytes()).and_then(|identity| identity.pod_uid);
            pods.extend(uid.map(|uid| (uid, cgroup.working_set())));
        }
        Level::Kubepods | Level::QosClass => cgroup.children.iter().for_each(|child| pods_below(child, pods)),
        _ => {}
    }
}

/// What a reader of the account would look for and not find.
fn missing(kubepods: &[&CgroupUse], names: &Directory, pressure: &Pressure) -> Vec<Gap> {
    let mut gaps = Vec::new();
    if kubepods.is_empty() {
        gaps.push(Gap::new(
            "kubepods",
            "no cgroup of a kubelet is here: this is no Kubernetes node, or its pods run elsewhere",
        ));
        return gaps;
    }
    if names.kubelet.is_none() {
        let why = "the kubelet's configuration is not known (--kubelet-config FILE)";
        gaps.push(Gap::new("reservations and eviction thresholds", why));
    }
    if pressure.available_bytes.is_none() {
        gaps.push(Gap::new("memory.available of the kubelet", "neither the root cgroup nor /proc/meminfo tells it"));
    }
    gaps
}
