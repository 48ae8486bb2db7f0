//! Page faults of processes of the tests' own.

use std::process::Child;
use std::time::{Duration, Instant};

use oomscope_sources::ebpf::{FaultConfig, FaultFilter, FaultSample, Faults};

use crate::{inode, or_skip, run_in, scratch};

const PERIOD: u64 = 16;
const MEBIBYTES: u64 = 16;

fn config(filter: FaultFilter) -> FaultConfig {
    FaultConfig { period: PERIOD, stack_bytes: 4096, rate: 100_000, filter }
}

/// Waits for a line, then touches so much memory at once, waits for another line, and ends.
fn touch() -> String {
    format!("read go; exec dd if=/dev/zero of=/dev/null bs={MEBIBYTES}M count=1 2>/dev/null")
}

fn go(child: &mut Child) {
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"go\n").unwrap();
    child.wait().unwrap();
}

fn drain(faults: &mut Faults) -> Vec<FaultSample> {
    let began = Instant::now();
    let mut samples = Vec::new();
    while faults.drain(&mut |sample| samples.push(sample)) > 0 && began.elapsed() < Duration::from_secs(20) {}
    samples
}

/// As many samples as the memory that was touched makes faults, each with the place, and none of others.
#[test]
fn of_a_process() {
    let Some(scratch) = scratch(64) else { return };
    let Some(mut faults) = or_skip(Faults::start(&config(FaultFilter::Processes(Vec::new())))) else { return };
    let mut child = run_in(&scratch, &touch());
    // Its first faults are those of a process that has not moved yet.
    let procs = scratch.folder().join("cgroup.procs");
    let began = Instant::now();
    while !std::fs::read_to_string(&procs).unwrap().lines().any(|pid| pid == child.id().to_string()) {
        assert!(began.elapsed() < Duration::from_secs(60), "it never entered its cgroup");
        std::thread::sleep(Duration::from_millis(1));
    }
    faults.add_process(child.id()).unwrap();
    go(&mut child);
    let samples = drain(&mut faults);
    let others = samples.iter().find(|sample| sample.pid != child.id() || sample.cgroup_id != Some(inode(&scratch)));
    assert_eq!(others, None, "pid {}, cgroup {}", child.id(), inode(&scratch));
    // dd fills its buffer by read(2): the kernel faults on its behalf. Other processes' faults count towards the periods too.
    let expected = MEBIBYTES * 256 / PERIOD;
    let by_dd: Vec<&FaultSample> = samples.iter().filter(|sample| sample.comm == b"dd").collect();
    let in_buffer = by_dd.windows(2).filter(|pair| pair[1].address > pair[0].address).count() as u64;
    let huge_pages = in_buffer < expected / 8;
    assert!(huge_pages || (expected / 2..expected * 2).contains(&in_buffer), "{in_buffer} of {expected}");
    let last = by_dd.last().unwrap();
    assert!(last.stack.registers.is_some() && !last.stack.copy.is_empty() && last.tls_base.is_some());
    assert!(huge_pages || last.rss_pages > MEBIBYTES * 256 / 2, "{last:?}");
}

/// A cgroup that is added while the sampler runs is sampled with what is below it; one that is taken out is not.
#[test]
fn of_a_cgroup() {
    let Some(scratch) = scratch(64) else { return };
    let Some(mut faults) = or_skip(Faults::start(&config(FaultFilter::Cgroups(Vec::new())))) else { return };
    go(&mut run_in(&scratch, &touch()));
    assert_eq!(drain(&mut faults), []);
    faults.add_cgroup(inode(&scratch)).unwrap();
    let mut child = run_in(&scratch, &touch());
    go(&mut child);
    let samples = drain(&mut faults);
    assert!(samples.iter().any(|sample| sample.pid == child.id()));
    assert!(samples.iter().all(|sample| sample.cgroup_id == Some(inode(&scratch))));
    faults.remove_cgroup(inode(&scratch));
    go(&mut run_in(&scratch, &touch()));
    assert_eq!(drain(&mut faults), []);
    assert!(faults.add_process(1).is_err(), "it is a sampler of cgroups");
}

/// What goes beyond the rate is counted, not sent.
#[test]
fn bounded() {
    let Some(scratch) = scratch(64) else { return };
    let filter = FaultFilter::Cgroups(vec![inode(&scratch)]);
    let few = FaultConfig { rate: 3, stack_bytes: 0, ..config(filter) };
    let Some(mut faults) = or_skip(Faults::start(&few)) else { return };
    go(&mut run_in(&scratch, &touch()));
    let samples = drain(&mut faults);
    assert!(!samples.is_empty() && samples.len() < 100, "{}", samples.len());
    assert!(faults.lost().over_rate > 0);
    assert!(samples.iter().all(|sample| sample.stack.copy.is_empty()));
}
