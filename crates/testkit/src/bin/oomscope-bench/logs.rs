//! Makes the logs: recorded reports, told apart by their numbers, among kernel lines of other kinds.
//!
//! Everything is derived from a counter, so the same settings give the same bytes. A log that is there already is kept.

use anyhow::{Context as _, Result};
use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

const SAMPLES: [&str; 4] = [
    include_str!("../../../corpus/bench/6.12-v2-container-limit.txt"),
    include_str!("../../../corpus/bench/5.10-v1-container-limit.txt"),
    include_str!("../../../corpus/bench/6.1-v2-node.txt"),
    include_str!("../../../corpus/bench/6.18-v1-container-limit.txt"),
];

/// Reports in the log that has few.
const FEW: u64 = 10;

/// A log on disk.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) reports: u64,
}

impl Log {
    pub(crate) fn size(&self) -> String {
        match self.bytes {
            bytes if bytes >= 1 << 30 => format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30)),
            bytes => format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20)),
        }
    }
}

/// Ten reports spread over `size` bytes of other messages.
pub(crate) fn few_reports(folder: &Path, size: u64) -> Result<Log> {
    keep_or_make(folder.join(format!("few-reports-{size}.log")), FEW, |log| {
        let mut clock = Clock::default();
        let (mut written, mut reports, mut number) = (0, 0, 0);
        let mut text = String::new();
        while written < size {
            text.clear();
            // In the middle of each tenth.
            if reports < FEW && written >= size / FEW * reports + size / FEW / 2 {
                report(&mut text, &mut clock, reports);
                reports += 1;
            }
            other_message(&mut text, &mut clock, number);
            number += 1;
            log.write_all(text.as_bytes())?;
            written += text.len() as u64;
        }
        Ok(())
    })
}

/// `count` reports, one behind the other.
pub(crate) fn only_reports(folder: &Path, count: u64) -> Result<Log> {
    keep_or_make(folder.join(format!("only-reports-{count}.log")), count, |log| {
        let mut clock = Clock::default();
        let mut text = String::new();
        for number in 0..count {
            text.clear();
            report(&mut text, &mut clock, number);
            log.write_all(text.as_bytes())?;
        }
        Ok(())
    })
}

/// `size` bytes of other messages without a single newline.
pub(crate) fn one_line(folder: &Path, size: u64) -> Result<Log> {
    keep_or_make(folder.join(format!("one-line-{size}.log")), 0, |log| {
        let mut clock = Clock::default();
        let (mut written, mut number) = (0, 0);
        let mut text = String::new();
        while written < size {
            text.clear();
            other_message(&mut text, &mut clock, number);
            number += 1;
            let line = text.trim_end_matches('\n');
            log.write_all(line.as_bytes())?;
            log.write_all(b" ")?;
            written += line.len() as u64 + 1;
        }
        Ok(())
    })
}

fn keep_or_make(path: PathBuf, reports: u64, fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<Log> {
    if !path.is_file() {
        eprintln!("bench: making {}", path.display());
        // Under another name until it is whole.
        let partial = path.with_extension("partial");
        let file = std::fs::File::create(&partial).with_context(|| format!("creating {}", partial.display()))?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        fill(&mut file).and_then(|()| file.flush()).with_context(|| format!("writing {}", partial.display()))?;
        std::fs::rename(&partial, &path).with_context(|| format!("naming {}", path.display()))?;
    }
    let bytes = std::fs::metadata(&path).with_context(|| format!("looking at {}", path.display()))?.len();
    Ok(Log { path, bytes, reports })
}

/// The kernel's clock in microseconds.
#[derive(Default)]
struct Clock(u64);

impl Clock {
    fn stamp(&mut self, text: &mut String, pause_us: u64) {
        self.0 += pause_us;
        // Writing to a String cannot fail.
        let _ = write!(text, "[{:5}.{:06}] ", self.0 / 1_000_000, self.0 % 1_000_000);
    }
}

/// One recorded report with times that go on, its own victim pid and its own container ids.
fn report(text: &mut String, clock: &mut Clock, number: u64) {
    let Some(sample) = SAMPLES.get((number % SAMPLES.len() as u64) as usize) else { return };
    let victim = victim_pid(sample);
    clock.0 += 7_000_000;
    for line in sample.lines() {
        let message = line.split_once("] ").map_or(line, |(_, message)| message);
        clock.stamp(text, 23);
        renumber(text, message, victim, number);
        text.push('\n');
    }
}

fn victim_pid(sample: &str) -> &str {
    let after = sample.split_once("Killed process ").map_or("", |(_, after)| after);
    after.split(' ').next().unwrap_or_default()
}

/// Words of digits that are the victim's pid become another pid of the same width (the task table is aligned), and container
/// ids become others.
fn renumber(text: &mut String, message: &str, victim: &str, number: u64) {
    let mut rest = message;
    while !rest.is_empty() {
        let is_word = |c: char| c.is_ascii_alphanumeric();
        let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, _) = rest.split_at(length);
        if word == victim && !victim.is_empty() {
            let least = 10_u64.pow(word.len() as u32 - 1);
            let _ = write!(text, "{}", least + number * 7919 % (9 * least));
        } else if word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let _ = write!(text, "{number:016x}{}", &word[16..]);
        } else {
            text.push_str(word);
        }
        rest = &rest[length..];
        if let Some(separator) = rest.chars().next() {
            text.push(separator);
            rest = &rest[separator.len_utf8()..];
        }
    }
}

/// What a Kubernetes node's kernel says all day.
fn other_message(text: &mut String, clock: &mut Clock, number: u64) {
    // A multiplicative hash: neighbouring numbers give unlike messages.
    let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    clock.stamp(text, 900 + hash % 5000);
    let (small, pid, large) = (hash % 97, 1000 + hash % 3_000_000, hash % 1_000_000_007);
    let _ = match hash % 12 {
        0 => writeln!(text, "cni0: port {small}(veth{large:08x}) entered blocking state"),
        1 => writeln!(text, "cni0: port {small}(veth{large:08x}) entered disabled state"),
        2 => writeln!(text, "device veth{large:08x} entered promiscuous mode"),
        3 => writeln!(text, "IPv6: ADDRCONF(NETDEV_CHANGE): veth{large:08x}: link becomes ready"),
        4 => writeln!(
            text,
            "audit: type=1400 audit(17{large:08}.{small:03}:{number}): apparmor=\"DENIED\" operation=\"ptrace\" profile=\"cri-containerd.apparmor.d\" pid={pid} comm=\"ps\" requested_mask=\"read\" denied_mask=\"read\" peer=\"unconfined\""
        ),
        5 => writeln!(
            text,
            "audit: type=1326 audit(17{large:08}.{small:03}:{number}): auid=4294967295 uid=33 gid=33 ses=4294967295 pid={pid} comm=\"nginx\" exe=\"/usr/sbin/nginx\" sig=0 arch=c000003e syscall=435 compat=0 ip=0x7f{large:08x} code=0x50000"
        ),
        6 => writeln!(
            text,
            "[UFW BLOCK] IN=eth0 OUT= MAC=0a:58:0a:f4:00:{small:02x} SRC=10.244.{small}.{small} DST=10.244.0.1 LEN=60 TOS=0x00 PREC=0x00 TTL=63 ID={} DF PROTO=TCP SPT={} DPT=6443 WINDOW=64240 RES=0x00 SYN URGP=0",
            large % 65536,
            1024 + large % 64000
        ),
        7 => writeln!(text, "eth0: renamed from tmp{large:08x}"),
        8 => writeln!(
            text,
            "TCP: request_sock_TCP: Possible SYN flooding on port {}. Sending cookies.  Check SNMP counters.",
            8000 + small
        ),
        9 => writeln!(text, "IPVS: rr: TCP 10.96.{small}.10:443 - no destination available"),
        10 => writeln!(
            text,
            "overlayfs: lowerdir is in-use as upperdir/workdir of another mount, accessing files from both mounts will result in undefined behavior."
        ),
        _ => writeln!(text, "process '/usr/local/bin/worker-{small}' started with executable stack, pid {pid}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report keeps its layout, and its kill line and summary line name the same new process.
    #[test]
    fn reports_are_renumbered_consistently() {
        let mut text = String::new();
        report(&mut text, &mut Clock::default(), 4);
        let pid = victim_pid(&text);
        assert_ne!(pid, victim_pid(SAMPLES[0]));
        assert!(text.contains(&format!(",pid={pid},uid=")), "{text}");
        assert_eq!(text.lines().count(), SAMPLES[0].lines().count());
    }
}
