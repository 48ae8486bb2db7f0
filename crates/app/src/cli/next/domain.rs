//! Where memory would run out: which limit, how full.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use oomscope_core::evidence::Limits;
use oomscope_core::formats::cgroup as format;
use oomscope_core::next::Domain;
use oomscope_core::recorder::{Sample, Series};
use oomscope_core::time::BootTime;
use oomscope_core::units::{Bytes, Limit};
use oomscope_sources::cgroup::{CgroupFiles, Depth, Hierarchy, PeakReset, Version};
use oomscope_sources::node::NodeReading;
use std::os::unix::ffi::OsStrExt as _;

use super::Host;
use crate::cli::target::upwards;

/// The machine's memory and swap.
pub(super) fn of_node(node: &NodeReading) -> Domain {
    let memory = &node.meminfo;
    let but = |less: Option<Bytes>| Some(Bytes(memory.total()?.0.saturating_sub(less?.0)));
    Domain {
        limit_bytes: memory.total(),
        swap_limit_bytes: memory.swap_total().unwrap_or_default(),
        swap_free_bytes: memory.swap_free().unwrap_or_default(),
        usage_bytes: but(memory.get("MemFree")),
        unreclaimable_bytes: but(memory.available()),
        ..Domain::default()
    }
}

/// Of the cgroup and those above it the limit with the least room; of equals the outermost, to which the most is charged. `None`: none of
/// them has a limit.
pub(super) fn nearest(hierarchy: &Hierarchy, folder: &Path, host: &Host) -> anyhow::Result<Option<(PathBuf, Domain)>> {
    let mut levels = Vec::new();
    for level in upwards(hierarchy, folder) {
        let cgroup = Cgroup::read(hierarchy, level)?;
        if let Some(Limit::At(limit)) = cgroup.limits.max_bytes {
            levels.push((level.to_owned(), cgroup.domain(limit, host)));
        }
    }
    levels.reverse();
    Ok(levels.into_iter().min_by_key(|(_, domain)| domain.room().unwrap_or(Bytes(u64::MAX))))
}

/// The cgroup with another limit.
pub(super) fn supposed(
    hierarchy: &Hierarchy,
    folder: &Path,
    limit: Bytes,
    host: &Host,
) -> anyhow::Result<(PathBuf, Domain)> {
    let cgroup = Cgroup::read(hierarchy, folder)?;
    if cgroup.sample.get(Series::Current).is_none() {
        bail!("the memory controller is not on for {}: it cannot be limited", folder.display());
    }
    let domain = Domain { limit_is_supposed: true, ..cgroup.domain(limit, host) };
    Ok((folder.to_owned(), domain))
}

/// What the files of one cgroup say.
struct Cgroup {
    folder: PathBuf,
    path: PathBuf,
    version: Version,
    limits: Limits,
    sample: Sample,
}

impl Cgroup {
    fn read(hierarchy: &Hierarchy, folder: &Path) -> anyhow::Result<Self> {
        let mut files = CgroupFiles::open(hierarchy, folder, PeakReset::Never)?;
        Ok(Self {
            folder: folder.to_owned(),
            path: hierarchy.kernel_path(folder),
            version: hierarchy.version(),
            limits: files.limits()?,
            // When it was read does not matter here.
            sample: files.sample(BootTime::default(), Depth::Full).context("reading how full it is")?,
        })
    }

    fn domain(&self, limit: Bytes, host: &Host) -> Domain {
        let swap_limit = self.swap_limit(limit, host);
        let swapped = self.sample.get(Series::Swap).unwrap_or(0);
        let swap_free = host.node.meminfo.swap_free().unwrap_or_default();
        let mut domain = Domain {
            cgroup: Some(self.path.as_os_str().as_bytes().into()),
            limit_bytes: Some(limit),
            swap_limit_bytes: swap_limit,
            swap_free_bytes: Bytes(swap_limit.0.saturating_sub(swapped)).min(swap_free),
            oom_kill_disabled: self.limits.oom_kill_disable == Some(true),
            ..Domain::default()
        };
        domain.fill_from(&self.sample);
        domain
    }

    /// What `mem_cgroup_get_max()` adds to the limit: the swap that the cgroup may use and the machine has, unless it is not to swap.
    fn swap_limit(&self, limit: Bytes, host: &Host) -> Bytes {
        let all = host.node.meminfo.swap_total().unwrap_or_default();
        let swappiness = match self.version {
            Version::V1 => {
                let own = std::fs::read(self.folder.join("memory.swappiness")).ok();
                own.and_then(|text| format::number(&text))
            }
            Version::V2 => host.swappiness,
        };
        if swappiness == Some(0) {
            return Bytes(0);
        }
        match (self.limits.swap_max_bytes, self.limits.memory_swap_max_bytes) {
            (Some(Limit::At(swap)), _) => swap.min(all),
            (None, Some(Limit::At(both))) => Bytes(both.0.saturating_sub(limit.0)).min(all),
            (Some(Limit::Unlimited), _) | (None, Some(Limit::Unlimited)) => all,
            // Swap is not accounted: the kernel then adds none on v2, and all there is on v1, where there is no limit.
            (None, None) => {
                if self.version == Version::V1 {
                    all
                } else {
                    Bytes(0)
                }
            }
        }
    }
}
