//! How memory came to be full: the shape of the last minutes in the cgroup whose limit was reached.

use serde::{Deserialize, Serialize};

use crate::text::Untrusted;
use crate::time::BootTime;
use crate::units::Bytes;

/// The shape of a growth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// From its ordinary level to the top within seconds.
    Spike,
    /// The cgroup was new and filled up at once.
    StartUp,
    /// By about as much in every minute that was recorded.
    Leak,
    /// It grew, neither suddenly nor evenly.
    Growth,
    /// It stood near the top all the time: it was full before the recording began.
    Full,
    /// It neither grew nor was near the top.
    #[default]
    None,
}

/// What grew, as a kind of charged memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    /// The processes' own memory.
    Anon,
    /// Page cache, which the kernel can take back.
    FileCache,
    /// tmpfs and shared memory.
    Shmem,
    /// Kernel memory.
    Kernel,
    /// Network buffers.
    Sock,
}

/// By how much one kind of memory changed over the growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketChange {
    /// Which.
    pub bucket: Bucket,
    /// When the growth began.
    pub from_bytes: Bytes,
    /// At its end.
    pub to_bytes: Bytes,
}

/// The growth that led to the kill. Sizes are of what the kernel cannot take back: charged memory without page cache, where both were
/// recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern {
    /// Whose memory.
    pub cgroup: Untrusted,
    /// What it looked like.
    pub shape: Shape,
    /// What grew most; `null` where nothing grew or the kinds were not recorded.
    pub bucket: Option<Bucket>,
    /// When it began to grow.
    pub from_us: BootTime,
    /// The kill, or the last row before it.
    pub to_us: BootTime,
    /// Held before.
    pub from_bytes: Bytes,
    /// Held in the end.
    pub to_bytes: Bytes,
    /// How long the greater part of the growth (from a tenth to nine tenths) took.
    pub rise_us: u64,
    /// No reading lies within the rise: it may have been shorter, not longer.
    pub rise_at_most: bool,
    /// Bytes a second: of a leak its robust slope, else of the rise.
    pub bytes_per_s: u64,
    /// How long a restarted one takes to fill up again at the rate of a leak; `null` for other shapes.
    pub refill_us: Option<u64>,
    /// The kinds of memory, largest growth first.
    pub buckets: Vec<BucketChange>,
    /// Processes when the growth began and in the end; `null` where they were not counted.
    pub processes: Option<(u64, u64)>,
}
