//! Puts an interpreter's frames where they belong in the native stack.

use oomscope_core::evidence::Frame;

use super::python::{Copied, Layout};

/// CPython's C function that runs Python code; a compiler may have split it (`.cold`).
const EVALUATES: &str = "_PyEval_EvalFrameDefault";

/// The native stack with each run of CPython's evaluating function replaced by the Python functions that ran in it. Python frames
/// for which no such run is in the native stack (it may end too early) come last: they are the outer ones.
#[must_use]
pub fn merge(native: Vec<Frame>, layout: &Layout, python: &[Copied]) -> Vec<Frame> {
    let mut runs = python.chunk_by(|before, _| !before.entry);
    let mut merged = Vec::with_capacity(native.len() + python.len());
    for frame in native {
        match runs.next_if_evaluates(&frame) {
            Some(run) => merged.extend(run.iter().map(|copied| copied.frame(layout))),
            None => merged.push(frame),
        }
    }
    merged.extend(runs.flatten().map(|copied| copied.frame(layout)));
    merged
}

trait Runs<'a> {
    fn next_if_evaluates(&mut self, frame: &Frame) -> Option<&'a [Copied]>;
}

impl<'a, I: Iterator<Item = &'a [Copied]>> Runs<'a> for I {
    fn next_if_evaluates(&mut self, frame: &Frame) -> Option<&'a [Copied]> {
        let evaluates = frame.function.as_deref().is_some_and(|name| name.split('.').next() == Some(EVALUATES));
        if evaluates { self.next() } else { None }
    }
}
