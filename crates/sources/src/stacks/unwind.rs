//! From a copy of a stack to the calls in it.

use oomscope_core::evidence::FoundBy;

use super::{RawStack, Space};

/// An instruction that a call stack goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// In the process. Of a caller the return address minus one, so that it lies within the call.
    pub address: u64,
    /// How it was found.
    pub found_by: FoundBy,
}

/// A call stack without names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unwound {
    /// Innermost first. Empty for a kernel thread.
    pub addresses: Vec<Address>,
    /// The stack goes on behind what is here: the copy ended, or what is there could not be followed.
    pub truncated: bool,
}

/// Follows stacks of any process. Keeps the unwind tables of files that it met, up to a limit.
#[derive(Debug, Default)]
pub struct Unwinder {}

impl Unwinder {
    /// Follows a stack.
    pub fn unwind(&mut self, space: &Space, raw: &RawStack) -> Unwound {
        let executable = raw.frame_pointers.iter().take_while(|address| space.mapping(**address).is_some());
        let addresses = executable.enumerate().map(|(depth, address)| match depth {
            0 => Address { address: *address, found_by: FoundBy::Registers },
            _ => Address { address: address.saturating_sub(1), found_by: FoundBy::FramePointer },
        });
        Unwound { addresses: addresses.collect(), truncated: true }
    }
}
