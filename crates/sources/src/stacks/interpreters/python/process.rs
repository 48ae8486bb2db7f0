//! Recognises CPython in a process, and finds the start of its data.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::debug_offsets;
use super::layout::{Layout, of_release};
use super::walk::Memory;
use crate::process::Proc;
use crate::stacks::elf::{Bytes, Elf, u16_at, u32_at, u64_at};
use crate::stacks::{MappedFile, Mapping, Space};

/// libpython exports some two thousand symbols; with debug symbols it is ten times as many.
const MAX_TABLE: u64 = 16 << 20;

/// Whether a mapped file may be CPython, by its name.
pub(in super::super) fn may_be(file: &MappedFile) -> bool {
    let name = file.name();
    name.starts_with(b"libpython") || name.starts_with(b"python")
}

/// Of the CPython that is mapped there; `None` where it is none, or none that is known.
pub(in super::super) fn layout(space: &Space, mapping: &Mapping, memory: &dyn Memory) -> Option<Layout> {
    let mapped = space.file(mapping)?;
    let bytes = Bytes::File(Arc::new(space.open(mapped)?));
    let elf = Elf::read(&bytes)?;
    let bias = elf.bias(mapping)?;
    let at = |name: &[u8]| address_of(&bytes, &elf, name).map(|address| bias.wrapping_add(address));
    let runtime = at(b"_PyRuntime").or_else(|| {
        // From 3.13 on it has a section of its own, for debuggers.
        elf.section(b".PyRuntime").map(|section| bias.wrapping_add(section.address))
    })?;
    let (version, head, offsets) = described(memory, runtime).or_else(|| {
        let version = match at(b"Py_Version") {
            Some(at) => version_in(memory, at)?,
            None => version_in_name(mapped.name())?,
        };
        let (head, offsets) = of_release(version)?;
        Some((version, head, offsets))
    })?;
    Some(Layout { version, interpreters: runtime.checked_add(head)?, offsets })
}

/// By the runtime itself.
fn described(memory: &dyn Memory, runtime: u64) -> Option<((u8, u8), u64, super::Offsets)> {
    let mut table = vec![0; debug_offsets::SIZE];
    memory.read(runtime, &mut table).then(|| debug_offsets::read(&table)).flatten()
}

/// Of an exported symbol, or of any where the file was not stripped; as linked.
fn address_of(bytes: &Bytes, elf: &Elf, name: &[u8]) -> Option<u64> {
    let in_table = |symbols: &[u8], strings: &[u8]| {
        let symbols = bytes.read(&elf.section(symbols)?.range, MAX_TABLE)?;
        let strings = bytes.read(&elf.section(strings)?.range, MAX_TABLE)?;
        symbols.chunks_exact(SYMBOL).find_map(|symbol| {
            let its = strings.get(usize::try_from(u32_at(symbol, 0)?).ok()?..)?;
            let is_it = its.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&0));
            (is_it && u16_at(symbol, 6)? != UNDEFINED).then(|| u64_at(symbol, 8)).flatten()
        })
    };
    in_table(b".dynsym", b".dynstr").or_else(|| in_table(b".symtab", b".strtab"))
}

/// `Elf64_Sym`: the name's place, kind and visibility, the section, the address, the size.
const SYMBOL: usize = 24;
/// `SHN_UNDEF`.
const UNDEFINED: u16 = 0;

/// `Py_Version` (3.11): as `PY_VERSION_HEX`, the two highest of four bytes are major and minor.
fn version_in(memory: &dyn Memory, address: u64) -> Option<(u8, u8)> {
    let mut hex = [0; 8];
    memory.read(address, &mut hex).then_some((hex[3], hex[2]))
}

/// `libpython3.8.so.1.0`, `python3.10`.
fn version_in_name(name: &[u8]) -> Option<(u8, u8)> {
    let (_, version) = std::str::from_utf8(name).ok()?.rsplit_once("python")?;
    let (major, rest) = version.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that distributions give, and others that begin alike.
    #[test]
    fn versions_in_names() {
        assert_eq!(version_in_name(b"libpython3.8.so.1.0"), Some((3, 8)));
        assert_eq!(version_in_name(b"python3.10"), Some((3, 10)));
        assert_eq!(version_in_name(b"libpython3.9-dbg.so"), Some((3, 9)));
        for other in [&b"python"[..], b"python3", b"libpython3.", b"python3.999", b"python\xff3.8", b""] {
            assert_eq!(version_in_name(other), None, "{other:?}");
        }
    }
}
