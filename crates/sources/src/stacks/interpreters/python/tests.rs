use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use oomscope_core::evidence::Frame;

use super::*;
use crate::host_root::HostRoot;
use crate::process::Proc;
use crate::stacks::interpreters::{Interpreter, recognise};

/// Three calls deep, on one of them a comprehension and a method, then waits; a second thread does as much. Line numbers matter.
const PROGRAM: &str = "\
import sys, threading

class Catalog:
    def parse_json(self, depth):
        if depth:
            return self.parse_json(depth - 1)
        hold(self)

def hold(catalog):
    threading.get_ident() == MAIN and print('ready', flush=True)
    sys.stdin.readline() if threading.get_ident() == MAIN else threading.Event().wait()

def load_catalog():
    return sorted([3, 2, 1], key=lambda n: Catalog().parse_json(1))

MAIN = threading.get_ident()
threading.Thread(target=load_catalog, daemon=True).start()
load_catalog()
";

struct Python {
    child: Child,
    _script: tempfile::TempDir,
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program until it waits.
fn run(interpreter: &Path) -> Python {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("catalog.py");
    File::create(&script).unwrap().write_all(PROGRAM.as_bytes()).unwrap();
    let mut child =
        Command::new(interpreter).arg(&script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    Python { child, _script: folder }
}

/// Those of the search path, those that pyenv keeps in the user's home, and those named in `OOMSCOPE_PYTHONS`, as a search path is.
fn interpreters() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    if let Some(home) = std::env::home_dir() {
        let versions = std::fs::read_dir(home.join(".pyenv/versions")).into_iter().flatten().flatten();
        folders.extend(versions.map(|version| version.path().join("bin")));
    }
    let mut found: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| (8..=14).map(|minor| folder.join(format!("python3.{minor}"))))
        .filter_map(|path| path.canonicalize().ok())
        // pyenv's stand-ins are scripts.
        .filter(|path| std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF")))
        .collect();
    let named = std::env::var_os("OOMSCOPE_PYTHONS");
    found.extend(named.iter().flat_map(std::env::split_paths));
    found.sort();
    found.dedup();
    found
}

fn in_short(frame: &Frame) -> String {
    format!("{}:{}", frame.function.as_deref().unwrap_or("?"), frame.line.unwrap_or(0))
}

/// The main thread's frames. It says that it is ready a line before the one in which it waits.
fn where_it_waits(layout: &Layout, memory: &dyn Memory) -> Vec<Copied> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let copied = walk(layout, memory, Thread::Main);
        let waits = copied.first().is_some_and(|innermost| innermost.frame(layout).line == Some(11));
        if waits || Instant::now() > until {
            return copied;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// On every CPython of this machine: functions, lines and file of the main thread and of another.
#[test]
#[expect(clippy::print_stderr, reason = "what was tried must be seen, and a skipped test must say so")]
fn every_python_here() {
    let interpreters = interpreters();
    if interpreters.is_empty() {
        eprintln!("SKIPPED: no python3.N in PATH or pyenv");
    }
    for interpreter in interpreters {
        let python = run(&interpreter);
        let pid = python.child.id();
        let proc = Proc::new(&HostRoot::default());
        let Some(Interpreter::Python(layout)) = recognise(&proc, &proc.space(pid).unwrap()) else {
            panic!("{} is not recognised", interpreter.display())
        };
        eprintln!("{}: {:?}", interpreter.display(), layout.version);
        let memory = proc.memory(pid).unwrap();

        let copied = where_it_waits(&layout, &memory);
        let frames: Vec<Frame> = copied.iter().map(|copied| copied.frame(&layout)).collect();
        let short: Vec<String> = frames.iter().map(in_short).collect();
        let qualified =
            |name: &str| if layout.version >= (3, 11) { format!("Catalog.{name}") } else { name.to_owned() };
        let key = if layout.version >= (3, 11) { "load_catalog.<locals>.<lambda>" } else { "<lambda>" };
        let expected = [
            "hold:11".to_owned(),
            qualified("parse_json:7"),
            qualified("parse_json:6"),
            format!("{key}:14"),
            "load_catalog:14".to_owned(),
            "<module>:18".to_owned(),
        ];
        assert_eq!(short, expected, "{}", interpreter.display());
        assert!(frames.iter().all(|frame| frame.file.as_deref().is_some_and(|file| file.ends_with("/catalog.py"))));

        // `sorted` is C: the function called by it and what called it are of two runs of the interpreter.
        let runs: Vec<usize> = copied.chunk_by(|before, _| !before.entry).map(<[Copied]>::len).collect();
        let expected: &[usize] = if layout.version >= (3, 11) { &[4, 2] } else { &[1; 6] };
        assert_eq!(runs, expected, "{}", interpreter.display());
    }
}
