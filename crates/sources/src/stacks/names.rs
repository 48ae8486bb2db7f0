//! Names of functions, as compilers mangle them and runtimes decorate them.

use std::fmt::{self, Write as _};

use oomscope_core::evidence::Language;

/// What is shown of one name. A mangled name can stand for one that is exponentially longer.
const MAX_NAME: usize = 4096;

/// The name to show, and what it was written in where its mangling tells. Of C++ without parameters, which file and line make up for.
pub(super) fn demangled(name: &str) -> (String, Option<Language>) {
    let name = without_clone(name);
    // First, because Rust's old scheme is C++'s with a hash behind.
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return (shown(name, |out| write!(out, "{rust:#}")), Some(Language::Rust));
    }
    match cpp_demangle::Symbol::new(name) {
        Ok(cpp) => {
            let options = cpp_demangle::DemangleOptions::new().no_params().no_return_type();
            (shown(name, |out| cpp.structured_demangle(out, &options)), Some(Language::Cpp))
        }
        Err(_) => (shown(name, |_| Err(fmt::Error)), None),
    }
}

/// By the name of the source file: of inlined functions debug information has no mangled name.
pub(super) fn written_in(file: &str) -> Option<Language> {
    match file.rsplit_once('.')?.1 {
        "rs" => Some(Language::Rust),
        "go" => Some(Language::Go),
        "cc" | "cpp" | "cxx" | "hh" | "hpp" => Some(Language::Cpp),
        _ => None,
    }
}

/// Without what compilers put behind the names of copies that they make of a function, or of its parts: it is the same source.
fn without_clone(name: &str) -> &str {
    const CLONES: [&str; 7] = [".constprop", ".isra", ".part", ".cold", ".lto_priv", ".llvm", ".specialized"];
    CLONES
        .iter()
        .filter_map(|clone| name.find(clone))
        .filter(|at| *at > 0)
        .min()
        .and_then(|at| name.get(..at))
        .unwrap_or(name)
}

/// What was written, or the name as it is where that failed or had no end.
fn shown(name: &str, write: impl FnOnce(&mut Bounded) -> fmt::Result) -> String {
    let mut out = Bounded(String::new());
    match write(&mut out) {
        Ok(()) => out.0,
        Err(fmt::Error) => name.chars().take(MAX_NAME).collect(),
    }
}

struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > MAX_NAME {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each scheme is recognised, and plain names stay.
    #[test]
    fn schemes() {
        for (name, shown, language) in [
            ("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt", Some(Language::Rust)),
            ("_RNvCs1234_7mycrate3foo", "mycrate::foo", Some(Language::Rust)),
            ("_ZN7Catalog4loadIiEEvT_", "Catalog::load<int>", Some(Language::Cpp)),
            ("main.(*catalog[...]).grow", "main.(*catalog[...]).grow", None),
            ("_Zzz", "_Zzz", None),
            ("work.constprop.0.cold", "work", None),
            ("_Z4loadi.isra.0", "load", Some(Language::Cpp)),
        ] {
            assert_eq!(demangled(name), (shown.to_owned(), language));
        }
    }

    /// A short name that stands for an exponentially long one stays as it is, soon.
    #[test]
    fn exponential() {
        let pairs: String =
            (0..40).map(|n| format!("S{}_S{}_", base36(n), base36(n))).map(|pair| format!("N1aI{pair}E")).collect();
        let name = format!("_Z1fI1a{pairs}E");
        assert!(demangled(&name).0.len() <= MAX_NAME);
    }

    fn base36(number: u32) -> String {
        char::from_digit(number % 36, 36).map(String::from).unwrap_or_default().to_uppercase()
    }

    proptest::proptest! {
        /// Any name is shown as something, no longer than allowed.
        #[test]
        fn any_name(name in "_(Z|R)[A-Za-z0-9_.$]{0,80}") {
            proptest::prop_assert!(demangled(&name).0.chars().count() <= MAX_NAME);
        }
    }
}
