//! Go's table of functions, `.gopclntab`: in every Go program, stripped or not, because its own runtime needs it.
//!
//! It names the function, file and line of each instruction and tells how far the stack pointer is from the return address, which
//! stands in for the unwind tables that Go programs have only with debug information. The layout is that of Go's debug/gosym
//! (pclntab.go) and runtime (symtab.go); it changed in 1.2, 1.16, 1.18 and 1.20, each with a magic number of its own.
//!
//! The table of kubelet has 25 MB, so only its list of functions is kept; the rest is read where it is needed.

use std::ops::Range;

use super::elf::{Bytes, Elf, u32_at, u64_at};

/// 4 million functions.
const MAX_FUNCTIONS: u64 = 32 << 20;
/// A name with type parameters may be long; this much is shown.
const MAX_NAME: usize = 512;
const MAX_PATH: usize = 1024;
/// Of the table of one function; the longest known have some KiB.
const MAX_VALUES: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    V1_2,
    V1_16,
    V1_18,
    V1_20,
}

/// The table of one program.
#[derive(Debug)]
pub(super) struct GoTable {
    bytes: Bytes,
    /// Of the table in the file.
    range: Range<u64>,
    version: Version,
    /// Bytes an instruction has at least.
    quantum: u64,
    /// Where the linker put the code.
    text: u64,
    functions: Vec<u8>,
    /// Parts, from the beginning of the table.
    names: u64,
    units: u64,
    files: u64,
    values: u64,
    entries: u64,
}

/// One function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// Its first instruction, as linked.
    pub(super) entry: u64,
    name: u32,
    frame_sizes: u32,
    file_numbers: u32,
    lines: u32,
    unit: u32,
}

impl GoTable {
    /// `None` for a program that is not Go's, or of an unknown version.
    pub(super) fn read(bytes: &Bytes, elf: &Elf) -> Option<Self> {
        let section = elf.section(b".gopclntab").or_else(|| elf.section(b".data.rel.ro.gopclntab"))?;
        let mut header = [0; 80];
        bytes.fill(section.range.start, header.get_mut(..72)?)?;
        let version = match u32_at(&header, 0)? {
            0xffff_fffb => Version::V1_2,
            0xffff_fffa => Version::V1_16,
            0xffff_fff0 => Version::V1_18,
            0xffff_fff1 => Version::V1_20,
            _ => return None,
        };
        let [_, _, _, _, 0, 0, quantum @ (1 | 2 | 4), 8, ..] = header else { return None };
        let word = |number: usize| u64_at(&header, 8 + number * 8);
        let text_section = elf.section(b".text").map_or(0, |text| text.address);
        // In a position-independent program the place is filled in by the loader, and stands as 0 in the file.
        let text_or = |address: u64| if address == 0 { text_section } else { address };
        let (text, [names, units, files, values, entries]) = match version {
            Version::V1_2 => (0, [0, 0, 0, 0, 16]),
            Version::V1_16 => (0, [word(2)?, word(3)?, word(4)?, word(5)?, word(6)?]),
            Version::V1_18 | Version::V1_20 => (text_or(word(2)?), [word(3)?, word(4)?, word(5)?, word(6)?, word(7)?]),
        };
        let mut table = Self {
            bytes: bytes.clone(),
            range: section.range.clone(),
            version,
            quantum: quantum.into(),
            text,
            functions: Vec::new(),
            names,
            units,
            files,
            values,
            entries,
        };
        // Behind the last pair stands the address where the last function ends.
        let size = word(0)?.checked_mul(table.pair())?.checked_add(table.pair() / 2)?;
        let start = table.at(entries)?;
        table.functions = bytes.read(&(start..start.checked_add(size)?), MAX_FUNCTIONS)?;
        if version == Version::V1_2 {
            table.files = u32_at(&table.functions_behind()?, 0)?.into();
        }
        Some(table)
    }

    /// What it holds in memory.
    pub(super) fn memory(&self) -> usize {
        self.functions.len()
    }

    /// The function that has an instruction.
    pub(super) fn function(&self, at: u64) -> Option<Function> {
        let pair = usize::try_from(self.pair()).ok()?;
        let count = self.functions.len() / pair;
        let start = |number: usize| self.function_start(number * pair);
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            if start(middle)? <= at { low = middle + 1 } else { high = middle }
        }
        let number = low.checked_sub(1)?;
        // Of the last one: the address behind it stands there alone.
        if at >= start(number + 1)? {
            return None;
        }
        let place = number * pair + pair / 2;
        let place =
            if self.is_narrow() { u32_at(&self.functions, place)?.into() } else { u64_at(&self.functions, place)? };
        // In 1.2 from the beginning of the whole table, later from that of the list.
        let base = if self.version == Version::V1_2 { 0 } else { self.entries };
        self.entry(start(number)?, base.checked_add(place)?)
    }

    fn entry(&self, entry: u64, place: u64) -> Option<Function> {
        let mut fields = [0; 48];
        // The address comes first: 4 bytes or 8.
        let skip = if self.is_narrow() { 4 } else { 8 };
        self.bytes.fill(self.at(place)?.checked_add(skip)?, &mut fields)?;
        let unit = if self.version == Version::V1_2 { 0 } else { u32_at(&fields, 28)? };
        Some(Function {
            entry,
            name: u32_at(&fields, 0)?,
            frame_sizes: u32_at(&fields, 12)?,
            file_numbers: u32_at(&fields, 16)?,
            lines: u32_at(&fields, 20)?,
            unit,
        })
    }

    /// `main.(*Server).handle`.
    pub(super) fn name(&self, function: &Function) -> Option<String> {
        self.text(self.names.checked_add(function.name.into())?, MAX_NAME).filter(|name| !name.is_empty())
    }

    /// How far the return address is above the stack pointer, bytes.
    pub(super) fn frame_size(&self, function: &Function, at: u64) -> Option<u64> {
        u64::try_from(self.value(function, function.frame_sizes, at)?).ok()
    }

    /// File and line. `None` where the instruction came from a function of another file that was put into this one: the line would
    /// be the other's.
    pub(super) fn line(&self, function: &Function, at: u64) -> Option<(String, u32)> {
        let number = self.value(function, function.file_numbers, at)?;
        if self.value(function, function.file_numbers, function.entry)? != number {
            return None;
        }
        let number = u64::try_from(number).ok()?;
        let place = if self.version == Version::V1_2 {
            u64::from(self.number(self.files.checked_add(number.checked_mul(4)?)?)?)
        } else {
            let of_unit = u64::from(function.unit).checked_add(number)?.checked_mul(4)?;
            self.files.checked_add(self.number(self.units.checked_add(of_unit)?)?.into())?
        };
        let line = u32::try_from(self.value(function, function.lines, at)?).ok()?;
        Some((self.text(place, MAX_PATH)?, line))
    }

    /// Walks a list of changes (value, distance to the next) up to an instruction.
    fn value(&self, function: &Function, list: u32, at: u64) -> Option<i64> {
        if list == 0 {
            return None;
        }
        let mut numbers = self.numbers(self.values.checked_add(list.into())?);
        let (mut value, mut address) = (-1_i64, function.entry);
        loop {
            let change = numbers.next()?;
            // Only the first change may be none.
            if change == 0 && address != function.entry {
                return None;
            }
            let sign = if change & 1 == 1 { -1 } else { 0 };
            value = value.wrapping_add(i64::from(change >> 1) ^ sign);
            address = address.checked_add(u64::from(numbers.next()?).checked_mul(self.quantum)?)?;
            if at < address {
                return Some(value);
            }
        }
    }

    /// Numbers of variable length (LEB128), read a stretch at a time.
    fn numbers(&self, place: u64) -> Numbers<'_> {
        Numbers { table: self, place, stretch: Vec::new(), next: 0, left: MAX_VALUES }
    }

    fn text(&self, place: u64, limit: usize) -> Option<String> {
        let stretch = self.stretch(place, limit)?;
        let end = stretch.iter().position(|b| *b == 0).unwrap_or(stretch.len());
        Some(String::from_utf8_lossy(stretch.get(..end)?).into_owned())
    }

    fn number(&self, place: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        self.bytes.fill(self.at(place)?, &mut bytes)?;
        Some(u32::from_le_bytes(bytes))
    }

    /// As many bytes as there are, up to a limit.
    fn stretch(&self, place: u64, limit: usize) -> Option<Vec<u8>> {
        let start = self.at(place)?;
        let size = limit.min(usize::try_from(self.range.end.checked_sub(start)?).ok()?);
        let mut bytes = vec![0; size];
        self.bytes.fill(start, &mut bytes)?;
        Some(bytes)
    }

    /// In the file; `None` outside the table.
    fn at(&self, place: u64) -> Option<u64> {
        self.range.start.checked_add(place).filter(|at| *at < self.range.end)
    }

    /// The place of the list of files follows the list of functions (1.2).
    fn functions_behind(&self) -> Option<[u8; 4]> {
        let place = self.entries.checked_add(u64::try_from(self.functions.len()).ok()?)?;
        Some(self.number(place)?.to_le_bytes())
    }

    fn function_start(&self, place: usize) -> Option<u64> {
        if self.is_narrow() {
            self.text.checked_add(u32_at(&self.functions, place)?.into())
        } else {
            u64_at(&self.functions, place)
        }
    }

    /// Addresses are 4 bytes, from the beginning of the code.
    fn is_narrow(&self) -> bool {
        self.version >= Version::V1_18
    }

    /// Bytes of an address and a place in the list of functions.
    fn pair(&self) -> u64 {
        if self.is_narrow() { 8 } else { 16 }
    }
}

struct Numbers<'a> {
    table: &'a GoTable,
    place: u64,
    stretch: Vec<u8>,
    next: usize,
    left: usize,
}

impl Numbers<'_> {
    fn next(&mut self) -> Option<u32> {
        let mut number = 0_u32;
        for shift in (0..32).step_by(7) {
            let byte = self.byte()?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        const STRETCH: usize = 256;
        if self.next == self.stretch.len() {
            self.left = self.left.checked_sub(STRETCH)?;
            self.stretch = self.table.stretch(self.place, STRETCH)?;
            self.place += u64::try_from(self.stretch.len()).ok()?;
            self.next = 0;
        }
        self.next += 1;
        self.stretch.get(self.next - 1).copied()
    }
}
