//! Looks into living cgroups: a made-up v2 machine, and real ones of this machine.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use oomscope_core::text::acts_on_its_surroundings;
use oomscope_core::units::Bytes;
use oomscope_sources::cgroup::Scratch;
use oomscope_sources::host_root::HostRoot;
use oomscope_testkit::golden;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::fake_node::{CONTAINER, FakeNode, POD};
use super::run::{Files, Ran, oomscope, run};

const MIB: u64 = 1 << 20;

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}{}", ran.out, ran.err))
}

fn look(target: &str, more: &[&str]) -> Value {
    let ran = run(&[&["inspect", target, "-o", "json"], more].concat());
    ran.assert_code(0);
    json(&ran)
}

/// The bytes of one kind of memory.
fn part(look: &Value, name: &str) -> u64 {
    let parts = look["memory"]["parts"].as_array().unwrap();
    parts.iter().find(|part| part["name"] == name).map_or(0, |part| part["bytes"].as_u64().unwrap())
}

/// By how much something of a list grew.
fn growth(list: &Value, name: &str) -> i64 {
    let list = list.as_array().unwrap();
    list.iter().find(|change| change["name"] == name).map_or(0, |change| change["change_bytes"].as_i64().unwrap())
}

// ---- a made-up v2 machine ----

/// Every level's limit is shown, the one that is met first is told from the target's own, and each number is where it belongs.
#[test]
fn v2_levels_and_buckets() {
    let node = FakeNode::new();
    let root = ["--root", node.root()];
    for target in [&CONTAINER[..12], CONTAINER, &node.container(), "4711"] {
        let look = look(target, &root);
        assert_eq!(look["schema"], "oomscope.inspection/v1");
        assert_eq!(look["target"]["cgroup"], node.container(), "{target}");
        assert_eq!(look["target"]["identity"]["container_id"], CONTAINER);
        assert_eq!(look["levels"].as_array().unwrap().len(), 5, "container, pod, QoS, kubepods, root");
    }
    let whole = look(&CONTAINER[..12], &root);
    let own = &whole["levels"][0];
    assert_eq!(own["limits"]["max_bytes"], 384 * MIB);
    assert_eq!(own["headroom_bytes"], (384 - 303) * MIB);
    assert_eq!((own["peak_bytes"].as_u64(), &own["counters"]["local"]["oom_kill"]), (Some(310 * MIB), &1.into()));
    assert_eq!(whole["levels"][1]["headroom_bytes"], 12 * MIB, "the pod has less left");
    let parts = [
        ("anonymous", 200),
        ("tmpfs and shared memory", 60),
        ("file cache", 20),
        ("slab (reclaimable)", 4),
        ("slab (unreclaimable)", 8),
        ("kernel stacks", 1),
        ("page tables", 2),
        ("per-CPU memory", 1),
        ("other kernel memory", 4),
        ("socket buffers", 3),
    ];
    for (name, mib) in parts {
        assert_eq!(part(&whole, name), mib * MIB, "{name}");
    }
    assert_eq!(whole["memory"]["unaccounted_bytes"], 0);
    assert_eq!(whole["pressure"]["some"]["avg10_percent"], 1.5);
    assert_eq!(whole["fds"], serde_json::json!({"socket": 4}));
    assert_eq!(whole["mappings"][0]["name"], "[heap]");
    assert_eq!(
        (&whole["mappings"][0]["pss_bytes"], &whole["mappings"][0]["processes"]),
        (&(210 * MIB).into(), &2.into())
    );
    assert_eq!(whole["processes"].as_array().unwrap().len(), 2);
    assert_eq!(look("4711", &root)["processes"].as_array().unwrap().len(), 1, "a pid is that process alone");
    assert_eq!(look("0f1e2d3c", &root)["target"]["cgroup"], POD);
}

/// The pages as a person sees them, at two widths; no name acts on the terminal.
#[test]
fn v2_text() {
    let node = FakeNode::new();
    let files = Files::new();
    let saved = files.path().join("before.json").into_os_string().into_string().unwrap();
    run(&["inspect", CONTAINER, "--root", node.root(), "--save", &saved]).assert_code(0);
    let show = |name: &str, arguments: &[&str]| {
        for width in ["80", "120"] {
            let ran: Ran = oomscope(arguments).env("COLUMNS", width).output().unwrap().into();
            ran.assert_code(0);
            assert!(!ran.out.chars().any(|c| c != '\n' && acts_on_its_surroundings(c)), "{}", ran.out);
            // When it was, and on which machine, is of this run.
            let lines = ran.out.lines().map(|line| if line.starts_with("  seen ") { "  seen      …" } else { line });
            let page = lines.map(|line| format!("{line}\n")).collect::<String>();
            let longest = page.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(longest <= width.parse().unwrap(), "{page}");
            golden::compare(
                Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cli/golden/{name}.{width}.txt")),
                &page,
            );
        }
    };
    show("inspect", &["inspect", CONTAINER, "--root", node.root()]);
    show("inspect-no-pss", &["inspect", CONTAINER, "--root", node.root(), "--no-pss"]);
    // Three hundred seconds later.
    let mut earlier: Value = serde_json::from_slice(&std::fs::read(&saved).unwrap()).unwrap();
    earlier["at"]["boot_us"] = 1_000_000_000_u64.into();
    node.stat(240, 80, 10);
    node.process(4711, "app", 220, 60, 9);
    node.process(4713, "worker", 30, 60, 1);
    std::fs::remove_dir_all(Path::new(node.root()).join("proc/4712")).unwrap();
    node.write(&format!("sys/fs/cgroup{}/cgroup.procs", node.container()), "4711\n4713\n");
    let after = files.path().join("after.json").into_os_string().into_string().unwrap();
    run(&["inspect", CONTAINER, "--root", node.root(), "--save", &after]).assert_code(0);
    let mut later: Value = serde_json::from_slice(&std::fs::read(&after).unwrap()).unwrap();
    later["at"]["boot_us"] = 1_300_000_000_u64.into();
    let pair =
        [("a.json", &earlier), ("b.json", &later)].map(|(name, look)| files.write(name, look.to_string().as_bytes()));
    show("inspect-diff", &["inspect", "--compare", &pair[0], &pair[1]]);
}

/// docs/inspect.md names every field of both objects.
#[test]
fn the_page_names_every_field() {
    let node = FakeNode::new();
    let files = Files::new();
    let saved = files.path().join("a.json").into_os_string().into_string().unwrap();
    let mut objects = vec![look(CONTAINER, &["--root", node.root(), "--save", &saved])];
    node.stat(240, 80, 10);
    node.process(4711, "app", 220, 60, 9);
    node.write(&format!("sys/fs/cgroup{}/cgroup.procs", node.container()), "4711\n");
    objects.push(look(CONTAINER, &["--root", node.root(), "--since", &saved]));
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/inspect.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut missing: Vec<String> = Vec::new();
    while let Some(value) = objects.pop() {
        match value {
            Value::Array(items) => objects.extend(items),
            Value::Object(fields) => {
                for (name, value) in fields {
                    if !page.contains(&format!("`{name}`")) {
                        missing.push(name.clone());
                    }
                    // Their keys are the kernel's own words.
                    if !(name == "memory_stat" || name == "fds" && value.is_object()) {
                        objects.push(value);
                    }
                }
            }
            _ => {}
        }
    }
    assert!(missing.is_empty(), "docs/inspect.md does not name {missing:?}");
}

/// Files that are no saved looks, of another schema, or there already, are told apart, and nothing is overwritten unasked.
#[test]
fn saved_looks() {
    let node = FakeNode::new();
    let files = Files::new();
    let fails = |arguments: &[&str], why: &str| {
        let ran = run(&[&["inspect", "--root", node.root()], arguments].concat());
        ran.assert_code(2);
        assert!(ran.err.contains(why) && ran.out.is_empty(), "{why}: {}{}", ran.err, ran.out);
    };
    let log = files.write("x.log", b"[1.0] Linux version 6.1.0\n");
    let newer = files.write("newer.json", br#"{"schema":"oomscope.inspection/v9\u001b[31m"}"#);
    let short = files.write("short.json", br#"{"schema":"oomscope.inspection/v1"}"#);
    fails(&["--compare", &log, &log], "is no saved look");
    fails(&["--compare", &newer, &newer], "is of the schema oomscope.inspection/v9\\\\x1b[31m");
    fails(&["--compare", &short, &short], "missing field");
    fails(&[CONTAINER, "--since", "/nonexistent/x.json"], "No such file");
    fails(&[CONTAINER, "--save", &log], "is there already");
    run(&["inspect", "--root", node.root(), CONTAINER, "--save", &log, "--force"]).assert_code(0);
    run(&["inspect", "--compare", &log, &log]).assert_code(0);
    fails(&["nginx.service"], "nothing here is called");
    fails(&["/no/such/group"], "no cgroup");
    fails(&[], "required");
}

// ---- this machine ----

/// A shell in a scratch cgroup that does as it is told, so that what it holds is known.
struct Puppet {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Puppet {
    const LOOP: &str = "while read -r line; do eval \"$line\"; echo done; done";

    fn start(scratch: &Scratch) -> Self {
        Self::start_by(scratch, Command::new("sh").args(["-c", Self::LOOP]))
    }

    fn start_by(scratch: &Scratch, command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        scratch.add(child.id()).unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, stdin, stdout }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n", "{line}");
    }

    fn hold(&mut self, name: &str, bytes: u64) {
        self.tell(&format!("{name}=$(head -c {bytes} /dev/zero | tr '\\0' x)"));
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `None`: not possible here, and said.
#[allow(clippy::print_stderr, reason = "a test that did less must not look like one that did all")]
fn scratch() -> Option<Scratch> {
    Scratch::create(&HostRoot::default(), Bytes(256 * MIB)).map_err(|e| eprintln!("SKIPPED: {e}")).ok()
}

/// A file in /dev/shm, gone with the test.
struct ShmFile(PathBuf);

impl ShmFile {
    fn new() -> Self {
        Self(PathBuf::from(format!("/dev/shm/oomscope-inspect-{}", std::process::id())))
    }
}

impl Drop for ShmFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Memory of each kind that a real process took is found as that kind; its process, mapping and open files too; and after it took
/// more of each, what grew is ranked in the right place.
#[test]
fn real_growth() {
    let Some(scratch) = scratch() else { return };
    let files = Files::new();
    let shm = ShmFile::new();
    let mut puppet = Puppet::start(&scratch);
    puppet.hold("a", 20 * MIB);
    puppet.tell(&format!("head -c {} /dev/zero > {}", 12 * MIB, shm.0.display()));
    puppet.tell("exec 5</etc/passwd 6</etc/passwd");
    let target = scratch.kernel_path().to_str().unwrap();
    let saved = files.path().join("before.json").into_os_string().into_string().unwrap();
    let before = look(target, &["--save", &saved]);
    let anon = part(&before, "anonymous");
    assert!(anon >= 20 * MIB, "{anon}");
    let tmpfs = part(&before, "tmpfs and shared memory");
    assert!((12 * MIB..13 * MIB).contains(&tmpfs), "{tmpfs}");
    assert_eq!(before["levels"][0]["limits"]["max_bytes"], 256 * MIB);
    let [process] = before["processes"].as_array().unwrap().as_slice() else { panic!("{before}") };
    assert_eq!(process["process"]["pid"], puppet.pid());
    assert!(process["pss_bytes"].as_u64().unwrap() >= 20 * MIB);
    assert!(before["mappings"][0]["rss_bytes"].as_u64().unwrap() >= 20 * MIB, "{}", before["mappings"][0]);
    // Whoever runs the tests may have left it further open files.
    assert!(
        before["fds"]["file"].as_u64() >= Some(2) && before["fds"]["pipe"].as_u64() >= Some(2),
        "{}",
        before["fds"]
    );
    let text = run(&["inspect", target]);
    assert!(text.out.contains("are mapped by no process here"), "{}", text.out);

    puppet.hold("b", 30 * MIB);
    puppet.tell(&format!("head -c {} /dev/zero >> {}", 8 * MIB, shm.0.display()));
    puppet.tell("exec 7</etc/passwd 8</etc/passwd 9</etc/passwd");
    let diff = json(&run(&["inspect", target, "--since", &saved, "-o", "json"]));
    assert_eq!((&diff["schema"], &diff["continuity"]), (&"oomscope.inspection_diff/v1".into(), &"same".into()));
    let grew = growth(&diff["memory"], "anonymous").unsigned_abs();
    assert!((30 * MIB..45 * MIB).contains(&grew), "{grew}");
    let grew = growth(&diff["memory"], "tmpfs and shared memory").unsigned_abs();
    assert!((8 * MIB..9 * MIB).contains(&grew), "{grew}");
    let segment = &diff["segments"][0];
    assert!(["[heap]", "[anon]"].contains(&segment["name"].as_str().unwrap()), "{segment}");
    assert!(segment["change_bytes"].as_u64().unwrap() >= 30 * MIB, "{segment}");
    assert_eq!((&diff["processes"][0]["pid"], &diff["processes"][0]["fds_change"]), (&puppet.pid().into(), &3.into()));
    assert_eq!(diff["processes"][0]["segment"]["name"], segment["name"]);
    assert_eq!((&diff["fds"][0]["kind"], &diff["fds"][0]["change"]), (&"file".into(), &3.into()));
    assert!(diff["forecast"]["until_limit_us"].is_u64() && diff["elapsed_us"].is_u64(), "{diff}");
    drop(puppet);
    drop(shm);
    scratch.remove().unwrap();
}

/// Page cache counts as what can be taken back.
#[test]
fn real_cache() {
    let Some(scratch) = scratch() else { return };
    let files = Files::new();
    let mut puppet = Puppet::start(&scratch);
    puppet.tell(&format!("head -c {} /dev/zero > {}/cached", 16 * MIB, files.path().display()));
    let look = look(scratch.kernel_path().to_str().unwrap(), &[]);
    let (cache, tmpfs) = (part(&look, "file cache"), part(&look, "tmpfs and shared memory"));
    // Where the folder for temporary files is a tmpfs, that is what it is.
    assert!(cache >= 16 * MIB || tmpfs >= 16 * MIB, "{look}");
    drop(puppet);
    drop(files);
    scratch.remove().unwrap();
}

/// A process whose root holds no file at all, emptier than any distroless image, is looked into like any other.
#[test]
#[allow(clippy::print_stderr, reason = "a test that did less must not look like one that did all")]
fn no_files_in_the_container() {
    let Some(scratch) = scratch() else { return };
    let files = Files::new();
    let root = files.path().join("image");
    std::fs::create_dir(&root).unwrap();
    if !copy_with_libraries("/bin/bash", &root) {
        eprintln!("SKIPPED: no bash here to put into an image");
        return;
    }
    let mut command = Command::new("chroot");
    let mut puppet =
        Puppet::start_by(&scratch, command.arg(&root).args(["/bin/bash", "-c", Puppet::LOOP]).stderr(Stdio::null()));
    if writeln!(puppet.stdin, "echo ready").is_err() || !reads(&mut puppet, "ready") {
        eprintln!("SKIPPED: chroot is not permitted here");
        return;
    }
    assert!(reads(&mut puppet, "done"));
    std::fs::remove_dir_all(&root).unwrap();
    // Built-ins alone: there is nothing left to run.
    puppet.tell("printf -v a '%20000000s' x");
    let look = look(&puppet.pid().to_string(), &[]);
    assert_eq!(look["processes"][0]["process"]["comm"], "bash");
    assert!(look["processes"][0]["pss_bytes"].as_u64().unwrap() >= 20_000_000, "{}", look["processes"][0]);
    assert!(look["mappings"][0]["rss_bytes"].as_u64().unwrap() >= 20_000_000, "{}", look["mappings"][0]);
    assert!(look["fds"]["pipe"].as_u64() >= Some(2), "{}", look["fds"]);
    drop(puppet);
    scratch.remove().unwrap();
}

fn reads(puppet: &mut Puppet, word: &str) -> bool {
    let mut line = String::new();
    puppet.stdout.read_line(&mut line).is_ok_and(|_| line.trim_end() == word)
}

/// As `ldd` lists them.
fn copy_with_libraries(program: &str, root: &Path) -> bool {
    let Ok(listed) = Command::new("ldd").arg(program).output() else { return false };
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
    libraries.chain([program]).all(|file| {
        let copy = root.join(file.trim_start_matches('/'));
        std::fs::create_dir_all(copy.parent().unwrap()).is_ok() && std::fs::copy(file, copy).is_ok()
    })
}

/// Starts `--diff` and answers once it has looked the first time.
fn waiting(target: &str, time: &str) -> Child {
    let mut child = oomscope(&["inspect", target, "--diff", time, "-o", "json"]).spawn().unwrap();
    let mut line = String::new();
    // The rest of standard error is not read: a line or two fit into the pipe.
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("oomscope: looked once; looking again in "), "{line}");
    child
}

/// Ctrl-C ends the wait with what there is; another signal too, and is told by the exit code.
#[test]
fn interrupted_wait() {
    let Some(scratch) = scratch() else { return };
    let mut puppet = Puppet::start(&scratch);
    for (signal, code) in [(Signal::INT, 0), (Signal::TERM, 143)] {
        let child = waiting(scratch.kernel_path().to_str().unwrap(), "1h");
        puppet.hold(if code == 0 { "a" } else { "b" }, 10 * MIB);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let ran: Ran = child.wait_with_output().unwrap().into();
        ran.assert_code(code);
        assert!(growth(&json(&ran)["memory"], "anonymous") >= 9 * MIB.cast_signed(), "{}", ran.out);
    }
    drop(puppet);
    scratch.remove().unwrap();
}

/// A container that ends during the wait leaves the first look.
#[test]
fn the_target_ends() {
    let Some(scratch) = scratch() else { return };
    let puppet = Puppet::start(&scratch);
    let child = waiting(scratch.kernel_path().to_str().unwrap(), "2s");
    drop(puppet);
    scratch.remove().unwrap();
    let ran: Ran = child.wait_with_output().unwrap().into();
    ran.assert_code(1);
    assert_eq!(json(&ran)["schema"], "oomscope.inspection/v1");
}
