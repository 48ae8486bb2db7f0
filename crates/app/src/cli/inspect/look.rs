//! One look: levels, memory, processes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use anyhow::Context as _;
use oomscope_core::diagnosis::{Counted, MemoryUse};
use oomscope_core::evidence::{Gap, Occasion};
use oomscope_core::formats::cgroup as format;
use oomscope_core::incident::identity::identify;
use oomscope_core::inspect::{InspectedProcess, Inspection, Level, SCHEMA, Target, Totals};
use oomscope_core::recorder::Series;
use oomscope_core::text::Untrusted;
use oomscope_core::time::{BootTime, When};
use oomscope_core::units::{Bytes, Limit};
use oomscope_sources::cgroup::{CgroupFiles, Depth as Sampled, Hierarchy, PeakReset, Version};
use oomscope_sources::clock;
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::process::{Depth, Proc};

use super::pod::{self, FoundPod};
use crate::cases::ThisBoot;
use crate::cli::target;
use crate::progress::Progress;

/// Processes that are looked into.
const MOST_PROCESSES: usize = 10_000;
/// Mappings kept of each process, besides the sums over all.
const MAPPINGS_EACH: usize = 32;
/// Pids named in a gap.
const PIDS_NAMED: usize = 5;

/// Looks into what is on one machine.
pub(in crate::cli) struct Looker {
    root: HostRoot,
    hierarchy: Hierarchy,
    proc: Proc,
    boot: ThisBoot,
    depth: Depth,
}

impl Looker {
    /// # Errors
    /// Where the machine has no memory cgroups.
    pub(in crate::cli) fn new(root: HostRoot, no_pss: bool) -> anyhow::Result<Self> {
        Ok(Self {
            hierarchy: Hierarchy::of_this_machine(&root)?,
            proc: Proc::new(&root),
            boot: ThisBoot::ask(),
            depth: if no_pss { Depth::Names { mappings: usize::MAX } } else { Depth::Full },
            root,
        })
    }

    /// Finds the target anew each time: a pod's cgroup outlives its containers, a container's does not outlive it.
    pub(in crate::cli) fn look(&self, asked: &OsStr) -> anyhow::Result<Inspection> {
        let found = target::Target::find(asked, &self.hierarchy, &self.proc)?;
        let at = clock::since_boot();
        let mut inspection = Inspection {
            schema: SCHEMA.to_owned(),
            at: When { boot_us: Some(at), wall: self.boot.wall_of(at), wall_local: None },
            boot_id: clock::boot_id(&self.root).ok(),
            host: rustix::system::uname().nodename().to_str().ok().map(str::to_owned),
            target: Target { asked: asked.as_bytes().into(), pid: found.pid, ..self.named(&found.folder) },
            ..Inspection::default()
        };
        self.add_levels(&mut inspection, &found.folder, at)?;
        self.add_processes(&mut inspection, &found, at);
        Ok(inspection)
    }

    /// The pod's cgroup, with its spec against what is in force.
    pub(super) fn look_at_pod(&self, pod: &FoundPod) -> anyhow::Result<Inspection> {
        let mut inspection = self.look(OsStr::new(&pod.uid)).with_context(|| pod::elsewhere(pod))?;
        inspection.target.asked = pod.name.as_str().into();
        if let Some(identity) = &mut inspection.target.identity {
            pod.names.complete(identity);
        }
        let cgroup = OsStr::from_bytes(inspection.target.cgroup.as_bytes()).to_owned();
        inspection.in_force = Some(pod::compare(pod, Path::new(&cgroup), &self.root, &self.hierarchy)?);
        inspection.gaps.extend(pod.gaps.iter().cloned());
        Ok(inspection)
    }

    fn named(&self, folder: &Path) -> Target {
        let cgroup = self.name(folder);
        Target {
            identity: identify(cgroup.as_bytes()),
            cgroup,
            cgroup_version: if self.hierarchy.version() == Version::V1 { 1 } else { 2 },
            ..Target::default()
        }
    }

    /// As the kernel's log calls it.
    fn name(&self, folder: &Path) -> Untrusted {
        self.hierarchy.kernel_path(folder).as_os_str().as_bytes().into()
    }

    fn add_levels(&self, inspection: &mut Inspection, folder: &Path, at: BootTime) -> anyhow::Result<()> {
        for cgroup in target::upwards(&self.hierarchy, folder) {
            let mut files = CgroupFiles::open(&self.hierarchy, cgroup, PeakReset::Never)?;
            let level = Level::new(
                self.name(cgroup),
                files.limits()?,
                files.usage()?,
                files.lifetime_peak(),
                files.counters()?,
            );
            inspection.levels.push(level);
            if cgroup == folder {
                self.add_memory(inspection, &mut files, at)?;
            }
        }
        Ok(())
    }

    /// What the target's memory is made of.
    fn add_memory(&self, inspection: &mut Inspection, files: &mut CgroupFiles, at: BootTime) -> anyhow::Result<()> {
        inspection.target.inode = Some(files.inode());
        let sample = files.sample(at, Sampled::Full)?;
        let level = inspection.levels.first();
        let counted = Counted {
            usage: level.and_then(|level| level.usage_bytes),
            limit: level.and_then(|level| level.limits.max_bytes).and_then(Limit::bytes),
            kernel: sample.get(Series::Kernel).map(Bytes).filter(|_| self.hierarchy.version() == Version::V1),
        };
        inspection.memory_stat = files.memory_stat()?;
        inspection.memory = inspection.memory_stat.as_ref().and_then(|stat| MemoryUse::of_files(stat, counted));
        inspection.swap_bytes = sample.get(Series::Swap).map(Bytes);
        inspection.pressure = files.stalls()?;
        inspection.gaps.extend(self.gaps(inspection, files));
        Ok(())
    }

    fn gaps(&self, inspection: &Inspection, files: &CgroupFiles) -> Vec<Gap> {
        let is_v1 = self.hierarchy.version() == Version::V1;
        let stalls = if is_v1 {
            "cgroup v1 does not account them"
        } else {
            "not accounted for it (the kernel's psi=1 turns it on)"
        };
        let stalls = inspection.pressure.is_none().then(|| Gap::new("stalls for memory (PSI)", stalls));
        let kernel = (is_v1 && inspection.memory.is_some())
            .then(|| Gap::new("kinds of kernel memory (slab, page tables, stacks)", "cgroup v1 counts them as one"));
        // What a watcher would want of peaks, one look does not.
        let files = files.gaps().into_iter().filter(|gap| !gap.wanted.contains("peak"));
        files.chain(stalls).chain(kernel).collect()
    }

    fn add_processes(&self, inspection: &mut Inspection, found: &target::Target, at: BootTime) {
        let members = self.members(found);
        if members.len() > MOST_PROCESSES {
            let what = format!("{} of its {} processes", members.len() - MOST_PROCESSES, members.len());
            inspection.gaps.push(Gap::new(what, format!("only {MOST_PROCESSES} are looked into")));
        }
        let resident = |&(pid, _): &(u32, _)| self.proc.read(pid).ok().and_then(|p| p.rss()).map_or(0, |rss| rss.0);
        let sizes: Vec<u64> = members.iter().take(MOST_PROCESSES).map(resident).collect();
        let mut progress = Progress::new("reading the memory of processes", sizes.iter().sum());
        let mut done = 0;
        let mut totals = Totals::default();
        let mut gaps = ProcessGaps::default();
        for ((pid, cgroup), size) in members.into_iter().zip(sizes) {
            if let Some(process) = self.process(pid, cgroup, at, &mut totals, &mut gaps) {
                inspection.processes.push(process);
            }
            done += size;
            progress.at(done);
        }
        inspection.processes.sort_by(|a, b| {
            b.share().cmp(&a.share()).then_with(|| a.snapshot.process.pid.cmp(&b.snapshot.process.pid))
        });
        (inspection.mappings, inspection.fds) = totals.finish();
        inspection.gaps.extend(gaps.finish());
    }

    /// The processes with their cgroups.
    fn members(&self, found: &target::Target) -> Vec<(u32, Untrusted)> {
        if let Some(pid) = found.pid {
            return vec![(pid, self.name(&found.folder))];
        }
        let mut members = Vec::new();
        target::walk(&found.folder, &mut |folder| {
            let procs = std::fs::read(folder.join("cgroup.procs")).unwrap_or_default();
            let name = self.name(folder);
            members.extend(format::pids(&procs).map(|pid| (pid, name.clone())));
            true
        });
        members
    }

    /// `None`: it has ended, or is the kernel's own, without memory of its own.
    fn process(
        &self,
        pid: u32,
        cgroup: Untrusted,
        at: BootTime,
        totals: &mut Totals,
        gaps: &mut ProcessGaps,
    ) -> Option<InspectedProcess> {
        if self.proc.is_kernel_thread(pid) == Some(true) {
            return None;
        }
        let mut taken = self.proc.snapshot(pid, at, Occasion::Request, self.depth);
        let process = &taken.snapshot.process;
        if process.started_ticks.is_none() && process.comm.as_bytes().is_empty() {
            return None;
        }
        // A zombie has no memory any more: nothing is missing.
        if process.rss().is_some() {
            gaps.add(pid, &taken.gaps);
        }
        totals.add(&taken.snapshot);
        if let Some(mappings) = &mut taken.snapshot.mappings {
            mappings.truncate(MAPPINGS_EACH);
        }
        Some(InspectedProcess { cgroup, snapshot: taken.snapshot })
    }
}

/// What is missing of processes, the same of several as one.
#[derive(Default)]
struct ProcessGaps {
    /// What and why, of whom.
    of: BTreeMap<(String, String), Vec<u32>>,
}

impl ProcessGaps {
    fn add(&mut self, pid: u32, gaps: &[Gap]) {
        let of_whom = format!(" of process {pid}");
        for gap in gaps {
            let what = gap.wanted.strip_suffix(&of_whom).unwrap_or(&gap.wanted).to_owned();
            self.of.entry((what, gap.why.clone())).or_default().push(pid);
        }
    }

    fn finish(self) -> impl Iterator<Item = Gap> {
        self.of.into_iter().map(|((what, why), pids)| {
            let named: Vec<_> = pids.iter().take(PIDS_NAMED).map(u32::to_string).collect();
            let whom = match pids.len() {
                1 => format!("process {}", named.concat()),
                n if n <= PIDS_NAMED => format!("processes {}", named.join(", ")),
                n => format!("{n} processes ({}, …)", named.join(", ")),
            };
            let needs = if why.contains("ermission denied") { "; it takes CAP_SYS_PTRACE" } else { "" };
            Gap::new(format!("{what} of {whom}"), format!("{why}{needs}"))
        })
    }
}
