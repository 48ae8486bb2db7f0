//! The registers that unwinding follows, and the copy of the stack that it reads.

use super::{RawStack, Registers};

/// DWARF's numbers of x86-64 (System V ABI, table 3.36).
#[cfg(target_arch = "x86_64")]
mod numbers {
    pub(in super::super) const SP: u16 = 7;
    pub(in super::super) const BP: u16 = 6;
    pub(in super::super) const IP: u16 = 16;
    /// Those that a callee gives back as they were: rbx, rbp, r12 to r15.
    pub(super) const KEPT: &[u16] = &[3, 6, 12, 13, 14, 15];
    pub(super) const COUNT: usize = 17;
}

/// DWARF's numbers of arm64 (AADWARF64).
#[cfg(target_arch = "aarch64")]
mod numbers {
    pub(in super::super) const SP: u16 = 31;
    pub(in super::super) const BP: u16 = 29;
    /// Calls leave the return address in the link register.
    pub(in super::super) const IP: u16 = 30;
    /// x19 to x29.
    pub(super) const KEPT: &[u16] = &[19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29];
    pub(super) const COUNT: usize = 32;
}

pub(super) use numbers::{BP, IP, SP};

/// A CPU within a frame.
#[derive(Clone, Debug)]
pub(super) struct Cpu {
    pub(super) ip: u64,
    /// `ip` is the next instruction to run, not one behind a call.
    pub(super) interrupted: bool,
    values: [u64; numbers::COUNT],
    /// Those that are known, a bit each.
    known: u32,
}

impl Cpu {
    pub(super) fn new(registers: &Registers) -> Self {
        let mut cpu = Self { ip: registers.ip, interrupted: true, values: [0; numbers::COUNT], known: 0 };
        cpu.set(IP, Some(registers.lr));
        cpu.set(SP, Some(registers.sp));
        cpu.set(BP, Some(registers.bp));
        cpu
    }

    /// The one who called, as far as nobody saved registers: those that a callee may change are unknown.
    pub(super) fn caller(&self) -> Self {
        let mut cpu = Self { ip: 0, interrupted: false, values: [0; numbers::COUNT], known: 0 };
        for number in numbers::KEPT {
            cpu.set(*number, self.get(*number));
        }
        cpu
    }

    /// `None` where it is not known any more.
    pub(super) fn get(&self, number: u16) -> Option<u64> {
        // Its own column stands for the instruction pointer, which expressions of procedure linkage tables ask for.
        if cfg!(target_arch = "x86_64") && number == IP {
            return Some(self.ip);
        }
        let known = self.known.checked_shr(number.into()).is_some_and(|known| known & 1 == 1);
        self.values.get(usize::from(number)).copied().filter(|_| known)
    }

    pub(super) fn set(&mut self, number: u16, value: Option<u64>) {
        let Some(place) = self.values.get_mut(usize::from(number)) else { return };
        *place = value.unwrap_or_default();
        let bit = 1 << number;
        self.known = if value.is_some() { self.known | bit } else { self.known & !bit };
    }

    /// What arm64 leaves in the link register; x86-64 has none.
    pub(super) fn link_register(&self) -> Option<u64> {
        (cfg!(target_arch = "aarch64") && self.interrupted).then(|| self.get(IP)).flatten()
    }

    /// An address that lies within the instruction, or within the call.
    pub(super) fn lookup(&self) -> u64 {
        self.ip.wrapping_sub(u64::from(!self.interrupted))
    }
}

/// The top of a stack, as it was copied.
#[derive(Clone, Copy, Debug)]
pub(super) struct StackCopy<'a> {
    start: u64,
    bytes: &'a [u8],
}

impl<'a> StackCopy<'a> {
    pub(super) fn of(raw: &'a RawStack, registers: &Registers) -> Self {
        Self { start: registers.sp, bytes: &raw.copy }
    }

    /// Eight bytes; `None` where they were not copied.
    pub(super) fn word(&self, address: u64) -> Option<u64> {
        let at = address.checked_sub(self.start)?;
        super::elf::u64_at(self.bytes, usize::try_from(at).ok()?)
    }
}
