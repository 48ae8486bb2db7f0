//! Causes kills while `oomscope watch` looks on, and collects what it told of each.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use oomscope_core::units::Bytes;
use oomscope_sources::cgroup::Scratch;
use oomscope_sources::host_root::HostRoot;
use oomscope_testkit::programs::{Function, Hog, Place, Program, Task};
use serde_json::Value;

/// The program grows by some 100 MiB a second: it is near its limit for 50 ms.
const LIMIT: Bytes = Bytes(64 << 20);
/// So long the watcher has until it must see everything.
const STARTS: Duration = Duration::from_secs(2);
/// And so long after the last kill to say what it still knows.
const SETTLES: Duration = Duration::from_secs(5);
const SIGKILL: i32 = 9;

/// A kill, and what was told of it last.
#[derive(Debug)]
pub(crate) struct Told {
    /// The function that grew.
    pub(crate) function: Function,
    /// The case, `None` where there was none.
    pub(crate) case: Option<Value>,
}

/// `count` kills, of each function in turn.
pub(crate) fn cause(program: &Program, count: u32, place: Place) -> Result<Vec<Told>> {
    let scratch = Scratch::create(&HostRoot::default(), LIMIT).context("making a cgroup")?;
    let watch = Watch::start(&scratch)?;
    let mut killed = Vec::new();
    for (function, _) in Function::ALL.into_iter().cycle().zip(0..count) {
        let copy = tempfile::tempdir()?;
        let program = if place == Place::Deleted { copied(program, &copy)? } else { program.clone() };
        killed.push((function, one(&program, function, place, &scratch)?));
    }
    std::thread::sleep(SETTLES);
    let mut cases = watch.stop()?;
    Ok(killed.into_iter().map(|(function, pid)| Told { function, case: cases.remove(&pid) }).collect())
}

/// What is deleted cannot be started again.
fn copied(program: &Program, to: &tempfile::TempDir) -> Result<Program> {
    let executable = to.path().join(program.kind.name);
    std::fs::copy(&program.executable, &executable)?;
    Ok(Program { executable, ..program.clone() })
}

/// The pid of the process that was killed.
fn one(program: &Program, function: Function, place: Place, scratch: &Scratch) -> Result<u32> {
    let task = Task::Grow { mib: 4 * (LIMIT.0 >> 20) };
    let mut hog = Hog::start(program, function, task, place)?;
    hog.enter(scratch)?;
    hog.begin()?;
    let status = hog.wait()?;
    ensure!(status.signal() == Some(SIGKILL), "the program ended with {status} and was not killed");
    Ok(hog.pid())
}

/// `oomscope watch` on one cgroup.
struct Watch {
    process: Child,
    cases: JoinHandle<HashMap<u32, Value>>,
}

impl Watch {
    fn start(scratch: &Scratch) -> Result<Self> {
        let oomscope = std::env::var("OOMSCOPE").unwrap_or_else(|_| "target/release/oomscope".to_owned());
        let mut process = Command::new(&oomscope)
            .args(["watch", "--no-store", "-o", "json", "--kubernetes", "off", "--cgroup"])
            .arg(scratch.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {oomscope} watch"))?;
        let output = BufReader::new(process.stdout.take().context("no output")?);
        let cases = std::thread::spawn(move || last_by_victim(output.lines().map_while(Result::ok)));
        std::thread::sleep(STARTS);
        if let Some(status) = process.try_wait()? {
            bail!("{oomscope} watch ended at once ({status})");
        }
        Ok(Self { process, cases })
    }

    /// What it told of each victim last.
    fn stop(mut self) -> Result<HashMap<u32, Value>> {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).context("ending oomscope watch")?;
        self.process.wait()?;
        self.cases.join().ok().context("reading the cases")
    }
}

/// A case that comes again is a later revision of the same.
fn last_by_victim(lines: impl Iterator<Item = String>) -> HashMap<u32, Value> {
    let mut cases = HashMap::new();
    for case in lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok()) {
        for pid in victims(&case) {
            cases.insert(pid, case.clone());
        }
    }
    cases
}

fn victims(case: &Value) -> Vec<u32> {
    let kills = case.pointer("/incident/kills").and_then(Value::as_array).into_iter().flatten();
    let victims = kills.filter_map(|kill| kill.get("victims")?.as_array()).flatten();
    victims.filter_map(|victim| u32::try_from(victim.get("pid")?.as_u64()?).ok()).collect()
}
