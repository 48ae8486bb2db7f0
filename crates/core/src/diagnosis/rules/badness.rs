//! Was the kernel's choice the expected one, and what did `oom_score_adj` do in it?
//!
//! The ranking is [`super::super::ranking`]'s replay of the kernel's formula over the task table. It trips always when
//! there is a table with numbers; without one it cannot tell. A clear contradiction is worth saying because it has causes
//! that matter: a process that was already dying, a child sacrificed for its parent (before 4.19), a kernel of a vendor.

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::facts::Facts;
use crate::diagnosis::words;
use crate::diagnosis::{Choice, Ranked, Ranking};
use crate::evidence::{Gap, Part};

pub(super) const RULE: Rule = Rule {
    name: "badness",
    about: "The kernel's choice of the victim, replayed from the task table: confirmed or contradicted, and the part of oom_score_adj in it.",
    check,
};

const PARTS: &[Part] = &[Part::TaskTable, Part::OomKill, Part::Chosen, Part::Kill];

fn check(facts: &Facts<'_>) -> Answer {
    if facts.report.no_killable_process || facts.report.panic.is_some() && facts.victim().is_none() {
        return Answer::Absent;
    }
    let Some(victim) = facts.victim() else {
        return Answer::CannotTell(facts.missing("who was killed", Part::Kill));
    };
    let ranking = match &facts.ranking {
        Ok(ranking) => ranking,
        Err(gap) => return Answer::CannotTell(gap.clone()),
    };
    if facts.report.allocating_task_killed {
        return Found::that(
            "Not chosen by size",
            "vm.oom_kill_allocating_task is on: whoever asks for memory is killed, large or small.",
            &[Part::Kill],
        )
        .advise(
            Rank::Contain,
            "Let the kernel choose the largest process",
            "With oom_kill_allocating_task the victim is chance.",
            Some("sysctl -w vm.oom_kill_allocating_task=0".to_owned()),
        )
        .into();
    }
    let (Some(chosen), Some(first)) = (ranking.rows.iter().find(|r| r.is_victim), ranking.rows.first()) else {
        return match ranking.choice {
            Choice::NotInTable => Answer::CannotTell(Gap::new(
                "replay of the kernel's choice",
                format!("{} is not in the task table", words::victim(victim)),
            )),
            _ => Answer::Absent,
        };
    };
    let found = judged(facts, ranking, chosen, first);
    let found = if facts.table_is_whole() {
        found
    } else {
        found.lacking(Gap::new("all rows of the task table", "some are missing, damaged or cut"))
    };
    let found = if ranking.adj_decided { with_adj(ranking, chosen, found) } else { found };
    match sacrificed(facts) {
        Some(detail) => found.and("A child was killed in place of its parent", detail, &[Part::Chosen, Part::Kill]),
        None => found,
    }
    .into()
}

fn judged(facts: &Facts<'_>, ranking: &Ranking, chosen: &Ranked, first: &Ranked) -> Found {
    let name = named(chosen);
    match ranking.choice {
        Choice::Confirmed => match candidates(ranking) {
            1 if facts.table_is_whole() => Found::that(
                "There was no other candidate",
                format!("{name} is the only process of the table that may be killed."),
                PARTS,
            ),
            many => Found::that(
                "The choice was the expected one",
                format!(
                    "{name} has the most points of {}{}: {}{}.",
                    words::count(usize::try_from(many).unwrap_or(usize::MAX), "candidate", "candidates"),
                    if facts.table_is_whole() { "" } else { " that the log shows" },
                    points(chosen),
                    without_adj(ranking, facts)
                ),
                PARTS,
            ),
        },
        Choice::Consistent => Found::that(
            "The choice was a close race",
            format!(
                "{name} ({}) and {} ({}) differ by less than the table's uncertainty: it is printed after the choice.",
                points(chosen),
                named(first),
                points(first)
            ),
            PARTS,
        ),
        Choice::Contradicted | Choice::NotByPoints | Choice::NotInTable => Found::that(
            "The choice was not the expected one",
            format!(
                "By the table {} ({}) comes before {name} ({}). {}",
                named(first),
                points(first),
                points(chosen),
                if facts.incident.recurrence.as_ref().is_some_and(|r| r.any_within_minute > 0) {
                    "It may have been dying already from the kill before."
                } else {
                    "It may have been dying already, or this kernel chooses in another way."
                }
            ),
            PARTS,
        ),
    }
}

/// Points do not hold `oom_score_adj` where the domain that it is a share of is not known.
fn without_adj(ranking: &Ranking, facts: &Facts<'_>) -> &'static str {
    let has_adj = facts.report.tasks.iter().any(|t| t.oom_score_adj.is_some_and(|adj| adj != 0 && adj != -1000));
    if ranking.domain_bytes.is_none() && has_adj { ", without oom_score_adj, which is the same for all" } else { "" }
}

fn with_adj(ranking: &Ranking, chosen: &Ranked, found: Found) -> Found {
    let Some(larger) = ranking.rows.iter().filter(|r| !r.is_victim).max_by_key(|r| r.own_points()) else {
        return found;
    };
    let why = if larger.eligible { "has a lower oom_score_adj" } else { "is exempt" };
    found.and(
        "oom_score_adj decided",
        format!(
            "By memory alone {} would not have been first: {} holds more ({} against {} pages) but {why}.",
            named(chosen),
            named(larger),
            larger.own_points(),
            chosen.own_points()
        ),
        &[Part::TaskTable],
    )
}

fn sacrificed(facts: &Facts<'_>) -> Option<String> {
    let (parent, child) = (facts.report.chosen.as_ref()?, facts.victim()?);
    (parent.pid != child.pid).then(|| {
        format!(
            "The kernel chose {} and killed its child {} instead, as kernels before 4.19 do: the parent's memory stays.",
            words::victim(parent),
            words::victim(child)
        )
    })
}

fn named(row: &Ranked) -> String {
    words::process(Some(&row.comm), Some(row.pid))
}

fn points(row: &Ranked) -> String {
    match row.adj_points {
        0 => format!("{} pages", row.own_points()),
        adj => format!(
            "{} pages {} {} by oom_score_adj",
            row.own_points(),
            if adj < 0 { '−' } else { '+' },
            adj.unsigned_abs()
        ),
    }
}

fn candidates(ranking: &Ranking) -> u64 {
    ranking.rows.iter().filter(|r| r.eligible).count() as u64 + ranking.rows_omitted
}
