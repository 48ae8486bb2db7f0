//! Specs against files.

use super::*;
use crate::kubernetes::KubeletConfig;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn pod(json: serde_json::Value) -> Pod {
    serde_json::from_value(json).unwrap()
}

/// One container `a` with these resources.
fn one(resources: serde_json::Value) -> Pod {
    pod(
        serde_json::json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": [{"name": "a", "resources": resources}]}}),
    )
}

fn around(kubelet: Option<&KubeletConfig>, version: Version) -> Surroundings<'_> {
    Surroundings {
        version,
        page_size: 4096,
        capacity: Some(Bytes(16 * GIB)),
        allocatable: Some(Bytes(15 * GIB)),
        swap_total: Some(Bytes(4 * GIB)),
        kubelet,
    }
}

fn at(bytes: u64) -> Option<Limit> {
    Some(Limit::At(Bytes(bytes)))
}

/// A container of v2 as the kubelet leaves it without MemoryQoS.
fn files(max: Option<Limit>) -> Limits {
    Limits {
        max_bytes: max,
        high_bytes: Some(Limit::Unlimited),
        low_bytes: at(0),
        min_bytes: at(0),
        swap_max_bytes: at(0),
        oom_group: Some(true),
        ..Limits::default()
    }
}

fn level(step: Step, limits: Limits, adj: Option<i32>) -> FoundLevel {
    let processes = adj.map(|adj| (7, Comm::from("java"), adj)).into_iter().collect();
    FoundLevel { step, cgroup: "/kubepods/burstable/podx/y".into(), limits, usage: None, processes }
}

fn container(limits: Limits, adj: Option<i32>) -> FoundLevel {
    level(Step::Container(Some("a".to_owned())), limits, adj)
}

fn compared(pod: &Pod, level: FoundLevel, kubelet: &KubeletConfig) -> Vec<(String, Option<Value>, Verdict)> {
    let answer = in_force(Some(pod), &[level], around(Some(kubelet), Version::V2));
    let settings = answer.levels.into_iter().flat_map(|level| level.settings);
    settings.map(|setting| (setting.file, setting.expected, setting.verdict)).collect()
}

fn verdict_of(found: &[(String, Option<Value>, Verdict)], file: &str) -> Verdict {
    found.iter().find(|(name, ..)| name == file).unwrap().2
}

fn config(json: serde_json::Value) -> KubeletConfig {
    KubeletConfig::from_json(json).unwrap()
}

/// 123Mi are 128974848 bytes; a limit that is no whole page is the next lower one; anything else differs.
#[test]
fn rounding() {
    let kubelet = config(serde_json::json!({}));
    let check = |limit: &str, file: u64| {
        let pod = one(serde_json::json!({"limits": {"memory": limit}}));
        verdict_of(&compared(&pod, container(files(at(file)), None), &kubelet), "memory.max")
    };
    assert_eq!(check("123Mi", 128_974_848), Verdict::Same);
    assert_eq!(check("100M", 99_999_744), Verdict::Rounded);
    assert_eq!(check("100M", 100_003_840), Verdict::Differs);
    assert_eq!(check("123Mi", 128_974_848 / 2), Verdict::Differs);
}

/// Everything as the kubelet writes it, with and without MemoryQoS.
#[test]
fn memory_qos() {
    let pod = one(serde_json::json!({"requests": {"memory": "100Mi"}, "limits": {"memory": "200Mi"}}));
    let off = config(serde_json::json!({}));
    let found = compared(&pod, container(files(at(200 * MIB)), Some(994)), &off);
    assert!(found.iter().all(|(.., verdict)| *verdict == Verdict::Same), "{found:?}");
    let on = config(serde_json::json!({"featureGates": {"MemoryQoS": true}, "memoryThrottlingFactor": 0.9}));
    let throttled = Limits { high_bytes: at(190 * MIB), min_bytes: at(100 * MIB), ..files(at(200 * MIB)) };
    let found = compared(&pod, container(throttled, Some(994)), &on);
    assert!(found.iter().all(|(.., verdict)| *verdict == Verdict::Same), "{found:?}");
    // Started before the gate was set.
    let found = compared(&pod, container(files(at(200 * MIB)), None), &on);
    assert_eq!(verdict_of(&found, "memory.high"), Verdict::Differs);
    assert_eq!(verdict_of(&found, "memory.min"), Verdict::AlsoRight);
}

/// By class, and for a burstable one by its request in thousandths of the node, never as much as BestEffort.
#[test]
fn oom_score_adj() {
    let kubelet = config(serde_json::json!({}));
    let adj = |resources| {
        let found = compared(&one(resources), container(files(None), Some(5000)), &kubelet);
        match found.iter().find(|(file, ..)| file == "oom_score_adj").unwrap().1 {
            Some(Value::Number(number)) => number.number,
            other => panic!("{other:?}"),
        }
    };
    let memory = |amount: &str| serde_json::json!({"requests": {"memory": amount}});
    assert_eq!((adj(memory("4Gi")), adj(memory("1Mi")), adj(memory("64Gi"))), (750, 999, 3));
    assert_eq!(adj(serde_json::json!({})), 1000);
    assert_eq!(adj(serde_json::json!({"limits": {"memory": "1Gi", "cpu": "1"}})), -997);
}

/// A container that runs with what its status says, not with its spec, is a resize, whatever the kubelet tells of it.
#[test]
fn resizes() {
    let resized = |status: serde_json::Value| {
        pod(serde_json::json!({
            "spec": {"containers": [{"name": "a", "resources": {"limits": {"memory": "2Gi"}}}]},
            "status": status,
        }))
    };
    let running = serde_json::json!([{"name": "a", "resources": {"limits": {"memory": "1Gi"}}}]);
    let pod = resized(serde_json::json!({
        "containerStatuses": running,
        "conditions": [{"type": "PodResizePending", "status": "True", "reason": "Deferred", "message": "not enough memory"}],
    }));
    let kubelet = config(serde_json::json!({}));
    let answer = in_force(Some(&pod), &[container(files(at(GIB)), None)], around(Some(&kubelet), Version::V2));
    let resize = answer.resize.clone().unwrap();
    assert_eq!((resize.state.as_str(), resize.reason.as_deref()), ("pending", Some("Deferred")));
    let (_, limit) = answer.differences().next().unwrap();
    assert!(
        limit.causes[0].contains("status.resources: 1Gi") && limit.causes[1].contains("not enough memory"),
        "{limit:?}"
    );
    assert_eq!(
        Resize::of(&resized(serde_json::json!({"resize": "InProgress"}))).map(|r| r.state).as_deref(),
        Some("in progress")
    );
    assert_eq!(
        Resize::of(&resized(serde_json::json!({"containerStatuses": running}))).map(|r| r.containers.len()),
        Some(1)
    );
    assert_eq!(Resize::of(&resized(serde_json::json!({}))), None);
}

/// The pod's limit is its containers' together, or none where one of them has none; all pods' is what is not reserved.
#[test]
fn levels_above() {
    let kubelet = config(serde_json::json!({"kubeReserved": {"memory": "1Gi"}, "systemReserved": {"memory": "1Gi"}}));
    let two = pod(serde_json::json!({"spec": {"containers": [
        {"name": "a", "resources": {"limits": {"memory": "100Mi"}}}, {"name": "b", "resources": {"limits": {"memory": "50Mi"}}},
    ]}}));
    let found = compared(&two, level(Step::Pod, files(at(150 * MIB)), None), &kubelet);
    assert_eq!(verdict_of(&found, "memory.max"), Verdict::Same);
    let kubepods =
        |limit| verdict_of(&compared(&two, level(Step::Kubepods, files(limit), None), &kubelet), "memory.max");
    assert_eq!(
        (kubepods(at(14 * GIB)), kubepods(at(16 * GIB)), kubepods(Some(Limit::Unlimited))),
        (Verdict::Same, Verdict::Differs, Verdict::Differs)
    );
    let one = one(serde_json::json!({}));
    let found = compared(&one, level(Step::Pod, files(Some(Limit::Unlimited)), None), &kubelet);
    assert_eq!(found[0].1, Some(Value::Amount(Limit::Unlimited)));
}

/// A negative adj that the runtime may not set, and a process that raised its own.
#[test]
fn causes_of_adj() {
    let cause = |resources, adj| {
        let pod = one(resources);
        let answer = in_force(Some(&pod), &[container(files(None), Some(adj))], around(None, Version::V1));
        let (_, setting) = answer.differences().find(|(_, setting)| setting.file == "oom_score_adj").unwrap();
        setting.causes[0].clone()
    };
    assert!(cause(serde_json::json!({"limits": {"memory": "1Gi", "cpu": "1"}}), 0).contains("restrict_oom_score_adj"));
    assert!(cause(serde_json::json!({"requests": {"memory": "8Gi"}}), 1000).contains("raised it itself"));
}

/// Without a spec the files stand alone, and that is said.
#[test]
fn nobody_knows_the_pod() {
    let answer = in_force(None, &[container(files(at(GIB)), Some(3))], around(None, Version::V2));
    assert_eq!(answer.gaps[0].wanted, "the pod's spec");
    let settings = &answer.levels[0].settings;
    assert!(
        settings.len() == 7 && settings.iter().all(|setting| setting.verdict == Verdict::NotCompared),
        "{settings:?}"
    );
    let json = serde_json::to_string(&answer).unwrap();
    assert_eq!(serde_json::from_str::<InForce>(&json).unwrap(), answer);
}
