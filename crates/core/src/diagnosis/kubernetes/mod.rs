//! The account of Kubernetes against the kernel's: how a container ended that the kernel did not kill, and where the two disagree.

mod disagreement;
mod ending;
mod words;

pub(super) use disagreement::disagreements;
pub(super) use ending::{Cause, Judged, judge};
pub(super) use words::{container, status};
