//! Whether the recording knows how high a spike was that came and went.
//!
//! A process that was once higher still rises by 20 MiB for some milliseconds, falls back, and is killed seconds later. What the
//! case's timeline says of the spike stands beside the truth: the kernel's own highest charge of an outer cgroup that nobody else
//! reads or resets. A sampler of the charge each second runs beside it. What one that comes each 15 s would have shown follows
//! from when the spike was where: at a random phase it sees the spike as often as the spike is long.

use anyhow::{Context as _, Result, ensure};
use oomscope_core::time::BootTime;
use oomscope_sources::clock::since_boot;
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::child::{self, Course, Role, Spike};
use super::delay::{must_be_killed, victims};
use super::printk::{Ahead, Clock};
use super::spread::Spread;
use super::tree::{Cgroup, Tree};
use super::watch::{Line, Watch};
use crate::table::Table;

const MIB: usize = 1 << 20;
const TALL: usize = 40 * MIB;
const BASE: usize = 8 * MIB;
const HEIGHT: usize = 20 * MIB;
const LIMIT: usize = 64 * MIB;
const LENGTHS_MS: [u64; 7] = [1, 3, 10, 30, 100, 300, 1000];
/// Between the steps, so that each has readings of its own.
const REST: Duration = Duration::from_millis(2200);
/// How long a reading after the spike's end may still tell of it: two of the recorder's longest intervals.
const TOLD_WITHIN_US: u64 = 2_000_000;
/// A case may be printed again within this time.
const SETTLES: Duration = Duration::from_millis(1500);
/// The dashboards' interval.
const SCRAPED_EVERY_US: f64 = 15e6;
/// Runs of one length begin so far apart: each at another phase of the second.
const APART: Duration = Duration::from_millis(370);

/// Each length so many times, with and without resets of the v1 peak.
pub(crate) fn measure(runs: u64) -> Result<Value> {
    let resetting = of_all_lengths(runs, &[])?;
    print("a spike of 20 MiB: its height above what was there before, MiB", &resetting);
    let keeping = of_all_lengths(runs, &["--keep-v1-peaks"])?;
    print("the same with --keep-v1-peaks", &keeping);
    Ok(json!({"default": resetting, "keep_v1_peaks": keeping}))
}

/// All runs of one length.
#[derive(Debug, Serialize)]
struct Measured {
    length_ms: u64,
    runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Run {
    /// Risen completely, until it fell.
    up_us: u64,
    /// From the first page to the last one given back.
    whole_us: u64,
    before_bytes: u64,
    /// By how much the outer cgroup's highest charge was above its charge before. (The outer one has some charge of its own.)
    truth_height_bytes: u64,
    /// The timeline's; `None` where there is none, or no row near the spike.
    watch_bytes: Option<u64>,
    /// Rows of the timeline in which the spike may show.
    rows: usize,
    /// Highest reading of a sampler of each second.
    each_second_bytes: Option<u64>,
    /// How often a sampler of each 15 s reads it at full height.
    each_15_s_share: f64,
}

fn of_all_lengths(runs: u64, options: &[&str]) -> Result<Vec<Measured>> {
    LENGTHS_MS.iter().map(|&length_ms| of_length(length_ms, runs, options)).collect()
}

fn of_length(length_ms: u64, runs: u64, options: &[&str]) -> Result<Measured> {
    let tree = Tree::create()?;
    let one_by_one = |run: u64| -> Result<Run> {
        std::thread::sleep(APART * u32::try_from(run)?);
        spike(&tree, &format!("s{run}"), length_ms, options)
    };
    let runs: Vec<Result<Run>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..runs.max(1)).map(|run| scope.spawn(move || one_by_one(run))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a run broke off"))).collect()
    });
    Ok(Measured { length_ms, runs: runs.into_iter().collect::<Result<_>>()? })
}

fn spike(tree: &Tree, name: &str, length_ms: u64, options: &[&str]) -> Result<Run> {
    let outer = tree.cgroup(name, None)?;
    let inner = outer.cgroup("watched", Some(LIMIT))?;
    let role = Spike { tall: TALL, base: BASE, height: HEIGHT, hold_us: length_ms * 1000, limit: 2 * LIMIT };
    let mut process = child::start(Role::Spike(role), inner.folder(), Stdio::piped(), Stdio::piped())?;
    let pid = process.id();
    let mut words = process.stdin.take().context("no input")?;
    let mut told = BufReader::new(process.stdout.take().context("no output")?);
    let mut answer = || -> Result<String> {
        let mut line = String::new();
        ensure!(told.read_line(&mut line)? > 0, "the process with the spike has ended");
        Ok(line)
    };
    answer()?;
    let watch = Watch::start(inner.folder(), options)?;
    let first = Ahead::measure()?;
    let sampler = Sampler::start(&inner);
    std::thread::sleep(REST);

    let highest = outer.highest_from_now()?;
    let (before_bytes, outer_before) = (inner.usage()?, outer.usage()?);
    writeln!(words)?;
    let course: Course = serde_json::from_str(&answer()?)?;
    let truth_height_bytes = highest.bytes()?.saturating_sub(outer_before);
    std::thread::sleep(REST);
    let readings = sampler.stop();

    let killed_after = since_boot();
    writeln!(words)?;
    must_be_killed(process)?;
    std::thread::sleep(SETTLES);
    let lines = watch.stop()?.lines;
    let clock = Clock { first, last: first };
    let until = BootTime(killed_after.0.min(course.is_down.0 + TOLD_WITHIN_US));
    let rows = rows_between(&lines, pid, &clock, course.rises, until)?;
    Ok(Run {
        up_us: course.falls.0 - course.is_up.0,
        whole_us: course.is_down.0 - course.rises.0,
        before_bytes,
        truth_height_bytes,
        watch_bytes: rows.iter().copied().max(),
        rows: rows.len(),
        each_second_bytes: readings
            .into_iter()
            .filter(|(at, _)| (course.rises..=BootTime(course.is_down.0 + TOLD_WITHIN_US)).contains(at))
            .map(|(_, bytes)| bytes)
            .max(),
        each_15_s_share: ((course.falls.0 - course.is_up.0) as f64 / SCRAPED_EVERY_US).min(1.0),
    })
}

/// The highest charge that each row of the case's timeline knows of, for the rows that were read in this time.
fn rows_between(lines: &[Line], pid: u32, clock: &Clock, from: BootTime, to: BootTime) -> Result<Vec<u64>> {
    let cases = lines.iter().map(Line::case).collect::<Result<Vec<_>>>()?;
    let case = cases.iter().find(|case| victims(case).contains(&pid)).context("the kill was not told")?;
    let Some(rows) = case.pointer("/incident/timeline/cgroups/0/rows") else { return Ok(Vec::new()) };
    let column = |name: &str| rows.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let (at, current, peak) = (column("at_us"), column("current_bytes"), column("peak_bytes"));
    let value = |column: &[Value], row: usize| column.get(row).and_then(Value::as_u64);
    let is_near = |at: &Value| {
        at.as_u64().is_some_and(|at| {
            let at = clock.monotonic_us(BootTime(at));
            at >= from.0 as f64 && at <= to.0 as f64
        })
    };
    let near = at.iter().enumerate().filter(|(_, at)| is_near(at)).map(|(row, _)| row);
    Ok(near.filter_map(|row| value(current, row).max(value(peak, row))).collect())
}

/// Reads the charge each second, as a dashboard's agent would.
struct Sampler {
    ends: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<(BootTime, u64)>>,
}

impl Sampler {
    fn start(cgroup: &Cgroup) -> Self {
        const LOOKS: u32 = 50;
        let ends = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&ends);
        let read = cgroup.reader();
        let thread = std::thread::spawn(move || {
            let mut readings = Vec::new();
            while !asked.load(Ordering::Relaxed) {
                readings.extend(read().ok().map(|bytes| (since_boot(), bytes)));
                for _ in 0..LOOKS {
                    if !asked.load(Ordering::Relaxed) {
                        std::thread::sleep(Duration::from_secs(1) / LOOKS);
                    }
                }
            }
            readings
        });
        Self { ends, thread }
    }

    fn stop(self) -> Vec<(BootTime, u64)> {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

impl Measured {
    fn median(&self, of: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
        Spread::of(self.runs.iter().filter_map(of).collect()).map(|spread| spread.median)
    }
}

fn print(title: &str, all: &[Measured]) {
    let heads =
        ["length", "in all, ms", "truth", "oomscope watch", "share", "worst share", "each 1 s", "each 15 s sees"];
    let mut table = Table::new(title, &heads);
    for measured in all {
        let cell =
            |of: &dyn Fn(&Run) -> Option<f64>| measured.median(of).map_or("-".into(), |value| format!("{value:.2}"));
        let share = |run: &Run| Some(run.above(run.watch_bytes)? / mib(run.truth_height_bytes));
        let worst = measured.runs.iter().map(|run| share(run).unwrap_or(0.0)).min_by(f64::total_cmp).unwrap_or(0.0);
        let seen = measured.median(|run| Some(run.each_15_s_share)).unwrap_or(0.0);
        table.row([
            &format!("{} ms", measured.length_ms),
            &cell(&|run| Some(run.whole_us as f64 / 1e3)),
            &cell(&|run| Some(mib(run.truth_height_bytes))),
            &cell(&|run| run.above(run.watch_bytes)),
            &cell(&share),
            &format!("{worst:.2}"),
            &cell(&|run| run.above(run.each_second_bytes)),
            &format!("1 in {:.0}", 1.0 / seen.max(1e-9)),
        ]);
    }
    table.print();
    println!("  medians of {} runs each", all.iter().map(|measured| measured.runs.len()).max().unwrap_or(0));
}

impl Run {
    /// The height of a spike that reaches `bytes`.
    fn above(&self, bytes: Option<u64>) -> Option<f64> {
        Some(mib(bytes?.saturating_sub(self.before_bytes)))
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}
