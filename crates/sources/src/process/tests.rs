use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use oomscope_core::evidence::Occasion;
use oomscope_core::time::BootTime;

use super::*;

/// A real process that waits, with its first answer read: from then on it has reached its main loop.
struct Waiting(Child);

impl Waiting {
    fn named(name: &[u8]) -> Self {
        use std::os::unix::ffi::OsStrExt as _;
        let mut command = Command::new("cat");
        command.arg0(std::ffi::OsStr::from_bytes(name)).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self(child)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn end(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn this_machine() -> Proc {
    Proc::new(&HostRoot::default())
}

/// Of a process that runs everything is known, with the very bytes of what it calls itself.
#[test]
fn a_process_of_this_machine() {
    let waiting = Waiting::named(b"e\xff\nil");
    let process = this_machine().read(waiting.pid()).unwrap();
    assert_eq!(process.comm.as_bytes(), b"cat");
    assert_eq!(process.cmdline.as_ref().map(Untrusted::as_bytes), Some(&b"e\xff\nil"[..]));
    assert_eq!(process.ppid, Some(std::process::id()));
    assert!(process.anon_bytes.is_some_and(|bytes| bytes.0 > 0) && process.pgtables_bytes.is_some());
    assert!(process.oom_score.is_some() && process.oom_score_adj.is_some() && process.started_ticks.is_some());
    let without = this_machine().read_without_arguments(waiting.pid()).unwrap();
    assert_eq!((without.comm, without.cmdline), (process.comm, None));
    assert_eq!(this_machine().started_ticks(waiting.pid()), process.started_ticks);
    let reading = this_machine().meter(waiting.pid()).unwrap().reading(BootTime(1)).unwrap();
    assert_eq!((reading.name, reading.point.at_us), (b"cat".to_vec(), BootTime(1)));
    assert!(this_machine().pids().unwrap().contains(&waiting.pid()));
    assert_eq!(this_machine().is_kernel_thread(waiting.pid()), Some(false));
}

/// A process that has ended is said to be gone, by every way of asking, also by a file that was open before.
#[test]
fn gone() {
    let proc = this_machine();
    let mut waiting = Waiting::named(b"cat");
    let pid = waiting.pid();
    let meter = proc.meter(pid).unwrap();
    assert!(meter.point(BootTime(7)).is_ok_and(|point| point.anon_bytes.0 > 0 && point.at_us == BootTime(7)));
    waiting.end();
    assert!(matches!(meter.point(BootTime(8)), Err(Error::Gone { pid: gone }) if gone == pid));
    assert!(matches!(proc.read(pid), Err(Error::Gone { .. })));
    assert_eq!(proc.started_ticks(pid), None);
    assert_eq!(proc.memory_cgroup(pid), None);
    let taken = proc.snapshot(pid, BootTime(9), Occasion::Kill, Depth::Full);
    assert_eq!((taken.snapshot.mappings, taken.snapshot.process.pid, taken.gaps.len()), (None, pid, 1));
}

/// A snapshot has every part, and what the parts say goes together.
#[test]
fn whole_snapshot() {
    let waiting = Waiting::named(b"cat");
    let proc = this_machine();
    let Taken { snapshot, gaps } = proc.snapshot(waiting.pid(), BootTime(1), Occasion::Request, Depth::Full);
    assert_eq!(gaps, []);
    let fds = snapshot.fds.unwrap();
    // Its input and its output, besides what this program was started with.
    assert!(fds.get("pipe").is_some_and(|pipes| *pipes >= 2), "{fds:?}");
    let mappings = snapshot.mappings.unwrap();
    let pss: u64 = mappings.iter().filter_map(|mapping| mapping.pss_bytes).map(|bytes| bytes.0).sum();
    // smaps rounds every mapping down to a KiB, smaps_rollup the sum.
    let lost = 1024 * mappings.iter().map(|mapping| mapping.count).sum::<u64>();
    let rollup = snapshot.pss_bytes.unwrap().0;
    assert!(pss <= rollup && rollup <= pss + lost + (64 << 10), "{pss} {rollup}");
    assert!(mappings.iter().any(|mapping| mapping.name.to_string() == "[stack]"));
    let hasty = proc.snapshot(waiting.pid(), BootTime(1), Occasion::Kill, Depth::Sums { mappings: 2 }).snapshot;
    let kept = hasty.mappings.unwrap();
    assert_eq!((kept.len(), kept[0].rss_bytes), (2, None));
    assert!(hasty.pss_bytes.is_some());
    let Taken { snapshot, gaps } =
        proc.snapshot(waiting.pid(), BootTime(1), Occasion::Request, Depth::Names { mappings: 2 });
    // What was not asked for is no gap.
    assert_eq!((snapshot.pss_bytes, snapshot.mappings.map(|kept| kept.len()), gaps), (None, Some(2), vec![]));
}

/// Open files that may be listed and not looked at (another user's process) are not known, and not none.
#[test]
fn refused_open_files() {
    let folder = tempfile::tempdir().unwrap();
    let fds = folder.path().join("proc/42/fd");
    std::fs::create_dir_all(&fds).unwrap();
    let snapshot = || {
        let proc = Proc::new(&HostRoot::at(folder.path()));
        proc.snapshot(42, BootTime(1), Occasion::Request, Depth::Names { mappings: 2 }).snapshot
    };
    assert_eq!(snapshot().fds.map(|fds| fds.len()), Some(0));
    // No link: to read it is refused.
    std::fs::write(fds.join("0"), "").unwrap();
    assert_eq!(snapshot().fds, None);
}

/// The program file of a process can still be read after the process has ended.
#[test]
fn handles_outlive_the_process() {
    let mut waiting = Waiting::named(b"cat");
    let handles = this_machine().handles(waiting.pid());
    waiting.end();
    let Some(exe) = handles.exe() else { panic!("no handle") };
    assert!(handles.root().is_some() && handles.exe_path().is_some());
    let program = std::fs::read(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&exe))).unwrap();
    assert!(program.starts_with(b"\x7fELF"));
}

/// A made-up /proc with one damaged process: what can be read is, and a file that is missing is not zero.
#[test]
fn damaged() {
    let folder = tempfile::tempdir().unwrap();
    let of_process = folder.path().join("proc/42");
    std::fs::create_dir_all(&of_process).unwrap();
    std::fs::create_dir_all(folder.path().join("proc/self")).unwrap();
    let proc = Proc::new(&HostRoot::at(folder.path()));
    assert!(matches!(proc.read(42), Err(Error::Gone { pid: 42 })));
    std::fs::write(of_process.join("stat"), b"42 (a b) S 1 1 1").unwrap();
    std::fs::write(of_process.join("cmdline"), vec![b'x'; 100_000]).unwrap();
    let process = proc.read(42).unwrap();
    assert_eq!((process.comm.as_bytes(), process.ppid, process.anon_bytes), (&b"a b"[..], Some(1), None));
    assert_eq!(process.cmdline.unwrap().as_bytes().len(), MAX_CMDLINE);
    assert_eq!(proc.pids().unwrap(), [42]);
    assert_eq!(proc.has_init_of_machine(), None);
}

/// A real-time thread is one, or the reason is said; other threads stay as they are.
#[test]
fn real_time_thread() {
    let policy = |what: &str| {
        let text = std::fs::read_to_string(format!("/proc/{what}/stat")).unwrap();
        // Field 41 (proc_pid_stat(5)); 1 is SCHED_FIFO.
        text.rsplit(')').next().unwrap().split_whitespace().nth(41 - 3).unwrap().to_owned()
    };
    let became = std::thread::spawn(move || real_time(1).map(|()| policy("thread-self"))).join().unwrap();
    match became {
        Ok(policy) => assert_eq!(policy, "1"),
        Err(gap) => assert!(gap.why.contains("not permitted"), "{gap:?}"),
    }
    let own = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    assert_eq!(own.rsplit(')').next().unwrap().split_whitespace().nth(41 - 3), Some("0"));
}
