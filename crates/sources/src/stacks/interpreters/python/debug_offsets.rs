//! `_Py_DebugOffsets`: from 3.13 on, the start of `_PyRuntime` tells debuggers where everything lies.
//!
//! The table is 8-byte numbers in a fixed order, which gained entries in 3.14 (`Include/internal/pycore_debug_offsets.h`).

use super::layout::{Entry, Instruction, LineTable, Offsets};

/// What stands at its start.
const COOKIE: &[u8; 8] = b"xdebugpy";

/// Enough of it for every entry read here.
pub(super) const SIZE: usize = 1024;

/// Positions in the table.
struct Positions {
    interpreter: usize,
    thread: usize,
    frame: usize,
    code: usize,
    bytes: usize,
    string: usize,
}

/// 3.13.
const V3_13: Positions = Positions { interpreter: 48, thread: 152, frame: 224, code: 272, bytes: 512, string: 536 };

/// 3.14: two more of the interpreter, two of the frame, one of the code object, and those of sets.
const V3_14: Positions = Positions { interpreter: 48, thread: 176, frame: 248, code: 312, bytes: 592, string: 616 };

/// The version, where `_PyRuntime.interpreters.head` lies, and the offsets. `None` for what is no such table, a version whose
/// table is not known, and builds without the interpreter lock, whose strings are laid out differently.
pub(super) fn read(table: &[u8]) -> Option<((u8, u8), u64, Offsets)> {
    if table.get(..8)? != COOKIE || number(table, 16)? != 0 {
        return None;
    }
    let hex = number(table, 8)?;
    let version = (u8::try_from(hex >> 24).ok()?, (hex >> 16) as u8);
    let at = positions(version)?;
    let offset = |position: usize| u32::try_from(number(table, position)?).ok();
    let ascii = offset(at.string + 24)?;
    Some((
        version,
        number(table, 40)?,
        Offsets {
            interpreter_next: offset(at.interpreter + 16)?,
            interpreter_threads: offset(at.interpreter + 24)?,
            thread_next: offset(at.thread + 16)?,
            thread_id: offset(at.thread + 40)?,
            thread_frame: offset(at.thread + 32)?,
            cframe_frame: None,
            frame_previous: offset(at.frame + 8)?,
            frame_code: offset(at.frame + 16)?,
            frame_instruction: offset(at.frame + 24)?,
            frame_entry: Entry::Owner(offset(at.frame + 40)?),
            code_file: offset(at.code + 8)?,
            code_name: offset(at.code + 24)?,
            code_first_line: offset(at.code + 40)?,
            code_line_table: offset(at.code + 32)?,
            instruction: Instruction::Pointer { code: offset(at.code + 72)? },
            lines: LineTable::Locations,
            string_length: offset(at.string + 16)?,
            string_state: offset(at.string + 8)?,
            string_ascii: ascii,
            // PyCompactUnicodeObject adds a length and a pointer, for UTF-8.
            string_other: ascii.checked_add(16)?,
            bytes_size: offset(at.bytes + 8)?,
            bytes_data: offset(at.bytes + 16)?,
        },
    ))
}

const fn positions(version: (u8, u8)) -> Option<Positions> {
    match version {
        (3, 13) => Some(V3_13),
        (3, 14) => Some(V3_14),
        _ => None,
    }
}

fn number(table: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(table.get(at..at.checked_add(8)?)?.try_into().ok()?))
}
