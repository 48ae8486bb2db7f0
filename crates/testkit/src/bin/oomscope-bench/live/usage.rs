//! What a running process costs, by the kernel's account.

use anyhow::{Context as _, Result};
use oomscope_core::time::BootTime;
use oomscope_sources::clock::since_boot;
use serde::Serialize;
use std::path::PathBuf;

/// A process while it is measured.
#[derive(Debug)]
pub(crate) struct Meter {
    folder: PathBuf,
    began: BootTime,
    cpu_ns: u64,
}

/// What it took.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    /// 1 is one core, all the time.
    pub(crate) cores: f64,
    pub(crate) rss_kib: u64,
    pub(crate) pss_kib: u64,
    pub(crate) peak_rss_kib: u64,
}

impl Meter {
    pub(crate) fn start(pid: u32) -> Result<Self> {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let cpu_ns = cpu_ns(&folder)?;
        Ok(Self { folder, began: since_boot(), cpu_ns })
    }

    pub(crate) fn stop(&self) -> Result<Cost> {
        let cpu_ns = cpu_ns(&self.folder)?.saturating_sub(self.cpu_ns);
        let seconds = (since_boot().0 - self.began.0) as f64 / 1e6;
        let (rollup, status) = (self.read("smaps_rollup")?, self.read("status")?);
        Ok(Cost {
            seconds,
            cores: cpu_ns as f64 / 1e9 / seconds,
            rss_kib: field(&rollup, "Rss:")?,
            pss_kib: field(&rollup, "Pss:")?,
            peak_rss_kib: field(&status, "VmHWM:")?,
        })
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = self.folder.join(file);
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    }
}

/// Of all threads: the first number of `schedstat`. `stat` has the same in steps of 10 ms, which is more than some programs take
/// in a second. What threads took that have ended is missing.
fn cpu_ns(folder: &std::path::Path) -> Result<u64> {
    let tasks = folder.join("task");
    let tasks = std::fs::read_dir(&tasks).with_context(|| format!("reading {}", tasks.display()))?;
    let mut sum = 0;
    for task in tasks {
        // A thread may end in between.
        let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
        sum += text.split(' ').next().and_then(|number| number.parse::<u64>().ok()).context("schedstat")?;
    }
    Ok(sum)
}

fn field(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("no {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This process takes processor time while it spins, and has memory.
    #[test]
    fn this_process() {
        let meter = Meter::start(std::process::id()).unwrap();
        while since_boot().0 < meter.began.0 + 20_000 {}
        let cost = meter.stop().unwrap();
        assert!(cost.cores > 0.0 && cost.pss_kib > 0 && cost.peak_rss_kib >= cost.rss_kib, "{cost:?}");
    }
}
