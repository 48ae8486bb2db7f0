//! One cgroup that is watched: its open files, how often it is read, and what its counters said before.

use std::collections::VecDeque;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use oomscope_core::evidence::{Counters, Gap, Limits};
use oomscope_core::recorder::{Heat, Sample, Series};
use oomscope_core::text::Untrusted;
use oomscope_core::time::BootTime;
use oomscope_core::units::{Bytes, Limit};
use oomscope_sources::cgroup::{CgroupFiles, Depth, Error};

/// How often the dear file (`memory.stat`) is read: where nothing changes, and while it is hot.
const FULL_IDLE_US: u64 = 10_000_000;
const FULL_HOT_US: u64 = 250_000;
/// How often the counters are read while it is hot; the charge is read each time.
const EVENTS_HOT_US: u64 = 50_000;
/// A change of the charge by more than this since the dear file was read makes it worth reading: a hundredth, or 1 MiB.
const CHANGE_SHARE: u64 = 100;
const CHANGE_BYTES: u64 = 1 << 20;
/// How often limits are read again: they are changed by hand, or by a resize of the pod. Right after a cgroup was made its limit is yet
/// to be written, so it begins with the first and doubles.
const LIMITS_YOUNG_US: u64 = 100_000;
const LIMITS_US: u64 = 10_000_000;
/// Processes are looked at this often: while it is hot, where its charge changes, where it does not.
const PROCESSES_HOT_US: u64 = 250_000;
const PROCESSES_US: u64 = 5_000_000;
const PROCESSES_IDLE_US: u64 = 30_000_000;
/// A crowd of processes is looked at less often: so many microseconds between two looks for each of them.
const PROCESS_US: u64 = 30_000;
/// Readings of the counters that are kept; only changes are.
const READINGS: usize = 32;

/// A cgroup, live.
#[derive(Debug)]
pub(super) struct Watched {
    /// As the kernel's log calls it.
    pub(super) path: Untrusted,
    /// `None` once it was removed; what was read before stays known for a while.
    files: Option<CgroupFiles>,
    pub(super) gone_at: Option<BootTime>,
    /// What cannot be known of it.
    pub(super) gaps: Vec<Gap>,
    pub(super) heat: Heat,
    pub(super) limits: Limits,
    /// The smallest limit on its path, its own included.
    pub(super) effective: Limit,
    /// When it is to be read next; other times in the schedule are stale.
    pub(super) due: BootTime,
    /// The latest reading of everything.
    pub(super) full: Option<Sample>,
    /// The latest reading; events that were not read then are those of the reading before.
    pub(super) latest: Option<Sample>,
    events_read: BootTime,
    /// The most that was ever charged to it, when that was last read.
    pub(super) lifetime_peak: Option<Bytes>,
    /// When it was found.
    pub(super) made: BootTime,
    limits_due: BootTime,
    /// How many processes it had when they were last looked at.
    processes: u64,
    /// When its processes were looked at, and what was charged then.
    processes_read: Option<(BootTime, u64)>,
    readings: VecDeque<(BootTime, Counters)>,
}

impl Watched {
    /// Begins with a first reading of the limits and the counters.
    pub(super) fn new(mut files: CgroupFiles, heat: Heat, now: BootTime) -> Self {
        let files_gaps = files.gaps();
        let mut watched = Self {
            path: files.kernel_path().as_os_str().as_bytes().into(),
            limits: files.limits().unwrap_or_default(),
            lifetime_peak: files.lifetime_peak(),
            files: Some(files),
            gone_at: None,
            gaps: files_gaps,
            heat,
            effective: Limit::Unlimited,
            due: now,
            full: None,
            latest: None,
            events_read: now,
            made: now,
            limits_due: BootTime(now.0.saturating_add(LIMITS_YOUNG_US)),
            processes: 0,
            processes_read: None,
            readings: VecDeque::new(),
        };
        watched.read_counters(now);
        watched
    }

    /// Reads it, as much as is worth it now.
    pub(super) fn sample(&mut self, now: BootTime, base_us: u64) -> Result<Sample, Error> {
        let depth = self.depth(now, base_us);
        let mut sample = self.read(now, depth)?;
        if depth == Depth::Events && self.has_changed(&sample) {
            sample = with_peak_of(self.read(now, Depth::Full)?, &sample);
        }
        if sample.get(Series::Anon).is_some() {
            self.full = Some(sample);
        }
        if sample.get(Series::OomKill).is_some() {
            self.events_read = now;
            if self.readings.is_empty() || self.latest.is_none_or(|before| counters_differ(&before, &sample)) {
                self.read_counters(now);
            }
        }
        let known = self.latest.map_or(sample, |before| with_events_of(sample, &before));
        self.latest = Some(known);
        Ok(sample)
    }

    /// The next reading is to have the counters.
    pub(super) const fn want_events(&mut self) {
        self.events_read = BootTime(0);
    }

    /// The dear file now and then; the counters always while it is cool, and often enough to date a kill while it is hot.
    fn depth(&self, now: BootTime, base_us: u64) -> Depth {
        if self.full_is_due(now, base_us) {
            return Depth::Full;
        }
        let is_recent = now.0.saturating_sub(self.events_read.0) < EVENTS_HOT_US;
        if self.heat.is_hot() && is_recent { Depth::Usage } else { Depth::Events }
    }

    fn read(&mut self, now: BootTime, depth: Depth) -> Result<Sample, Error> {
        match &mut self.files {
            Some(files) => files.sample(now, depth),
            None => Err(Error::Gone { folder: PathBuf::from(self.path.to_lossy().as_ref()) }),
        }
    }

    /// Its processes; none of one that was removed.
    pub(super) fn pids(&mut self, pids: &mut Vec<u32>) {
        pids.clear();
        if let Some(files) = &mut self.files
            && files.pids(pids).is_err()
        {
            pids.clear();
        }
        self.processes = pids.len() as u64;
    }

    /// Its processes are worth a look at the next reading, unless they were looked at just now.
    pub(super) fn look_soon(&mut self) {
        let is_recent = |read: BootTime, now: BootTime| now.0.saturating_sub(read.0) < PROCESSES_HOT_US / 10;
        let latest = self.latest.map(|sample| sample.at);
        if !self.processes_read.zip(latest).is_some_and(|((read, _), now)| is_recent(read, now)) {
            self.processes_read = None;
        }
    }

    /// Whether to look at its processes now: often while it is hot, else where its charge has changed, and once in a while.
    pub(super) fn wants_processes(&mut self, now: BootTime, is_hot: bool) -> bool {
        let charge = self.latest.and_then(|sample| sample.get(Series::Current)).unwrap_or(0);
        let is_time = self.processes_read.is_none_or(|(read, then)| {
            let every = match is_hot {
                true => PROCESSES_HOT_US.max(self.processes * PROCESS_US),
                false if differs(charge, then) => PROCESSES_US,
                false => PROCESSES_IDLE_US,
            };
            now.0.saturating_sub(read.0) >= every
        });
        if is_time {
            self.processes_read = Some((now, charge));
        }
        is_time
    }

    /// Its open files, unless it was removed.
    pub(super) const fn files(&self) -> Option<&CgroupFiles> {
        self.files.as_ref()
    }

    /// It could not be read this time.
    pub(super) fn note_failure(&mut self, error: &Error) {
        let wanted = "some readings of the cgroup";
        if !self.gaps.iter().any(|gap| gap.wanted == wanted) {
            self.gaps.push(Gap::new(wanted, error.to_string()));
        }
    }

    /// It was removed.
    pub(super) fn close(&mut self, now: BootTime) {
        self.files = None;
        self.gone_at = Some(now);
    }

    fn full_is_due(&self, now: BootTime, base_us: u64) -> bool {
        let Some(full) = &self.full else { return true };
        let every = if self.heat.is_hot() { FULL_HOT_US.min(base_us) } else { FULL_IDLE_US };
        now.0.saturating_sub(full.at.0) >= every
    }

    /// While it is not hot: the charge is another than when all was read.
    fn has_changed(&self, sample: &Sample) -> bool {
        if self.heat.is_hot() {
            return false;
        }
        let charged = |sample: &Sample| sample.get(Series::Current);
        let Some((now, then)) = charged(sample).zip(self.full.as_ref().and_then(charged)) else { return false };
        differs(now, then)
    }

    /// Reads the limits again when it is time, and answers whether one has changed.
    pub(super) fn refresh_limits(&mut self, now: BootTime) -> Option<bool> {
        if now < self.limits_due {
            return None;
        }
        let age = now.0.saturating_sub(self.made.0);
        self.limits_due = BootTime(now.0.saturating_add(age.clamp(LIMITS_YOUNG_US, LIMITS_US)));
        Some(self.read_limits())
    }

    /// Reads the limits and the highest charge; true where a limit has changed.
    pub(super) fn read_limits(&mut self) -> bool {
        let Some(files) = &mut self.files else { return false };
        self.lifetime_peak = files.lifetime_peak().or(self.lifetime_peak);
        let Ok(limits) = files.limits() else { return false };
        std::mem::replace(&mut self.limits, limits) != limits
    }

    /// Reads the counters, and keeps them where they changed.
    pub(super) fn read_counters(&mut self, now: BootTime) {
        // A cgroup that is being removed answers nothing: what it said before stays.
        let Some(Ok(counters)) = self.files.as_mut().map(CgroupFiles::counters) else { return };
        if self.readings.back().is_some_and(|(_, known)| *known == counters) {
            return;
        }
        if self.readings.len() == READINGS {
            self.readings.pop_front();
        }
        self.readings.push_back((now, counters));
    }

    /// What the counters said last before a report of a kill began, whose line was printed `at`: at least `report_us` before.
    /// `None` where all readings are from after the kill.
    pub(super) fn counters_before(&self, at: BootTime, report_us: u64) -> Option<Counters> {
        let begun = BootTime(at.0.saturating_sub(report_us));
        let before = self.readings.iter().rev().find(|(read, _)| *read < begun);
        before.or_else(|| self.readings.front().filter(|(read, _)| *read < at)).map(|(_, counters)| *counters)
    }

    /// What the counters said last.
    pub(super) fn counters_now(&self) -> Option<Counters> {
        self.readings.back().map(|(_, counters)| *counters)
    }

    /// What is charged and cannot be reclaimed without swap, when all was last read.
    pub(super) fn unreclaimable(&self) -> Option<Bytes> {
        let full = self.full.as_ref()?;
        let held = [Series::Anon, Series::Shmem].into_iter().map(|series| full.get(series)).sum::<Option<u64>>()?;
        let kernel =
            full.get(Series::Kernel).unwrap_or(0).saturating_sub(full.get(Series::SlabReclaimable).unwrap_or(0));
        Some(Bytes(held.saturating_add(kernel)))
    }
}

/// Enough to be worth a dearer look.
fn differs(now: u64, then: u64) -> bool {
    now.abs_diff(then) > CHANGE_BYTES.min(then / CHANGE_SHARE)
}

const EVENTS: [Series; 4] = [Series::High, Series::Max, Series::Oom, Series::OomKill];

fn counters_differ(one: &Sample, other: &Sample) -> bool {
    EVENTS.into_iter().any(|s| one.get(s) != other.get(s))
}

/// Reading a peak resets it: that of the reading just before belongs to the same interval.
fn with_peak_of(mut sample: Sample, before: &Sample) -> Sample {
    sample.set(Series::Peak, sample.get(Series::Peak).max(before.get(Series::Peak)));
    sample
}

/// Counters that were not read this time are what they were.
fn with_events_of(mut sample: Sample, before: &Sample) -> Sample {
    for series in EVENTS {
        sample.set(series, sample.get(series).or(before.get(series)));
    }
    sample
}
