//! The exact highest charge between two readings.
//!
//! A spike of a millisecond is invisible to every sampler that reads the charge now and then, and it is what kills. The kernel
//! keeps the highest charge ever (v1 `memory.max_usage_in_bytes`, v2 `memory.peak` ≥ 5.19). What can be made of it:
//!
//! - Since 6.12 a write to an open `memory.peak` resets it for that open file alone, so that it next tells the highest charge
//!   since. The reset does disturb others: it lowers the one `local_watermark` that all resetting files share and passes on to
//!   them only what is charged right now (`peak_write` in mm/memcontrol.c, seen on 6.12.107 and 7.2.13). So there must be one
//!   resetting reader of a cgroup on a machine.
//! - v1 can be reset too, for everybody. Only done where asked for.
//! - Without a reset, a highest charge *ever* that has risen since the reading before is the exact peak of the time between.
//!   Smaller spikes stay unseen.
//!
//! Order: the peak is read, then reset, then the caller reads the current charge. After the reset the kernel starts from what is
//! charged then, so whatever lasts longer than the microsecond between the first two steps is in this peak or in the next. A
//! spike that comes and goes within that microsecond is lost, unless it is the highest ever: the never-reset value is read
//! last, from a file of its own.

use std::os::fd::OwnedFd;

use oomscope_core::evidence::Gap;
use oomscope_core::formats::cgroup::{Version, number};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::{Errno, pwrite};

use super::kept_file::{KeptFile, read_record};

/// Whether the kernel's memory of the highest charge may be reset, to learn the highest of every interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeakReset {
    /// Never.
    Never,
    /// Where the kernel resets it for one reader (v2, Linux ≥ 6.12).
    #[default]
    PerFile,
    /// Also where that takes the value away from everybody else (v1).
    AlsoGlobal,
}

/// The files that tell of peaks.
#[derive(Debug)]
pub(super) struct Peak {
    /// Never reset by this program, except where `reset` is global.
    lifetime: KeptFile,
    reset: Result<Reset, WhyNot>,
    /// The last value of `lifetime`.
    before: Option<u64>,
    /// The highest of all that was ever read.
    highest: Option<u64>,
}

/// A file that was reset at the last reading.
#[derive(Debug)]
struct Reset {
    file: OwnedFd,
    /// What to write.
    word: &'static [u8],
    /// It is reset for everybody: then the never-reset value is none.
    global: bool,
}

#[derive(Clone, Copy, Debug)]
enum WhyNot {
    NotWanted,
    Refused(Errno),
}

impl Peak {
    /// Opens the files, and resets where that is wanted and possible, so that the first peak is of the time since now.
    pub(super) fn open(directory: &OwnedFd, version: Version, wanted: PeakReset, buffer: &mut Vec<u8>) -> Self {
        let name = file_name(version);
        let mut peak = Self {
            lifetime: KeptFile::open(directory, name),
            reset: Reset::open(directory, version, wanted),
            before: None,
            highest: None,
        };
        // A failure shows again at the first reading, where it can be told.
        if let Ok(lifetime) = peak.read_lifetime(directory, buffer) {
            peak.before = lifetime;
            peak.highest = lifetime;
        }
        if let Err(errno) = peak.reset.as_ref().map_or(Ok(()), Reset::reset) {
            peak.reset = Err(WhyNot::Refused(errno));
        }
        peak
    }

    /// The highest charge since the last call, as far as the kernel tells; then resets. To be followed by a reading of the
    /// current charge.
    pub(super) fn read_and_reset(&mut self, directory: &OwnedFd, buffer: &mut Vec<u8>) -> Result<Option<u64>, Errno> {
        let since_reset = match &self.reset {
            Ok(reset) => reset.read_and_reset(buffer)?,
            Err(_) => None,
        };
        let is_global = matches!(&self.reset, Ok(reset) if reset.global);
        let risen = if is_global { None } else { self.risen(directory, buffer)? };
        let peak = since_reset.max(risen);
        self.highest = self.highest.max(peak);
        Ok(peak)
    }

    /// The highest charge ever seen, by the kernel or, after resets by whomever, by these readings; as of the last one.
    pub(super) const fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// The never-reset value, where it is higher than it was at the last reading. Lower than before: somebody else has reset
    /// it, and when in the interval its new value was reached is not known to be after that.
    fn risen(&mut self, directory: &OwnedFd, buffer: &mut Vec<u8>) -> Result<Option<u64>, Errno> {
        let now = self.read_lifetime(directory, buffer)?;
        let before = std::mem::replace(&mut self.before, now);
        Ok(now.filter(|now| before.is_some_and(|before| *now > before)))
    }

    fn read_lifetime(&self, directory: &OwnedFd, buffer: &mut Vec<u8>) -> Result<Option<u64>, Errno> {
        Ok(if self.lifetime.read(directory, buffer)? { number(buffer) } else { None })
    }

    /// What cannot be known of peaks here.
    pub(super) fn gap(&self, version: Version) -> Option<Gap> {
        match (&self.lifetime, &self.reset) {
            (_, Ok(_)) => None,
            (KeptFile::Missing, _) => Some(Gap::new(
                "peaks of memory between two readings",
                "the kernel keeps no memory.peak (Linux 5.19 does)",
            )),
            (KeptFile::Refused(errno), _) => Some(Gap::new(
                "peaks of memory between two readings",
                format!("reading {}: {errno}", file_name(version)),
            )),
            (_, Err(why)) => Some(Gap::new(
                "peaks of memory between two readings that are not the highest ever",
                why.describe(version),
            )),
        }
    }
}

impl Reset {
    fn open(directory: &OwnedFd, version: Version, wanted: PeakReset) -> Result<Self, WhyNot> {
        let global = version == Version::V1;
        let allowed = match wanted {
            PeakReset::Never => false,
            PeakReset::PerFile => !global,
            PeakReset::AlsoGlobal => true,
        };
        if !allowed {
            return Err(WhyNot::NotWanted);
        }
        let file = openat(directory, file_name(version), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let word: &[u8] = if global { b"0" } else { b"r" };
        file.map(|file| Self { file, word, global }).map_err(WhyNot::Refused)
    }

    fn read_and_reset(&self, buffer: &mut Vec<u8>) -> Result<Option<u64>, Errno> {
        read_record(&self.file, buffer)?;
        self.reset()?;
        Ok(number(buffer))
    }

    fn reset(&self) -> Result<(), Errno> {
        pwrite(&self.file, self.word, 0).map(drop)
    }
}

impl WhyNot {
    fn describe(self, version: Version) -> String {
        match (self, version) {
            (Self::NotWanted, Version::V1) => {
                "memory.max_usage_in_bytes can only be reset for everybody, which was not asked for".to_owned()
            }
            (Self::NotWanted, Version::V2) => "memory.peak was not to be reset".to_owned(),
            (Self::Refused(errno), Version::V1) => format!("resetting memory.max_usage_in_bytes: {errno}"),
            (Self::Refused(errno), Version::V2) => {
                format!("resetting memory.peak (possible since Linux 6.12): {errno}")
            }
        }
    }
}

const fn file_name(version: Version) -> &'static str {
    match version {
        Version::V1 => "memory.max_usage_in_bytes",
        Version::V2 => "memory.peak",
    }
}
