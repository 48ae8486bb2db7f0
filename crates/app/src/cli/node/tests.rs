//! Machines with the cgroups of a real node (`testkit/corpus/kubernetes`), on both versions.

use std::path::Path;

use clap::Parser as _;
use oomscope_core::formats::cgroup::Version;
use oomscope_core::ledger::Part;
use oomscope_core::report::TextOptions;
use oomscope_testkit::golden;
use oomscope_testkit::kubernetes::{Scenario, machine};

use super::*;
use crate::cli::{Cli, Verb};

fn args(root: &Path, more: &[&Path]) -> Args {
    let words = ["oomscope".as_ref(), "node".as_ref(), "--root".as_ref(), root.as_os_str()];
    let more = more.iter().flat_map(|path| ["--kubernetes".as_ref(), path.as_os_str()]);
    match Cli::try_parse_from(words.into_iter().chain(more)).unwrap().verb {
        Verb::Node(args) => args,
        other => panic!("{other:?}"),
    }
}

fn ledger(scenario: &Scenario, version: Version) -> Ledger {
    let machine = machine(&scenario.json("cgroup-1-running.json"), version);
    let saved = [scenario.file("pod-1-running.json"), scenario.file("node.json"), scenario.file("configz.json")];
    let saved: Vec<_> = saved.iter().map(std::path::PathBuf::as_path).collect();
    let args = args(machine.path(), &saved);
    look(&HostRoot::at(machine.path()), &args.witnesses, 10).unwrap()
}

/// The whole page for a real node's cgroups, and a sum that is exact on every level.
#[test]
fn a_real_node() {
    let scenario = Scenario::own("02-sidecar-killed");
    for (version, name) in [(Version::V1, "v1"), (Version::V2, "v2")] {
        let ledger = ledger(&scenario, version);
        let sum: i64 = ledger.parts.iter().map(|part| part.bytes).sum();
        assert_eq!(sum, 24_684_092 * 1024, "{name}");
        assert!(ledger.parts.iter().all(Part::adds_up), "{name}");
        let options = TextOptions { unicode: true, ..TextOptions::default() };
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cli/golden/node-{name}.80.txt"));
        golden::compare(golden, &report::render(&ledger, 10, &options));
    }
}

/// As JSON: the names that others rely on, and read back as it was.
#[test]
fn as_json() {
    let ledger = ledger(&Scenario::own("02-sidecar-killed"), Version::V2);
    let line = json::ledger(&ledger).unwrap();
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    for key in
        ["schema", "at", "node", "total_bytes", "reservation", "pressure", "eviction_order", "kill_order", "gaps"]
    {
        assert!(!value[key].is_null(), "{key}");
    }
    let parts: Vec<_> = value["parts"].as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect();
    assert_eq!(parts[0], "kubepods");
    assert_eq!(serde_json::from_str::<Ledger>(&line).unwrap(), ledger);
}

/// Without Kubernetes there is an account too, and it says what is not there.
#[test]
fn no_kubernetes() {
    let machine = machine(&serde_json::json!([]), Version::V2);
    let args = args(machine.path(), &[]);
    let ledger = look(&HostRoot::at(machine.path()), &args.witnesses, 10).unwrap();
    assert!(ledger.part("kubepods").is_none());
    assert!(ledger.gaps.iter().any(|gap| gap.wanted == "kubepods"), "{:?}", ledger.gaps);
    assert_eq!(ledger.parts.iter().map(|part| part.bytes).sum::<i64>(), 24_684_092 * 1024);
}

/// This machine, whatever it is, as it is: the sum is exact.
#[test]
fn this_machine() {
    let args = args(Path::new("/"), &[]);
    let ledger = look(&HostRoot::at("/"), &args.witnesses, 10).unwrap();
    assert_eq!(ledger.parts.iter().map(|part| part.bytes).sum::<i64>(), i64::try_from(ledger.total_bytes.0).unwrap());
    assert!(ledger.parts.iter().all(Part::adds_up));
}
