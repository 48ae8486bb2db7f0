//! The dear files of one process, at a moment that matters.

use oomscope_core::evidence::{Gap, Mapping, Occasion, Process, Snapshot};
use oomscope_core::formats::proc::{MAX_NAMES, MappingSums, SmapsRollup};
use oomscope_core::time::BootTime;

use super::folder::Folder;
use super::{Proc, cheap_files, cmdline, fds};

/// Lines of maps or smaps that are read: as many mappings as `vm.max_map_count` ordinarily allows, 25 lines each, twice.
const MAX_LINES: usize = 65_536 * 50;

/// 25 lines.
const MAX_ROLLUP: usize = 8192;
const GIVEN_UP: &str = "its memory was already given up";

/// How much to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// `maps` alone, for the names and the address space: cheap however much memory there is. Keeps as many mappings as said, the
    /// largest.
    Names {
        /// How many.
        mappings: usize,
    },
    /// `smaps_rollup` for the sums, `maps` for the names: what can be had in the window after a kill decision. Keeps as many mappings
    /// as said, the largest.
    Sums {
        /// How many.
        mappings: usize,
    },
    /// `smaps` too: every mapping with what is resident of it. Twice as dear.
    Full,
}

/// A snapshot, with what is missing from it and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What was had.
    pub snapshot: Snapshot,
    /// What was not.
    pub gaps: Vec<Gap>,
}

impl Proc {
    /// Reads everything of one process, in the order in which a process that is being killed gives it up: `maps` goes first, and
    /// `smaps_rollup`, which takes longest, is tried last. Each part may be missing. `at` is the reader's clock.
    #[must_use]
    pub fn snapshot(&self, pid: u32, at: BootTime, occasion: Occasion, depth: Depth) -> Taken {
        let process = Process { pid, ..Process::default() };
        let mut taken = Taken { snapshot: Snapshot { at, occasion, process, ..Snapshot::default() }, gaps: Vec::new() };
        match Folder::open(&self.folder, pid) {
            Ok(folder) => {
                taken.read_mappings(&folder, depth);
                taken.read_cheap_files(&folder);
                taken.count_fds(&folder);
                if !matches!(depth, Depth::Names { .. }) {
                    taken.read_pss(&folder);
                }
            }
            Err(e) => taken.lacks("a snapshot", e.to_string()),
        }
        taken
    }
}

impl Taken {
    fn read_mappings(&mut self, folder: &Folder, depth: Depth) {
        let (name, most) = match depth {
            Depth::Names { mappings } | Depth::Sums { mappings } => ("maps", mappings),
            Depth::Full => ("smaps", usize::MAX),
        };
        match mappings(folder, name) {
            Ok((mut mappings, cut)) => {
                mappings.truncate(most);
                self.snapshot.mappings = Some(mappings);
                cut.into_iter().for_each(|why| self.lacks("some mappings", why));
            }
            Err(e) => self.lacks("mappings", e.to_string()),
        }
    }

    fn read_cheap_files(&mut self, folder: &Folder) {
        match cheap_files(folder, self.snapshot.process.pid) {
            Ok(process) => self.snapshot.process = Process { cmdline: cmdline(folder), ..process },
            Err(e) => self.lacks("status", e.to_string()),
        }
    }

    fn count_fds(&mut self, folder: &Folder) {
        let Some(fds) = fds::count(folder) else {
            return self.lacks("open files", "it ended, or may not be looked into".to_owned());
        };
        self.snapshot.fds = Some(fds.kinds);
        if fds.cut {
            self.lacks("some open files", format!("it has more than the {} that are looked at", fds::MAX_FDS));
        }
    }

    fn read_pss(&mut self, folder: &Folder) {
        match folder.try_read("smaps_rollup", MAX_ROLLUP) {
            // Once the memory is given up the file is empty rather than refused.
            Ok(bytes) if bytes.is_empty() => self.lacks("PSS", GIVEN_UP.to_owned()),
            Ok(bytes) => {
                let rollup = SmapsRollup::parse(&bytes);
                self.snapshot.pss_bytes = rollup.pss;
                self.snapshot.pss_anon_bytes = rollup.pss_anon;
                self.snapshot.pss_file_bytes = rollup.pss_file;
                self.snapshot.pss_shmem_bytes = rollup.pss_shmem;
            }
            Err(e) => self.lacks("PSS", e.to_string()),
        }
    }

    fn lacks(&mut self, what: &str, why: String) {
        let pid = self.snapshot.process.pid;
        self.gaps.push(Gap::new(format!("{what} of process {pid}"), why));
    }
}

/// The mappings by name, and why there are not all of them, where there are not.
fn mappings(folder: &Folder, name: &str) -> std::io::Result<(Vec<Mapping>, Option<String>)> {
    let mut sums = MappingSums::default();
    let mut seen = false;
    let all = folder.lines(name, MAX_LINES, |line| {
        seen = true;
        sums.line(line);
    })?;
    if !all {
        return Ok((sums.finish(), Some(format!("it has more than the {MAX_LINES} lines of {name} that are read"))));
    }
    if !seen {
        return Err(std::io::Error::other(GIVEN_UP));
    }
    let cut = sums.overflowed().then(|| format!("more than {MAX_NAMES} names; the rest stand together"));
    Ok((sums.finish(), cut))
}
