//! The functions of the program that made memory resident, whatever allocator or library they used for it.

use std::cmp::Reverse;

use indexmap::IndexMap;

use super::blame::named_first;
use super::{Measure, Profile};
use crate::evidence::Frame;
use crate::units::Bytes;

/// One function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function<'a> {
    /// The frame of it that has most; `None` for samples without a stack.
    pub frame: Option<&'a Frame>,
    /// The next function of the program out from it, of the same stack.
    pub caller: Option<&'a Frame>,
    /// The process of that stack, an index into [`Profile::processes`].
    pub process: usize,
    /// Bytes.
    pub bytes: Bytes,
    /// Samples.
    pub samples: u64,
}

/// Those that have any, the largest first: each stack counts for the one of its functions that is [to be named](named_first).
#[must_use]
pub fn functions(profile: &Profile, measure: Measure) -> Vec<Function<'_>> {
    let mut found: IndexMap<_, Function<'_>> = IndexMap::new();
    let mut stacks: Vec<_> = profile.stacks.iter().filter(|stack| stack.bytes(measure).0 > 0).collect();
    stacks.sort_by_key(|stack| Reverse(stack.bytes(measure)));
    for stack in stacks {
        let frames: Vec<&Frame> = profile.frames_of(stack).collect();
        let at = named_first(&frames);
        let frame = at.and_then(|at| frames.get(at).copied());
        let key =
            frame.map(|frame| (&frame.function, &frame.module, frame.offset.filter(|_| frame.function.is_none())));
        let caller = at.and_then(|at| frames.get(at + 1..)).unwrap_or_default();
        let caller = named_first(caller).and_then(|at| caller.get(at).copied());
        let first = Function { frame, caller, process: stack.process, bytes: Bytes(0), samples: 0 };
        let function = found.entry(key).or_insert(first);
        function.bytes = Bytes(function.bytes.0.saturating_add(stack.bytes(measure).0));
        function.samples = function.samples.saturating_add(stack.samples);
    }
    let mut found: Vec<_> = found.into_values().collect();
    found.sort_by_key(|function| Reverse(function.bytes));
    found
}
