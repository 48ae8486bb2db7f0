//! A line of the account.

use serde::{Deserialize, Serialize};

use crate::text::Untrusted;
use crate::units::{Bytes, Limit};

/// A part of the machine's memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is. Of the account's own parts a fixed word; else the name of the cgroup, pod or container.
    pub name: String,
    /// How much. Below zero only where a part corrects the others of its level (see `note`).
    pub bytes: i64,
    /// The cgroup, as the kernel's log calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<Untrusted>,
    /// That cgroup's own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<Limit>,
    /// What is to be known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What it consists of; they add up to `bytes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// What stands for the difference of a part and its own parts.
const ELSEWHERE: &str = "counted_elsewhere";

impl Part {
    /// A part without parts.
    pub(super) fn new(name: impl Into<String>, bytes: i64) -> Self {
        Self { name: name.into(), bytes, ..Self::default() }
    }

    /// Of parts that make it up.
    pub(super) fn of(name: impl Into<String>, parts: Vec<Self>) -> Self {
        Self { name: name.into(), bytes: sum(&parts), parts, ..Self::default() }
    }

    pub(super) fn noted(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// Sorts by size and adds what its parts lack, under a name.
    pub(super) fn filled(mut self, rest: &str, note: &str) -> Self {
        if self.parts.is_empty() {
            return self;
        }
        self.parts.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        let lacking = self.bytes - sum(&self.parts);
        if lacking != 0 {
            self.parts.push(Self::new(rest, lacking).noted(note));
        }
        self
    }

    /// Cuts it to what is left of the total.
    pub(super) fn at_most(mut self, left: i64) -> Self {
        let excess = self.bytes - left.max(0);
        if excess <= 0 {
            return self;
        }
        self.bytes -= excess;
        if !self.parts.is_empty() {
            self.parts.push(Self::new(ELSEWHERE, -excess).noted("counted in other parts already"));
        }
        self.noted(format!(
            "cut by {}: the kernel's counts overlap or are of different instants",
            Bytes(excess.unsigned_abs())
        ))
    }

    /// As an amount; what is below zero is nothing.
    #[must_use]
    pub fn amount(&self) -> Bytes {
        Bytes(u64::try_from(self.bytes).unwrap_or(0))
    }

    /// Whether every level adds up.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        (self.parts.is_empty() || sum(&self.parts) == self.bytes) && self.parts.iter().all(Self::adds_up)
    }
}

pub(super) fn sum(parts: &[Part]) -> i64 {
    parts.iter().map(|part| part.bytes).sum()
}
