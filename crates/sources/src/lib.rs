//! Where evidence comes from: the platform and its privileges live here only.

pub mod cgroup;
pub mod clock;
pub mod ebpf;
pub mod host_root;
pub mod kmsg;
pub mod kubernetes;
pub mod log_file;
pub mod manifests;
pub mod node;
pub mod process;
pub mod stacks;
