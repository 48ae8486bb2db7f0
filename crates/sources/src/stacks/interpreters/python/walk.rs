//! Follows the frames of one thread through the memory of its process.

use super::layout::{Entry, Layout, Offsets};
use super::{Copied, Text};

/// As many as the program in the kernel copies.
pub(super) const MAX_FRAMES: usize = 32;
/// Threads that are looked through for the right one.
const MAX_THREADS: usize = 256;
const MAX_INTERPRETERS: usize = 16;
/// Most of a name or a line table that is read.
const MAX_BYTES: usize = 4096;

/// The memory of a process.
pub trait Memory {
    /// Fills `into` from there on; false where not all of it can be had.
    fn read(&self, address: u64, into: &mut [u8]) -> bool;
}

/// Which thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread {
    /// The one whose `pthread_self()` this is: on x86-64 with glibc or musl, the base of its FS segment.
    Pointer(u64),
    /// The oldest of the first interpreter: the one that the program began with.
    Main,
}

/// Its Python frames, innermost first; empty where there are none, or the memory is not what the layout says.
pub fn walk(layout: &Layout, memory: &dyn Memory, thread: Thread) -> Vec<Copied> {
    let reader = Reader { memory, offsets: &layout.offsets };
    let Some(state) = reader.thread_state(layout.interpreters, thread) else { return Vec::new() };
    reader.frames(state)
}

struct Reader<'a> {
    memory: &'a dyn Memory,
    offsets: &'a Offsets,
}

impl Reader<'_> {
    fn thread_state(&self, interpreters: u64, thread: Thread) -> Option<u64> {
        let offsets = self.offsets;
        let mut interpreter = self.pointer(interpreters, 0)?;
        // The list begins with the newest, in both cases.
        let mut oldest = None;
        for _ in 0..MAX_INTERPRETERS {
            let mut state = self.pointer(interpreter, offsets.interpreter_threads);
            for _ in 0..MAX_THREADS {
                let Some(this) = state else { break };
                if matches!(thread, Thread::Pointer(id) if self.number(this, offsets.thread_id) == Some(id)) {
                    return Some(this);
                }
                oldest = Some(this);
                state = self.pointer(this, offsets.thread_next);
            }
            match self.pointer(interpreter, offsets.interpreter_next) {
                Some(next) => interpreter = next,
                None => break,
            }
        }
        oldest.filter(|_| thread == Thread::Main)
    }

    fn frames(&self, state: u64) -> Vec<Copied> {
        let offsets = self.offsets;
        let mut frame = self.pointer(state, offsets.thread_frame);
        if let Some(inner) = offsets.cframe_frame {
            frame = frame.and_then(|cframe| self.pointer(cframe, inner));
        }
        let mut found: Vec<Copied> = Vec::new();
        // As many again, for the frames that are no function's.
        for _ in 0..2 * MAX_FRAMES {
            let Some(this) = frame.filter(|_| found.len() < MAX_FRAMES) else { break };
            if self.is_sentinel(this) {
                if let Some(before) = found.last_mut() {
                    before.entry = true;
                }
            } else if let Some(copied) = self.copied(this) {
                found.push(copied);
            }
            frame = self.pointer(this, offsets.frame_previous);
        }
        found
    }

    fn is_sentinel(&self, frame: u64) -> bool {
        matches!(self.offsets.frame_entry, Entry::Owner(at) if self.byte(frame, at).is_some_and(|owner| owner >= Entry::SENTINEL))
    }

    fn copied(&self, frame: u64) -> Option<Copied> {
        let offsets = self.offsets;
        // Objects are 8-byte aligned; 3.14 puts tags into the free bits.
        let code = self.pointer(frame, offsets.frame_code)? & !7;
        Some(Copied {
            name: self.string(code, offsets.code_name),
            file: self.string(code, offsets.code_file),
            first_line: self.half(code, offsets.code_first_line)?,
            line_table: self.bytes(code, offsets.code_line_table).unwrap_or_default(),
            code,
            place: self.number(frame, offsets.frame_instruction)?,
            entry: match offsets.frame_entry {
                Entry::Always => true,
                Entry::Flag(at) => self.byte(frame, at) == Some(1),
                Entry::Owner(_) => false,
            },
        })
    }

    fn string(&self, object: u64, at: u32) -> Option<Text> {
        let string = self.pointer(object, at)?;
        let offsets = self.offsets;
        let state = self.half(string, offsets.string_state)?;
        let length = usize::try_from(self.number(string, offsets.string_length)?).ok()?;
        let start = if Text::is_ascii(state) { offsets.string_ascii } else { offsets.string_other };
        let data = self.read(string.checked_add(u64::from(start))?, length.checked_mul(Text::width(state)?)?)?;
        Some(Text { state, length, data })
    }

    fn bytes(&self, object: u64, at: u32) -> Option<Vec<u8>> {
        let bytes = self.pointer(object, at)?;
        let size = usize::try_from(self.number(bytes, self.offsets.bytes_size)?).ok()?;
        self.read(bytes.checked_add(u64::from(self.offsets.bytes_data))?, size)
    }

    fn read(&self, address: u64, size: usize) -> Option<Vec<u8>> {
        let mut data = vec![0; size.min(MAX_BYTES)];
        self.memory.read(address, &mut data).then_some(data)
    }

    fn fill<const N: usize>(&self, object: u64, at: u32) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.memory.read(object.checked_add(u64::from(at))?, &mut bytes).then_some(bytes)
    }

    fn byte(&self, object: u64, at: u32) -> Option<u8> {
        self.fill(object, at).map(u8::from_le_bytes)
    }

    fn half(&self, object: u64, at: u32) -> Option<u32> {
        self.fill(object, at).map(u32::from_le_bytes)
    }

    fn number(&self, object: u64, at: u32) -> Option<u64> {
        self.fill(object, at).map(u64::from_le_bytes)
    }

    /// `None` also for a null pointer.
    fn pointer(&self, object: u64, at: u32) -> Option<u64> {
        self.number(object, at).filter(|&pointer| pointer != 0)
    }
}
