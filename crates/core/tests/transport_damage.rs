//! Damaged logs, in every transport: what cannot be read is absent, never wrong; and nothing panics.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

#[allow(dead_code, reason = "each test uses its own part of it")]
mod matrix;

use std::sync::LazyLock;

use matrix::{Difference, compare, contradictions, reports};
use oomscope_testkit::corpus::kmsg_samples;
use oomscope_testkit::render::{PrintkRecord, TRANSPORTS, Transport};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

/// A recording as one transport shows it, and what it says when whole.
struct Rendered {
    what: String,
    log: Vec<u8>,
    full: Vec<Value>,
}

static SAMPLES: LazyLock<Vec<(String, Vec<PrintkRecord>)>> =
    LazyLock::new(|| kmsg_samples().into_iter().map(|(name, kmsg)| (name, PrintkRecord::all_of(&kmsg))).collect());

fn rendered(sample: Index, transport: Index) -> Rendered {
    let (name, records) = sample.get(&SAMPLES);
    let transport: &Transport = transport.get(TRANSPORTS);
    let log = (transport.render)(records);
    Rendered { what: format!("{name} {transport:?}"), full: reports(&log), log }
}

/// What is derived from how much was read, not read itself.
fn is_read(difference: &Difference) -> bool {
    !matches!(difference.field(), "rows_damaged" | "records_lost" | "only_chosen")
}

/// A value that stood at the very end may be the beginning of the true one: `pid=12` of `pid=1234`. Numbers may have been
/// printed in pages or KiB.
fn is_beginning(difference: &Difference) -> bool {
    let Difference { full, part, .. } = difference;
    match (full.as_u64(), part.as_u64()) {
        (Some(full), Some(part)) => {
            [1, 1024, 4096].iter().any(|unit| (full / unit).to_string().starts_with(&(part / unit).to_string()))
        }
        _ => text(full).starts_with(&text(part)),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn show(what: &str, differences: &[Difference]) -> String {
    let lines: Vec<String> = differences.iter().take(5).map(|d| format!("{what} {d}")).collect();
    lines.join("\n")
}

/// Lines that other writers put between the kernel's, and people.
const FOREIGN: [&str; 7] = [
    "",
    "What does this mean?",
    "Dec  7 00:05:14 host kubelet[812]: E1207 Out of memory: Killed process 1 (x)",
    "type=AVC msg=audit(1363289005.532:184): avc: denied { read } for pid=29199 comm=\"trace\"",
    "2024-01-01T00:00:00.000000+00:00 host systemd[1]: foo.service: A process of this unit has been killed by the OOM killer.",
    "--- snip ---",
    "{\"level\":\"info\",\"ts\":1700000000.1,\"msg\":\"reconciled\"}",
];

/// These show one record on one line with a prefix of its own, so that foreign lines change nothing.
const LINE_BY_LINE: [&str; 14] = [
    "kmsg",
    "console",
    "proc kmsg",
    "console with callers",
    "journalctl -o json",
    "rfc 3164",
    "rfc 5424",
    "rsyslog iso",
    "cri",
    "docker json",
    "gcp json",
    "stern",
    "grep -Hn",
    "logread -t",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default() })]

    /// The log ends after any of its lines.
    #[test]
    fn cut_after_a_line(sample: Index, transport: Index, cut: Index) {
        let Rendered { what, log, full } = rendered(sample, transport);
        let ends: Vec<usize> = log.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1).collect();
        let end = *cut.get(&ends);
        // Some break one record into several lines, so that this cut is one in the middle.
        let breaks_records = ["columns", "parts", "printable"].iter().any(|word| what.contains(word));
        let wrong = contradictions(&full, &reports(&log[..end])).into_iter();
        let wrong: Vec<_> = wrong.filter(|d| is_read(d) && !(breaks_records && is_beginning(d))).collect();
        prop_assert!(wrong.is_empty(), "cut at {end}: {}", show(&what, &wrong));
    }

    /// The log ends anywhere.
    #[test]
    fn cut_anywhere(sample: Index, transport: Index, cut: Index) {
        let Rendered { what, log, full } = rendered(sample, transport);
        let end = cut.index(log.len());
        let wrong = contradictions(&full, &reports(&log[..end]));
        let wrong: Vec<_> = wrong.into_iter().filter(|d| is_read(d) && !is_beginning(d)).collect();
        prop_assert!(wrong.is_empty(), "cut at {end}: {}", show(&what, &wrong));
    }

    /// Others write in between: nothing changes where every line has its prefix, nothing is wrong where not.
    #[test]
    fn foreign_lines(sample: Index, transport: Index, places in proptest::collection::vec((any::<Index>(), 0..FOREIGN.len()), 1..8)) {
        let line_by_line: Vec<&Transport> = TRANSPORTS.iter().filter(|t| LINE_BY_LINE.contains(&t.name)).collect();
        let (name, records) = sample.get(&SAMPLES);
        let transport = transport.get(&line_by_line);
        let log = (transport.render)(records);
        let mut lines: Vec<&[u8]> = log.split(|b| *b == b'\n').collect();
        for (place, foreign) in places {
            lines.insert(place.index(lines.len()), FOREIGN[foreign].as_bytes());
        }
        let differences = compare(&reports(&log), &reports(&lines.join(&b'\n')));
        prop_assert!(differences.is_empty(), "{}", show(&format!("{name} {transport:?}"), &differences));
    }

    /// Two reports, one behind the other, are two.
    #[test]
    fn back_to_back(first: Index, second: Index, transport: Index) {
        let ((a, first), (b, second)) = (first.get(&SAMPLES), second.get(&SAMPLES));
        let transport: &Transport = transport.get(TRANSPORTS);
        let last = first.last().unwrap();
        let begin = second.first().unwrap();
        let later = second.iter().map(|r| PrintkRecord {
            at_us: r.at_us - begin.at_us + last.at_us + 1_000_000,
            seq: r.seq - begin.seq + last.seq + 1,
            ..r.clone()
        });
        let later: Vec<PrintkRecord> = later.collect();
        let render = |records: &[PrintkRecord]| (transport.render)(records);
        let expected = [reports(&render(first)), reports(&render(&later))].concat();
        let read = reports(&[render(first), render(&later)].concat());
        let differences = compare(&expected, &read);
        prop_assert!(differences.is_empty(), "{}", show(&format!("{a}, {b} {transport:?}"), &differences));
    }

    /// Any bytes in place of any others.
    #[test]
    fn byte_soup(sample: Index, transport: Index, soup in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..200)) {
        let mut log = rendered(sample, transport).log;
        let len = log.len();
        for (place, byte) in soup {
            log[place.index(len)] = byte;
        }
        reports(&log);
    }
}
