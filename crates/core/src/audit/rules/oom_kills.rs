//! Killed at its own limit before, and that limit has not been raised since.
//!
//! From the store of the watcher, else from the statuses of pods, which remember one ending each, else from the counters of cgroups that
//! live, which alone know of a worker that was killed while its container lived on. Kills for a shortage of the node say
//! nothing of the container's limit and are not counted. Once is an accident, more often is the way things are.

use super::{Asks, Observation, Rule, named};
use crate::audit::amounts;
use crate::audit::finding::Risk;
use crate::audit::patch::{Amount, Change};
use crate::audit::seen::Seen;
use crate::audit::subject::Subject;
use crate::kubernetes::Container;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "oom_kills",
    about: "Containers that were OOM-killed at a limit that still stands (high where it happens again and again, medium for once).",
    asks: Asks::Subject(check),
};

fn check(subject: &Subject) -> Vec<Observation> {
    subject.lasting_containers().filter_map(|container| killed(subject, container)).collect()
}

fn killed(subject: &Subject, container: &Container) -> Option<Observation> {
    let seen = subject.seen(&container.name).filter(|seen| seen.kills.max(seen.said).max(seen.counted) > 0)?;
    let limit = amounts::limit(container);
    let was_raised = limit.zip(seen.killed_at).is_some_and(|(now, then)| now > then);
    let is_unexplained = limit.is_none() && (seen.killed_at.is_some() || seen.kills == 0);
    if was_raised || is_unexplained {
        return None;
    }
    let last = seen.last_kill.map(|at| format!(", last at {}", at.strftime("%Y-%m-%d %H:%M UTC"))).unwrap_or_default();
    let at = limit.map_or_else(|| "at its pod's limit".to_owned(), |limit| format!("and its limit is still {limit}"));
    let patch = limit.map(|limit| {
        let change = Change { container: &container.name, request: None, limit: Some(Amount::Of(probe(seen, limit))) };
        subject.resources_patch(&[change])
    });
    Some(Observation {
        risk: if is_habit(seen) { Risk::High } else { Risk::Medium },
        title: "OOM-killed before, and the limit still stands",
        why: "What killed it once will do so again; `oomscope incidents` has each kill that was watched, with where the memory went.",
        evidence: format!("{} {}{last}, {at}", named(&container.name), often(seen)),
        fix: "Look at the incident first: a leak outgrows any limit. Where the need is real, raise the limit.",
        patch,
        containers: vec![container.name.clone()],
    })
}

/// Restarts of a container whose latest ending was such a kill were most likely for the same reason.
const MANY_RESTARTS: u32 = 3;

fn is_habit(seen: &Seen) -> bool {
    seen.kills.max(seen.said).max(seen.counted) > 1 || (seen.said > 0 && seen.restarts >= MANY_RESTARTS)
}

fn often(seen: &Seen) -> String {
    match (seen.kills, seen.said, seen.counted) {
        (0, 0, 1) => "had one of its processes killed for memory since it started (its cgroup's counter)".to_owned(),
        (0, 0, counted) => {
            format!("had {counted} of its processes killed for memory since it started (its cgroup's counter)")
        }
        (0, 1, _) => format!("was killed according to its status (OOMKilled, {} restarts)", seen.restarts),
        (0, pods, _) => {
            format!("was killed according to the status of {pods} pods (OOMKilled, up to {} restarts)", seen.restarts)
        }
        (1, ..) => "was killed once".to_owned(),
        (kills, ..) => format!("was killed {kills} times"),
    }
}

/// The need was cut off at the limit: half as much again, as a probe.
fn probe(seen: &Seen, limit: Bytes) -> Bytes {
    let least = seen.held.unwrap_or(limit).max(limit);
    Bytes(least.0.saturating_add(least.0 / 2))
}

#[cfg(test)]
mod tests {
    use crate::audit::finding::Risk;
    use crate::audit::seen::Seen;
    use crate::audit::testing::{found, found_with, limited, pod_with_volume, rules_of};
    use crate::units::Bytes;
    use serde_json::json;

    /// Kills count as long as the limit is what it was.
    #[test]
    fn until_the_limit_is_raised() {
        let seen = |kills| Seen { kills, killed_at: Some(Bytes(256 << 20)), ..Seen::default() };
        let findings = found_with(&[limited("256Mi")], seen(3));
        assert_eq!((rules_of(&findings), findings[0].risk), (vec!["oom_kills"], Risk::High));
        assert!(findings[0].evidence.contains("killed 3 times, and its limit is still 256 MiB"), "{findings:?}");
        assert_eq!(found_with(&[limited("256Mi")], seen(1))[0].risk, Risk::Medium);
        assert!(found_with(&[limited("512Mi")], seen(3)).is_empty());
    }

    /// A status that says it, of a container that was itself killed, is evidence too; the word with another exit code is not.
    #[test]
    fn from_the_status() {
        let pod = |exit_code: i32| {
            let mut pod = pod_with_volume("64Mi", json!({}));
            pod["status"] = json!({"containerStatuses": [{"name": "a", "restartCount": 4, "lastState":
                {"terminated": {"exitCode": exit_code, "reason": "OOMKilled", "finishedAt": "2026-04-04T03:41:03Z"}}}]});
            found(&[pod])
        };
        let findings = pod(137);
        assert_eq!((rules_of(&findings), findings[0].risk), (vec!["oom_kills"], Risk::High));
        assert!(findings[0].evidence.contains("(OOMKilled, 4 restarts), last at 2026-04-04 03:41 UTC"), "{findings:?}");
        assert!(pod(0).is_empty());
    }
}
