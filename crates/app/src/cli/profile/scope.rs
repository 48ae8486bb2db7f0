//! Whose faults are asked for, in the kernel's terms.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use oomscope_core::evidence::Gap;
use oomscope_core::incident::identity::identify;
use oomscope_core::profile::Target;
use oomscope_sources::cgroup::Hierarchy;
use oomscope_sources::ebpf::FaultFilter;
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::process::Proc;

use crate::cli::inspect::pod;
use crate::cli::target;
use crate::cli::witnesses::Witnesses;

/// The word for the whole machine.
const NODE: &[u8] = b"node";

/// Whose faults.
pub(super) struct Scope {
    pub(super) filter: FaultFilter,
    pub(super) target: Target,
    /// Those that run now.
    pub(super) processes: Vec<u32>,
    pub(super) gaps: Vec<Gap>,
    /// What has to be there while the profile goes on: a cgroup's folder. `None` for a process or the machine.
    pub(super) folder: Option<PathBuf>,
}

/// What was asked for on the command line.
pub(super) struct Asked<'a> {
    pub(super) target: &'a OsStr,
    /// After the word `pod`.
    pub(super) pod: Option<&'a OsStr>,
    pub(super) witnesses: &'a Witnesses,
}

impl Scope {
    /// Finds it. The error says what was looked for, and where.
    pub(super) fn find(asked: &Asked<'_>, root: &HostRoot, proc: &Proc) -> anyhow::Result<Self> {
        if let Some(pod) = asked.pod_name()? {
            let found = pod::find(&pod, asked.witnesses, root)?;
            let mut scope =
                Self::of_target(OsStr::new(&found.uid), root, proc).with_context(|| pod::elsewhere(&found))?;
            scope.target.asked = found.name.as_str().into();
            if let Some(identity) = &mut scope.target.identity {
                found.names.complete(identity);
            }
            scope.gaps.extend(found.gaps);
            return Ok(scope);
        }
        if asked.target.as_bytes() == NODE {
            return Self::of_machine(proc);
        }
        Self::of_target(asked.target, root, proc)
    }

    fn of_machine(proc: &Proc) -> anyhow::Result<Self> {
        Ok(Self {
            filter: FaultFilter::All,
            target: Target { asked: NODE.into(), ..Target::default() },
            processes: proc.pids().context("listing the machine's processes")?,
            gaps: Vec::new(),
            folder: None,
        })
    }

    fn of_target(asked: &OsStr, root: &HostRoot, proc: &Proc) -> anyhow::Result<Self> {
        let hierarchy = Hierarchy::of_this_machine(root)?;
        let found = target::Target::find(asked, &hierarchy, proc)?;
        let cgroup = hierarchy.kernel_path(&found.folder).as_os_str().as_bytes().to_vec();
        let target = Target {
            asked: asked.as_bytes().into(),
            pid: found.pid,
            identity: identify(&cgroup),
            cgroup: Some(cgroup.as_slice().into()),
        };
        let (filter, processes, folder) = match found.pid {
            Some(pid) => (FaultFilter::Processes(vec![pid]), vec![pid], None),
            None => {
                let inode = std::fs::metadata(&found.folder).with_context(|| found.folder.display().to_string())?.ino();
                (FaultFilter::Cgroups(vec![inode]), processes_below(&found.folder), Some(found.folder))
            }
        };
        Ok(Self { filter, target, processes, gaps: Vec::new(), folder })
    }

    /// False once there is nothing left that could have faults.
    pub(super) fn is_there(&self, proc: &Proc) -> bool {
        match (&self.filter, &self.folder) {
            (FaultFilter::Processes(pids), _) => pids.iter().any(|pid| proc.started_ticks(*pid).is_some()),
            (_, Some(folder)) => folder.exists(),
            _ => true,
        }
    }
}

fn processes_below(folder: &std::path::Path) -> Vec<u32> {
    let mut pids = Vec::new();
    target::walk(folder, &mut |folder| {
        let listed = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        pids.extend(listed.lines().filter_map(|pid| pid.parse::<u32>().ok()));
        true
    });
    pids
}

impl Asked<'_> {
    /// `pod NAMESPACE/NAME` or `pod:NAMESPACE/NAME`.
    fn pod_name(&self) -> anyhow::Result<Option<OsString>> {
        match (self.pod, self.target.as_bytes()) {
            (Some(pod), b"pod") => Ok(Some(pod.to_owned())),
            (Some(_), _) => bail!("one target at a time; only `pod` is followed by a name"),
            (None, b"pod") => bail!("which pod? profile pod NAMESPACE/NAME"),
            (None, target) => Ok(target.strip_prefix(b"pod:").map(|name| OsStr::from_bytes(name).to_owned())),
        }
    }
}
