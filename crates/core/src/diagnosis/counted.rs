//! The verdict by the counters of the cgroups, and what it adds to the one by the log.
//!
//! The log is the better witness: it names the cgroup of this very kill, while a counter rises with any kill between two readings. So the
//! counters decide only where the log does not name the limit; where they contradict it, the log's verdict stands, less sure.

use super::verdict::{self, Verdict};
use super::{Confidence, Killer};
use crate::evidence::{Gap, Scope};
use crate::incident::Incident;
use crate::incident::counted::{self, CountedLimit};

/// Whether the counters bear out what the log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// No counters were read.
    NotRead,
    /// The log does not name what ran out; the counters do, or do not either.
    Alone(CountedLimit),
    /// Both say the same.
    Agrees,
    /// They say that it was another cgroup's limit, or none.
    Disagrees(CountedLimit),
    /// They do not tell.
    Unknown(Gap),
}

/// Compares the two.
#[must_use]
pub(super) fn check(incident: &Incident) -> Check {
    let counters = &incident.counters;
    if counters.is_empty() {
        return Check::NotRead;
    }
    let said = counted::limit(counters);
    let by_log = verdict::of_report(incident.report());
    if incident.is_named_by_counters() && by_log.killer != Killer::Node {
        return Check::Alone(said);
    }
    if by_log.killer == Killer::Unknown {
        return Check::Alone(said);
    }
    let Some(limit) = &incident.report().limit_cgroup else { return check_of_machine(said) };
    match counters.iter().find(|change| change.cgroup == *limit).map(counted::met_limit) {
        Some(Some(true)) => Check::Agrees,
        Some(Some(false)) => Check::Disagrees(said),
        _ => Check::Unknown(Gap::new(
            "whether the counters agree with the log",
            "those of the cgroup that the log names were not read before and after the kill, or this kernel does not count at \
             the limit that was met",
        )),
    }
}

/// Of an OOM of the machine no cgroup counts more than the kill.
fn check_of_machine(said: CountedLimit) -> Check {
    match said {
        CountedLimit::NoCgroup => Check::Agrees,
        CountedLimit::Of { sure: true, .. } => Check::Disagrees(said),
        // Charges also meet limits without an OOM.
        CountedLimit::Of { sure: false, .. } => Check::Unknown(Gap::new(
            "whether the counters agree with the log",
            "charges met a limit on the path at the same time",
        )),
        CountedLimit::Unknown(gap) => Check::Unknown(gap),
    }
}

/// The verdict by log and counters together.
#[must_use]
pub(super) fn verdict(incident: &Incident) -> Verdict {
    let by_log = by_report(incident);
    match check(incident) {
        Check::NotRead | Check::Unknown(_) => by_log,
        Check::Alone(said) => alone(incident, by_log, said),
        Check::Agrees if by_log.killer == Killer::Unknown || by_log.gap.is_some() => by_log,
        Check::Agrees => Verdict { confidence: Confidence::Certain, ..by_log },
        Check::Disagrees(_) => Verdict { confidence: by_log.confidence.min(Confidence::Likely), ..by_log },
    }
}

/// The verdict by the report. A limit that nobody named, and that a program in the kernel took from what was full at that instant, is the
/// best reading only: a full level can lie on the path without being the one that was met.
fn by_report(incident: &Incident) -> Verdict {
    let by_report = verdict::of_report(incident.report());
    let is_deduced = !incident.contexts.is_empty() && !incident.is_named_by_log() && !incident.is_named_by_context();
    if !is_deduced || incident.report().limit_cgroup.is_none() {
        return by_report;
    }
    let gap = || {
        Gap::new(
            "proof of the limit's level",
            "the program that saw the kill in the kernel knows which cgroup was full, and not which one's limit was met",
        )
    };
    Verdict {
        confidence: by_report.confidence.min(Confidence::Likely),
        gap: by_report.gap.clone().or_else(|| Some(gap())),
        ..by_report
    }
}

fn alone(incident: &Incident, by_log: Verdict, said: CountedLimit) -> Verdict {
    match said {
        CountedLimit::Of { level, sure } => {
            let Some(change) = incident.counters.get(level) else { return by_log };
            let by_path = verdict::of_limit(&change.cgroup, incident.report().victim_cgroup.as_ref());
            if sure {
                return by_path;
            }
            Verdict {
                confidence: by_path.confidence.min(Confidence::Likely),
                gap: by_path.gap.or_else(|| {
                    Some(Gap::new(
                        "proof of the limit's level",
                        "the counters show where a limit was met, and the log does not name the cgroup of this kill",
                    ))
                }),
                ..by_path
            }
        }
        // The victim's line alone already tells a cgroup's kill from one of the machine.
        CountedLimit::NoCgroup if incident.report().scope == Some(Scope::Memcg) => by_log,
        CountedLimit::NoCgroup => verdict::of_some_machine(),
        CountedLimit::Unknown(gap) => {
            Verdict { gap: by_log.gap.filter(|_| !incident.is_counted_only()).or(Some(gap)), ..by_log }
        }
    }
}
