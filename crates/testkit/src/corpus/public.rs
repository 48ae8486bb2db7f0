//! Excerpts of public issue threads and mails, read by a person who wrote down what they say.

use serde::Deserialize;
use std::path::{Path, PathBuf};

/// One excerpt.
#[derive(Clone, Debug)]
pub struct PublicLog {
    /// The file's name without its ending: `011-java-el7-dmesgT-two-events`.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Its bytes.
    pub log: Vec<u8>,
    /// What it says.
    pub truth: PublicTruth,
}

/// Every excerpt on this machine: the repository's own, and those of the shared corpus where it is present.
///
/// # Panics
///
/// When one cannot be read.
#[must_use]
pub fn public_logs() -> Vec<PublicLog> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/public");
    let mut folders = super::entries(&own);
    folders.extend(super::shared_root().map(|root| root.join("public")));
    folders.iter().filter(|folder| folder.is_dir()).flat_map(|folder| logs_of(folder)).collect()
}

fn logs_of(folder: &Path) -> Vec<PublicLog> {
    let files = super::entries(folder);
    files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "log")).map(|path| load(path)).collect()
}

fn load(path: &Path) -> PublicLog {
    PublicLog {
        name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        path: path.to_owned(),
        log: super::read(path),
        truth: super::truth(&path.with_extension("truth.json")),
    }
}

/// What an excerpt says, read by eye.
#[derive(Clone, Debug, Deserialize)]
pub struct PublicTruth {
    /// The thread, mail or page it comes from.
    pub source: String,
    /// As far as the thread tells.
    pub kernel: Option<String>,
    /// As far as the thread tells.
    pub arch: Option<String>,
    /// What is wrapped around the kernel's text.
    pub transport: String,
    /// What to beware of, and which other readings are right too.
    pub note: Option<String>,
    /// The text is damaged: cut, wrapped, elided, retyped with errors.
    pub damaged: bool,
    /// More reports than listed that a right reading may find.
    pub extra_reports_ok: u32,
    /// More victims than listed that a right reading may find.
    pub extra_victims_ok: bool,
    /// The OOM events in order. None: the excerpt looks like one and is not.
    pub reports: Vec<PublicReport>,
}

/// One OOM event, as far as the excerpt shows it. `None`: not legible there.
#[derive(Clone, Debug, Deserialize)]
pub struct PublicReport {
    /// `memcg` or `global`.
    pub scope: Option<String>,
    /// `CONSTRAINT_MEMCG`.
    pub constraint: Option<String>,
    /// From the header line.
    pub trigger_comm: Option<String>,
    /// From the `CPU:` or `Pid:` line.
    pub trigger_pid: Option<i64>,
    /// The number alone: `0xcc0`.
    pub gfp_mask: Option<String>,
    /// −1 for sysrq-f.
    pub order: Option<i32>,
    /// The trigger's.
    pub oom_score_adj: Option<i32>,
    /// Of the memory charge.
    pub limit_kb: Option<u64>,
    /// Of the memory charge.
    pub usage_kb: Option<u64>,
    /// Of the memory charge.
    pub failcnt: Option<u64>,
    /// The cgroup whose limit was hit.
    pub oom_cgroup: Option<String>,
    /// The cgroup of the victim.
    pub task_cgroup: Option<String>,
    /// Who died.
    pub victims: Vec<PublicVictim>,
    /// Whole rows of the task table.
    pub task_rows: u64,
    /// Rows that are cut or broken: a reading may have them or not.
    pub task_rows_partial: u64,
    /// Header to kill line, nothing left out.
    pub complete: bool,
    /// Neither header nor kill line.
    pub fragment: bool,
}

/// Who died, as far as the excerpt shows it.
#[derive(Clone, Debug, Deserialize)]
pub struct PublicVictim {
    /// As printed.
    pub pid: i64,
    /// As printed.
    pub comm: String,
    /// As printed.
    pub total_vm_kb: Option<u64>,
    /// As printed.
    pub anon_rss_kb: Option<u64>,
    /// As printed.
    pub file_rss_kb: Option<u64>,
    /// As printed.
    pub shmem_rss_kb: Option<u64>,
    /// Real user id.
    pub uid: Option<u32>,
    /// As printed.
    pub pgtables_kb: Option<u64>,
    /// As printed.
    pub oom_score_adj: Option<i32>,
    /// Of the scored process, where that is the one that died.
    pub score: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every excerpt has a truth that reads, and the names are distinct within their folder.
    #[test]
    fn excerpts_load() {
        let logs = public_logs();
        assert!(logs.len() >= 160, "{} excerpts", logs.len());
        assert!(logs.iter().all(|log| !log.log.is_empty()));
    }
}
