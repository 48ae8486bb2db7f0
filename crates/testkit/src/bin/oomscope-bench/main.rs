//! Speed and memory of `oomscope explain` beside other programs, on logs made here; delay, cost and exactness of
//! `oomscope watch` on real kills and cgroups.
//!
//! Programs alternate or run side by side, and what counts is their ratio, because seconds depend on the machine and on what
//! else it does. Nothing is asserted: budgets are printed beside what was measured, for a person to compare.
//!
//! `make bench` builds and installs what is needed, then runs this from the root of the workspace.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program whose output is its table")]

mod explain;
mod live;
mod logs;
mod measure;
mod rivals;
mod table;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::path::Path;

const FOLDER: &str = "target/bench";
const OOMSCOPE: &str = "target/release/oomscope";

/// By its name in `BENCH_ONLY` and in the results.
type Part = (&'static str, fn() -> Result<Value>);

/// What can be measured.
const PARTS: [Part; 4] = [
    ("explain", || explain::measure(Path::new(FOLDER))),
    ("delay", || live::delay::measure(setting("BENCH_KILLS", 100)?, setting("BENCH_KILL_MS", 300)?)),
    ("cost", || live::cost::measure(&[100, 500], setting("BENCH_SECONDS", 30)?)),
    ("spikes", || live::spikes::measure(setting("BENCH_SPIKES", 3)?)),
];

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some(measure::CHILD) => measure::run_child(args),
        Some(live::child::CHILD) => live::child::run(args),
        _ => measure_parts(),
    }
}

/// A part that cannot be measured here (no root, no memory cgroups) says why; the others go on.
fn measure_parts() -> Result<()> {
    let only = std::env::var("BENCH_ONLY").unwrap_or_default();
    let wanted: Vec<&str> = only.split([',', ' ']).filter(|name| !name.is_empty()).collect();
    let unknown = wanted.iter().find(|name| PARTS.iter().all(|(part, _)| part != *name));
    ensure!(unknown.is_none(), "BENCH_ONLY: no part is called {}", unknown.unwrap_or(&""));
    std::fs::create_dir_all(FOLDER).with_context(|| format!("creating {FOLDER}"))?;

    let mut results = serde_json::Map::new();
    for (name, part) in PARTS {
        if !wanted.is_empty() && !wanted.contains(&name) {
            continue;
        }
        let result = part().unwrap_or_else(|error| {
            println!("\n{name}: not measured: {error:#}");
            json!({"not_measured": format!("{error:#}")})
        });
        results.insert(name.to_owned(), result);
    }
    let path = Path::new(FOLDER).join("results.json");
    std::fs::write(&path, serde_json::to_vec_pretty(&results)?)
        .with_context(|| format!("writing {}", path.display()))?;
    println!("\n{}", path.display());
    Ok(())
}

fn setting(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(value) => value.parse().with_context(|| format!("{name}={value} is not a number")),
        Err(_) => Ok(default),
    }
}
