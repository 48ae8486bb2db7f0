//! What /proc says of one process.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::Comm;
use crate::text::Untrusted;
use crate::time::BootTime;
use crate::units::Bytes;

/// The cheap files: `status`, `oom_score`, `oom_score_adj`, `cmdline`. Everything but the pid may be unknown: a process
/// may end at any moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// In the PID namespace of the reader (the initial one for an agent).
    pub pid: u32,
    /// Distinguishes two processes that had the same pid: start time in clock ticks since boot (`stat`, field 22).
    pub started_ticks: Option<u64>,
    /// Parent.
    pub ppid: Option<u32>,
    /// Its name.
    #[serde(flatten)]
    pub comm: Comm,
    /// Arguments joined by blanks, at most 4 KiB; empty for kernel threads.
    pub cmdline: Option<Untrusted>,
    /// Real user id.
    pub uid: Option<u32>,
    /// Resident anonymous memory (`RssAnon`).
    pub anon_bytes: Option<Bytes>,
    /// Resident file pages (`RssFile`).
    pub file_bytes: Option<Bytes>,
    /// Resident shared memory (`RssShmem`).
    pub shmem_bytes: Option<Bytes>,
    /// Swapped out (`VmSwap`).
    pub swap_bytes: Option<Bytes>,
    /// Page tables (`VmPTE`).
    pub pgtables_bytes: Option<Bytes>,
    /// Threads.
    pub threads: Option<u32>,
    /// `/proc/PID/oom_score`.
    pub oom_score: Option<i64>,
    /// `/proc/PID/oom_score_adj`.
    pub oom_score_adj: Option<i32>,
}

impl Process {
    /// Resident memory of every kind.
    #[must_use]
    pub fn rss(&self) -> Option<Bytes> {
        let (anon, file) = self.anon_bytes.zip(self.file_bytes)?;
        Some(Bytes(anon.0.saturating_add(file.0).saturating_add(self.shmem_bytes.map_or(0, |b| b.0))))
    }
}

/// Why a snapshot was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// Somebody asked.
    #[default]
    Request,
    /// Its cgroup was near its limit.
    NearLimit,
    /// Between the kernel's decision and the end of the process.
    Kill,
}

/// The dear files of one process: `smaps_rollup` costs about 1 ms per 100 MiB.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When.
    pub at: BootTime,
    /// Why.
    pub occasion: Occasion,
    /// The cheap files.
    pub process: Process,
    /// Memory divided by the number of processes that share it; `None` where it was not had in time.
    pub pss_bytes: Option<Bytes>,
    /// The anonymous part.
    pub pss_anon_bytes: Option<Bytes>,
    /// The file part.
    pub pss_file_bytes: Option<Bytes>,
    /// The shared-memory part.
    pub pss_shmem_bytes: Option<Bytes>,
    /// Open files by kind: `socket`, `pipe`, `file`, `tmpfs`, `memfd`, `anon_inode:[eventpoll]`, …
    pub fds: Option<IndexMap<String, u64>>,
    /// The largest mappings, or all in a snapshot that is to be compared; those of one name added up.
    pub mappings: Option<Vec<Mapping>>,
}

/// Mappings of one process that have the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// Path, `[heap]`, `[stack]`, `[anon]` or `[anon:name]`.
    pub name: Untrusted,
    /// How many.
    pub count: u64,
    /// Address space.
    pub size_bytes: Bytes,
    /// Resident; `None` where only `maps` was read.
    pub rss_bytes: Option<Bytes>,
    /// Shared out.
    pub pss_bytes: Option<Bytes>,
    /// Anonymous.
    pub anon_bytes: Option<Bytes>,
    /// Swapped out.
    pub swap_bytes: Option<Bytes>,
}
