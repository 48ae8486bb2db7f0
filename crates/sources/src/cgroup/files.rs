//! The files of one cgroup, opened once.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use oomscope_core::evidence::{Counters, Events, Gap, Limits};
use oomscope_core::formats::cgroup::{self as format, Version};
use oomscope_core::inspect::Stalls;
use oomscope_core::recorder::{Sample, Series};
use oomscope_core::time::BootTime;
use oomscope_core::units::Bytes;
use rustix::fs::{AtFlags, Mode, OFlags, fstat, open, statat};
use rustix::io::Errno;

use super::error::Error;
use super::kept_file::KeptFile;
use super::limits;
use super::peak::{Peak, PeakReset};
use super::place::Hierarchy;

/// How much is read; each includes what is before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Depth {
    /// The charge and its peak.
    Usage,
    /// The counters that rise at the limit.
    Events,
    /// What the charge consists of, pressure, swap, processes.
    Full,
}

/// A file that is kept open.
#[derive(Clone, Copy)]
enum Item {
    Usage,
    Stat,
    /// v1 `memory.oom_control`.
    Events,
    LocalEvents,
    FailCount,
    /// The same for memory and swap together, which is charged first: where both limits are equal, only this one rises (and on
    /// 6.18 none, seen there: `track_failcnt` of `struct page_counter` is set for memory alone).
    SwapFailCount,
    Kernel,
    Swap,
    Pressure,
    Processes,
}

impl Item {
    const ALL: [Self; 10] = [
        Self::Usage,
        Self::Stat,
        Self::Events,
        Self::LocalEvents,
        Self::FailCount,
        Self::SwapFailCount,
        Self::Kernel,
        Self::Swap,
        Self::Pressure,
        Self::Processes,
    ];

    /// Kept open, v1's `cgroup.procs` repeats itself as long as it is read at least every second: the list belongs to the open
    /// file until one second after its last use (`CGROUP_PIDLIST_DESTROY_DELAY` in kernel/cgroup/cgroup-v1.c; seen on 6.18).
    const fn is_stale_when_kept(self, version: Version) -> bool {
        matches!((self, version), (Self::Processes, Version::V1))
    }

    /// `None`: this version has it nowhere, or in another file.
    const fn name(self, version: Version) -> Option<&'static str> {
        let (v1, v2) = match self {
            Self::Usage => (Some("memory.usage_in_bytes"), Some("memory.current")),
            Self::Stat => (Some("memory.stat"), Some("memory.stat")),
            Self::Events => (Some("memory.oom_control"), Some("memory.events")),
            Self::LocalEvents => (None, Some("memory.events.local")),
            Self::FailCount => (Some("memory.failcnt"), None),
            Self::SwapFailCount => (Some("memory.memsw.failcnt"), None),
            Self::Kernel => (Some("memory.kmem.usage_in_bytes"), None),
            Self::Swap => (None, Some("memory.swap.current")),
            Self::Pressure => (None, Some("memory.pressure")),
            Self::Processes => (Some("cgroup.procs"), Some("cgroup.procs")),
        };
        match version {
            Version::V1 => v1,
            Version::V2 => v2,
        }
    }
}

/// One cgroup, with its files open.
///
/// It stays with the very cgroup that it was opened for: another one that takes the same name later is not mistaken for it.
/// Where the cgroup is removed, everything that reads answers [`Error::Gone`]. With [`PeakReset::PerFile`] and above, there must
/// be only one of these for a cgroup (see [`PeakReset`]).
#[derive(Debug)]
pub struct CgroupFiles {
    version: Version,
    /// `memory.events` counts what `memory.events.local` does.
    events_are_local: bool,
    folder: PathBuf,
    kernel_path: PathBuf,
    directory: OwnedFd,
    inode: u64,
    kept: [KeptFile; Item::ALL.len()],
    reset: PeakReset,
    peak: Peak,
    buffer: Vec<u8>,
}

impl CgroupFiles {
    /// Opens what there is.
    ///
    /// # Errors
    /// [`Error::Gone`] where there is no such folder any more, [`Error::File`] where it cannot be opened. That single files
    /// cannot is told by [`CgroupFiles::gaps`].
    pub fn open(hierarchy: &Hierarchy, folder: &Path, reset: PeakReset) -> Result<Self, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = open(folder, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::NOENT | Errno::NODEV => Error::Gone { folder: folder.to_owned() },
            _ => Error::file("opening", folder, errno),
        })?;
        let inode = fstat(&directory).map_err(|errno| Error::file("looking at", folder, errno))?.st_ino;
        let version = hierarchy.version();
        let mut buffer = Vec::new();
        Ok(Self {
            version,
            events_are_local: hierarchy.events_are_local,
            folder: folder.to_owned(),
            kernel_path: hierarchy.kernel_path(folder),
            kept: open_all(&directory, version),
            peak: Peak::open(&directory, version, reset, &mut buffer),
            reset,
            directory,
            inode,
            buffer,
        })
    }

    /// The number of its folder, by which eBPF programs know it (`cgroup.kn.id`).
    #[must_use]
    pub const fn inode(&self) -> u64 {
        self.inode
    }

    /// Its folder, as it was called when it was opened.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path by which the kernel's log calls it.
    #[must_use]
    pub fn kernel_path(&self) -> &Path {
        &self.kernel_path
    }

    /// Reads it. `at` is when, as the caller knows it. [`Series::Peak`] is of the time since the last call.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::File`].
    pub fn sample(&mut self, at: BootTime, depth: Depth) -> Result<Sample, Error> {
        let mut sample = Sample::new(at);
        // First the peak, then the charge: peak.rs says why.
        sample.set(Series::Peak, self.read_peak()?);
        sample.set(Series::Current, self.number(Item::Usage)?);
        if depth >= Depth::Events {
            self.add_events(&mut sample)?;
        }
        if depth >= Depth::Full {
            self.add_the_rest(&mut sample)?;
        }
        Ok(sample)
    }

    fn add_events(&mut self, sample: &mut Sample) -> Result<(), Error> {
        let counters = self.own_events()?;
        sample.set(Series::High, counters.high);
        sample.set(Series::Max, counters.max);
        sample.set(Series::Oom, counters.oom);
        sample.set(Series::OomKill, counters.oom_kill);
        Ok(())
    }

    fn add_the_rest(&mut self, sample: &mut Sample) -> Result<(), Error> {
        let version = self.version;
        if let Some(text) = self.read(Item::Stat)? {
            format::fill_from_stat(sample, text, version);
        }
        if version == Version::V1 {
            sample.set(Series::Kernel, self.number(Item::Kernel)?);
        } else {
            sample.set(Series::Swap, self.number(Item::Swap)?);
        }
        if let Some(text) = self.read(Item::Pressure)? {
            let pressure = format::pressure(text);
            sample.set(Series::PressureSome, pressure.some_us);
            sample.set(Series::PressureFull, pressure.full_us);
        }
        let processes = self.read(Item::Processes)?.map(|text| format::pids(text).count() as u64);
        sample.set(Series::Processes, processes);
        self.look_for_the_controller();
        Ok(())
    }

    /// The charge now; `None` where the memory controller is not on for this cgroup (or, on v2, at the root).
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::File`].
    pub fn usage(&mut self) -> Result<Option<Bytes>, Error> {
        Ok(self.number(Item::Usage)?.map(Bytes))
    }

    /// The limits now. Not kept open, as they hardly change.
    ///
    /// # Errors
    /// [`Error::Gone`].
    pub fn limits(&mut self) -> Result<Limits, Error> {
        let limits = limits::read(&self.directory, self.version, &mut self.buffer);
        if limits.max_bytes.is_none() { self.still_there().map(|()| limits) } else { Ok(limits) }
    }

    /// Every counter that rises with a kill.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::File`].
    pub fn counters(&mut self) -> Result<Counters, Error> {
        match self.version {
            Version::V1 => self.counters_v1(),
            Version::V2 => self.counters_v2(),
        }
    }

    fn counters_v1(&mut self) -> Result<Counters, Error> {
        let oom_kill = self.read(Item::Events)?.and_then(|text| format::oom_control(text).oom_kill);
        let failcnt = self.number(Item::FailCount)?;
        let local = oom_kill.map(|oom_kill| Events { oom_kill: Some(oom_kill), ..Events::default() });
        let memory_swap_failcnt = self.number(Item::SwapFailCount)?;
        Ok(Counters { local, hierarchical: None, failcnt, memory_swap_failcnt })
    }

    fn counters_v2(&mut self) -> Result<Counters, Error> {
        let events = self.read(Item::Events)?.map(format::events);
        let local = self.read(Item::LocalEvents)?.map(format::events);
        // Without the local file the other one is of a kernel that counts each cgroup alone.
        let hierarchical = if self.events_are_local || local.is_none() { None } else { events };
        Ok(Counters { local: local.or(events), hierarchical, ..Counters::default() })
    }

    /// This cgroup's own events, without what is below it; on v1 what there is of them.
    fn own_events(&mut self) -> Result<Events, Error> {
        if self.version == Version::V1 {
            let counters = self.counters_v1()?;
            let oom_kill = counters.local.and_then(|local| local.oom_kill);
            // A charge fails at one of the two limits only.
            let max = counters.failcnt.map(|own| own.saturating_add(counters.memory_swap_failcnt.unwrap_or(0)));
            return Ok(Events { oom_kill, max, ..Events::default() });
        }
        if let Some(text) = self.read(Item::LocalEvents)? {
            return Ok(format::events(text));
        }
        Ok(self.read(Item::Events)?.map(format::events).unwrap_or_default())
    }

    /// `memory.stat` by the kernel's names; `None` where there is none. For a look at one cgroup: a sample is cheaper.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::File`].
    pub fn memory_stat(&mut self) -> Result<Option<IndexMap<String, u64>>, Error> {
        Ok(self.read(Item::Stat)?.map(format::stat))
    }

    /// How much its tasks stall for memory; `None` where the kernel does not account that for it.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::File`].
    pub fn stalls(&mut self) -> Result<Option<Stalls>, Error> {
        Ok(self.read(Item::Pressure)?.map(format::stalls))
    }

    /// The highest charge of its life, as of the last sample; `None` on v2 before Linux 5.19. On v1, where somebody else resets it,
    /// the highest that was seen here.
    #[must_use]
    pub fn lifetime_peak(&self) -> Option<Bytes> {
        self.peak.highest().map(Bytes)
    }

    /// Puts the processes that are in it, not below it, into `pids`, which is emptied first.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::File`].
    pub fn pids(&mut self, pids: &mut Vec<u32>) -> Result<(), Error> {
        pids.clear();
        if let Some(text) = self.read(Item::Processes)? {
            pids.extend(format::pids(text));
        }
        Ok(())
    }

    /// What cannot be had of this cgroup, and why.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        let mut gaps: Vec<_> = self.refused().collect();
        if matches!(self.kept_file(Item::Usage), KeptFile::Missing) {
            gaps.push(Gap::new("memory of the cgroup", "the memory controller is not on for it"));
        } else {
            gaps.extend(self.peak.gap(self.version));
        }
        let reopened = |item: &Item| matches!(self.kept_file(*item), KeptFile::EachTime(_));
        if Item::ALL.iter().any(|item| reopened(item) && !item.is_stale_when_kept(self.version)) {
            gaps.push(Gap::new(
                "files of the cgroup kept open",
                "out of file descriptors (ulimit -n): reading costs more",
            ));
        }
        gaps
    }

    fn refused(&self) -> impl Iterator<Item = Gap> + '_ {
        Item::ALL.into_iter().filter_map(|item| match self.kept_file(item) {
            KeptFile::Refused(errno) => Some(Gap::new(item.name(self.version)?, format!("opening it: {errno}"))),
            _ => None,
        })
    }

    fn number(&mut self, item: Item) -> Result<Option<u64>, Error> {
        Ok(self.read(item)?.and_then(format::number))
    }

    fn read_peak(&mut self) -> Result<Option<u64>, Error> {
        match self.peak.read_and_reset(&self.directory, &mut self.buffer) {
            Ok(peak) => Ok(peak),
            Err(errno) => self.explain(errno, "peak of the memory").map(|()| None),
        }
    }

    /// The bytes of a file; `None` where there is none.
    fn read(&mut self, item: Item) -> Result<Option<&[u8]>, Error> {
        let Some(file) = self.kept.get(item as usize) else { return Ok(None) };
        match file.read(&self.directory, &mut self.buffer) {
            Ok(true) => Ok(Some(&self.buffer)),
            // Without the memory controller no file is open that would tell that the cgroup is gone.
            Ok(false) if matches!(item, Item::Usage | Item::Events) => self.still_there().map(|()| None),
            Ok(false) => Ok(None),
            Err(errno) => self.explain(errno, item.name(self.version).unwrap_or_default()).map(|()| None),
        }
    }

    /// Why an open file does not answer: the cgroup is gone, or it has lost its memory controller (`-memory` written to the
    /// parent's `cgroup.subtree_control` removes the files alone), which is no error.
    fn explain(&mut self, errno: Errno, name: &str) -> Result<(), Error> {
        match errno {
            Errno::NODEV | Errno::NOENT => {
                self.still_there()?;
                self.reopen();
                Ok(())
            }
            // `cgroup.procs` of a threaded cgroup.
            Errno::OPNOTSUPP => Ok(()),
            _ => Err(Error::file("reading", self.folder.join(name), errno)),
        }
    }

    fn still_there(&self) -> Result<(), Error> {
        statat(&self.directory, "cgroup.procs", AtFlags::empty())
            .map(drop)
            .map_err(|_| Error::Gone { folder: self.folder.clone() })
    }

    /// Managers make a cgroup first and turn the controller on for it later: its files then appear in the open folder.
    fn look_for_the_controller(&mut self) {
        let name = Item::Usage.name(self.version).unwrap_or_default();
        let missing = matches!(self.kept_file(Item::Usage), KeptFile::Missing);
        if missing && statat(&self.directory, name, AtFlags::empty()).is_ok() {
            self.reopen();
        }
    }

    fn reopen(&mut self) {
        self.kept = open_all(&self.directory, self.version);
        self.peak = Peak::open(&self.directory, self.version, self.reset, &mut self.buffer);
    }

    fn kept_file(&self, item: Item) -> &KeptFile {
        self.kept.get(item as usize).unwrap_or(&KeptFile::Missing)
    }
}

fn open_all(directory: &OwnedFd, version: Version) -> [KeptFile; Item::ALL.len()] {
    Item::ALL.map(|item| match item.name(version) {
        Some(name) if item.is_stale_when_kept(version) => KeptFile::EachTime(name),
        Some(name) => KeptFile::open(directory, name),
        None => KeptFile::Missing,
    })
}
