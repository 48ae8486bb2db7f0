//! Kills in cgroups of the tests' own.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use oomscope_core::units::Bytes;
use oomscope_sources::ebpf::{KernelSymbols, Killed, Kills, Part};
use oomscope_sources::host_root::HostRoot;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{GROW, inode, or_skip, run_in, scratch};

/// Longer than any record takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// One call of the watcher.
type Told = (Killed, Part);

/// Every part that comes of kills in this cgroup, until `enough`.
fn collect(kills: &mut Kills, cgroup: u64, enough: &dyn Fn(&[Told]) -> bool) -> Vec<Told> {
    let began = Instant::now();
    let mut came = Vec::new();
    while !enough(&came) && began.elapsed() < PATIENCE {
        let fd = kills.as_fd();
        poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&Timespec { tv_sec: 0, tv_nsec: 100_000_000 })).unwrap();
        kills.drain(&mut |killed, part| {
            if killed.context.victim.cgroup_id == cgroup {
                came.push((killed.clone(), part));
            }
        });
    }
    came
}

fn has(came: &[(Killed, Part)], part: Part) -> bool {
    came.iter().any(|(_, its)| *its == part)
}

/// Who, what limit, how much, and where: as the cgroup's own files and the process itself say.
#[test]
fn one_kill() {
    let (Some(mut kills), Some(scratch)) = (or_skip(Kills::start()), scratch(32)) else { return };
    let cgroup = inode(&scratch);
    let mut child = run_in(&scratch, GROW);
    let pid = child.id();
    child.wait().unwrap();
    let came = collect(&mut kills, cgroup, &|came| has(came, Part::Tasks) && has(came, Part::TriggerStack));
    assert_eq!(came.first().unwrap().1, Part::Context, "the context comes first");
    let (killed, _) = came.last().unwrap();
    let context = &killed.context;

    assert_eq!((context.trigger.pid, context.victim.pid, context.victim.tid), (pid, pid, pid));
    assert_eq!(context.victim.comm.to_string(), "tail");
    assert_eq!(context.trigger.cgroup_id, cgroup);
    assert_eq!(context.limit_cgroup_id, Some(cgroup));
    assert_ne!(context.global, Some(true));
    let innermost = context.chain.first().unwrap();
    assert_eq!((innermost.cgroup_id, innermost.limit_bytes), (cgroup, Some(Bytes(32 << 20))));
    assert!((Bytes(31 << 20)..=Bytes(32 << 20)).contains(&innermost.usage_bytes), "{innermost:?}");
    assert_eq!(innermost.peak_bytes, scratch.peak().unwrap().or(innermost.peak_bytes));
    assert!(context.chain.iter().all(|level| level.usage_bytes >= innermost.usage_bytes), "{:?}", context.chain);
    let memory = context.victim_memory;
    assert!((Bytes(24 << 20)..Bytes(33 << 20)).contains(&memory.anon_bytes.unwrap()), "{memory:?}");
    assert!(memory.total_vm_bytes.unwrap() > memory.anon_bytes.unwrap());

    assert!(context.tasks_complete);
    assert_eq!(context.tasks.iter().map(|task| task.pid).collect::<Vec<_>>(), [pid]);
    assert!(context.tasks[0].rss_bytes >= memory.anon_bytes);

    let stack = killed.trigger_stack.as_ref().unwrap();
    let registers = stack.raw.registers.unwrap();
    assert_eq!((stack.raw.pid, stack.raw.tid), (pid, pid));
    assert_eq!(stack.raw.frame_pointers.first(), Some(&registers.ip));
    assert!(!stack.raw.copy.is_empty() && registers.sp != 0 && stack.tls_base.is_some());
    if let Some(names) = or_skip(KernelSymbols::new(HostRoot::default()).name(&killed.kernel)) {
        assert!(names.iter().any(|name| name.starts_with("mem_cgroup_out_of_memory+0x")), "{names:?}");
        assert!(!names.iter().any(|name| name.starts_with("bpf_")), "{names:?}");
    }
}

/// Where another process is chosen than the one that asked, both are told apart, and each has its own stack.
#[test]
fn another_victim() {
    let (Some(mut kills), Some(scratch)) = (or_skip(Kills::start()), scratch(48)) else { return };
    let cgroup = inode(&scratch);
    // It holds half of the limit, and is the kernel's first choice.
    let hold = "echo 1000 > /proc/self/oom_score_adj; data=$(head -c 20000000 /dev/zero | tr '\\0' x); echo ${#data}; read end";
    let mut victim = run_in(&scratch, hold);
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(victim.stdout.take().unwrap()), &mut line).unwrap();
    assert_eq!(line.trim(), "20000000");
    let mut trigger = run_in(&scratch, GROW);
    let came = collect(&mut kills, cgroup, &|came| has(came, Part::VictimStack) && has(came, Part::Tasks));
    let (killed, _) = came.iter().rev().find(|(killed, _)| killed.context.victim.pid == victim.id()).unwrap();
    assert_eq!(killed.context.trigger.pid, trigger.id());
    assert_eq!(killed.context.victim.oom_score_adj, 1000);
    let tasks: HashSet<u32> = killed.context.tasks.iter().map(|task| task.pid).collect();
    assert!(tasks.is_superset(&HashSet::from([victim.id(), trigger.id()])), "{tasks:?}");
    assert_eq!(killed.trigger_stack.as_ref().map(|stack| stack.raw.pid), Some(trigger.id()));
    let stacks = came.iter().filter(|(_, part)| *part == Part::VictimStack);
    let own = stacks.filter_map(|(killed, _)| killed.victim_stack.as_ref()).find(|stack| stack.raw.pid == victim.id());
    assert!(own.unwrap().raw.registers.is_some());
    victim.wait().unwrap();
    trigger.wait().unwrap();
}

/// 25 kills a second: each is seen once by who reads; who does not read loses stacks and tasks, which is counted, and no kill.
#[test]
fn many_kills() {
    let (Some(mut kills), Some(mut unread), Some(scratch)) =
        (or_skip(Kills::start()), or_skip(Kills::start()), scratch(8))
    else {
        return;
    };
    let cgroup = inode(&scratch);
    let began = Instant::now();
    let mut children = Vec::new();
    let mut seen = Vec::new();
    let mut note = |killed: &Killed, part| {
        if part == Part::Context && killed.context.victim.cgroup_id == cgroup {
            seen.push(killed.context.victim.pid);
        }
    };
    for turn in 0..100u32 {
        children.push(run_in(&scratch, GROW));
        std::thread::sleep((Duration::from_millis(40) * (turn + 1)).saturating_sub(began.elapsed()));
        kills.drain(&mut note);
    }
    let pids: Vec<u32> = children.iter().map(std::process::Child::id).collect();
    for mut child in children {
        child.wait().unwrap();
    }
    kills.drain(&mut note);
    assert_eq!((kills.lost().kills, kills.lost().stacks, kills.lost().tasks), (0, 0, 0));
    let distinct: HashSet<u32> = seen.iter().copied().collect();
    assert_eq!(seen.len(), distinct.len(), "each once");
    assert!(pids.iter().all(|pid| distinct.contains(pid)), "{} of 100 seen", distinct.len());

    let lost = unread.lost();
    assert!(lost.kills == 0 && lost.stacks > 0 && lost.gap().is_some(), "{lost:?}");
    let mut late = HashSet::new();
    unread.drain(&mut |killed, _| {
        late.insert(killed.context.victim.pid);
    });
    assert!(pids.iter().all(|pid| late.contains(pid)), "a kill that was not read in time is not lost");
}
