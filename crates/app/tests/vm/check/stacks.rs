//! What programs in the kernel saw of each kill, against what the scenario knows; and which code asked.

use oomscope_core::case::Case;
use oomscope_core::evidence::{Frame, KillContext};
use oomscope_testkit::vm::{Expected, Facts};

use super::cases::Cases;
use super::kill;

/// The functions of load.c that take memory.
const TAKERS: [&str; 7] = ["touch", "grow", "growing_thread", "write_file", "pipes", "directories", "spike"];

/// Naming a stack needs the process's memory map, read before it is gone: a race under emulation. So many must win it.
const NAMED_IN_PERCENT: usize = 75;

/// Every kill that was watched was seen in the kernel too, by the right names and numbers, and most stacks have names.
pub(super) fn of_kills(facts: &Facts, watched: &Cases) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut named, mut asked) = (0, 0);
    for expected in facts.expected.iter().filter(|expected| is_seen_live(expected)) {
        let [case] = kill::find(expected, watched)[..] else { continue };
        let who = expected.fields.get("victims").unwrap_or_default();
        let found = contexts(expected, case).into_iter();
        wrong.extend(found.map(|wrong| format!("eBPF: {} ({who}): {wrong}", expected.scenario)));
        if expected.fields.number("trigger").is_some() {
            asked += 1;
            named += usize::from(names_the_taker(case));
        }
    }
    if named * 100 < asked * NAMED_IN_PERCENT {
        wrong.push(format!("eBPF: the function that asked is named in {named} of {asked} kills"));
    }
    wrong
}

/// Not those that happened while no watcher ran, or that nobody was killed in.
fn is_seen_live(expected: &Expected) -> bool {
    let fields = &expected.fields;
    fields.get("watcher").is_none_or(|watcher| watcher == "after")
        && ["lost", "no_killable"].iter().all(|key| fields.get(key).is_none())
}

fn contexts(expected: &Expected, case: &Case) -> Vec<String> {
    let mut wrong = Vec::new();
    let contexts = &case.incident.contexts;
    for pid in expected.fields.pids("victims") {
        let seen = contexts.iter().filter(|context| u64::from(context.victim.pid) == pid).count();
        if seen != 1 {
            wrong.push(format!("the kill of {pid} was seen {seen} times in the kernel"));
        }
    }
    wrong.extend(contexts.first().into_iter().flat_map(|context| numbers(expected, context)));
    wrong
}

fn numbers(expected: &Expected, context: &KillContext) -> Vec<String> {
    let fields = &expected.fields;
    let mut wrong = Vec::new();
    if let Some(trigger) = fields.number("trigger").filter(|tid| *tid != u64::from(context.trigger.tid)) {
        wrong.push(format!("{trigger} asked, and {} was seen to ask", context.trigger.tid));
    }
    if let Some(limit) = fields.number("limit_bytes")
        && !context.chain.iter().any(|level| level.limit_bytes.is_some_and(|seen| seen.0 == limit))
    {
        wrong.push(format!("no level of the chain has the limit {limit}: {:?}", context.chain));
    }
    wrong
}

fn names_the_taker(case: &Case) -> bool {
    let is_taker = |frame: &Frame| frame.function.as_deref().is_some_and(|name| TAKERS.contains(&name));
    case.incident.report().stacks.iter().flat_map(|stacks| &stacks.user).any(is_taker)
}
