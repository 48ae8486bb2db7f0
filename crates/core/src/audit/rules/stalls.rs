//! Slow instead of dead: throttled at `memory.high`, or stalled for memory.
//!
//! `memory.high` (MemoryQoS sets it, systemd's MemoryHigh too) never kills: whoever is above it is made to reclaim and to sleep. Nothing
//! in Kubernetes shows that. A count alone may be old; so it is said where tasks stall now, a tenth of the last five minutes, or where the
//! kernel does not account pressure and the count is large.

use super::{Asks, Observation, Rule, named};
use crate::audit::finding::Risk;
use crate::audit::seen::Seen;
use crate::audit::subject::Subject;

pub(super) const RULE: Rule = Rule {
    name: "stalls",
    about: "Containers whose tasks wait for memory now, throttled at memory.high or reclaiming below their limit (medium).",
    asks: Asks::Subject(check),
};

/// In percent of the last five minutes.
const STALLED: f64 = 10.0;
/// Without pressure: more than a spike's worth.
const THROTTLED: u64 = 1000;

fn check(subject: &Subject) -> Vec<Observation> {
    let names = subject.lasting_containers().map(|container| &container.name);
    names.filter_map(|name| stalled(subject.seen(name)?).map(|evidence| observation(name, &evidence))).collect()
}

/// What is said of it; `None` where nothing stalls.
pub(super) fn stalled(seen: &Seen) -> Option<String> {
    in_words(seen.stalled_percent, seen.throttled)
}

pub(super) fn in_words(stalled: Option<f64>, throttled: u64) -> Option<String> {
    match stalled {
        Some(percent) if percent >= STALLED => {
            let high =
                if throttled > 0 { format!(", throttled {throttled} times at memory.high") } else { String::new() };
            Some(format!("waits for memory {percent:.0} % of the time (memory.pressure, last 5 min){high}"))
        }
        None if throttled >= THROTTLED => Some(format!("was throttled {throttled} times at memory.high")),
        _ => None,
    }
}

fn observation(name: &str, evidence: &str) -> Observation {
    Observation {
        risk: Risk::Medium,
        title: "Stalls for memory",
        why: "It is not killed but slowed down, which shows as latency and failed probes, and in no status of Kubernetes.",
        evidence: format!("{} {evidence}", named(name)),
        fix: "Raise the request (with MemoryQoS it lifts memory.high) or the limit, or make it need less; `oomscope inspect` shows what it holds.",
        patch: None,
        containers: vec![name.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::seen::Seen;
    use crate::audit::testing::{found_with, limited, rules_of};

    /// Old throttling alone is no alarm where pressure says that all is well now.
    #[test]
    fn now_or_never() {
        let rules = |stalled_percent, throttled| {
            let seen = Seen { stalled_percent, throttled, ..Seen::default() };
            rules_of(&found_with(&[limited("1Gi")], seen)).len()
        };
        assert_eq!((rules(Some(40.0), 5), rules(Some(0.1), 5_000_000)), (1, 0));
        assert_eq!((rules(None, 5000), rules(None, 3)), (1, 0));
    }
}
