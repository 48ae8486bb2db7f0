//! Recorded kernel logs and what is known to be true of them.
//!
//! Two collections, two schemas of truth:
//!
//! - **kernel scenarios**: machines that were made to run out of memory in a known way, with their log. A selection, cut to
//!   the reports, is in `crates/testkit/corpus/kernel` and always there. The whole is large and lives outside the repository,
//!   in `corpus/kernel` of the folder `shared` beside the workspace, or where `OOMSCOPE_CORPUS` says. Absent,
//!   [`shared_kernel_scenarios`] answers `None`, and a test says that it skipped.
//! - **public logs**: excerpts of what people pasted into issues and mails, every damage included. Those in
//!   `crates/testkit/corpus/public` are always there; those in `corpus/public` of the other place are added.
//!
//! In both, a field that is `None` is not known or was not printed: nothing may be concluded from it.

mod kernel;
mod public;

pub use kernel::{
    KernelReport, KernelScenario, KernelTrigger, KernelTruth, KernelVictim, own_kernel_scenarios,
    shared_kernel_scenarios,
};
pub use public::{PublicLog, PublicReport, PublicTruth, PublicVictim, public_logs};

use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// A few whole /dev/kmsg recordings of the repository's own, by name: `6.12-v2-b`. Always there.
///
/// # Panics
///
/// When one cannot be read.
#[must_use]
pub fn kmsg_samples() -> Vec<(String, Vec<u8>)> {
    let files = entries(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/kernel"));
    let recordings = files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "kmsg"));
    recordings.map(|path| (path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), read(path))).collect()
}

/// The folder that has `kernel/` and `public/`, if there is one.
#[must_use]
pub fn shared_root() -> Option<PathBuf> {
    let root =
        std::env::var_os("OOMSCOPE_CORPUS").map_or_else(|| workspace_root().join("../shared/corpus"), PathBuf::from);
    root.is_dir().then_some(root)
}

/// The folder of the workspace's `Cargo.toml`.
#[must_use]
pub fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// For a test that needs the kernel scenarios where there are none.
#[allow(clippy::print_stderr, reason = "a test that did nothing must not look like one that passed")]
pub fn say_skipped(test: &str) {
    eprintln!("SKIPPED {test}: no shared kernel scenarios on this machine (OOMSCOPE_CORPUS)");
}

/// The sorted entries of a folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("listing {}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = listed.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
}

fn truth<T: DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
