//! Pods of a real node (`testkit/corpus/kubernetes`), on both versions of cgroups.

use std::path::Path;

use clap::Parser as _;
use oomscope_core::formats::cgroup::Version;
use oomscope_core::kubernetes::limits_in_force::Verdict;
use oomscope_testkit::kubernetes::{Scenario, machine, path_of};

use super::*;
use crate::cli::{Cli, Verb};

const POD: &str = "/kubepods/burstable/podf0721225-100a-441c-8ab2-131bf3b904c9";

fn witnesses(paths: &[PathBuf]) -> Witnesses {
    let words = ["oomscope", "inspect", "pod", "shop/orders-0"].map(std::ffi::OsString::from).to_vec();
    let more = paths.iter().flat_map(|path| ["--kubernetes".into(), path.clone().into_os_string()]);
    match Cli::try_parse_from(words.into_iter().chain(more)).unwrap().verb {
        Verb::Inspect(args) => args.witnesses,
        other => panic!("{other:?}"),
    }
}

fn saved(scenario: &Scenario) -> Witnesses {
    witnesses(&["pod-1-running.json", "node.json"].map(|name| scenario.file(name)))
}

fn ask(root: &Path, witnesses: &Witnesses, version: Version) -> InForce {
    let root = HostRoot::at(root);
    let found = find(OsStr::new("shop/orders-0"), witnesses, &root).unwrap();
    let hierarchy = Hierarchy::of_this_machine(&root).unwrap();
    compare(&found, Path::new(&path_of(POD, version)), &root, &hierarchy).unwrap()
}

fn verdicts(answer: &InForce) -> Vec<(Step, String, Verdict)> {
    let of = |level: &oomscope_core::kubernetes::limits_in_force::LevelInForce| {
        let step = level.step.clone();
        level
            .settings
            .iter()
            .map(move |setting| (step.clone(), setting.file.clone(), setting.verdict))
            .collect::<Vec<_>>()
    };
    answer.levels.iter().flat_map(of).filter(|(_, _, verdict)| *verdict != Verdict::NotCompared).collect()
}

/// On the real node everything is as the spec wants it, but for the pause container, whose runtime may not go below its own adj.
#[test]
fn a_real_pod() {
    let scenario = Scenario::own("02-sidecar-killed");
    let machine = machine(&scenario.json("cgroup-1-running.json"), Version::V1);
    let answer = ask(machine.path(), &saved(&scenario), Version::V1);
    let container = |name: &str| Step::Container(Some(name.to_owned()));
    let (limit, adj) = (|| "memory.limit_in_bytes".to_owned(), || "oom_score_adj".to_owned());
    let mut found = verdicts(&answer);
    found.sort_by_key(|(step, file, _)| (format!("{step:?}"), file.clone()));
    assert_eq!(
        found,
        [
            (container("app"), limit(), Verdict::Same),
            (container("app"), adj(), Verdict::Same),
            (container("log-shipper"), limit(), Verdict::Same),
            (container("log-shipper"), adj(), Verdict::Same),
            (Step::Pause, adj(), Verdict::Differs),
            (Step::Pod, limit(), Verdict::Same),
            (Step::QosClass, limit(), Verdict::Same),
        ]
    );
    let (_, pause) = answer.differences().next().unwrap();
    assert!(pause.causes[0].contains("restrict_oom_score_adj"), "{pause:?}");
}

/// A limit that somebody changed behind the kubelet's back is found, and on v2 the files that v1 does not have are compared too.
#[test]
fn a_limit_that_was_changed() {
    let scenario = Scenario::own("02-sidecar-killed");
    let machine = machine(&scenario.json("cgroup-1-running.json"), Version::V2);
    let shipper = format!("{POD}/168bac9e0b73f852fd7914138c85ef82381444c8a3cf60247cf1d14bc9a7ce51");
    let file = machine.path().join("sys/fs/cgroup").join(path_of(&shipper, Version::V2).trim_start_matches('/'));
    std::fs::write(file.join("memory.max"), "62914560\n").unwrap();
    let answer = ask(machine.path(), &saved(&scenario), Version::V2);
    let mut differing: Vec<_> =
        answer.differences().map(|(level, setting)| (level.step.clone(), setting.file.as_str())).collect();
    differing.retain(|(step, _)| *step != Step::Pause);
    assert_eq!(differing, [(Step::Container(Some("log-shipper".to_owned())), "memory.max")]);
    let group = |setting: &&oomscope_core::kubernetes::limits_in_force::Setting| setting.file == "memory.oom.group";
    let groups = answer.levels.iter().filter_map(|level| level.settings.iter().find(group));
    assert_eq!(groups.filter(|setting| setting.verdict == Verdict::Same).count(), 2);
}

/// With nobody who knows the spec the uid does, and the files stand side by side with a gap.
#[test]
fn no_spec() {
    let scenario = Scenario::own("02-sidecar-killed");
    let machine = machine(&scenario.json("cgroup-1-running.json"), Version::V1);
    let root = HostRoot::at(machine.path());
    let hierarchy = Hierarchy::of_this_machine(&root).unwrap();
    let found = FoundPod {
        uid: "f0721225".to_owned(),
        name: "f0721225".to_owned(),
        names: Directory::default(),
        gaps: Vec::new(),
    };
    let answer = compare(&found, Path::new(POD), &root, &hierarchy).unwrap();
    assert_eq!(answer.gaps[0].wanted, "the pod's spec");
    assert_eq!(answer.levels.len(), 6, "three containers, the pod, its class, all pods");
    assert!(verdicts(&answer).is_empty() && answer.levels.iter().all(|level| level.settings[0].actual.is_some()));
}

/// A pod that nobody knows is refused with what was asked, and two of one name are told apart by their namespaces.
#[test]
fn names() {
    let scenario = Scenario::own("02-sidecar-killed");
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.json");
    std::fs::write(&other, r#"{"kind":"Pod","metadata":{"name":"orders-0","namespace":"blue","uid":"11111111"}}"#)
        .unwrap();
    let witnesses = witnesses(&[scenario.file("pod-1-running.json"), other]);
    let root = HostRoot::at(folder.path());
    let find = |name: &str| {
        find(OsStr::new(name), &witnesses, &root).map(|found| found.uid).map_err(|error| error.to_string())
    };
    assert_eq!(find("blue/orders-0"), Ok("11111111".to_owned()));
    assert!(find("orders-0").is_err_and(|error| error.contains("2 pods are called orders-0")));
    assert!(find("shop/nobody").is_err_and(|error| error.contains("no pod shop/nobody is known here")));
}
