//! Programs with damaged tables: whoever owns the file may have put anything there.
#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests say what they skip, and what helps them may fail like them"
)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use super::cfi::{Context, Step};
use super::cpu::{Cpu, StackCopy};
use super::elf::{Bytes, Elf};
use super::go_table::GoTable;
use super::module::{Module, by_frame_pointer};
use super::slim::Slim;
use super::symbols::Symbols;
use super::{Mapping, RawStack, Registers};

/// Numbers without pattern, the same in every run (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}

/// A compiled program; `None`, loudly, without a compiler.
fn program(compiler: &str, source: &str, arguments: &[&str]) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stacks/programs").join(source);
    let mut command = Command::new(compiler);
    match compiler {
        "go" => command.current_dir(source).args(["build", "-o"]).arg(&path),
        _ => command.args(arguments).arg(source).arg("-o").arg(&path),
    };
    if !command.output().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: {compiler} is missing or fails");
        return None;
    }
    Some(std::fs::read(path).unwrap())
}

/// Where damage matters: the headers and what the tables of this program hold.
fn sensitive(whole: &[u8], names: &[&[u8]]) -> Vec<std::ops::Range<usize>> {
    let elf = Elf::read(&Bytes::Memory(whole.into())).unwrap();
    let sections = elf.sections.iter().filter(|section| names.contains(&section.name.as_slice()));
    let range = |range: &std::ops::Range<u64>| range.start as usize..range.end as usize;
    let mut ranges: Vec<_> = sections.map(|section| range(&section.range)).filter(|range| !range.is_empty()).collect();
    ranges.extend([0..64, range(&elf.tables[0]), range(&elf.tables[1])]);
    ranges
}

fn damaged(whole: &[u8], ranges: &[std::ops::Range<usize>], random: &mut Random) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..1 + random.below(12) {
        let range = &ranges[random.below(ranges.len())];
        let at = range.start + random.below(range.len());
        bytes[at] = match random.below(4) {
            0 => 0xff,
            1 => 0,
            2 => bytes[at] ^ (1 << random.below(8)),
            _ => random.next() as u8,
        };
    }
    if random.below(8) == 0 {
        bytes.truncate(random.below(bytes.len()));
    }
    bytes
}

const BASE: u64 = 0x5555_5555_4000;

/// Follows a stack of random words, half of which look like addresses in the program.
fn walk(module: &mut Module, mapping: &Mapping, random: &mut Random) {
    let size = mapping.end - mapping.start;
    let sp = 0x7fff_0000_0000;
    let word = |random: &mut Random| match random.below(3) {
        0 => mapping.start + random.next() % size,
        1 => sp + random.next() % 4096,
        _ => random.next(),
    };
    let copy: Vec<u8> = (0..512).flat_map(|_| word(random).to_le_bytes()).collect();
    let registers = Registers { ip: mapping.start + random.next() % size, sp, bp: word(random), lr: 0 };
    let raw = RawStack { registers: Some(registers), copy, ..RawStack::default() };
    let stack = StackCopy::of(&raw, &registers);
    let mut cpu = Cpu::new(&registers);
    let mut context = Context::new();
    for _ in 0..64 {
        let step = module.step(mapping, &cpu, &stack, &mut context).unwrap_or_else(|| by_frame_pointer(&cpu, &stack));
        let Step::Caller(caller) = step else { return };
        cpu = caller;
    }
}

/// No damage to headers, unwind tables or Go's table makes unwinding panic or go on for ever.
#[test]
fn damaged_unwind_tables() {
    let tables: &[&[u8]] = &[b".eh_frame", b".eh_frame_hdr", b".debug_frame", b".gopclntab", b".note.gnu.build-id"];
    let mut random = Random(0x1234_5678_9abc_def1);
    let programs = [
        program("gcc", "deep.c", &["-O2", "-static", "-g"]),
        program("gcc", "deep.c", &["-O2", "-Wl,--no-eh-frame-hdr"]),
        program("go", "deep_go", &[]),
    ];
    for whole in programs.into_iter().flatten() {
        let ranges = sensitive(&whole, tables);
        for _ in 0..400 {
            let bytes = Bytes::Memory(damaged(&whole, &ranges, &mut random).into());
            let Some(mut module) = Module::read(&bytes) else { continue };
            let mapping = Mapping { start: BASE, end: BASE + 0x10_0000, offset: 0x1000, file: Some(0) };
            for _ in 0..20 {
                walk(&mut module, &mapping, &mut random);
            }
            let elf = Elf::read(&bytes).unwrap();
            let Some(table) = GoTable::read(&bytes, &elf) else { continue };
            for _ in 0..50 {
                let at = 0x40_1000 + random.next() % 0x10_0000;
                if let Some(function) = table.function(at) {
                    let _ = (table.name(&function), table.line(&function, at), table.frame_size(&function, at));
                }
            }
        }
    }
}

/// Damaged debug information costs names at most: the thread that reads it may die, and another takes its place.
#[test]
fn damaged_debug_information() {
    let tables: &[&[u8]] = &[
        b".symtab",
        b".strtab",
        b".dynsym",
        b".debug_info",
        b".debug_abbrev",
        b".debug_line",
        b".debug_ranges",
        b".debug_rnglists",
        b".debug_aranges",
        b".debug_str",
        b".debug_line_str",
    ];
    let Some(whole) = program("gcc", "deep.c", &["-O2", "-g"]) else { return };
    let ranges = sensitive(&whole, tables);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut symbols = Symbols::default();
    let (mut named, mut lost) = (0, 0);
    for _ in 0..300 {
        let bytes = damaged(&whole, &ranges, &mut random);
        let size = bytes.len() as u64;
        let bytes = Bytes::Memory(Arc::from(bytes));
        let Some(elf) = Elf::read(&bytes) else { continue };
        let Some(slim) = Slim::copy(&bytes, size, &elf, 1 << 24) else { continue };
        let Ok(id) = symbols.open(slim) else { continue };
        for _ in 0..10 {
            match symbols.name(id, 0x1060 + random.next() % 0x300) {
                Ok(names) => named += names.len(),
                Err(_) => {
                    lost += 1;
                    break;
                }
            }
        }
        symbols.close(id);
    }
    eprintln!("{named} named, {lost} lost");
    assert!(named > 100);
}
