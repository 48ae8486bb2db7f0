//! `oomscope explain`: kernel logs in, cases out.

mod chunks;
mod input;
mod known;
mod pipeline;
mod skim;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use oomscope_core::case::Case;
use oomscope_core::kubernetes::{Directory, LogRead};
use oomscope_sources::kubernetes::saved::read_saved;

use super::filter::{Filter, Match, Since};
use super::output::{CannotWrite, Printer};
use super::{Colour, Format, Outcome, When, complain, counted, in_words};
use crate::accounts::{SideBySide, side_by_side};
use pipeline::Pipeline;

/// Explain the OOM kills in kernel logs
///
/// Reads dmesg, /dev/kmsg, journalctl, syslog, serial consoles, JSON log lines and text that somebody pasted, compressed or
/// not, and recognises by itself which it is; also cases that were saved (`oomscope export`, `-o json`), which it judges again.
/// Without a FILE it reads what is piped in, else this machine's own kernel log. A case is printed as soon as it is complete, so
/// `dmesg -w | oomscope explain` works.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Logs to read (`-` for standard input; patterns are expanded; .gz .xz .zst .bz2 too)
    #[arg(value_name = "FILE")]
    files: Vec<OsString>,

    /// What Kubernetes says: saved objects (a file or a folder; `kubectl get pods,events,nodes -A -o json`), beside the logs
    ///
    /// JSON or YAML: pods, events and nodes, alone, in lists or as watch streams. Cases then have names, the container's status and
    /// the points in which it disagrees with the kernel; ends that only Kubernetes tells are cases too. Without a FILE no log is
    /// read. All cases are shown at the end.
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    kubernetes: Vec<PathBuf>,

    /// A label of the pod that its account repeats (may be given more than once)
    #[arg(long = "label", value_name = "NAME")]
    labels: Vec<String>,

    /// How to print the cases
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,

    /// Also print the log lines that each verdict rests on (JSON always has them)
    #[arg(short, long)]
    evidence: bool,

    /// Only the last N cases
    #[arg(long, value_name = "N")]
    last: Option<NonZeroUsize>,

    /// Only cases since a date or an age (2026-04-04, 2026-04-04T03:41:03Z, 15m, "3 days"); those without a date are kept
    ///
    /// A time without a zone, given here or written in the log (as syslog does), is taken as this machine's local time. For
    /// a log of a machine in another zone, set TZ to that zone.
    #[arg(long, value_name = "TIME", value_parser = Since::parse_now)]
    since: Option<Since>,

    /// Only cases of a pod: its uid or the beginning of it, or any part of a cgroup path
    #[arg(long, value_name = "POD")]
    pod: Option<String>,

    /// Only cases in which this process died: a pid, or any part of its name
    #[arg(long, value_name = "VICTIM")]
    victim: Option<String>,

    /// When to use colour
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    color: When,
}

pub(super) const AFTER_LONG_HELP: &str = "\
Examples:
  oomscope explain                                  this machine's kernel log
  oomscope explain /var/log/kern.log*               rotated logs, oldest first
  journalctl -k -o json | oomscope explain --last 1
  dmesg -w | oomscope explain                       cases as they happen
  kubectl debug node/NAME -it --image=busybox -- dmesg | oomscope explain -o markdown

Exit codes:
  0  at least one OOM event was explained
  1  no OOM event was found (what was read is said on standard error)
  2  an input could not be read, or the command line was wrong";

/// Reads everything that was asked for.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let filter = Filter { since: args.since, pod: args.pod.clone(), victim: args.victim.clone() };
    let printer = Printer::new(args.output, Colour::options(args.color, args.evidence));
    let mut shown = Shown {
        filter,
        printer,
        last: args.last.map(NonZeroUsize::get),
        kept: VecDeque::new(),
        found: 0,
        of_unknown_time: 0,
        by_local_time: 0,
    };
    let mut other_account = OtherAccount::read(&args.kubernetes, &args.labels);
    let mut pipeline = Pipeline::new();
    let mut failed = other_account.is_incomplete;
    let inputs =
        if args.kubernetes.is_empty() || !args.files.is_empty() { input::inputs(&args.files) } else { Vec::new() };
    let has_log = !inputs.is_empty();
    for input in inputs {
        if let Err(error) = pipeline.read(input, &mut |case| other_account.take(case, &mut shown)) {
            if error.is::<CannotWrite>() {
                return Err(error);
            }
            complain(&in_words(&error));
            failed = true;
        }
    }
    pipeline.finish(&mut |case| other_account.take(case, &mut shown))?;
    other_account.finish(has_log, &mut shown)?;
    shown.finish()?;
    Ok(conclude(&shown, &pipeline, failed, !args.kubernetes.is_empty()))
}

/// The cases of logs, for a verb that shows them in its own way. What cannot be read of one is complained of.
///
/// # Errors
/// Where one cannot be opened.
pub(crate) fn cases_of(files: &[OsString]) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    let mut take = |case| {
        cases.push(case);
        Ok(())
    };
    let mut pipeline = Pipeline::new();
    for input in input::inputs(files) {
        pipeline.read(input, &mut take)?;
    }
    pipeline.finish(&mut take)?;
    Ok(cases)
}

/// The exit code, and a word on standard error where nothing was printed.
fn conclude(shown: &Shown, pipeline: &Pipeline, failed: bool, has_objects: bool) -> Outcome {
    if shown.of_unknown_time > 0 {
        complain(&format!("--since: kept {} without a date", counted(shown.of_unknown_time, "case")));
    }
    if shown.by_local_time > 0 {
        complain(&format!(
            "--since: the log states no time zone for {}; taken as this machine's (set TZ for another)",
            counted(shown.by_local_time, "case")
        ));
    }
    if pipeline.duplicates() > 0 {
        complain(&format!("left out {} that an earlier file had too", counted(pipeline.duplicates(), "event")));
    }
    match (failed || pipeline.unreadable_cases() > 0, shown.printer.printed(), shown.found) {
        (true, ..) => Outcome::CannotRead,
        (false, 0, 0) => {
            let objects = if has_objects { "no OOM kill, SIGKILL or eviction is told by the objects; " } else { "" };
            complain(&format!("no OOM event found: {objects}{}", pipeline.what_was_read()));
            Outcome::NothingFound
        }
        (false, 0, found) => {
            complain(&format!("{} found, and none matches", counted(found, "OOM event")));
            Outcome::NothingFound
        }
        _ => Outcome::Explained,
    }
}

/// What Kubernetes says, and the cases that wait for it: which end belongs to which kill is only known when all are read.
struct OtherAccount {
    directory: Option<Directory>,
    waiting: Vec<Case>,
    is_incomplete: bool,
}

impl OtherAccount {
    fn read(paths: &[PathBuf], labels: &[String]) -> Self {
        let mut account = Self { directory: None, waiting: Vec::new(), is_incomplete: false };
        for path in paths {
            let empty = || Directory::with_labels(labels.to_owned());
            let directory = account.directory.get_or_insert_with(empty);
            for gap in read_saved(path, directory) {
                complain(&format!("{}: {}", gap.wanted, gap.why));
                account.is_incomplete = true;
            }
        }
        account
    }

    fn take(&mut self, case: Case, shown: &mut Shown) -> anyhow::Result<()> {
        if self.directory.is_none() {
            return shown.take(case);
        }
        self.waiting.push(case);
        Ok(())
    }

    fn finish(self, has_log: bool, shown: &mut Shown) -> anyhow::Result<()> {
        let Some(directory) = self.directory else { return Ok(()) };
        let log = if has_log { LogRead::Logs } else { LogRead::Nothing };
        let SideBySide { cases, unmatched } = side_by_side(self.waiting, &directory, log);
        cases.into_iter().try_for_each(|case| shown.take(case))?;
        if unmatched > 0 && has_log {
            let events = counted(unmatched as u64, "SystemOOM event");
            complain(&format!("{events} of the node: no kill in what was read has the pid that it names"));
        }
        Ok(())
    }
}

/// What becomes of each case.
struct Shown {
    filter: Filter,
    printer: Printer,
    last: Option<usize>,
    kept: VecDeque<Case>,
    found: u64,
    of_unknown_time: u64,
    /// `--since` was decided by a time of an unstated zone.
    by_local_time: u64,
}

impl Shown {
    fn take(&mut self, case: Case) -> anyhow::Result<()> {
        self.found += 1;
        match self.filter.check(&case) {
            Match::No => return Ok(()),
            Match::NoByLocalTime => {
                self.by_local_time += 1;
                return Ok(());
            }
            Match::YesByLocalTime => self.by_local_time += 1,
            Match::TimeUnknown => self.of_unknown_time += 1,
            Match::Yes => {}
        }
        let Some(last) = self.last else { return self.printer.case(&case) };
        self.kept.push_back(case);
        if self.kept.len() > last {
            self.kept.pop_front();
        }
        Ok(())
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        for case in std::mem::take(&mut self.kept) {
            self.printer.case(&case)?;
        }
        self.printer.finish()
    }
}
