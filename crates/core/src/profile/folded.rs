//! One line a stack, `process;outermost;…;innermost BYTES`: what flame graph programs read.
//!
//! The format has no escaping: a semicolon ends a frame, a newline a line, and the last space stands before the number. Names come from
//! the program, so those are replaced.

use std::fmt::Write as _;

use super::{Measure, Profile, Stack};
use crate::evidence::Frame;
use crate::text::acts_on_its_surroundings;

/// Stands for the stack of a sample that had none.
pub const NO_STACK: &str = "[no stack]";

/// The lines, each with its newline; stacks of nothing are left out.
#[must_use]
pub fn render(profile: &Profile, measure: Measure) -> String {
    let mut out = String::new();
    for line in lines(profile, measure) {
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// The lines without their newlines.
pub fn lines(profile: &Profile, measure: Measure) -> impl Iterator<Item = String> {
    let stacks = profile.stacks.iter().filter(move |stack| stack.bytes(measure).0 > 0);
    stacks.map(move |stack| line(profile, stack, measure))
}

fn line(profile: &Profile, stack: &Stack, measure: Measure) -> String {
    let comm = profile.processes.get(stack.process).map(|process| process.comm.to_lossy().into_owned());
    let mut line = clean(&comm.unwrap_or_else(|| "?".to_owned()));
    for frame in profile.frames_of(stack).rev() {
        line.push(';');
        line.push_str(&clean(&label(frame)));
    }
    if stack.frames.is_empty() {
        line.push(';');
        line.push_str(NO_STACK);
    }
    let _ = write!(line, " {}", stack.bytes(measure).0);
    line
}

/// A frame in one word: its function, or where in which file it is. Not escaped.
#[must_use]
pub fn label(frame: &Frame) -> String {
    if let Some(function) = &frame.function {
        return function.clone();
    }
    let module = frame.module.as_ref().map(|module| module.to_lossy().into_owned());
    let module = module.as_deref().map(|path| path.rsplit('/').next().unwrap_or(path));
    match (module, frame.offset, frame.address) {
        (Some(module), Some(offset), _) => format!("{module}+{offset:#x}"),
        (Some(module), None, _) => module.to_owned(),
        (None, _, Some(address)) => format!("{address:#x}"),
        (None, _, None) => "?".to_owned(),
    }
}

/// Without what the format or a terminal would take for something else.
fn clean(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c == ';' {
                ':'
            } else if acts_on_its_surroundings(c) {
                '?'
            } else {
                c
            }
        })
        .collect()
}
