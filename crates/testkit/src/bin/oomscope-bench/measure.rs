//! Runs a program, and tells how long it took and how much memory it had.
//!
//! The peak of memory is `getrusage(RUSAGE_CHILDREN)`, which is a maximum over all children that a process has had. So each
//! run has a process of its own between: this program again, called with [`CHILD`]. Its own few MiB are the least that can
//! be measured (Linux counts what a child shared with its parent before `execve`).

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::time::Instant;

/// First argument of the process between.
pub(crate) const CHILD: &str = "--measure-one";

/// A program with its arguments.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Command {
    program: PathBuf,
    arguments: Vec<String>,
    /// `cat` writes this file into its standard input.
    fed: Option<PathBuf>,
}

impl Command {
    pub(crate) fn new(program: impl AsRef<Path>, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { program: program.as_ref().to_owned(), arguments, fed: None }
    }

    pub(crate) fn arg(mut self, path: &Path) -> Self {
        self.arguments.push(path.to_string_lossy().into_owned());
        self
    }

    pub(crate) fn fed_by_cat(mut self, file: &Path) -> Self {
        self.fed = Some(file.to_owned());
        self
    }
}

/// One run, or the median of several.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Start to exit.
    pub(crate) seconds: f64,
    /// User and system time of the program alone.
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_rss_kib: i64,
    /// Lines that it wrote.
    pub(crate) lines_out: u64,
    /// `events` of a single line of JSON.
    pub(crate) counted: Option<u64>,
}

/// Runs the programs in turns, after one turn that only warms the page cache, and takes each one's median.
pub(crate) fn alternate(commands: &[Command], runs: usize) -> Result<Vec<Measured>> {
    let mut all = vec![Vec::with_capacity(runs); commands.len()];
    for turn in 0..=runs {
        for (command, measured) in commands.iter().zip(&mut all) {
            let run = apart(command)?;
            if turn > 0 {
                measured.push(run);
            }
        }
    }
    Ok(all.into_iter().filter_map(median).collect())
}

/// The run with the median time; the largest peak of all, since a bound is to be seen.
fn median(mut runs: Vec<Measured>) -> Option<Measured> {
    runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let peak_rss_kib = runs.iter().map(|run| run.peak_rss_kib).max()?;
    let middle = runs.get(runs.len() / 2)?.clone();
    Some(Measured { peak_rss_kib, ..middle })
}

fn apart(command: &Command) -> Result<Measured> {
    let own = std::env::current_exe().context("finding this program")?;
    let output = Process::new(own)
        .arg(CHILD)
        .arg(serde_json::to_string(command)?)
        .stderr(Stdio::inherit())
        .output()
        .context("starting the measuring process")?;
    if !output.status.success() {
        bail!("measuring {} failed", command.program.display());
    }
    serde_json::from_slice(&output.stdout).context("reading what the measuring process wrote")
}

/// The process between: runs one program and prints what it took.
pub(crate) fn run_child(mut args: impl Iterator<Item = String>) -> Result<()> {
    let command: Command = serde_json::from_str(&args.next().context("no command")?)?;
    println!("{}", serde_json::to_string(&run(&command)?)?);
    Ok(())
}

fn run(command: &Command) -> Result<Measured> {
    let feeder =
        command.fed.as_ref().map(|file| Process::new("cat").arg(file).stdout(Stdio::piped()).spawn()).transpose()?;
    let (mut feeder, input) = match feeder {
        Some(mut cat) => {
            let output = cat.stdout.take();
            (Some(cat), output.map_or_else(Stdio::null, Stdio::from))
        }
        None => (None, Stdio::null()),
    };
    let before = Instant::now();
    let mut child = Process::new(&command.program)
        .args(&command.arguments)
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {}", command.program.display()))?;
    let (lines_out, counted) = read_output(child.stdout.take().context("no output")?)?;
    let status = child.wait()?;
    let seconds = before.elapsed().as_secs_f64();
    // Before `cat` is waited for, so that only the program is counted.
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("getrusage")?;
    if let Some(cat) = feeder.as_mut() {
        cat.wait()?;
    }
    // 1 is "nothing found", of ours as of ripgrep.
    if !matches!(status.code(), Some(0 | 1)) {
        bail!("{} {}: {status}", command.program.display(), command.arguments.join(" "));
    }
    let cpu_seconds = [usage.user_time(), usage.system_time()]
        .iter()
        .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
        .sum();
    Ok(Measured { seconds, cpu_seconds, peak_rss_kib: usage.max_rss(), lines_out, counted })
}

/// Reads all output, keeping only a count and the first line's number of events.
fn read_output(output: impl std::io::Read) -> Result<(u64, Option<u64>)> {
    let mut output = BufReader::with_capacity(1 << 16, output);
    let mut first = Vec::new();
    output.read_until(b'\n', &mut first)?;
    let counted =
        serde_json::from_slice::<serde_json::Value>(&first).ok().and_then(|value| value.get("events")?.as_u64());
    let mut lines = u64::from(!first.is_empty());
    first.clear();
    first.shrink_to_fit();
    loop {
        let filled = output.fill_buf()?;
        if filled.is_empty() {
            return Ok((lines, counted));
        }
        lines += filled.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let length = filled.len();
        output.consume(length);
    }
}
