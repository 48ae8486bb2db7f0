//! The kernels that were fetched, and the tools that boot them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// One kernel of `target/vm/kernels`.
#[derive(Clone, Debug)]
pub struct Kernel {
    dir: PathBuf,
    version: (u32, u32),
}

impl Kernel {
    /// All that were fetched, oldest first.
    ///
    /// # Errors
    ///
    /// There is no folder of kernels, or it holds something else.
    pub fn all() -> Result<Vec<Self>> {
        let folder = root().join("kernels");
        let entries = std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
        let mut kernels = Vec::new();
        for entry in entries {
            let dir = entry?.path();
            let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let version =
                name.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
            if let Some(version) = version {
                kernels.push(Self { dir, version });
            }
        }
        ensure!(!kernels.is_empty(), "{} holds no kernel", folder.display());
        kernels.sort_by_key(|kernel| kernel.version);
        Ok(kernels)
    }

    /// The kernel of this version, such as (6, 1).
    ///
    /// # Errors
    ///
    /// It was not fetched.
    pub fn of_version(major: u32, minor: u32) -> Result<Self> {
        let found = Self::all()?.into_iter().find(|kernel| kernel.version == (major, minor));
        found.with_context(|| format!("kernel {major}.{minor} was not fetched"))
    }

    /// The newest one.
    ///
    /// # Errors
    ///
    /// None was fetched.
    pub fn newest() -> Result<Self> {
        Self::all()?.pop().context("no kernel was fetched")
    }

    /// Major and minor version.
    #[must_use]
    pub const fn version(&self) -> (u32, u32) {
        self.version
    }

    /// What QEMU boots.
    #[must_use]
    pub fn image(&self) -> PathBuf {
        self.dir.join("vmlinuz")
    }

    /// The modules for the guest's disks, in the order in which they are loaded.
    pub(super) fn modules(&self) -> Result<Vec<PathBuf>> {
        let mut modules = Vec::new();
        for entry in std::fs::read_dir(self.dir.join("modules"))? {
            modules.push(entry?.path());
        }
        modules.sort();
        Ok(modules)
    }
}

/// `target/vm`: where `scripts/vm/kernels` puts what it fetched, and tests their results.
#[must_use]
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).join("target/vm")
}

/// Why no guest can be booted here; `None` where one can.
#[must_use]
pub fn unavailable() -> Option<String> {
    if let Err(e) = Kernel::all() {
        return Some(format!("{e:#} (scripts/vm/kernels fetches them)"));
    }
    if !root().join("busybox").exists() {
        return Some("no busybox in target/vm (scripts/vm/kernels fetches it)".to_owned());
    }
    [("qemu-system-x86_64", "--version"), ("cc", "--version"), ("tar", "--version")].into_iter().find_map(
        |(tool, argument)| {
            let run = Command::new(tool).arg(argument).output();
            run.err().map(|e| format!("{tool}: {e}"))
        },
    )
}
