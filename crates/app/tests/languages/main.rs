//! Real kills of real programs: the case names the function that asked for the page which was one too many.
//!
//! One kill each; how often it works is measured by `scripts/hit-rates` (docs/stacks.md).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic, also in its helpers")]

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use oomscope_core::units::Bytes;
use oomscope_sources::cgroup::Scratch;
use oomscope_sources::host_root::HostRoot;
use oomscope_testkit::programs::{Function, Hog, Kind, Place, Program, Task, Unbuilt, Watch, build, functions, own};
use serde_json::Value;

const LIMIT: Bytes = Bytes(64 << 20);
/// Generous: naming reads the symbols of everything that is mapped, on a machine that may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// The case of one kill; `None`, said loudly, where this machine cannot cause or see one.
fn case(kind: &str, function: Function, place: Place) -> Option<(Program, Value)> {
    let folder = tempfile::tempdir().unwrap();
    let program = match build(Kind::named(kind).unwrap(), folder.path()) {
        Ok(program) => program,
        Err(missing @ Unbuilt::Missing { .. }) => return skipped(kind, &missing),
        Err(failed) => panic!("{failed}"),
    };
    let scratch = match Scratch::create(&HostRoot::default(), LIMIT) {
        Ok(scratch) => scratch,
        Err(error) => return skipped(kind, &error),
    };
    let watch = match Watch::start(Path::new(env!("CARGO_BIN_EXE_oomscope")), scratch.folder()) {
        Ok(watch) => watch,
        Err(error) => return skipped(kind, &error),
    };
    if let Some(why) = watch.lacks_stacks() {
        return skipped(kind, &why);
    }
    let task = Task::Grow { mib: 4 * (LIMIT.0 >> 20) };
    let mut hog = match Hog::start(&program, function, task, place) {
        Ok(hog) => hog,
        Err(error) if place == Place::Alone => return skipped(kind, &error),
        Err(error) => panic!("{error}"),
    };
    hog.enter(&scratch).unwrap();
    hog.begin().unwrap();
    hog.wait().unwrap();
    let has_stack = |case: &Value| !functions(case).is_empty();
    let case = watch.case_of(hog.pid(), PATIENCE, has_stack);
    Some((program, case.unwrap_or_else(|| panic!("{kind}: no case"))))
}

#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
fn skipped<T>(kind: &str, why: &dyn Display) -> Option<T> {
    eprintln!("SKIPPED: {kind}: {why}");
    None
}

/// The functions of the program's source in the stack are the one that grew, and its callers.
fn whole_chain(kind: &str, function: Function, place: Place) {
    let Some((program, case)) = case(kind, function, place) else { return };
    let functions = functions(&case);
    let language = program.kind.language;
    assert!(own(&functions, language).starts_with(&language.chain(function)), "{kind}: {functions:#?}");
}

/// C as distributions build it: without frame pointers.
#[test]
fn c() {
    whole_chain("c", Function::FillCache, Place::Here);
}

/// With frame pointers, and a leaf (memset) that has none.
#[test]
fn c_with_frame_pointers() {
    whole_chain("c-frame-pointers", Function::BuildIndex, Place::Here);
}

/// Static, in a root folder that has nothing else: as in a container from scratch.
#[test]
fn c_static_and_alone() {
    whole_chain("c-static", Function::ParseJson, Place::Alone);
}

/// The file was deleted after the start, as an update does.
#[test]
fn c_deleted() {
    whole_chain("c-no-pie", Function::ParseJson, Place::Deleted);
}

/// Templates and members, demangled.
#[test]
fn cpp() {
    whole_chain("cpp", Function::BuildIndex, Place::Here);
}

/// An ordinary release build, with its libraries in a mount namespace that is gone when the names are looked up.
#[test]
fn rust() {
    whole_chain("rust", Function::FillCache, Place::Alone);
}

/// On a goroutine's stack.
#[test]
fn go() {
    whole_chain("go", Function::ParseJson, Place::Here);
}

/// Without symbols: from Go's own table.
#[test]
fn go_stripped() {
    whole_chain("go-stripped", Function::BuildIndex, Place::Alone);
}

/// Python's functions, not the interpreter's.
#[test]
fn python() {
    whole_chain("python", Function::FillCache, Place::Here);
}

/// V8's own map names what it compiled.
#[test]
fn node_with_perf_map() {
    whole_chain("node-perf-map", Function::ParseJson, Place::Here);
}

/// Nothing names the functions: each frame of the program still says where it is in its file, for later.
#[test]
fn nameless() {
    let Some((program, case)) = case("c-nameless", Function::ParseJson, Place::Here) else { return };
    let frames = case.pointer("/incident/kills/0/stacks/user").and_then(Value::as_array).unwrap();
    let path = program.executable.to_str().unwrap();
    let own: Vec<&Value> = frames.iter().filter(|frame| frame["module"] == path).collect();
    assert!(own.len() >= 4, "{frames:#?}");
    assert!(own.iter().all(|frame| frame["offset"].is_u64() && frame["build_id"].is_string()), "{own:#?}");
}
