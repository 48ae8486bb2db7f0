//! Causes kills while `oomscope watch` looks on, and collects what it told of each.

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use oomscope_core::units::Bytes;
use oomscope_sources::cgroup::Scratch;
use oomscope_sources::host_root::HostRoot;
use oomscope_testkit::programs::{Function, Hog, Place, Program, Task, Watch, functions};
use serde_json::Value;

/// The program grows by some 100 MiB a second: it is near its limit for 50 ms.
const LIMIT: Bytes = Bytes(64 << 20);
/// So long the watcher has, from the kill on, to tell of it and to name its stack.
const PATIENCE: Duration = Duration::from_secs(6);
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
    let oomscope = std::env::var_os("OOMSCOPE").map_or_else(|| "target/release/oomscope".into(), PathBuf::from);
    let watch = Watch::start(&oomscope, scratch.folder())?;
    if let Some(why) = watch.lacks_stacks() {
        bail!("{why}");
    }
    let mut told = Vec::new();
    for (function, _) in Function::ALL.into_iter().cycle().zip(0..count) {
        let copy = tempfile::tempdir()?;
        let program = if place == Place::Deleted { copied(program, &copy)? } else { program.clone() };
        let victim = one(&program, function, place, &scratch)?;
        let has_stack = |case: &Value| !functions(case).is_empty();
        told.push(Told { function, case: watch.case_of(victim, PATIENCE, has_stack) });
    }
    Ok(told)
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
