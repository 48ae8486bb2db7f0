//! Station 4 of the path: all that is known of one OOM event.

mod cgroup_name;
mod cgroup_path;
#[cfg(test)]
mod cgroup_path_tests;
pub mod counted;
pub mod describe;
mod from_log;
pub mod history;
pub mod identity;
pub mod kill_context;
mod kubernetes;
pub mod level;
mod live;
mod live_evidence;
mod stacks;
pub mod timeline;

use serde::{Deserialize, Serialize};

use crate::evidence::{CounterChange, Evidence, Gap, HotStacks, KernelReport, KillContext, Part};
use crate::kubernetes::Account;
use crate::time::When;
use history::Recurrence;
use identity::Identity;
use timeline::Timeline;

pub use live::LIVE;

/// Which input an incident came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// `klog` for a kernel log, `live` for what a watcher saw.
    pub source: String,
    /// As named by the caller; `None` for standard input and this machine's own log.
    pub file: Option<String>,
    /// First and last line of the report, counted from 1.
    pub lines: Option<(u64, u64)>,
    /// Host name, where the log names it.
    pub host: Option<String>,
    /// Boot id, where the log or the machine states it.
    pub boot_id: Option<String>,
}

/// One OOM event: the kill or kills, when, whose, and what is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// The instant of the first kill line, or of the last line where nothing was killed.
    pub at: When,
    /// Where it was read.
    pub origin: Origin,
    /// The kernel's reports; from a log always exactly one.
    pub kills: Vec<KernelReport>,
    /// Whose container or service it was, from the cgroup path.
    pub identity: Option<Identity>,
    /// The minutes before, where something recorded them; a log alone has none.
    pub timeline: Option<Timeline>,
    /// What the counters of the cgroups on the path say, from the one whose limit was reached (or the victim's own) to the root;
    /// read by a watcher only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counters: Vec<CounterChange>,
    /// What programs in the kernel saw at the instant of the kills, one for each; where a watcher could load them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contexts: Vec<KillContext>,
    /// The code that made memory resident in the minutes before; where a watcher sampled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hot_stacks: Option<HotStacks>,
    /// What Kubernetes says of it; absent where nobody was asked, or nobody knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<Box<Account>>,
    /// Earlier kills of the same cgroup in the same input.
    pub recurrence: Option<Recurrence>,
    /// The log lines by part.
    pub evidence: Vec<Evidence>,
    /// What was sought in the log and not had.
    pub gaps: Vec<Gap>,
}

impl Incident {
    /// The report. An incident from a log has exactly one; an empty one stands in for none.
    #[must_use]
    pub fn report(&self) -> &KernelReport {
        static NONE: std::sync::LazyLock<KernelReport> = std::sync::LazyLock::new(KernelReport::default);
        self.kills.first().unwrap_or(&NONE)
    }

    /// True when the log had this part.
    #[must_use]
    pub fn has(&self, part: Part) -> bool {
        self.evidence.iter().any(|e| e.part == part)
    }
}
