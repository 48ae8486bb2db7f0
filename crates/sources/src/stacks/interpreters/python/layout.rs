//! Where CPython keeps what a traceback needs, by version.
//!
//! From 3.13 on the runtime itself says so ([`super::debug_offsets`]). Before, the layout is fixed by the version's first two
//! numbers: the structures do not change in a bugfix release (PEP 3118's successor for embedders, `Include/internal`, is frozen at
//! the release candidate). Offsets below are those of the debug information of 3.8.18, 3.9.18, 3.10.13, 3.11.7 and 3.12.1 for
//! x86-64, where a pointer has 8 bytes; aarch64 lays these structures out alike.

/// How to follow a process's Python frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Major and minor version.
    pub version: (u8, u8),
    /// Address, in the process, of the pointer to its first interpreter.
    pub interpreters: u64,
    /// Where things lie in the objects.
    pub offsets: Offsets,
}

/// Bytes from the start of each object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Offsets {
    /// `PyInterpreterState.next`.
    pub interpreter_next: u32,
    /// Its first thread.
    pub interpreter_threads: u32,
    /// `PyThreadState.next`.
    pub thread_next: u32,
    /// `pthread_self()` of the thread.
    pub thread_id: u32,
    /// The pointer to its innermost frame, or to the `_PyCFrame` that has it.
    pub thread_frame: u32,
    /// `_PyCFrame.current_frame` (3.11 and 3.12).
    pub cframe_frame: Option<u32>,
    /// The caller's frame.
    pub frame_previous: u32,
    /// The code object; the low bits of the pointer may be tags (3.14).
    pub frame_code: u32,
    /// Where in the code it is.
    pub frame_instruction: u32,
    /// Whether the interpreter's C function begins with this frame.
    pub frame_entry: Entry,
    /// The file's name.
    pub code_file: u32,
    /// The function's name, qualified by class and enclosing functions from 3.11 on.
    pub code_name: u32,
    /// `co_firstlineno`, 4 bytes.
    pub code_first_line: u32,
    /// Which instruction belongs to which line, as `bytes`.
    pub code_line_table: u32,
    /// How [`Offsets::frame_instruction`] is meant.
    pub instruction: Instruction,
    /// How the line table is meant.
    pub lines: LineTable,
    /// `PyASCIIObject.length`, 8 bytes, characters.
    pub string_length: u32,
    /// `PyASCIIObject.state`, 4 bytes.
    pub string_state: u32,
    /// Where the characters of an ASCII string begin.
    pub string_ascii: u32,
    /// Where those of another compact string begin.
    pub string_other: u32,
    /// `PyVarObject.ob_size`, 8 bytes.
    pub bytes_size: u32,
    /// `PyBytesObject.ob_sval`.
    pub bytes_data: u32,
}

/// Since 3.11 a call from Python to Python needs no new C frame: several Python frames share one run of `_PyEval_EvalFrameDefault`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    /// Up to 3.10: each frame is run by its own.
    Always,
    /// A byte that is 1 in the first frame of each (3.11).
    Flag(u32),
    /// The byte that says who owns the frame: from [`Entry::SENTINEL`] on the frame is no function's but stands before the first one.
    Owner(u32),
}

impl Entry {
    /// `FRAME_OWNED_BY_CSTACK` (3.12, 3.13), `FRAME_OWNED_BY_INTERPRETER` and `…_THREAD_STATE` (3.14).
    pub const SENTINEL: u8 = 3;
}

/// How a frame says where in its code it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Instruction {
    /// 4 bytes: index in units of so many bytes.
    Index {
        /// 1 up to 3.9, 2 in 3.10.
        unit: u32,
    },
    /// 8 bytes: its address; the code begins so far into the code object.
    Pointer {
        /// `co_code_adaptive`.
        code: u32,
    },
}

impl Instruction {
    /// Bytes from the start of the code; `None` where the function has not begun, or that is no place in it.
    pub(super) fn bytes(self, code: u64, place: u64) -> Option<u32> {
        match self {
            // The lower four bytes count; before the first instruction they are -1.
            Self::Index { unit } => u32::try_from(place as i32).ok()?.checked_mul(unit),
            Self::Pointer { code: start } => place.checked_sub(code)?.checked_sub(u64::from(start))?.try_into().ok(),
        }
    }
}

/// Formats of line tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LineTable {
    /// `co_lnotab`, up to 3.9.
    Increments,
    /// PEP 626 (3.10).
    Ranges,
    /// PEP 657, since 3.11.
    Locations,
}

/// `_PyRuntime.interpreters.head` and the offsets of a release before 3.13; `None` where they are not known.
pub(super) fn of_release(version: (u8, u8)) -> Option<(u64, Offsets)> {
    match version {
        (3, 8 | 9) => Some((32, OLD)),
        (3, 10) => Some((
            32,
            Offsets {
                frame_instruction: 96,
                instruction: Instruction::Index { unit: 2 },
                lines: LineTable::Ranges,
                ..OLD
            },
        )),
        (3, 11) => Some((40, V3_11)),
        (3, 12) => Some((40, V3_12)),
        _ => None,
    }
}

/// 3.8 and 3.9.
const OLD: Offsets = Offsets {
    interpreter_next: 0,
    interpreter_threads: 8,
    thread_next: 8,
    thread_id: 176,
    thread_frame: 24,
    cframe_frame: None,
    frame_previous: 24,
    frame_code: 32,
    frame_instruction: 104,
    frame_entry: Entry::Always,
    code_file: 104,
    code_name: 112,
    code_first_line: 40,
    code_line_table: 120,
    instruction: Instruction::Index { unit: 1 },
    lines: LineTable::Increments,
    string_length: 16,
    string_state: 32,
    string_ascii: 48,
    string_other: 72,
    bytes_size: 16,
    bytes_data: 32,
};

const V3_11: Offsets = Offsets {
    interpreter_threads: 16,
    thread_id: 152,
    thread_frame: 56,
    cframe_frame: Some(8),
    frame_previous: 48,
    frame_code: 32,
    frame_instruction: 56,
    frame_entry: Entry::Flag(68),
    code_file: 112,
    code_name: 128,
    code_first_line: 72,
    code_line_table: 136,
    instruction: Instruction::Pointer { code: 184 },
    lines: LineTable::Locations,
    ..OLD
};

const V3_12: Offsets = Offsets {
    interpreter_threads: 72,
    thread_id: 136,
    cframe_frame: Some(0),
    frame_previous: 8,
    frame_code: 0,
    frame_entry: Entry::Owner(70),
    code_first_line: 68,
    instruction: Instruction::Pointer { code: 192 },
    string_ascii: 40,
    string_other: 56,
    ..V3_11
};
