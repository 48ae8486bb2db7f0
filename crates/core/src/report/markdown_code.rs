//! Which code, for a ticket: every name in a code span of its own.

use std::fmt::Write as _;

use super::code;
use super::markdown::{code as span, prose};
use crate::case::Case;
use crate::evidence::Frame;
use crate::evidence::own_code::{OwnCode, Places};

/// Writing to a `String` cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{ let _ = writeln!($out, $($arg)*); }};
}

/// Appends it; nothing for a case without stacks.
pub(super) fn write(out: &mut String, case: &Case) {
    let shown = code::at_kill(case);
    let hot = case.incident.hot_stacks.as_ref().filter(|hot| !hot.stacks.is_empty());
    if shown.is_empty() && hot.is_none() {
        return;
    }
    put!(out, "\n## Which code\n");
    for stack in &shown {
        match &stack.whose {
            None => {
                put!(out, "The page was asked for in {}.", chain(&stack.own, stack.most, Places::All));
                for note in code::left_out(&stack.own).into_iter().chain(code::unnamed(case)) {
                    put!(out, "{}.", prose(&capital(&note)));
                }
            }
            Some(whose) => {
                put!(out, "\nThe victim {} was in {}.", span(whose), chain(&stack.own, stack.most, Places::First));
            }
        }
    }
    let Some(hot) = hot else { return };
    put!(out, "\nTook most {}:\n", prose(&code::hot_title(hot)));
    for (share, function) in code::hottest(hot) {
        put!(out, "- {share} {}", chain(&function.own, code::FEW_FRAMES, Places::First));
    }
}

fn capital(sentence: &str) -> String {
    let (first, rest) = sentence.split_at(sentence.len().min(1));
    format!("{}{rest}", first.to_ascii_uppercase())
}

fn chain(own: &OwnCode<'_>, most: usize, places: Places) -> String {
    let frame = |(at, frame): (usize, &&Frame)| {
        let place = frame.place().filter(|_| at == 0 || places == Places::All);
        format!("{}{}", span(&frame.name()), place.map_or_else(String::new, |place| format!(" ({})", span(&place))))
    };
    let mut frames: Vec<String> = own.frames.iter().take(most).enumerate().map(frame).collect();
    if own.frames.len() > most {
        frames.push(format!("{} more", own.frames.len() - most));
    }
    frames.join(" ← ")
}
