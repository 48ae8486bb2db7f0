//! Something that was sought and not had, and why. Never a silent zero.

use serde::{Deserialize, Serialize};

/// One thing that is not known, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Gap {
    /// What was sought, in the field's words: `task table`, `limit of the cgroup`, `lines 120-180 of kern.log`.
    pub wanted: String,
    /// Why it was not had: `the log begins inside the report`, `rate-limited by the kernel`.
    pub why: String,
}

impl Gap {
    /// A gap from any two texts.
    pub fn new(wanted: impl Into<String>, why: impl Into<String>) -> Self {
        Self { wanted: wanted.into(), why: why.into() }
    }
}
