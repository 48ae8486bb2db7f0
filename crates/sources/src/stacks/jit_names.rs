//! What the names in perf maps mean.

use oomscope_core::evidence::Language;

use super::runtime::Runtime;

/// A function of a runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct JitName {
    pub(super) function: String,
    pub(super) file: Option<String>,
    pub(super) line: Option<u32>,
    pub(super) language: Option<Language>,
}

/// Of an entry; of an unknown runtime as it stands there.
pub(super) fn jit_name(entry: &str, runtime: Option<Runtime>) -> JitName {
    match runtime {
        Some(Runtime::V8) => v8(entry),
        Some(Runtime::HotSpot) => hotspot(entry),
        None => JitName { function: entry.to_owned(), ..JitName::default() },
    }
}

/// `JS:*parse file:///srv/app.js:12:5`: kind, tier (V8's `CodeKindToMarker`: `~` interpreted, `^` baseline, `+` and `*` optimised), name,
/// place (src/logging/log.cc, `AppendCodeCreateHeader`, `LogCodeEvent`). What is not JavaScript has no tier: `Builtin:ArrayPush`.
fn v8(entry: &str) -> JitName {
    let language = Some(Language::Javascript);
    let (kind, rest) = entry.split_once(':').unwrap_or(("", entry));
    if !matches!(kind, "JS" | "LazyCompile" | "Function" | "Script" | "Eval") {
        return JitName { function: format!("[{entry}]"), language, ..JitName::default() };
    }
    let rest = rest.trim_start_matches(['~', '^', '*', '+', '-', '\'']);
    // Names may have blanks (`get size`), and so may paths.
    let place = [" file:", " node:", " /", " evalmachine"].iter().filter_map(|mark| rest.find(mark)).min();
    let place = place.or_else(|| rest.rfind(' '));
    let (name, place) = match place {
        Some(at) => (rest.get(..at).unwrap_or(rest), rest.get(at + 1..)),
        None => (rest, None),
    };
    let (file, line) = place.map_or((None, None), v8_place);
    let function = match (name, kind) {
        ("", "Script") => "(script)",
        ("", _) => "(anonymous)",
        (name, _) => name,
    };
    JitName { function: function.to_owned(), file, line, language }
}

/// `PATH:LINE` or `PATH:LINE:COLUMN`.
fn v8_place(place: &str) -> (Option<String>, Option<u32>) {
    let number = |text: &str| {
        text.rsplit_once(':').and_then(|(path, number)| Some((path.to_owned(), number.parse::<u32>().ok()?)))
    };
    let (path, line) = match number(place) {
        Some((path, last)) => match number(&path) {
            Some((path, line)) => (path, Some(line)),
            None => (path, Some(last)),
        },
        None => (place.to_owned(), None),
    };
    let path = path.strip_prefix("file://").unwrap_or(&path);
    ((!path.is_empty()).then(|| path.to_owned()), line.filter(|line| *line > 0))
}

/// Methods as `Method::external_name()` writes them, `byte[] com.shop.Catalog.load(java.lang.String)`, or as agents do,
/// `Lcom/shop/Catalog;::load`. What has no parentheses and no colons is the JVM's own: `Interpreter`, `StubRoutines (1)`.
fn hotspot(entry: &str) -> JitName {
    let language = Some(Language::Java);
    let method = |function: String| JitName { function, language, ..JitName::default() };
    if let Some((class, name)) = entry.split_once(";::") {
        let class = class.strip_prefix('L').unwrap_or(class).replace('/', ".");
        return method(format!("{class}.{}", name.split(['(', ' ']).next().unwrap_or(name)));
    }
    let before = entry.split_once('(').map(|(before, _)| before).filter(|before| before.contains('.'));
    match before.and_then(|before| before.rsplit(' ').next()) {
        Some(name) if !name.is_empty() => method(name.to_owned()),
        _ => method(format!("[{entry}, HotSpot]")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each form that the runtimes write.
    #[test]
    fn forms() {
        let cases = [
            (Runtime::V8, "LazyCompile:*parseJson /srv/my app.js:12:5", "parseJson", Some(("/srv/my app.js", 12))),
            (Runtime::V8, "JS:~get size file:///srv/app.js:7:1", "get size", Some(("/srv/app.js", 7))),
            (Runtime::V8, "Function:^ node:internal/fs:33:9", "(anonymous)", Some(("node:internal/fs", 33))),
            (Runtime::V8, "Script:~ /srv/app.js:1:1", "(script)", Some(("/srv/app.js", 1))),
            (Runtime::V8, "Builtin:ArrayPush", "[Builtin:ArrayPush]", None),
            (Runtime::HotSpot, "byte[] com.shop.Catalog.load(java.lang.String)", "com.shop.Catalog.load", None),
            (Runtime::HotSpot, "Lcom/shop/Catalog;::load(I)V", "com.shop.Catalog.load", None),
            (Runtime::HotSpot, "Interpreter", "[Interpreter, HotSpot]", None),
            (Runtime::HotSpot, "StubRoutines (1)", "[StubRoutines (1), HotSpot]", None),
        ];
        for (runtime, entry, function, place) in cases {
            let found = jit_name(entry, Some(runtime));
            assert_eq!(found.function, function, "{entry}");
            assert_eq!(found.file.as_deref().zip(found.line), place, "{entry}");
        }
        assert_eq!(jit_name("LazyCompile:*f /a:1", None).function, "LazyCompile:*f /a:1");
    }

    proptest::proptest! {
        /// Any entry has a name.
        #[test]
        fn any_entry(entry in "((JS|LazyCompile|Script|L)[:;]{0,3})?[ -~é]{0,40}") {
            for runtime in [Some(Runtime::V8), Some(Runtime::HotSpot), None] {
                let _ = jit_name(&entry, runtime);
            }
        }
    }
}
