//! The watcher, on real kills in a real cgroup.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use oomscope_sources::cgroup::Scratch;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::holder::{Holder, scratch};
use super::run::{Files, oomscope, run};

const MIB: u64 = 1 << 20;
/// For what takes milliseconds on a machine with nothing else to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running watcher.
struct Watch {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

/// The lines of a stream as they come.
pub(crate) fn lines(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (to, lines) = channel();
    std::thread::spawn(move || BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| to.send(line)));
    lines
}

fn watching(scratch: &Scratch, more: &[&str]) -> Command {
    oomscope(&[&["watch", "--cgroup", scratch.folder().to_str().unwrap()], more].concat())
}

impl Watch {
    /// Watches one cgroup, and is ready when this returns.
    fn start(scratch: &Scratch, more: &[&str]) -> Self {
        Self::of(watching(scratch, more))
    }

    fn of(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let out = child.stdout.take().map_or_else(|| channel().1, lines);
        let err = lines(child.stderr.take().unwrap());
        let watch = Self { child, out, err };
        while !watch.err.recv_timeout(PATIENCE).unwrap().contains("watching 1 memory cgroup") {}
        watch
    }

    /// The next case that is told for the first time.
    fn case(&self) -> Value {
        loop {
            let line = self.out.recv_timeout(PATIENCE).unwrap();
            let case: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
            if case["revision"] == 1 {
                return case;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it as a service manager does, and answers what it still had to say.
    fn end(mut self) -> Vec<Value> {
        self.signal(Signal::TERM);
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{status}: {:?}", self.err.iter().collect::<Vec<_>>());
        self.out.iter().map(|line| serde_json::from_str(&line).unwrap()).collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that starts, holds some memory, and grows until it is killed; the case of that. The kernel prints ten reports in 5 s,
/// whoever else causes them: where only a line was printed of this one, another one is caused after that.
fn a_kill_with_its_report(watch: &Watch, scratch: &Scratch) -> (u32, Value) {
    for _ in 0..10 {
        let mut holder = Holder::start(scratch);
        holder.hold(4);
        let pid = holder.grow_until_killed();
        let case = watch.case();
        if case["incident"]["kills"][0]["extent"]["header"] == true {
            return (pid, case);
        }
        std::thread::sleep(Duration::from_secs(6));
    }
    panic!("the kernel printed no report");
}

fn victim(case: &Value) -> u64 {
    case["incident"]["kills"][0]["victims"][0]["pid"].as_u64().unwrap_or_else(|| panic!("no victim: {case}"))
}

/// Columns of the recording of the cgroup whose limit was reached.
fn column(case: &Value, name: &str) -> Vec<Option<u64>> {
    let rows = &case["incident"]["timeline"]["cgroups"][0]["rows"];
    rows[name].as_array().map(|column| column.iter().map(Value::as_u64).collect()).unwrap_or_default()
}

/// A kill is told with its recording and its counters, is kept, and has the id that the log alone gives it.
#[test]
fn a_kill_is_told_and_kept() {
    let Some(scratch) = scratch(24) else { return };
    let files = Files::new();
    let store = files.path().join("i.db").into_os_string().into_string().unwrap();
    let watch = Watch::start(&scratch, &["-o", "json", "--store", &store]);
    let (pid, case) = a_kill_with_its_report(&watch, &scratch);
    assert_eq!(victim(&case), u64::from(pid));
    assert_eq!(case["diagnosis"]["killer"], "cgroup_limit");
    assert_eq!(case["diagnosis"]["confidence"], "certain", "{case}");
    assert_eq!(case["incident"]["origin"]["source"], "live");
    let limit_cgroup = case["incident"]["kills"][0]["limit_cgroup"].as_str().unwrap();
    assert!(scratch.folder().to_str().unwrap().ends_with(limit_cgroup), "{limit_cgroup}");
    let highest = column(&case, "peak_bytes").into_iter().chain(column(&case, "current_bytes")).flatten().max();
    assert!(highest.is_some_and(|bytes| bytes > 23 * MIB && bytes <= 24 * MIB), "{highest:?}");
    let counters = &case["incident"]["counters"][0];
    let kills = |when: &str| counters[when]["local"]["oom_kill"].as_u64().unwrap();
    assert_eq!(kills("after"), kills("before") + 1, "{counters}");
    let processes = case["incident"]["timeline"]["processes"].as_array().unwrap();
    assert!(processes.iter().any(|process| process["pid"] == pid), "{processes:?}");
    watch.end();

    let kept = run(&["incidents", "--store", &store, "-o", "json"]).cases();
    let id = case["id"].as_str().unwrap();
    assert!(kept.iter().any(|kept| kept["id"] == id && kept["incident"]["timeline"].is_object()));
    let by_log = run(&["explain", "--victim", &pid.to_string(), "-o", "json"]).cases();
    assert_eq!(by_log.first().map(|case| &case["id"]), Some(&case["id"]));
    scratch.remove().unwrap();
}

/// Twenty-five kills, as fast as they can be made, of most of which the kernel prints one line: each is a case, once.
#[test]
fn many_at_once() {
    let Some(scratch) = scratch(8) else { return };
    let watch = Watch::start(&scratch, &["-o", "json", "--no-store"]);
    let killed: Vec<u64> = (0..25).map(|_| Holder::start(&scratch).grow_until_killed().into()).collect();
    let mut told: BTreeMap<u64, u64> = BTreeMap::new();
    while told.len() < killed.len() {
        *told.entry(victim(&watch.case())).or_default() += 1;
    }
    for case in watch.end().iter().filter(|case| case["revision"] == 1) {
        *told.entry(victim(case)).or_default() += 1;
    }
    assert_eq!(told, killed.iter().map(|pid| (*pid, 1)).collect());
    scratch.remove().unwrap();
}

/// A watcher that is killed loses nothing that it has told, and the next one finds in the kernel's log what happened meanwhile.
#[test]
fn killed_in_the_middle() {
    let Some(scratch) = scratch(8) else { return };
    let files = Files::new();
    let store = files.path().join("i.db").into_os_string().into_string().unwrap();
    let mut watch = Watch::start(&scratch, &["-o", "json", "--store", &store]);
    let watched = Holder::start(&scratch).grow_until_killed();
    let seen = watch.case();
    // It is on disk within 100 ms of the kill; the case is printed first.
    std::thread::sleep(Duration::from_millis(100));
    watch.signal(Signal::KILL);
    assert_eq!(watch.child.wait().unwrap().signal(), Some(9));
    let unwatched = Holder::start(&scratch).grow_until_killed();
    Watch::start(&scratch, &["-o", "json", "--store", &store]).end();

    let kept = run(&["incidents", "--store", &store, "-o", "json"]).cases();
    let of = |pid: u32| kept.iter().filter(|case| victim(case) == u64::from(pid)).collect::<Vec<_>>();
    assert_eq!((of(watched).len(), of(unwatched).len()), (1, 1));
    assert_eq!(of(watched)[0]["id"], seen["id"]);
    assert!(of(watched)[0]["incident"]["timeline"].is_object());
    assert!(of(unwatched)[0]["incident"]["timeline"].is_null(), "nobody recorded it");
    scratch.remove().unwrap();
}

/// A spike that lies between two readings is recorded with its exact height.
#[test]
fn a_spike_between_two_readings() {
    let Some(scratch) = scratch(48) else { return };
    let quiet = ["-o", "json", "--no-store", "--interval", "2s", "--finest", "2s"];
    let watch = Watch::start(&scratch, &quiet);
    let mut spike = Holder::start(&scratch);
    spike.hold(30);
    let truth = scratch.peak().unwrap();
    drop(spike);
    // Some readings later, so that the spike and the kill have different ones.
    std::thread::sleep(Duration::from_secs(5));
    Holder::start(&scratch).grow_until_killed();
    let case = watch.case();
    if truth.is_none() {
        return;
    }
    let peaks: Vec<u64> = column(&case, "peak_bytes").into_iter().flatten().collect();
    let spikes = peaks.iter().filter(|peak| (30 * MIB..40 * MIB).contains(peak)).count();
    assert!(spikes > 0, "{peaks:?}");
    watch.end();
    scratch.remove().unwrap();
}

/// It ends when it is told to: by time, by number, by a signal; and says what it watches.
#[test]
fn ending() {
    let Some(scratch) = scratch(8) else { return };
    let folder = scratch.folder().to_str().unwrap();
    let ran = run(&["watch", "--cgroup", folder, "--no-store", "--for", "200ms"]);
    ran.assert_code(0);
    assert!(ran.err.contains("watching 1 memory cgroup") && ran.out.is_empty(), "{}{}", ran.out, ran.err);

    let mut watch = Watch::start(&scratch, &["--no-store", "--count", "1"]);
    Holder::start(&scratch).grow_until_killed();
    assert_eq!(watch.child.wait().unwrap().code(), Some(0));
    let text: Vec<String> = watch.out.iter().collect();
    assert!(text.iter().any(|line| line.contains("OOM KILL")), "{text:?}");

    for signal in [Signal::INT, Signal::TERM] {
        let mut watch = Watch::start(&scratch, &["--no-store"]);
        watch.signal(signal);
        assert_eq!(watch.child.wait().unwrap().code(), Some(0));
    }
    scratch.remove().unwrap();
}

/// It ends when it is told to although nobody reads what it prints, and has stored what it could not print.
#[test]
fn ending_unread() {
    let Some(scratch) = scratch(8) else { return };
    let files = Files::new();
    let store = files.path().join("i.db").into_os_string().into_string().unwrap();
    let (unread, mut full) = std::io::pipe().unwrap();
    let mut command = watching(&scratch, &["-o", "json", "--store", &store]);
    command.stdout(full.try_clone().unwrap());
    let filling = std::thread::spawn(move || drop(full.write_all(&[0; 8 << 20])));
    let mut watch = Watch::of(command);
    let killed = u64::from(Holder::start(&scratch).grow_until_killed());
    let deadline = Instant::now() + PATIENCE;
    let is_stored = || run(&["incidents", "--store", &store, "-o", "json"]).cases().iter().any(|c| victim(c) == killed);
    while !is_stored() {
        assert!(Instant::now() < deadline, "not stored");
        std::thread::sleep(Duration::from_millis(50));
    }
    watch.signal(Signal::TERM);
    let status = loop {
        if let Some(status) = watch.child.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(status.code(), Some(0), "{status}");
    drop(unread);
    filling.join().unwrap();
    scratch.remove().unwrap();
}

/// What cannot be watched is said, with where it was looked for; a store that cannot be opened does not keep it from watching.
#[test]
fn errors() {
    let ran = run(&["watch", "--cgroup", "/no/such/cgroup", "--no-store"]);
    ran.assert_code(2);
    assert!(ran.err.contains("there is no memory cgroup /no/such/cgroup"), "{}", ran.err);
    let ran = run(&["watch", "--interval", "1s", "--finest", "2s", "--no-store"]);
    ran.assert_code(2);
    assert!(ran.err.contains("--finest"), "{}", ran.err);
    let Some(scratch) = scratch(8) else { return };
    let folder = scratch.folder().to_str().unwrap();
    let ran = run(&["watch", "--cgroup", folder, "--store", "/proc/nowhere/i.db", "--for", "100ms"]);
    ran.assert_code(0);
    assert!(ran.err.contains("printed and not kept") && ran.err.contains("/proc/nowhere"), "{}", ran.err);
    scratch.remove().unwrap();
}
