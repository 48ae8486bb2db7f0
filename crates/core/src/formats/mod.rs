//! Text formats, each turned into facts by a parser that never fails: what it cannot read becomes a gap.

pub mod cgroup;
pub mod klog;
pub mod proc;
