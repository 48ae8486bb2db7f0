//! Stacks of real programs, unwound and symbolised after what a program in the kernel would have copied of them.
#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests say what they skip, and what helps them may fail like them"
)]
#![cfg(target_arch = "x86_64")]

mod hostile;
mod programs;
mod runtimes;

use std::process::Command;

use oomscope_core::evidence::{FoundBy, Frame, NamedBy};
use oomscope_sources::stacks::{Address, Mapping, Symboliser, Unwinder};
use programs::{Captured, Program};

/// The functions of its stack, innermost first; what has no name as `module+offset`.
fn functions(captured: &Captured) -> Vec<String> {
    let unwound = Unwinder::new().unwind(&captured.space, &captured.raw);
    let frames = Symboliser::new().frames(&captured.space, &unwound.addresses);
    let name = |frame: &Frame| {
        frame.function.clone().unwrap_or_else(|| format!("{:?}+{:#x}", frame.module, frame.offset.unwrap_or(0)))
    };
    let names = frames.iter().map(name).collect();
    eprintln!("truncated: {}", unwound.truncated);
    names
}

/// The names occur in this order, others may lie between.
fn assert_in_order(found: &[String], expected: &[&str]) {
    let mut rest = found.iter();
    for name in expected {
        assert!(rest.any(|found| found == name), "{name} in {found:#?}");
    }
}

const C: &[&str] = &["capture", "allocate", "parse", "load", "main"];

/// C with and without frame pointers, at every place a linker may put it, with nothing but unwind tables to go by.
#[test]
fn c_however_it_is_built() {
    for arguments in [
        &["-O2", "-g"][..],
        &["-O2", "-fomit-frame-pointer"],
        &["-O2", "-fno-omit-frame-pointer"],
        &["-O0"],
        &["-O2", "-no-pie"],
        &["-O2", "-static"],
        &["-O2", "-static-pie"],
        &["-O2", "-Wl,--no-eh-frame-hdr", "-static"],
        &["-O2", "-Wl,-z,noseparate-code"],
        &["-O2", "-Wl,--build-id=none"],
        &["-O3", "-g", "-gz"],
    ] {
        let Some(program) = Program::build("gcc", "deep.c", arguments) else { continue };
        eprintln!("== {arguments:?}");
        assert_in_order(&functions(&program.capture()), C);
    }
}

/// A stripped program still has its exported functions, and what has no name keeps module, offset and build id.
#[test]
fn stripped() {
    let Some(program) = Program::build("gcc", "deep.c", &["-O2", "-Wl,--build-id"]) else { return };
    let captured = program.strip().capture();
    let unwound = Unwinder::new().unwind(&captured.space, &captured.raw);
    assert!(!unwound.truncated);
    let frames = Symboliser::new().frames(&captured.space, &unwound.addresses);
    let own = &frames[0];
    assert_eq!((own.function.as_deref(), own.named_by), (None, None));
    assert_eq!(own.build_id.as_ref().map(String::len), Some(40));
    assert!(own.offset.is_some_and(|offset| offset > 0 && offset < 0x10000));
    assert!(own.module.as_ref().is_some_and(|module| module.as_bytes().ends_with(b"/program")));
    // `__libc_start_main_impl` where the debug information of libc is installed.
    let exported = |frame: &Frame| frame.function.as_ref().is_some_and(|name| name.starts_with("__libc_start_main"));
    assert!(frames.iter().any(exported), "{frames:#?}");
}

/// Inlined functions are told apart, and every line of the source is the right one.
#[test]
fn inlined_with_lines() {
    let Some(program) = Program::build("gcc", "deep.c", &["-O2", "-g"]) else { return };
    let captured = program.capture();
    let unwound = Unwinder::new().unwind(&captured.space, &captured.raw);
    let frames = Symboliser::new().frames(&captured.space, &unwound.addresses);
    let source = include_str!("programs/deep.c");
    let line_of = |text: &str| source.lines().position(|line| line.contains(text)).map(|at| at as u32 + 1);
    let found = |name: &str| frames.iter().find(|frame| frame.function.as_deref() == Some(name)).unwrap();
    assert_eq!(found("inlined").line, line_of("int inlined"));
    assert!(found("inlined").inlined && !found("parse").inlined);
    assert_eq!(found("parse").line, line_of("int sum = inlined"));
    assert_eq!(found("allocate").line, line_of("    capture();"));
    assert_eq!(found("main").line, line_of("int main"));
    assert!(found("parse").file.as_ref().unwrap().ends_with("programs/deep.c"));
    assert_eq!(found("parse").named_by, Some(NamedBy::DebugInfo));
}

/// A signal's frame is passed, and the function that was interrupted at its very first instruction is named, not the one before it.
#[test]
fn through_a_signal() {
    let Some(program) = Program::build("gcc", "signal.c", &["-O2"]) else { return };
    assert_in_order(&functions(&program.capture()), &["handler", "interrupted", "work", "main"]);
}

/// Rust, optimised, with either linker: lld maps a page twice, for two segments.
#[test]
fn rust_with_either_linker() {
    for arguments in [
        &["-O"][..],
        &["-O", "-g"],
        &["-O", "-Clink-arg=-fuse-ld=bfd"],
        &["-O", "-Clink-arg=-fuse-ld=lld"],
        &["-O", "-Ctarget-feature=+crt-static"],
        &["-O", "-Crelocation-model=static"],
        &["-Copt-level=3", "-Cforce-frame-pointers=yes", "-Clto=fat"],
        &[],
    ] {
        let Some(program) = Program::build("rustc", "deep.rs", arguments) else { continue };
        eprintln!("== {arguments:?}");
        let captured = program.capture();
        let found = functions(&captured);
        assert!(found.iter().any(|name| name.contains("Catalog") && name.contains("grow")), "{found:#?}");
        assert_in_order(&found, &["deep::capture", "deep::main", "main"]);
    }
}

const GO: &[&str] = &[
    "main.capture",
    "main.(*catalog[...]).grow",
    "main.load",
    "main.load",
    "main.load",
    "main.load",
    "main.main",
    "runtime.main",
];

/// Go has no unwind tables of the usual kind: its own table leads through, stripped or not.
#[test]
fn go_with_its_own_table() {
    for arguments in [&[][..], &["-ldflags=-s -w"], &["-buildmode=pie"], &["-buildmode=pie", "-ldflags=-s -w"]] {
        let Some(program) = Program::build("go", "deep_go", arguments) else { continue };
        eprintln!("== {arguments:?}");
        let captured = program.capture();
        assert_in_order(&functions(&captured), GO);
        assert!(!Unwinder::new().unwind(&captured.space, &captured.raw).truncated);
    }
    let Some(program) = Program::build("go", "deep_go", &[]) else { return };
    assert_in_order(&functions(&program.strip().capture()), GO);
}

/// C that Go calls runs on another stack, which is not in the copy: the kernel's frame pointers lead across.
#[test]
fn go_that_calls_c() {
    let Some(program) = Program::build("go", "deep_cgo", &[]) else { return };
    let captured = program.capture();
    assert_in_order(
        &functions(&captured),
        &["capture", "main.load", "main.load", "main.load", "main.main", "runtime.main"],
    );
    assert!(!Unwinder::new().unwind(&captured.space, &captured.raw).truncated);
}

/// Everything is there when the process, its file and its folder are gone.
#[test]
fn after_the_end() {
    let Some(program) = Program::build("gcc", "deep.c", &["-O2", "-g"]) else { return };
    let mut captured = program.capture();
    captured.end();
    drop(program);
    assert_in_order(&functions(&captured), C);
}

/// Another file under the program's name is not taken for it; nor is a library that was replaced.
#[test]
fn replaced_file() {
    let Some(library) = Program::build("gcc", "deep.c", &["-O2", "-shared", "-fPIC", "-Dmain=run"]) else { return };
    let Some(program) = Program::build("gcc", "call_run.c", &[library.path.to_str().unwrap()]) else { return };
    let captured = program.capture();
    assert_in_order(&functions(&captured), &["capture", "parse", "run", "main"]);
    // A copy with the same content, but another file: it cannot be told that it is the same.
    let captured = program.capture();
    let copy = library.path.with_extension("copy");
    std::fs::copy(&library.path, &copy).unwrap();
    std::fs::rename(&copy, &library.path).unwrap();
    let unwound = Unwinder::new().unwind(&captured.space, &captured.raw);
    let frames = Symboliser::new().frames(&captured.space, &unwound.addresses);
    assert_eq!((frames[0].function.as_deref(), frames[0].build_id.as_deref()), (None, None));
    assert!(frames[0].module.is_some() && frames[0].offset.is_some());
}

/// C++: templates, lambdas and virtual functions under their own names.
#[test]
fn cpp() {
    for arguments in [&["-O2", "-g"][..], &["-O2"]] {
        let Some(program) = Program::build("g++", "deep.cpp", arguments) else { return };
        let found = functions(&program.capture());
        assert_in_order(&found, &["capture", "shop::Catalog<double>::load", "main"]);
    }
}

/// A stripped program that has its functions' names packed within, as Fedora's have.
#[test]
fn mini_debug_info() {
    let Some(program) = Program::build("gcc", "deep.c", &["-O2"]) else { return };
    let debug = program.path.with_extension("debug");
    let run = |program: &str, arguments: &[&std::ffi::OsStr]| {
        Command::new(program).args(arguments).status().is_ok_and(|status| status.success())
    };
    let packed = debug.with_extension("debug.xz");
    let add = format!("--add-section=.gnu_debugdata={}", packed.display());
    let path = program.path.clone();
    if !run("objcopy", &["--only-keep-debug".as_ref(), path.as_ref(), debug.as_ref()]) || !run("xz", &[debug.as_ref()])
    {
        eprintln!("SKIPPED: objcopy or xz is missing");
        return;
    }
    let program = program.strip();
    assert!(run("objcopy", &[add.as_ref(), path.as_ref()]));
    assert_in_order(&functions(&program.capture()), C);
}

/// Debug information in a file of its own is found by build id, below the process's own root.
#[test]
fn separate_debug_file() {
    let Some(program) = Program::build("gcc", "deep.c", &["-O2", "-g", "-static", "-Wl,--build-id"]) else { return };
    let root = tempfile::tempdir().unwrap();
    let debug = program.path.with_extension("debug");
    let kept = Command::new("objcopy").arg("--only-keep-debug").args([&program.path, &debug]).status();
    if !kept.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: objcopy is missing");
        return;
    }
    let program = program.strip();
    std::fs::copy(&program.path, root.path().join("program")).unwrap();
    let mut command = Command::new("chroot");
    let captured = Program::capture_command(command.arg(root.path()).arg("/program"));
    let unwound = Unwinder::new().unwind(&captured.space, &captured.raw);
    let name = |symboliser: &mut Symboliser| symboliser.frames(&captured.space, &unwound.addresses)[0].clone();
    let before = name(&mut Symboliser::new());
    let id = before.build_id.unwrap();
    assert_eq!(before.function, None);
    let folder = root.path().join("usr/lib/debug/.build-id").join(&id[..2]);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(debug, folder.join(format!("{}.debug", &id[2..]))).unwrap();
    let after = name(&mut Symboliser::new());
    assert_eq!((after.function.as_deref(), after.named_by), (Some("capture"), Some(NamedBy::DebugInfo)));
    assert!(after.line.is_some());
}

/// The kernel's own code in the process is named too.
#[test]
fn vdso() {
    let space = programs::proc().space(std::process::id()).unwrap();
    let is_vdso = |mapping: &&Mapping| space.file(mapping).is_some_and(|file| file.path.as_bytes() == b"[vdso]");
    let Some(mapping) = space.mappings().iter().find(is_vdso) else { return };
    let addresses: Vec<_> = (mapping.start..mapping.end)
        .step_by(64)
        .map(|address| Address { address, found_by: FoundBy::Registers })
        .collect();
    let frames = Symboliser::new().frames(&space, &addresses);
    // Or `__vdso_clock_gettime`, another name of the same function.
    let is_clock = |frame: &Frame| frame.function.as_ref().is_some_and(|name| name.ends_with("clock_gettime"));
    assert!(frames.iter().any(is_clock), "{frames:#?}");
    assert!(frames.iter().all(|frame| frame.module.as_ref().is_some_and(|module| module.as_bytes() == b"[vdso]")));
}
