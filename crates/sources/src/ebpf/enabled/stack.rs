//! A stack as the programs send it, in the words of [`crate::stacks`].

use std::fmt::Write as _;

use oomscope_bpf::{FaultRecord, wire};

use crate::ebpf::{FrameFile, UserStack};
use crate::stacks::{RawStack, Registers};

pub(super) fn of_kill(stack: &wire::stack) -> UserStack {
    let at = &stack.registers;
    UserStack {
        raw: RawStack {
            pid: stack.pid,
            tid: stack.tid,
            registers: registers(at.ip, at.sp, at.bp, at.lr),
            frame_pointers: stack.frame_pointers().to_vec(),
            copy: stack.memory().to_vec(),
        },
        tls_base: known(stack.tls_base),
        files: stack.files().iter().map(frame_file).collect(),
    }
}

pub(super) fn of_fault(fault: &FaultRecord) -> RawStack {
    let at = &fault.registers;
    RawStack {
        pid: fault.pid,
        tid: fault.tid,
        registers: registers(at.ip, at.sp, at.bp, at.lr),
        frame_pointers: fault.frame_pointers().to_vec(),
        copy: fault.memory().to_vec(),
    }
}

fn registers(ip: u64, sp: u64, bp: u64, lr: u64) -> Option<Registers> {
    (ip != 0).then_some(Registers { ip, sp, bp, lr })
}

/// The programs write 0 for what they do not know.
pub(super) fn known(value: u64) -> Option<u64> {
    (value != 0).then_some(value)
}

fn frame_file(entry: &wire::build_id) -> Option<FrameFile> {
    let mut build_id = String::new();
    for byte in entry.build_id()? {
        // Writing to a String cannot fail.
        let _ = write!(build_id, "{byte:02x}");
    }
    Some(FrameFile { build_id, offset: entry.offset_or_ip })
}
