//! What an audit says: one risk of one thing.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::rules::Observation;

/// How bad it would be, and how likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Worth knowing; nothing is likely to break by itself.
    Low,
    /// Will hurt under load, or hurts now without an alarm.
    Medium,
    /// Kills or starves something, now or with the next spike.
    High,
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        })
    }
}

/// Where something is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file as it was named, `-` for standard input.
    pub file: String,
    /// Line of the container or of the document, counted from 1.
    pub line: Option<u64>,
    /// The template that Helm says it was rendered from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

/// Whose risk it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// `Deployment`, `Pod`, `LimitRange`, `Node`, …
    pub kind: String,
    /// `null` for what has none, and in manifests that leave it to the command line.
    pub namespace: Option<String>,
    /// As it was written: not escaped.
    pub name: String,
    /// How many pods it has, or shall have; `null` where that is not known.
    pub pods: Option<u64>,
}

/// One risk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub risk: Risk,
    /// Name of the rule.
    pub rule: String,
    /// A few words, the same for everything that has this.
    pub title: String,
    /// Why it is a risk, the same for everything that has this.
    pub why: String,
    /// Whose.
    pub target: Target,
    /// The containers of it that are meant; empty for all, or where it has none.
    pub containers: Vec<String>,
    /// Where that stands.
    pub places: Vec<Place>,
    /// What was seen, with the numbers.
    pub evidence: String,
    /// What to do.
    pub fix: String,
    /// The change to the object, or the command; what stands in `<…>` is to be filled in.
    pub patch: Option<String>,
}

impl Finding {
    pub(super) fn new(rule: &str, target: Target, places: Vec<Place>, seen: Observation) -> Self {
        let Observation { risk, title, why, evidence, fix, patch, containers } = seen;
        Self {
            risk,
            rule: rule.to_owned(),
            title: title.to_owned(),
            why: why.to_owned(),
            target,
            containers,
            places,
            evidence,
            fix: fix.to_owned(),
            patch,
        }
    }
}
