//! Who is in the ranking: the processes below a cgroup, or all.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use oomscope_core::evidence::Gap;
use oomscope_core::formats::cgroup as format;
use oomscope_core::next::Candidate;
use oomscope_core::text::Untrusted;
use oomscope_sources::cgroup::Hierarchy;

use super::Host;
use crate::cli::target::walk;

/// Every process of the machine.
pub(super) fn of_node(host: &Host, gaps: &mut Vec<Gap>) -> anyhow::Result<Vec<Candidate>> {
    let pids = host.proc.pids().context("listing /proc")?;
    let hierarchy = host.hierarchy.as_ref().map_err(|error| {
        gaps.push(Gap::new("cgroups that are killed as a whole", error.to_string()));
    });
    let mut groups = hierarchy.ok().map(|hierarchy| Groups::new(hierarchy.mount()));
    let is_init = has_init(host);
    let candidate = |pid| {
        let cgroup = host.proc.memory_cgroup(pid);
        let folder =
            host.hierarchy.as_ref().ok().zip(cgroup.as_ref()).and_then(|(hierarchy, path)| folder(hierarchy, path));
        let group = groups.as_mut().zip(folder).and_then(|(groups, folder)| groups.of(&folder));
        let dies_with = group.zip(host.hierarchy.as_ref().ok()).map(|(group, hierarchy)| name(hierarchy, &group));
        candidate(host, pid, cgroup, dies_with, is_init)
    };
    Ok(pids.into_iter().filter_map(candidate).collect())
}

/// Every process of a cgroup and of those below it.
pub(super) fn of_cgroup(host: &Host, hierarchy: &Hierarchy, domain: &Path) -> Vec<Candidate> {
    let mut groups = Groups::new(domain);
    let is_init = has_init(host);
    let mut candidates = Vec::new();
    walk(domain, &mut |folder| {
        let procs = std::fs::read(folder.join("cgroup.procs")).unwrap_or_default();
        let dies_with = groups.of(folder).map(|group| name(hierarchy, &group));
        let cgroup = name(hierarchy, folder);
        let found = format::pids(&procs);
        candidates
            .extend(found.filter_map(|pid| candidate(host, pid, Some(cgroup.clone()), dies_with.clone(), is_init)));
        true
    });
    candidates
}

/// `None`: it has ended meanwhile.
fn candidate(
    host: &Host,
    pid: u32,
    cgroup: Option<Untrusted>,
    dies_with: Option<Untrusted>,
    has_init: bool,
) -> Option<Candidate> {
    let process = host.proc.read(pid).ok()?;
    Some(Candidate { process, cgroup, dies_with, is_init: pid == 1 && has_init })
}

/// Where it cannot be seen, process 1 is taken for the machine's.
fn has_init(host: &Host) -> bool {
    host.proc.has_init_of_machine().unwrap_or(true)
}

fn name(hierarchy: &Hierarchy, folder: &Path) -> Untrusted {
    hierarchy.kernel_path(folder).as_os_str().as_bytes().into()
}

fn folder(hierarchy: &Hierarchy, path: &Untrusted) -> Option<PathBuf> {
    hierarchy.folder(Path::new(OsStr::from_bytes(path.as_bytes())))
}

/// Which cgroup is killed as a whole with one of its processes: the topmost with `memory.oom.group` that lies within the domain
/// (mm/memcontrol.c, `mem_cgroup_get_oom_group()`). Only v2 has that.
struct Groups<'a> {
    domain: &'a Path,
    known: HashMap<PathBuf, bool>,
}

impl<'a> Groups<'a> {
    fn new(domain: &'a Path) -> Self {
        Self { domain, known: HashMap::new() }
    }

    fn of(&mut self, folder: &Path) -> Option<PathBuf> {
        let domain = self.domain;
        let within = folder.ancestors().take_while(|level| level.starts_with(domain));
        within.filter(|level| self.is_group(level)).last().map(Path::to_owned)
    }

    fn is_group(&mut self, folder: &Path) -> bool {
        if let Some(known) = self.known.get(folder) {
            return *known;
        }
        let text = std::fs::read(folder.join("memory.oom.group")).ok();
        let is_group = text.and_then(|text| format::flag(&text)) == Some(true);
        self.known.insert(folder.to_owned(), is_group);
        is_group
    }
}
