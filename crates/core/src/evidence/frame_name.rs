//! What a frame is called in a sentence: short, and harmless.
//!
//! Demangled names run to kilobytes (`<alloc::vec::Vec<T> as core::iter::traits::…>`), and are chosen by whoever built the program. A name is
//! cut down to what a person looks for, escaped, and without backticks, so that it cannot leave the quotes it stands in.

use std::borrow::Cow;

use super::{Frame, Language};
use crate::text::escape;

/// Characters of a name; type arguments are dropped from longer ones, then the end.
const NAME: usize = 56;
/// Characters of a file's name.
const FILE: usize = 40;
/// Bytes that are looked at at all.
const LOOKED_AT: usize = 8192;

impl Frame {
    /// `parse_json`; `libfoo.so+0x1234` where no function is known. Escaped, bounded, never empty.
    #[must_use]
    pub fn name(&self) -> String {
        let Some(function) = self.function.as_deref().filter(|function| !function.is_empty()) else {
            return self.module_and_offset();
        };
        let plain = function_name(cut(function), self.language);
        let plain = if plain.chars().count() > NAME { without_type_arguments(&plain) } else { plain };
        harmless(&plain, NAME)
    }

    /// `loader.rs:42`; `None` where no file is known. Escaped and bounded.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        let file = harmless(base_name(cut(self.file.as_deref()?)), FILE);
        Some(self.line.map_or_else(|| file.clone(), |line| format!("{file}:{line}")))
    }

    /// The last part of the module's path.
    #[must_use]
    pub fn module_name(&self) -> Option<Cow<'_, str>> {
        let path = self.module.as_ref()?.as_bytes();
        let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        Some(String::from_utf8_lossy(last))
    }

    fn module_and_offset(&self) -> String {
        let module = self.module_name().map(|module| harmless(cut(&module), FILE));
        match (module.filter(|module| !module.is_empty()), self.offset, self.address) {
            (Some(module), Some(offset), _) => format!("{module}+{offset:#x}"),
            (Some(module), None, _) => module,
            (None, _, Some(address)) => format!("{address:#x}"),
            (None, _, None) => "unknown code".to_owned(),
        }
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LOOKED_AT)).unwrap_or(text)
}

fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(path)
}

/// Escaped, without backticks, of at most `most` characters.
fn harmless(text: &str, most: usize) -> String {
    let escaped = escape(text.as_bytes()).replace('`', "\\x60");
    if escaped.chars().count() <= most {
        return escaped;
    }
    escaped.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// The function itself: of C++ without parameters and return type, of Rust without the hash and without the trait that it implements.
pub(super) fn function_name(name: &str, language: Option<Language>) -> String {
    match language {
        Some(Language::Cpp) => of_cpp(name).to_owned(),
        Some(Language::Rust) => of_implementation(without_hash(name)),
        _ => name.to_owned(),
    }
}

/// `core::ptr::drop::h0123456789abcdef` without its last part.
fn without_hash(name: &str) -> &str {
    let is_hash =
        |hash: &str| hash.len() == 17 && hash.starts_with('h') && hash.bytes().skip(1).all(|b| b.is_ascii_hexdigit());
    name.rsplit_once("::").filter(|(_, last)| is_hash(last)).map_or(name, |(path, _)| path)
}

/// `<app::Table<T> as app::Page>::render` is `app::Table<T>::render`; of a blanket implementation, `<T as app::Page>::render`, it is the trait's.
fn of_implementation(name: &str) -> String {
    let Some((kind, rest)) = name.strip_prefix('<').and_then(split_at_closing) else { return name.to_owned() };
    let (of_type, of_trait) = split_at_as(kind).map_or((kind, kind), |(of_type, of_trait)| (of_type, of_trait));
    let plain = of_type.trim_start_matches(['&', '*', '[', '(']);
    let plain = plain.strip_prefix("mut ").or_else(|| plain.strip_prefix("const ")).unwrap_or(plain);
    let is_parameter = plain.len() == 1 && plain.bytes().all(|byte| byte.is_ascii_uppercase());
    let shown = if is_parameter { of_trait } else { plain };
    if shown.is_empty() { name.to_owned() } else { format!("{shown}{rest}") }
}

/// What stands before and after the bracket that closes one opened before `text`.
fn split_at_closing(text: &str) -> Option<(&str, &str)> {
    let at = positions_outside(text).find(|(_, byte)| *byte == b'>')?.0;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

fn split_at_as(text: &str) -> Option<(&str, &str)> {
    let mut blanks = positions_outside(text).filter(|(_, byte)| *byte == b' ').map(|(at, _)| at);
    let at = blanks.find(|at| text.get(*at..).is_some_and(|rest| rest.starts_with(" as ")))?;
    Some((text.get(..at)?, text.get(at + 4..)?))
}

/// Bytes that stand in no bracket opened within `text`. The `>` of an arrow is no bracket.
fn positions_outside(text: &str) -> impl Iterator<Item = (usize, u8)> + '_ {
    let mut depth = 0_usize;
    let mut before = 0;
    text.bytes().enumerate().filter(move |(_, byte)| {
        let is_arrow = *byte == b'>' && before == b'-';
        before = *byte;
        match byte {
            b'<' => {
                depth += 1;
                false
            }
            b'>' if depth > 0 && !is_arrow => {
                depth -= 1;
                false
            }
            _ => depth == 0 && !is_arrow,
        }
    })
}

/// `void ns::parse<int>(char const*) const` is `ns::parse<int>`.
fn of_cpp(name: &str) -> &str {
    let name = without_parameters(name);
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'<' | b'(' | b'{' | b'[' => depth += 1,
            b'>' | b')' | b'}' | b']' => depth = depth.saturating_sub(1),
            // What follows `operator` belongs to the name: `operator new`, `operator std::string`.
            b' ' if depth == 0 && !name.get(..at).unwrap_or_default().ends_with("operator") => start = at + 1,
            _ => {}
        }
    }
    name.get(start..).filter(|name| !name.is_empty()).unwrap_or(name)
}

fn without_parameters(name: &str) -> &str {
    let core = name.strip_suffix(" const").unwrap_or(name);
    if !core.ends_with(')') {
        return name;
    }
    let mut depth = 0_usize;
    for (at, byte) in core.bytes().enumerate().rev() {
        match byte {
            b')' => depth += 1,
            b'(' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return core.get(..at).filter(|core| !core.is_empty()).unwrap_or(name);
        }
    }
    name
}

/// `a::B<…>::c` of `a::B<std::map<…>>::c`; the name itself where its brackets do not pair, as in `operator<`.
fn without_type_arguments(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut depth = 0_usize;
    let mut before = ' ';
    for c in name.chars() {
        match c {
            '<' => {
                if depth == 0 {
                    out.push_str("<…>");
                }
                depth += 1;
            }
            // Of an arrow it is no bracket.
            '>' if before == '-' => {}
            '>' if depth == 0 => return name.to_owned(),
            '>' => depth -= 1,
            c if depth == 0 => out.push(c),
            _ => {}
        }
        before = c;
    }
    if depth == 0 { out } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(function: &str, language: Option<Language>) -> String {
        Frame { function: Some(function.to_owned()), language, ..Frame::default() }.name()
    }

    /// Names are cut down to what a person looks for.
    #[test]
    fn names_of_every_language() {
        assert_eq!(named("parse_json", Some(Language::C)), "parse_json");
        assert_eq!(
            named("void ns::parse<int>(char const*, std::map<int, int>) const", Some(Language::Cpp)),
            "ns::parse<int>"
        );
        assert_eq!(named("std::vector<int>& ns::Cache::put(int)", Some(Language::Cpp)), "ns::Cache::put");
        assert_eq!(named("operator new(unsigned long)", Some(Language::Cpp)), "operator new");
        assert_eq!(named("(anonymous namespace)::fill(int)", Some(Language::Cpp)), "(anonymous namespace)::fill");
        assert_eq!(named("load::catalog::h0123456789abcdef", Some(Language::Rust)), "load::catalog");
        assert_eq!(named("<&mut app::Table<T> as app::Page>::render", Some(Language::Rust)), "app::Table<T>::render");
        assert_eq!(named("<T as app::Page>::render", Some(Language::Rust)), "app::Page::render");
        assert_eq!(named("<fn() -> u8 as app::Page>::render", Some(Language::Rust)), "fn() -> u8::render");
        assert_eq!(named("<broken as ", Some(Language::Rust)), "<broken as ");
        assert_eq!(named("main.(*Server).handle", Some(Language::Go)), "main.(*Server).handle");
    }

    /// A long name loses its type arguments first, and a hostile one its end; neither acts on anything.
    #[test]
    fn long_and_hostile_names() {
        let long = format!("<alloc::vec::Vec<{}> as app::Fill>::fill", "a::b::C, ".repeat(20));
        assert_eq!(named(&long, Some(Language::Rust)), "alloc::vec::Vec<…>::fill");
        let endless = named(&"x".repeat(100_000), None);
        assert_eq!(endless.chars().count(), NAME);
        assert_eq!(named("a`\u{1b}[31m\nb", None), "a\\x60\\x1b[31m\\nb");
        assert_eq!(named(&"<".repeat(5000), None).chars().count(), NAME, "brackets that do not pair");
        assert_eq!(named(&"(".repeat(5000), Some(Language::Cpp)).chars().count(), NAME);
    }

    /// A frame without a name is its place in the file, and one without a file its address.
    #[test]
    fn unknown_frames() {
        let frame = |module: Option<&str>, offset| Frame {
            module: module.map(Into::into),
            offset,
            address: Some(0x7f00),
            ..Frame::default()
        };
        assert_eq!(frame(Some("/usr/lib/libfoo.so"), Some(0x1234)).name(), "libfoo.so+0x1234");
        assert_eq!(frame(Some("[vdso]"), None).name(), "[vdso]");
        assert_eq!(frame(None, None).name(), "0x7f00");
        assert_eq!(Frame::default().name(), "unknown code");
        let placed = Frame { file: Some("/src/lo`ader.rs".to_owned()), line: Some(42), ..Frame::default() };
        assert_eq!(placed.place().as_deref(), Some("lo\\x60ader.rs:42"));
    }
}
