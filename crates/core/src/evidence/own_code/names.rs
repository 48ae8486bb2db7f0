//! Names of functions, files and modules that are no program's own: tables, each entry part of somebody's interface.

use super::Plumbing;
use crate::evidence::Language;

/// Exact names and beginnings of names.
struct Names {
    plumbing: Plumbing,
    exact: &'static [&'static str],
    beginning: &'static [&'static str],
}

/// Of C libraries and allocators, in programs of every language.
const NATIVE: &[Names] = &[
    Names {
        plumbing: Plumbing::Copying,
        exact: &[
            "memset",
            "memcpy",
            "memmove",
            "memcmp",
            "mempcpy",
            "bzero",
            "explicit_bzero",
            "strcpy",
            "strncpy",
            "strcat",
        ],
        // glibc's variants for each processor: `__memset_avx2_unaligned_erms`, `__memmove_evex_unaligned_erms`.
        beginning: &["__mem", "__wmem", "__str", "__bzero", "rep_movs", "rep_stos"],
    },
    Names {
        plumbing: Plumbing::Allocator,
        exact: &[
            "malloc",
            "calloc",
            "realloc",
            "reallocarray",
            "free",
            "cfree",
            "memalign",
            "posix_memalign",
            "aligned_alloc",
            "valloc",
            "pvalloc",
            "strdup",
            "strndup",
            "mmap",
            "mmap64",
            "mremap",
            "munmap",
            "madvise",
            "brk",
            "sbrk",
            "sysmalloc",
            "sysmalloc_mmap",
            "malloc_consolidate",
            "unlink_chunk",
            "arena_get2",
            "grow_heap",
            "new_heap",
            "alloc_perturb",
            "systrim",
            "tcache_init",
            "operator new",
            "operator new[]",
            "operator delete",
            "operator delete[]",
            "g_malloc",
            "g_malloc0",
            "g_realloc",
            "g_slice_alloc",
            "__rust_alloc",
            "__rust_realloc",
            "__rust_alloc_zeroed",
            "__rdl_alloc",
            "__rdl_realloc",
            "__rdl_alloc_zeroed",
            "__rustc::__rust_alloc",
            "__rustc::__rdl_alloc",
        ],
        beginning: &[
            "_int_malloc",
            "_int_realloc",
            "_int_free",
            "_int_memalign",
            "__libc_malloc",
            "__libc_calloc",
            "__libc_realloc",
            "__libc_memalign",
            "__libc_valloc",
            "__malloc",
            "__mmap",
            "__GI___mmap",
            "__GI___libc_malloc",
            "__brk",
            "__sbrk",
            "__mremap",
            "je_malloc",
            "je_calloc",
            "je_realloc",
            "je_aligned",
            "je_posix",
            "je_arena",
            "_rjem_",
            "tc_malloc",
            "tc_new",
            "tcmalloc::",
            "mi_malloc",
            "mi_calloc",
            "mi_realloc",
            "mi_zalloc",
            "mi_heap_",
            "_mi_",
            "__rustc::__rust_",
            "__rustc::__rdl_",
            "alloc::alloc::",
        ],
    },
    Names {
        plumbing: Plumbing::Start,
        exact: &[
            "_start",
            "start_thread",
            "clone",
            "clone3",
            "__clone",
            "__clone3",
            "__libc_start_main",
            "__libc_start_call_main",
            "_start_c",
            "__libc_start_main_impl",
            "libc_start_main_stage2",
            "runtime.main",
            "runtime.goexit",
            "runtime.rt0_go",
        ],
        beginning: &[
            "__libc_start_main",
            "__libc_start_call_main",
            "_dl_start",
            "_dl_init",
            "call_init",
            "std::rt::",
            "std::sys::backtrace::__rust_begin",
            "std::sys_common::backtrace::__rust_begin",
            "std::thread::",
            "std::sys::thread",
            "std::sys::pal::unix::thread",
            "std::panicking::",
            "std::panic::",
        ],
    },
    Names {
        plumbing: Plumbing::Library,
        exact: &["fread", "fgets", "getline", "read", "write", "fopen", "qsort"],
        beginning: &["_IO_", "__GI_", "_dl_", "__pthread_", "pthread_"],
    },
];

/// What a function does by its name; `None` where that may be the program's own.
pub(super) fn function(name: &str, language: Option<Language>) -> Option<Plumbing> {
    let is_native = !matches!(language, Some(Language::Python | Language::Javascript | Language::Java));
    let hit =
        |names: &&Names| names.exact.contains(&name) || names.beginning.iter().any(|start| name.starts_with(start));
    let native = || NATIVE.iter().find(hit).map(|names| names.plumbing);
    native().filter(|_| is_native).or_else(|| of_language(name, language))
}

fn of_language(name: &str, language: Option<Language>) -> Option<Plumbing> {
    match language {
        Some(Language::Cpp) => starts(name, &["std::", "__gnu_cxx::", "__cxxabiv1::"]).then_some(Plumbing::Library),
        Some(Language::Rust) => rust(name),
        Some(Language::Go) => go(name),
        Some(Language::Java) => {
            starts(name, &["java.", "javax.", "jdk.", "sun.", "com.sun."]).then_some(Plumbing::Library)
        }
        Some(Language::Python | Language::Javascript) => None,
        Some(Language::C) | None => None,
    }
}

fn starts(name: &str, beginnings: &[&str]) -> bool {
    beginnings.iter().any(|start| name.starts_with(start))
}

/// A type of the library is the library's, and a type of the program's own that implements one of its traits is the program's.
fn rust(name: &str) -> Option<Plumbing> {
    if starts(name, &["alloc::raw_vec", "alloc::alloc", "hashbrown::raw::alloc"]) {
        return Some(Plumbing::Allocator);
    }
    starts(name, &["alloc::", "core::", "std::", "hashbrown::", "__rustc::", "rust_begin_unwind"])
        .then_some(Plumbing::Library)
}

/// Packages of Go's standard library that take memory for their callers. An import path of somebody's own has a dot in its first part,
/// or is `main`.
const GO: &[&str] = &[
    "bufio.",
    "bytes.",
    "compress/",
    "container/",
    "context.",
    "crypto/",
    "database/",
    "encoding/",
    "fmt.",
    "hash/",
    "internal/",
    "io.",
    "io/",
    "maps.",
    "math/",
    "mime/",
    "net.",
    "net/",
    "os.",
    "path/",
    "reflect.",
    "regexp.",
    "slices.",
    "sort.",
    "strconv.",
    "strings.",
    "sync.",
    "sync/",
    "syscall.",
    "text/",
    "time.",
    "unicode/",
];

fn go(name: &str) -> Option<Plumbing> {
    if starts(name, &["runtime.", "runtime/", "gcWriteBarrier", "type:.", "type."]) {
        return Some(Plumbing::Runtime);
    }
    starts(name, GO).then_some(Plumbing::Library)
}

/// Source files of a standard library.
pub(super) fn library_file(file: &str, language: Option<Language>) -> Option<Plumbing> {
    let is_library = match language {
        Some(Language::Python) => {
            let installed = ["/site-packages/", "/dist-packages/"].iter().any(|part| file.contains(part));
            file.starts_with("<frozen ") || (file.contains("/lib/python") && !installed)
        }
        Some(Language::Javascript) => file.starts_with("node:"),
        Some(Language::Rust) => file.starts_with("/rustc/"),
        _ => false,
    };
    is_library.then_some(Plumbing::Library)
}

/// By the name of the file that holds the code: `libc.so.6`, `ld-musl-x86_64.so.1`.
pub(super) fn module(module: &str) -> Option<Plumbing> {
    const ALLOCATORS: &[&str] = &["libjemalloc", "libtcmalloc", "libmimalloc", "libmimalloc-secure"];
    const LIBRARIES: &[&str] = &["libc", "libm", "libpthread", "libstdc++", "libgcc_s", "libc++", "libdl", "librt"];
    // `libc-2.31.so` of older systems too; `libcurl.so.4` is somebody's choice.
    let stem = module.split(".so").next().unwrap_or(module);
    let stem = stem.split_once("-2.").map_or(stem, |(stem, _)| stem);
    let is_loader = starts(module, &["ld-linux", "ld-musl", "ld-2."]) || module == "[vdso]";
    match () {
        () if !module.contains(".so") && module != "[vdso]" => None,
        () if ALLOCATORS.contains(&stem) => Some(Plumbing::Allocator),
        () if LIBRARIES.contains(&stem) || is_loader => Some(Plumbing::Library),
        () => None,
    }
}

/// CPython's own: the program `python3.11` or its library, not an extension module that begins its names alike (`PyArray_…`).
pub(super) fn is_python(module: &str, function: &str) -> bool {
    let of_python = starts(module, &["python", "libpython"]);
    of_python || (module.is_empty() && starts(function, &["_Py", "Py"])) || function.starts_with("_PyEval_")
}

/// V8 and Node.js around it, linked into one program or a library.
pub(super) fn is_v8(module: &str, function: &str) -> bool {
    starts(module, &["node", "libnode", "libv8"])
        || starts(function, &["v8::", "Builtins_", "Builtin:", "node::", "uv__", "uv_", "BytecodeHandler:", "Stub:"])
}

/// HotSpot, its stubs, and the launcher.
pub(super) fn is_hotspot(module: &str, function: &str) -> bool {
    starts(module, &["libjvm", "libjli", "libjava", "java"])
        || starts(function, &["StubRoutines", "call_stub", "JavaCalls::", "Interpreter", "vtable stub", "itable stub"])
}
