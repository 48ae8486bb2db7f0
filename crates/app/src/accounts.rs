//! Cases of the kernel and what Kubernetes says of them, put together: names for the cgroups, an account beside each kill, and cases for
//! the ends that only Kubernetes tells.

use std::collections::HashSet;

use oomscope_core::case::Case;
use oomscope_core::incident::Incident;
use oomscope_core::incident::identity::Identity;
use oomscope_core::kubernetes::{Directory, KillWitness, LogRead, Reconciler};

use crate::cases::diagnosed;

/// What came of it.
pub(crate) struct SideBySide {
    /// The kernel's cases and those of Kubernetes alone.
    pub(crate) cases: Vec<Case>,
    /// `SystemOOM` events that name a process of which no kill is known.
    pub(crate) unmatched: usize,
}

/// Puts the accounts side by side. Cases keep their order; those of Kubernetes alone come in where their time puts them, else at the end.
pub(crate) fn side_by_side(cases: Vec<Case>, directory: &Directory, log: LogRead) -> SideBySide {
    let cases: Vec<Case> = cases.into_iter().map(|case| named(case, directory)).collect();
    let kills: Vec<KillWitness> = cases.iter().filter_map(KillWitness::of).collect();
    let reconciler = Reconciler::new(directory, &kills, log);
    let all: Vec<Case> = cases.into_iter().map(|case| with_account(case, &reconciler)).collect();
    let mut untold: Vec<Case> = reconciler.untold().into_iter().map(diagnosed).collect();
    // A store has those of its watcher already.
    let known: HashSet<&str> = all.iter().map(|case| case.id.as_str()).collect();
    untold.retain(|case| !known.contains(case.id.as_str()));
    untold.sort_by_key(|case| case.incident.at.wall);
    SideBySide { cases: merged(all, untold), unmatched: reconciler.unmatched_system_oom().count() }
}

/// Each of the second before the first of the others that is later; those that belong nowhere at the end. Linear.
fn merged(all: Vec<Case>, untold: Vec<Case>) -> Vec<Case> {
    let mut merged = Vec::with_capacity(all.len() + untold.len());
    let (timeless, dated): (Vec<Case>, Vec<Case>) =
        untold.into_iter().partition(|case| case.incident.at.wall.is_none());
    let mut dated = dated.into_iter().peekable();
    for case in all {
        if let Some(at) = case.incident.at.wall {
            while let Some(earlier) = dated.next_if(|untold| untold.incident.at.wall.is_some_and(|told| told < at)) {
                merged.push(earlier);
            }
        }
        merged.push(case);
    }
    merged.extend(dated.chain(timeless));
    merged
}

/// Adds the names that the directory knows to what the path says.
pub(crate) fn named(mut case: Case, directory: &Directory) -> Case {
    name(&mut case.incident, directory);
    case
}

/// The same for an incident.
pub(crate) fn name(incident: &mut Incident, directory: &Directory) {
    if let Some(identity) = &mut incident.identity {
        directory.complete(identity);
        return;
    }
    // A rate-limited kill names no cgroup: the runtime knows the pid of a container's first process.
    let pid = incident.report().victims.first().map(|victim| victim.pid);
    if let Some(container) = pid.and_then(|pid| directory.container_of_init(pid)) {
        let mut identity = Identity { container_id: Some(container.id.clone()), ..Identity::default() };
        directory.complete(&mut identity);
        incident.identity = Some(identity);
    }
}

/// Adds what Kubernetes says, and judges again. Without an account the case stays as it is, and so does one that Kubernetes alone told:
/// who stored it knew more of the kernel's log.
pub(crate) fn with_account(case: Case, reconciler: &Reconciler<'_>) -> Case {
    if case.incident.kills.is_empty() && case.incident.kubernetes.is_some() {
        return case;
    }
    let Some(account) = reconciler.account(&case) else { return case };
    let Case { id, revision, mut incident, .. } = case;
    incident.add_kubernetes(account);
    Case { id, revision, ..diagnosed(incident) }
}
