//! Stacks, frame by frame, with how each was found.

use crate::evidence::{FoundBy, Frame, HotStacks, NamedBy, Stacks};
use crate::text::name_in_text;

/// Frames kept of each stack: a runaway recursion has thousands.
const FRAMES: usize = 128;
/// Bytes kept of a name or a path in a line.
const TEXT: usize = 256;
/// Hot stacks kept as text; the case has all.
const HOT: usize = 8;

/// Where the trigger was, then each other victim, then the build ids of the files.
pub(in crate::incident) fn stacks(stacks: &Stacks) -> Vec<String> {
    let mut lines = Vec::new();
    if !stacks.user.is_empty() {
        lines.push("the trigger, innermost first".to_owned());
        lines.extend(frames(&stacks.user, how));
    }
    let victims = || stacks.victims.iter().filter(|victim| !victim.user.is_empty());
    for victim in victims() {
        lines.push(format!("pid {}, thread {}, where the signal met it", victim.pid, victim.tid));
        lines.extend(frames(&victim.user, how));
    }
    lines.extend(build_ids(stacks.user.iter().chain(victims().flat_map(|victim| &victim.user))));
    lines
}

/// Each with its bytes.
pub(in crate::incident) fn hot_stacks(hot: &HotStacks) -> Vec<String> {
    let mut lines = Vec::new();
    let stacks = || hot.stacks.iter().take(HOT);
    for stack in stacks() {
        let name = stack.comm.as_ref().map(|comm| format!(", {}", name_in_text(comm.as_bytes())));
        let pid = stack.pid.map(|pid| format!(", pid {pid}"));
        lines.push(format!("{}{}{}", stack.bytes, name.unwrap_or_default(), pid.unwrap_or_default()));
        lines.extend(frames(&stack.frames, |_| String::new()));
    }
    lines.extend(build_ids(stacks().flat_map(|stack| &stack.frames)));
    lines
}

/// One line for each file.
fn build_ids<'a>(frames: impl Iterator<Item = &'a Frame>) -> impl Iterator<Item = String> {
    let known = frames.filter_map(|frame| Some((frame.module.as_ref()?.to_lossy(), frame.build_id.as_deref()?)));
    let mut ids: Vec<String> = Vec::new();
    for line in known.take(FRAMES).map(|(module, id)| format!("build id of {}: {}", cut(&module), cut(id))) {
        if !ids.contains(&line) {
            ids.push(line);
        }
    }
    ids.into_iter()
}

fn frames(frames: &[Frame], how: fn(&Frame) -> String) -> impl Iterator<Item = String> + '_ {
    let left_out = frames.len().saturating_sub(FRAMES);
    let more = (left_out > 0).then(|| format!("and {left_out} more, in the JSON"));
    frames.iter().take(FRAMES).enumerate().map(move |(at, frame)| line(at, frame) + &how(frame)).chain(more)
}

/// The beginning of a text that may be of any length.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT)).unwrap_or(text)
}

/// `#0 parse_json at src/loader.rs:42, /app/loader+0x1f20`.
fn line(at: usize, frame: &Frame) -> String {
    let function = cut(frame.function.as_deref().unwrap_or("?"));
    let inlined = if frame.inlined { " (inlined)" } else { "" };
    let source = match (frame.file.as_deref().map(cut), frame.line) {
        (Some(file), Some(line)) => format!(" at {file}:{line}"),
        (Some(file), None) => format!(" in {file}"),
        (None, _) => String::new(),
    };
    let module = match (&frame.module, frame.offset) {
        (Some(module), Some(offset)) => format!(", {}+{offset:#x}", cut(&module.to_lossy())),
        (Some(module), None) => format!(", {}", cut(&module.to_lossy())),
        (None, _) => frame.address.map_or_else(String::new, |address| format!(", {address:#x}")),
    };
    format!("#{at} {function}{inlined}{source}{module}")
}

/// `; by unwind tables, named by debug information`.
fn how(frame: &Frame) -> String {
    let named = frame.named_by.map_or_else(|| "not named".to_owned(), |by| format!("named by {}", named_by(by)));
    format!("; by {}, {named}", found_by(frame.found_by))
}

const fn found_by(found_by: FoundBy) -> &'static str {
    match found_by {
        FoundBy::Registers => "the instruction pointer",
        FoundBy::FramePointer => "frame pointers",
        FoundBy::UnwindTable => "unwind tables",
        FoundBy::Interpreter => "the interpreter's frames",
    }
}

const fn named_by(named_by: NamedBy) -> &'static str {
    match named_by {
        NamedBy::Symbols => "symbols",
        NamedBy::DebugInfo => "debug information",
        NamedBy::GoTable => "Go's table",
        NamedBy::PerfMap => "a perf map",
        NamedBy::Interpreter => "the interpreter",
        NamedBy::Region => "the kind of code alone",
    }
}
