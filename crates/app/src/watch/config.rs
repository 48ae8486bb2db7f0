//! What to watch, and how.

use std::path::Path;
use std::time::Duration;

use oomscope_core::notice::Severity;
use oomscope_core::recorder::{Budget, Pace};
use oomscope_sources::cgroup::PeakReset;
use oomscope_sources::host_root::HostRoot;

use super::Witnesses;
use crate::cli::Format;

/// What to watch, and how.
#[derive(Debug)]
pub(crate) struct Config {
    /// Where the machine's files are.
    pub(crate) root: HostRoot,
    /// This cgroup and all below it; `None`: all of the machine.
    pub(crate) cgroup: Option<String>,
    /// Only this pod or container, by the beginning of its uid or id.
    pub(crate) pod: Option<String>,
    /// While nothing happens, and at the hottest.
    pub(crate) pace: Pace,
    /// Of the recorder.
    pub(crate) budget: Budget,
    /// Whether peaks may be reset where that is seen by others too (cgroup v1).
    pub(crate) peaks: PeakReset,
    /// Smaller notices are not printed.
    pub(crate) min_severity: Severity,
    /// How to print.
    pub(crate) format: Format,
    /// Who is asked for names and for what Kubernetes says; `None`: nobody.
    pub(crate) witnesses: Option<Witnesses>,
    /// What programs in the kernel are to see.
    pub(crate) ebpf: Ebpf,
    /// End after so many cases.
    pub(crate) count: Option<u64>,
    /// End after this time.
    pub(crate) duration: Option<Duration>,
}

/// What programs in the kernel are to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Ebpf {
    /// Kills, and now and then which code takes memory
    #[default]
    Auto,
    /// Kills only
    Kills,
    /// Nothing
    Off,
}

impl Config {
    /// One cgroup, with everything else as it is by default.
    pub(crate) fn of_cgroup(folder: &Path) -> Self {
        Self {
            root: HostRoot::default(),
            cgroup: Some(folder.to_string_lossy().into_owned()),
            pod: None,
            pace: Pace::default(),
            budget: Budget::default(),
            peaks: PeakReset::AlsoGlobal,
            min_severity: Severity::Warning,
            format: Format::Text,
            witnesses: None,
            ebpf: Ebpf::Auto,
            count: None,
            duration: None,
        }
    }
}
