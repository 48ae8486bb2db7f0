//! The kernel's log, read as plainly as can be: what any follower of it (`dmesg -w`) has to wait for.

use anyhow::{Context as _, Result};
use oomscope_core::time::BootTime;
use oomscope_sources::clock::since_boot;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const KMSG: &str = "/dev/kmsg";
/// Larger than any record.
const RECORD: usize = 16 << 10;
/// The kernel takes at most 10 lines in 5 s from user space (`printk_devkmsg=ratelimit`).
const MARKERS: u32 = 4;
const SHORTLY: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// A record of the log.
#[derive(Debug)]
struct Record {
    /// On printk's clock.
    stamp: BootTime,
    /// When this process had it, on `CLOCK_MONOTONIC`.
    read_at: BootTime,
    text: String,
}

/// The log from now on.
struct Log {
    file: File,
    buffer: Vec<u8>,
}

impl Log {
    fn open() -> Result<Self> {
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits())?;
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(nonblocking)
            .open(KMSG)
            .with_context(|| format!("opening {KMSG}"))?;
        file.seek(SeekFrom::End(0)).context("going to the end of the log")?;
        Ok(Self { file, buffer: vec![0; RECORD] })
    }

    /// The next record; `None` when there was none for a short while.
    fn next(&mut self) -> Result<Option<Record>> {
        poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&SHORTLY)).context("waiting for the log")?;
        let length = match self.file.read(&mut self.buffer) {
            Ok(length) => length,
            // Overwritten before they were read: the next read goes on with what is left.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::BrokenPipe) => return Ok(None),
            Err(error) => return Err(error).context("reading the log"),
        };
        let read_at = since_boot();
        Ok(record(self.buffer.get(..length).unwrap_or_default(), read_at))
    }
}

/// `prio,seq,usec,flags;text`
fn record(bytes: &[u8], read_at: BootTime) -> Option<Record> {
    let line = String::from_utf8_lossy(bytes);
    let (head, text) = line.split_once(';')?;
    let stamp = head.split(',').nth(2)?.parse().ok()?;
    Some(Record { stamp: BootTime(stamp), read_at, text: text.lines().next()?.to_owned() })
}

/// By how much `CLOCK_MONOTONIC` is ahead of printk's clock, in microseconds: it lies between the two.
///
/// A line that this process writes is stamped after the write began and before it returned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ahead {
    at: BootTime,
    least: i64,
    most: i64,
}

impl Ahead {
    pub(crate) fn measure() -> Result<Self> {
        let mut log = Log::open()?;
        let mut kmsg = OpenOptions::new().write(true).open(KMSG).with_context(|| format!("opening {KMSG}"))?;
        let (mut least, mut most) = (i64::MIN, i64::MAX);
        for number in 0..MARKERS {
            let marker = format!("oomscope-bench {} looks at its clock, {number}", std::process::id());
            let before = since_boot();
            // Without its newline the kernel would keep the record open for a continuation, and readers waiting.
            kmsg.write_all(format!("<7>{marker}\n").as_bytes()).context("writing to the log")?;
            let after = since_boot();
            let stamp = stamp_of(&mut log, &marker)?;
            least = least.max(signed(before) - signed(stamp));
            most = most.min(signed(after) - signed(stamp));
        }
        Ok(Self { at: since_boot(), least, most })
    }

    fn middle(&self) -> f64 {
        (self.least as f64 + self.most as f64) / 2.0
    }

    /// How far the middle may be off.
    pub(crate) fn uncertainty_us(&self) -> f64 {
        (self.most as f64 - self.least as f64).abs() / 2.0
    }
}

fn stamp_of(log: &mut Log, marker: &str) -> Result<BootTime> {
    const LOOKS: u32 = 200;
    for _ in 0..LOOKS {
        if let Some(record) = log.next()?
            && record.text == marker
        {
            return Ok(record.stamp);
        }
    }
    anyhow::bail!("a line written to {KMSG} did not come back")
}

fn signed(time: BootTime) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

/// Two clocks that drift evenly between two looks at them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) first: Ahead,
    pub(crate) last: Ahead,
}

impl Clock {
    /// A stamp of the log as microseconds of `CLOCK_MONOTONIC`.
    pub(crate) fn monotonic_us(&self, stamp: BootTime) -> f64 {
        let stamp = stamp.0 as f64;
        let (from, to) = (self.first.at.0 as f64, self.last.at.0 as f64);
        let share = if to > from { (stamp + self.first.middle() - from) / (to - from) } else { 0.0 };
        stamp + self.first.middle() + (self.last.middle() - self.first.middle()) * share.clamp(0.0, 1.0)
    }

    pub(crate) fn uncertainty_us(&self) -> f64 {
        self.first.uncertainty_us().max(self.last.uncertainty_us())
    }
}

/// A kill line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KillLine {
    pub(crate) pid: u32,
    pub(crate) stamp: BootTime,
    pub(crate) read_at: BootTime,
}

/// Reads the log beside the program that is measured.
#[derive(Debug)]
pub(crate) struct PlainReader {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<KillLine>>>,
}

impl PlainReader {
    pub(crate) fn start() -> Result<Self> {
        let mut log = Log::open()?;
        let ends = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let mut lines = Vec::new();
            while !asked.load(Ordering::Relaxed) {
                lines.extend(log.next()?.and_then(|record| kill_line(&record)));
            }
            Ok(lines)
        });
        Ok(Self { ends, thread })
    }

    /// All kill lines of the machine since it started.
    pub(crate) fn stop(self) -> Result<Vec<KillLine>> {
        // Longer than the reader waits at a time: what has come by now is read.
        std::thread::sleep(Duration::from_millis(100));
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| anyhow::bail!("the plain reader of the log broke off"))
    }
}

fn kill_line(record: &Record) -> Option<KillLine> {
    let (_, victim) = record.text.split_once("Killed process ")?;
    let pid = victim.split(' ').next()?.parse().ok()?;
    Some(KillLine { pid, stamp: record.stamp, read_at: record.read_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kill line gives the pid and both times.
    #[test]
    fn kill_lines() {
        let bytes = b"3,1187,185574805,-;Memory cgroup out of memory: Killed process 2295 (python3) total-vm:1kB, anon-rss:1kB\n";
        let line = kill_line(&record(bytes, BootTime(185_579_000)).unwrap()).unwrap();
        assert_eq!((line.pid, line.stamp, line.read_at), (2295, BootTime(185_574_805), BootTime(185_579_000)));
        assert!(record(b" SUBSYSTEM=acpi\n", BootTime(1)).is_none());
    }

    /// Between two looks the difference goes evenly from one to the other.
    #[test]
    fn drift() {
        let look = |at, ahead: i64| Ahead { at: BootTime(at), least: ahead - 3, most: ahead + 3 };
        let clock = Clock { first: look(1_000_000, 100), last: look(2_000_000, 200) };
        assert_eq!(clock.monotonic_us(BootTime(999_900)), 1_000_000.0);
        assert_eq!(clock.monotonic_us(BootTime(1_499_900)), 1_500_050.0);
        assert_eq!(clock.uncertainty_us(), 3.0);
    }
}
