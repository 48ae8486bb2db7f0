//! Where a process's code lies in its address space, and a way to the files it came from, taken while it lives.
//!
//! A process that is being killed gives up its maps within microseconds, so they are read before; what is kept is small (the
//! executable mappings and two descriptors), because an agent keeps one for every process near its limit.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::OnceLock;

use bstr::ByteSlice as _;
use oomscope_core::formats::proc::{MapsLine, Status};
use oomscope_core::text::Untrusted;
use rustix::fd::OwnedFd;

use super::file::Identity;
use super::runtime::Runtime;
use crate::process::folder::Folder;
use crate::process::{Error, Handles, Proc};

/// As many mappings as `vm.max_map_count` ordinarily allows, and some.
const MAX_LINES: usize = 1 << 17;
/// Executable mappings that are kept, those that lie side by side as one: V8 and HotSpot make some hundred.
const MAX_MAPPINGS: usize = 4096;
/// `status` has up to 65,536 groups.
const MAX_STATUS: usize = 64 << 10;
/// Files that were unlinked while mapped, and are kept open because nothing else leads to them.
const MAX_UNLINKED: usize = 8;

/// The executable part of a process's address space. Stays of use when the process is gone.
#[derive(Debug)]
pub struct Space {
    pid: u32,
    /// Tells it from a later process with the same pid.
    started_ticks: Option<u64>,
    namespace_pid: Option<u32>,
    mappings: Vec<Mapping>,
    files: Vec<MappedFile>,
    handles: Handles,
    complete: bool,
    /// Of the lines of maps: whether they have changed.
    hash: u64,
}

/// A stretch of executable memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// The address behind the last.
    pub end: u64,
    /// Where in the file it begins, bytes.
    pub offset: u64,
    /// Which of [`Space::file`]; `None` for nameless memory, as of a compiler at run time.
    pub file: Option<u32>,
}

/// What is mapped: a file, or memory with a name such as `[vdso]`.
#[derive(Debug)]
pub struct MappedFile {
    /// As the process sees it, without ` (deleted)`.
    pub path: Untrusted,
    /// 0 for memory that only has a name.
    pub inode: u64,
    /// Major and minor number of its file system.
    pub device: (u32, u32),
    /// It was unlinked when the maps were read.
    pub deleted: bool,
    /// Kept because its path no longer leads to it.
    pub(super) kept: Option<OwnedFd>,
    /// What opening it gave, once that was tried.
    pub(super) identity: OnceLock<Option<Identity>>,
}

impl Proc {
    /// Takes the address space of a process.
    ///
    /// # Errors
    /// Where it is gone, or its maps may not be read (ptrace access is needed).
    pub fn space(&self, pid: u32) -> Result<Space, Error> {
        let folder = Folder::open(&self.folder, pid)?;
        let started_ticks = self.started_ticks(pid);
        let status = folder.read("status", MAX_STATUS).as_deref().map(Status::parse).unwrap_or_default();
        let mut reading = Reading::default();
        let all = folder
            .lines("maps", MAX_LINES, |line| reading.line(line))
            .map_err(|e| Error::new(pid, folder.path("maps"), e))?;
        reading.keep_unlinked(&folder);
        Ok(Space {
            pid,
            started_ticks,
            namespace_pid: status.namespace_pid,
            handles: self.handles(pid),
            complete: all && !reading.cut,
            hash: reading.hash.finish(),
            mappings: shrunk(reading.mappings),
            files: shrunk(reading.files),
        })
    }

    /// Takes it again, if the process lives and its maps have changed (a library was loaded, code was made at run time, another
    /// program was started). True where something is new; of a process that is gone everything is kept.
    pub fn refresh(&self, space: &mut Space) -> bool {
        match self.space(space.pid) {
            // A space without mappings is one that was already given up.
            Ok(fresh) if fresh.is_of_same_process(space) && !fresh.mappings.is_empty() && fresh.hash != space.hash => {
                *space = fresh;
                true
            }
            _ => false,
        }
    }
}

impl Space {
    /// The process.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// When it started, in clock ticks since boot.
    #[must_use]
    pub const fn started_ticks(&self) -> Option<u64> {
        self.started_ticks
    }

    /// Its pid as it sees itself.
    #[must_use]
    pub const fn namespace_pid(&self) -> Option<u32> {
        self.namespace_pid
    }

    /// Ways to its files.
    #[must_use]
    pub const fn handles(&self) -> &Handles {
        &self.handles
    }

    /// Executable memory, by address.
    #[must_use]
    pub fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    /// False where there was more than is kept.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// The mapping that has an address; `None` where no code can be.
    #[must_use]
    pub fn mapping(&self, address: u64) -> Option<&Mapping> {
        let behind = self.mappings.partition_point(|mapping| mapping.start <= address);
        self.mappings.get(behind.checked_sub(1)?).filter(|mapping| address < mapping.end)
    }

    /// What is mapped there.
    #[must_use]
    pub fn file(&self, mapping: &Mapping) -> Option<&MappedFile> {
        self.files.get(usize::try_from(mapping.file?).ok()?)
    }

    /// What runs in it, where that is known.
    #[must_use]
    pub fn runtime(&self) -> Option<Runtime> {
        Runtime::of(self.handles.exe_path(), self.files.iter().map(|file| file.path.as_bytes()))
    }

    /// What it holds in memory, bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let files: usize = self.files.iter().map(|file| size_of::<MappedFile>() + file.path.as_bytes().len()).sum();
        size_of::<Self>() + size_of_val(self.mappings.as_slice()) + files
    }

    fn is_of_same_process(&self, other: &Self) -> bool {
        self.started_ticks.is_some() && self.started_ticks == other.started_ticks
    }
}

impl MappedFile {
    /// It is a file, rather than memory with a name.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        self.inode != 0
    }
}

/// Kept for long.
fn shrunk<T>(mut list: Vec<T>) -> Vec<T> {
    list.shrink_to_fit();
    list
}

/// Device, inode, path.
type FileKey = ((u32, u32), u64, Vec<u8>);

/// maps, line by line.
#[derive(Default)]
struct Reading {
    mappings: Vec<Mapping>,
    files: Vec<MappedFile>,
    /// Place in `files`, by what identifies one in maps.
    numbers: HashMap<FileKey, u32>,
    hash: DefaultHasher,
    cut: bool,
}

impl Reading {
    fn line(&mut self, line: &[u8]) {
        let Some(line) = MapsLine::parse(line).filter(MapsLine::is_executable) else { return };
        for number in [line.start, line.end, line.offset, line.inode] {
            self.hash.write_u64(number);
        }
        self.hash.write(line.path);
        if self.mappings.len() >= MAX_MAPPINGS {
            self.cut = true;
            return;
        }
        let file = (!line.path.is_empty()).then(|| self.number_of(&line));
        let mapping = Mapping { start: line.start, end: line.end, offset: line.offset, file };
        match self.mappings.last_mut() {
            Some(last) if last.goes_on_in(&mapping) => last.end = mapping.end,
            _ => self.mappings.push(mapping),
        }
    }

    fn number_of(&mut self, line: &MapsLine<'_>) -> u32 {
        let next = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry((line.device, line.inode, line.path.to_vec())).or_insert(next);
        if number == next {
            let alive = line.path.strip_suffix(b" (deleted)");
            self.files.push(MappedFile {
                path: alive.unwrap_or(line.path).into(),
                inode: line.inode,
                device: line.device,
                deleted: alive.is_some(),
                kept: None,
                identity: OnceLock::new(),
            });
        }
        number
    }

    /// /proc/PID/map_files leads to files whatever became of their paths, for those who may (CAP_SYS_ADMIN or
    /// CAP_CHECKPOINT_RESTORE) and only while the process lives. The program itself has a descriptor of its own.
    fn keep_unlinked(&mut self, folder: &Folder) {
        let mut kept = 0;
        for mapping in &self.mappings {
            let Some(file) = mapping.file.and_then(|number| self.files.get_mut(usize::try_from(number).ok()?)) else {
                continue;
            };
            if !file.deleted || !file.is_file() || file.kept.is_some() || kept == MAX_UNLINKED {
                continue;
            }
            let name = format!("map_files/{:x}-{:x}", mapping.start, mapping.end);
            file.kept = folder.open_file(&name, rustix::fs::OFlags::PATH).ok();
            kept += usize::from(file.kept.is_some());
        }
    }
}

impl Mapping {
    /// The next one begins where this ends, in the file too.
    fn goes_on_in(&self, next: &Self) -> bool {
        let file_goes_on = self.file.is_none() || self.offset.checked_add(self.end - self.start) == Some(next.offset);
        self.end == next.start && self.file == next.file && file_goes_on
    }
}

impl MappedFile {
    /// The last part of its path.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        let path = self.path.as_bytes();
        path.rfind_byte(b'/').and_then(|slash| path.get(slash + 1..)).unwrap_or(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_root::HostRoot;

    impl Space {
        /// Of a process that is not there.
        pub(in super::super) fn of_maps(maps: &str) -> Self {
            let mut reading = Reading::default();
            maps.lines().for_each(|line| reading.line(line.as_bytes()));
            Self {
                pid: 0,
                started_ticks: None,
                namespace_pid: None,
                mappings: reading.mappings,
                files: reading.files,
                handles: proc().handles(0),
                complete: !reading.cut,
                hash: reading.hash.finish(),
            }
        }
    }

    fn proc() -> Proc {
        Proc::new(&HostRoot::default())
    }

    /// Only code is kept; what lies side by side, in the file too, is one mapping; every file once.
    #[test]
    fn what_is_kept() {
        let space = Space::of_maps(
            "1000-2000 r--p 00000000 fe:01 7 /x\n2000-3000 r-xp 00001000 fe:01 7 /x\n3000-5000 r-xp 00002000 fe:01 7 /x\n\
             5000-6000 r-xp 00009000 fe:01 7 /x\n8000-9000 rwxp 00000000 00:00 0\n9000-a000 rwxp 00000000 00:00 0\n\
             b000-c000 r-xp 00000000 fe:01 9 /y (deleted)\n7fff0000-7fff1000 r-xp 00000000 00:00 0 [vdso]\n",
        );
        let kept: Vec<_> = space.mappings().iter().map(|mapping| (mapping.start, mapping.end, mapping.file)).collect();
        assert_eq!(
            kept,
            [
                (0x2000, 0x5000, Some(0)),
                (0x5000, 0x6000, Some(0)),
                (0x8000, 0xa000, None),
                (0xb000, 0xc000, Some(1)),
                (0x7fff_0000, 0x7fff_1000, Some(2))
            ]
        );
        let file = |address| space.mapping(address).and_then(|mapping| space.file(mapping));
        assert_eq!(file(0x4fff).map(|file| (file.path.as_bytes(), file.deleted)), Some((&b"/x"[..], false)));
        assert_eq!(file(0xb000).map(|file| (file.path.as_bytes(), file.deleted)), Some((&b"/y"[..], true)));
        assert!(
            space.mapping(0x1000).is_none() && space.mapping(0x6000).is_none() && space.mapping(u64::MAX).is_none()
        );
        assert!(file(0x8000).is_none() && space.mapping(0x8000).is_some());
    }

    /// However many mappings a process makes, what is kept has a limit, and says that it was reached.
    #[test]
    fn too_many_mappings() {
        let line = |n: u64| format!("{:x}-{:x} r-xp 00000000 fe:01 {n} /file-{n}\n", n * 0x2000, n * 0x2000 + 0x1000);
        let space = Space::of_maps(&(1..66_000).map(line).collect::<String>());
        assert_eq!((space.mappings().len(), space.is_complete()), (MAX_MAPPINGS, false));
        assert!(space.files.len() <= MAX_MAPPINGS);
    }

    /// This process is read again only when its code has changed; of one that has ended everything is kept.
    #[test]
    fn refreshed() {
        let mut space = proc().space(std::process::id()).unwrap();
        assert!(space.is_complete() && space.started_ticks().is_some() && space.namespace_pid().is_some());
        assert!(!proc().refresh(&mut space));
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let mut space = proc().space(child.id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let before = space.mappings().to_vec();
        assert!(!proc().refresh(&mut space));
        assert_eq!(space.mappings(), before);
        assert!(matches!(proc().space(child.id()), Err(Error::Gone { .. })));
    }
}
