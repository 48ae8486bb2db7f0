//! Which frames of a stack are the program's own code.
//!
//! A page fault happens in the C library as often as not: `memset` clears what `calloc` got from `mmap`. What a person looks for is the
//! first function that somebody of their team wrote. Everything around it is *plumbing*, left out of the short form and counted, never
//! hidden: the whole stack stays in the case, and where nothing but plumbing is known, that is shown.
//!
//! Recognised by names that are part of an interface (`malloc`, `std::`, `runtime.`) or by the file that holds the code (`libc.so.6`). A
//! program that calls its own function `malloc` hides it; one that links another allocator under other names shows it. Of an interpreter's
//! native frames, each is plumbing as long as the stack has frames of the program it interprets.

use super::frame_name::function_name;
use super::{Frame, Language, NamedBy};

mod names;

/// What a frame does that is not the program's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Plumbing {
    /// Clears, copies or compares memory.
    Copying,
    /// Hands out memory.
    Allocator,
    /// The standard library of the language, or another part of the C library.
    Library,
    /// Go's, V8's, the JVM's own code.
    Runtime,
    /// What runs the frames of an interpreted language.
    Interpreter,
    /// What calls the first function of a program or a thread.
    Start,
}

impl Plumbing {
    /// For a count: `3 frames of the allocator`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Copying => "of copying or clearing memory",
            Self::Allocator => "of the allocator",
            Self::Library => "of the standard library",
            Self::Runtime => "of the runtime",
            Self::Interpreter => "of the interpreter",
            Self::Start => "of the start",
        }
    }
}

/// A stack without its plumbing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnCode<'a> {
    /// The program's own frames, innermost first; all frames where none is known to be its own.
    pub frames: Vec<&'a Frame>,
    /// How many were left out, of what, in the order of [`Plumbing`].
    pub left_out: Vec<(Plumbing, usize)>,
}

/// Which frames of a short stack are shown with file and line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places {
    /// The innermost.
    First,
    /// Each that has them.
    All,
}

impl OwnCode<'_> {
    /// `` `parse_json` (loader.rs:42)``, ``← `load_catalog` ``, `← 5 more`: at most `most` frames, escaped, each whole. Functions that the
    /// compiler put into their callers stand as if they had been called.
    #[must_use]
    pub fn pieces(&self, most: usize, places: Places) -> Vec<String> {
        let piece = |(at, frame): (usize, &&Frame)| {
            let arrow = if at == 0 { "" } else { "← " };
            let place = frame.place().filter(|_| at == 0 || places == Places::All);
            let place = place.map_or_else(String::new, |place| format!(" ({place})"));
            format!("{arrow}`{}`{place}", frame.name())
        };
        let mut pieces: Vec<String> = self.frames.iter().take(most).enumerate().map(piece).collect();
        if self.frames.len() > most {
            pieces.push(format!("← {} more", self.frames.len() - most));
        }
        pieces
    }

    /// The same for a sentence: `` `parse_json` (loader.rs:42) ← `load_catalog` ← `main` ``.
    #[must_use]
    pub fn sentence(&self) -> String {
        const SHOWN: usize = 4;
        self.pieces(SHOWN, Places::First).join(" ")
    }

    /// The innermost of the program's own functions.
    #[must_use]
    pub fn function(&self) -> Option<String> {
        self.frames.first().map(|frame| frame.name())
    }

    /// `6 frames, 3 of the allocator, 1 of copying or clearing memory, 2 of the start`; `None` where nothing was left out.
    #[must_use]
    pub fn left_out_in_words(&self) -> Option<String> {
        let frames = |count: usize| if count == 1 { "1 frame".to_owned() } else { format!("{count} frames") };
        if let [(plumbing, count)] = self.left_out.as_slice() {
            return Some(format!("{} {}", frames(*count), plumbing.name()));
        }
        let counted: Vec<String> =
            self.left_out.iter().map(|(plumbing, count)| format!("{count} {}", plumbing.name())).collect();
        let sum: usize = self.left_out.iter().map(|(_, count)| count).sum();
        (sum > 0).then(|| format!("{}, {}", frames(sum), counted.join(", ")))
    }
}

/// Takes the plumbing out. Frames are innermost first.
#[must_use]
pub fn own_code(frames: &[Frame]) -> OwnCode<'_> {
    let interpreted = interpreted_in(frames);
    let mut own = OwnCode::default();
    let mut counts = std::collections::BTreeMap::<Plumbing, usize>::new();
    for frame in frames {
        match plumbing(frame, interpreted) {
            Some(plumbing) => *counts.entry(plumbing).or_default() += 1,
            None => own.frames.push(frame),
        }
    }
    if own.frames.is_empty() {
        return OwnCode { frames: frames.iter().collect(), left_out: Vec::new() };
    }
    own.left_out = counts.into_iter().collect();
    own
}

/// The language that an interpreter in this stack runs, where frames of it are there.
fn interpreted_in(frames: &[Frame]) -> Option<Language> {
    let is_interpreted =
        |language: &Language| matches!(language, Language::Python | Language::Javascript | Language::Java);
    let named = frames.iter().filter(|frame| frame.function.is_some() && frame.named_by != Some(NamedBy::Region));
    named.filter_map(|frame| frame.language).find(is_interpreted)
}

/// What a frame is besides the program's own code; `None` where it is that, or nothing is known of it. `interpreted`: the language whose frames
/// this stack has.
fn plumbing(frame: &Frame, interpreted: Option<Language>) -> Option<Plumbing> {
    let is_of_program = interpreted.is_some() && frame.language == interpreted;
    let by_file = || frame.file.as_deref().and_then(|file| names::library_file(file, frame.language));
    let by_module = || frame.module_name().and_then(|module| names::module(&module));
    let Some(function) = frame.function.as_deref() else {
        return by_module().or(by_interpreter(frame, "", interpreted));
    };
    let function = function_name(function, frame.language);
    if is_of_program && frame.named_by != Some(NamedBy::Region) {
        return names::function(&function, frame.language).or_else(by_file);
    }
    names::function(&function, frame.language)
        .or_else(|| by_interpreter(frame, &function, interpreted))
        .or_else(by_file)
        .or_else(by_module)
}

/// Native frames below those of an interpreted program.
fn by_interpreter(frame: &Frame, function: &str, interpreted: Option<Language>) -> Option<Plumbing> {
    let module = frame.module_name().unwrap_or_default();
    let is_region = frame.named_by == Some(NamedBy::Region);
    match interpreted? {
        Language::Python if names::is_python(&module, function) => Some(Plumbing::Interpreter),
        Language::Javascript if is_region || names::is_v8(&module, function) => Some(Plumbing::Runtime),
        Language::Java if is_region || names::is_hotspot(&module, function) => Some(Plumbing::Runtime),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
