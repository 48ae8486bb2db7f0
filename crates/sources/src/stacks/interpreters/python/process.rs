//! Recognises CPython in a process, and finds the start of its data.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, ReadCache, elf};

use super::debug_offsets;
use super::layout::{Layout, of_release};
use super::walk::Memory;
use crate::process::Proc;
use crate::stacks::{MappedFile, Mapping, Space};

/// An ELF file that is mapped into a process.
#[derive(Clone, Copy, Debug)]
struct Image<'a> {
    /// The file.
    file: &'a File,
    /// What it is called: releases before 3.11 name their version only there.
    path: &'a [u8],
    /// Where a piece of it is mapped.
    start: u64,
    /// Where in the file this piece begins.
    offset: u64,
}

impl Layout {
    /// Of the CPython that this image is, in a living process; `None` where it is none, or none that is known.
    fn of_image(image: &Image<'_>, memory: &dyn Memory) -> Option<Self> {
        let cache = ReadCache::new(image.file);
        let file = object::read::elf::ElfFile64::<object::Endianness, _>::parse(&cache).ok()?;
        let bias = bias(&file, image)?;
        let runtime = bias.wrapping_add(address_of(&file, "_PyRuntime").or_else(|| {
            // From 3.13 on it has a section of its own, for debuggers.
            file.section_by_name(".PyRuntime").map(|section| section.address())
        })?);
        let mut start = vec![0; debug_offsets::SIZE];
        let described = memory.read(runtime, &mut start).then(|| debug_offsets::read(&start)).flatten();
        let (version, head, offsets) = match described {
            Some(described) => described,
            None => {
                let version = match address_of(&file, "Py_Version") {
                    Some(at) => version_in(memory, bias.wrapping_add(at))?,
                    None => version_in_name(image.path)?,
                };
                let (head, offsets) = of_release(version)?;
                (version, head, offsets)
            }
        };
        Some(Self { version, interpreters: runtime.checked_add(head)?, offsets })
    }
}

/// Whether a mapped file may be CPython, by its name.
pub(in super::super) fn may_be(file: &MappedFile) -> bool {
    let name = file.name();
    name.starts_with(b"libpython") || name.starts_with(b"python")
}

/// Of the CPython that is mapped there.
pub(in super::super) fn layout(space: &Space, mapping: &Mapping, memory: &dyn Memory) -> Option<Layout> {
    let mapped = space.file(mapping)?;
    let file = space.open(mapped)?;
    let image = Image { file: &file, path: mapped.path.as_bytes(), start: mapping.start, offset: mapping.offset };
    Layout::of_image(&image, memory)
}

/// What is added to an address of the file to have that of the process.
fn bias<'a>(
    file: &object::read::elf::ElfFile64<'a, object::Endianness, &'a ReadCache<&File>>,
    image: &Image<'_>,
) -> Option<u64> {
    let endian = file.endian();
    let headers = file.elf_header().program_headers(endian, file.data()).ok()?;
    let loaded = headers.iter().filter(|header| header.p_type(endian) == elf::PT_LOAD);
    // A piece is mapped from the start of its first page on.
    let of_piece = |header: &&elf::ProgramHeader64<object::Endianness>| {
        let (start, size) = (header.p_offset(endian) & !PAGE, header.p_filesz(endian).saturating_add(PAGE));
        (start..start.saturating_add(size)).contains(&image.offset)
    };
    let header = loaded.clone().rfind(of_piece)?;
    let address = header.p_vaddr(endian).wrapping_add(image.offset.wrapping_sub(header.p_offset(endian)));
    Some(image.start.wrapping_sub(address))
}

/// Bits of an address within a page.
const PAGE: u64 = 0xfff;

fn address_of<'a>(
    file: &object::read::elf::ElfFile64<'a, object::Endianness, &'a ReadCache<&File>>,
    name: &str,
) -> Option<u64> {
    let in_table = |symbol: &object::read::elf::ElfSymbol64<'_, '_, object::Endianness, _>| {
        symbol.name_bytes() == Ok(name.as_bytes()) && symbol.is_definition()
    };
    let found = file.dynamic_symbols().find(in_table).or_else(|| file.symbols().find(in_table));
    found.map(|symbol| symbol.address())
}

/// `Py_Version` (3.11): as `PY_VERSION_HEX`, the two highest of four bytes are major and minor.
fn version_in(memory: &dyn Memory, address: u64) -> Option<(u8, u8)> {
    let mut hex = [0; 8];
    memory.read(address, &mut hex).then_some((hex[3], hex[2]))
}

/// `/usr/lib/libpython3.8.so.1.0`, `/opt/python3.10`.
fn version_in_name(path: &[u8]) -> Option<(u8, u8)> {
    let name = std::str::from_utf8(path.rsplit(|&byte| byte == b'/').next()?).ok()?;
    let (_, version) = name.rsplit_once("python")?;
    let (major, rest) = version.split_once('.')?;
    let minor = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The memory of a living process (needs ptrace access).
#[derive(Debug)]
pub struct ProcessMemory(File);

impl Proc {
    /// Opens the memory of a process for reading.
    ///
    /// # Errors
    /// No such process, or no access to it.
    pub fn memory(&self, pid: u32) -> io::Result<ProcessMemory> {
        File::open(self.folder.join(format!("{pid}/mem"))).map(ProcessMemory)
    }
}

impl Memory for ProcessMemory {
    fn read(&self, address: u64, into: &mut [u8]) -> bool {
        self.0.read_exact_at(into, address).is_ok()
    }
}
