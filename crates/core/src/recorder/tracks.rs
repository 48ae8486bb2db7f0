//! What the largest processes of one cgroup held.
//!
//! A point is kept where it tells something: it differs from the last one that was kept by more than a hundredth, or that was
//! some time ago.

use std::cmp::Reverse;

use crate::evidence::{Comm, Process};
use crate::incident::timeline::{ProcessPoint, ProcessRecord};
use crate::text::Untrusted;
use crate::time::BootTime;
use crate::units::Bytes;

/// Of each look, so many of the largest are recorded.
const LARGEST: usize = 8;
/// Processes that are known at a time, ended ones included.
const KNOWN: usize = 16;
/// A point that does not differ is kept after this time.
const STILL_US: u64 = 30_000_000;
/// A difference in this share of what was held before is worth a point.
const SHARE: u64 = 100;
/// Sizes are kept in units of this.
const UNIT: u64 = 1024;
/// Bytes of a command line that are kept here.
const CMDLINE: usize = 120;

/// One point, in 24 bytes: KiB up to 4 TiB.
#[derive(Clone, Copy, Debug)]
struct Point {
    at_ms: u64,
    anon: u32,
    file: u32,
    shmem: u32,
    swap: u32,
}

#[derive(Debug)]
struct Track {
    pid: u32,
    started_ticks: Option<u64>,
    comm: Comm,
    cmdline: Option<Untrusted>,
    points: Vec<Point>,
    seen: BootTime,
}

/// Those of one cgroup.
#[derive(Debug, Default)]
pub(super) struct Tracks(Vec<Track>);

impl Tracks {
    /// Records a look at the processes, within `budget` bytes and `keep_us`.
    pub(super) fn push(&mut self, at: BootTime, processes: &[Process], budget: usize, keep_us: u64) {
        let mut largest: Vec<&Process> = processes.iter().collect();
        largest.sort_by_key(|process| Reverse(process.rss()));
        for process in largest.into_iter().take(LARGEST) {
            let point = Point::of(process, at);
            let track = self.of(process, at);
            track.seen = at;
            if track.points.last().is_none_or(|last| last.is_outdated_by(&point)) {
                track.points.push(point);
            }
        }
        let oldest_ms = at.0.saturating_sub(keep_us) / 1000;
        for track in &mut self.0 {
            track.points.retain(|point| point.at_ms >= oldest_ms);
        }
        self.0.retain(|track| !track.points.is_empty());
        while self.memory() > budget && self.shrink() {}
    }

    fn of(&mut self, process: &Process, at: BootTime) -> &mut Track {
        let is_it = |track: &Track| track.pid == process.pid && track.started_ticks == process.started_ticks;
        let index = self.0.iter().position(is_it).unwrap_or_else(|| {
            if self.0.len() == KNOWN {
                let longest_unseen = self.0.iter().enumerate().min_by_key(|(_, track)| track.seen);
                let index = longest_unseen.map_or(0, |(index, _)| index);
                self.0.swap_remove(index);
            }
            self.0.push(Track {
                pid: process.pid,
                started_ticks: process.started_ticks,
                comm: process.comm.clone(),
                cmdline: None,
                points: Vec::new(),
                seen: at,
            });
            self.0.len() - 1
        });
        let track = &mut self.0[index];
        track.identify(process);
        track
    }

    /// Bytes in memory.
    pub(super) fn memory(&self) -> usize {
        let names = |track: &Track| {
            track.comm.as_bytes().len() + track.cmdline.as_ref().map_or(0, |line| line.as_bytes().len())
        };
        let points = |track: &Track| track.points.capacity() * size_of::<Point>();
        let tracks = self.0.iter().map(|track| names(track) + points(track)).sum::<usize>();
        self.0.capacity() * size_of::<Track>() + tracks
    }

    /// Gives up every other point of the longest track but its newest, or a whole track; false when nothing is left.
    fn shrink(&mut self) -> bool {
        let longest = self.0.iter_mut().max_by_key(|track| track.points.capacity());
        match longest {
            Some(track) if track.points.len() > 8 => {
                let half = track.points.len() / 2;
                let mut index = 0;
                track.points.retain(|_| {
                    index += 1;
                    index > half || index % 2 == 0
                });
                track.points.shrink_to_fit();
            }
            _ => {
                let unseen = self.0.iter().enumerate().min_by_key(|(_, track)| track.seen).map(|(index, _)| index);
                let Some(index) = unseen else { return false };
                self.0.swap_remove(index);
                self.0.shrink_to_fit();
            }
        }
        true
    }

    /// Those that were seen in this time, largest first.
    pub(super) fn records(&self, from: BootTime, to: BootTime) -> Vec<ProcessRecord> {
        let within = |point: &&Point| (from.0 / 1000..=to.0 / 1000).contains(&point.at_ms);
        let record = |track: &Track| ProcessRecord {
            pid: track.pid,
            comm: track.comm.clone(),
            cmdline: track.cmdline.clone(),
            points: track.points.iter().filter(within).map(Point::told).collect(),
            ..ProcessRecord::default()
        };
        let mut records: Vec<_> = self.0.iter().map(record).filter(|record| !record.points.is_empty()).collect();
        records.sort_by_key(|record| Reverse(record.points.iter().map(held).max()));
        records
    }
}

fn held(point: &ProcessPoint) -> u64 {
    point.anon_bytes.0.saturating_add(point.shmem_bytes.0).saturating_add(point.swap_bytes.0)
}

fn shortened(line: &Untrusted) -> Untrusted {
    line.as_bytes().get(..CMDLINE).unwrap_or(line.as_bytes()).into()
}

impl Track {
    /// A process may have become another program: it is told by what it is now. Arguments that were not read this time are what
    /// they were, unless they were another program's.
    fn identify(&mut self, process: &Process) {
        let cmdline = process.cmdline.as_ref().map(shortened);
        if self.comm != process.comm {
            self.comm = process.comm.clone();
            self.cmdline = cmdline;
        } else if cmdline.is_some() {
            self.cmdline = cmdline;
        }
    }
}

impl Point {
    fn of(process: &Process, at: BootTime) -> Self {
        let kib = |bytes: Option<Bytes>| u32::try_from(bytes.map_or(0, |b| b.0 / UNIT)).unwrap_or(u32::MAX);
        Self {
            at_ms: at.0 / 1000,
            anon: kib(process.anon_bytes),
            file: kib(process.file_bytes),
            shmem: kib(process.shmem_bytes),
            swap: kib(process.swap_bytes),
        }
    }

    fn is_outdated_by(&self, now: &Self) -> bool {
        let differ = |then: u32, now: u32| u64::from(then.abs_diff(now)) > u64::from(then) / SHARE;
        now.at_ms.saturating_sub(self.at_ms) >= STILL_US / 1000
            || differ(self.anon, now.anon)
            || differ(self.shmem, now.shmem)
            || differ(self.swap, now.swap)
            || differ(self.file, now.file)
    }

    fn told(&self) -> ProcessPoint {
        let bytes = |kib: u32| Bytes(u64::from(kib) * UNIT);
        ProcessPoint {
            at_us: BootTime(self.at_ms.saturating_mul(1000)),
            anon_bytes: bytes(self.anon),
            file_bytes: bytes(self.file),
            shmem_bytes: bytes(self.shmem),
            swap_bytes: bytes(self.swap),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, mib: u64) -> Process {
        Process {
            pid,
            comm: "app".into(),
            anon_bytes: Some(Bytes(mib << 20)),
            file_bytes: Some(Bytes(0)),
            ..Process::default()
        }
    }

    /// What stands still takes no room, what grows is kept, and a crowd stays within the budget.
    #[test]
    fn growth_is_kept_in_few_bytes() {
        let mut tracks = Tracks::default();
        for second in 0..60 {
            let at = BootTime(second * 1_000_000);
            tracks.push(at, &[process(1, 100), process(2, 10 + second)], 1 << 20, 900_000_000);
        }
        let records = tracks.records(BootTime(0), BootTime(60_000_000));
        assert_eq!(records.iter().map(|r| (r.pid, r.points.len())).collect::<Vec<_>>(), [(1, 2), (2, 60)]);

        for round in 0..1000_u64 {
            let crowd: Vec<_> = (0..40).map(|pid| process(pid, round % 7 + u64::from(pid))).collect();
            tracks.push(BootTime((60 + round) * 1_000_000), &crowd, 8192, 900_000_000);
            assert!(tracks.memory() <= 8192, "{}", tracks.memory());
        }
        assert!(!tracks.records(BootTime(0), BootTime(u64::MAX)).is_empty());
    }

    /// A process that becomes another program stays one process, and is told by its newest name and arguments; another that is
    /// given its pid is another.
    #[test]
    fn a_process_that_becomes_another_program() {
        let mut tracks = Tracks::default();
        let mut look = |second: u64, started: u64, comm: &str, cmdline: Option<&str>| {
            let process = Process {
                started_ticks: Some(started),
                comm: comm.into(),
                cmdline: cmdline.map(Untrusted::from),
                ..process(1, second)
            };
            tracks.push(BootTime(second * 1_000_000), &[process], 1 << 20, 900_000_000);
            let told = |record: ProcessRecord| {
                (record.comm.to_string(), record.cmdline.map(|line| line.to_string()), record.points.len())
            };
            tracks.records(BootTime(0), BootTime(u64::MAX)).into_iter().map(told).collect::<Vec<_>>()
        };
        let told = |comm: &str, cmdline: Option<&str>, points| (comm.to_owned(), cmdline.map(str::to_owned), points);
        assert_eq!(look(1, 5, "runc", Some("runc init")), [told("runc", Some("runc init"), 1)]);
        assert_eq!(look(2, 5, "java", None), [told("java", None, 2)]);
        assert_eq!(look(3, 5, "java", Some("java -jar app")), [told("java", Some("java -jar app"), 3)]);
        assert_eq!(look(4, 5, "java", None), [told("java", Some("java -jar app"), 4)]);
        assert_eq!(look(5, 9, "java", None), [told("java", None, 1), told("java", Some("java -jar app"), 4)]);
    }
}
