//! Processes that put traps where their files should be.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use oomscope_core::evidence::FoundBy;
use oomscope_sources::stacks::{Address, Mapping, Symboliser, Unwinder};

use super::programs::{Program, proc};
use super::{C, assert_in_order, functions};

/// Functions are named in a folder that is the program's whole world, and its links do not lead out of that.
#[test]
fn in_a_root_of_its_own() {
    let Some(program) = Program::build("gcc", "deep.c", &["-O2", "-static", "-Wl,-z,execstack"]) else { return };
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("tmp")).unwrap();
    std::fs::copy(&program.path, root.path().join("program")).unwrap();
    let mut command = Command::new("chroot");
    command.arg(root.path()).arg("/program");
    if !Command::new("chroot").args(["/", "true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: may not chroot");
        return;
    }
    let captured = Program::capture_command(&mut command);
    assert_in_order(&functions(&captured), C);

    // Its stack is executable, so it is memory that a perf map may name.
    let is_stack =
        |mapping: &&Mapping| captured.space.file(mapping).is_some_and(|file| file.path.as_bytes() == b"[stack]");
    let stack = captured.space.mappings().iter().find(is_stack).unwrap();
    let name = || {
        let address = Address { address: stack.start, found_by: FoundBy::Registers };
        Symboliser::new().frames(&captured.space, &[address])[0].function.clone()
    };
    let entry = |name: &str| format!("{:x} {:x} {name}\n", stack.start, stack.end - stack.start);
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outside.path(), entry("outside")).unwrap();
    let map = root.path().join(format!("tmp/perf-{}.map", captured.raw.pid));
    for link in [outside.path().to_owned(), Path::new("../../../../..").join(outside.path().strip_prefix("/").unwrap())]
    {
        symlink(link, &map).unwrap();
        assert_eq!(name(), None);
        std::fs::remove_file(&map).unwrap();
    }
    std::fs::write(&map, entry("inside")).unwrap();
    assert_eq!(name().as_deref(), Some("inside"));
}

/// A pipe in the place of a file neither blocks nor is read.
#[test]
fn pipe_for_a_file() {
    let Some(library) = Program::build("gcc", "deep.c", &["-O2", "-shared", "-fPIC", "-Dmain=run"]) else { return };
    let Some(program) = Program::build("gcc", "call_run.c", &[library.path.to_str().unwrap()]) else { return };
    let captured = program.capture();
    std::fs::remove_file(&library.path).unwrap();
    assert!(Command::new("mkfifo").arg(&library.path).status().unwrap().success());
    let unwound = Unwinder::new().unwind(&captured.space, &captured.raw);
    let frames = Symboliser::new().frames(&captured.space, &unwound.addresses);
    assert_eq!(frames[0].function, None);
}

/// A library that was unlinked while the process had it mapped is read through /proc/PID/map_files, if it was taken in time.
#[test]
fn unlinked_library() {
    let Some(library) = Program::build("gcc", "deep.c", &["-O2", "-shared", "-fPIC", "-Dmain=run"]) else { return };
    let Some(program) = Program::build("gcc", "call_run.c", &[library.path.to_str().unwrap()]) else { return };
    let mut captured = program.capture();
    std::fs::remove_file(&library.path).unwrap();
    captured.space = proc().space(captured.raw.pid).unwrap();
    captured.end();
    let found = functions(&captured);
    if found.first().is_some_and(|name| name != "capture") {
        eprintln!("SKIPPED: map_files may not be opened");
        return;
    }
    assert_in_order(&found, &["capture", "allocate", "parse", "load", "run", "main"]);
}
