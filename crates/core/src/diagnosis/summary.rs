//! The one sentence: what was exhausted, then what that did, in words that need no second reading.
//!
//! Every number in it is in the evidence. Paths do not belong here; what a sentence cannot say, a finding does.

use super::Killer;
use super::facts::{Facts, Impersonal};
use super::rules;
use super::words;
use crate::evidence::Victim;
use crate::units::Bytes;

/// The sentence.
#[must_use]
pub(super) fn of(facts: &Facts<'_>) -> String {
    if let Some(ending) = &facts.ending {
        return ending.summary();
    }
    if facts.is_sysrq() {
        return format!(
            "Somebody asked the kernel for this kill (sysrq-f), whether or not memory was short: {}.",
            outcome(facts)
        );
    }
    if let Some(remains) = of_remains(facts) {
        return remains;
    }
    format!("{}: {}.", exhausted(facts), outcome(facts))
}

/// Where neither a limit nor the machine is named.
fn of_remains(facts: &Facts<'_>) -> Option<String> {
    let cgroup = facts.is_cgroup_kill();
    if facts.verdict.killer != Killer::Unknown {
        return None;
    }
    let unknown = if cgroup { "a cgroup's memory limit was reached" } else { "an OOM kill" };
    Some(match (facts.victim(), facts.trigger()) {
        (Some(victim), _) => {
            let what = if cgroup { "because a cgroup's memory limit was reached" } else { "by the OOM killer" };
            let why = if facts.incident.is_counted_only() {
                "only the cgroups' counters tell of it"
            } else if facts.incident.is_without_log() {
                "it was only seen in the kernel"
            } else if facts.report.extent.rate_limited {
                "the kernel printed no report for it"
            } else {
                "the rest of its report is not in the log"
            };
            format!(
                "{}{} was {} {what}; {why}, so {} is not known.",
                words::victim(victim),
                held(facts, victim),
                verb(victim),
                if cgroup { "whose limit it was" } else { "what ran out" }
            )
        }
        (None, Some(trigger)) if facts.report.no_killable_process => format!(
            "Memory ran out for {} and no process could be killed for it; whose memory ran out is not in the log.",
            words::trigger(trigger, &facts.report.tasks)
        ),
        (None, Some(trigger)) => format!(
            "{} could get no more memory and the OOM killer ran; the rest of the report, with who was killed, is not in the log.",
            words::trigger(trigger, &facts.report.tasks)
        ),
        (None, None) if facts.incident.is_counted_only() => {
            "The cgroups' counters tell of an OOM kill; who was killed, and what ran out, is not known.".to_owned()
        }
        (None, None) => format!("The log has only a fragment of {unknown}: neither who was killed nor why is in it."),
    })
}

/// The first half: what was exhausted.
fn exhausted(facts: &Facts<'_>) -> String {
    match facts.verdict.killer {
        Killer::Node => rules::block_wanted(facts).map_or_else(
            || {
                let surely = if facts.verdict.gap.is_some() { "most likely " } else { "" };
                format!("The machine {surely}ran out of memory")
            },
            |block| format!("The machine had memory free, but no free block of {block} where it was wanted"),
        ),
        Killer::Cpuset => nodes("a cpuset", facts.report.mems_allowed.as_deref()),
        Killer::MemoryPolicy => nodes("a memory policy", facts.report.nodemask.as_deref()),
        _ => limit(facts),
    }
}

fn nodes(by: &str, list: Option<&str>) -> String {
    // As printed by the kernel: digits, commas and dashes; anything else is not repeated.
    match list
        .filter(|l| !l.is_empty() && l.len() <= 32 && l.bytes().all(|b| b.is_ascii_digit() || b == b',' || b == b'-'))
    {
        Some(list) if list.contains([',', '-']) => format!("Memory nodes {list}, all that {by} allows, ran out"),
        Some(list) => format!("Memory node {list}, all that {by} allows, ran out"),
        None => format!("The memory nodes that {by} allows ran out"),
    }
}

fn limit(facts: &Facts<'_>) -> String {
    let whose = match facts.verdict.killer {
        Killer::ContainerLimit => "Container limit".to_owned(),
        Killer::PodLimit => "Pod limit".to_owned(),
        _ => facts.limit_owner().map_or_else(|| "A cgroup's limit".into(), |owner| format!("Limit of {owner}")),
    };
    let swap = if facts.swap_full() { " with its swap full" } else { "" };
    let named = matches!(facts.verdict.killer, Killer::CgroupLimit | Killer::AncestorLimit);
    match (facts.memory_swap_hit(), facts.limit()) {
        (Some((_, limit)), _) => format!("{whose} for memory and swap together, {limit}, reached"),
        (None, Some(limit)) if named => format!("{whose}, {limit}, reached{swap}"),
        (None, Some(limit)) => format!("{whose} of {limit} reached{swap}"),
        (None, None) => format!("{whose} reached"),
    }
}

/// The second half: what that did.
fn outcome(facts: &Facts<'_>) -> String {
    let report = facts.report;
    if report.panic.is_some() {
        return match facts.victim() {
            Some(victim) => format!("{} was {}, and then the kernel panicked", words::victim(victim), verb(victim)),
            None => "the kernel panicked instead of killing a process, as it was set up to".to_owned(),
        };
    }
    let Some(victim) = facts.victim() else { return without_victim(facts) };
    if report.group_kill == Some(true) && report.victims.len() > 1 {
        return group(facts, victim);
    }
    match facts.impersonal() {
        Some(Impersonal::Tmpfs(bytes)) => {
            return format!(
                "{bytes} of tmpfs files that no process maps fill it, and {}",
                bystander(facts, victim, "them")
            );
        }
        Some(Impersonal::Kernel(bytes)) => {
            return format!("{bytes} of kernel memory fill it, and {}", bystander(facts, victim, "that"));
        }
        None => {}
    }
    personal(facts, victim)
}

fn without_victim(facts: &Facts<'_>) -> String {
    if facts.report.no_killable_process {
        let all_exempt = facts.table_is_whole() && facts.report.tasks.iter().all(|t| t.oom_score_adj == Some(-1000));
        let all = match facts.report.tasks.len() {
            1 if all_exempt => "its only process may not be killed".to_owned(),
            n if all_exempt => format!("none of its {n} processes may be killed"),
            n if n > 1 && facts.table_is_whole() => {
                format!("none of its {n} processes could be killed (exempt, or dying already)")
            }
            _ => "no process in it could be killed (exempt, or dying already)".to_owned(),
        };
        return match facts.impersonal() {
            Some(Impersonal::Tmpfs(bytes)) => format!("{bytes} of tmpfs files that no process maps fill it, and {all}"),
            Some(Impersonal::Kernel(bytes)) => format!("{bytes} of kernel memory fill it, and {all}"),
            None if all_exempt => format!("{all} (oom_score_adj -1000), so nothing was freed"),
            None => format!("{all}, so nothing was freed"),
        };
    }
    if facts.incident.is_counted_only() {
        return "a process was killed, which one is not known".to_owned();
    }
    "the log does not show which process was killed".to_owned()
}

fn group(facts: &Facts<'_>, victim: &Victim) -> String {
    let others = facts.report.victims.len() - 1;
    let spared: Vec<_> = rules::spared(facts).collect();
    let except = match spared.as_slice() {
        [] => String::new(),
        [one] => format!("; {}, exempt by oom_score_adj -1000, lives", words::task(one)),
        many => format!("; {} processes, exempt by oom_score_adj -1000, live", many.len()),
    };
    format!(
        "{}{} and {} were killed as a group (memory.oom.group){except}",
        words::victim(victim),
        held(facts, victim),
        words::count(others, "other", "others"),
    )
}

/// The processes' own memory filled it.
fn personal(facts: &Facts<'_>, victim: &Victim) -> String {
    let name = words::victim(victim);
    if facts.report.allocating_task_killed {
        return format!(
            "{name}{} was {} because it asked for memory at that moment, not for its size",
            held(facts, victim),
            verb(victim)
        );
    }
    if let Ok(ranking) = &facts.ranking {
        let larger = ranking.rows.iter().filter(|r| r.eligible && !r.is_victim).max_by_key(|r| r.own_points());
        if let (true, Some(larger), Some(adj)) = (ranking.adj_decided, larger, victim.oom_score_adj) {
            let size = facts.row_of(larger.pid).and_then(|t| t.rss_bytes);
            let size = size.map_or_else(String::new, |s| format!(" with {s}"));
            if larger.own_points() > ranking.rows.iter().find(|r| r.is_victim).map_or(0, |r| r.own_points()) {
                return format!(
                    "{name}{} was {} first for its oom_score_adj of {adj}, though {} is larger{size}",
                    held(facts, victim),
                    verb(victim),
                    words::process(Some(&larger.comm), Some(larger.pid))
                );
            }
        }
    }
    if let Some(crowd) = rules::crowd(facts) {
        return format!(
            "{} share it, none larger than {}, and {name}{} was {}",
            words::count(crowd.processes, "process", "processes"),
            crowd.largest,
            held(facts, victim),
            verb(victim)
        );
    }
    let (anon, dead) = (victim.anon_bytes.filter(|a| a.0 > 0), verb(victim));
    let other_trigger = facts
        .trigger()
        .filter(|trigger| facts.is_cgroup_kill() && rules::another_process(facts, trigger, victim) == Some(true));
    // Only who asked for more is known to have grown.
    let grew_to = if other_trigger.is_some() { "held" } else { "grew to" };
    let grew = match (anon, facts.limit()) {
        (Some(anon), Some(limit)) if anon.share_of(limit) >= 0.5 => {
            format!("{name} {grew_to} {anon} of anonymous memory{} and was {dead}", swapped(facts, victim, anon))
        }
        _ => match victim.shmem_bytes {
            Some(shared) if shared > anon.unwrap_or_default() => {
                format!("{name} held {shared} of shared memory or tmpfs and was {dead}")
            }
            _ => format!("{name}{} was {dead}", held(facts, victim)),
        },
    };
    match other_trigger {
        Some(trigger) => format!("{grew}, when {} asked for more", words::trigger(trigger, &facts.report.tasks)),
        None => grew,
    }
}

/// ` with 15.8 MiB more in swap`, where that is worth a word.
fn swapped(facts: &Facts<'_>, victim: &Victim, anon: Bytes) -> String {
    let swap = facts.row_of(victim.pid).and_then(|t| t.swap_bytes).filter(|swap| swap.0 >= anon.0 / 4 && swap.0 > 0);
    swap.map_or_else(String::new, |swap| format!(", with {swap} more in swap,"))
}

fn verb(victim: &Victim) -> &'static str {
    if victim.only_chosen { "chosen to be killed" } else { "killed" }
}

/// ` with 5.8 MiB resident`, or nothing.
fn held(facts: &Facts<'_>, victim: &Victim) -> String {
    let Some(resident) = facts.resident(victim).filter(|b| b.0 > 0) else { return String::new() };
    // Memory policies and cpusets choose among processes that may have all of theirs on other nodes.
    if facts.is_of_some_nodes() && triggered_by_another(facts, victim) {
        return format!(" with {resident} resident, perhaps none of it there,");
    }
    format!(" with {resident} resident")
}

/// A victim whose own memory is not what fills the limit: `app (pid 5), which held only 5.8 MiB, was killed for them`. Where it
/// asked for the memory itself it may well be the one who made the kernel hold it, so only its size is spoken of.
fn bystander(facts: &Facts<'_>, victim: &Victim, what: &str) -> String {
    let (name, dead) = (words::victim(victim), verb(victim));
    match facts.held_by(victim).filter(|held| held.0 > 0) {
        Some(held) if triggered_by_another(facts, victim) => {
            format!("{name}, which held only {held}, was {dead} for {what}")
        }
        Some(held) => format!("{name} was {dead}, though its own size of {held} does not explain it"),
        None => format!("{name} was {dead}, though its own size does not explain it"),
    }
}

fn triggered_by_another(facts: &Facts<'_>, victim: &Victim) -> bool {
    facts.trigger().is_some_and(|trigger| rules::another_process(facts, trigger, victim) == Some(true))
}
