//! The live driver of the path: sources on one side, recorder and cases on the other.
//!
//! ```text
//! /dev/kmsg ─ Follower ──────────────┐
//! cgroup files ─ Cgroups ─ Recorder ─┤ Watcher ─ Message ─▶ cases thread ─▶ store
//! alarms ─ Reader (real time) ───────┘                           └─▶ print thread ─▶ standard output
//! ```
//!
//! One thread waits on everything and reads what is due: a few microseconds a cgroup. What must be quick (the processes of a
//! cgroup that is about to lose one) and what may be slow (a full disk, a reader that has stopped reading) have threads of their own.

mod cgroups;
mod evidence;
mod host;
mod kills;
mod log;
mod node;
mod notices;
mod output;
mod processes;
mod queue;
mod reader;
mod wake;
mod watched;

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use oomscope_core::evidence::{CounterChange, Gap, KernelReport};
use oomscope_core::formats::klog::LogEvent;
use oomscope_core::incident::Incident;
use oomscope_core::notice::{Event, Notice, Severity};
use oomscope_core::recorder::{Budget, Pace, Recorder, Sample, Series};
use oomscope_core::text::Untrusted;
use oomscope_core::time::{BootTime, When};
use oomscope_core::units::Limit;
use oomscope_sources::cgroup::{AlarmKind, Alarms, Hierarchy, PeakReset, Version};
use oomscope_sources::clock::since_boot;
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::kmsg::KernelLog;
use oomscope_sources::process::Proc;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cases::ThisBoot;
use crate::cli::{Format, Printer, complain, counted};
use crate::signals;
use crate::store::Store;
use cgroups::{Cgroups, Parts, Subset, Told};
use evidence::{Sealed, Snapshots};
use kills::{Kills, Open, Untold};
use log::{Follower, News};
use node::Node;
use notices::Notices;
pub(crate) use output::{Message, Sink};
use output::{Output, Style};
use reader::{Reader, Seen, Subjects};
use wake::Waker;

/// The loop wakes at least this often: to notice a signal, and what inotify cannot tell.
const LONGEST_WAIT_US: u64 = 250_000;
/// Where this is set, what was recorded is counted at the end: for the benchmark.
const STATISTICS: &str = "OOMSCOPE_STATS";
/// A counter that rose longer ago than this belongs to another kill than the one whose line is being read.
const WAITING_US: u64 = 500_000;
/// What is old is forgotten this often.
const TIDY_US: u64 = 10_000_000;

/// What to watch, and how.
#[derive(Debug)]
pub(crate) struct Config {
    /// This cgroup and all below it; `None`: all of the machine.
    pub(crate) cgroup: Option<String>,
    /// Only this pod or container, by the beginning of its uid or id.
    pub(crate) pod: Option<String>,
    /// While nothing happens, and at the hottest.
    pub(crate) pace: Pace,
    /// Of the recorder.
    pub(crate) budget: Budget,
    /// Whether peaks may be reset where that is seen by others too (cgroup v1).
    pub(crate) peaks: PeakReset,
    /// Smaller notices are not printed.
    pub(crate) min_severity: Severity,
    /// How to print.
    pub(crate) format: Format,
    /// End after so many cases.
    pub(crate) count: Option<u64>,
    /// End after this time.
    pub(crate) duration: Option<Duration>,
}

impl Config {
    /// One cgroup, with everything else as it is by default.
    pub(crate) fn of_cgroup(folder: &Path) -> Self {
        Self {
            cgroup: Some(folder.to_string_lossy().into_owned()),
            pod: None,
            pace: Pace::default(),
            budget: Budget::default(),
            peaks: PeakReset::AlsoGlobal,
            min_severity: Severity::Warning,
            format: Format::Text,
            count: None,
            duration: None,
        }
    }
}

/// Watches until a signal, the time or the number of cases ends it.
pub(crate) fn run(config: Config, printer: Printer, store: Option<Store>) -> anyhow::Result<()> {
    let signals = signals::Held::begin()?;
    let style = Style { format: config.format, min_severity: config.min_severity };
    let output = Output::start(printer, style, store)?;
    let (count, duration) = (config.count, config.duration);
    let mut watcher = Watcher::start(config, &output)?;
    let begun = since_boot();
    let is_over = |watcher: &Watcher<'_>| {
        let elapsed = since_boot().0.saturating_sub(begun.0);
        signals.caught().is_some()
            || !output.is_heard()
            || count.is_some_and(|count| watcher.told >= count)
            || duration.is_some_and(|duration| u128::from(elapsed) >= duration.as_micros())
    };
    let mut ended = Ok(());
    while ended.is_ok() && !is_over(&watcher) {
        ended = watcher.turn();
    }
    // What was seen is told and stored, whatever ended it.
    watcher.finish();
    drop(watcher);
    // A second signal ends it at once: a hanging disk is waited for below.
    drop(signals);
    ended.and(output.finish())
}

/// The evidence loop.
pub(crate) struct Watcher<'a> {
    output: &'a dyn Sink,
    boot: ThisBoot,
    log: Option<Follower>,
    cgroups: Cgroups,
    kills: Kills,
    notices: Notices,
    snapshots: Snapshots,
    node: Node,
    seen: Receiver<Seen>,
    waker: Waker,
    _reader: Option<Reader>,
    /// How many kills were told.
    pub(crate) told: u64,
    tidied: BootTime,
    /// When the log had nothing more to tell.
    log_read: BootTime,
    /// What this watcher cannot see; part of every case.
    gaps: Vec<Gap>,
}

impl<'a> Watcher<'a> {
    /// Opens every source. What cannot be had becomes a gap of every case; without both the log and the cgroups there is nothing to watch.
    pub(crate) fn start(config: Config, output: &'a dyn Sink) -> anyhow::Result<Self> {
        let root = HostRoot::default();
        for gap in host::prepare(&root) {
            complain(&format!("no {}: {}", gap.wanted, gap.why));
        }
        let mut gaps = Vec::new();
        let hierarchy = Hierarchy::of_this_machine(&root).context("finding this machine's memory cgroups")?;
        let below = match &config.cgroup {
            Some(path) => hierarchy.folder_of(path)?,
            None => hierarchy.mount().to_owned(),
        };
        let (to, seen) = channel();
        let waker = Waker::new().context("making an eventfd")?;
        let subjects: Subjects = Arc::new(Mutex::new(HashMap::new()));
        let alarms = Alarms::new(&hierarchy).map(Arc::new);
        let proc = Proc::new(&root);
        let reader = match &alarms {
            Ok(alarms) => {
                Some(Reader::start(Arc::clone(alarms), proc.clone(), Arc::clone(&subjects), to, waker.clone())?)
            }
            Err(error) => {
                gaps.push(Gap::new("the kernel's alarms", error.to_string()));
                None
            }
        };
        let node = Node::new(&root, config.pace);
        let cgroups = Cgroups::new(Parts {
            hierarchy,
            subset: Subset { below, pod: config.pod },
            peaks: config.peaks,
            pace: config.pace,
            alarms: alarms.ok(),
            subjects,
            proc,
            recorder: Recorder::new(config.budget),
            machine: node.total(),
        })?;
        let log = match KernelLog::open(&root) {
            Ok(log) => Some(Follower::new(log)),
            Err(error) => {
                gaps.push(Gap::new("the kernel's log", error.to_string()));
                None
            }
        };
        let mut watcher = Self {
            output,
            boot: ThisBoot::ask(),
            log,
            cgroups,
            kills: Kills::default(),
            notices: Notices::default(),
            snapshots: Snapshots::default(),
            node,
            seen,
            waker,
            _reader: reader,
            told: 0,
            tidied: since_boot(),
            log_read: since_boot(),
            gaps,
        };
        watcher.catch_up()?;
        Ok(watcher)
    }

    /// The cgroups that are there, and what the log still holds of the time before.
    fn catch_up(&mut self) -> anyhow::Result<()> {
        let now = since_boot();
        let mut told = Vec::new();
        self.cgroups.discover(now, &mut told)?;
        self.cgroups.turn(now, &mut told);
        self.hear(told, now);
        let mut news = News::default();
        if let Some(log) = &mut self.log {
            log.read_past(&mut news)?;
        }
        for event in news.events {
            self.past(event);
        }
        self.greet();
        Ok(())
    }

    /// Says what is watched: an empty screen is otherwise hard to tell from a mistake.
    fn greet(&self) {
        let version = match self.cgroups.hierarchy.version() {
            Version::V1 => "v1",
            Version::V2 => "v2",
        };
        let count = counted(self.cgroups.known.len() as u64, "memory cgroup");
        let log = if self.log.is_some() { " and the kernel's log" } else { "" };
        complain(&format!("watching {count} (cgroup {version}){log}"));
        for gap in &self.gaps {
            complain(&format!("not known: {}: {}", gap.wanted, gap.why));
        }
    }

    /// Waits for the next thing to happen, and deals with all that has.
    pub(crate) fn turn(&mut self) -> anyhow::Result<()> {
        self.wait()?;
        self.read_log();
        let now = since_boot();
        let mut told = Vec::new();
        self.hear_reader(&mut told);
        self.cgroups.discover(now, &mut told)?;
        self.cgroups.turn(now, &mut told);
        self.hear(told, now);
        for open in self.kills.settled(now) {
            self.tell_again(open, now);
        }
        for untold in self.kills.untold(self.log_read) {
            self.tell_uncounted(untold, now);
        }
        for (key, event) in self.notices.take(now, &self.cgroups.known) {
            self.notice(Some(key), event);
        }
        if let Some((sample, is_hot)) = self.node.sample(now) {
            self.cgroups.record_machine(&sample, is_hot);
        }
        for event in self.node.turn(now, self.cgroups.watches_all()) {
            if matches!(event, Event::ClockStepped { .. }) {
                self.boot.ask_again();
            }
            self.notice(None, event);
        }
        if now.0.saturating_sub(self.tidied.0) >= TIDY_US {
            self.tidied = now;
            let mut told = Vec::new();
            self.cgroups.tidy(now, &mut told);
            self.hear(told, now);
            let known = &self.cgroups.known;
            self.kills.tidy(|key| known.contains_key(&key));
        }
        Ok(())
    }

    fn wait(&self) -> anyhow::Result<()> {
        let now = since_boot();
        let settle = self.log.as_ref().and_then(Follower::due);
        let due = [settle, self.cgroups.due(), self.kills.due(), self.notices.due(), self.node.due()];
        let wait = due.into_iter().flatten().map(|due| due.0.saturating_sub(now.0)).min();
        let wait = wait.unwrap_or(LONGEST_WAIT_US).min(LONGEST_WAIT_US);
        let timeout = Timespec {
            tv_sec: i64::try_from(wait / 1_000_000).unwrap_or(0),
            tv_nsec: i64::try_from(wait % 1_000_000 * 1000).unwrap_or(0),
        };
        let mut fds = vec![PollFd::new(&self.cgroups, PollFlags::IN), PollFd::new(&self.waker, PollFlags::IN)];
        if let Some(log) = &self.log {
            fds.push(PollFd::from_borrowed_fd(log.log().as_fd(), PollFlags::IN));
        }
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("waiting for something to happen"),
        }
    }

    /// Without the log watching goes on from the counters.
    fn read_log(&mut self) {
        self.log_read = since_boot();
        let Some(log) = &mut self.log else { return };
        let mut news = News::default();
        let read = log.read(true, &mut news);
        self.log_read = since_boot();
        match &read {
            Ok(()) => log.settle(since_boot(), &mut news),
            Err(_) => log.finish(&mut news),
        }
        self.take_news(news);
        if let Err(error) = read {
            let gap = Gap::new("the kernel's log", error.to_string());
            complain(&format!("no longer known: {}: {}", gap.wanted, gap.why));
            self.gaps.push(gap);
            self.log = None;
        }
    }

    fn take_news(&mut self, news: News) {
        for count in news.lost {
            self.notice(None, Event::RecordsLost { count });
        }
        for event in news.events {
            self.killed(event);
        }
    }

    fn hear_reader(&mut self, told: &mut Vec<Told>) {
        self.waker.rest();
        while let Ok(seen) = self.seen.try_recv() {
            match seen {
                Seen::Gap(gap) => self.gaps.push(gap),
                Seen::Alarm { key, kind, at, pids, snapshots } => {
                    for snapshot in snapshots {
                        self.snapshots.add(key, snapshot);
                    }
                    self.cgroups.processes.live_in(key, &pids, at);
                    // The kernel wakes for every event; only the counters say which it was.
                    // Cache that is dropped is such an event too.
                    if kind != AlarmKind::Events {
                        self.cgroups.alarm(key, since_boot(), told);
                    } else if self.cgroups.is_worth_a_look(key, at) {
                        self.cgroups.sample(key, since_boot(), told);
                    }
                }
            }
        }
    }

    fn hear(&mut self, told: Vec<Told>, now: BootTime) {
        for told in told {
            match told {
                Told::Appeared(key) => {
                    let limit = self.cgroups.known.get(&key).map(|watched| watched.effective);
                    self.notice(Some(key), Event::Appeared { limit: limit.unwrap_or(Limit::Unlimited) });
                }
                Told::Vanished(key) => {
                    self.notices.forget(key);
                    self.notice(Some(key), Event::Vanished);
                }
                Told::Sampled { key, before, sample } => {
                    let Some(before) = before else { continue };
                    self.notices.observe(key, &before, &sample);
                    let kills = |sample: &Sample| sample.get(Series::OomKill);
                    let rise = kills(&sample).zip(kills(&before)).map_or(0, |(now, before)| now.saturating_sub(before));
                    if rise > 0 {
                        self.kills.count(key, rise, now);
                    }
                }
            }
        }
    }

    /// A kill that happened before watching began.
    fn past(&mut self, mut event: LogEvent) {
        self.boot.complete(&mut event);
        let mut incident = Incident::from_log(event, None);
        incident.gaps.push(Gap::new("the minutes before the kill", "it happened before watching began"));
        self.output.send(Message::Incident { incident: Box::new(incident), revision: 1, past: true });
    }

    /// The log tells of a kill.
    fn killed(&mut self, mut event: LogEvent) {
        let now = since_boot();
        // Anew for each: somebody may have set the clock.
        self.boot.ask_again();
        self.boot.complete(&mut event);
        let at = self.on_recorders_clock(&event, now);
        self.find_homes(&mut event, now);
        if !self.is_wanted(&event) {
            return;
        }
        self.count_told(&event, at, now);
        if self.kills.take_in(&event, at) {
            return;
        }
        let incident = self.incident(event.clone(), at, now);
        self.output.send(Message::Incident { incident: Box::new(incident.clone()), revision: 1, past: false });
        self.told += 1;
        self.kills.told(event, at, now, incident);
    }

    fn on_recorders_clock(&self, event: &LogEvent, now: BootTime) -> BootTime {
        let clock = self.log.as_ref().map(|log| *log.clock()).unwrap_or_default();
        event.at.boot_us.map_or(now, |stamp| clock.to_monotonic(stamp))
    }

    /// A rate-limited kill line names no cgroup. Where its process lived was seen before, is still to be read, or is told by the one
    /// counter that has just risen.
    fn find_homes(&mut self, event: &mut LogEvent, now: BootTime) {
        for victim in &mut event.report.victims {
            victim.cgroup = victim.cgroup.take().or_else(|| self.cgroups.home_of(victim.pid));
        }
        let report = &mut event.report;
        let first = report.victims.first().and_then(|victim| victim.cgroup.clone());
        report.victim_cgroup = report.victim_cgroup.take().or(first);
        if report.victims.is_empty() || report.victim_cgroup.is_some() || report.limit_cgroup.is_some() {
            return;
        }
        let mut told = Vec::new();
        self.cgroups.sample_hot(now, &mut told);
        self.hear(told, now);
        let since = BootTime(now.0.saturating_sub(WAITING_US));
        let home = self.kills.only_one_waiting(since).and_then(|key| self.cgroups.known.get(&key));
        event.report.victim_cgroup = home.map(|watched| watched.path.clone());
    }

    fn is_wanted(&self, event: &LogEvent) -> bool {
        let report = &event.report;
        let mut paths = [&report.limit_cgroup, &report.victim_cgroup].into_iter().flatten().peekable();
        if paths.peek().is_none() {
            return self.cgroups.watches_all();
        }
        paths.any(|path| self.cgroups.watches(path.as_bytes()))
    }

    fn count_told(&mut self, event: &LogEvent, at: BootTime, now: BootTime) {
        let report = &event.report;
        let first = report.victim_cgroup.as_ref();
        let killed = report.victims.iter().filter(|victim| !victim.only_chosen);
        let mut kills: Vec<_> = killed.map(|victim| victim.cgroup.as_ref().or(first)).collect();
        if report.group_kill == Some(true) {
            // The kernel kills the chosen one, and then all of the group, it included.
            kills.extend(first.map(Some));
        }
        self.node.told(kills.len());
        for path in kills {
            match path.and_then(|path| self.cgroups.of_path(path.as_bytes(), at)) {
                Some(key) => {
                    self.kills.count_told(key, 1, now);
                    self.notices.killed(key);
                }
                None => self.kills.count_unplaced(1, now),
            }
        }
        let limit = report.limit_cgroup.as_ref().and_then(|path| self.cgroups.of_path(path.as_bytes(), at));
        if let Some(key) = limit {
            self.notices.killed(key);
        }
    }

    /// All that is known of a kill now.
    fn incident(&mut self, event: LogEvent, at: BootTime, now: BootTime) -> Incident {
        self.read_levels(&event, at, now);
        let sealed = self.cgroups.seal(&event.report, at, now, &self.snapshots);
        let mut incident = Incident::from_log(event, None);
        let sealed = self.on_logs_clock(sealed);
        incident.add_live(sealed.timeline, sealed.counters);
        incident.gaps.extend(sealed.gaps);
        incident.gaps.extend(self.gaps.iter().cloned());
        let mut said = Vec::new();
        incident.gaps.retain(|gap| {
            let is_new = !said.contains(gap);
            said.extend(is_new.then(|| gap.clone()));
            is_new
        });
        incident
    }

    /// The recording ends at the kill, not at the last reading before it.
    fn read_levels(&mut self, event: &LogEvent, at: BootTime, now: BootTime) {
        let mut told = Vec::new();
        let paths = [&event.report.limit_cgroup, &event.report.victim_cgroup];
        let mut keys: Vec<u64> =
            paths.into_iter().flatten().filter_map(|path| self.cgroups.of_path(path.as_bytes(), at)).collect();
        keys.dedup();
        for key in keys {
            if let Some(watched) = self.cgroups.known.get_mut(&key) {
                watched.want_events();
            }
            self.cgroups.sample(key, now, &mut told);
        }
        self.hear(told, now);
    }

    fn on_logs_clock(&self, sealed: Sealed) -> Sealed {
        let ahead = self.log.as_ref().map_or(0, |log| log.clock().ahead_us());
        Sealed { timeline: sealed.timeline.map(|timeline| timeline.moved_back(ahead)), ..sealed }
    }

    /// A second later: told again where more was seen.
    fn tell_again(&mut self, open: Open, now: BootTime) {
        let mut incident = self.incident(open.event, open.at, now);
        incident.counters = settled(incident.counters, &open.incident.counters);
        if !is_better(&incident, &open.incident) {
            return;
        }
        let revision = open.revision + 1;
        self.output.send(Message::Incident { incident: Box::new(incident), revision, past: false });
    }

    /// A kill that was counted, and that the log did not tell of.
    fn tell_uncounted(&mut self, untold: Untold, now: BootTime) {
        let Some(watched) = self.cgroups.known.get(&untold.key) else { return };
        let victim_cgroup = watched.path.clone();
        self.node.told(usize::try_from(untold.count).unwrap_or(usize::MAX));
        let report = KernelReport { victim_cgroup: Some(victim_cgroup), ..KernelReport::default() };
        let sealed = self.cgroups.seal(&report, untold.at, now, &self.snapshots);
        let sealed = self.on_logs_clock(sealed);
        self.boot.ask_again();
        let ahead = self.log.as_ref().map_or(0, |log| log.clock().ahead_us());
        let at = BootTime(untold.at.0.saturating_add_signed(ahead.saturating_neg()));
        let at = When { boot_us: Some(at), wall: self.boot.wall_of(at), wall_local: None };
        let mut gaps = self.gaps.clone();
        let why = match &self.log {
            Some(_) => {
                "the kernel's log told nothing of it within 4 s: the ring was overwritten, or printk suppressed it"
            }
            None => "the kernel's log cannot be read",
        };
        gaps.push(Gap::new("the report of this kill", why));
        let boot_id = self.boot.id().map(str::to_owned);
        let incident = Incident::from_counters(at, boot_id, sealed.counters, sealed.timeline, Vec::new(), gaps);
        self.output.send(Message::Incident { incident: Box::new(incident), revision: 1, past: false });
        self.told += 1;
    }

    fn notice(&self, key: Option<u64>, event: Event) {
        let now = since_boot();
        let at = When { boot_us: Some(now), wall: Some(jiff::Timestamp::now()), wall_local: None };
        let cgroup = key.and_then(|key| self.cgroups.known.get(&key)).map(|watched| Untrusted::clone(&watched.path));
        self.output.send(Message::Notice(Notice { at, cgroup, event }));
    }

    /// What is still open is told as it is.
    pub(crate) fn finish(&mut self) {
        self.read_log();
        if let Some(log) = &mut self.log {
            let mut news = News::default();
            log.finish(&mut news);
            self.take_news(news);
        }
        let now = since_boot();
        for open in self.kills.drain() {
            self.tell_again(open, now);
        }
        for untold in self.kills.untold(BootTime(u64::MAX)) {
            self.tell_uncounted(untold, now);
        }
        if std::env::var_os(STATISTICS).is_some() {
            let recorded = self.cgroups.recorder.statistics();
            complain(&format!(
                "recorder: {} values, {} bytes; {} cgroups, {} bytes of memory",
                recorded.values, recorded.written_bytes, recorded.cgroups, recorded.memory_bytes
            ));
        }
    }
}

/// The counters that were read at the kill are its own; a second later they may count another one.
fn settled(now: Vec<CounterChange>, at_the_kill: &[CounterChange]) -> Vec<CounterChange> {
    let settle = |now: CounterChange| match at_the_kill.iter().find(|then| then.cgroup == now.cgroup) {
        Some(then) if then.after.is_some() => CounterChange { removed: now.removed, ..then.clone() },
        _ => now,
    };
    now.into_iter().map(settle).collect()
}

/// More victims, a process looked at, a cgroup gone: what changes an answer. Some more rows do not.
fn is_better(now: &Incident, before: &Incident) -> bool {
    let victims = |incident: &Incident| incident.report().victims.len();
    let looked_at = |incident: &Incident| {
        let processes = incident.timeline.iter().flat_map(|timeline| &timeline.processes);
        processes.filter(|process| process.snapshot.is_some()).count()
    };
    let counters =
        |incident: &Incident| incident.counters.iter().map(|change| (change.after, change.removed)).collect::<Vec<_>>();
    victims(now) > victims(before) || looked_at(now) > looked_at(before) || counters(now) != counters(before)
}

/// Where the folder of a cgroup that was asked for is.
trait FolderOf {
    fn folder_of(&self, path: &str) -> anyhow::Result<PathBuf>;
}

impl FolderOf for Hierarchy {
    fn folder_of(&self, path: &str) -> anyhow::Result<PathBuf> {
        let given = PathBuf::from(path);
        let folder = if given.starts_with(self.mount()) { Some(given) } else { self.folder(&given) };
        let folder = folder.filter(|folder| folder.is_dir());
        folder.with_context(|| format!("there is no memory cgroup {path} (looked below {})", self.mount().display()))
    }
}
