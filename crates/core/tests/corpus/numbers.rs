//! Every number of a summary stands in the evidence, or is the sum or the difference of two that do.

use std::collections::BTreeSet;

use oomscope_core::case::Case;
use oomscope_core::units::Bytes;
use oomscope_testkit::corpus::public_logs;
use oomscope_testkit::explain;
use serde_json::Value;

use crate::{all_scenarios, logs_of};

const UNITS: &[&str] = &["B", "KiB", "MiB", "GiB", "TiB"];

/// The recorded logs and the public ones: sizes, pids, counts and `oom_score_adj` alike.
#[test]
fn numbers_of_summaries_are_evidence() {
    let mut checked = 0;
    for scenario in all_scenarios("numbers_of_summaries_are_evidence") {
        let Some((_, log)) = logs_of(&scenario).into_iter().next() else { continue };
        checked += explain(&log).iter().map(|case| check(case, &scenario.id())).sum::<usize>();
    }
    for log in public_logs() {
        checked += explain(&log.log).iter().map(|case| check(case, &log.name)).sum::<usize>();
    }
    assert!(checked > 100, "{checked}");
}

/// How many numbers the summary has.
fn check(case: &Case, source: &str) -> usize {
    let summary = without_names(case);
    let words: Vec<&str> =
        summary.split_whitespace().map(|word| word.trim_matches(|c: char| "(),;:.".contains(c))).collect();
    let (mut numbers, mut texts) = (BTreeSet::new(), String::new());
    let report = case.incident.report();
    collect(&serde_json::to_value(report).unwrap(), &mut numbers, &mut texts);
    let counts = [report.tasks.len(), report.victims.len(), report.victims.len().saturating_sub(1)];
    numbers.extend(counts.map(|n| n as i128));
    let sizes = sizes(case, &numbers);
    let mut checked = 0;
    for (at, word) in words.iter().enumerate().filter(|(_, word)| is_number(word)) {
        checked += 1;
        let known = match words.get(at + 1).filter(|unit| UNITS.contains(unit)) {
            Some(unit) => sizes.contains(&format!("{word} {unit}")),
            // Lists of memory nodes are texts.
            None => word.parse().is_ok_and(|n: i128| numbers.contains(&n)) || texts.contains(*word),
        };
        assert!(known, "{source}: {word} of {:?} is not in the evidence", case.diagnosis.summary);
    }
    checked
}

/// Names may hold digits, and are not what is checked.
fn without_names(case: &Case) -> String {
    let report = case.incident.report();
    let names = report.tasks.iter().map(|t| Some(&t.comm)).chain(report.victims.iter().map(|v| v.comm.as_ref()));
    let names = names.chain([report.trigger.as_ref().and_then(|t| t.comm.as_ref())]).flatten();
    let mut names: Vec<String> = names.map(|comm| comm.to_string()).filter(|name| !name.is_empty()).collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names.iter().fold(case.diagnosis.summary.clone(), |text, name| text.replace(&format!("{name} ("), "a name ("))
}

fn is_number(word: &str) -> bool {
    word.chars().any(|c| c.is_ascii_digit()) && word.chars().all(|c| c.is_ascii_digit() || "-.".contains(c))
}

fn collect(value: &Value, numbers: &mut BTreeSet<i128>, texts: &mut String) {
    match value {
        Value::Number(n) => numbers.extend(n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from))),
        Value::String(text) => {
            texts.push_str(text);
            texts.push('\n');
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, numbers, texts)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, numbers, texts)),
        Value::Null | Value::Bool(_) => {}
    }
}

/// All sizes as people write them. Kinds of memory overlap in the log, so that one may be what is left of another.
fn sizes(case: &Case, numbers: &BTreeSet<i128>) -> BTreeSet<String> {
    let write = |n: i128| u64::try_from(n).ok().map(|n| Bytes(n).to_string());
    let mut sizes: BTreeSet<String> = numbers.iter().filter_map(|n| write(*n)).collect();
    let report = case.incident.report();
    let mut parts: BTreeSet<i128> =
        report.memory_stat.iter().flat_map(|s| s.values()).map(|b| i128::from(*b)).collect();
    for victim in &report.victims {
        let held = [victim.anon_bytes, victim.shmem_bytes, victim.file_bytes].into_iter().flatten();
        parts.insert(held.map(|b| i128::from(b.0)).sum());
        parts.extend([victim.anon_bytes, victim.shmem_bytes].into_iter().flatten().map(|b| i128::from(b.0)));
    }
    if let Some(memory) = &case.diagnosis.memory {
        let kernel = memory.kernel().0.saturating_add(memory.unaccounted_bytes);
        parts.extend([i128::from(kernel), i128::from(memory.shmem().0)]);
    }
    for a in &parts {
        sizes.extend(parts.iter().flat_map(|b| [a + b, a - b]).chain([*a]).filter_map(write));
    }
    sizes
}
