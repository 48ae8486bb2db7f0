//! Code that runtimes make while they run.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use oomscope_core::evidence::{FoundBy, Frame, Language, NamedBy};
use oomscope_sources::stacks::{Address, Runtime, Space, Symboliser};

use super::programs::proc;

/// A process that is ended when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &str, arguments: &[&str], folder: &Path) -> Option<Running> {
    let child = Command::new(program).args(arguments).current_dir(folder).stdout(Stdio::null()).spawn();
    child.map_err(|e| eprintln!("SKIPPED: {program}: {e}")).ok().map(Running)
}

/// The first address of an entry of a perf map, once one is there.
fn wait_for_entry(map: &Path, named: &str) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let text = std::fs::read(map).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        if let Some(line) = text.lines().rfind(|line| line.contains(named)) {
            return u64::from_str_radix(line.split(' ').next().unwrap().trim_start_matches("0x"), 16).unwrap();
        }
        assert!(Instant::now() < deadline, "{named} is not in {}", map.display());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn frame_at(space: &Space, address: u64) -> Frame {
    let frames = Symboliser::new().frames(space, &[Address { address, found_by: FoundBy::FramePointer }]);
    assert_eq!(frames.len(), 1);
    frames.into_iter().next().unwrap()
}

fn nameless_code(space: &Space) -> u64 {
    space.mappings().iter().find(|mapping| mapping.file.is_none()).unwrap().start + 0x100
}

struct RemovedAtTheEnd(PathBuf);

impl Drop for RemovedAtTheEnd {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const JS: &str = "function fillCatalog(n) { let s = 0; for (let i = 0; i < n; i++) s += i % 7; return s; }\nfor (;;) fillCatalog(1e6);\n";

/// Node.js with `--perf-basic-prof`: function, file and line; without it the kind of code is all that is said.
#[test]
fn node() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::File::create(folder.path().join("app.js")).unwrap().write_all(JS.as_bytes()).unwrap();
    let Some(node) = start("node", &["--perf-basic-prof", "app.js"], folder.path()) else { return };
    let map = RemovedAtTheEnd(format!("/tmp/perf-{}.map", node.0.id()).into());
    let address = wait_for_entry(&map.0, "*fillCatalog ");
    let space = proc().space(node.0.id()).unwrap();
    assert_eq!(space.runtime(), Some(Runtime::V8));
    let frame = frame_at(&space, address + 1);
    assert_eq!((frame.function.as_deref(), frame.line), (Some("fillCatalog"), Some(1)), "{frame:?}");
    assert!(frame.file.as_ref().unwrap().ends_with("app.js"));
    assert_eq!((frame.language, frame.named_by), (Some(Language::Javascript), Some(NamedBy::PerfMap)));
    drop(node);

    let Some(node) = start("node", &["app.js"], folder.path()) else { return };
    let deadline = Instant::now() + Duration::from_secs(60);
    let space = loop {
        let space = proc().space(node.0.id()).unwrap();
        if space.mappings().iter().any(|mapping| mapping.file.is_none()) {
            break space;
        }
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    };
    eprintln!("node: {} mappings, {} bytes", space.mappings().len(), space.memory());
    let frame = frame_at(&space, nameless_code(&space));
    assert_eq!(frame.function.as_deref(), Some("[JIT code, V8]"));
    assert_eq!((frame.named_by, frame.offset, frame.module), (Some(NamedBy::Region), None, None));
}

const JAVA: &str = "public class Shop { static long fillCatalog(int n) { long s = 0; for (int i = 0; i < n; i++) s += i % 7; return s; }
  public static void main(String[] a) throws Exception { for (;;) { fillCatalog(1000000); Thread.sleep(1); } } }";

/// A JVM whose perf map was asked for: class and method; without it the kind of code.
#[test]
fn java() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::File::create(folder.path().join("Shop.java")).unwrap().write_all(JAVA.as_bytes()).unwrap();
    let compiled = Command::new("javac").arg("Shop.java").current_dir(folder.path()).status();
    if !compiled.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: javac is missing");
        return;
    }
    let Some(java) = start("java", &["-cp", ".", "Shop"], folder.path()) else { return };
    let map = RemovedAtTheEnd(format!("/tmp/perf-{}.map", java.0.id()).into());
    let deadline = Instant::now() + Duration::from_secs(60);
    while !std::fs::read_to_string(&map.0).is_ok_and(|text| text.contains("fillCatalog")) {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(300));
        let pid = java.0.id().to_string();
        let asked = Command::new("jcmd").args([pid.as_str(), "Compiler.perfmap"]).stdout(Stdio::null()).status();
        if asked.is_err() {
            eprintln!("SKIPPED: jcmd is missing");
            return;
        }
    }
    let address = wait_for_entry(&map.0, "fillCatalog");
    let space = proc().space(java.0.id()).unwrap();
    assert_eq!(space.runtime(), Some(Runtime::HotSpot));
    eprintln!("java: {} mappings, {} bytes", space.mappings().len(), space.memory());
    let frame = frame_at(&space, address + 1);
    assert_eq!(frame.function.as_deref(), Some("Shop.fillCatalog"));
    assert_eq!((frame.language, frame.named_by), (Some(Language::Java), Some(NamedBy::PerfMap)));
    let interpreter = frame_at(&space, wait_for_entry(&map.0, " Interpreter") + 1);
    assert_eq!(interpreter.function.as_deref(), Some("[Interpreter, HotSpot]"));
    std::fs::remove_file(&map.0).unwrap();
    assert_eq!(frame_at(&space, address + 1).function.as_deref(), Some("[JIT code or interpreter, HotSpot]"));
}
