//! Compares what oomscope said of a guest with what the guest's scenarios know. Everything that differs is collected: one
//! boot takes minutes, so a test that stopped at the first difference would waste them.

mod cases;
mod kill;
mod recorded;
mod stacks;

use std::path::Path;

use anyhow::{Context as _, Result};
use oomscope_core::case::Case;
use oomscope_testkit::vm::{Expected, Facts};

use cases::Cases;
use kill::Witness;

/// What differs, in words; empty when all is as the scenarios know it.
pub(crate) fn results(folder: &Path) -> Result<Vec<String>> {
    let facts = Facts::read(&folder.join("facts"))?;
    let watched = Cases::read(&runs_of_the_watcher(folder)?)?;
    let stored = Cases::read(&[folder.join("incidents.json")])?;
    let explained = Cases::read(&[folder.join("explain.json")])?;
    for (scenario, why) in &facts.skipped {
        eprintln!("SKIPPED {scenario} ({}): {why}", folder.display());
    }

    let mut differences = guest_itself(&facts);
    differences.extend(explained_log(&facts, &explained));
    differences.extend(watched_kills(&facts, &watched, &stored));
    differences.extend(stacks::of_kills(&facts, &watched));
    differences.extend(nothing_invented(&facts, &watched));
    differences.extend(same_ids(&watched, &explained));
    differences.extend(recorded::spikes(&facts, &watched));
    differences.extend(notices(&facts, folder)?);
    Ok(differences)
}

fn runs_of_the_watcher(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut runs = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("watch-") && name.ends_with(".json") {
            runs.push(path);
        }
    }
    runs.sort();
    Ok(runs)
}

/// The scenarios went as planned: without that there is nothing to compare with.
fn guest_itself(facts: &Facts) -> Vec<String> {
    let mut wrong: Vec<String> = facts.notes.iter().map(|(scenario, text)| format!("{scenario}: {text}")).collect();
    if facts.end.is_none() {
        wrong.push("the guest did not come to its end".to_owned());
    }
    for expected in &facts.expected {
        for pid in expected.fields.pids("victims") {
            // Processes that the scenario did not start itself have no fate.
            if let Some(code) = facts.fates.get(&pid).filter(|code| **code != 137) {
                wrong.push(format!("{}: {pid} was not killed, it ended with {code}", expected.scenario));
            }
        }
    }
    for run in &facts.watches {
        let wanted = if run.get("signal") == Some("KILL") { 137 } else { 0 };
        if run.number("code") != Some(wanted) {
            wrong.push(format!("oomscope watch ended unexpectedly: {run:?}"));
        }
    }
    wrong
}

/// The log alone, as `explain` read it in the guest while it was whole.
fn explained_log(facts: &Facts, explained: &Cases) -> Vec<String> {
    let was_over = |expected: &&Expected| {
        let span = facts.scenarios.get(&expected.scenario);
        span.is_some_and(|span| facts.explained_us.is_some_and(|read| span.1 <= read))
    };
    facts.expected.iter().filter(was_over).flat_map(|expected| of_one(Witness::Log, expected, explained)).collect()
}

fn watched_kills(facts: &Facts, watched: &Cases, stored: &Cases) -> Vec<String> {
    let mut wrong = Vec::new();
    for expected in &facts.expected {
        // What happened before watching began is stored and not printed; a watcher that is killed right after it may have
        // stored it only.
        if expected.fields.get("watcher").is_none_or(|watcher| watcher == "after") {
            wrong.extend(of_one(Witness::Watch, expected, watched));
        }
        wrong.extend(of_one(Witness::Store, expected, stored));
    }
    wrong
}

fn of_one(witness: Witness, expected: &Expected, cases: &Cases) -> Vec<String> {
    let wrong = match kill::find(expected, cases).as_slice() {
        [] => vec!["not seen".to_owned()],
        [case] => kill::compare(witness, expected, case),
        several if expected.fields.get("no_killable").is_some() => kill::compare(witness, expected, several[0]),
        several => vec![format!("seen {} times: {}", several.len(), ids(several))],
    };
    let who = expected.fields.get("victims").or_else(|| expected.fields.get("trigger")).unwrap_or_default();
    wrong.into_iter().map(|wrong| format!("{witness}: {} ({who}): {wrong}", expected.scenario)).collect()
}

fn ids(cases: &[&Case]) -> String {
    cases.iter().map(|case| case.id.as_str()).collect::<Vec<_>>().join(" ")
}

/// Every case is of a kill that was expected: none of a SIGKILL from outside, of a stall, of a kill from before.
fn nothing_invented(facts: &Facts, watched: &Cases) -> Vec<String> {
    let is_expected = |case: &&Case| facts.expected.iter().any(|expected| kill::is_of(expected, case));
    let strangers = watched.all().filter(|case| !is_expected(case) && !is_collateral(facts, case));
    strangers
        .map(|case| format!("watch: a case that nobody expected: {} ({})", case.id, case.diagnosis.summary))
        .collect()
}

/// The kernel may kill once more before the memory of a victim is back (it is uncharged in batches, after the unmapping that
/// lets the next one be chosen). Whom is up to it, but the process did die of SIGKILL, in a scenario about kills.
fn is_collateral(facts: &Facts, case: &Case) -> bool {
    let died_in = |pid: u64| facts.processes.get(&pid).filter(|_| facts.fates.get(&pid) == Some(&137));
    let first = case.incident.report().victims.first();
    first
        .and_then(|victim| died_in(victim.pid.into()))
        .is_some_and(|(scenario, _)| facts.expected.iter().any(|expected| expected.scenario == *scenario))
}

/// Who read the log and who watched call the same kill by the same id.
fn same_ids(watched: &Cases, explained: &Cases) -> Vec<String> {
    let mut wrong = Vec::new();
    for case in explained.all() {
        let Some(pid) = case.incident.report().victims.first().map(|victim| victim.pid) else { continue };
        for same in watched.of_victim(pid).filter(|same| same.id != case.id) {
            wrong.push(format!("the kill of {pid} is {} to explain and {} to watch", case.id, same.id));
        }
    }
    wrong
}

/// What is no kill and yet worth a line on standard error.
fn notices(facts: &Facts, folder: &Path) -> Result<Vec<String>> {
    let file = folder.join("watch-1.err");
    if !file.exists() {
        return Ok(Vec::new());
    }
    let said = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let unsaid = facts
        .stalls
        .iter()
        .filter(|cgroup| !said.lines().any(|line| line.contains(cgroup.as_str()) && line.contains("memory.high")));
    Ok(unsaid.map(|cgroup| format!("watch did not tell that {cgroup} stalled at memory.high")).collect())
}
