//! Profiles of real programs that leak from a known function.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use oomscope_core::text::acts_on_its_surroundings;
use oomscope_testkit::programs::{Function, Hog, Kind, Place, Task, Unbuilt, build};
use serde_json::Value;

use super::holder::scratch;
use super::run::{Files, Ran, oomscope, run};

/// A profile that has begun.
struct Profiling {
    child: Child,
    err: BufReader<std::process::ChildStderr>,
}

impl Profiling {
    /// `None`: not possible here, and said.
    fn start(arguments: &[&str]) -> Option<Self> {
        let mut child = oomscope(&[&["profile"], arguments].concat()).spawn().unwrap();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        // Reading what processes have may take a while; only then does it say that it samples.
        err.read_line(&mut line).unwrap();
        if line.contains("sampling page faults") {
            return Some(Self { child, err });
        }
        child.wait().unwrap();
        eprintln!("SKIPPED: {line}");
        None
    }

    fn end(mut self) -> Ran {
        let mut err = String::new();
        self.err.read_to_string(&mut err).unwrap();
        let mut out = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        Ran { code: self.child.wait().unwrap().code(), out, err }
    }
}

/// What the page names first.
fn named_first(page: &str) -> &str {
    page.lines().find_map(|line| line.split_once("most: ")).map_or("nothing", |(_, name)| name)
}

fn leak(kind: &str, function: Function, arguments: &[&str]) -> Option<Ran> {
    profile(kind, function, Task::Leak { mib_per_second: 300, seconds: 60 }, arguments)
}

fn profile(kind: &str, function: Function, task: Task, arguments: &[&str]) -> Option<Ran> {
    let folder = Files::new();
    let program = match build(Kind::named(kind).unwrap(), folder.path()) {
        Ok(program) => program,
        Err(missing @ Unbuilt::Missing { .. }) => {
            eprintln!("SKIPPED: {missing}");
            return None;
        }
        Err(failed) => panic!("{failed}"),
    };
    let mut hog = Hog::start(&program, function, task, Place::Here).unwrap();
    let profiling =
        Profiling::start(&[&[&*hog.pid().to_string(), "--for", "2s", "--period", "64"], arguments].concat())?;
    hog.begin().unwrap();
    Some(profiling.end())
}

/// With a garbage collector what was given up stays resident, so only who takes memory is known.
#[test]
fn go() {
    let task = Task::Grow { mib: 200 };
    let Some(ran) = profile("go", Function::BuildIndex, task, &[]) else { return };
    ran.assert_code(0);
    assert!(named_first(&ran.out).contains("main.buildIndex"), "{}", ran.out);
}

/// In languages that give memory back, `--held` names the function that leaks first, although two others allocate more and free it.
#[test]
fn held_blames_the_leak() {
    for (kind, function) in [
        ("c", Function::FillCache),
        ("c-static", Function::ParseJson),
        ("cpp", Function::BuildIndex),
        ("rust", Function::ParseJson),
    ] {
        let Some(ran) = leak(kind, function, &["--held"]) else { continue };
        ran.assert_code(0);
        let expected = function.name(Kind::named(kind).unwrap().language);
        assert!(named_first(&ran.out).contains(expected), "{kind}: {expected}\n{}", ran.out);
        let calls = ran.out.split_once("\nCALLS").unwrap().1;
        assert!(calls.contains("serve") && calls.contains(expected), "{kind}: {}", ran.out);
    }
}

/// The JSON adds up, and holds less than was made resident where most was given back.
#[test]
fn numbers_add_up() {
    let Some(ran) = leak("c-lines", Function::ParseJson, &["--held", "-o", "json"]) else { return };
    ran.assert_code(0);
    let profile: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(profile["schema"], "oomscope.profile/v1");
    let stacks = profile["stacks"].as_array().unwrap();
    let sum = |field: &str| stacks.iter().map(|stack| stack[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!(profile["bytes"].as_u64().unwrap(), sum("bytes"));
    assert_eq!(profile["held_bytes"].as_u64().unwrap(), sum("held_bytes"));
    assert_eq!(profile["sampling"]["samples"].as_u64().unwrap(), sum("samples"));
    let mib = |field: &str| profile[field].as_u64().unwrap() >> 20;
    assert!(
        mib("held_bytes") > 20 && mib("held_bytes") < mib("bytes") / 2,
        "{} of {}",
        mib("held_bytes"),
        mib("bytes")
    );
    let frames = profile["frames"].as_array().unwrap();
    let own = frames.iter().find(|frame| frame["function"] == "parse_json").unwrap();
    assert!(own["file"].as_str().unwrap().ends_with("catalog.c") && own["line"].as_u64().is_some(), "{own}");
}

/// Processes that start during the profile are in it, where the target is a cgroup.
#[test]
fn children_of_a_cgroup() {
    let Some(scratch) = scratch(256) else { return };
    let mut shell = Command::new("sh")
        .args(["-c", "read go; for i in 1 2 3; do head -c 20000000 /dev/zero | tail | wc -c; done; read go"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    scratch.add(shell.id()).unwrap();
    let cgroup = scratch.folder().to_str().unwrap();
    if let Some(profiling) = Profiling::start(&[cgroup, "--for", "4s", "--period", "64", "-o", "json"]) {
        std::io::Write::write_all(&mut shell.stdin.as_ref().unwrap(), b"go\n").unwrap();
        let ran = profiling.end();
        ran.assert_code(0);
        let profile: Value = serde_json::from_str(&ran.out).unwrap();
        let processes = profile["processes"].as_array().unwrap();
        let tails = processes.iter().filter(|process| process["comm"] == "tail").count();
        assert_eq!(tails, 3, "{processes:?}");
    }
    drop(shell.stdin.take());
    shell.wait().unwrap();
}

/// A process that starts another program is followed into it.
#[test]
fn exec() {
    let folder = Files::new();
    let Ok(program) = build(Kind::named("c").unwrap(), folder.path()) else {
        return eprintln!("SKIPPED: no C compiler");
    };
    // The loop makes a first sample of the shell, whose address space then is another.
    let script =
        "i=0; x=; while [ $i -lt 14 ]; do x=$x$x.................; i=$((i+1)); done; exec \"$0\" grow fill_cache 200";
    let mut child = Command::new("sh")
        .args(["-c", &format!("read go; {script}")])
        .arg(&program.executable)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    if let Some(profiling) = Profiling::start(&[&child.id().to_string(), "--for", "3s", "--period", "16"]) {
        std::io::Write::write_all(&mut child.stdin.as_ref().unwrap(), b"go\n").unwrap();
        // The shell reads its line byte by byte and leaves the next to the program.
        std::io::Write::write_all(&mut child.stdin.as_ref().unwrap(), b"go\n").unwrap();
        let ran = profiling.end();
        assert!(named_first(&ran.out).contains("fill_cache"), "{}{}", ran.out, ran.err);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Every form is written to a file, and none over another without being told to.
#[test]
fn forms_in_files() {
    let files = Files::new();
    for (form, begins) in [("svg", &b"<?xml"[..]), ("pprof", &[0x1f, 0x8b]), ("folded", b"c;"), ("text", b"c (pid")] {
        let path = files.path().join(form);
        let path = path.to_str().unwrap();
        let Some(ran) = leak("c", Function::ParseJson, &["-o", form, "--out", path]) else { return };
        ran.assert_code(0);
        assert!(ran.out.is_empty() && ran.err.contains("wrote "), "{}{}", ran.out, ran.err);
        assert!(std::fs::read(path).unwrap().starts_with(begins), "{form}");
        let again = run(&["profile", "1", "-o", form, "--out", path]);
        again.assert_code(2);
        assert!(again.err.contains("--force"), "{}", again.err);
    }
}

/// A target that does nothing: said, with what would see more, and exit code 1.
#[test]
fn nothing_to_see() {
    let mut idle = Command::new("sleep").arg("60").spawn().unwrap();
    if let Some(profiling) = Profiling::start(&[&idle.id().to_string(), "--for", "300ms"]) {
        let ran = profiling.end();
        ran.assert_code(1);
        assert!(ran.out.contains("no new memory") && ran.out.contains("--period"), "{}", ran.out);
    }
    idle.kill().unwrap();
    idle.wait().unwrap();
}

/// The end of the target ends the profile, with what there was.
#[test]
fn the_target_ends() {
    let mut idle = Command::new("sleep").arg("1").spawn().unwrap();
    if let Some(profiling) = Profiling::start(&[&idle.id().to_string(), "--for", "60s"]) {
        idle.wait().unwrap();
        let ran = profiling.end();
        assert!(ran.err.contains("the target ended after"), "{}", ran.err);
    }
    let _ = idle.wait();
}

/// What is not there is said, and acts on no terminal.
#[test]
fn no_such_target() {
    for (target, expected) in [("4194304", "no process has the pid"), ("nothing\u{1b}[31m", "nothing here is called")] {
        let ran = run(&["profile", target]);
        ran.assert_code(2);
        assert!(ran.err.contains(expected), "{}", ran.err);
        assert!(!ran.err.chars().any(|c| c != '\n' && acts_on_its_surroundings(c)), "{:?}", ran.err);
    }
}
