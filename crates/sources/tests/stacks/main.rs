//! Stacks of real programs, unwound and symbolised after what a program in the kernel would have copied of them.
#![cfg(target_arch = "x86_64")]

mod programs;

use oomscope_sources::stacks::{Symboliser, Unwinder};
use programs::{Captured, Program};

/// The functions of its stack, innermost first; what has no name as `module+offset`.
fn functions(captured: &Captured) -> Vec<String> {
    let unwound = Unwinder::new().unwind(&captured.space, &captured.raw);
    let frames = Symboliser::new().frames(&captured.space, &unwound.addresses);
    let name = |frame: &oomscope_core::evidence::Frame| {
        eprintln!("{frame:?}");
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
