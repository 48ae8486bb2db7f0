//! Stacks as programs of every language have them.

use super::*;

fn frame(function: &str, module: &str, language: Option<Language>) -> Frame {
    Frame {
        function: (!function.is_empty()).then(|| function.to_owned()),
        module: (!module.is_empty()).then(|| module.into()),
        offset: Some(0x1234),
        language,
        named_by: (!function.is_empty()).then_some(NamedBy::Symbols),
        ..Frame::default()
    }
}

fn names(frames: &[Frame]) -> Vec<String> {
    own_code(frames).frames.iter().map(|frame| frame.name()).collect()
}

/// C: what clears, what allocates and what starts the program is left out, and counted.
#[test]
fn c() {
    let c = Some(Language::C);
    let frames = [
        frame("__memset_avx2_unaligned_erms", "/lib/x86_64-linux-gnu/libc.so.6", c),
        frame("_int_malloc", "/lib/x86_64-linux-gnu/libc.so.6", c),
        frame("calloc", "/lib/x86_64-linux-gnu/libc.so.6", c),
        frame("parse_json", "/app/loader", c),
        frame("main", "/app/loader", c),
        frame("", "/lib/x86_64-linux-gnu/libc.so.6", None),
        frame("_start", "/app/loader", c),
    ];
    let own = own_code(&frames);
    assert_eq!(names(&frames), ["parse_json", "main"]);
    let counted = [(Plumbing::Copying, 1), (Plumbing::Allocator, 2), (Plumbing::Library, 1), (Plumbing::Start, 1)];
    assert_eq!(own.left_out, counted);
    assert!(
        own.left_out_in_words().unwrap().starts_with("5 frames, 1 of copying or clearing memory, 2 of the allocator")
    );
}

/// Rust: a type of the library is the library's, an implementation of its traits is the program's.
#[test]
fn rust() {
    let rust = Some(Language::Rust);
    let frames = [
        frame("<alloc::vec::Vec<T> as core::iter::Extend<T>>::extend", "/app/load", rust),
        frame("alloc::raw_vec::finish_grow", "/app/load", rust),
        frame("__rust_alloc", "/app/load", None),
        frame("<load::Catalog as core::iter::Iterator>::next", "/app/load", rust),
        frame("<T as alloc::string::ToString>::to_string", "/app/load", rust),
        frame("load::main", "/app/load", rust),
        frame("std::rt::lang_start", "/app/load", rust),
    ];
    assert_eq!(names(&frames), ["load::Catalog::next", "load::main"]);
}

/// C++: what the name returns or takes does not make it the library's.
#[test]
fn cpp() {
    let cpp = Some(Language::Cpp);
    let frames = [
        frame("operator new(unsigned long)", "/lib/libstdc++.so.6", cpp),
        frame("void std::vector<int>::_M_realloc_insert<int>(int&&)", "/app/x", cpp),
        frame("std::vector<int> shop::load<std::string>(std::string const&)", "/app/x", cpp),
        frame("core::grow(int)", "/app/x", cpp),
    ];
    assert_eq!(names(&frames), ["shop::load<std::string>", "core::grow"]);
}

/// Go: its runtime and its library are left out, whoever's package it is stays.
#[test]
fn go() {
    let go = Some(Language::Go);
    let frames = [
        frame("runtime.memclrNoHeapPointers", "/app/srv", go),
        frame("runtime.mallocgc", "/app/srv", go),
        frame("bytes.(*Buffer).grow", "/app/srv", go),
        frame("github.com/acme/cache.(*Cache).Put", "/app/srv", go),
        frame("main.main.func1", "/app/srv", go),
        frame("runtime.goexit", "/app/srv", go),
    ];
    assert_eq!(names(&frames), ["github.com/acme/cache.(*Cache).Put", "main.main.func1"]);
}

/// Python: the interpreter is left out as long as the program's own frames are there, and is all there is otherwise.
#[test]
fn python() {
    let of_python = |function: &str, file: &str| Frame {
        file: Some(file.to_owned()),
        found_by: crate::evidence::FoundBy::Interpreter,
        named_by: Some(NamedBy::Interpreter),
        ..frame(function, "", Some(Language::Python))
    };
    let native = [
        frame("PyArray_NewLikeArray", "/venv/numpy/_multiarray_umath.cpython-311.so", Some(Language::C)),
        frame("list_resize", "/usr/bin/python3.11", Some(Language::C)),
        frame("_PyEval_EvalFrameDefault", "/usr/bin/python3.11", Some(Language::C)),
    ];
    let mut frames = native.to_vec();
    frames.push(of_python("loads", "/usr/lib/python3.11/json/__init__.py"));
    frames.push(of_python("load_catalog", "/app/shop.py"));
    frames.push(of_python("read", "/venv/lib/python3.11/site-packages/pandas/io.py"));
    assert_eq!(names(&frames), ["PyArray_NewLikeArray", "load_catalog", "read"]);
    assert_eq!(names(&native), ["PyArray_NewLikeArray", "list_resize", "_PyEval_EvalFrameDefault"]);
}

/// A function of an interpreted program may be called like one of the C library.
#[test]
fn python_may_call_its_function_read() {
    let read = Frame { named_by: Some(NamedBy::Interpreter), ..frame("read", "", Some(Language::Python)) };
    assert_eq!(names(&[read, frame("main", "/usr/bin/python3", Some(Language::C))]), ["read"]);
}

/// JavaScript and Java: builtins, stubs and regions of which nothing but the kind is known.
#[test]
fn javascript_and_java() {
    let js = |function: &str, named_by| Frame {
        named_by: Some(named_by),
        ..frame(function, "", Some(Language::Javascript))
    };
    let frames = [
        frame("v8::internal::Heap::AllocateRaw", "/usr/bin/node", Some(Language::Cpp)),
        js("Builtins_ArrayPush", NamedBy::Region),
        js("cachePut", NamedBy::PerfMap),
        js("V8 code", NamedBy::Region),
    ];
    assert_eq!(names(&frames), ["cachePut"]);
    let java = |function: &str| Frame { named_by: Some(NamedBy::PerfMap), ..frame(function, "", Some(Language::Java)) };
    let frames = [
        frame("os::commit_memory", "/usr/lib/jvm/lib/server/libjvm.so", Some(Language::Cpp)),
        java("java.util.ArrayList.grow"),
        java("shop.Cart.fill"),
    ];
    assert_eq!(names(&frames), ["shop.Cart.fill"]);
}

/// Where everything is plumbing, it is shown: never an empty stack for a stack that is there.
#[test]
fn nothing_but_plumbing_is_shown() {
    let frames = [frame("memset", "/lib/libc.so.6", None), frame("", "/lib/libc-2.31.so", None)];
    let own = own_code(&frames);
    assert_eq!((own.frames.len(), own.left_out.len()), (2, 0));
    assert_eq!(own_code(&[]), OwnCode::default());
}

/// An unknown frame of a library that is no standard one stays, with its place in it.
#[test]
fn unknown_frames_stay() {
    let frames =
        [frame("malloc", "/lib/libc.so.6", None), frame("", "/opt/libcurl.so.4", None), frame("", "/app/x", None)];
    assert_eq!(names(&frames), ["libcurl.so.4+0x1234", "x+0x1234"]);
}
