//! A made-up machine from recorded cgroups: its /proc and /sys/fs/cgroup, with the numbers of a real node, on cgroup v1 as they were
//! recorded, or put into the files and names of v2 with the systemd driver.

use std::path::Path;

use oomscope_core::formats::cgroup::Version;
use serde_json::Value;
use tempfile::TempDir;

/// What the node had besides; the charges of the recorded cgroups fit into it.
const MEMINFO: &str = "MemTotal: 24684092 kB\nMemFree: 20000000 kB\nMemAvailable: 23000000 kB\nBuffers: 40000 kB\nCached: 3000000 kB\n\
                       SwapCached: 0 kB\nInactive(file): 1500000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\nAnonPages: 700000 kB\nShmem: 9000 kB\n\
                       SReclaimable: 400000 kB\nSUnreclaim: 90000 kB\nKernelStack: 3000 kB\nPageTables: 6000 kB\nPercpu: 1600 kB\n\
                       VmallocUsed: 18000 kB\nHugetlb: 0 kB\n";

/// Writes it. `cgroups`: a recorded `cgroup-*.json`.
///
/// # Panics
/// Where the record is not one, or the disk is full.
#[must_use]
pub fn machine(cgroups: &Value, version: Version) -> TempDir {
    let folder = TempDir::new().unwrap_or_else(|error| panic!("a folder for the machine: {error}"));
    let machine = Machine { root: folder.path(), version };
    machine.system();
    for cgroup in cgroups.as_array().map(Vec::as_slice).unwrap_or_default() {
        machine.cgroup(cgroup);
    }
    folder
}

/// The path of a recorded cgroup as the machine's version and driver name it.
#[must_use]
pub fn path_of(recorded: &str, version: Version) -> String {
    if version == Version::V1 {
        return recorded.to_owned();
    }
    let mut path = String::new();
    let mut slice = String::new();
    for part in recorded.split('/').filter(|part| !part.is_empty()) {
        if path.contains("-pod") {
            path.push_str(&format!("/cri-containerd-{part}.scope"));
        } else {
            let part = part.replace('-', "_");
            slice = if slice.is_empty() { part } else { format!("{slice}-{part}") };
            path.push_str(&format!("/{slice}.slice"));
        }
    }
    path
}

struct Machine<'a> {
    root: &'a Path,
    version: Version,
}

impl Machine<'_> {
    fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path.trim_start_matches('/'));
        let folder = path.parent().unwrap_or(self.root);
        let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, text));
        written.unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
    }

    fn mount(&self) -> &'static str {
        if self.version == Version::V1 { "/sys/fs/cgroup/memory" } else { "/sys/fs/cgroup" }
    }

    fn system(&self) {
        let mount = self.mount();
        self.write("/proc/meminfo", MEMINFO);
        self.write("/proc/vmstat", "oom_kill 0\n");
        self.write("/proc/zoneinfo", "Node 0, zone   Normal\n  pagesets\n    cpu: 0\n              count:    1000\n");
        self.write("/proc/sys/kernel/hostname", "node-1\n");
        self.write("/proc/sys/kernel/osrelease", "6.12.0\n");
        self.write("/proc/self/cgroup", "4:memory:/\n0::/\n");
        if self.version == Version::V1 {
            self.write("/proc/self/mountinfo", &format!("35 31 0:32 / {mount} rw - cgroup cgroup rw,memory\n"));
            self.write(&format!("{mount}/release_agent"), "");
        } else {
            self.write("/proc/self/mountinfo", &format!("30 24 0:26 / {mount} rw - cgroup2 cgroup2 rw\n"));
            self.write(&format!("{mount}/cgroup.controllers"), "cpu memory\n");
            self.write(&format!("{mount}/memory.stat"), "anon 716800000\nfile 3112960000\ninactive_file 1536000000\n");
        }
        self.write(&format!("{mount}/cgroup.procs"), "");
    }

    fn cgroup(&self, recorded: &Value) {
        let path = recorded["path"].as_str().unwrap_or_default();
        let folder = format!("{}{}", self.mount(), path_of(path, self.version));
        let files: Vec<_> =
            recorded.as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("memory.")).collect();
        match self.version {
            Version::V1 => {
                for (name, text) in files {
                    self.write(&format!("{folder}/{name}"), text.as_str().unwrap_or_default());
                }
            }
            Version::V2 => self.unified(&folder, recorded),
        }
        let processes = recorded["procs"].as_array().map(Vec::as_slice).unwrap_or_default();
        let pids: String = processes.iter().map(|process| format!("{}\n", process["pid"])).collect();
        self.write(&format!("{folder}/cgroup.procs"), &pids);
        processes.iter().for_each(|process| self.process(process, path));
    }

    fn unified(&self, folder: &str, recorded: &Value) {
        let text = |name: &str| recorded[name].as_str().unwrap_or_default().trim().to_owned();
        let stat = text("memory.stat");
        let number =
            |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or("0");
        let limit = text("memory.limit_in_bytes");
        let limit = if limit.len() > 18 { "max".to_owned() } else { limit };
        let is_container = folder.ends_with(".scope");
        for (name, text) in [
            ("memory.current", text("memory.usage_in_bytes")),
            ("memory.max", limit),
            ("memory.high", "max".to_owned()),
            ("memory.min", "0".to_owned()),
            ("memory.low", "0".to_owned()),
            ("memory.swap.max", "0".to_owned()),
            ("memory.oom.group", u8::from(is_container).to_string()),
            ("cgroup.controllers", "memory".to_owned()),
            ("cgroup.events", "populated 1".to_owned()),
        ] {
            self.write(&format!("{folder}/{name}"), &format!("{text}\n"));
        }
        let kernel = text("memory.kmem.usage_in_bytes");
        let (anon, file) = (number("total_rss"), number("total_cache"));
        let (shmem, inactive) = (number("total_shmem"), number("total_inactive_file"));
        let stat = format!(
            "anon {anon}\nfile {file}\nkernel {kernel}\nshmem {shmem}\ninactive_file {inactive}\nslab_reclaimable 0\n"
        );
        self.write(&format!("{folder}/memory.stat"), &stat);
    }

    fn process(&self, process: &Value, cgroup: &str) {
        let pid = &process["pid"];
        let text = |name: &str| process[name].as_str().unwrap_or("0 kB");
        let folder = format!("/proc/{pid}");
        let status = format!(
            "Tgid:\t{pid}\nRssAnon:\t{}\nRssFile:\t{}\nRssShmem:\t{}\n",
            text("RssAnon"),
            text("RssFile"),
            text("RssShmem")
        );
        self.write(&format!("{folder}/status"), &status);
        self.write(&format!("{folder}/comm"), &format!("{}\n", text("comm")));
        self.write(&format!("{folder}/oom_score_adj"), &format!("{}\n", text("oom_score_adj")));
        let path = path_of(cgroup, self.version);
        let line = if self.version == Version::V1 { format!("4:memory:{path}\n") } else { format!("0::{path}\n") };
        self.write(&format!("{folder}/cgroup"), &line);
    }
}
