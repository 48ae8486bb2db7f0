//! Owned copies of the records that came through a ring buffer, read with their lengths checked.

use std::mem;

use crate::wire;

/// A record of the programs that see kills. They are big, hence the boxes.
#[derive(Clone, Debug)]
pub enum KillRecord {
    /// A process was chosen, or marked. First of all that belongs to a kill.
    Kill(Box<wire::kill>),
    /// Where the trigger was, or the victim.
    Stack(Box<wire::stack>),
    /// Some of the tasks; `last` says whether all have come.
    Tasks(Box<wire::tasks>),
}

/// A sampled page fault.
#[derive(Clone, Debug)]
pub struct FaultRecord(Box<wire::fault>);

/// A type of `wire.h`: plain integers, of which any bytes are a value.
///
/// # Safety
/// Only for `repr(C)` structures of integers and arrays of them, without references, enums or padding that matters.
pub(crate) unsafe trait Wire: Sized {
    /// From the bytes of a record; what lies beyond their end is 0. `None` where they are fewer than `least`.
    fn read(bytes: &[u8], least: usize) -> Option<Box<Self>> {
        if bytes.len() < least {
            return None;
        }
        let mut record = Box::<Self>::new_zeroed();
        let length = bytes.len().min(mem::size_of::<Self>());
        // SAFETY: both ends are valid for `length` bytes and do not overlap, as the box is new. Any bytes, zeros among them, are a value
        // of a type that this trait is for.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), record.as_mut_ptr().cast(), length);
            Some(record.assume_init())
        }
    }
}

// SAFETY: generated from wire.h, which holds only integers of fixed size.
unsafe impl Wire for wire::kill {}
// SAFETY: as above.
unsafe impl Wire for wire::stack {}
// SAFETY: as above.
unsafe impl Wire for wire::tasks {}
// SAFETY: as above.
unsafe impl Wire for wire::fault {}
// SAFETY: as above, of python.h.
unsafe impl Wire for wire::python {}

fn kind(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|kind| u32::from_ne_bytes(*kind))
}

fn whole<T: Wire>(bytes: &[u8]) -> Option<Box<T>> {
    T::read(bytes, mem::size_of::<T>())
}

impl KillRecord {
    /// `None` for what is not one of them.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        match kind(bytes)? {
            wire::RECORD_KILL => whole(bytes).map(Self::Kill),
            wire::RECORD_STACK => whole(bytes).map(Self::Stack),
            wire::RECORD_TASKS => whole(bytes).map(Self::Tasks),
            _ => None,
        }
    }
}

impl FaultRecord {
    /// `None` for what is not one. The record ends with as much of the stack as was asked for.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let least = mem::offset_of!(wire::fault, copy);
        (kind(bytes)? == wire::RECORD_FAULT).then(|| wire::fault::read(bytes, least).map(Self))?
    }
}

impl std::ops::Deref for FaultRecord {
    type Target = wire::fault;

    fn deref(&self) -> &wire::fault {
        &self.0
    }
}

/// The first `bytes` of an array of eight-byte entries, or of as many as it has; none where that is negative.
fn first<T>(entries: &[T], bytes: i64) -> &[T] {
    let count = usize::try_from(bytes).unwrap_or(0) / mem::size_of::<T>();
    entries.get(..count).unwrap_or(entries)
}

/// What was copied from the stack pointer on: the program begins a little below it.
fn copied(copy: &[u8], bytes: u64, start: u64, sp: u64) -> &[u8] {
    let end = usize::try_from(bytes).unwrap_or(usize::MAX).min(copy.len());
    let skip = sp.checked_sub(start).and_then(|skip| usize::try_from(skip).ok());
    skip.and_then(|skip| copy.get(skip..end)).unwrap_or_default()
}

impl wire::kill {
    /// The levels that are filled, innermost first.
    #[must_use]
    pub fn levels(&self) -> &[wire::level] {
        self.chain.get(..self.levels as usize).unwrap_or(&self.chain)
    }

    /// Frames in the kernel, innermost first; those of the program itself among them.
    #[must_use]
    pub fn kernel_frames(&self) -> &[u64] {
        first(&self.kernel_stack, self.kernel_stack_bytes)
    }
}

impl wire::stack {
    /// What the frame pointers led to, innermost first.
    #[must_use]
    pub fn frame_pointers(&self) -> &[u64] {
        first(&self.frames, self.frames_bytes)
    }

    /// For each frame the file it lies in.
    #[must_use]
    pub fn files(&self) -> &[wire::build_id] {
        first(&self.build_ids, self.build_ids_bytes)
    }

    /// Memory from the stack pointer upwards.
    #[must_use]
    pub fn memory(&self) -> &[u8] {
        copied(&self.copy, self.copy_bytes, self.copy_start, self.registers.sp)
    }
}

impl wire::build_id {
    /// The build id, where the frame's file has one; `offset_or_ip` is then an offset in that file.
    #[must_use]
    pub fn build_id(&self) -> Option<&[u8]> {
        // BPF_STACK_BUILD_ID_VALID. Shorter ids end in zeros.
        const VALID: i32 = 1;
        let length = self.build_id.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        (self.status == VALID && length > 0).then(|| &self.build_id[..length])
    }
}

impl wire::tasks {
    /// The rows that are filled.
    #[must_use]
    pub fn rows(&self) -> &[wire::task_row] {
        self.rows.get(..self.count as usize).unwrap_or(&self.rows)
    }
}

impl wire::fault {
    /// What the frame pointers led to, innermost first.
    #[must_use]
    pub fn frame_pointers(&self) -> &[u64] {
        first(&self.frames, self.frames_bytes)
    }

    /// Memory from the stack pointer upwards.
    #[must_use]
    pub fn memory(&self) -> &[u8] {
        copied(&self.copy, self.copy_bytes, self.copy_start, self.registers.sp)
    }
}

/// A name of at most 16 bytes, up to its NUL.
#[must_use]
pub fn name(comm: &[u8]) -> &[u8] {
    comm.split(|&b| b == 0).next().unwrap_or_default()
}
