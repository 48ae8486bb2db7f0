//! The minutes before a kill, as the flight recorder kept them.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::evidence::{Comm, Limits, Snapshot};
use crate::recorder::{Sample, Series};
use crate::text::Untrusted;
use crate::time::BootTime;
use crate::units::Bytes;

/// What was recorded around one kill. All times are on the clock of the incident's own `at.boot_us`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// The first row of all.
    pub from_us: BootTime,
    /// The last row of all; some follow the kill.
    pub to_us: BootTime,
    /// The cgroups of the kill: the one whose limit was reached first, then from the victim's own up to the root, then those below the
    /// limit that grew most.
    pub cgroups: Vec<CgroupRecord>,
    /// The processes of the limit's domain that were seen, largest first.
    pub processes: Vec<ProcessRecord>,
}

impl Timeline {
    /// The same on a clock that is `ahead_us` behind the one it was recorded on.
    #[must_use]
    pub fn moved_back(mut self, ahead_us: i64) -> Self {
        let rows = self.cgroups.iter_mut().flat_map(|cgroup| &mut cgroup.rows.at_us);
        let points = self.processes.iter_mut().flat_map(|process| {
            let snapshot = process.snapshot.as_mut().map(|snapshot| &mut snapshot.at);
            process.points.iter_mut().map(|point| &mut point.at_us).chain(snapshot)
        });
        for time in rows.chain(points).chain([&mut self.from_us, &mut self.to_us]) {
            time.0 = time.0.saturating_add_signed(ahead_us.saturating_neg());
        }
        self
    }
}

/// What a cgroup has to do with the kill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Its limit was reached. (The victim may live in it too.)
    Limit,
    /// The victim lived in it.
    Victim,
    /// It lies above the victim's.
    Ancestor,
    /// It shares the limit.
    #[default]
    Member,
}

/// One cgroup's recorded minutes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupRecord {
    /// As the kernel's log calls it.
    pub cgroup: Untrusted,
    /// What it has to do with the kill.
    pub role: Role,
    /// The limits in force at the kill.
    pub limits: Limits,
    /// The recorder's interval while nothing happened, in microseconds.
    pub base_interval_us: u64,
    /// The kernel's own highest charge since the cgroup was made (`memory.peak`, v1 `memory.max_usage_in_bytes` unless
    /// somebody reset it), where it has one.
    pub lifetime_peak_bytes: Option<Bytes>,
    /// The recording.
    pub rows: Rows,
}

/// Samples as columns: one list for each series that has a value somewhere, all as long as `at_us`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// When, ascending.
    pub at_us: Vec<BootTime>,
    /// The values; `null` where it was not read that time. Rounded as [`Series::step`] says.
    #[serde(flatten)]
    pub columns: IndexMap<Series, Vec<Option<u64>>>,
}

impl Rows {
    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.at_us.len()
    }

    /// True when there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at_us.is_empty()
    }

    /// One value; `None` beyond the rows too.
    #[must_use]
    pub fn value(&self, series: Series, row: usize) -> Option<u64> {
        *self.columns.get(&series)?.get(row)?
    }

    /// The rows as samples, in order.
    pub fn samples(&self) -> impl DoubleEndedIterator<Item = Sample> + ExactSizeIterator + '_ {
        self.at_us.iter().enumerate().map(|(row, at)| {
            let mut sample = Sample::new(*at);
            for (series, values) in &self.columns {
                sample.set(*series, values.get(row).copied().flatten());
            }
            sample
        })
    }

    /// One series with its times, without the rows that lack it.
    pub fn series(&self, series: Series) -> impl DoubleEndedIterator<Item = (BootTime, u64)> + '_ {
        let values = self.columns.get(&series).map(Vec::as_slice).unwrap_or_default();
        self.at_us.iter().zip(values).filter_map(|(at, value)| Some((*at, (*value)?)))
    }
}

impl FromIterator<Sample> for Rows {
    fn from_iter<I: IntoIterator<Item = Sample>>(samples: I) -> Self {
        let samples: Vec<_> = samples.into_iter().collect();
        let columns = Series::ALL.into_iter().filter_map(|series| {
            let column: Vec<_> = samples.iter().map(|sample| sample.get(series)).collect();
            column.iter().any(Option::is_some).then_some((series, column))
        });
        Self { columns: columns.collect(), at_us: samples.iter().map(|sample| sample.at).collect() }
    }
}

/// One process through the recorded minutes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// In the initial PID namespace.
    pub pid: u32,
    /// Its name.
    #[serde(flatten)]
    pub comm: Comm,
    /// Arguments joined by blanks.
    pub cmdline: Option<Untrusted>,
    /// Its memory cgroup.
    pub cgroup: Untrusted,
    /// What it held, in order of time.
    pub points: Vec<ProcessPoint>,
    /// The dear files, where there was an occasion: the latest.
    pub snapshot: Option<Snapshot>,
}

/// What a process held at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessPoint {
    /// When.
    pub at_us: BootTime,
    /// Resident anonymous memory.
    pub anon_bytes: Bytes,
    /// Resident file pages.
    pub file_bytes: Bytes,
    /// Resident shared memory.
    pub shmem_bytes: Bytes,
    /// Swapped out.
    pub swap_bytes: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows come back as the samples that they were made of, through JSON too.
    #[test]
    fn rows_keep_samples() {
        let samples = [
            Sample::new(BootTime(1)).with(Series::Current, 4096),
            Sample::new(BootTime(2)).with(Series::Current, 8192).with(Series::Peak, 12288),
        ];
        let rows: Rows = samples.into_iter().collect();
        assert_eq!(rows.samples().collect::<Vec<_>>(), samples);
        assert_eq!(rows.series(Series::Peak).collect::<Vec<_>>(), [(BootTime(2), 12288)]);
        let json = serde_json::to_string(&rows).unwrap();
        assert_eq!(json, r#"{"at_us":[1,2],"current_bytes":[4096,8192],"peak_bytes":[null,12288]}"#);
        assert_eq!(serde_json::from_str::<Rows>(&json).unwrap(), rows);
    }
}
