//! From what the log and the counters say to the incidents that are told.
//!
//! A report becomes an incident at once, with all that is known of it by then; a second later again, where more is known. A kill
//! that is counted and not reported becomes one too.

use std::borrow::Cow;
use std::collections::HashSet;

use oomscope_core::evidence::{CounterChange, Gap, HotStacks, KernelReport, KillContext, Scope, Stacks, Victim};
use oomscope_core::formats::klog::LogEvent;
use oomscope_core::incident::Incident;
use oomscope_core::incident::kill_context::Surroundings;
use oomscope_core::text::Untrusted;
use oomscope_core::time::{BootTime, When};
use oomscope_sources::clock::since_boot;

use super::Watcher;
use super::contexts::Sighting;
use super::evidence::Sealed;
use super::kills::{Open, PATIENCE_US, SETTLE_US, Untold};
use super::naming::Job;
use super::output::Message;
use super::watched::Watched;
use crate::cli::counted;

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
        let sightings = self.contexts.take(&event.report, at);
        self.place(&mut event, &sightings);
        self.find_homes(&mut event, now);
        if !self.is_wanted(&event) {
            return;
        }
        self.count_told(&event, at, now);
        if self.kills.take_in(&event, at) {
            for sighting in sightings {
                self.saw_kill(sighting);
            }
            return;
        }
        let incident = self.incident(event.clone(), at, now, &sightings);
        self.output.send(Message::Incident { incident: Box::new(incident.clone()), revision: 1, past: false });
        self.told += 1;
        self.kills.told(event, at, now, incident, sightings);
    }

    fn on_recorders_clock(&self, event: &LogEvent, now: BootTime) -> BootTime {
        let clock = self.log.as_ref().map(|log| *log.clock()).unwrap_or_default();
        event.at.boot_us.map_or(now, |stamp| clock.to_monotonic(stamp))
    }

    /// A rate-limited kill line names no cgroup; what was seen in the kernel does.
    fn place(&self, event: &mut LogEvent, sightings: &[Sighting]) {
        let report = &mut event.report;
        if report.victim_cgroup.is_some() {
            return;
        }
        for victim in &mut report.victims {
            let seen = sightings.iter().find(|sighting| sighting.context.victim.pid == victim.pid);
            let path = seen.and_then(|seen| self.cgroups.known.get(&seen.context.victim.cgroup_id));
            victim.cgroup = victim.cgroup.take().or(path.map(|watched| watched.path.clone()));
        }
        report.victim_cgroup = report.victims.first().and_then(|victim| victim.cgroup.clone());
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
    fn incident(&mut self, event: LogEvent, at: BootTime, now: BootTime, sightings: &[Sighting]) -> Incident {
        self.read_levels(&event, at, now);
        let sealed = self.cgroups.seal(&self.with_limit_seen(&event.report, sightings), at, now, &self.snapshots);
        let mut incident = Incident::from_log(event, None);
        let sealed = self.on_logs_clock(sealed);
        incident.add_live(sealed.timeline, sealed.counters);
        self.add_sightings(&mut incident, sightings);
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

    /// A rate-limited report does not name the cgroup whose limit was reached; the kernel told it to its program.
    fn with_limit_seen<'r>(&self, report: &'r KernelReport, sightings: &[Sighting]) -> Cow<'r, KernelReport> {
        let seen = sightings.iter().find_map(|sighting| self.cgroups.known.get(&sighting.context.limit_cgroup_id?));
        match seen {
            Some(watched) if report.limit_cgroup.is_none() && report.scope != Some(Scope::Global) => {
                Cow::Owned(KernelReport { limit_cgroup: Some(watched.path.clone()), ..report.clone() })
            }
            _ => Cow::Borrowed(report),
        }
    }

    /// What was seen in the kernel, and the stacks as far as they are named.
    fn add_sightings(&self, incident: &mut Incident, sightings: &[Sighting]) {
        let path_of = |id: u64| self.cgroups.known.get(&id).map(|watched| watched.path.clone());
        let around =
            Surroundings { path_of: &path_of, cgroup_version: Some(self.cgroups.hierarchy.version().number()) };
        let mut stacks: Option<Stacks> = None;
        for sighting in sightings {
            incident.add_context(self.context_on_logs_clock(&sighting.context), around);
            incident.gaps.extend(sighting.gaps.iter().cloned());
            match (&mut stacks, &sighting.stacks) {
                (Some(stacks), Some(more)) => stacks.victims.extend(more.victims.iter().cloned()),
                (stacks, more) => *stacks = stacks.take().or_else(|| more.clone()),
            }
        }
        if let Some(stacks) = stacks {
            incident.add_stacks(stacks);
        }
        if let Some(hot) = sightings.iter().find_map(|sighting| sighting.hot.clone()) {
            let (from_us, to_us) = (self.on_log_time(hot.from_us), self.on_log_time(hot.to_us));
            incident.add_hot_stacks(HotStacks { from_us, to_us, ..hot });
        }
    }

    /// Which code made memory resident where the limit was reached is asked for at once: it is forgotten after some minutes.
    pub(super) fn ask_for_hot_stacks(&self, mut sighting: Sighting) -> Sighting {
        let Some(eyes) = &self.eyes else { return sighting };
        let context = &sighting.context;
        let known = &self.cgroups.known;
        let cgroups: HashSet<u64> = match context.limit_cgroup_id {
            None if context.global == Some(true) => known.keys().copied().collect(),
            limit => {
                let top = limit.unwrap_or(context.victim.cgroup_id);
                let path = known.get(&top).map(|watched| watched.path.clone());
                let is_below = |watched: &Watched| path.as_ref().is_some_and(|top| is_within(&watched.path, top));
                known.iter().filter(|(_, watched)| is_below(watched)).map(|(key, _)| *key).chain([top]).collect()
            }
        };
        if eyes.jobs.send(Job::Hot { id: sighting.id, cgroups, until: context.at }).is_ok() {
            sighting.naming += 1;
        }
        sighting
    }

    fn context_on_logs_clock(&self, context: &KillContext) -> KillContext {
        KillContext { at: self.on_log_time(context.at), ..context.clone() }
    }

    /// From the recorder's clock.
    fn on_log_time(&self, at: BootTime) -> BootTime {
        let ahead = self.log.as_ref().map_or(0, |log| log.clock().ahead_us());
        BootTime(at.0.saturating_add_signed(ahead.saturating_neg()))
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
        let mut incident = self.incident(open.event, open.at, now, &open.sightings);
        incident.counters = settled(incident.counters, &open.incident.counters);
        if !is_better(&incident, &open.incident) {
            return;
        }
        let revision = open.revision + 1;
        self.output.send(Message::Incident { incident: Box::new(incident), revision, past: false });
    }

    /// A program in the kernel saw a kill: its report is about to come, or was just told.
    pub(super) fn saw_kill(&mut self, sighting: Sighting) {
        if let Some(sighting) = self.kills.add_sighting(sighting) {
            self.contexts.add(sighting);
        }
    }

    /// How long the log's report of a kill that was seen is awaited; without a log, what else comes within a second.
    pub(super) const fn patience_us(&self) -> u64 {
        if self.log.is_some() { PATIENCE_US } else { SETTLE_US }
    }

    /// Kills that were seen in the kernel, and that neither log nor counter told of in time.
    pub(super) fn tell_unreported(&mut self, now: BootTime) {
        let dropped = self.contexts.dropped();
        if dropped > 0 {
            let what = format!("{} that programs in the kernel saw", counted(dropped, "kill"));
            self.gaps.push(Gap::new(what, "the log told of none of them, and there were too many to wait"));
        }
        for sighting in self.contexts.overdue(BootTime(now.0.saturating_sub(self.patience_us()))) {
            let cgroup = sighting.context.victim.cgroup_id;
            if !self.cgroups.known.contains_key(&cgroup) && !self.cgroups.watches_all() {
                continue;
            }
            match self.cgroups.known.contains_key(&cgroup) {
                true => self.kills.count_told(cgroup, 1, since_boot()),
                false => self.kills.count_unplaced(1, since_boot()),
            }
            self.node.told(1);
            self.tell_seen(sighting, since_boot());
        }
    }

    /// A kill that was counted, and that the log did not tell of.
    pub(super) fn tell_uncounted(&mut self, untold: Untold, now: BootTime) {
        let seen = self.contexts.take_in(untold.key);
        let count = untold.count.saturating_sub(seen.len() as u64);
        self.node.told(usize::try_from(untold.count).unwrap_or(usize::MAX));
        for sighting in seen {
            self.tell_seen(sighting, now);
        }
        let Some(watched) = self.cgroups.known.get(&untold.key).filter(|_| count > 0) else { return };
        let report = KernelReport { victim_cgroup: Some(watched.path.clone()), ..KernelReport::default() };
        self.tell_without_report(report, untold.at, now, &[]);
    }

    fn tell_seen(&mut self, sighting: Sighting, now: BootTime) {
        let context = &sighting.context;
        let victim_cgroup = self.cgroups.known.get(&context.victim.cgroup_id).map(|watched| watched.path.clone());
        let victim = Victim { pid: context.victim.pid, cgroup: victim_cgroup.clone(), ..Victim::default() };
        let report = KernelReport { victim_cgroup, victims: vec![victim], ..KernelReport::default() };
        self.tell_without_report(report, context.at, now, std::slice::from_ref(&sighting));
    }

    /// `report`: whose the kill was, as far as that is known from elsewhere.
    fn tell_without_report(&mut self, report: KernelReport, at: BootTime, now: BootTime, sightings: &[Sighting]) {
        let sealed = self.cgroups.seal(&report, at, now, &self.snapshots);
        let sealed = self.on_logs_clock(sealed);
        self.boot.ask_again();
        let at = self.on_log_time(at);
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
        let mut incident = Incident::from_counters(at, boot_id, sealed.counters, sealed.timeline, report.victims, gaps);
        self.add_sightings(&mut incident, sightings);
        self.output.send(Message::Incident { incident: Box::new(incident), revision: 1, past: false });
        self.told += 1;
    }
}

/// The cgroup itself, or one below it.
fn is_within(path: &Untrusted, top: &Untrusted) -> bool {
    let rest = path.as_bytes().strip_prefix(top.as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/") || top.as_bytes() == b"/")
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
    let which_code = |incident: &Incident| {
        (incident.contexts.len(), incident.report().stacks.clone(), incident.hot_stacks.is_some())
    };
    which_code(now) != which_code(before)
        || victims(now) > victims(before)
        || looked_at(now) > looked_at(before)
        || counters(now) != counters(before)
}
