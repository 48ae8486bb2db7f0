//! The processes that are watched: this program again, called with [`CHILD`] and a [`Role`].
//!
//! Each joins its cgroup by itself and ends with its standard input, so that none outlives the benchmark, however that ends.

use anyhow::{Context as _, Result, bail};
use memmap2::MmapMut;
use oomscope_core::time::BootTime;
use oomscope_sources::clock::since_boot;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// First argument of such a process.
pub(crate) const CHILD: &str = "--live-child";

const PAGE: usize = 4096;

/// What a process does in its cgroup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    /// Nothing.
    Sit,
    /// Holds `base` bytes, and in each period takes `extra` more and gives them back.
    Churn { base: usize, extra: usize, period_ms: u64 },
    /// Takes memory until it is killed, at most this much.
    Eat { bytes: usize },
    /// See [`Spike`].
    Spike(Spike),
}

/// Rises once to `tall`, falls to `base`; at a word rises by `height` for a while and falls back; at another word rises until
/// it is killed. Each step is told on standard output.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spike {
    pub(crate) tall: usize,
    pub(crate) base: usize,
    pub(crate) height: usize,
    pub(crate) hold_us: u64,
    pub(crate) limit: usize,
}

/// When a spike was where.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Course {
    pub(crate) rises: BootTime,
    pub(crate) is_up: BootTime,
    pub(crate) falls: BootTime,
    pub(crate) is_down: BootTime,
}

#[derive(Debug, Serialize, Deserialize)]
struct Task {
    role: Role,
    cgroup: PathBuf,
}

/// Starts a process that goes into `cgroup` and plays `role`.
pub(crate) fn start(role: Role, cgroup: &Path, input: Stdio, output: Stdio) -> Result<Child> {
    let own = std::env::current_exe().context("finding this program")?;
    let task = serde_json::to_string(&Task { role, cgroup: cgroup.to_owned() })?;
    Command::new(own).args([CHILD, &task]).stdin(input).stdout(output).spawn().context("starting a process to watch")
}

/// Such a process.
pub(crate) fn run(mut args: impl Iterator<Item = String>) -> Result<()> {
    let task: Task = serde_json::from_str(&args.next().context("no task")?)?;
    // 0 is whoever writes.
    std::fs::write(task.cgroup.join("cgroup.procs"), "0")
        .with_context(|| format!("going into {}", task.cgroup.display()))?;
    match task.role {
        Role::Sit => while goes_on(Duration::from_secs(3600))? {},
        Role::Churn { base, extra, period_ms } => {
            let held = taken(base)?;
            while goes_on(Duration::from_millis(period_ms))? {
                drop(taken(extra)?);
            }
            drop(held);
        }
        Role::Eat { bytes } => not_killed(&taken(bytes)?)?,
        Role::Spike(spike) => rise_and_fall(&spike)?,
    }
    Ok(())
}

/// Waits so long; false when standard input has ended.
fn goes_on(pause: Duration) -> Result<bool> {
    let stdin = std::io::stdin();
    let pause = Timespec { tv_sec: i64::try_from(pause.as_secs())?, tv_nsec: pause.subsec_nanos().into() };
    // Nobody writes: what can come is the end.
    Ok(poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&pause))? == 0)
}

/// Memory that is charged: each page was written. Straight from the kernel, since a heap gives back when it pleases.
fn taken(bytes: usize) -> Result<MmapMut> {
    let mut map = MmapMut::map_anon(bytes).with_context(|| format!("mapping {bytes} bytes"))?;
    map.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
    Ok(map)
}

fn not_killed(held: &MmapMut) -> Result<()> {
    bail!("{} bytes taken and not killed: the limit is not in force", held.len())
}

fn rise_and_fall(spike: &Spike) -> Result<()> {
    let mut words = std::io::stdin().lock().lines();
    let mut told = std::io::stdout().lock();
    drop(taken(spike.tall)?);
    let _base = taken(spike.base)?;
    writeln!(told, "ready")?;
    words.next().context("waiting for the word to rise")??;

    let rises = since_boot();
    let up = taken(spike.height)?;
    let is_up = since_boot();
    wait_until(BootTime(is_up.0 + spike.hold_us));
    let falls = since_boot();
    drop(up);
    writeln!(told, "{}", serde_json::to_string(&Course { rises, is_up, falls, is_down: since_boot() })?)?;

    words.next().context("waiting for the word to be killed")??;
    not_killed(&taken(spike.limit)?)
}

/// Sleeps, and spins at the end: a timer alone is late by more than the shortest spike lasts.
fn wait_until(end: BootTime) {
    const SPUN_US: u64 = 500;
    let left = end.0.saturating_sub(since_boot().0);
    std::thread::sleep(Duration::from_micros(left.saturating_sub(SPUN_US)));
    while since_boot() < end {
        std::hint::spin_loop();
    }
}
