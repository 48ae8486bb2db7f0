//! Eviction by the kubelet: what it said of one, and whom it would evict next.
//!
//! Eviction is no OOM kill: the kubelet ends whole pods, by its own ranking, before the kernel has to. It looks every 10 s at figures
//! that are up to 10 s old, which is why it is often late.

mod message;
mod ranking;

pub use message::{EvictedUsage, EvictionCause, EvictionMessage};
pub use ranking::{Candidate, Ranked, Spared, rank};
