//! From what the log and the counters say to the incidents that are told.
//!
//! A report becomes an incident at once, with all that is known of it by then; a second later again, where more is known. A kill
//! that is counted and not reported becomes one too.

use oomscope_core::evidence::{CounterChange, Gap, KernelReport, Scope};
use oomscope_core::formats::klog::LogEvent;
use oomscope_core::incident::Incident;
use oomscope_core::text::Untrusted;
use oomscope_core::time::{BootTime, When};
use oomscope_sources::clock::since_boot;

use super::Watcher;
use super::evidence::Sealed;
use super::kills::{Open, Untold};
use super::output::Message;

/// A counter that rose longer ago than this belongs to another kill than the one whose line is being read.
const WAITING_US: u64 = 500_000;

impl Watcher<'_> {
    /// A kill that happened before watching began.
    pub(super) fn past(&mut self, mut event: LogEvent) {
        // One that names no cgroup may be one of those that are watched: it is kept.
        let names_one = event.report.limit_cgroup.is_some() || event.report.victim_cgroup.is_some();
        if names_one && !self.is_wanted(&event) {
            return;
        }
        self.boot.complete(&mut event);
        let mut incident = Incident::from_log(event, None);
        incident.gaps.push(Gap::new("the minutes before the kill", "it happened before watching began"));
        self.output.send(Message::Incident { incident: Box::new(incident), revision: 1, past: true });
    }

    /// The log tells of a kill.
    pub(super) fn killed(&mut self, mut event: LogEvent) {
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

    /// A rate-limited kill line names no cgroup. Where its process lived was seen before, or is still to be read; where no kill was
    /// counted there and one was in a single other cgroup, it had moved on.
    fn find_homes(&mut self, event: &mut LogEvent, now: BootTime) {
        let report = &event.report;
        if report.victims.is_empty() || report.victim_cgroup.is_some() || report.limit_cgroup.is_some() {
            return;
        }
        let mut told = Vec::new();
        self.cgroups.sample_hot(now, &mut told);
        self.hear(told, now);
        let since = BootTime(now.0.saturating_sub(WAITING_US));
        let counted = self.kills.only_one_waiting(since).and_then(|key| self.cgroups.known.get(&key));
        let counted = counted.map(|watched| watched.path.clone());
        let is_waiting = |path: &Untrusted| {
            self.cgroups.of_path(path.as_bytes(), now).is_some_and(|key| self.kills.is_waiting(key, since))
        };
        // Whoever is killed for a cgroup's limit does not live in the root, where it may have been seen as it was started.
        let of_a_cgroup = report.scope == Some(Scope::Memcg);
        let seen = |pid| self.cgroups.home_of(pid).filter(|path| !(of_a_cgroup && path.as_bytes() == b"/"));
        let home = |pid| match seen(pid) {
            Some(seen) if is_waiting(&seen) => Some(seen),
            seen => counted.clone().or(seen),
        };
        let homes: Vec<_> = report.victims.iter().map(|victim| home(victim.pid)).collect();
        let report = &mut event.report;
        for (victim, home) in report.victims.iter_mut().zip(homes) {
            victim.cgroup = victim.cgroup.take().or(home);
        }
        report.victim_cgroup = report.victims.first().and_then(|victim| victim.cgroup.clone());
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
    pub(super) fn tell_again(&mut self, open: Open, now: BootTime) {
        let mut incident = self.incident(open.event, open.at, now);
        incident.counters = settled(incident.counters, &open.incident.counters);
        if !is_better(&incident, &open.incident) {
            return;
        }
        let revision = open.revision + 1;
        self.output.send(Message::Incident { incident: Box::new(incident), revision, past: false });
    }

    /// A kill that was counted, and that the log did not tell of.
    pub(super) fn tell_uncounted(&mut self, untold: Untold, now: BootTime) {
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
