//! Many small processes rather than one large.
//!
//! With a fork per request or a worker per CPU the sum is the problem: the victim is a random one among equals, and no leak
//! will be found in it. Trips when at least eight processes that may be killed are in the table, and the largest has under
//! 35 % of what they hold together. Shared pages are counted in each of them, so only private memory is summed where the
//! table splits it.

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::facts::{Facts, held_by_task};
use crate::diagnosis::words;
use crate::evidence::Part;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "many_small",
    about: "Many small processes share the limit, and none of them is the cause by itself.",
    check,
};

const MIN_PROCESSES: usize = 8;
const MAX_SHARE: f64 = 0.35;

/// Many processes of similar size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::diagnosis) struct Crowd {
    /// How many.
    pub(in crate::diagnosis) processes: usize,
    /// What the largest of them holds.
    pub(in crate::diagnosis) largest: Bytes,
    /// What they hold together.
    pub(in crate::diagnosis) total: Bytes,
}

/// `None` where one process stands out, or the table is not there.
pub(in crate::diagnosis) fn crowd(facts: &Facts<'_>) -> Option<Crowd> {
    if !facts.is_cgroup_kill() {
        return None;
    }
    let held: Vec<Bytes> = facts.report.tasks.iter().filter_map(held_by_task).collect();
    let largest = held.iter().copied().max()?;
    let total = Bytes(held.iter().fold(0, |sum, b| sum.saturating_add(b.0)));
    let enough = held.len() >= MIN_PROCESSES && largest.share_of(total) < MAX_SHARE;
    // Where they do not hold most of the memory, their number explains nothing.
    let fills = facts.report.usage_bytes.is_none_or(|usage| total.share_of(usage) > 0.5);
    (enough && fills).then_some(Crowd { processes: held.len(), largest, total })
}

fn check(facts: &Facts<'_>) -> Answer {
    if !facts.is_cgroup_kill() {
        return Answer::Absent;
    }
    if facts.report.tasks.is_empty() {
        return Answer::CannotTell(facts.missing("task table", Part::TaskTable));
    }
    let Some(crowd) = crowd(facts) else { return Answer::Absent };
    let per_process = Bytes(crowd.total.0 / crowd.processes as u64);
    let found = Found::that(
        "Many processes, none of them large",
        format!(
            "{} hold {} together, {per_process} each on average and {} at most.",
            words::count(crowd.processes, "process", "processes"),
            crowd.total,
            crowd.largest
        ),
        &[Part::TaskTable],
    );
    let Some(limit) = facts.limit() else { return found.into() };
    // A fifth is left for what they share and for cache.
    let fit = (limit.0 / 5 * 4).checked_div(per_process.0).unwrap_or(0).max(1);
    found
        .advise(
            Rank::Cause,
            format!("Run at most {fit} of them at a time"),
            format!(
                "At {per_process} each, {fit} fit into four fifths of {limit}; bound the number of workers, jobs or forks, and check \
                 whether it follows the number of the machine's CPUs rather than the container's."
            ),
            None,
        )
        .into()
}
