//! The live driver of the path: sources on one side, recorder and cases on the other.
//!
//! ```text
//! /dev/kmsg ─ Follower ──────────────┐
//! cgroup files ─ Cgroups ─ Recorder ─┤ Watcher ─ Message ─▶ cases thread ─▶ store
//! alarms ─ Reader (real time) ───────┤                           └─▶ print thread ─▶ standard output
//! eBPF ─ KillReader (real time) ─────┤
//!             └─▶ naming thread ─────┘
//! ```
//!
//! One thread waits on everything and reads what is due: a few microseconds a cgroup. What must be quick (the processes of a
//! cgroup that is about to lose one) and what may be slow (a full disk, a reader that has stopped reading) have threads of their own.

mod accounts;
mod cgroups;
mod config;
mod contexts;
mod evidence;
mod host;
mod hot_stacks;
mod kill_reader;
mod kills;
mod log;
mod names;
mod naming;
mod node;
mod notices;
mod output;
mod processes;
mod pythons;
mod queue;
mod reader;
mod spaces;
mod telling;
mod wake;
mod watched;

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use oomscope_core::evidence::Gap;
use oomscope_core::notice::{Event, Notice};
use oomscope_core::recorder::{Recorder, Sample, Series};
use oomscope_core::text::Untrusted;
use oomscope_core::time::{BootTime, When};
use oomscope_core::units::Limit;
use oomscope_sources::cgroup::{AlarmKind, Alarms, Hierarchy};
use oomscope_sources::clock::since_boot;
use oomscope_sources::kmsg::KernelLog;
use oomscope_sources::process::{Proc, before_others};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cases::ThisBoot;
use crate::cli::{Printer, complain, counted};
use crate::signals;
use crate::store::Store;
pub(crate) use accounts::Witnesses;
use cgroups::{Cgroups, Parts, Subset, Told};
pub(crate) use config::{Config, Ebpf};
use contexts::{Contexts, Sighting};
use evidence::Snapshots;
pub(crate) use host::raise_open_files;
use kill_reader::Eyes;
use kills::Kills;
use log::{Follower, News};
use node::Node;
use notices::Notices;
pub(crate) use output::{Message, Sink};
use output::{Output, Style};
use reader::{Reader, Reading, Seen, Subjects};
use wake::Waker;

/// The loop wakes at least this often: to notice a signal, and what inotify cannot tell.
const LONGEST_WAIT_US: u64 = 250_000;
/// Where this is set, what was recorded is counted at the end: for the benchmark.
const STATISTICS: &str = "OOMSCOPE_STATS";
/// How long the names of stacks are awaited at the end.
const LAST_NAMES_US: u64 = 5_000_000;
/// What is old is forgotten this often.
const TIDY_US: u64 = 10_000_000;

/// Watches until a signal, the time or the number of cases ends it.
pub(crate) fn run(mut config: Config, printer: Printer, store: Option<Store>) -> anyhow::Result<()> {
    let signals = signals::Held::begin()?;
    let style = Style { format: config.format, min_severity: config.min_severity };
    let output = Output::start(printer, style, store, config.witnesses.take())?;
    let (count, duration) = (config.count, config.duration);
    let mut watcher = Watcher::start(config, &output)?;
    // Last, so that no thread inherits it that may take its time.
    let _ = before_others();
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
    contexts: Contexts,
    /// Programs in the kernel.
    eyes: Option<Eyes>,
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
        let root = config.root.clone();
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
        let only = (below != hierarchy.mount()).then(|| below.metadata().ok()).flatten().map(|folder| folder.ino());
        let eyes = kill_reader::start(config.ebpf, &root, only, to.clone(), &waker)?;
        let eyes = eyes.map_err(|gap| gaps.push(gap)).ok();
        let reader = match &alarms {
            Ok(alarms) => {
                let spaces = eyes.as_ref().map(|eyes| eyes.spaces.clone());
                let watch = Reading { spaces, proc: proc.clone(), subjects: Arc::clone(&subjects) };
                Some(Reader::start(Arc::clone(alarms), watch, to, waker.clone())?)
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
        if let Some(eyes) = &eyes {
            gaps.extend(eyes.gaps.iter().chain(eyes.reader.gaps(log.is_some())).cloned());
        }
        let mut watcher = Self {
            output,
            boot: ThisBoot::ask_of(&root),
            log,
            cgroups,
            kills: Kills::default(),
            notices: Notices::default(),
            snapshots: Snapshots::default(),
            node,
            seen,
            waker,
            _reader: reader,
            contexts: Contexts::default(),
            eyes,
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
        let begun = since_boot();
        let mut told = Vec::new();
        self.cgroups.discover(begun, &mut told)?;
        self.cgroups.turn(begun, &mut told);
        self.hear(told, begun);
        let mut news = News::default();
        if let Some(log) = &mut self.log {
            log.read_past(&mut news)?;
        }
        for event in news.events {
            // One that happened since is not of the past: the counters that were read first do not have it either.
            if event.at.boot_us.is_some_and(|at| at >= begun) { self.killed(event) } else { self.past(event) }
        }
        self.greet();
        Ok(())
    }

    /// Says what is watched: an empty screen is otherwise hard to tell from a mistake.
    fn greet(&self) {
        let version = self.cgroups.hierarchy.version().number();
        let count = counted(self.cgroups.known.len() as u64, "memory cgroup");
        let log = if self.log.is_some() { " and the kernel's log" } else { "" };
        complain(&format!("watching {count} (cgroup v{version}){log}"));
        for gap in &self.gaps {
            complain(&format!("not known: {}: {}", gap.wanted, gap.why));
        }
    }

    /// Waits for the next thing to happen, and deals with all that has.
    pub(crate) fn turn(&mut self) -> anyhow::Result<()> {
        self.wait()?;
        let mut told = Vec::new();
        // Before the log: what was seen in the kernel says that a report is being printed.
        self.hear_reader(&mut told);
        self.read_log();
        let now = since_boot();
        self.cgroups.discover(now, &mut told)?;
        self.cgroups.turn(now, &mut told);
        self.hear(told, now);
        for open in self.kills.settled(now) {
            self.tell_again(open, now);
        }
        for untold in self.kills.untold(self.log_read) {
            self.tell_uncounted(untold, now);
        }
        self.tell_unreported(now);
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
        let look = self.log.as_ref().and_then(|_| self.contexts.look(now));
        let unreported = self.contexts.due(self.patience_us());
        let due = [settle, look, unreported, self.cgroups.due(), self.kills.due(), self.notices.due(), self.node.due()];
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
            Ok(()) if self.contexts.is_urgent(self.log_read) => log.hurry(&mut news),
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
                Seen::Killed { id, context } => {
                    let sighting = self.ask_for_hot_stacks(Sighting::new(id, *context));
                    self.saw_kill(sighting);
                }
                Seen::OfKill { id, news } => {
                    if let Some(sighting) = self.contexts.find(id) {
                        sighting.learn(news);
                    } else if let Some(sighting) = self.kills.sighting(id) {
                        sighting.learn(news);
                    }
                }
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

    fn notice(&self, key: Option<u64>, event: Event) {
        let now = since_boot();
        let at = When { boot_us: Some(now), wall: Some(jiff::Timestamp::now()), wall_local: None };
        let cgroup = key.and_then(|key| self.cgroups.known.get(&key)).map(|watched| Untrusted::clone(&watched.path));
        self.output.send(Message::Notice(Notice { at, cgroup, event }));
    }

    /// Stacks of kills that were told may still be on their way.
    fn await_names(&mut self) {
        let until = BootTime(since_boot().0.saturating_add(LAST_NAMES_US));
        while self.kills.awaits_names() && since_boot() < until {
            if self.wait().is_err() {
                return;
            }
            let mut told = Vec::new();
            self.hear_reader(&mut told);
            self.hear(told, since_boot());
        }
    }

    /// What is still open is told as it is.
    pub(crate) fn finish(&mut self) {
        self.read_log();
        if let Some(log) = &mut self.log {
            let mut news = News::default();
            log.finish(&mut news);
            self.take_news(news);
        }
        self.await_names();
        let now = since_boot();
        for open in self.kills.drain() {
            self.tell_again(open, now);
        }
        for untold in self.kills.untold(BootTime(u64::MAX)) {
            self.tell_uncounted(untold, now);
        }
        self.tell_unreported(BootTime(u64::MAX));
        if std::env::var_os(STATISTICS).is_some() {
            let recorded = self.cgroups.recorder.statistics();
            complain(&format!(
                "recorder: {} values, {} bytes; {} cgroups, {} bytes of memory",
                recorded.values, recorded.written_bytes, recorded.cgroups, recorded.memory_bytes
            ));
        }
    }
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
