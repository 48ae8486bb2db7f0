//! The need is censored at the limit.
//!
//! A process that was killed at its limit needed *at least* that; how much more, no log knows. So raising the limit is an
//! experiment: half as much again, and if that is filled too, the usage follows the limit and something leaks. Offered only where the processes' own
//! memory filled a limit that somebody sets by hand: not for tmpfs or kernel memory, where the size is not what is wrong; not above pods, where the
//! kubelet sets the limit; not after a raise that was filled.

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::Killer;
use crate::diagnosis::facts::Facts;
use crate::diagnosis::set_limit::set_limit;
use crate::evidence::Part;
use crate::units::{Bytes, Limit};

pub(super) const RULE: Rule = Rule {
    name: "limit_probe",
    about: "The real need is at least the limit and unknown beyond it; what a trial raise would be.",
    check,
};

/// Room for the start of a container: runc's `init` is Go and has some 10 MiB mapped, of which it touches a part.
const TO_START: Bytes = Bytes(16 << 20);

fn check(facts: &Facts<'_>) -> Answer {
    let by_hand = matches!(facts.verdict.killer, Killer::ContainerLimit | Killer::PodLimit | Killer::CgroupLimit);
    if !by_hand || facts.impersonal().is_some() || facts.memory_swap_hit().is_some() || facts.report.no_killable_process
    {
        return Answer::Absent;
    }
    let Some(limit) = facts.limit() else {
        return Answer::CannotTell(facts.missing("limit of the cgroup", Part::Usage));
    };
    let found = Found::that(
        "It needs at least this much",
        format!(
            "Usage ended at the limit of {limit}: how much more it would have taken is not known, so this is no size to plan with."
        ),
        &[Part::Usage],
    );
    if raised_before(facts, limit) {
        return found.into();
    }
    let half_more = Bytes(limit.0.saturating_add(limit.0 / 2));
    if facts.report.killed_at_start() {
        let (title, patch) = of_one(facts, limit, half_more.max(TO_START));
        let detail = "The program had not begun yet: what was killed is runc itself, which takes a few MiB before it becomes the container's \
                      first process. A limit that leaves more room and is full all the same holds something else, such as files of a \
                      volume in memory.";
        return found.advise(Rank::Probe, title, detail, patch).into();
    }
    let trial = half_more;
    let detail = "Half as much again, as an experiment: if it is killed at the new limit too, something grows without bound, and the next \
                  step is a heap profile, not another raise.";
    let (title, patch) = match facts.verdict.killer {
        Killer::PodLimit => (
            format!("Try {} more for the container that grows", Bytes(limit.0 / 2)),
            Some(format!(
                "resources:    # of the container that grows\n  limits:\n    memory: \"{}\"    # so for a pod of one container; \
                 of several: its own limit plus {}",
                trial.manifest_quantity(),
                Bytes(limit.0 / 2).manifest_quantity()
            )),
        ),
        _ => of_one(facts, limit, trial),
    };
    found.advise(Rank::Probe, title, detail, patch).into()
}

/// cgroup v1's limit of memory and swap together must rise by as much, or memory alone takes what swap had.
fn of_one(facts: &Facts<'_>, limit: Bytes, trial: Bytes) -> (String, Option<String>) {
    let swap = swap_allowed(facts, limit);
    let patch = facts.report.limit_cgroup.as_ref().and_then(|path| set_limit(path, trial, swap));
    if facts.memory_swap_at_limit().is_none() {
        return (format!("Try a limit of {trial}"), patch);
    }
    let both = Bytes(trial.0.saturating_add(swap.unwrap_or_default().0));
    let title = format!("Try a limit of {trial}, and one of {both} for memory and swap together");
    let by_hand = format!("# memory.memsw.limit_in_bytes must rise as well, to {}", both.0);
    let patch = patch.map(|patch| if patch.contains("--memory-swap") { patch } else { format!("{patch}\n{by_hand}") });
    (title, patch)
}

/// Swap that the cgroup may use beside its limit; `None` where the log names no bound.
fn swap_allowed(facts: &Facts<'_>, limit: Bytes) -> Option<Bytes> {
    let at = |printed: Bytes| Limit::from_printed(printed).bytes();
    let beside = |both: Bytes| Bytes(both.0.saturating_sub(limit.0));
    let of_both = facts.report.memory_swap.and_then(|c| at(c.limit_bytes)).map(beside);
    of_both.or_else(|| facts.report.swap.and_then(|c| at(c.limit_bytes)))
}

fn raised_before(facts: &Facts<'_>, limit: Bytes) -> bool {
    let previous = facts.incident.recurrence.as_ref().and_then(|r| r.previous_limit_bytes);
    previous.and_then(|p| Limit::from_printed(Bytes(p)).bytes()).is_some_and(|p| p < limit)
}
