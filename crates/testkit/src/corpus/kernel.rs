//! Scenarios run in machines of our own, where the truth was known before the log was read.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One scenario on one kernel.
#[derive(Clone, Debug)]
pub struct KernelScenario {
    /// Kernel and cgroup version, as the folder is named: `6.12-v2`.
    pub kernel: String,
    /// The scenario's letter: `a` … `z`.
    pub name: String,
    /// What happened.
    pub truth: KernelTruth,
    folder: PathBuf,
}

impl KernelScenario {
    /// `6.12-v2/a`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.kernel, self.name)
    }

    /// The raw records of /dev/kmsg. `None` where the machine died before it could hand them out (scenario `x`).
    #[must_use]
    pub fn kmsg(&self) -> Option<Vec<u8>> {
        self.read("kmsg.txt")
    }

    /// The same records as `dmesg` prints them. `None` as for [`Self::kmsg`].
    #[must_use]
    pub fn dmesg(&self) -> Option<Vec<u8>> {
        self.read("dmesg.txt")
    }

    /// What the serial console showed, where that was kept.
    #[must_use]
    pub fn console(&self) -> Option<Vec<u8>> {
        self.read("console.txt")
    }

    fn read(&self, file: &str) -> Option<Vec<u8>> {
        std::fs::read(self.folder.join(file)).ok()
    }

    fn load(folder: &Path, kernel: &str) -> Self {
        Self {
            kernel: kernel.to_owned(),
            name: file_name(folder),
            truth: super::truth(&folder.join("truth.json")),
            folder: folder.to_owned(),
        }
    }
}

/// The selection that the repository has, by kernel and letter.
///
/// # Panics
///
/// When it cannot be read.
#[must_use]
pub fn own_kernel_scenarios() -> Vec<KernelScenario> {
    scenarios_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/kernel"))
}

/// Every scenario of the shared corpus, by kernel and letter. `None` where it is not on this machine: say so and skip.
///
/// # Panics
///
/// When a corpus that is there cannot be read.
#[must_use]
pub fn shared_kernel_scenarios() -> Option<Vec<KernelScenario>> {
    let kernels = super::shared_root()?.join("kernel");
    kernels.is_dir().then(|| scenarios_of(&kernels))
}

fn scenarios_of(kernels: &Path) -> Vec<KernelScenario> {
    let mut scenarios = Vec::new();
    for kernel in super::entries(kernels).iter().filter(|path| path.is_dir()) {
        let folders = super::entries(kernel);
        let folders = folders.iter().filter(|folder| folder.join("truth.json").is_file());
        scenarios.extend(folders.map(|folder| KernelScenario::load(folder, &file_name(kernel))));
    }
    scenarios
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What happened in a scenario.
#[derive(Clone, Debug, Deserialize)]
pub struct KernelTruth {
    /// One sentence.
    pub title: String,
    /// `uname -r`.
    pub kernel_release: String,
    /// `v1` or `v2`.
    pub cgroup_version: String,
    /// The OOM events in log order.
    pub reports: Vec<KernelReport>,
    /// What was written to the limit files, by cgroup. Values are bytes, or words such as `max`.
    #[serde(default)]
    pub limits: BTreeMap<String, serde_json::Value>,
    /// The first report's head is not in the log.
    #[serde(default)]
    pub truncated_head: bool,
    /// The kernel panicked over it.
    #[serde(default)]
    pub panic: bool,
}

/// One OOM event.
#[derive(Clone, Debug, Deserialize)]
pub struct KernelReport {
    /// `memcg`, `none`, `cpuset` or `mempolicy`.
    pub constraint: String,
    /// Who asked for the page. `None` where the head of the report is not in the log.
    pub trigger: Option<KernelTrigger>,
    /// Who died, in the order of the kill lines: with a group kill the first one stands here twice.
    pub victims: Vec<KernelVictim>,
    /// The cgroup whose limit was hit.
    pub oom_cgroup: Option<String>,
    /// The cgroup of the first victim.
    pub task_cgroup: Option<String>,
    /// That cgroup's limit.
    pub limit_bytes: Option<u64>,
    /// Its usage, as printed.
    pub usage_bytes_at_kill: Option<u64>,
    /// As printed.
    pub failcnt: Option<u64>,
    /// Usage and limit in KiB.
    pub swap_usage_limit_kb: Option<[u64; 2]>,
    /// Usage and limit in KiB.
    pub memory_swap_usage_limit_kb: Option<[u64; 2]>,
    /// Usage and limit in KiB.
    pub kmem_usage_limit_kb: Option<[u64; 2]>,
    /// memory.oom.group killed every member.
    #[serde(default)]
    pub oom_group: bool,
    /// Nothing could be killed.
    #[serde(default)]
    pub no_killable: bool,
    /// `0xcc0(GFP_KERNEL)`.
    pub gfp: Option<String>,
    /// −1 for sysrq-f.
    pub order: Option<i32>,
    /// As printed in the header.
    pub trigger_oom_score_adj: Option<i32>,
    /// Rows of the task table.
    pub task_dump_rows: Option<u64>,
    /// The "invoked oom-killer" line is in the log. `None` where only a console was kept.
    pub header_present: Option<bool>,
    /// The `oom-kill:` line is in the log.
    pub constraint_line_present: Option<bool>,
    /// First and last record.
    pub kmsg_seq: Option<[u64; 2]>,
}

/// Who asked for the page.
#[derive(Clone, Debug, Deserialize)]
pub struct KernelTrigger {
    /// A thread id, as printed on the `CPU:` line.
    pub pid: i64,
    /// Its process, where it was one of the scenario's.
    pub tgid: Option<i64>,
    /// Decoded leniently.
    pub comm: String,
    /// The exact bytes.
    pub comm_hex: Option<String>,
}

/// Who died.
#[derive(Clone, Debug, Deserialize)]
pub struct KernelVictim {
    /// In the initial namespace.
    pub pid: i64,
    /// Real user id.
    pub uid: Option<u32>,
    /// Decoded leniently.
    pub comm: String,
    /// The exact bytes.
    pub comm_hex: Option<String>,
    /// As printed.
    pub total_vm_kb: Option<u64>,
    /// As printed.
    pub anon_kb: Option<u64>,
    /// As printed.
    pub file_kb: Option<u64>,
    /// As printed.
    pub shmem_kb: Option<u64>,
    /// As printed.
    pub pgtables_kb: Option<u64>,
    /// As printed.
    pub oom_score_adj: Option<i32>,
    /// Where it lived.
    pub cgroup: Option<String>,
    /// The text before "Killed process".
    pub line_prefix: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scenarios: &[KernelScenario]) {
        for scenario in scenarios {
            let has_log = scenario.kmsg().or_else(|| scenario.console()).is_some_and(|log| !log.is_empty());
            assert!(has_log, "{} has no log", scenario.id());
            assert!(!scenario.truth.reports.is_empty(), "{} has no report", scenario.id());
        }
    }

    /// Every scenario of the repository has a truth that reads, and a log.
    #[test]
    fn own_scenarios_load() {
        let scenarios = own_kernel_scenarios();
        assert!(scenarios.len() >= 20, "{} scenarios", scenarios.len());
        check(&scenarios);
    }

    /// So has every scenario of the shared corpus.
    #[test]
    fn shared_scenarios_load() {
        let Some(scenarios) = shared_kernel_scenarios() else {
            crate::corpus::say_skipped("shared_scenarios_load");
            return;
        };
        assert!(scenarios.len() >= 100, "{} scenarios", scenarios.len());
        check(&scenarios);
    }
}
