//! Samples page faults of some processes, or of the machine, until standard input ends: `faults PERIOD STACK_BYTES [PID…]`.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::error::Error;
use std::io::Read as _;

use oomscope_sources::ebpf::{FaultConfig, FaultFilter, Faults};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<u32> = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<_, _>>()?;
    let [period, stack_bytes, pids @ ..] = numbers.as_slice() else {
        return Err("faults PERIOD STACK_BYTES [PID…]".into());
    };
    let filter = if pids.is_empty() { FaultFilter::All } else { FaultFilter::Processes(pids.to_vec()) };
    let config = FaultConfig { period: u64::from(*period), stack_bytes: *stack_bytes, rate: 1000, filter };
    let mut faults = Faults::start(&config).map_err(|gap| format!("{}: {}", gap.wanted, gap.why))?;
    println!("started");
    let mut stdin = std::io::stdin();
    let (mut samples, mut copied, mut last) = (0u64, 0, None);
    loop {
        let ended = {
            let fd = faults.as_fd();
            let mut fds = [PollFd::new(&fd, PollFlags::IN), PollFd::new(&stdin, PollFlags::IN)];
            poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 200_000_000 }))?;
            !fds[1].revents().is_empty() && stdin.read(&mut [0; 64])? == 0
        };
        while faults.drain(&mut |sample| {
            samples += 1;
            copied += sample.stack.copy.len();
            last = Some(sample);
        }) > 0
        {}
        if ended {
            break;
        }
    }
    println!("{samples} samples, {copied} bytes of stacks, {:?}", faults.lost());
    if let Some(sample) = last {
        let comm = String::from_utf8_lossy(&sample.comm).into_owned();
        println!(
            "last: {comm:?} at {:#x}, {} pages resident, {:x?}",
            sample.address, sample.rss_pages, sample.stack.registers
        );
    }
    Ok(())
}
