//! The few parts of an ELF file that unwinding needs, read one by one (64 bits, little endian).
//!
//! Neither mapped, as its owner can cut the file short meanwhile, which kills whoever reads such a mapping (SIGBUS); nor read
//! whole, as programs with debug information are gigabytes. Every size comes from the file, so every read has a limit.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::space::Mapping;

/// Programs have about ten.
const MAX_SEGMENTS: u64 = 256;
/// Executables have about forty.
const MAX_SECTIONS: u64 = 8192;
const MAX_NAMES: u64 = 1 << 20;
const MAX_NOTES: u64 = 64 << 10;
/// GNU's are 20 bytes.
const MAX_BUILD_ID: usize = 64;
/// On x86-64 and most arm64; where pages are larger, segments are aligned to those.
const PAGE: u64 = 4096;

/// Bytes at offsets: a file, or memory.
#[derive(Clone, Debug)]
pub(super) enum Bytes {
    /// Read when asked for.
    File(Arc<File>),
    /// The vdso.
    Memory(Arc<[u8]>),
}

impl Bytes {
    /// Fills the buffer; `None` where that many bytes are not there.
    pub(super) fn fill(&self, offset: u64, buffer: &mut [u8]) -> Option<()> {
        match self {
            Self::File(file) => file.read_exact_at(buffer, offset).ok(),
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).ok()?;
                buffer.copy_from_slice(bytes.get(start..start.checked_add(buffer.len())?)?);
                Some(())
            }
        }
    }

    /// `None` also where they are more than `limit`.
    pub(super) fn read(&self, at: &Range<u64>, limit: u64) -> Option<Vec<u8>> {
        let size = at.end.checked_sub(at.start).filter(|size| *size <= limit)?;
        // Before memory is taken for it: that the file goes so far.
        if let Self::File(file) = self {
            file.metadata().ok().filter(|metadata| metadata.len() >= at.end)?;
        }
        let mut bytes = vec![0; usize::try_from(size).ok()?];
        self.fill(at.start, &mut bytes)?;
        Some(bytes)
    }
}

/// A part that is loaded (`PT_LOAD`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    offset: u64,
    address: u64,
    file_size: u64,
    executable: bool,
}

/// A section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// `.text`.
    pub(super) name: Vec<u8>,
    /// As linked.
    pub(super) address: u64,
    /// In the file; empty for what has no bytes there.
    pub(super) range: Range<u64>,
    /// Its bytes are packed.
    pub(super) compressed: bool,
    /// Its place in the table.
    pub(super) number: usize,
    kind: u32,
}

/// What the headers say.
#[derive(Clone, Debug, Default)]
pub(super) struct Elf {
    pub(super) segments: Vec<Segment>,
    pub(super) sections: Vec<Section>,
    /// Hexadecimal.
    pub(super) build_id: Option<String>,
    /// Where the tables of segments and sections are in the file.
    pub(super) tables: [Range<u64>; 2],
}

impl Elf {
    /// Reads the headers; `None` where it is no such file. What is damaged is left out.
    pub(super) fn read(bytes: &Bytes) -> Option<Self> {
        let mut header = [0; 64];
        bytes.fill(0, &mut header)?;
        // EI_CLASS is 64 bits, EI_DATA little endian.
        if !header.starts_with(b"\x7fELF\x02\x01") {
            return None;
        }
        let mut elf = Self::default();
        let mut notes = elf.read_segments(bytes, &header).unwrap_or_default();
        elf.sections = elf.read_sections(bytes, &header).unwrap_or_default();
        notes.extend(
            elf.sections.iter().filter(|section| section.kind == SHT_NOTE).map(|section| section.range.clone()),
        );
        elf.build_id = notes.iter().find_map(|note| build_id(&bytes.read(note, MAX_NOTES)?));
        Some(elf)
    }

    pub(super) fn section(&self, name: &[u8]) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// What is to be taken from an address in the process to come to the address that the linker gave it.
    ///
    /// The kernel maps whole pages, so the mapping's offset is that of the segment rounded down; and a page of the file that holds
    /// the end of one segment and the beginning of the next is mapped twice (lld packs segments so). An offset alone is therefore
    /// ambiguous, and it is the executable segment that is meant.
    pub(super) fn bias(&self, mapping: &Mapping) -> Option<u64> {
        let page = |at: u64| at & !(PAGE - 1);
        let holds = |segment: &&Segment| {
            let end = segment.offset.saturating_add(segment.file_size);
            page(segment.offset) <= mapping.offset && mapping.offset < end
        };
        let executable = self.segments.iter().filter(|segment| segment.executable).rfind(holds);
        let segment = executable.or_else(|| self.segments.iter().rfind(holds))?;
        let linked = segment.address.wrapping_sub(segment.offset).wrapping_add(mapping.offset);
        Some(mapping.start.wrapping_sub(linked))
    }

    /// Gives back where the notes are.
    fn read_segments(&mut self, bytes: &Bytes, header: &[u8; 64]) -> Option<Vec<Range<u64>>> {
        let table = table(u64_at(header, 32)?, u64::from(u16_at(header, 56)?).min(MAX_SEGMENTS), 56)?;
        let mut notes = Vec::new();
        for entry in bytes.read(&table, MAX_SEGMENTS * 56)?.chunks_exact(56) {
            let offset = u64_at(entry, 8)?;
            let file_size = u64_at(entry, 32)?;
            match u32_at(entry, 0)? {
                PT_LOAD => self.segments.push(Segment {
                    offset,
                    address: u64_at(entry, 16)?,
                    file_size,
                    executable: u32_at(entry, 4)? & PF_X != 0,
                }),
                PT_NOTE => notes.push(offset..offset.saturating_add(file_size)),
                _ => {}
            }
        }
        self.tables[0] = table;
        Some(notes)
    }

    fn read_sections(&mut self, bytes: &Bytes, header: &[u8; 64]) -> Option<Vec<Section>> {
        let table = table(u64_at(header, 40)?, u64::from(u16_at(header, 60)?), SECTION)?;
        let entries = bytes.read(&table, MAX_SECTIONS * SECTION)?;
        let names = entries.chunks_exact(64).nth(usize::from(u16_at(header, 62)?)).and_then(section_range)?;
        let names = bytes.read(&names, MAX_NAMES)?;
        self.tables[1] = table;
        let section = |(number, entry): (usize, &[u8])| {
            let name = names.get(usize::try_from(u32_at(entry, 0)?).ok()?..)?;
            Some(Section {
                name: name.split(|b| *b == 0).next()?.to_vec(),
                address: u64_at(entry, 16)?,
                range: section_range(entry)?,
                compressed: u64_at(entry, 8)? & SHF_COMPRESSED != 0,
                number,
                kind: u32_at(entry, 4)?,
            })
        };
        Some(entries.chunks_exact(64).enumerate().filter_map(section).collect())
    }
}

/// Bytes of an entry in the table of sections.
pub(super) const SECTION: u64 = 64;

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const PF_X: u32 = 1;
const SHT_NOTE: u32 = 7;
const SHT_NOBITS: u32 = 8;
const SHF_COMPRESSED: u64 = 1 << 11;
const NT_GNU_BUILD_ID: u32 = 3;

fn table(offset: u64, count: u64, size: u64) -> Option<Range<u64>> {
    Some(offset..offset.checked_add(count.checked_mul(size)?)?)
}

fn section_range(entry: &[u8]) -> Option<Range<u64>> {
    let offset = u64_at(entry, 24)?;
    let size = if u32_at(entry, 4)? == SHT_NOBITS { 0 } else { u64_at(entry, 32)? };
    Some(offset..offset.checked_add(size)?)
}

/// Of the notes of one segment or section.
fn build_id(mut notes: &[u8]) -> Option<String> {
    loop {
        let (name_size, size, kind) = (u32_at(notes, 0)?, u32_at(notes, 4)?, u32_at(notes, 8)?);
        let name_end = usize::try_from(name_size).ok()?.checked_add(12)?;
        let start = name_end.checked_next_multiple_of(4)?;
        let end = start.checked_add(usize::try_from(size).ok()?)?;
        let id = notes.get(start..end)?;
        if kind == NT_GNU_BUILD_ID && notes.get(12..name_end) == Some(b"GNU\0") && id.len() <= MAX_BUILD_ID {
            return Some(id.iter().map(|b| format!("{b:02x}")).collect());
        }
        notes = notes.get(end.checked_next_multiple_of(4)?..)?;
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(segments: &[(u64, u64, u64, bool)]) -> Elf {
        let segment =
            |&(offset, address, file_size, executable): &_| Segment { offset, address, file_size, executable };
        Elf { segments: segments.iter().map(segment).collect(), ..Elf::default() }
    }

    fn mapping(start: u64, offset: u64) -> Mapping {
        Mapping { start, end: start + 0x10_0000, offset, file: Some(0) }
    }

    /// lld lets the page that ends the read-only segment begin the executable one, a page further in memory: the page is looked up
    /// as part of the latter. Taking the former puts every address off by a page.
    #[test]
    fn page_shared_by_two_segments() {
        let lld =
            elf(&[(0, 0, 0x8a4ec, false), (0x8a4f0, 0x8b4f0, 0x20_0000, true), (0x28a4f0, 0x28c4f0, 0x5000, false)]);
        assert_eq!(lld.bias(&mapping(0x5555_555d_f000, 0x8a000)), Some(0x5555_5555_4000));
        // The program's text was remapped in two parts.
        assert_eq!(lld.bias(&mapping(0x5555_556d_f000, 0x18a000)), Some(0x5555_5555_4000));
    }

    /// A program that is not position-independent lies where it was linked.
    #[test]
    fn fixed_address() {
        let fixed = elf(&[(0, 0x40_0000, 0x1000, false), (0x1000, 0x40_1000, 0x5_0000, true)]);
        assert_eq!(fixed.bias(&mapping(0x40_1000, 0x1000)), Some(0));
        assert_eq!(fixed.bias(&mapping(0x40_1000, 0x9999_0000)), None);
    }

    /// The headers of this very program, whole and damaged at every place: no panic, and the sizes it claims are not believed.
    #[test]
    fn real_and_damaged() {
        let path = std::env::current_exe().unwrap();
        let whole = Elf::read(&Bytes::File(Arc::new(File::open(&path).unwrap()))).unwrap();
        assert!(whole.section(b".eh_frame").is_some() && whole.segments.iter().any(|segment| segment.executable));
        let mut head = vec![0; 16384];
        File::open(&path).unwrap().read_exact_at(&mut head, 0).unwrap();
        for at in 0..1024 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = head.clone();
                damaged[at] = value;
                let _ = Elf::read(&Bytes::Memory(damaged.into()));
            }
        }
        for length in 0..1024 {
            let _ = Elf::read(&Bytes::Memory(head[..length].into()));
        }
    }

    proptest::proptest! {
        /// Notes of any bytes end.
        #[test]
        fn any_notes(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = build_id(&bytes);
        }
    }
}
