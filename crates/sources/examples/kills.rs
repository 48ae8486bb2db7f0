//! Prints each OOM kill of this machine as programs in the kernel see it, until standard input ends: `kills [mark_victim_btf|mark_victim]`.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::error::Error;
use std::time::Instant;

use oomscope_core::evidence::Hook;
use oomscope_sources::ebpf::{KernelSymbols, Killed, Kills, Part};
use oomscope_sources::host_root::HostRoot;
use rustix::event::{PollFd, PollFlags, poll};

fn main() -> Result<(), Box<dyn Error>> {
    let best = match std::env::args().nth(1).as_deref() {
        None => Hook::OomKillProcess,
        Some("mark_victim_btf") => Hook::MarkVictimBtf,
        Some("mark_victim") => Hook::MarkVictim,
        Some(other) => return Err(format!("no such hook: {other}").into()),
    };
    let began = Instant::now();
    let mut kills = Kills::start_from(best).map_err(|gap| format!("{}: {}", gap.wanted, gap.why))?;
    println!("started in {:?} with {:?}", began.elapsed(), kills.hook());
    for gap in kills.gaps() {
        println!("gap: {}: {}", gap.wanted, gap.why);
    }
    let mut symbols = KernelSymbols::new(HostRoot::default());
    let stdin = std::io::stdin();
    loop {
        let (kill_came, input_ended) = {
            let fd = kills.as_fd();
            let mut fds = [PollFd::new(&fd, PollFlags::IN), PollFd::new(&stdin, PollFlags::IN)];
            poll(&mut fds, None)?;
            (!fds[0].revents().is_empty(), !fds[1].revents().is_empty())
        };
        if kill_came {
            kills.drain(&mut |killed, part| show(killed, part, &mut symbols));
        }
        if input_ended {
            break;
        }
    }
    println!("lost: {:?}", kills.lost());
    Ok(())
}

fn show(killed: &Killed, part: Part, symbols: &mut KernelSymbols) {
    let id = killed.id.0;
    match part {
        Part::Context => {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            let late = now.tv_sec * 1_000_000_000 + now.tv_nsec - id.cast_signed();
            println!("kill {id} seen after {} µs: {:?}", late / 1000, killed.context);
        }
        Part::Tasks => {
            println!("kill {id} tasks, complete: {}", killed.context.tasks_complete);
            for task in &killed.context.tasks {
                println!("  {} {} {:?} adj {:?}", task.pid, task.comm, task.rss_bytes, task.oom_score_adj);
            }
            println!("kill {id} kernel: {:?}", symbols.name(&killed.kernel));
        }
        Part::TriggerStack => println!("kill {id} trigger: {}", stack(killed.trigger_stack.as_ref())),
        Part::VictimStack => println!("kill {id} victim: {}", stack(killed.victim_stack.as_ref())),
    }
}

fn stack(stack: Option<&oomscope_sources::ebpf::UserStack>) -> String {
    let Some(stack) = stack else { return "none".to_owned() };
    let raw = &stack.raw;
    let addresses: Vec<String> = raw.frame_pointers.iter().map(|address| format!("{address:#x}")).collect();
    let tls = stack.tls_base.unwrap_or(0);
    format!(
        "{} {} {:x?} copied {} tls {tls:#x} frames {addresses:?} files {:?}",
        raw.pid,
        raw.tid,
        raw.registers,
        raw.copy.len(),
        stack.files
    )
}
