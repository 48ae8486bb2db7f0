//! Names of calls, as short as they can be and still be told apart. All are escaped.

use crate::evidence::Frame;
use crate::profile::folded;
use crate::text::escape;

/// Of a sample without a stack.
pub(super) const NO_STACK: &str = "[no stack]";
/// Longer names lose their types' arguments.
const LONG: usize = 48;

/// The function, or the place in a file where it has no name.
pub(super) fn name(frame: &Frame) -> String {
    match &frame.function {
        Some(function) => escape(short(function).as_bytes()),
        None => escape(folded::label(frame).as_bytes()),
    }
}

/// The file of code that has no names.
pub(super) fn module(frame: &Frame) -> String {
    let path = frame.module.as_ref().map_or(&b"?"[..], |module| module.as_bytes());
    format!("{} (no symbols)", escape(path.rsplit(|b| *b == b'/').next().unwrap_or(path)))
}

/// `catalog.c:88`; the file of the code where the source is not known.
pub(super) fn place(frame: &Frame) -> Option<String> {
    let last = |path: &[u8]| escape(path.rsplit(|b| *b == b'/').next().unwrap_or(path));
    match (&frame.file, frame.line) {
        (Some(file), Some(line)) => Some(format!("{}:{line}", last(file.as_bytes()))),
        (Some(file), None) => Some(last(file.as_bytes())),
        _ => frame.module.as_ref().filter(|_| frame.function.is_some()).map(|module| last(module.as_bytes())),
    }
}

/// Both.
pub(super) fn whole(frame: &Frame) -> String {
    place(frame).map_or_else(|| name(frame), |place| format!("{} ({place})", name(frame)))
}

/// `std::vector<…>::push_back` of `std::vector<int, std::allocator<int> >::push_back(int&&)`: a C++ or Rust name without its
/// parameters and, where it is long, without the arguments of its types. Operators keep theirs, since `<` and `(` are names there.
fn short(function: &str) -> String {
    if function.contains("operator") {
        return function.to_owned();
    }
    let bare = without_parameters(function);
    if bare.chars().count() <= LONG { bare.to_owned() } else { without_arguments(bare) }
}

fn without_parameters(name: &str) -> &str {
    // `(anonymous namespace)::f()` and Go's `main.(*T).f` have brackets that belong to the name.
    let is_list = name.ends_with(')') || name.ends_with(") const");
    let mut depth = 0_usize;
    for (at, c) in name.char_indices().rev() {
        match c {
            ')' => depth += 1,
            '(' if depth == 1 && is_list => return name.get(..at).filter(|bare| !bare.is_empty()).unwrap_or(name),
            '(' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    name
}

fn without_arguments(name: &str) -> String {
    let mut out = String::new();
    let mut depth = 0_usize;
    let mut before = ' ';
    for c in name.chars() {
        match c {
            // Rust's `<T as Trait>::f` begins with one.
            '<' if out.is_empty() && depth == 0 => out.push(c),
            '<' => {
                if depth == 0 {
                    out.push_str("<…>");
                }
                depth += 1;
            }
            '>' if depth > 0 && before != '-' => depth -= 1,
            c if depth == 0 => out.push(c),
            _ => {}
        }
        before = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names keep what tells them apart.
    #[test]
    fn short_names() {
        for (long, expected) in [
            ("leak_b", "leak_b"),
            ("app::load(std::string const&)", "app::load"),
            ("Cache::get(int) const", "Cache::get"),
            ("(anonymous namespace)::fill(char*)", "(anonymous namespace)::fill"),
            ("main.(*Cache).Put", "main.(*Cache).Put"),
            ("f(void (*)(int))", "f"),
            ("operator<<(std::ostream&, X const&)", "operator<<(std::ostream&, X const&)"),
            (
                "std::vector<std::basic_string<char>, std::allocator<std::basic_string<char> > >::push_back(int)",
                "std::vector<…>::push_back",
            ),
            (
                "<alloc::vec::Vec<T,A> as alloc::vec::spec_extend::SpecExtend<T,I>>::spec_extend",
                "<alloc::vec::Vec<…> as alloc::vec::spec_extend::SpecExtend<…>>::spec_extend",
            ),
        ] {
            assert_eq!(short(long), expected);
        }
    }

    /// Anything at all is shortened without a panic.
    #[test]
    fn hostile_names() {
        for name in ["", ")", "()", "(((", ">>>>", "<<<<", "->->", "é)", &"<".repeat(100), &"f()".repeat(100)] {
            let _ = short(name);
        }
    }
}
