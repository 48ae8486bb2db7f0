//! Every kind of kill on real kernels in virtual machines, with `oomscope watch` running: what it prints is compared with what
//! the scenario knows.
//!
//! One boot for each kernel and version of cgroups, all scenarios in it. `OOMSCOPE_STATIC` names a statically linked oomscope,
//! as `make test` builds it; without it, or without kernels and QEMU, these tests say that they are skipped. Where they must
//! not be, `OOMSCOPE_VM=required` makes that a failure; `OOMSCOPE_NO_VM=1` skips in any case. `OOMSCOPE_VM_SCENARIOS=a,b` runs
//! some of them. Results stay in `target/vm/results`; `OOMSCOPE_VM_AGAIN=1` compares them again without a boot.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic, also in its helpers")]
#![allow(clippy::print_stderr, reason = "what is skipped is said")]

mod check;
mod machine;

use machine::{Cgroups, watch_every_kill};

/// Debian 11; its cgroup v2 has no `memory.peak`, its counters no `oom_group_kill`.
#[test]
fn linux_5_10_cgroup_v2() {
    watch_every_kill(Some((5, 10)), Cgroups::V2);
}

/// Debian 11 as clusters of its time ran it.
#[test]
fn linux_5_10_cgroup_v1() {
    watch_every_kill(Some((5, 10)), Cgroups::V1);
}

/// Debian 12.
#[test]
fn linux_6_1_cgroup_v2() {
    watch_every_kill(Some((6, 1)), Cgroups::V2);
}

/// The last kernel of Debian that has the memory controller of cgroup v1.
#[test]
fn linux_6_1_cgroup_v1() {
    watch_every_kill(Some((6, 1)), Cgroups::V1);
}

/// Debian 13: `memory.peak` can be reset.
#[test]
fn linux_6_12_cgroup_v2() {
    watch_every_kill(Some((6, 12)), Cgroups::V2);
}

/// Whatever is the newest.
#[test]
fn newest_linux_cgroup_v2() {
    watch_every_kill(None, Cgroups::V2);
}
