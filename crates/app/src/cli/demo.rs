//! `oomscope demo`: a real OOM kill, explained.
//!
//! A scratch cgroup of 50 MiB, this program itself as the process that outgrows it, and the kernel's own log to tell of it.
//! Where that may not be done (no root, no memory controller, no access to the log) it says so, and explains a recorded
//! kill instead.

use std::io::{BufRead as _, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use oomscope_core::case::Case;
use oomscope_core::formats::klog::{LogEvent, Scanner};
use oomscope_core::units::Bytes;
use oomscope_sources::cgroup::Scratch;
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::kmsg::{KernelLog, Next};

use super::output::Printer;
use super::{Colour, Format, Outcome, When, complain, in_words};
use crate::cases::{CaseMaker, LogOrigin, ThisBoot};
use crate::signals;

/// What the scratch cgroup may use.
const LIMIT: Bytes = Bytes(50 << 20);

/// What the hog asks for.
const APPETITE: Bytes = Bytes(100 << 20);

/// How long the kernel's report is waited for: a kill takes milliseconds, a slow console seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// The kernel prints a report within milliseconds; after a pause of this length it has ended.
const QUIET_MS: u64 = 100;
const QUIET: Duration = Duration::from_millis(QUIET_MS);

/// Pages are touched in steps of this, with [`PAUSE`] between, so that the growth can be watched.
const STEP: usize = 1 << 20;
const PAUSE: Duration = Duration::from_millis(10);

/// What the hog waits for: it must be in its cgroup before it grows.
const GO: &str = "go\n";

/// A kill recorded on Linux 6.12 (cgroup v2) in a virtual machine.
const RECORDED: &str = include_str!("demo/recorded-6.12.log");

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  a kill was explained, real or recorded (standard error says which)
  2  the command line was wrong, or standard output could not be written
  128 + N  signal N ended it; the scratch cgroup was removed first";

/// Cause a real OOM kill in a scratch cgroup of this machine, and explain it
///
/// As root: makes a cgroup limited to 50 MiB, runs itself in it until it has used 100 MiB, follows the kernel log, prints the
/// case, and removes the cgroup. Nothing else on the machine is touched. Where that is not possible it says why and
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

/// What runs in the scratch cgroup: waits for [`GO`] on standard input, then grows until it is killed. Without that word
/// nobody has put it into a cgroup, and it does not grow.
pub(crate) fn hog(bytes: u64) -> anyhow::Result<Outcome> {
    let mut go = String::new();
    std::io::stdin().lock().take(GO.len() as u64).read_line(&mut go).context("waiting for the word to begin")?;
    if go != GO {
        bail!("this is what `oomscope demo` runs in its scratch cgroup; it does not run by itself");
    }
    let bytes = usize::try_from(bytes).context("more than this machine can address")?;
    let mut held: Vec<Vec<u8>> = Vec::new();
    while held.len() * STEP < bytes {
        // Not zero: zeroed memory would not be touched.
        held.push(std::hint::black_box(vec![0xA5; STEP]));
        std::thread::sleep(PAUSE);
    }
    bail!("{} allocated and not killed: the limit is not in force", Bytes(bytes as u64))
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
    let mut log = KernelLog::open(&root)?;
    let scratch = Scratch::create(&root, LIMIT)?;
    log.skip_to_end()?;
    say(&format!("made the cgroup {} with a limit of {LIMIT}", scratch.kernel_path().display()));
    let killed = kill_in(&scratch, &mut log, signals);
    let folder = scratch.folder().to_owned();
    if let Err(error) = scratch.remove() {
        complain(&format!("{} is left behind: {}", folder.display(), in_words(&error.into())));
    }
    let event = killed?;
    let origin = LogOrigin { this_boot: Some(ThisBoot::ask()), ..LogOrigin::default() };
    Ok(CaseMaker::default().case(event, &origin))
}

/// Lets the hog grow in the cgroup until the kernel tells of its death. It is gone afterwards, whatever happened.
fn kill_in(scratch: &Scratch, log: &mut KernelLog, signals: &signals::Held) -> anyhow::Result<LogEvent> {
    let mut hog = Hog::start(scratch)?;
    say(&format!("started pid {} in it, which wants {APPETITE}; waiting for the kernel…", hog.pid()));
    let event = follow(log, hog.pid(), signals)?;
    hog.must_have_been_killed()?;
    Ok(event)
}

/// Progress, on standard error.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "oomscope: {text}");
}

/// Reads the kernel log until it tells of the death of `pid`, or a signal asks to end.
fn follow(log: &mut KernelLog, pid: u32, signals: &signals::Held) -> anyhow::Result<LogEvent> {
    let deadline = Instant::now() + PATIENCE;
    let mut scanner = Scanner::new();
    let mut events = Vec::new();
    while Instant::now() < deadline {
        if signals.caught().is_some() {
            bail!("interrupted");
        }
        let ended = match log.next()? {
            Next::Record(record) => {
                scanner.push(record, &mut |event| events.push(event));
                false
            }
            Next::Lost(_) => false,
            Next::End => true,
        };
        if ended && !log.wait(QUIET)? {
            // Nothing more for the moment: what is complete by now is complete.
            scanner.idle(QUIET_MS, &mut |event| events.push(event));
        }
        if let Some(event) = events.drain(..).find(|event| event.report.victims.iter().any(|victim| victim.pid == pid))
        {
            return Ok(event);
        }
    }
    bail!("the kernel log told of no kill of pid {pid} within {} s", PATIENCE.as_secs())
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
