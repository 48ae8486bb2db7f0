//! Unwind tables of compilers (`.eh_frame`, `.debug_frame`): who called, given the registers and the stack.
//!
//! Evaluated with gimli rather than with a whole unwinder, because the tables are the watched program's own: an expression in them
//! may loop (it gets so many steps), a function may have megabytes of instructions (it gets none). It also tells what a walk needs
//! to know: that no table covers an address, that a frame is a signal's, that it is the outermost.

use gimli::{
    BaseAddresses, CfaRule, DebugFrame, EhFrame, Encoding, EndianSlice, EvaluationResult, Expression,
    FrameDescriptionEntry, LittleEndian, Register, RegisterRule, UnwindContext, UnwindExpression, UnwindOffset,
    UnwindSection, Value,
};

use super::cpu::{self, Cpu, StackCopy};
use super::elf::{Bytes, Elf, u32_at};

type Slice<'a> = EndianSlice<'a, LittleEndian>;
/// Kept between steps, because it is large.
pub(super) type Context = UnwindContext<usize>;

/// Chromium's, the largest known, has 13 MiB.
const MAX_SECTION: u64 = 32 << 20;
/// Without a table of contents the section is read through once, and one is made.
const MAX_SCANNED: u64 = 8 << 20;
/// Instructions for one function, bytes.
const MAX_ENTRY: usize = 64 << 10;
/// Steps of an expression; that of a procedure linkage table has ten.
const MAX_STEPS: u32 = 1000;

/// The tables of one file.
#[derive(Debug)]
pub(super) struct Cfi {
    section: Vec<u8>,
    kind: Kind,
    bases: BaseAddresses,
    index: Index,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    EhFrame,
    DebugFrame,
}

/// Where in the section the entry of a function is.
#[derive(Debug)]
enum Index {
    /// `.eh_frame_hdr`: pairs of 32-bit offsets from the header's own address, by address.
    Header { table: Vec<u8>, address: u64, section: u64 },
    /// First address and place, by address.
    Scanned(Vec<(u64, u32)>),
}

/// One step outwards.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "on arm64; it lives for one step")]
pub(super) enum Step {
    /// Into the caller.
    Caller(Cpu),
    /// There is none.
    Outermost,
    /// There is one, but the way to it is not known.
    Lost,
}

impl Cfi {
    /// `None` where the file has no such tables.
    pub(super) fn read(bytes: &Bytes, elf: &Elf) -> Option<Self> {
        let address = |name: &[u8]| elf.section(name).map_or(0, |section| section.address);
        let bases = BaseAddresses::default()
            .set_eh_frame(address(b".eh_frame"))
            .set_eh_frame_hdr(address(b".eh_frame_hdr"))
            .set_text(address(b".text"))
            .set_got(address(b".got"));
        let read = |name: &[u8], limit| {
            let section = elf.section(name).filter(|section| !section.compressed)?;
            bytes.read(&section.range, limit).filter(|bytes| !bytes.is_empty())
        };
        let header = || {
            let table = read(b".eh_frame_hdr", MAX_SECTION)?;
            Index::header(table, address(b".eh_frame_hdr"), address(b".eh_frame"))
        };
        if let Some(index) = header() {
            let section = read(b".eh_frame", MAX_SECTION)?;
            return Some(Self { section, kind: Kind::EhFrame, bases, index });
        }
        let (section, kind) = read(b".eh_frame", MAX_SCANNED)
            .map(|section| (section, Kind::EhFrame))
            .or_else(|| Some((read(b".debug_frame", MAX_SCANNED)?, Kind::DebugFrame)))?;
        let index = match kind {
            Kind::EhFrame => Index::scan(&eh_frame(&section), &bases),
            Kind::DebugFrame => Index::scan(&debug_frame(&section), &bases),
        };
        Some(Self { section, kind, bases, index })
    }

    /// What it holds in memory.
    pub(super) fn bytes(&self) -> usize {
        self.section.len()
            + match &self.index {
                Index::Header { table, .. } => table.len(),
                Index::Scanned(entries) => size_of_val(entries.as_slice()),
            }
    }

    /// From a frame to its caller; `at` is the instruction's address as linked. `None` where the tables do not cover it.
    pub(super) fn step(&self, at: u64, cpu: &Cpu, stack: &StackCopy<'_>, context: &mut Context) -> Option<Step> {
        let place = self.index.place(at)?;
        match self.kind {
            Kind::EhFrame => Function::find(eh_frame(&self.section), place, at, &self.bases)?.step(cpu, stack, context),
            Kind::DebugFrame => {
                Function::find(debug_frame(&self.section), place, at, &self.bases)?.step(cpu, stack, context)
            }
        }
    }
}

fn eh_frame(section: &[u8]) -> EhFrame<Slice<'_>> {
    let mut section = EhFrame::new(section, LittleEndian);
    section.set_address_size(8);
    section
}

fn debug_frame(section: &[u8]) -> DebugFrame<Slice<'_>> {
    let mut section = DebugFrame::new(section, LittleEndian);
    section.set_address_size(8);
    section
}

impl Index {
    /// Only in the form that every linker writes (LSB, "DWARF extensions"): version 1, a count of 4 bytes, a table of `sdata4`
    /// relative to the header.
    fn header(bytes: Vec<u8>, address: u64, section: u64) -> Option<Self> {
        const ENCODINGS: [[u8; 4]; 2] = [[1, 0x1b, 3, 0x3b], [1, 0x1b, 0xb, 0x3b]];
        let known = ENCODINGS.iter().any(|encoding| bytes.starts_with(encoding));
        let count = usize::try_from(u32_at(&bytes, 8)?).ok()?;
        let table = bytes.get(12..count.checked_mul(8)?.checked_add(12)?)?;
        (known && count > 0).then(|| Self::Header { table: table.to_vec(), address, section })
    }

    fn scan<'a, S: UnwindSection<Slice<'a>>>(section: &S, bases: &BaseAddresses) -> Self {
        let mut found = Vec::new();
        let mut entries = section.entries(bases);
        while let Ok(Some(entry)) = entries.next() {
            let gimli::CieOrFde::Fde(partial) = entry else { continue };
            let place = u32::try_from(partial.offset());
            if let (Ok(place), Ok(fde)) = (place, partial.parse(S::cie_from_offset)) {
                found.push((fde.initial_address(), place));
            }
        }
        found.sort_unstable();
        Self::Scanned(found)
    }

    /// Of the function that begins last before the address.
    fn place(&self, at: u64) -> Option<usize> {
        match self {
            Self::Header { table, address, section } => {
                let (pairs, _) = table.as_chunks::<8>();
                let absolute = |offset: [u8; 4]| address.wrapping_add_signed(i64::from(i32::from_le_bytes(offset)));
                let behind = pairs.partition_point(|[a, b, c, d, ..]| absolute([*a, *b, *c, *d]) <= at);
                let [.., a, b, c, d] = *pairs.get(behind.checked_sub(1)?)?;
                usize::try_from(absolute([a, b, c, d]).checked_sub(*section)?).ok()
            }
            Self::Scanned(entries) => {
                let behind = entries.partition_point(|(start, _)| *start <= at);
                usize::try_from(entries.get(behind.checked_sub(1)?)?.1).ok()
            }
        }
    }
}

/// The entry of one function.
struct Function<'a, 'b, S> {
    section: S,
    bases: &'b BaseAddresses,
    entry: FrameDescriptionEntry<Slice<'a>>,
    at: u64,
}

impl<'a, 'b, S: UnwindSection<Slice<'a>>> Function<'a, 'b, S>
where
    S::Offset: UnwindOffset<usize>,
{
    fn find(section: S, place: usize, at: u64, bases: &'b BaseAddresses) -> Option<Self> {
        let entry = section.fde_from_offset(bases, S::Offset::from(place), S::cie_from_offset).ok()?;
        let covers = at.checked_sub(entry.initial_address()).is_some_and(|into| into < entry.len());
        (covers && entry.entry_len() <= MAX_ENTRY && entry.cie().entry_len() <= MAX_ENTRY).then_some(Self {
            section,
            bases,
            entry,
            at,
        })
    }

    fn step(&self, cpu: &Cpu, stack: &StackCopy<'_>, context: &mut Context) -> Option<Step> {
        let row = self.entry.unwind_info_for_address(&self.section, self.bases, context, self.at).ok()?;
        let values = Values { section: &self.section, encoding: self.entry.cie().encoding(), cpu, stack };
        let cfa = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                cpu.get(register.0).map(|value| value.wrapping_add_signed(*offset))
            }
            CfaRule::Expression(expression) => values.expression(expression, None),
        };
        let Some(cfa) = cfa else { return Some(Step::Lost) };
        let mut caller = cpu.caller();
        caller.set(cpu::SP, Some(cfa));
        for (register, rule) in row.registers() {
            // What cannot be read is only unknown: near a function's end tables still name places below the stack pointer.
            caller.set(register.0, values.register(*register, rule, cfa));
        }
        let column = self.entry.cie().return_address_register();
        let address = match row.register(column) {
            Some(RegisterRule::Undefined) => return Some(Step::Outermost),
            None if column.0 != cpu::IP || cpu.link_register().is_none() => return Some(Step::Outermost),
            None => cpu.link_register(),
            Some(rule) => values.register(column, &rule, cfa),
        };
        Some(match address {
            Some(0) => Step::Outermost,
            Some(address) => {
                caller.ip = address;
                caller.interrupted = self.entry.is_signal_trampoline();
                Step::Caller(caller)
            }
            None => Step::Lost,
        })
    }
}

/// What rules are evaluated with.
struct Values<'s, 'c, S> {
    section: &'s S,
    encoding: Encoding,
    cpu: &'c Cpu,
    stack: &'c StackCopy<'c>,
}

impl<'a, S: UnwindSection<Slice<'a>>> Values<'_, '_, S> {
    /// The register's value in the caller, where that can be had.
    fn register(&self, register: Register, rule: &RegisterRule<usize>, cfa: u64) -> Option<u64> {
        match rule {
            RegisterRule::SameValue => self.cpu.get(register.0),
            RegisterRule::Offset(offset) => self.stack.word(cfa.wrapping_add_signed(*offset)),
            RegisterRule::ValOffset(offset) => Some(cfa.wrapping_add_signed(*offset)),
            RegisterRule::Register(other) => self.cpu.get(other.0),
            RegisterRule::Expression(expression) => self.stack.word(self.expression(expression, Some(cfa))?),
            RegisterRule::ValExpression(expression) => self.expression(expression, Some(cfa)),
            RegisterRule::Constant(value) => Some(*value),
            _ => None,
        }
    }

    fn expression(&self, expression: &UnwindExpression<usize>, cfa: Option<u64>) -> Option<u64> {
        let expression: Expression<Slice<'a>> = expression.get(self.section).ok()?;
        let mut evaluation = expression.evaluation(self.encoding);
        evaluation.set_max_iterations(MAX_STEPS);
        if let Some(cfa) = cfa {
            evaluation.set_initial_value(cfa);
        }
        let mut state = evaluation.evaluate();
        loop {
            state = match state {
                Ok(EvaluationResult::Complete) => break,
                Ok(EvaluationResult::RequiresRegister { register, .. }) => {
                    let value = self.cpu.get(register.0)?;
                    evaluation.resume_with_register(Value::Generic(value))
                }
                Ok(EvaluationResult::RequiresMemory { address, size: 8, .. }) => {
                    evaluation.resume_with_memory(Value::Generic(self.stack.word(address)?))
                }
                _ => return None,
            };
        }
        let value = evaluation.value_result().and_then(|value| value.to_u64(u64::MAX).ok());
        // Not a value but a place: the same number.
        let place = || match evaluation.as_result().first()?.location {
            gimli::Location::Address { address } => Some(address),
            _ => None,
        };
        value.or_else(place)
    }
}
