//! Which function of a stack to name first.
//!
//! The innermost frames are nearly always `memset` or `malloc`: true, and of no use. What a reader can change is the innermost function
//! of the program itself: the first one from inside that belongs to no allocator, no C library and no standard library. Where an
//! interpreter or a managed runtime runs it, that is the innermost function of its language, whatever native code that called.

use crate::evidence::{FoundBy, Frame, Language};

/// Libraries whose functions serve others: beginnings of file names.
const LIBRARIES: [&str; 14] = [
    "libc.so",
    "libc-",
    "libm.so",
    "libm-",
    "libpthread",
    "ld-linux",
    "ld-musl",
    "libstdc++",
    "libc++",
    "libgcc_s",
    "libjemalloc",
    "libtcmalloc",
    "libmimalloc",
    "[vdso]",
];

/// Functions that serve others, also where they are linked in: beginnings of names. C's are whole names, without the underscores and
/// the suffixes of their variants (`__memset_avx2_unaligned_erms`).
const PREFIXES: [&str; 21] = [
    "operator new",
    "std::",
    "__gnu_cxx::",
    "void std::",
    "alloc::",
    "core::",
    "hashbrown::",
    "<alloc::",
    "<core::",
    "<std::",
    "<hashbrown::",
    "<T as ",
    "<I as ",
    "__rust",
    "__rdl_",
    "__rg_",
    "_rjem_",
    "je_",
    "mi_",
    "tc_",
    "runtime.",
];

const C_FUNCTIONS: [&str; 25] = [
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "memalign",
    "aligned_alloc",
    "posix_memalign",
    "valloc",
    "mmap",
    "mremap",
    "sbrk",
    "brk",
    "int_malloc",
    "int_realloc",
    "int_memalign",
    "sysmalloc",
    "memset",
    "memcpy",
    "memmove",
    "mempcpy",
    "strdup",
    "strndup",
    "strcpy",
    "libc_malloc",
    "libc_calloc",
];

/// Where in `frames` (innermost first) the function stands that is named; `None` only for no frames.
#[must_use]
pub fn named_first(frames: &[&Frame]) -> Option<usize> {
    let of_runtime = frames.iter().position(|frame| is_managed(frame));
    let of_program = || frames.iter().position(|frame| frame.function.is_some() && !serves_others(frame));
    let unnamed = || frames.iter().position(|frame| !is_library(frame));
    of_runtime.or_else(of_program).or_else(unnamed).or((!frames.is_empty()).then_some(0))
}

fn is_managed(frame: &Frame) -> bool {
    let language = matches!(frame.language, Some(Language::Python | Language::Javascript | Language::Java));
    frame.function.is_some() && (frame.found_by == FoundBy::Interpreter || language)
}

/// Of an allocator, the C library, a standard library.
#[must_use]
pub fn serves_others(frame: &Frame) -> bool {
    is_library(frame) || frame.function.as_deref().is_some_and(|name| is_prefixed(name) || is_of_c(name))
}

fn is_library(frame: &Frame) -> bool {
    let Some(module) = &frame.module else { return false };
    let name = module.as_bytes().rsplit(|b| *b == b'/').next().unwrap_or_default();
    LIBRARIES.iter().any(|library| name.starts_with(library.as_bytes()))
}

fn is_prefixed(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn is_of_c(name: &str) -> bool {
    let bare = name.trim_start_matches('_');
    let stem = bare.split(['.', '@']).next().unwrap_or(bare);
    // Only the variants of what the C library has in several begin with underscores.
    let variant = if bare.len() < name.len() { stem.split("_avx").next().unwrap_or(stem) } else { stem };
    let variant = if bare.len() < name.len() { variant.split("_sse").next().unwrap_or(variant) } else { variant };
    let variant = variant.strip_suffix("_erms").or(variant.strip_suffix("_generic")).unwrap_or(variant);
    C_FUNCTIONS.contains(&variant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, module: &str) -> Frame {
        let function = (!function.is_empty()).then(|| function.to_owned());
        Frame { function, module: Some(module.into()), ..Frame::default() }
    }

    fn named(stack: &[(&str, &str)]) -> String {
        let frames: Vec<Frame> = stack.iter().map(|(function, module)| frame(function, module)).collect();
        let frames: Vec<&Frame> = frames.iter().collect();
        let at = named_first(&frames).unwrap();
        frames[at].function.clone().unwrap_or_else(|| frames[at].module.as_ref().unwrap().to_string())
    }

    /// The allocator, the C library and the standard libraries are passed over, linked in or not.
    #[test]
    fn the_program_itself() {
        let libc = "/usr/lib/x86_64-linux-gnu/libc.so.6";
        assert_eq!(named(&[("__memset_avx2_unaligned_erms", libc), ("fill", "/a"), ("main", "/a")]), "fill");
        assert_eq!(named(&[("__memset_avx512_unaligned_erms", "/a"), ("fill", "/a")]), "fill");
        assert_eq!(named(&[("", libc), ("leak", "/a")]), "leak");
        assert_eq!(
            named(&[("_int_malloc", "/a"), ("malloc", "/a"), ("operator new(unsigned long)", "/a"), ("f()", "/a")]),
            "f()"
        );
        assert_eq!(named(&[("alloc::raw_vec::finish_grow", "/a"), ("app::load", "/a")]), "app::load");
        assert_eq!(named(&[("runtime.mallocgc", "/a"), ("main.leak", "/a")]), "main.leak");
        assert_eq!(named(&[("memset_all_users", "/a"), ("main", "/a")]), "memset_all_users");
    }

    /// A stack of nothing but the C library, or without any names, still has a first function.
    #[test]
    fn nothing_of_the_program() {
        assert_eq!(named(&[("memset", "/lib/libc.so.6"), ("start", "/lib/libc.so.6")]), "memset");
        assert_eq!(named(&[("memset", "/lib/libc.so.6"), ("", "/app")]), "/app");
        assert_eq!(named_first(&[]), None);
    }

    /// An interpreter's function goes before the native code that it called.
    #[test]
    fn interpreted() {
        let native = frame("list_resize", "/usr/bin/python3.11");
        let python =
            Frame { found_by: FoundBy::Interpreter, language: Some(Language::Python), ..frame("load", "app.py") };
        assert_eq!(named_first(&[&native, &python]), Some(1));
    }
}
