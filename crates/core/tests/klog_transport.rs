//! Real logs through the transport stage: the same records must come out whichever way they were read.
//!
//! The corpus of real kernel reports lies beside the repository; where it is absent these tests say so and pass.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test reads files and says what it skips"
)]

use std::path::{Path, PathBuf};

use oomscope_core::formats::klog::record::Record;
use oomscope_core::formats::klog::transport::Unwrapper;

/// The shared folder, or nothing (said loudly).
fn shared(what: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(what);
    if !folder.is_dir() {
        eprintln!("SKIPPED: {} is not here", folder.display());
        return None;
    }
    Some(folder)
}

fn records(bytes: &[u8]) -> Vec<Record> {
    let mut out = Vec::new();
    let mut unwrapper = Unwrapper::new();
    let mut emit = |record| out.push(record);
    for (line, number) in bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|b| *b == b'\n').zip(1..) {
        unwrapper.push(line, number, &mut emit);
    }
    unwrapper.flush(&mut emit);
    out
}

/// Time and text of every line of every record.
fn lines(records: &[Record]) -> Vec<(u64, Vec<u8>)> {
    let mut out = Vec::new();
    for record in records {
        let time = record.when.boot_us.expect("every record has its time").0;
        out.extend(record.text.split(|b| *b == b'\n').map(|line| (time, line.to_vec())));
    }
    out
}

fn folders(root: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    out.sort();
    out.into_iter().filter(|path| path.is_dir()).collect()
}

/// Every line that the syslog interface gave is in /dev/kmsg with the same text, time and order.
#[test]
fn kmsg_and_dmesg_agree() {
    let Some(corpus) = shared("corpus/kernel") else { return };
    let mut compared = 0;
    for scenario in folders(&corpus).iter().flat_map(|kernel| folders(kernel)) {
        let read = |name: &str| std::fs::read(scenario.join(name)).ok();
        let (Some(kmsg), Some(dmesg)) = (read("kmsg.txt"), read("dmesg.txt")) else { continue };
        let (kmsg, dmesg) = (records(&kmsg), records(&dmesg));
        assert!(kmsg.iter().all(|record| record.framed && record.prefixed), "{}", scenario.display());
        assert!(dmesg.iter().all(|record| record.prefixed && !record.foreign), "{}", scenario.display());
        let (kmsg, dmesg) = (lines(&kmsg), lines(&dmesg));
        // Where a writer floods the log, the two files hold different windows of its lines.
        let kernel_only = |lines: Vec<(u64, Vec<u8>)>| -> Vec<_> {
            lines.into_iter().filter(|(_, text)| !text.starts_with(b"kubelet[812]: ")).collect()
        };
        let (kmsg, dmesg) = (kernel_only(kmsg), kernel_only(dmesg));
        // The syslog interface cuts a record, prefixes included, at about 1000 bytes; /dev/kmsg does not.
        let mut ahead = kmsg.iter();
        let lost = dmesg.iter().find(|line| !ahead.any(|other| other == *line));
        let lost = lost.map(|(time, text)| format!("{time} {}", String::from_utf8_lossy(text)));
        assert_eq!(lost, None, "{}", scenario.display());
        let records_cut = kmsg.len().saturating_sub(dmesg.len());
        assert!(records_cut < kmsg.len() / 2, "{}: {records_cut} lines are only in kmsg", scenario.display());
        compared += 1;
    }
    assert!(compared > 50, "{compared}");
}

/// `dmesg -T` of a real node gives the texts of plain dmesg, with dates.
#[test]
fn human_time_changes_no_text() {
    let Some(fixtures) = shared("fixtures/kubernetes") else { return };
    for folder in folders(&fixtures) {
        let read = |name: &str| std::fs::read(folder.join(name)).ok();
        let (Some(plain), Some(human)) = (read("dmesg.txt"), read("dmesg-T.txt")) else { continue };
        let (plain, human) = (records(&plain), records(&human));
        assert!(human.iter().all(|record| record.when.wall_local.is_some()), "{}", folder.display());
        let text = |records: &[Record]| records.iter().map(|record| record.text.clone()).collect::<Vec<_>>();
        assert_eq!(text(&plain), text(&human), "{}", folder.display());
    }
}
