//! How long after the kernel's kill line the case is printed, and whether every kill has one.
//!
//! The beginning is the time that printk stamped on the kill line; the end is the moment at which the last byte of the case can
//! be read from the pipe. Beside it a plain reader of /dev/kmsg: no follower of the log can be faster than that one.

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::child::{self, Role};
use super::printk::{Ahead, Clock, KillLine, PlainReader};
use super::spread::Spread;
use super::tree::{Cgroup, Tree};
use super::watch::{Line, Watch};
use crate::table::Table;

const LIMIT: usize = 16 << 20;
/// Kills of the burst, and how far they are apart.
const BURST: u64 = 25;
const BURST_PAUSE: Duration = Duration::from_millis(35);
/// What a watcher still has to say after the last kill.
const SETTLES: Duration = Duration::from_millis(4500);
const SIGKILL: i32 = 9;

/// `kills` of them, `pause_ms` apart, then a burst.
pub(crate) fn measure(kills: u64, pause_ms: u64) -> Result<Value> {
    let pause = Duration::from_millis(pause_ms);
    let mut results = serde_json::Map::new();
    for (name, what, args) in WAYS {
        let steady = one_after_another(kills, pause, args)?;
        steady.print(&format!("from the kill line to the printed case, {what}: {kills} kills, one each {pause_ms} ms"));
        let burst = one_after_another(BURST, BURST_PAUSE, args)?;
        burst.print(&format!("a burst, {what}: {BURST} kills within {:.2} s", burst.lasted_s));
        results.insert(name.to_owned(), json!({"steady": steady, "burst": burst}));
    }
    Ok(results.into())
}

/// With programs in the kernel, and beside it the same without: one after the other, because both on one machine would hold up each
/// other.
const WAYS: [(&str, &str, &[&str]); 2] =
    [("ebpf", "with eBPF (budget: median 5 ms)", &[]), ("log", "without (budget: median 20 ms)", &["--ebpf", "off"])];

/// Times in milliseconds.
#[derive(Debug, Serialize)]
struct Delays {
    kills: usize,
    /// From the first kill line to the last.
    lasted_s: f64,
    /// Kills that a case names.
    seen: usize,
    /// Of those: with the kernel's report, which it prints 10 times in 5 s at most.
    seen_with_report: usize,
    /// Of those: with the stack of whoever asked, in the end.
    seen_with_stack: usize,
    /// Of those: with the recorded time before.
    seen_with_timeline: usize,
    /// Cases that name no victim: the cgroup's counter told of the kill, and nothing else.
    cases_without_victim: usize,
    /// From the kill line's own stamp until a plain reader has the line.
    plain_ms: Option<Spread>,
    /// From the kill line's own stamp until the case is printed.
    watch_ms: Option<Spread>,
    /// From the plain reader to the case, kill by kill.
    after_plain_ms: Option<Spread>,
    /// Median of the case by median of the plain reader.
    ratio: Option<f64>,
    clock_uncertainty_ms: f64,
}

fn one_after_another(kills: u64, pause: Duration, args: &[&str]) -> Result<Delays> {
    let tree = Tree::create()?;
    let cgroup = tree.cgroup("killed", Some(LIMIT))?;
    let first = Ahead::measure()?;
    let watch = Watch::start(tree.folder(), args)?;
    let plain = PlainReader::start()?;
    let pids = kill(&cgroup, kills, pause)?;
    std::thread::sleep(SETTLES);
    let lines = plain.stop()?;
    let told = watch.stop()?;
    let clock = Clock { first, last: Ahead::measure()? };
    let ours: Vec<KillLine> = lines.into_iter().filter(|line| pids.contains(&line.pid)).collect();
    ensure!(ours.len() == pids.len(), "the kernel's log told of {} of {} kills", ours.len(), pids.len());
    delays(&ours, &Cases::read(&told.lines)?, &clock)
}

/// Each kill begins when its time has come, and not before the kill before is over.
fn kill(cgroup: &Cgroup, kills: u64, pause: Duration) -> Result<Vec<u32>> {
    let mut pids = Vec::new();
    for _ in 0..kills {
        let began = Instant::now();
        let eater = child::start(Role::Eat { bytes: 4 * LIMIT }, cgroup.folder(), Stdio::null(), Stdio::null())?;
        pids.push(eater.id());
        must_be_killed(eater)?;
        std::thread::sleep(pause.saturating_sub(began.elapsed()));
    }
    Ok(pids)
}

pub(super) fn must_be_killed(mut process: Child) -> Result<()> {
    let status = process.wait()?;
    ensure!(status.signal() == Some(SIGKILL), "a process that should have been killed ended with {status}");
    Ok(())
}

/// The first case of a victim.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at_us: f64,
    has_report: bool,
    has_timeline: bool,
    /// In this or a later revision.
    has_stack: bool,
}

/// What was told of whom.
#[derive(Debug, Default)]
struct Cases {
    by_victim: HashMap<u32, Seen>,
    without_victim: HashSet<String>,
}

impl Cases {
    fn read(lines: &[Line]) -> Result<Self> {
        let mut cases = Self::default();
        for line in lines {
            let case = line.case()?;
            let is_there = |path: &str| case.pointer(path).is_some_and(|value| !value.is_null());
            let seen = Seen {
                at_us: line.at.0 as f64,
                has_report: is_there("/incident/kills/0/trigger"),
                has_timeline: is_there("/incident/timeline"),
                has_stack: is_there("/incident/kills/0/stacks/user/0"),
            };
            let victims = victims(&case);
            if victims.is_empty() {
                cases.without_victim.insert(case["id"].to_string());
            }
            for pid in victims {
                cases.by_victim.entry(pid).or_insert(seen).has_stack |= seen.has_stack;
            }
        }
        Ok(cases)
    }
}

pub(super) fn victims(case: &Value) -> Vec<u32> {
    let kills = case.pointer("/incident/kills").and_then(Value::as_array).into_iter().flatten();
    let victims = kills.filter_map(|kill| kill.get("victims")?.as_array()).flatten();
    victims.filter_map(|victim| u32::try_from(victim.get("pid")?.as_u64()?).ok()).collect()
}

fn delays(lines: &[KillLine], cases: &Cases, clock: &Clock) -> Result<Delays> {
    let stamped = |line: &KillLine| clock.monotonic_us(line.stamp);
    let (first, last) = (lines.first().context("no kills")?, lines.last().context("no kills")?);
    let seen: Vec<(&KillLine, Seen)> =
        lines.iter().filter_map(|line| Some((line, *cases.by_victim.get(&line.pid)?))).collect();
    let plain_ms = Spread::of(lines.iter().map(|line| (line.read_at.0 as f64 - stamped(line)) / 1e3).collect());
    let watch_ms = Spread::of(seen.iter().map(|(line, case)| (case.at_us - stamped(line)) / 1e3).collect());
    Ok(Delays {
        kills: lines.len(),
        lasted_s: (stamped(last) - stamped(first)) / 1e6,
        seen: seen.len(),
        seen_with_report: seen.iter().filter(|(_, case)| case.has_report).count(),
        seen_with_stack: seen.iter().filter(|(_, case)| case.has_stack).count(),
        seen_with_timeline: seen.iter().filter(|(_, case)| case.has_timeline).count(),
        cases_without_victim: cases.without_victim.len(),
        plain_ms,
        watch_ms,
        after_plain_ms: Spread::of(
            seen.iter().map(|(line, case)| (case.at_us - line.read_at.0 as f64) / 1e3).collect(),
        ),
        ratio: watch_ms.zip(plain_ms).map(|(watch, plain)| watch.median / plain.median),
        clock_uncertainty_ms: clock.uncertainty_us() / 1e3,
    })
}

impl Delays {
    fn print(&self, title: &str) {
        let mut table = Table::new(title, &["", "median ms", "p99 ms", "max ms", "seen"]);
        let seen = format!("{} of {}", self.seen, self.kills);
        let rows = [
            ("oomscope watch -o json", self.watch_ms, &*seen),
            ("a plain reader of /dev/kmsg", self.plain_ms, "-"),
            ("from that to the case", self.after_plain_ms, "-"),
        ];
        for (name, spread, seen) in rows {
            let cell = |value: fn(&Spread) -> f64| spread.as_ref().map_or("-".into(), |s| format!("{:.2}", value(s)));
            table.row([name, &cell(|s| s.median), &cell(|s| s.p99), &cell(|s| s.max), seen]);
        }
        table.print();
        let ratio = self.ratio.map_or("-".into(), |ratio| format!("{ratio:.2}"));
        println!(
            "  ratio of medians {ratio}; with the kernel's report {}, with a stack {}, with a timeline {}, cases without a victim {}; clocks ± {:.3} ms",
            self.seen_with_report,
            self.seen_with_stack,
            self.seen_with_timeline,
            self.cases_without_victim,
            self.clock_uncertainty_ms
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every victim of a case counts as seen.
    #[test]
    fn victims_of_a_case() {
        let case = json!({"incident": {"kills": [{"victims": [{"pid": 7}, {"pid": 8}]}, {"victims": []}]}});
        assert_eq!(victims(&case), [7, 8]);
        assert!(victims(&json!({})).is_empty());
    }
}
