//! The dear files of one process, at a moment that matters.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};

use oomscope_core::evidence::{Gap, Mapping, Occasion, Process, Snapshot};
use oomscope_core::formats::proc::{MAX_NAMES, MappingSums, SmapsRollup};
use oomscope_core::time::BootTime;
use rustix::fs::OFlags;

use super::folder::Folder;
use super::{Proc, cheap_files, fds};

/// A line of maps is a path of at most a page and some numbers.
const MAX_LINE: u64 = 8192;
/// Lines of maps or smaps that are read: as many mappings as `vm.max_map_count` ordinarily allows, 25 lines each, twice.
const MAX_LINES: usize = 65_536 * 50;

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
        let mut gaps = Vec::new();
        let mut missing = |what: &str, why: String| gaps.push(Gap::new(format!("{what} of process {pid}"), why));
        let mut snapshot =
            Snapshot { at, occasion, process: Process { pid, ..Process::default() }, ..Snapshot::default() };
        let folder = match Folder::open(&self.folder, pid) {
            Ok(folder) => folder,
            Err(e) => {
                missing("a snapshot", e.to_string());
                return Taken { snapshot, gaps };
            }
        };
        let mappings_file = if depth == Depth::Full { "smaps" } else { "maps" };
        // In a hurry maps must be first; with time to spare the order does not matter.
        match mappings(&folder, mappings_file) {
            Ok((mappings, cut)) => {
                snapshot.mappings = Some(mappings);
                cut.into_iter().for_each(|why| missing("some mappings", why));
            }
            Err(e) => missing("mappings", e.to_string()),
        }
        match cheap_files(&folder, pid) {
            Ok(process) => snapshot.process = process,
            Err(e) => missing("status", e.to_string()),
        }
        match fds::count(&folder) {
            Some(fds) => {
                snapshot.fds = Some(fds.kinds);
                if fds.cut {
                    missing("some open files", format!("it has more than the {} that are looked at", fds::MAX_FDS));
                }
            }
            None => missing("open files", "it ended, or may not be looked into".to_owned()),
        }
        if !matches!(depth, Depth::Names { .. }) {
            match smaps_rollup(&folder) {
                Ok(rollup) => {
                    snapshot.pss_bytes = rollup.pss;
                    snapshot.pss_anon_bytes = rollup.pss_anon;
                    snapshot.pss_file_bytes = rollup.pss_file;
                    snapshot.pss_shmem_bytes = rollup.pss_shmem;
                }
                Err(why) => missing("PSS", why),
            }
        }
        let (Depth::Names { mappings: most } | Depth::Sums { mappings: most }) = depth else {
            return Taken { snapshot, gaps };
        };
        if let Some(mappings) = &mut snapshot.mappings {
            mappings.truncate(most);
        }
        Taken { snapshot, gaps }
    }
}

/// The sums, or why there are none.
fn smaps_rollup(folder: &Folder) -> Result<SmapsRollup, String> {
    match folder.try_read("smaps_rollup", 8192) {
        // Once the memory is given up the file is empty rather than refused.
        Ok(bytes) if bytes.is_empty() => Err("its memory was already given up".to_owned()),
        Ok(bytes) => Ok(SmapsRollup::parse(&bytes)),
        Err(e) => Err(e.to_string()),
    }
}

/// The mappings by name, and why there are not all of them, where there are not.
fn mappings(folder: &Folder, name: &str) -> std::io::Result<(Vec<Mapping>, Option<String>)> {
    let mut file = BufReader::with_capacity(64 << 10, File::from(folder.open_file(name, OFlags::RDONLY)?));
    let mut sums = MappingSums::default();
    let mut line = Vec::new();
    let mut lines = 0;
    loop {
        line.clear();
        if (&mut file).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        lines += 1;
        if lines > MAX_LINES {
            return Ok((
                sums.finish(),
                Some(format!("it has more than the {MAX_LINES} lines of {name} that are read")),
            ));
        }
        sums.line(line.strip_suffix(b"\n").unwrap_or(&line));
    }
    if lines == 0 {
        return Err(std::io::Error::other("its memory was already given up"));
    }
    let cut = sums.overflowed().then(|| format!("more than {MAX_NAMES} names; the rest stand together"));
    Ok((sums.finish(), cut))
}
