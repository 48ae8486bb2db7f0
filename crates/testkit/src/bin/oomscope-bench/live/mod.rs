//! `oomscope watch`, measured on real kills and real cgroups of this machine, all below one cgroup of the benchmark's own.
//!
//! What stands beside it runs at the same time, so that both meet the same machine.

pub(crate) mod child;
pub(crate) mod cost;
pub(crate) mod delay;
mod exporter;
mod printk;
pub(crate) mod spikes;
mod spread;
mod tree;
mod usage;
mod watch;
