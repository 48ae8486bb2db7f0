//! What watching costs: processor and memory with many cgroups, idle and busy, beside node_exporter on the same machine at the
//! same time. And how many bytes a recorded value takes.

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Value, json};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::child::{self, Role};
use super::exporter::Exporter;
use super::tree::{Cgroup, Tree};
use super::usage::{Cost, Meter};
use super::watch::{Recorded, Watch};
use crate::table::Table;

const MIB: usize = 1 << 20;
/// Of the busy cgroups every fifth takes 2 MiB each second and gives them back.
const ACTIVE_EVERY: usize = 5;
const ACTIVE: Role = Role::Churn { base: MIB, extra: 2 * MIB, period_ms: 1000 };
/// Every twentieth stands at 95 % of its limit and takes a little more four times a second.
const NEAR_EVERY: usize = 20;
const NEAR: Role = Role::Churn { base: NEAR_LIMIT / 100 * 93, extra: MIB / 4, period_ms: 250 };
const NEAR_LIMIT: usize = 16 * MIB;
const LIMIT: usize = 64 * MIB;
/// Prometheus' usual interval on nodes.
const SCRAPED_EVERY: Duration = Duration::from_secs(15);
/// What beginning costs is not what watching costs.
const BEGINS: Duration = Duration::from_secs(5);
/// A cgroup is read as often as can be in the first 30 s near its limit (`USED_TO_IT_US` of the recorder).
const GETS_USED_TO_IT: Duration = Duration::from_secs(38);
const IS_NOT_USED_TO_IT: Duration = Duration::from_secs(20);

/// With each number of cgroups, for so many seconds.
pub(crate) fn measure(counts: &[usize], seconds: u64) -> Result<Value> {
    let mut table = Table::new(
        &format!("what watching costs, of one core: {seconds} s each"),
        &["", "cores %", "RSS MiB", "PSS MiB", "ratio of cores", "bytes a value"],
    );
    let mut results = Vec::new();
    for &cgroups in counts {
        for load in [Load::Idle, Load::Busy, Load::Alarmed] {
            let run = one(cgroups, load, load.time(Duration::from_secs(seconds)))?;
            run.add_to(&mut table);
            results.push(run);
        }
    }
    table.print();
    println!(
        "  budget with 100 cgroups: 0.5 % of a core, 32 MiB + 64 KiB a cgroup; 2 bytes a value. {}",
        results.iter().find_map(|run| run.not_beside.as_deref()).unwrap_or("Beside it: scraped every 15 s.")
    );
    Ok(json!(results))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Load {
    /// No process does anything.
    Idle,
    /// Some take and give back, some have been near their limit for long.
    Busy,
    /// Those near their limit have come there just now, and are read as often as can be. Nobody else does anything.
    Alarmed,
}

impl Load {
    /// What the process does, and its limit.
    fn role(self, index: usize) -> (Role, usize) {
        match self {
            Self::Busy | Self::Alarmed if index.is_multiple_of(NEAR_EVERY) => (NEAR, NEAR_LIMIT),
            Self::Busy if index % ACTIVE_EVERY == 1 => (ACTIVE, LIMIT),
            _ => (Role::Sit, LIMIT),
        }
    }

    fn settles(self) -> Duration {
        match self {
            Self::Idle | Self::Alarmed => BEGINS,
            Self::Busy => GETS_USED_TO_IT,
        }
    }

    fn time(self, time: Duration) -> Duration {
        match self {
            Self::Idle | Self::Busy => time,
            Self::Alarmed => time.min(IS_NOT_USED_TO_IT),
        }
    }
}

#[derive(Debug, Serialize)]
struct Run {
    cgroups: usize,
    load: Load,
    near_their_limit: usize,
    watch: Cost,
    beside: Option<Beside>,
    /// Why nothing stands beside it.
    not_beside: Option<String>,
    /// What the recorder held in the end; `None` where the program does not tell.
    recorded: Option<Recorded>,
    bytes_per_value: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Beside {
    name: String,
    cost: Cost,
    scrapes: usize,
}

fn one(cgroups: usize, load: Load, time: Duration) -> Result<Run> {
    let tree = Tree::create()?;
    let watched = Watched::start(&tree, cgroups, load)?;
    let watch = Watch::start(tree.folder(), &[])?;
    let exporter = Exporter::start();
    std::thread::sleep(load.settles());

    let meter = Meter::start(watch.pid())?;
    let ends = Instant::now() + time;
    let beside = exporter.and_then(|exporter| scraped(&exporter, time));
    std::thread::sleep(ends.saturating_duration_since(Instant::now()));
    let cost = meter.stop().context("oomscope watch has ended")?;
    let told = watch.stop()?;
    watched.stop()?;
    let recorded = told.recorded();
    let not_beside = beside.as_ref().err().map(|error| format!("node_exporter: {error:#}"));
    let bytes_per_value = recorded.as_ref().map(Recorded::bytes_per_value);
    let near_their_limit = if load == Load::Idle { 0 } else { cgroups.div_ceil(NEAR_EVERY) };
    Ok(Run { cgroups, load, near_their_limit, watch: cost, beside: beside.ok(), not_beside, recorded, bytes_per_value })
}

fn scraped(exporter: &Exporter, time: Duration) -> Result<Beside> {
    let meter = Meter::start(exporter.pid())?;
    let began = Instant::now();
    let mut scrapes = 0;
    while began.elapsed() < time {
        exporter.scrape()?;
        scrapes += 1;
        let next = (SCRAPED_EVERY * scrapes).min(time);
        std::thread::sleep(next.saturating_sub(began.elapsed()));
    }
    Ok(Beside { name: exporter.label.clone(), cost: meter.stop()?, scrapes: scrapes as usize })
}

/// The cgroups, each with one process.
struct Watched {
    /// All processes end with it.
    input: std::io::PipeWriter,
    processes: Vec<Child>,
    _cgroups: Vec<Cgroup>,
}

impl Watched {
    fn start(tree: &Tree, count: usize, load: Load) -> Result<Self> {
        let (reader, input) = std::io::pipe().context("making a pipe")?;
        let mut watched = Self { input, processes: Vec::new(), _cgroups: Vec::new() };
        for index in 0..count {
            let (role, limit) = load.role(index);
            let cgroup = tree.cgroup(&format!("c{index:03}"), Some(limit))?;
            let process = child::start(role, cgroup.folder(), reader.try_clone()?.into(), Stdio::null())?;
            watched.processes.push(process);
            watched._cgroups.push(cgroup);
        }
        Ok(watched)
    }

    fn stop(mut self) -> Result<()> {
        drop(self.input);
        for process in &mut self.processes {
            let status = process.wait()?;
            anyhow::ensure!(status.success(), "a watched process ended with {status}");
        }
        Ok(())
    }
}

impl Run {
    fn add_to(&self, table: &mut Table) {
        let load = format!("{:?}", self.load).to_lowercase();
        let mib = |kib: u64| format!("{:.1}", kib as f64 / 1024.0);
        let percent = |cost: &Cost| format!("{:.3}", cost.cores * 100.0);
        let bytes = self.bytes_per_value.map_or("-".into(), |bytes| format!("{bytes:.2}"));
        let ratio = self.beside.as_ref().map(|beside| self.watch.cores / beside.cost.cores);
        let ratio = ratio.map_or("-".into(), |ratio| format!("{ratio:.2}"));
        let name = format!("oomscope watch, {} cgroups, {load}", self.cgroups);
        let watch = &self.watch;
        table.row([&name, &percent(watch), &mib(watch.rss_kib), &mib(watch.pss_kib), &ratio, &bytes]);
        if let Some(Beside { name, cost, .. }) = &self.beside {
            table.row([&format!("  {name}"), &percent(cost), &mib(cost.rss_kib), &mib(cost.pss_kib), "1", "-"]);
        }
    }
}
