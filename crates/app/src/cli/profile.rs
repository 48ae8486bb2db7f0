//! `oomscope profile`: which code makes memory resident, and which of it is still held.
//!
//! A software event of the kernel counts page faults, and one in N of them is looked at from eBPF. Nothing is restarted, and nothing is
//! needed of the target, not even its symbols. What it pays for: docs/profile.md.

mod flame_graph;
mod held;
mod lives;
mod pprof;
mod record;
mod scope;

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use clap::ValueEnum;
use jiff::SignedDuration;
use oomscope_core::profile::{Profile, SCHEMA, Sampling, folded};
use oomscope_core::report::{json, profile as report};
use oomscope_core::time::When as Instants;
use oomscope_core::units::Bytes;
use oomscope_sources::clock;
use oomscope_sources::ebpf::{FaultConfig, Faults};
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::process::Proc;
use rustix::event::{PollFd, PollFlags, poll};

use super::output::CannotWrite;
use super::witnesses::{Witnesses, host_name};
use super::{Colour, Outcome, When, complain, export};
use crate::cases::ThisBoot;
use crate::progress::Progress;
use crate::signals;
use held::Baseline;
use record::Recorder;
use scope::{Asked, Scope};

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  shown; also where Ctrl-C or the target's end ended it early
  1  no page fault was sampled (why is said)
  2  there is no such target, it could not be profiled or the file not be written, or the command line was wrong
  128 + N  signal N (other than Ctrl-C) ended it; what there was is shown";

pub(super) const AFTER_LONG_HELP: &str = "\
Examples:
  oomscope profile 4711                            which code of a process makes memory resident, for a minute
  oomscope profile 3d4cccf9d78b --held --for 5m    what a container still holds of what it took in five minutes
  oomscope profile pod shop/checkout-api-7758-sgp8q --held
  oomscope profile node --for 10s                  everything on this machine
  oomscope profile nginx.service -o svg --out nginx.svg
  oomscope profile 4711 -o pprof --out heap.pb.gz && go tool pprof -http : heap.pb.gz

Exit codes:
  0  shown; also where Ctrl-C or the target's end ended it early
  1  no page fault was sampled (why is said)
  2  there is no such target, it could not be profiled or the file not be written, or the command line was wrong
  128 + N  signal N (other than Ctrl-C) ended it; what there was is shown";

/// How often it is looked up from the samples, for signals and the bar.
const TICK: Duration = Duration::from_millis(100);
/// How often it is seen to that the target is still there.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// The longest profile.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// Of each stack so much is copied: 8 KiB hold some 60 ordinary calls.
const STACK_BYTES: u32 = 8 << 10;
/// Samples a second and CPU, at most: a small --period must not stop the machine.
const RATE: u32 = 5000;
const CTRL_C: u8 = 2;

/// Show which code makes memory resident, by sampling page faults; with --held, what of it is still there
///
/// Memory fills up when it is touched for the first time, which is a page fault. One fault in many is looked at, with the calls that led to
/// it: in any language, without a restart, without a flag or a library in the target, also where the image has no files. Needs root and a
/// kernel with eBPF.
///
/// Without --held everything counts that was made resident, also what was given back since. --held asks at the end what is still there
/// and grew: that is where to look for a leak.
///
/// A TARGET is the path of a cgroup, a pid, a container id or its beginning (12 digits), a pod's uid or its beginning (8 digits), a
/// systemd unit, or the word `node` for the whole machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to profile: a cgroup, pid, container, pod or unit, or `node`
    #[arg(value_name = "TARGET")]
    target: OsString,

    /// After the word `pod`: which one, as NAMESPACE/NAME
    #[arg(value_name = "POD")]
    pod: Option<OsString>,

    /// For how long (10s, 5m, 1h); Ctrl-C ends it early
    #[arg(long = "for", default_value = "60s", value_name = "TIME", value_parser = profile_time)]
    time: Duration,

    /// Show only what is still resident at the end and grew since the beginning
    #[arg(long)]
    held: bool,

    /// Look at one page fault in N; smaller sees more, and slows the target more
    #[arg(long, default_value = "2048", value_name = "N")]
    period: NonZeroU64,

    /// How many calls to show
    #[arg(short = 'n', long, default_value = "30", value_name = "N")]
    count: NonZeroUsize,

    /// How to print the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Answer,

    /// Write it to FILE instead of standard output
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    out: Option<PathBuf>,

    /// Replace the file of --out where there is one
    #[arg(short, long, requires = "out")]
    force: bool,

    /// When to use colour
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    color: When,

    #[command(flatten)]
    witnesses: Witnesses,
}

/// `-o`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Answer {
    /// For people: functions, and the tree of calls
    #[default]
    Text,
    /// One line a stack, for flame graph programs
    Folded,
    /// A flame graph, to open in a browser
    Svg,
    /// For `go tool pprof`, Pyroscope and others (gzipped protocol buffer)
    Pprof,
    /// One object, schema oomscope.profile/v1
    Json,
}

/// For the command line.
fn profile_time(text: &str) -> Result<Duration, String> {
    let time = text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    match time {
        Some(time) if time.is_zero() || time > LONGEST => Err("more than nothing and at most 24h".to_owned()),
        Some(time) => Ok(time),
        None => Err("no length of time: 10s, 5m, 1h".to_owned()),
    }
}

/// Samples for a while and shows what came.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    args.refuse_what_cannot_be_written()?;
    crate::watch::raise_open_files();
    let root = HostRoot::default();
    let proc = Proc::new(&root);
    let asked = Asked { target: &args.target, pod: args.pod.as_deref(), witnesses: &args.witnesses };
    let scope = Scope::find(&asked, &root, &proc)?;
    let (profile, ended) = args.profile(scope, &root, &proc)?;
    args.write(&profile)?;
    Ok(match ended {
        Ended::BySignal(signal) if signal != CTRL_C => Outcome::Interrupted(signal),
        _ if profile.sampling.samples == 0 => Outcome::NothingFound,
        _ => Outcome::Explained,
    })
}

/// Why sampling ended.
enum Ended {
    InTime,
    BySignal(u8),
    TargetGone,
}

impl Args {
    /// Before anything is waited for.
    fn refuse_what_cannot_be_written(&self) -> anyhow::Result<()> {
        if self.output == Answer::Pprof && self.out.is_none() && std::io::stdout().is_terminal() {
            bail!("a pprof file is binary: write it to a file with --out FILE");
        }
        match &self.out {
            Some(path) if path.exists() && !self.force => {
                bail!("{} is there already (--force replaces it)", path.display())
            }
            _ => Ok(()),
        }
    }

    fn profile(&self, scope: Scope, root: &HostRoot, proc: &Proc) -> anyhow::Result<(Profile, Ended)> {
        let config = FaultConfig {
            period: self.period.get(),
            stack_bytes: STACK_BYTES,
            rate: RATE,
            filter: scope.filter.clone(),
        };
        // What processes have before the first sample, so that none is blamed for it.
        let baseline = self.held.then(|| Baseline::take(proc, &scope.processes));
        let mut recorder = Recorder::new(proc.clone(), config.period, self.held, &scope.processes);
        let began = clock::since_boot();
        let begun = Instant::now();
        let (ended, lost) = {
            let mut faults = Faults::start(&config).map_err(|gap| anyhow!("{}: {}", gap.wanted, gap.why))?;
            (self.sample(&mut faults, &mut recorder, &scope, proc)?, faults.lost())
        };
        let elapsed = begun.elapsed();
        let mut profile = Profile {
            schema: SCHEMA.to_owned(),
            at: Instants { boot_us: Some(began), wall: ThisBoot::ask().wall_of(began), wall_local: None },
            duration_us: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            boot_id: clock::boot_id(root).ok(),
            host: host_name(root),
            target: scope.target,
            sampling: Sampling {
                period: config.period,
                page_bytes: Bytes(rustix::param::page_size() as u64),
                lost: lost.over_rate.saturating_add(lost.buffer_full),
                ..Sampling::default()
            },
            gaps: scope.gaps,
            ..Profile::default()
        };
        recorder.finish(baseline.as_ref(), &mut profile);
        Ok((profile, ended))
    }

    fn sample(
        &self,
        faults: &mut Faults,
        recorder: &mut Recorder,
        scope: &Scope,
        proc: &Proc,
    ) -> anyhow::Result<Ended> {
        let signals = signals::Held::begin()?;
        complain(&format!("sampling page faults for {:#} (Ctrl-C: no longer)", SignedDuration::try_from(self.time)?));
        let mut progress = Progress::of_seconds("sampling page faults", self.time.as_secs());
        let begun = Instant::now();
        let mut looked = begun;
        let ended = loop {
            let elapsed = begun.elapsed();
            if let Some(signal) = signals.caught() {
                break Ended::BySignal(signal);
            }
            let Some(rest) = self.time.checked_sub(elapsed).filter(|rest| !rest.is_zero()) else {
                break Ended::InTime;
            };
            if looked.elapsed() > LOOK_AFTER {
                looked = Instant::now();
                if !scope.is_there(proc) {
                    complain(&format!("the target ended after {} s", elapsed.as_secs()));
                    break Ended::TargetGone;
                }
            }
            wait(faults, rest.min(TICK))?;
            faults.drain(&mut |sample| recorder.take(&sample));
            progress.at(elapsed.as_secs());
        };
        faults.drain(&mut |sample| recorder.take(&sample));
        Ok(ended)
    }

    fn write(&self, profile: &Profile) -> anyhow::Result<()> {
        let measure = profile.measure();
        if profile.sampling.samples == 0 && self.output != Answer::Text {
            complain("no page fault was sampled: the target took no new memory, or less than --period sees");
        }
        let bytes = match self.output {
            Answer::Text => report::render(profile, self.count.get(), &self.options()).into_bytes(),
            Answer::Folded => folded::render(profile, measure).into_bytes(),
            Answer::Svg => flame_graph::render(profile, measure)?,
            Answer::Pprof => pprof::render(profile)?,
            Answer::Json => (json::profile(profile).context("writing the profile as JSON")? + "\n").into_bytes(),
        };
        let Some(path) = &self.out else {
            let mut out = std::io::stdout().lock();
            return out.write_all(&bytes).and_then(|()| out.flush()).context(CannotWrite);
        };
        export::write(path, &bytes, self.force)?;
        complain(&format!("wrote {}", path.display()));
        Ok(())
    }

    fn options(&self) -> oomscope_core::report::TextOptions {
        let mut options = Colour::options(self.color, false);
        options.colour &= self.out.is_none() || self.color == When::Always;
        options
    }
}

/// Until there are many samples, or the time is over.
fn wait(faults: &Faults, time: Duration) -> anyhow::Result<()> {
    let mut fds = [PollFd::from_borrowed_fd(faults.as_fd(), PollFlags::IN)];
    let time = rustix::event::Timespec::try_from(time).context("a time to wait")?;
    match poll(&mut fds, Some(&time)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(e) => Err(e).context("waiting for samples"),
    }
}

#[cfg(test)]
mod tests;
