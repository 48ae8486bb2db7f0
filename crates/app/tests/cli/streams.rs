//! Inputs that do not end, or are larger than memory may be.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::run::{ONE_KILL, dmesg, oomscope};

/// What the program may hold at any size of its input (DESIGN.md's budget).
const MOST_KIB: u64 = 32 << 10;

/// A case appears within a second of the kill line although the pipe stays open.
#[test]
fn live_pipe() {
    let mut child = oomscope(&["explain", "-o", "json", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let (found, first_line) = channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || found.send(stdout.lines().next()));
    stdin.write_all(&dmesg(ONE_KILL)).unwrap();
    stdin.flush().unwrap();
    let written = Instant::now();
    let line = first_line.recv_timeout(Duration::from_secs(10)).unwrap().unwrap().unwrap();
    let waited = written.elapsed();
    assert!(line.contains("\"pid\":188"), "{line}");
    assert!(waited < Duration::from_secs(1), "{waited:?}");
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// The most that a process has held so far, in KiB, while it waits for more input.
fn peak_kib(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Feeds the program and then one kill, reads its peak before its input ends, and expects as many cases in all.
fn assert_flat(cases: usize, feed: impl FnOnce(&mut ChildStdin)) {
    let mut child = oomscope(&["explain", "-o", "json", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    feed(&mut stdin);
    stdin.write_all(b"\n").unwrap();
    stdin.write_all(&dmesg(ONE_KILL)).unwrap();
    let peak = peak_kib(&child);
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && out.contains("\"pid\":188"), "{out}");
    assert_eq!(out.lines().count(), cases, "{out:.2000}");
    assert!(peak < MOST_KIB, "peak of {peak} KiB");
}

/// Memory is flat over 300 MB of lines.
#[test]
fn huge_input() {
    let line =
        b"[  123.456789] systemd[1]: Started Session 4711 of user root, as it does all day and all night long.\n";
    let block = line.repeat((1 << 20) / line.len());
    assert_flat(1, |stdin| (0..300).for_each(|_| stdin.write_all(&block).unwrap()));
}

/// And over one line of 200 MB, of whatever.
#[test]
fn endless_line() {
    for byte in [b'x', b' ', b'[', b'{', 0] {
        let block = vec![byte; 1 << 20];
        assert_flat(1, |stdin| (0..if byte == b'x' { 200 } else { 20 }).for_each(|_| stdin.write_all(&block).unwrap()));
    }
}

/// And over a report that does not end: a task table of a million rows, and no word on who was killed.
#[test]
fn endless_report() {
    let text = String::from_utf8(dmesg(ONE_KILL)).unwrap();
    let (head, _) = text.split_once("oom-kill:").unwrap();
    let row = "[    4.750300] [    188]     0   188     3012     2947     2769      178        0    69632        0           950 app\n";
    let rows = row.repeat(10_000);
    assert_flat(2, |stdin| {
        stdin.write_all(head.as_bytes()).unwrap();
        stdin.write_all(b"\n").unwrap();
        (0..100).for_each(|_| stdin.write_all(rows.as_bytes()).unwrap());
    });
}
