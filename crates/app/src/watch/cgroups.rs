//! The cgroups that are watched: found, read when each is due, recorded, and forgotten a while after they are gone.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use oomscope_core::evidence::Gap;
use oomscope_core::incident::identity::identify;
use oomscope_core::recorder::{CgroupKey, Heat, Pace, Recorder, Sample};
use oomscope_core::text::{Untrusted, escape};
use oomscope_core::time::BootTime;
use oomscope_core::units::{Bytes, Limit};
use oomscope_sources::cgroup::{Alarms, CgroupFiles, Change, Error, Hierarchy, PeakReset, Tree, limit_on_path};
use oomscope_sources::clock::since_boot;
use oomscope_sources::process::Proc;

use super::processes::{Arguments, Processes};
use super::reader::{Subject, Subjects};
use super::watched::Watched;

/// Processes of one cgroup that are looked at, at most. Of a larger crowd none stands out.
const PROCESSES: usize = 64;
/// What is known of a removed cgroup is kept as long as its recording.
const KEPT_US: u64 = 900_000_000;
/// Alarm at this share of the limit, in percent.
const ALARM_PERCENT: u64 = 90;
/// Cgroups that could not be opened and are tried again; of more the count alone would be known.
const UNOPENED: usize = 1024;
/// The machine itself among the cgroups; no folder has this inode.
pub(super) const MACHINE: CgroupKey = CgroupKey(0);
/// An alarm so soon after a reading tells nothing new.
const ALARM_EVERY_US: u64 = 3_000;

/// Which cgroups.
#[derive(Clone, Debug)]
pub(super) struct Subset {
    /// This one and all below it.
    pub(super) below: PathBuf,
    /// Only those of this pod or container: the beginning of a uid or id.
    pub(super) pod: Option<String>,
}

/// What the rest of the watcher is told of.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are samples")]
pub(super) enum Told {
    Appeared(u64),
    Vanished(u64),
    Sampled { key: u64, before: Option<Sample>, sample: Sample },
}

/// All of them.
#[derive(Debug)]
pub(super) struct Cgroups {
    pub(super) hierarchy: Hierarchy,
    tree: Tree,
    subset: Subset,
    peaks: PeakReset,
    pace: Pace,
    alarms: Option<Arc<Alarms>>,
    subjects: Subjects,
    pub(super) recorder: Recorder,
    /// The machine's memory: what a kill without a limit is about.
    pub(super) machine: Option<Bytes>,
    pub(super) known: HashMap<u64, Watched>,
    /// Those that had this path, oldest first: a service that is restarted has a new cgroup where the old one was.
    by_path: HashMap<Vec<u8>, Vec<u64>>,
    schedule: BinaryHeap<Reverse<(BootTime, u64)>>,
    pub(super) processes: Processes,
    pids: Vec<u32>,
    /// Cgroups that could not be opened, as for want of file descriptors; tried again.
    unopened: Vec<(PathBuf, String)>,
}

/// What [`Cgroups`] are made of.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) hierarchy: Hierarchy,
    pub(super) subset: Subset,
    pub(super) peaks: PeakReset,
    pub(super) pace: Pace,
    pub(super) alarms: Option<Arc<Alarms>>,
    pub(super) subjects: Subjects,
    pub(super) proc: Proc,
    pub(super) recorder: Recorder,
    pub(super) machine: Option<Bytes>,
}

impl Cgroups {
    /// Watches none yet: [`Cgroups::discover`] finds them.
    pub(super) fn new(parts: Parts) -> Result<Self, Error> {
        let tree = Tree::open(&parts.hierarchy, &parts.subset.below)?;
        Ok(Self {
            tree,
            hierarchy: parts.hierarchy,
            subset: parts.subset,
            peaks: parts.peaks,
            pace: parts.pace,
            alarms: parts.alarms,
            subjects: parts.subjects,
            processes: Processes::new(parts.proc),
            recorder: parts.recorder,
            machine: parts.machine,
            known: HashMap::new(),
            by_path: HashMap::new(),
            schedule: BinaryHeap::new(),
            pids: Vec::new(),
            unopened: Vec::new(),
        })
    }

    /// Takes up new cgroups, lets go of removed ones.
    pub(super) fn discover(&mut self, now: BootTime, told: &mut Vec<Told>) -> Result<(), Error> {
        for change in self.tree.changes()? {
            match change {
                Change::Appeared(folder) => self.appeared(&folder, now, told),
                Change::Vanished(folder) => {
                    let path = self.hierarchy.kernel_path(&folder);
                    if let Some(key) = self.of_path(path.as_os_str().as_bytes(), now) {
                        self.vanished(key, now, told);
                    }
                }
            }
        }
        Ok(())
    }

    /// What of the cgroups as a whole cannot be known now.
    pub(super) fn gaps(&self) -> Vec<Gap> {
        let mut gaps = self.tree.gaps();
        if let Some((folder, why)) = self.unopened.first() {
            let others = self.unopened.len() - 1;
            let others = if others == 0 { String::new() } else { format!(" and {others} more") };
            gaps.push(Gap::new(format!("the cgroup {}{others}", escape(folder.as_os_str().as_bytes())), why.clone()));
        }
        gaps
    }

    fn is_wanted(&self, path: &[u8]) -> bool {
        let Some(wanted) = &self.subset.pod else { return true };
        identify(path).is_some_and(|owner| {
            [owner.pod_uid, owner.container_id].into_iter().flatten().any(|id| id.starts_with(wanted.as_str()))
        })
    }

    fn appeared(&mut self, folder: &Path, now: BootTime, told: &mut Vec<Told>) {
        let path = self.hierarchy.kernel_path(folder).as_os_str().as_bytes().to_owned();
        if !self.is_wanted(&path) {
            return;
        }
        let files = match CgroupFiles::open(&self.hierarchy, folder, self.peaks) {
            Ok(files) => files,
            // It came and went.
            Err(_) if !folder.exists() => return,
            Err(error) => {
                if self.unopened.len() < UNOPENED {
                    self.unopened.push((folder.to_owned(), error.to_string()));
                }
                return;
            }
        };
        let key = files.inode();
        let mut watched = Watched::new(files, Heat::new(self.pace), now);
        watched.effective = self.effective_limit(folder, watched.limits.max_bytes);
        self.subject(key, |subject| folder.clone_into(&mut subject.folder));
        self.raise_alarm(key, &mut watched);
        self.known.insert(key, watched);
        self.by_path.entry(path).or_default().push(key);
        self.schedule.push(Reverse((now, key)));
        told.push(Told::Appeared(key));
    }

    fn vanished(&mut self, key: u64, now: BootTime, told: &mut Vec<Told>) {
        let Some(watched) = self.known.get_mut(&key).filter(|watched| watched.gone_at.is_none()) else { return };
        watched.close(now);
        self.recorder.forget(CgroupKey(key), now);
        self.processes.gone(key);
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        if let Some(alarms) = &self.alarms {
            alarms.forget(key);
        }
        told.push(Told::Vanished(key));
    }

    fn subject(&self, key: u64, change: impl FnOnce(&mut Subject)) {
        change(self.subjects.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default());
    }

    /// The kernel calls when the limit is met, or nearly.
    fn raise_alarm(&self, key: u64, watched: &mut Watched) {
        let Some((alarms, files)) = self.alarms.as_ref().zip(watched.files()) else { return };
        let threshold = watched.limits.max_bytes.and_then(Limit::bytes);
        let threshold = threshold.map(|limit| Bytes(limit.0 / 100 * ALARM_PERCENT));
        let wanted = "the kernel's alarm for its limit";
        match alarms.watch(key, files, threshold) {
            // Gone already, or the root of v2, which has no limit.
            Ok(()) | Err(Error::Gone { .. }) => {}
            Err(error) if !watched.gaps.iter().any(|gap| gap.wanted == wanted) => {
                watched.gaps.push(Gap::new(wanted, error.to_string()));
            }
            Err(_) => {}
        }
    }

    /// The smallest limit of the cgroup and of those above it.
    fn effective_limit(&self, folder: &Path, own: Option<Limit>) -> Limit {
        let own = own.unwrap_or(Limit::Unlimited);
        let parent = folder.parent().filter(|parent| parent.starts_with(self.hierarchy.mount()));
        let Some(parent) = parent else { return own };
        let path = self.hierarchy.kernel_path(parent);
        let parent_key = self.by_path.get(path.as_os_str().as_bytes()).and_then(|keys| keys.last());
        let above = match parent_key.and_then(|key| self.known.get(key)).filter(|parent| parent.gone_at.is_none()) {
            Some(parent) => parent.effective,
            None => limit_on_path(&self.hierarchy, parent).0,
        };
        own.min(above)
    }

    /// Reads every cgroup that is due.
    pub(super) fn turn(&mut self, now: BootTime, told: &mut Vec<Told>) {
        while let Some(Reverse((due, key))) = self.schedule.peek().copied().filter(|Reverse((due, _))| *due <= now) {
            self.schedule.pop();
            // An entry that was overtaken by an earlier reading is stale.
            if self.known.get(&key).is_some_and(|watched| watched.due == due && watched.gone_at.is_none()) {
                // Reading many takes a while: each has its own time.
                self.sample(key, since_boot(), told);
            }
        }
    }

    /// When [`Cgroups::turn`] has something to do next.
    pub(super) fn due(&self) -> Option<BootTime> {
        self.schedule.peek().map(|Reverse((due, _))| *due)
    }

    /// Reads one now, whether it is due or not.
    pub(super) fn sample(&mut self, key: u64, now: BootTime, told: &mut Vec<Told>) {
        let base_us = self.pace.base_us;
        let Some(watched) = self.known.get_mut(&key) else { return };
        let before = watched.latest;
        let sample = match watched.sample(now, base_us) {
            Ok(sample) => sample,
            Err(Error::Gone { .. }) => return self.vanished(key, now, told),
            Err(error) => {
                watched.note_failure(&error);
                watched.due = together(now, base_us);
                return self.schedule.push(Reverse((watched.due, key)));
            }
        };
        let (effective, known) = (watched.effective, watched.latest.unwrap_or(sample));
        let wait = watched.heat.observe(&known, effective);
        let is_hot = watched.heat.is_hot();
        watched.due = together(now, wait);
        self.schedule.push(Reverse((watched.due, key)));
        self.recorder.push(CgroupKey(key), &sample, is_hot);
        self.refresh_limits(key, now);
        self.look_at_processes(key, now, is_hot);
        told.push(Told::Sampled { key, before, sample: known });
    }

    fn refresh_limits(&mut self, key: u64, now: BootTime) {
        let Some(has_changed) = self.known.get_mut(&key).and_then(|watched| watched.refresh_limits(now)) else {
            return;
        };
        let Some(mut watched) = self.known.remove(&key) else { return };
        if let Some(folder) = watched.files().map(|files| files.folder().to_owned()) {
            // That of a cgroup above may have changed as well.
            watched.effective = self.effective_limit(&folder, watched.limits.max_bytes);
            if has_changed {
                self.raise_alarm(key, &mut watched);
            }
        }
        self.known.insert(key, watched);
    }

    fn look_at_processes(&mut self, key: u64, now: BootTime, is_hot: bool) {
        let Some(watched) = self.known.get_mut(&key) else { return };
        if !watched.wants_processes(now, is_hot) {
            return;
        }
        let arguments = if is_hot && is_full(watched) { Arguments::Spare } else { Arguments::Read };
        watched.pids(&mut self.pids);
        self.pids.truncate(PROCESSES);
        let processes = self.processes.look(key, &self.pids, arguments, now);
        self.recorder.push_processes(CgroupKey(key), now, &processes);
        self.subject(key, |subject| subject.looked_at(&processes));
    }

    /// Records what of the machine's memory is in use.
    pub(super) fn record_machine(&mut self, sample: &Sample, is_hot: bool) {
        self.recorder.push(MACHINE, sample, is_hot);
    }

    /// False where it was read just now.
    pub(super) fn is_worth_a_look(&self, key: u64, at: BootTime) -> bool {
        let read = self.known.get(&key).and_then(|watched| watched.latest).map(|sample| sample.at);
        read.is_none_or(|read| at.0.saturating_sub(read.0) > ALARM_EVERY_US)
    }

    /// An alarm: it is hot at once.
    pub(super) fn alarm(&mut self, key: u64, now: BootTime, told: &mut Vec<Told>) {
        if let Some(watched) = self.known.get_mut(&key) {
            watched.heat.alarm(now);
            watched.look_soon();
            self.sample(key, now, told);
        }
    }

    /// The path of the cgroup in which a process lives, or was seen last.
    pub(super) fn home_of(&self, pid: u32) -> Option<Untrusted> {
        let seen = self.processes.home_of(pid, since_boot()).and_then(|key| self.known.get(&key));
        // One that is ending is in the root as far as /proc can tell.
        seen.map(|watched| watched.path.clone()).or_else(|| {
            let now = self.processes.cgroup_now(pid)?;
            (now.as_bytes() != b"/" && self.by_path.contains_key(now.as_bytes())).then_some(now)
        })
    }

    /// Reads all that are hot now.
    pub(super) fn sample_hot(&mut self, now: BootTime, told: &mut Vec<Told>) {
        let hot: Vec<u64> =
            self.known.iter().filter(|(_, watched)| watched.heat.is_hot()).map(|(key, _)| *key).collect();
        for key in hot {
            self.sample(key, now, told);
        }
    }

    /// The interval while nothing happens.
    pub(super) const fn base_interval_us(&self) -> u64 {
        self.pace.base_us
    }

    /// The cgroup that had this path at that time; the newest where none is known to have been there then.
    pub(super) fn of_path(&self, path: &[u8], at: BootTime) -> Option<u64> {
        let keys = self.by_path.get(path)?;
        let was_there = |key: &&u64| self.known.get(key).is_some_and(|w| w.gone_at.is_none_or(|gone| gone >= at));
        keys.iter().find(was_there).or(keys.last()).copied()
    }

    /// True where a kill in this cgroup is one of those that are asked for.
    pub(super) fn watches(&self, path: &[u8]) -> bool {
        let below = self.hierarchy.kernel_path(&self.subset.below);
        let is_below = Path::new(std::ffi::OsStr::from_bytes(path)).starts_with(&below);
        is_below && self.is_wanted(path)
    }

    /// True where no kill of the machine is left out.
    pub(super) fn watches_all(&self) -> bool {
        self.subset.pod.is_none() && self.subset.below == self.hierarchy.mount()
    }

    /// Forgets what was removed long ago, and tries again what could not be opened.
    pub(super) fn tidy(&mut self, now: BootTime, told: &mut Vec<Told>) {
        for (folder, _) in std::mem::take(&mut self.unopened) {
            if folder.is_dir() {
                self.appeared(&folder, now, told);
            }
        }
        let is_old = |at: BootTime| now.0.saturating_sub(at.0) > KEPT_US;
        self.known.retain(|_, watched| !watched.gone_at.is_some_and(is_old));
        let known = &self.known;
        self.by_path.retain(|_, keys| {
            keys.retain(|key| known.contains_key(key));
            !keys.is_empty()
        });
        self.processes.tidy(now);
    }
}

impl AsFd for Cgroups {
    /// Readable when [`Cgroups::discover`] has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tree.as_fd()
    }
}

/// It stands where the kernel reclaims for each further page.
fn is_full(watched: &Watched) -> bool {
    let charge = watched.latest.and_then(|sample| sample.highest());
    let limit = watched.effective.bytes();
    charge.zip(limit).is_some_and(|(charge, limit)| charge >= limit.0 / 100 * ALARM_PERCENT)
}

/// When to read next, moved so that cgroups with the same interval are read together: waking up costs more than reading one.
fn together(now: BootTime, wait: u64) -> BootTime {
    let grid = (wait / 4).max(1);
    BootTime(now.0.saturating_add(wait) / grid * grid)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cgroups that came at any time are soon read at the same times, never later than they should be nor much sooner.
    #[test]
    fn read_together() {
        let due: Vec<u64> = (0..250_000).step_by(999).map(|at| together(BootTime(at), 1_000_000).0).collect();
        assert!(due.iter().all(|due| *due == 1_000_000));
        assert!((0..10_000).all(|at| (7_500..=10_000).contains(&(together(BootTime(at), 10_000).0 - at))));
        assert_eq!(together(BootTime(7), 1), BootTime(8));
    }
}
