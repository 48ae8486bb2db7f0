//! `oomscope watch` as a process that is measured: what it printed, and when.

use anyhow::{Context as _, Result, bail};
use oomscope_core::time::BootTime;
use oomscope_sources::clock::since_boot;
use serde_json::Value;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::OOMSCOPE;

/// How long it may take to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// So long it has from its start until it must see everything.
const STARTS: Duration = Duration::from_secs(2);

/// The running program.
#[derive(Debug)]
pub(crate) struct Watch {
    process: Child,
    output: JoinHandle<Vec<Line>>,
    errors: JoinHandle<String>,
}

/// A line of standard output.
#[derive(Debug)]
pub(crate) struct Line {
    /// When its end could be read from the pipe.
    pub(crate) at: BootTime,
    text: Vec<u8>,
}

impl Line {
    pub(crate) fn case(&self) -> Result<Value> {
        serde_json::from_slice(&self.text).context("reading a case of oomscope watch")
    }
}

/// All that it told.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) lines: Vec<Line>,
    pub(crate) errors: String,
}

impl Watch {
    /// Watches `cgroup` and what is below it, and nothing else of the machine.
    pub(crate) fn start(cgroup: &Path, options: &[&str]) -> Result<Self> {
        let mut process = Command::new(OOMSCOPE)
            .args(["watch", "--no-store", "-o", "json", "--cgroup"])
            .arg(cgroup)
            .args(options)
            .env("OOMSCOPE_STATS", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {OOMSCOPE} watch"))?;
        let output = process.stdout.take().context("no output")?;
        let errors = process.stderr.take().context("no standard error")?;
        let output = std::thread::spawn(move || lines_with_times(output));
        let errors = std::thread::spawn(move || std::io::read_to_string(errors).unwrap_or_default());
        std::thread::sleep(STARTS);
        let mut watch = Self { process, output, errors };
        if let Some(status) = watch.process.try_wait()? {
            bail!("{OOMSCOPE} watch ended at once ({status}): {}", watch.errors.join().unwrap_or_default().trim());
        }
        Ok(watch)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Ends it as a service manager does.
    pub(crate) fn stop(mut self) -> Result<Told> {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.process), rustix::process::Signal::TERM)
            .context("ending oomscope watch")?;
        let asked = Instant::now();
        while self.process.try_wait()?.is_none() {
            if asked.elapsed() > PATIENCE {
                self.process.kill()?;
                bail!("oomscope watch did not end within {} s of SIGTERM", PATIENCE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let lines = self.output.join().unwrap_or_default();
        Ok(Told { lines, errors: self.errors.join().unwrap_or_default() })
    }
}

impl Told {
    /// `recorder: N values, M bytes`, which `OOMSCOPE_STATS` asks for.
    pub(crate) fn recorded(&self) -> Option<Recorded> {
        let line = self.errors.lines().rev().find_map(|line| line.split_once("recorder: "))?.1;
        let (values, bytes) = line.split_once(" values, ")?;
        let bytes = bytes.split(' ').next()?;
        Some(Recorded { values: values.parse().ok()?, bytes: bytes.parse().ok()? })
    }
}

/// What the flight recorder held in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Recorded {
    /// One value of one series each.
    pub(crate) values: u64,
    pub(crate) bytes: u64,
}

impl Recorded {
    pub(crate) fn bytes_per_value(&self) -> f64 {
        self.bytes as f64 / self.values as f64
    }
}

/// Nothing is interpreted while it is measured: that would take the processor from what is measured.
fn lines_with_times(mut output: impl Read) -> Vec<Line> {
    let (mut lines, mut text, mut buffer) = (Vec::new(), Vec::new(), vec![0; 64 << 10]);
    while let Ok(length @ 1..) = output.read(&mut buffer) {
        let at = since_boot();
        for piece in buffer.get(..length).unwrap_or_default().split_inclusive(|&byte| byte == b'\n') {
            text.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                lines.push(Line { at, text: std::mem::take(&mut text) });
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The recorder's statistics are found among other lines of standard error.
    #[test]
    fn statistics() {
        let errors = "oomscope: no real time\noomscope: recorder: 1200 values, 1500 bytes\n".to_owned();
        let told = Told { lines: Vec::new(), errors };
        assert_eq!(told.recorded(), Some(Recorded { values: 1200, bytes: 1500 }));
    }
}
