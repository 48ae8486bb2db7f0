//! Every recorded report through every transport: the same evidence must come out whichever way the log was read.
//!
//! A few recordings are the repository's own; with the shared corpus beside it, all of its scenarios are rendered too.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

#[allow(dead_code, reason = "each test uses its own part of it")]
mod matrix;

use matrix::{Difference, compare, reports};
use oomscope_testkit::corpus::{kmsg_samples, say_skipped, shared_kernel_scenarios};
use oomscope_testkit::render::{Keeps, PrintkRecord, TRANSPORTS, Transport};

/// Names of these recordings have control characters, bytes that are no UTF-8, or blanks at their edges.
const ODD_NAMES: &str = "q";
/// The ring buffer overwrote the beginning (`u`), the machine died (`x`), one report forty times (`i2`).
const LEFT_OUT: [&str; 3] = ["u", "x", "i2"];

/// Other writers' lines stand between the pieces of one message: only prefixes can tell them apart.
const INTERLEAVED: [&str; 2] = ["p", "p2"];

/// What differs between a recording and its rendering, all transports together.
fn differences(name: &str, odd_names: bool, kmsg: &[u8]) -> Vec<String> {
    let records = PrintkRecord::all_of(kmsg);
    let full = reports(kmsg);
    let mut out = Vec::new();
    let interleaved = name.rsplit('/').next().is_some_and(|scenario| INTERLEAVED.contains(&scenario));
    let unprefixed = |t: &Transport| t.name == "journalctl -o cat";
    for transport in TRANSPORTS {
        if odd_names && transport.keeps != Keeps::Records || interleaved && unprefixed(transport) {
            continue;
        }
        let rendered = (transport.render)(&records);
        let found = compare(&full, &reports(&rendered));
        out.extend(
            found.into_iter().filter(|d| carries(transport, d)).take(4).map(|d| format!("{name} {transport:?} {d}")),
        );
    }
    out
}

/// Whether the transport carries what differs.
fn carries(transport: &Transport, difference: &Difference) -> bool {
    match difference.field() {
        // Only sequence numbers tell of lost records.
        "records_lost" => matches!(transport.name, "kmsg" | "netconsole extended"),
        // The rate limit is recognised by the kernel's clock.
        "rate_limited" => transport.boot_time,
        _ => true,
    }
}

fn report(differences: &[String]) {
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

/// The repository's own recordings come out of every transport as they went in.
#[test]
fn samples_survive_every_transport() {
    let all: Vec<String> = kmsg_samples().iter().flat_map(|(name, kmsg)| differences(name, false, kmsg)).collect();
    report(&all);
}

/// So do all scenarios of the shared corpus.
#[test]
fn scenarios_survive_every_transport() {
    let Some(scenarios) = shared_kernel_scenarios() else { return say_skipped("scenarios_survive_every_transport") };
    let mut all = Vec::new();
    for scenario in scenarios.iter().filter(|s| !LEFT_OUT.contains(&s.name.as_str())) {
        if let Some(kmsg) = scenario.kmsg() {
            all.extend(differences(&scenario.id(), scenario.name == ODD_NAMES, &kmsg));
        }
    }
    report(&all);
}
