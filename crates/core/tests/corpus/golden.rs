//! What people read, kept as files that were read by eye. `UPDATE_GOLDEN=1` rewrites them.

use std::fmt::Write as _;
use std::path::PathBuf;

use oomscope_core::report::{TextOptions, text};
use oomscope_testkit::corpus::{KernelScenario, own_kernel_scenarios, say_skipped, shared_kernel_scenarios};
use oomscope_testkit::{explain, golden};

/// Of the repository's selection.
const OWN_PAGES: &[&str] = &["7.2-v2/e", "6.12-ppc64el-64k-v2/a", "6.1-i386-highmem-v2/e"];

/// Of the shared corpus: one kernel for each scenario, every kernel in turn.
const SHARED_PAGES: &[&str] = &[
    "6.12-v2/a",
    "5.10-v1/b",
    "6.1-v2/c",
    "6.12-v2/d",
    "5.10-v2/e",
    "6.12-v2/f",
    "6.1-v2/f2",
    "6.18-v1/g",
    "6.1-v1/h",
    "6.18-v1/h2",
    "5.10-v1/i",
    "6.1-v2/i2",
    "6.1-v1/j",
    "5.10-v2/j",
    "5.10-v2/k1",
    "6.1-v1/k2",
    "5.10-v1/l",
    "6.12-v2/m",
    "6.1-v2/n",
    "5.10-v2/o",
    "6.1-v2/p",
    "6.1-v1/p2",
    "6.12-v2/q",
    "5.10-v1/r",
    "6.18-v1/s",
    "6.1-v2/u",
    "6.1-v1/w",
    "5.10-v2/x",
    "5.10-v1/y",
    "6.1-v2/z",
];

/// Cases of one log that a page shows: a kill storm is forty times the same.
const CASES: usize = 3;

fn file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/golden/explain", name].iter().collect()
}

fn log_of(scenario: &KernelScenario) -> Vec<u8> {
    scenario.kmsg().or_else(|| scenario.console()).unwrap()
}

/// The whole report of one kernel per scenario.
#[test]
fn pages() {
    let own = own_kernel_scenarios();
    let shared = shared_kernel_scenarios().unwrap_or_else(|| {
        say_skipped("the pages of the shared scenarios");
        Vec::new()
    });
    for (scenarios, pages) in [(own, OWN_PAGES), (shared, SHARED_PAGES)] {
        for scenario in scenarios.iter().filter(|s| pages.contains(&s.id().as_str())) {
            golden::compare(file(&format!("{}.txt", scenario.id().replace('/', "-"))), &page(scenario));
        }
    }
}

fn page(scenario: &KernelScenario) -> String {
    let options = TextOptions { width: 100, colour: false, unicode: true, evidence: false };
    let cases = explain(&log_of(scenario));
    let mut out = format!("{}: {}\n\n", scenario.id(), scenario.truth.title);
    for case in cases.iter().take(CASES) {
        out.push_str(&text::render(case, &options));
        out.push('\n');
    }
    if cases.len() > CASES {
        let _ = writeln!(out, "and {} more cases", cases.len() - CASES);
    }
    out
}

/// The sentence of every scenario on every kernel.
#[test]
fn summaries() {
    golden::compare(file("summaries-own.txt"), &sentences(&own_kernel_scenarios()));
    match shared_kernel_scenarios() {
        Some(scenarios) => golden::compare(file("summaries.txt"), &sentences(&scenarios)),
        None => say_skipped("summaries of the shared scenarios"),
    }
}

/// Grouped by scenario, so that the kernels stand side by side. Equal sentences in a row are counted.
fn sentences(scenarios: &[KernelScenario]) -> String {
    let mut by_name: Vec<&KernelScenario> = scenarios.iter().collect();
    by_name.sort_by_key(|s| (s.name.clone(), s.kernel.clone()));
    let mut out = String::new();
    let mut name = "";
    for scenario in by_name {
        if scenario.name != name {
            name = &scenario.name;
            let _ = writeln!(out, "\n{name}: {}", scenario.truth.title);
        }
        for (summary, times) in runs(explain(&log_of(scenario)).into_iter().map(|case| case.diagnosis.summary)) {
            let times = if times > 1 { format!(" [{times} times]") } else { String::new() };
            let _ = writeln!(out, "  {:18} {summary}{times}", scenario.kernel);
        }
    }
    out
}

fn runs(sentences: impl Iterator<Item = String>) -> Vec<(String, usize)> {
    let mut out: Vec<(String, usize)> = Vec::new();
    for sentence in sentences {
        match out.last_mut() {
            Some((last, times)) if *last == sentence => *times += 1,
            _ => out.push((sentence, 1)),
        }
    }
    out
}
