//! The flight record of the cgroup that a kill is about, up to the kill.

use super::memory::MemoryUse;
use crate::evidence::Gap;
use crate::incident::Incident;
use crate::incident::timeline::{CgroupRecord, Role, Timeline};
use crate::recorder::{Sample, Series};
use crate::time::BootTime;
use crate::units::{Bytes, Limit};

/// What several questions need of it.
#[derive(Clone, Debug)]
pub(super) struct Recorded<'a> {
    /// All that was recorded.
    pub(super) timeline: &'a Timeline,
    /// The cgroup whose limit was reached, else the victim's.
    pub(super) record: &'a CgroupRecord,
    /// The instant of the kill.
    pub(super) kill: BootTime,
    /// Its samples up to the kill, in order of time; never empty.
    pub(super) samples: Vec<Sample>,
    /// The first sample after the kill: its peak is of the time that the kill lies in.
    pub(super) after: Option<Sample>,
    /// What the kernel's report says was charged at the kill.
    pub(super) usage_at_kill: Option<Bytes>,
    /// Its limit.
    pub(super) limit: Option<Bytes>,
}

impl<'a> Recorded<'a> {
    /// `None` where nothing was recorded at all.
    pub(super) fn of(incident: &'a Incident) -> Option<Result<Self, Gap>> {
        let timeline = incident.timeline.as_ref()?;
        Some(Self::of_timeline(incident, timeline))
    }

    fn of_timeline(incident: &'a Incident, timeline: &'a Timeline) -> Result<Self, Gap> {
        let lacks = |why: &str| Gap::new("the minutes before the kill", why);
        let kill = incident.at.boot_us.ok_or_else(|| lacks("the kill's time on the machine's clock is not known"))?;
        let of_role = |role| timeline.cgroups.iter().find(|record| record.role == role && !record.rows.is_empty());
        let record = of_role(Role::Limit)
            .or_else(|| of_role(Role::Victim))
            .ok_or_else(|| lacks("the cgroup was not recorded: it was too young, or the recorder had just begun"))?;
        // A stored file may have been edited: the order is not taken on trust.
        let mut all: Vec<Sample> = record.rows.samples().collect();
        all.sort_by_key(|sample| sample.at);
        let after = all.split_off(all.partition_point(|sample| sample.at <= kill));
        if all.is_empty() {
            return Err(lacks("the recording of this cgroup begins after the kill"));
        }
        let report = incident.report();
        let is_reported = report.limit_cgroup.as_ref() == Some(&record.cgroup);
        let limit = record.limits.max_bytes.and_then(Limit::bytes);
        let reported = report.limit_bytes.filter(|_| is_reported).and_then(|l| Limit::from_printed(l).bytes());
        Ok(Self {
            timeline,
            record,
            kill,
            samples: all,
            after: after.into_iter().next(),
            usage_at_kill: report.usage_bytes.filter(|_| is_reported),
            limit: reported.or(limit),
        })
    }

    /// When the recording begins.
    pub(super) fn from(&self) -> BootTime {
        self.samples.first().map_or(self.kill, |sample| sample.at)
    }

    /// How long it is.
    pub(super) fn length_us(&self) -> u64 {
        self.kill.0.saturating_sub(self.from().0)
    }

    /// One series up to the kill.
    pub(super) fn series(&self, series: Series) -> impl DoubleEndedIterator<Item = (BootTime, u64)> + '_ {
        self.samples.iter().filter_map(move |sample| Some((sample.at, sample.get(series)?)))
    }

    /// What the kernel cannot take back, where that is known: see [`held`].
    pub(super) fn held(&self) -> impl DoubleEndedIterator<Item = (BootTime, u64)> + '_ {
        self.samples.iter().filter_map(|sample| Some((sample.at, held(sample)?)))
    }

    /// The same at the kill: by the kernel's statistics, else what was charged less the cache of the last sample.
    pub(super) fn held_at_kill(&self, memory: Option<&MemoryUse>) -> Option<u64> {
        let by_statistics = memory.filter(|_| self.usage_at_kill.is_some()).filter(|m| !m.parts.is_empty());
        if let Some(memory) = by_statistics {
            return Some(memory.usage_bytes.saturating_sub(memory.cache().0));
        }
        let peak = self.after.and_then(|sample| sample.get(Series::Peak));
        let charged = self.usage_at_kill.map(|usage| usage.0).or(peak)?;
        let cache = self.samples.last().and_then(|sample| sample.get(Series::File)).unwrap_or(0);
        Some(charged.saturating_sub(cache))
    }
}

/// Charged memory without page cache, which is dropped before anything is killed; all that is charged where the cache was not read.
pub(super) fn held(sample: &Sample) -> Option<u64> {
    Some(sample.get(Series::Current)?.saturating_sub(sample.get(Series::File).unwrap_or(0)))
}
