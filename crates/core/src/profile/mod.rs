//! Which code made memory resident: stacks of sampled page faults, what each stands for, and what is left of it at the end.
//!
//! A page that was allocated and never touched costs nothing; what fills a limit is the page that was touched, and that is the page
//! fault. One fault in [`Sampling::period`] is looked at, so every number here is an estimate, and [`Share`] says how good a one.
//!
//! ```text
//! sampled fault ─weigh─▶ bytes ┐
//!                              ├─builder─▶ Profile ─▶ tree · folded · flame graph · pprof · JSON
//! stack of frames ─────────────┘
//! page of the fault ─held─▶ how much of it is still resident
//! ```

pub mod blame;
mod builder;
pub mod folded;
mod functions;
pub mod held;
#[cfg(test)]
pub(crate) mod made_up;
mod share;
pub mod tree;
mod weigh;

use serde::{Deserialize, Serialize};

use crate::evidence::{Frame, Gap};
use crate::incident::identity::Identity;
use crate::text::Untrusted;
use crate::time::When;
use crate::units::Bytes;

pub use builder::{Builder, Weight};
pub use functions::{Function, functions};
pub use share::Share;
pub use weigh::Weigher;

/// Version of the JSON form. Fields are added; none changes its meaning.
pub const SCHEMA: &str = "oomscope.profile/v1";

/// What was found in one stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// [`SCHEMA`].
    pub schema: String,
    /// When it began.
    pub at: When,
    /// How long it went on, microseconds.
    pub duration_us: u64,
    /// Of the kernel that ran then.
    pub boot_id: Option<String>,
    /// The machine's own name for itself.
    pub host: Option<String>,
    /// Whose faults.
    pub target: Target,
    /// How.
    pub sampling: Sampling,
    /// Made resident, of all stacks together: an estimate.
    pub bytes: Bytes,
    /// Of it still resident at the end, and no older than the profile; `None` where that was not asked.
    pub held_bytes: Option<Bytes>,
    /// Whose stacks are below.
    pub processes: Vec<Process>,
    /// What stacks are made of.
    pub frames: Vec<Frame>,
    /// The largest first; a stack stands once for every process that had it.
    pub stacks: Vec<Stack>,
    /// What is not known.
    pub gaps: Vec<Gap>,
}

/// Whose faults were looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// In the words of who asked.
    pub asked: Untrusted,
    /// The cgroup, as the kernel's log calls it; `None` for the whole machine.
    pub cgroup: Option<Untrusted>,
    /// The one process that was asked for.
    pub pid: Option<u32>,
    /// Whose cgroup it is.
    pub identity: Option<Identity>,
}

/// How faults were sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampling {
    /// One fault in so many was looked at.
    pub period: u64,
    /// What an ordinary fault makes resident.
    pub page_bytes: Bytes,
    /// Faults that were looked at.
    pub samples: u64,
    /// Faults that were to be looked at and for which there was no room.
    pub lost: u64,
    /// By how much the processes grew beyond what their samples stand for: in huge pages of which no sample met one, or without a
    /// fault at all (`MAP_POPULATE`, `mlock`).
    pub unattributed_bytes: Bytes,
}

/// A process that had faults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub comm: Untrusted,
    /// Its cgroup, as the kernel's log calls it.
    pub cgroup: Option<Untrusted>,
    /// Its container, by the cgroup's name.
    pub container_id: Option<String>,
}

/// A stack of one process, with what stands behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// Index into [`Profile::processes`].
    pub process: usize,
    /// Indices into [`Profile::frames`], innermost first; empty where no stack was had.
    pub frames: Vec<usize>,
    /// Samples.
    pub samples: u64,
    /// Made resident.
    pub bytes: Bytes,
    /// Of it still resident at the end.
    pub held_bytes: Option<Bytes>,
}

/// Which of the two sizes is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Measure {
    /// What was made resident.
    #[default]
    MadeResident,
    /// What of it is still resident.
    Held,
}

impl Profile {
    /// The sizes that answer the question that was asked.
    #[must_use]
    pub const fn measure(&self) -> Measure {
        if self.held_bytes.is_some() { Measure::Held } else { Measure::MadeResident }
    }

    /// Of all stacks.
    #[must_use]
    pub fn total(&self, measure: Measure) -> Bytes {
        match measure {
            Measure::MadeResident => self.bytes,
            Measure::Held => self.held_bytes.unwrap_or_default(),
        }
    }

    /// The frames of a stack, innermost first. An index that points nowhere, as in an edited file, is passed over.
    pub fn frames_of<'a>(&'a self, stack: &'a Stack) -> impl DoubleEndedIterator<Item = &'a Frame> {
        stack.frames.iter().filter_map(|&at| self.frames.get(at))
    }

    /// How large a part `bytes` (of `samples` samples) is of the whole, and how sure that is.
    #[must_use]
    pub fn share(&self, bytes: Bytes, whole: Bytes) -> Share {
        Share::new(bytes.share_of(whole), self.sampling.samples)
    }
}

impl Stack {
    /// The size that is meant.
    #[must_use]
    pub fn bytes(&self, measure: Measure) -> Bytes {
        match measure {
            Measure::MadeResident => self.bytes,
            Measure::Held => self.held_bytes.unwrap_or_default(),
        }
    }
}
