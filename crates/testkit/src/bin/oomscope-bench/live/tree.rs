//! Memory cgroups of the benchmark's own: one parent, everything below it.

use anyhow::{Context as _, Result};
use oomscope_core::units::Bytes;
use oomscope_sources::cgroup::{Scratch, Version};
use oomscope_sources::host_root::HostRoot;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// All that is below may use so much together: the machine is to survive a mistake.
const TOGETHER: Bytes = Bytes(2 << 30);

/// The parent. Dropped after the cgroups in it, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Tree {
    scratch: Scratch,
}

impl Tree {
    pub(crate) fn create() -> Result<Self> {
        Ok(Self { scratch: Scratch::create(&HostRoot::default(), TOGETHER)? })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.scratch.folder()
    }

    /// A cgroup below the parent.
    pub(crate) fn cgroup(&self, name: &str, limit: Option<usize>) -> Result<Cgroup> {
        Cgroup::create(self.scratch.version(), self.folder(), name, limit)
    }
}

/// A cgroup below a [`Tree`]; dropping it removes it.
#[derive(Debug)]
pub(crate) struct Cgroup {
    version: Version,
    folder: PathBuf,
}

impl Cgroup {
    fn create(version: Version, parent: &Path, name: &str, limit: Option<usize>) -> Result<Self> {
        if version == Version::V2 {
            write(&parent.join("cgroup.subtree_control"), "+memory")?;
        }
        let folder = parent.join(name);
        std::fs::create_dir(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let cgroup = Self { version, folder };
        if let Some(limit) = limit {
            cgroup.set_limit(&limit.to_string())?;
        }
        Ok(cgroup)
    }

    /// A cgroup below this one.
    pub(crate) fn cgroup(&self, name: &str, limit: Option<usize>) -> Result<Self> {
        Self::create(self.version, &self.folder, name, limit)
    }

    /// Of memory; swap is none.
    fn set_limit(&self, limit: &str) -> Result<()> {
        let (memory, swap, no_swap) = match self.version {
            Version::V1 => ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", limit),
            Version::V2 => ("memory.max", "memory.swap.max", "0"),
        };
        write(&self.folder.join(memory), limit)?;
        let swap = self.folder.join(swap);
        if swap.exists() { write(&swap, no_swap) } else { Ok(()) }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is charged to it now, as any sampler reads it.
    pub(crate) fn usage(&self) -> Result<u64> {
        self.reader()()
    }

    /// [`Cgroup::usage`] for another thread.
    pub(crate) fn reader(&self) -> impl Fn() -> Result<u64> + use<> {
        let file = self.folder.join(match self.version {
            Version::V1 => "memory.usage_in_bytes",
            Version::V2 => "memory.current",
        });
        move || number(&std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?)
    }

    /// The kernel's own account of the highest charge from now on.
    pub(crate) fn highest_from_now(&self) -> Result<Highest> {
        let path = self.folder.join(match self.version {
            Version::V1 => "memory.max_usage_in_bytes",
            Version::V2 => "memory.peak",
        });
        let open = OpenOptions::new().read(true).write(true).open(&path);
        let file = open.with_context(|| format!("opening {} (v2: Linux 6.12)", path.display()))?;
        // What is written does not matter; on v2 it concerns this open file alone.
        (&file).write_all(b"0").with_context(|| format!("resetting {}", path.display()))?;
        Ok(Highest(file))
    }
}

impl Drop for Cgroup {
    /// A killed process leaves only when its memory is given back; until then the kernel says `EBUSY`.
    fn drop(&mut self) {
        let started = Instant::now();
        while std::fs::remove_dir(&self.folder).is_err() && started.elapsed() < Duration::from_secs(3) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// See [`Cgroup::highest_from_now`].
#[derive(Debug)]
pub(crate) struct Highest(File);

impl Highest {
    pub(crate) fn bytes(&self) -> Result<u64> {
        let mut text = [0; 32];
        let length = self.0.read_at(&mut text, 0).context("reading the highest charge")?;
        number(text.get(..length).unwrap_or_default())
    }
}

fn number(text: &[u8]) -> Result<u64> {
    let text = String::from_utf8_lossy(text);
    text.trim().parse().with_context(|| format!("{text:?} is not a number"))
}

fn write(file: &Path, value: &str) -> Result<()> {
    std::fs::write(file, value).with_context(|| format!("writing {value:?} to {}", file.display()))
}
