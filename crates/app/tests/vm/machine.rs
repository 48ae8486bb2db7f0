//! Boots a guest for a test and hands its results to the comparison.

use std::path::PathBuf;

pub(crate) use oomscope_testkit::vm::Cgroups;
use oomscope_testkit::vm::{self, Guest, Kernel};

use crate::check;

/// Runs every scenario on this kernel (`None`: the newest), and compares. Fails with all that differed.
#[track_caller]
pub(crate) fn watch_every_kill(version: Option<(u32, u32)>, cgroups: Cgroups) {
    if std::env::var_os("OOMSCOPE_NO_VM").is_some() {
        eprintln!("SKIPPED virtual machines: OOMSCOPE_NO_VM is set");
        return;
    }
    let oomscope = match prerequisites() {
        Ok(oomscope) => oomscope,
        Err(why) if required() => panic!("{why}"),
        Err(why) => {
            eprintln!("SKIPPED virtual machines: {why}");
            return;
        }
    };
    let kernel = version.map_or_else(Kernel::newest, |(major, minor)| Kernel::of_version(major, minor)).unwrap();
    let (major, minor) = kernel.version();
    let results = vm::root().join("results").join(format!("{major}.{minor}-{cgroups:?}").to_lowercase());
    if std::env::var_os("OOMSCOPE_VM_AGAIN").is_none() {
        Guest { kernel, cgroups, scenarios: some_scenarios(), oomscope }.run(&results).unwrap();
    }

    let differences = check::results(&results).unwrap();
    assert!(
        differences.is_empty(),
        "{} (results in {}):\n{}",
        differences.len(),
        results.display(),
        differences.join("\n")
    );
}

fn prerequisites() -> Result<PathBuf, String> {
    let oomscope =
        std::env::var_os("OOMSCOPE_STATIC").ok_or("OOMSCOPE_STATIC names no static oomscope (make test builds one)")?;
    vm::unavailable().map_or(Ok(PathBuf::from(oomscope)), Err)
}

fn required() -> bool {
    std::env::var("OOMSCOPE_VM").is_ok_and(|value| value == "required")
}

fn some_scenarios() -> Vec<String> {
    let names = std::env::var("OOMSCOPE_VM_SCENARIOS").unwrap_or_default();
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
