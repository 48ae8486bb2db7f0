//! Deaths that the recorded cluster did not have, by hand-made objects in the API's shapes, beside hand-made logs.

use serde_json::{Value, json};

use crate::run::{Files, run};

const NODE: &str = "node-1";

fn uid(pod: u32) -> String {
    format!("{pod:08x}-1111-4222-8333-444455556666")
}

fn id(instance: char) -> String {
    instance.to_string().repeat(64)
}

fn at(minute: u32, second: u32) -> String {
    format!("2026-11-20T10:{minute:02}:{second:02}Z")
}

fn ended(instance: char, code: i32, reason: &str, finished: &str) -> Value {
    json!({"terminated": {
        "containerID": format!("containerd://{}", id(instance)), "exitCode": code, "reason": reason,
        "startedAt": at(0, 10), "finishedAt": finished,
    }})
}

/// A pod of one container `main`, whose latest instance is `current`.
fn pod(number: u32, current: char, state: Value, last: Value) -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": format!("p-{number}"), "namespace": "shop", "uid": uid(number), "resourceVersion": "7"},
        "spec": {"nodeName": NODE, "terminationGracePeriodSeconds": 30,
                 "containers": [{"name": "main", "resources": {"limits": {"memory": "64Mi"}, "requests": {"memory": "64Mi"}}}]},
        "status": {"phase": "Running", "qosClass": "Burstable", "containerStatuses": [{
            "name": "main", "containerID": format!("containerd://{}", id(current)), "restartCount": 1, "ready": false,
            "state": state, "lastState": last,
        }]},
    })
}

fn event(pod: u32, reason: &str, message: &str, last: &str) -> Value {
    json!({
        "kind": "Event", "apiVersion": "v1", "metadata": {"name": format!("p-{pod}.{reason}"), "namespace": "shop"},
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": format!("p-{pod}"), "uid": uid(pod)},
        "reason": reason, "message": message, "firstTimestamp": last, "lastTimestamp": last, "count": 1,
    })
}

fn cgroup(pod: u32, instance: char) -> String {
    let uid = uid(pod).replace('-', "_");
    format!(
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid}.slice/cri-containerd-{}.scope",
        id(instance)
    )
}

/// A report with this table, of the limit of `of`, or of the whole machine without one.
fn kill(when: &str, of: Option<&str>, task: &str, victim: (u32, &str), table: &[(u32, &str)]) -> String {
    let (pid, comm) = victim;
    let mut lines = vec![format!("{comm} invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=984")];
    lines.push(format!("CPU: 1 UID: 0 PID: {pid} Comm: {comm} Not tainted 6.8.0-45-generic #45-Ubuntu"));
    match of {
        Some(_) => lines.push("memory: usage 65536kB, limit 65536kB, failcnt 40".to_owned()),
        None => lines.push("Mem-Info:".to_owned()),
    }
    lines.push("Tasks state (memory values in pages):".to_owned());
    lines.push("[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name".to_owned());
    for (pid, name) in table {
        lines.push(format!("[{pid:>7}]     0 {pid:>5}    30000    15000    90112        0           984 {name}"));
    }
    let constraint = of.map_or_else(
        || "CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom".to_owned(),
        |of| format!("CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg={of}"),
    );
    lines.push(format!("oom-kill:constraint={constraint},task_memcg={task},task={comm},pid={pid},uid=0"));
    let whose = if of.is_some() { "Memory cgroup out" } else { "Out" };
    lines.push(format!(
        "{whose} of memory: Killed process {pid} ({comm}) total-vm:120000kB, anon-rss:60000kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:88kB oom_score_adj:984"
    ));
    let when = when.trim_end_matches('Z');
    lines.iter().map(|line| format!("{when},100000+00:00 {line}\n")).collect()
}

/// Kills of a pod `p-99` of the same node, before and after.
fn around(log: &str) -> String {
    let neighbour = |when: &str| kill(when, Some(&cgroup(99, '9')), &cgroup(99, '9'), (9, "nb"), &[(9, "nb")]);
    format!("{}{log}{}", neighbour(&at(0, 1)), neighbour(&at(59, 0)))
}

/// Killer, confidence, and the kinds of disagreements, of each case that is not the neighbour's.
fn judged(objects: &[Value], log: Option<&str>) -> Vec<(String, String, Vec<String>)> {
    let files = Files::new();
    let neighbour = pod(99, '8', json!({"running": {"startedAt": at(0, 2)}}), json!({}));
    let items: Vec<&Value> = objects.iter().chain([&neighbour]).collect();
    let objects = files.write("objects.json", json!({"kind": "List", "items": items}).to_string().as_bytes());
    let log = log.map(|log| files.write("kern.log", log.as_bytes()));
    let mut arguments = vec!["explain", "-o", "json", "--kubernetes", &objects];
    arguments.extend(log.as_deref());
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let cases = run(&arguments).cases();
    let others = cases.iter().filter(|case| case["incident"]["identity"]["pod"] != "p-99");
    let judged = |case: &Value| {
        let findings = case["diagnosis"]["findings"].as_array().unwrap();
        let kinds = findings.iter().filter_map(|finding| finding["kind"].as_str()).filter(|kind| *kind != "status");
        let diagnosis = &case["diagnosis"];
        (text(&diagnosis["killer"]), text(&diagnosis["confidence"]), kinds.map(str::to_owned).collect())
    };
    others.map(judged).collect()
}

fn one(killer: &str, confidence: &str, kinds: &[&str]) -> Vec<(String, String, Vec<String>)> {
    vec![(killer.to_owned(), confidence.to_owned(), kinds.iter().map(|kind| (*kind).to_owned()).collect())]
}

/// Where the machine ran out, the table lists everybody: its lowest pid is not the container's first process, so the kill is not a
/// child's, and there is no second case.
#[test]
fn a_kill_of_the_machine() {
    let pod = pod(1, 'b', json!({"running": {"startedAt": at(1, 1)}}), ended('a', 137, "OOMKilled", &at(1, 0)));
    let log = kill(&at(1, 0), None, &cgroup(1, 'a'), (4000, "main"), &[(1, "systemd"), (4000, "main")]);
    assert_eq!(judged(std::slice::from_ref(&pod), Some(&around(&log))), one("node", "certain", &["level_hidden"]));
    let undated: String = log
        .lines()
        .enumerate()
        .map(|(n, line)| format!("[ 1000.{n:06}] {}\n", line.split_once(' ').unwrap().1))
        .collect();
    assert_eq!(judged(&[pod], Some(&undated)), one("node", "certain", &[]));
}

/// runc's own process killed at the start: StartError and 128 are told, with the kernel's log and without it.
#[test]
fn a_container_that_could_not_start() {
    let mut last = ended('a', 128, "StartError", &at(1, 0));
    last["terminated"]["startedAt"] = json!("1970-01-01T00:00:00Z");
    last["terminated"]["message"] = json!(
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable to start \
         container process: container init was OOM-killed (memory limit too low?): unknown"
    );
    let pod = pod(2, 'a', json!({"waiting": {"reason": "CrashLoopBackOff"}}), last);
    let starter = (4000, "runc:[2:INIT]");
    let log = kill(&at(1, 0), Some(&cgroup(2, 'a')), &cgroup(2, 'a'), starter, &[starter]);
    assert_eq!(
        judged(std::slice::from_ref(&pod), Some(&around(&log))),
        one("container_limit", "certain", &["kill_at_start"])
    );
    assert_eq!(judged(&[pod], None), one("unknown", "possible", &["kill_at_start"]));
}

/// A log of one node says nothing about the pods of another.
#[test]
fn a_pod_of_another_node() {
    let mut pod = pod(3, 'b', json!({"running": {"startedAt": at(1, 1)}}), ended('a', 137, "OOMKilled", &at(1, 0)));
    pod["spec"]["nodeName"] = json!("node-2");
    assert_eq!(judged(&[pod], Some(&around(""))), one("unknown", "possible", &[]));
}

/// A probe that failed three times is one event, counted up: it stands for each of the three ends.
#[test]
fn a_probe_that_fails_again_and_again() {
    let first = pod(4, 'b', json!({"running": {"startedAt": at(2, 1)}}), ended('a', 137, "Error", &at(2, 0)));
    let mut second = pod(4, 'c', json!({"running": {"startedAt": at(7, 1)}}), ended('b', 137, "Error", &at(7, 0)));
    second["metadata"]["resourceVersion"] = json!("8");
    let mut killing = event(4, "Killing", "Container main failed liveness probe, will be restarted", &at(12, 0));
    killing["firstTimestamp"] = json!(at(1, 30));
    killing["count"] = json!(3);
    let told = judged(&[first, second, killing], Some(&around("")));
    assert_eq!(
        told,
        [one("other_sigkill", "certain", &["sigkill_not_oom"]), one("other_sigkill", "certain", &["sigkill_not_oom"])]
            .concat()
    );
}

/// Others than the kubelet send an event `Evicted` too; and the newer kubelets keep the statuses of what they evict.
#[test]
fn evictions() {
    let drained = pod(5, 'a', ended('a', 0, "Completed", &at(2, 0)), json!({}));
    assert_eq!(judged(&[drained, event(5, "Evicted", "Evicted pod: Underutilized", &at(1, 30))], None), []);
    let mut evicted = pod(6, 'a', ended('a', 137, "Error", &at(2, 0)), json!({}));
    let message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 88832Ki. Container main was using 812344Ki, \
                   request is 64Mi, has larger consumption of memory. ";
    evicted["status"]["phase"] = json!("Failed");
    evicted["status"]["reason"] = json!("Evicted");
    evicted["status"]["message"] = json!(message);
    evicted["status"]["conditions"] = json!([{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet",
                                             "message": message, "lastTransitionTime": at(1, 59)}]);
    assert_eq!(judged(&[evicted], None), one("kubelet_eviction", "certain", &["usage_stale"]));
}

/// A SIGKILL long before the shutdown of the node, or in the middle of the grace period, has another reason.
#[test]
fn an_end_before_the_kubelets() {
    let mut shut = pod(7, 'b', ended('b', 0, "Completed", &at(30, 0)), ended('a', 137, "Error", &at(2, 0)));
    shut["status"]["reason"] = json!("Terminated");
    let mut early = pod(8, 'a', ended('a', 137, "Error", &at(2, 5)), json!({}));
    early["metadata"]["deletionTimestamp"] = json!(at(2, 30));
    early["metadata"]["deletionGracePeriodSeconds"] = json!(30);
    let mut late = early.clone();
    late["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = json!(at(2, 30));
    let summary = |object: Value| {
        let files = Files::new();
        let objects = files.write("objects.json", object.to_string().as_bytes());
        run(&["explain", "-o", "json", "--kubernetes", &objects]).cases()[0]["diagnosis"]["summary"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    for stranger in [shut, early] {
        let told = summary(stranger);
        assert!(told.contains("does not call an OOM kill"), "{told}");
    }
    assert!(summary(late).contains("grace period"));
}

/// Two containers that the kubelet has lost, without an id and without a time, are two cases with ids of their own.
#[test]
fn lost_containers() {
    let lost = |name: &str| {
        json!({"name": name, "restartCount": 0, "ready": false, "lastState": {}, "state": {"terminated": {
            "exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": null, "finishedAt": null,
        }}})
    };
    let mut pod = pod(9, 'a', json!({}), json!({}));
    pod["spec"]["containers"] = json!([{"name": "main"}, {"name": "../log"}]);
    pod["status"]["containerStatuses"] = json!([lost("main"), lost("../log")]);
    let files = Files::new();
    let objects = files.write("objects.json", pod.to_string().as_bytes());
    let cases = run(&["explain", "-o", "json", "--kubernetes", &objects]).cases();
    let ids: Vec<_> = cases.iter().map(|case| case["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["end-00000009-x-main", "end-00000009-x-log"]);
}

/// A status that shows the killed instance running, though its first process was killed, is older than the kill.
#[test]
fn a_status_from_before() {
    let pod = pod(10, 'a', json!({"running": {"startedAt": at(0, 10)}}), json!({}));
    let log = kill(&at(1, 0), Some(&cgroup(10, 'a')), &cgroup(10, 'a'), (4000, "main"), &[(4000, "main")]);
    assert_eq!(judged(&[pod], Some(&around(&log))), one("container_limit", "certain", &["status_older"]));
}

/// A worker is killed, and then the first process: the end is the second kill's, and the first one's is shown nowhere.
#[test]
fn a_worker_and_then_the_first_process() {
    for second in [0, 40] {
        let pod = pod(13, 'b', json!({"running": {"startedAt": at(1, 1)}}), ended('a', 137, "OOMKilled", &at(1, 0)));
        let cgroup = cgroup(13, 'a');
        let table = [(4000, "main"), (4005, "worker")];
        let worker = kill(&at(0, 59 - second), Some(&cgroup), &cgroup, (4005, "worker"), &table);
        let first = kill(&at(1, 0), Some(&cgroup), &cgroup, (4000, "main"), &table[..1]);
        let told = judged(&[pod], Some(&around(&format!("{worker}{first}"))));
        let of_worker = one("container_limit", "certain", &["invisible_kill"]);
        assert_eq!(told, [of_worker, one("container_limit", "certain", &[])].concat(), "{second}");
    }
}

/// What is to be pasted has the shape of the manifest that it is for: a bare pod has no template.
#[test]
fn a_patch_for_its_owner() {
    for (kind, path) in
        [(None, "spec:\n  containers:"), (Some("StatefulSet"), "spec:\n  template:\n    spec:\n      containers:")]
    {
        let mut pod =
            pod(14, 'b', json!({"running": {"startedAt": at(1, 1)}}), ended('a', 137, "OOMKilled", &at(1, 0)));
        if let Some(kind) = kind {
            pod["metadata"]["ownerReferences"] = json!([{"kind": kind, "name": "db", "controller": true}]);
        }
        let log = kill(&at(1, 0), Some(&cgroup(14, 'a')), &cgroup(14, 'a'), (4000, "main"), &[(4000, "main")]);
        let files = Files::new();
        let objects = files.write("objects.json", pod.to_string().as_bytes());
        let log = files.write("kern.log", log.as_bytes());
        let page = run(&["pod", "shop/p-14", "-o", "json", "--kubernetes", &objects, "--log", &log]);
        let page: Value = serde_json::from_str(&page.out).unwrap();
        let patch = page["remedies"][0]["patch"].as_str().unwrap();
        assert!(patch.contains(path) && patch.contains("memory: 96Mi"), "{patch}");
    }
}

/// Of two pods of one name the page is of the living one.
#[test]
fn a_name_that_is_given_again() {
    let mut before = pod(11, 'a', ended('a', 137, "OOMKilled", &at(1, 0)), json!({}));
    before["status"]["phase"] = json!("Failed");
    let mut after = pod(12, 'b', json!({"running": {"startedAt": at(2, 0)}}), json!({}));
    for pod in [&mut before, &mut after] {
        pod["metadata"]["name"] = json!("db-0");
    }
    let files = Files::new();
    let objects = files.write("objects.json", json!({"kind": "List", "items": [before, after]}).to_string().as_bytes());
    let page = run(&["pod", "shop/db-0", "-o", "json", "--kubernetes", &objects]);
    let page: Value = serde_json::from_str(&page.out).unwrap();
    assert_eq!(page["identity"]["pod_uid"].as_str(), Some(uid(12).as_str()));
}
