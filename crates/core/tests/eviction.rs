//! The kubelet's own ranking on a real node under memory pressure, replayed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic, also in its helpers")]
#![allow(clippy::disallowed_methods, reason = "the fence is for core itself: a test may read recorded files")]

use std::collections::HashMap;
use std::path::PathBuf;

use oomscope_core::kubernetes::Pod;
use oomscope_core::kubernetes::eviction::{Candidate, EvictionMessage, rank};
use oomscope_core::units::Bytes;
use serde_json::Value;

/// When the kubelet made its first ranking.
const RANKED_AT: &str = "2026-11-21T08:01:21.214";
/// Of when its figures were: cAdvisor looks every 10 s or so, and the message says 4916Ki of a pod that then held hundreds of MiB.
const SAMPLED_AT: &str = "2026-11-21T08:01:14";

fn recorded() -> Option<PathBuf> {
    let folder = oomscope_testkit::corpus::shared_root()?.join("../fixtures/kubernetes/10-node-pressure-eviction");
    folder.is_dir().then_some(folder)
}

fn pods(folder: &std::path::Path, moment: &str) -> Vec<Pod> {
    let entries = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let is_one = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with("pod-") && name.ends_with(&format!("-{moment}.json"))
    };
    entries.filter(is_one).map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()).collect()
}

/// What each pod's cgroup was charged with at the last sample before a moment, by uid.
fn usage_at(folder: &std::path::Path, moment: &str) -> HashMap<String, Bytes> {
    let text = std::fs::read_to_string(folder.join("cgroup-samples.jsonl")).unwrap();
    let samples = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut usage = HashMap::new();
    for sample in samples.filter(|sample| sample["t"].as_str().is_some_and(|t| t < moment)) {
        let path = sample["cgroup"].as_str().unwrap_or_default();
        if let (Some((_, uid)), Some(bytes)) = (path.rsplit_once("/pod"), sample["usage_in_bytes"].as_u64())
            && !uid.contains('/')
        {
            usage.insert(uid.to_owned(), Bytes(bytes));
        }
    }
    usage
}

/// The pods by name, ranked with usage as it was at a moment.
fn ranking(folder: &std::path::Path, moment: &str) -> Vec<String> {
    let (pods, usage) = (pods(folder, "1-before"), usage_at(folder, moment));
    let candidates: Vec<_> =
        pods.iter().map(|pod| Candidate { pod, working_set: usage.get(pod.cgroup_uid().unwrap()).copied() }).collect();
    rank(&candidates).into_iter().map(|ranked| ranked.pod).collect()
}

/// With the figures that the kubelet had, the order is the one that it logged; with those of the moment another pod would have gone
/// first, which had grown more since.
#[test]
fn the_kubelets_ranking() {
    let Some(folder) = recorded() else { return oomscope_testkit::corpus::say_skipped("the_kubelets_ranking") };
    let log = std::fs::read_to_string(folder.join("kubelet-eviction.log")).unwrap();
    let logged = log.lines().find_map(|line| line.split_once("pods ranked for eviction: ")).unwrap().1;
    let logged: Vec<_> = logged.split(", ").map(|pod| pod.split('_').next().unwrap()).collect();
    assert_eq!(ranking(&folder, SAMPLED_AT), logged);
    assert_eq!(ranking(&folder, RANKED_AT)[0], "cache-burstable-over-request");
}

/// The messages of the pods that were evicted are read.
#[test]
fn the_kubelets_messages() {
    let Some(folder) = recorded() else { return oomscope_testkit::corpus::say_skipped("the_kubelets_messages") };
    let evicted = pods(&folder, "2-evicted");
    let messages = evicted.iter().filter(|pod| pod.status.reason.as_deref() == Some("Evicted"));
    let read: Vec<_> =
        messages.map(|pod| EvictionMessage::parse(pod.status.message.as_deref().unwrap()).unwrap()).collect();
    assert_eq!(read.len(), 2);
    assert!(read.iter().all(EvictionMessage::is_about_memory));
    assert_eq!(read.iter().filter(|message| message.containers.len() == 1).count(), 1);
}
