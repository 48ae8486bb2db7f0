//! Loading the programs into this machine's kernel, often, and where it must not work.

#![expect(clippy::unwrap_used, reason = "what fails here is the test")]

use std::fs;
use std::process::Command;

use oomscope_bpf::{Failure, FaultSampler, Filter, KernelFunctions, KillWatch, Reason, Sampling};

const SAMPLING: Sampling = Sampling { period: 1 << 20, stack_kib: 4, rate: 10, filter: Filter::Processes };

fn start() -> Result<(KillWatch, FaultSampler), Vec<Failure>> {
    let watch = KillWatch::start(&KernelFunctions::default())?;
    Ok((watch, FaultSampler::start(&SAMPLING).map_err(|failure| vec![failure])?))
}

#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
fn skipped(failures: &[Failure]) {
    eprintln!("SKIPPED: {failures:?}");
}

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Loading and unloading leaves neither open files nor memory behind. `OOMSCOPE_LOADS=1000` does it that often.
#[test]
fn nothing_stays() {
    let times = std::env::var("OOMSCOPE_LOADS").ok().and_then(|times| times.parse().ok()).unwrap_or(20);
    // The first ones fill caches that stay.
    for _ in 0..5 {
        if let Err(failures) = start() {
            return skipped(&failures);
        }
    }
    let before = (open_files(), resident_kib());
    for _ in 0..times {
        start().unwrap();
    }
    let after = (open_files(), resident_kib());
    assert_eq!(after.0, before.0, "open files");
    assert!(after.1 < before.1 + 4096, "from {} to {} KiB resident", before.1, after.1);
}

/// What the other tests run as a process with less than this one has: says why the programs cannot be loaded.
#[test]
#[ignore = "run by others"]
#[expect(clippy::print_stdout, reason = "the answer")]
fn say_why() {
    match start() {
        Ok(_) => println!("WHY: it works"),
        Err(failures) => println!("WHY: {failures:?}"),
    }
}

/// `None` where the command could not be run.
fn why(command: &[&str]) -> Option<String> {
    let this = std::env::current_exe().unwrap();
    let (program, arguments) = command.split_first()?;
    let output = Command::new(program)
        .args(arguments)
        .arg(this)
        .args(["--exact", "say_why", "--ignored", "--nocapture"])
        .output();
    let output = output.ok()?;
    assert!(!String::from_utf8_lossy(&output.stderr).contains("libbpf"), "libbpf prints: {output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.lines().find_map(|line| line.split_once("WHY: "))?.1.to_owned())
}

/// Without the capabilities, it is those that are named.
#[test]
fn without_privilege() {
    if let Err(failures) = start() {
        return skipped(&failures);
    }
    let Some(why) = why(&["setpriv", "--bounding-set=-bpf,-perfmon,-sys_admin"]) else { return skipped(&[]) };
    assert!(
        why.contains(&format!("{:?}", Reason::MissingCapability("CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN)"))),
        "{why}"
    );
}

/// Where the kernel does not describe its types that is said. Hidden from this process by a mount of its own.
#[test]
fn without_btf() {
    if let Err(failures) = start() {
        return skipped(&failures);
    }
    let hidden = ["unshare", "-m", "sh", "-c", "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"", "sh"];
    let Some(why) = why(&hidden) else { return skipped(&[]) };
    assert!(why.contains("NoBtf"), "{why}");
}
