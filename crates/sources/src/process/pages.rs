//! Single pages of a process: whether they are there, and whether they are part of a larger one
//! (Documentation/admin-guide/mm/pagemap.rst).

use std::os::unix::fs::FileExt as _;

use oomscope_core::formats::proc::{Resident, ResidentMappings};
use rustix::fs::OFlags;

use super::folder::Folder;
use super::{Error, Proc};

/// As many mappings as `vm.max_map_count` ordinarily allows, 25 lines each.
const MAX_LINES: usize = 65_536 * 25;

/// A 64-bit entry for each page of the address space.
const ENTRY: u64 = 8;
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
/// The page frame; 0 for those who lack CAP_SYS_ADMIN.
const FRAME: u64 = (1 << 55) - 1;

/// `KPF_COMPOUND_HEAD`, `KPF_COMPOUND_TAIL`, `KPF_HUGE`, `KPF_THP` (include/uapi/linux/kernel-page-flags.h).
const LARGE: u64 = 1 << 15 | 1 << 16 | 1 << 17 | 1 << 22;

/// The page table of one address space. Of no use once the process has ended or runs another program: then no page is there.
#[derive(Debug)]
pub struct PageMap {
    file: std::fs::File,
    page_bytes: u64,
}

/// What the kernel says of physical pages.
#[derive(Debug)]
pub struct PageFlags {
    file: std::fs::File,
}

impl Proc {
    /// Opens the page table of a process.
    ///
    /// # Errors
    /// Where it is gone, or may not be looked into (ptrace access is needed).
    pub fn page_map(&self, pid: u32) -> Result<PageMap, Error> {
        let folder = Folder::open(&self.folder, pid)?;
        let file =
            folder.open_file("pagemap", OFlags::RDONLY).map_err(|e| Error::new(pid, folder.path("pagemap"), e))?;
        Ok(PageMap { file: file.into(), page_bytes: rustix::param::page_size() as u64 })
    }

    /// What is resident or swapped out, mapping by mapping, in the order of their addresses. Takes about 1 ms for 100 MiB.
    ///
    /// # Errors
    /// As [`Proc::page_map`].
    pub fn resident(&self, pid: u32) -> Result<Vec<Resident>, Error> {
        let folder = Folder::open(&self.folder, pid)?;
        let mut mappings = ResidentMappings::default();
        folder
            .lines("smaps", MAX_LINES, |line| mappings.line(line))
            .map_err(|e| Error::new(pid, folder.path("smaps"), e))?;
        Ok(mappings.0)
    }

    /// Opens the flags of the machine's pages; `None` for those who may not (CAP_SYS_ADMIN), and where the kernel has none.
    #[must_use]
    pub fn page_flags(&self) -> Option<PageFlags> {
        std::fs::File::open(self.folder.join("kpageflags")).ok().map(|file| PageFlags { file })
    }
}

impl PageMap {
    /// The page at an address is resident or swapped out; `None` where the process is gone.
    #[must_use]
    pub fn is_there(&self, address: u64) -> Option<bool> {
        self.entry(address).map(|entry| entry & (PRESENT | SWAPPED) != 0)
    }

    /// The page at an address is part of a larger one: a huge page or a large folio. `None` where that cannot be known.
    #[must_use]
    pub fn is_large(&self, address: u64, flags: &PageFlags) -> Option<bool> {
        let entry = self.entry(address).filter(|entry| entry & PRESENT != 0)?;
        let frame = Some(entry & FRAME).filter(|frame| *frame != 0)?;
        Some(read(&flags.file, frame)? & LARGE != 0)
    }

    fn entry(&self, address: u64) -> Option<u64> {
        read(&self.file, address / self.page_bytes)
    }
}

fn read(file: &std::fs::File, entry: u64) -> Option<u64> {
    let mut bytes = [0; ENTRY as usize];
    file.read_exact_at(&mut bytes, entry.checked_mul(ENTRY)?).ok()?;
    Some(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_root::HostRoot;

    const PAGE: usize = 4096;

    /// A page of this process is there once it was touched, and so is its mapping; one that never was is not.
    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test must say so")]
    fn own_pages() {
        let proc = Proc::new(&HostRoot::default());
        let pages = match proc.page_map(std::process::id()) {
            Ok(pages) => pages,
            Err(e) => return eprintln!("SKIPPED: {e}"),
        };
        // Large enough for a mapping of its own, which the allocator does not touch.
        let mut memory = vec![0_u8; 64 << 20];
        let start = memory.as_ptr() as u64;
        memory[32 * PAGE..48 * PAGE].fill(1);
        assert_eq!(pages.is_there(start + 40 * PAGE as u64), Some(true));
        let last = start + (64 << 20) - 2 * PAGE as u64;
        // Where huge pages are always given the neighbours are there too; the far end is not.
        assert_eq!(pages.is_there(last), Some(false));
        let resident = proc.resident(std::process::id()).unwrap();
        let own = resident.iter().find(|mapping| (mapping.start..mapping.end).contains(&(start + 4096))).unwrap();
        assert!(own.bytes >= 16 * PAGE as u64 && own.bytes < 64 << 20, "{own:?}");
        assert!(resident.is_sorted_by_key(|mapping| mapping.start));
        if let Some(flags) = proc.page_flags() {
            let large = pages.is_large(start + 40 * PAGE as u64, &flags);
            assert!(large.is_none_or(|large| !large) || own.bytes >= 2 << 20, "{large:?} {own:?}");
        }
    }

    /// A process that is gone has no pages, rather than absent ones.
    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test must say so")]
    fn gone() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let proc = Proc::new(&HostRoot::default());
        let pages = proc.page_map(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        match pages {
            Ok(pages) => assert_eq!(pages.is_there(0x5555_0000_0000), None),
            Err(e) => eprintln!("SKIPPED: {e}"),
        }
        assert!(proc.page_map(child.id()).is_err());
    }
}
