//! A copy of those parts of an ELF file that name its functions, in memory that nobody else can change.
//!
//! blazesym maps the files that it reads. Whoever may write such a file can cut it short meanwhile, and the agent would die of it
//! (SIGBUS); a container owns all of its own files. So it is given a sparse copy instead: the same offsets, but only the symbol
//! tables and debug information in place, each within a limit. That also tells how much memory is used.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use rustix::fd::AsRawFd as _;
use rustix::fs::{MemfdFlags, memfd_create};

use super::elf::{Bytes, Elf, SECTION, Section, u64_at};

/// Of `.symtab` with its names: libjvm with symbols has 12 MB, Chromium some 100 MB.
const MAX_SYMBOLS: u64 = 32 << 20;
/// A program larger than this is none: addresses in it have 47 bits.
const MAX_FILE: u64 = 1 << 40;

/// The copy. Gone when dropped.
#[derive(Debug)]
pub(super) struct Slim {
    file: File,
    /// What it takes and will take once unpacked, bytes.
    pub(super) memory: usize,
    /// It has functions at all.
    pub(super) has_symbols: bool,
}

impl Slim {
    /// Debug information is left out where it is more than `max_debug` bytes, unpacked. `None` where nothing could be copied.
    pub(super) fn copy(bytes: &Bytes, size: u64, elf: &Elf, max_debug: u64) -> Option<Self> {
        if size > MAX_FILE {
            return None;
        }
        let file = File::from(memfd_create(c"oomscope-symbols", MemfdFlags::CLOEXEC).ok()?);
        file.set_len(size).ok()?;
        let copy = Copy { bytes, to: &file };
        let [segments, sections] = &elf.tables;
        copy.range(&(0..64))?;
        copy.range(segments)?;
        let debug = |section: &&Section| section.name.starts_with(b".debug_");
        let debug_size: u64 = elf.sections.iter().filter(debug).map(|section| unpacked(bytes, section)).fold(0, add);
        let with_debug = debug_size <= max_debug;
        let mut table = bytes.read(sections, sections.end - sections.start)?;
        let mut memory = 0_u64;
        for section in &elf.sections {
            let wanted = if debug(&section) { with_debug } else { is_wanted(&section.name) };
            let fits = debug(&section) || section.range.end - section.range.start <= MAX_SYMBOLS;
            if wanted && fits && copy.range(&section.range).is_some() {
                memory = add(memory, unpacked(bytes, section));
            } else if !is_place(&section.name) {
                // What is not there must not be looked at, links to other files above all.
                blank(&mut table, section.number);
            }
        }
        file.write_all_at(&table, sections.start).ok()?;
        let has_symbols =
            elf.sections.iter().any(|section| section.name == b".symtab" || section.name == b".debug_info");
        Some(Self { file, memory: usize::try_from(memory).ok()?, has_symbols })
    }

    /// Where it can be opened, as long as it is not dropped.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.file.as_raw_fd()).into()
    }
}

fn is_wanted(name: &[u8]) -> bool {
    matches!(name, b".symtab" | b".strtab" | b".dynsym" | b".dynstr" | b".shstrtab" | b".symtab_shndx")
}

/// Only its address counts.
fn is_place(name: &[u8]) -> bool {
    name == b".text"
}

fn blank(table: &mut [u8], number: usize) {
    let size = usize::try_from(SECTION).unwrap_or(64);
    if let Some(entry) = table.chunks_exact_mut(size).nth(number) {
        entry.fill(0);
    }
}

/// Bytes of a section once it is unpacked, as it claims.
fn unpacked(bytes: &Bytes, section: &Section) -> u64 {
    let packed = section.range.end - section.range.start;
    if !section.compressed {
        return packed;
    }
    // Elf64_Chdr: ch_size.
    let mut header = [0; 24];
    let claimed = bytes.fill(section.range.start, &mut header).and_then(|()| u64_at(&header, 8));
    claimed.map_or(u64::MAX, |claimed| add(claimed, packed))
}

fn add(a: u64, b: u64) -> u64 {
    a.saturating_add(b)
}

struct Copy<'a> {
    bytes: &'a Bytes,
    to: &'a File,
}

impl Copy<'_> {
    fn range(&self, range: &Range<u64>) -> Option<()> {
        const STEP: u64 = 1 << 18;
        let mut at = range.start;
        while at < range.end {
            let next = range.end.min(at + STEP);
            let part = self.bytes.read(&(at..next), STEP)?;
            self.to.write_all_at(&part, at).ok()?;
            at = next;
        }
        Some(())
    }
}
