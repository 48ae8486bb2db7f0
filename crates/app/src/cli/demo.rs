//! `oomscope demo`: a real OOM kill, explained.
//!
//! A scratch cgroup of 50 MiB, this program itself as the process that outgrows it, and the watcher that records it, from the first
//! quiet seconds over a spike that no dashboard would show to the kill.
//! Where that may not be done (no root, no memory controller, no access to the log) it says so, and explains a recorded
//! kill instead.

mod hog;

use std::cell::RefCell;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use oomscope_core::case::Case;
use oomscope_core::formats::klog::Scanner;
use oomscope_core::incident::Incident;
use oomscope_core::notice::Severity;
use oomscope_core::units::Bytes;
use oomscope_sources::cgroup::Scratch;
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::kmsg::KernelLog;

use super::output::Printer;
use super::{Colour, Format, Outcome, When, complain, in_words};
use crate::cases::{CaseMaker, LogOrigin};
use crate::signals;
use crate::watch::{Config, Message, Sink, Watcher};
use hog::GO;
pub(crate) use hog::hog;

/// What the scratch cgroup may use.
const LIMIT: Bytes = Bytes(50 << 20);

/// What the hog asks for.
const APPETITE: Bytes = Bytes(100 << 20);

/// How long the kernel's report is waited for: a kill takes milliseconds, a slow console seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// More is known of a kill within this time.
const SETTLES: Duration = Duration::from_millis(1200);

/// A kill recorded on Linux 6.12 (cgroup v2) in a virtual machine.
const RECORDED: &str = include_str!("demo/recorded-6.12.log");

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  a kill was explained, real or recorded (standard error says which)
  2  the command line was wrong, or standard output could not be written
  128 + N  signal N ended it; the scratch cgroup was removed first";

/// Cause a real OOM kill in a scratch cgroup of this machine, and explain it
///
/// As root: makes a cgroup limited to 50 MiB, runs itself in it until it is killed, records the seconds before (as `oomscope watch`
/// does), prints the case, and removes the cgroup. Nothing else on the machine is touched. Where that is not possible it says why and
/// explains a recorded kill.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How to print the case
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,

    /// Also print the log lines that the verdict rests on
    #[arg(short, long)]
    evidence: bool,

    /// Explain the recorded kill, and cause none
    #[arg(long)]
    recorded: bool,

    /// When to use colour
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    color: When,
}

/// Shows a kill.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut printer = Printer::new(args.output, Colour::options(args.color, args.evidence));
    let case = if args.recorded {
        recorded_case()?
    } else {
        let signals = signals::Held::begin()?;
        let real = real_case(&signals);
        if let Some(signal) = signals.caught() {
            complain("interrupted");
            return Ok(Outcome::Interrupted(signal));
        }
        match real {
            Ok(case) => case,
            Err(error) => {
                complain(&format!("no real kill here: {}", in_words(&error)));
                complain("explaining a recorded one instead (Linux 6.12, cgroup v2)");
                recorded_case()?
            }
        }
    };
    printer.case(&case)?;
    Ok(Outcome::Explained)
}

fn recorded_case() -> anyhow::Result<Case> {
    let mut scanner = Scanner::new();
    let mut events = Vec::new();
    scanner.push(RECORDED.as_bytes(), &mut |event| events.push(event));
    scanner.finish(&mut |event| events.push(event));
    let event = events.pop().context("the recorded log holds no kill")?;
    let origin = LogOrigin { file: Some("recorded-6.12.log".to_owned()), ..LogOrigin::default() };
    Ok(CaseMaker::default().case(event, &origin))
}

fn real_case(signals: &signals::Held) -> anyhow::Result<Case> {
    let root = HostRoot::default();
    // Asked for before anything is made: without the kernel's account there is nothing to explain.
    drop(KernelLog::open(&root)?);
    let scratch = Scratch::create(&root, LIMIT)?;
    say(&format!("made the cgroup {} with a limit of {LIMIT}", scratch.kernel_path().display()));
    let incident = record_kill_in(&scratch, signals);
    let folder = scratch.folder().to_owned();
    if let Err(error) = scratch.remove() {
        complain(&format!("{} is left behind: {}", folder.display(), in_words(&error.into())));
    }
    Ok(CaseMaker::default().explain(incident?))
}

/// Records the cgroup while the hog lives and dies in it. The hog is gone afterwards, whatever happened.
fn record_kill_in(scratch: &Scratch, signals: &signals::Held) -> anyhow::Result<Incident> {
    let told = Heard::default();
    let mut watcher = Watcher::start(Config::of_cgroup(scratch.folder()), &told)?;
    let mut hog = Hog::start(scratch)?;
    say(&format!("started pid {} in it; recording, and waiting for the kernel…", hog.pid()));
    let deadline = Instant::now() + PATIENCE;
    let mut settled = None;
    while settled.is_none_or(|at| Instant::now() < at) {
        if signals.caught().is_some() {
            bail!("interrupted");
        }
        if Instant::now() > deadline {
            bail!("no kill of pid {} was seen within {} s", hog.pid(), PATIENCE.as_secs());
        }
        watcher.turn()?;
        // What is seen within a second of the kill makes it a better case.
        if settled.is_none() && told.kill_of(hog.pid()).is_some() {
            settled = Some(Instant::now() + SETTLES);
        }
    }
    hog.must_have_been_killed()?;
    // The names of its stack may take a moment longer.
    watcher.finish();
    told.kill_of(hog.pid()).context("the kill that was just seen")
}

/// What the watcher told.
#[derive(Debug, Default)]
struct Heard(RefCell<Vec<Incident>>);

impl Heard {
    /// As it was told last.
    fn kill_of(&self, pid: u32) -> Option<Incident> {
        let is_victim = |incident: &&Incident| incident.report().victims.iter().any(|victim| victim.pid == pid);
        self.0.borrow().iter().rev().find(is_victim).cloned()
    }
}

impl Sink for Heard {
    fn send(&self, message: Message) {
        match message {
            Message::Incident { incident, past: false, .. } => self.0.borrow_mut().push(*incident),
            Message::Notice(notice) if notice.severity() > Severity::Info => say(&notice.to_string()),
            Message::Incident { .. } | Message::Notice(_) => {}
        }
    }
}

/// Progress, on standard error.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "oomscope: {text}");
}

/// The process in the cgroup; ended when this is dropped.
struct Hog(Child);

impl Hog {
    fn start(scratch: &Scratch) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("finding this program's own file")?;
        let child = Command::new(own)
            .args(["demo-hog", &APPETITE.0.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("starting the process that is to be killed")?;
        let mut hog = Self(child);
        scratch.add(hog.pid())?;
        let mut stdin = hog.0.stdin.take().context("a pipe to the process")?;
        stdin.write_all(GO.as_bytes()).context("telling the process to begin")?;
        Ok(hog)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn must_have_been_killed(&mut self) -> anyhow::Result<()> {
        let status = self.0.wait().context("waiting for the process")?;
        match status.signal() {
            Some(9) => Ok(()),
            _ => bail!("the process ended with {status} and not by SIGKILL"),
        }
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        // Already dead where all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
