//! `oomscope inspect`: what a living cgroup holds, and what in it grows.
//!
//! Only files of /proc and of the cgroup are read: no process is stopped, entered, or made to run anything, so it makes no
//! difference whether the container has a shell. What it costs is one walk over the page tables of each process (some
//! milliseconds for 100 MiB, during which that process cannot change its mappings), and `--no-pss` saves that.

pub(super) mod look;
pub(super) mod pod;
mod saved;

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use jiff::SignedDuration;
use oomscope_core::inspect::{Inspection, InspectionDiff};
use oomscope_core::report::{TextOptions, inspection as report, json};
use oomscope_sources::host_root::HostRoot;

use super::output::answer;
use super::witnesses::Witnesses;
use super::{Colour, Outcome, When, complain, in_words};
use crate::progress::Progress;
use crate::signals;
use look::Looker;

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  shown; also where Ctrl-C ended the wait of --diff early
  1  the target ended before --diff could look a second time (the first look is shown)
  2  there is no such target, a file could not be read or written, or the command line was wrong
  128 + N  signal N (other than Ctrl-C) ended the wait; what there was is shown";

pub(super) const AFTER_LONG_HELP: &str = "\
Examples:
  oomscope inspect 3d4cccf9d78b                    a container, by the beginning of its id
  oomscope inspect nginx.service                   a systemd unit
  oomscope inspect 4711 --no-pss                   one process, without walking its page tables
  oomscope inspect pod shop/checkout-api-7758-sgp8q  a pod, its spec against what is in force
  oomscope inspect 3d4cccf9d78b --diff 5m          what grows in five minutes
  oomscope inspect 3d4cccf9d78b --save before.json
  oomscope inspect 3d4cccf9d78b --since before.json
  oomscope inspect --compare before.json after.json

Exit codes:
  0  shown; also where Ctrl-C ended the wait of --diff early
  1  the target ended before --diff could look a second time (the first look is shown)
  2  there is no such target, a file could not be read or written, or the command line was wrong
  128 + N  signal N (other than Ctrl-C) ended the wait; what there was is shown";

/// How often the wait looks up, for signals and the bar.
const TICK: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Look into a living container, cgroup or process: limits, memory by kind, processes, mappings, open files
///
/// Shows the limits in force at every level from the target up to the root, what its memory is made of and how much of it the kernel
/// can take back, its processes with their share (PSS), their largest mappings and their open files by kind. With --diff it looks twice
/// and shows what grew. Nothing is restarted, stopped or run in the container.
///
/// A TARGET is the path of a cgroup, a pid, a container id or its beginning (12 digits), a pod's uid or its beginning (8 digits), or a
/// systemd unit.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to look into: a cgroup, pid, container, pod or unit
    #[arg(value_name = "TARGET", required_unless_present = "compare")]
    target: Option<OsString>,

    /// After the word `pod`: which one, as NAMESPACE/NAME; its spec is then compared with what is in force
    #[arg(value_name = "POD", requires = "target")]
    pod: Option<OsString>,

    #[command(flatten)]
    witnesses: Witnesses,

    /// Look twice, this far apart (30s, 5m, 1h), and show what grew; Ctrl-C ends the wait early
    #[arg(long, value_name = "TIME", value_parser = waiting_time)]
    diff: Option<Duration>,

    /// Show what grew since the look that was saved in FILE
    #[arg(long, value_name = "FILE", conflicts_with = "diff", value_hint = clap::ValueHint::FilePath)]
    since: Option<PathBuf>,

    /// Show what grew between two saved looks
    #[arg(
        long, num_args = 2, value_names = ["BEFORE", "AFTER"], conflicts_with_all = ["target", "diff", "since", "save"],
        value_hint = clap::ValueHint::FilePath
    )]
    compare: Option<Vec<PathBuf>>,

    /// Also write the (latest) look to FILE, for --since and --compare
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    save: Option<PathBuf>,

    /// Replace the file of --save where there is one
    #[arg(short, long, requires = "save")]
    force: bool,

    /// Do not walk page tables: no PSS, and mappings by address space only
    #[arg(long)]
    no_pss: bool,

    /// How many processes, mappings and changes to show
    #[arg(short = 'n', long, default_value = "10", value_name = "N")]
    count: NonZeroUsize,

    /// How to print the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Answer,

    /// When to use colour
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    color: When,

    /// Where the machine's /proc and /sys are, as with the node's / mounted into a container
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,
}

/// `-o`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Answer {
    /// For people
    #[default]
    Text,
    /// One object, schema oomscope.inspection/v1, or oomscope.inspection_diff/v1 of two looks
    Json,
}

/// For the command line.
fn waiting_time(text: &str) -> Result<Duration, String> {
    let time = text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    match time {
        Some(time) if time.is_zero() || time > LONGEST => Err("more than nothing and at most 24h".to_owned()),
        Some(time) => Ok(time),
        None => Err("no length of time: 30s, 5m, 1h".to_owned()),
    }
}

/// Looks, waits and compares as asked.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    if let Some([before, after]) = args.compare.as_deref() {
        return args.print_diff(&saved::read(before)?, &saved::read(after)?);
    }
    let root = HostRoot::at(&args.root);
    let pod = args.pod()?.map(|asked| pod::find(&asked, &args.witnesses, &root)).transpose()?;
    let target = args.target.as_deref().unwrap_or_default();
    // Read before the look: a wrong file name should not cost one.
    let since = args.since.as_deref().map(saved::read).transpose()?;
    let looker = Looker::new(root, args.no_pss)?;
    let look = || pod.as_ref().map_or_else(|| looker.look(target), |pod| looker.look_at_pod(pod));
    let first = look()?;
    if let Some(since) = since {
        args.save(&first)?;
        return args.print_diff(&since, &first);
    }
    let Some(time) = args.diff else {
        args.save(&first)?;
        return args.print(&first);
    };
    let signal = wait(time)?;
    match look() {
        Ok(second) => {
            args.save(&second)?;
            args.print_diff(&first, &second)?;
        }
        Err(error) => {
            complain(&format!("nothing to compare with, this is the first look: {}", in_words(&error)));
            args.save(&first)?;
            args.print(&first)?;
            return Ok(Outcome::NothingFound);
        }
    }
    Ok(signal.map_or(Outcome::Explained, Outcome::Interrupted))
}

/// Waits, or until a signal comes. Answers with the signal where it is another than Ctrl-C.
fn wait(time: Duration) -> anyhow::Result<Option<u8>> {
    const CTRL_C: u8 = 2;
    let signals = signals::Held::begin()?;
    complain(&format!("looked once; looking again in {:#} (Ctrl-C: now)", SignedDuration::try_from(time)?));
    let mut progress = Progress::of_seconds("waiting for the second look", time.as_secs());
    let begun = Instant::now();
    while let Some(rest) = time.checked_sub(begun.elapsed()).filter(|rest| !rest.is_zero()) {
        std::thread::sleep(rest.min(TICK));
        progress.at(begun.elapsed().as_secs());
        if let Some(signal) = signals.caught() {
            return Ok(Some(signal).filter(|signal| *signal != CTRL_C));
        }
    }
    Ok(None)
}

impl Args {
    /// The pod that is asked for: `pod NAMESPACE/NAME` or `pod:NAMESPACE/NAME`.
    fn pod(&self) -> anyhow::Result<Option<OsString>> {
        let target = self.target.as_deref().unwrap_or_default();
        match (&self.pod, target.as_encoded_bytes()) {
            (Some(pod), b"pod") => Ok(Some(pod.clone())),
            (Some(_), _) => bail!("one target at a time; only `pod` is followed by a name"),
            (None, b"pod") => bail!("which pod? inspect pod NAMESPACE/NAME"),
            (None, target) => Ok(target.strip_prefix(b"pod:").map(|name| OsStr::from_bytes(name).to_owned())),
        }
    }

    fn save(&self, inspection: &Inspection) -> anyhow::Result<()> {
        self.save.as_deref().map_or(Ok(()), |path| saved::write(path, inspection, self.force))
    }

    fn print(&self, inspection: &Inspection) -> anyhow::Result<Outcome> {
        match self.output {
            Answer::Text => show(&report::render(inspection, self.count.get(), &self.options())),
            Answer::Json => show(&(json::inspection(inspection).context("writing the look as JSON")? + "\n")),
        }
    }

    fn print_diff(&self, before: &Inspection, after: &Inspection) -> anyhow::Result<Outcome> {
        let diff = InspectionDiff::between(before, after);
        match self.output {
            Answer::Text => show(&report::render_diff(&diff, self.count.get(), &self.options())),
            Answer::Json => show(&(json::inspection_diff(&diff).context("writing the comparison as JSON")? + "\n")),
        }
    }

    fn options(&self) -> TextOptions {
        Colour::options(self.color, false)
    }
}

fn show(text: &str) -> anyhow::Result<Outcome> {
    answer(text)?;
    Ok(Outcome::Explained)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths of time as people write them; nothing, the past and what nobody waits for are refused.
    #[test]
    fn waiting_times() {
        assert_eq!(waiting_time("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(waiting_time("1h 30s"), Ok(Duration::from_secs(3630)));
        for refused in ["", "5", "0s", "-5m", "5m ago", "25h", "x"] {
            assert!(waiting_time(refused).is_err(), "{refused}");
        }
    }
}
