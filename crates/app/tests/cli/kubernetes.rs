//! What a real cluster said of real deaths, beside what its kernel said: the account, the disagreements, the page of a pod.

use std::path::{Path, PathBuf};

use oomscope_testkit::golden;
use serde_json::Value;

use crate::run::{Files, Ran, oomscope, run};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testkit/corpus/kubernetes")
}

fn scenario(name: &str) -> PathBuf {
    let folder = corpus().join(name);
    assert!(folder.is_dir(), "{}", folder.display());
    folder
}

/// `explain` of the logs of a scenario beside its objects. From within the corpus: how long its path is must not move a line break.
fn explain(name: &str, output: &str) -> Ran {
    let logs = ["kmsg.txt", "dmesg-T-killed-lines.txt"].map(|file| format!("{name}/{file}"));
    let logs = logs.iter().filter(|log| corpus().join(log).exists()).map(String::as_str);
    let arguments: Vec<&str> = ["explain", "-o", output, "--kubernetes", name].into_iter().chain(logs).collect();
    oomscope(&arguments).current_dir(corpus()).output().unwrap().into()
}

/// Of each case: killer, pod and container, and the kinds of its disagreements.
fn accounts(name: &str) -> Vec<(String, String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let kinds = |case: &Value| {
        let findings = case["diagnosis"]["findings"].as_array().unwrap();
        findings
            .iter()
            .filter_map(|finding| finding["kind"].as_str())
            .filter(|kind| *kind != "status")
            .map(str::to_owned)
            .collect()
    };
    let whose = |case: &Value| {
        let identity = &case["incident"]["identity"];
        format!("{}/{}:{}", text(&identity["namespace"]), text(&identity["pod"]), text(&identity["container"]))
    };
    explain(name, "json")
        .cases()
        .iter()
        .map(|case| (text(&case["diagnosis"]["killer"]), whose(case), kinds(case)))
        .collect()
}

fn told<'a>(accounts: &'a [(String, String, Vec<String>)], killer: &str, whose: &str) -> Vec<&'a [String]> {
    accounts.iter().filter(|(k, w, _)| k == killer && w == whose).map(|(_, _, kinds)| kinds.as_slice()).collect()
}

/// A page for each kind of death, read by eye.
#[test]
fn pages() {
    let is_scenario = |entry: &std::fs::DirEntry| {
        let has = |file: &str| entry.path().join(file).exists();
        has("watch-pods.jsonl") || has("node-events.json")
    };
    for entry in std::fs::read_dir(corpus()).unwrap().flatten().filter(is_scenario) {
        let name = entry.file_name().into_string().unwrap();
        let ran = explain(&name, "text");
        let page = format!("{}{}", ran.out, ran.err);
        golden::compare(
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/kubernetes/{name}.txt")),
            &page,
        );
    }
}

/// Each kill has the pod's names, and the status that forgets, hides the level, or was merged, is named.
#[test]
fn a_container_that_dies_again_and_again() {
    let accounts = accounts("01-single-container-crashloop");
    let whose = "shop/checkout-api-775874766-sgp8q:api";
    let kills = told(&accounts, "pod_limit", whose);
    assert_eq!(kills.len(), 2);
    for kinds in kills {
        assert!(
            ["level_hidden", "status_overwritten", "system_oom_event"]
                .iter()
                .all(|kind| kinds.contains(&(*kind).to_owned())),
            "{kinds:?}"
        );
    }
    // The third is not in the log: Kubernetes alone tells of it, and no limit is made up.
    assert_eq!(told(&accounts, "unknown", whose).len(), 1);
}

/// The kill that Kubernetes never shows.
#[test]
fn a_child_that_dies() {
    let accounts = accounts("03-child-killed-invisible");
    let kills = told(&accounts, "pod_limit", "batch/report-worker:worker");
    assert_eq!(kills.len(), 3);
    assert!(kills.iter().all(|kinds| kinds.contains(&"invisible_kill".to_owned())), "{kills:?}");
}

/// `OOMKilled` that was none: exit code 0, exit code 1, and a later SIGKILL of somebody else.
#[test]
fn false_oomkilled() {
    let accounts = accounts("03b-child-killed-then-other-exit");
    for (killer, pod) in [("not_oom", "import-a"), ("not_oom", "import-b"), ("other_sigkill", "import-c")] {
        let whose = format!("batch/{pod}:worker");
        assert_eq!(told(&accounts, killer, &whose), [["false_oomkilled"]], "{pod}");
        assert_eq!(told(&accounts, "pod_limit", &whose), [["false_oomkilled"]], "{pod}");
    }
}

/// 137 without any OOM kill.
#[test]
fn somebodys_sigkill() {
    assert_eq!(told(&accounts("05-sigkill-not-oom"), "other_sigkill", "edge/gateway:gateway"), [["sigkill_not_oom"]]);
}

/// The sidecar that lost nothing reads `OOMKilled`, because the pod's limit was reached by another.
#[test]
fn an_innocent_sidecar() {
    let accounts = accounts("07-tmpfs-emptydir");
    assert_eq!(told(&accounts, "not_oom", "media/thumbnailer:metrics"), [["innocent_container"]]);
    assert_eq!(told(&accounts, "pod_limit", "media/thumbnailer:thumbnailer").len(), 2);
}

/// Where only page cache fills the limit, nothing is told of that pod.
#[test]
fn page_cache_kills_nobody() {
    assert!(accounts("09-page-cache").iter().all(|(_, whose, _)| !whose.starts_with("ops/backup")));
}

/// Both evicted pods, and none of those that stayed.
#[test]
fn evictions() {
    let accounts = accounts("10-node-pressure-eviction");
    let evicted: Vec<&str> = accounts.iter().map(|(_, whose, _)| whose.as_str()).collect();
    assert_eq!(evicted, ["prod/scratch-besteffort:-", "prod/cache-burstable-over-request:-"]);
    assert!(
        accounts
            .iter()
            .all(|(killer, _, kinds)| killer == "kubelet_eviction" && kinds.contains(&"condition_late".to_owned()))
    );
}

/// Old kills told as new by a kubelet that has just started, and events of which the log has no kill.
#[test]
fn replayed_events() {
    let replayed = accounts("12-kubelet-restart-replays-systemoom")
        .iter()
        .filter(|(_, _, kinds)| kinds.contains(&"system_oom_replayed".to_owned()))
        .count();
    assert_eq!(replayed, 7);
    assert!(explain("12-kubelet-restart-replays-systemoom", "json").err.contains("3 SystemOOM events"));
}

/// The page of a pod from saved objects and a log: what happened, the back-off, a patch of its owner.
#[test]
fn the_page_of_a_pod() {
    let folder = scenario("01-single-container-crashloop");
    let (objects, log) = (folder.to_str().unwrap(), folder.join("kmsg.txt"));
    let ran = run(&[
        "pod",
        "shop/checkout-api-775874766-sgp8q",
        "--kubernetes",
        objects,
        "--label",
        "team",
        "--log",
        log.to_str().unwrap(),
    ]);
    ran.assert_code(0);
    let page: String =
        ran.out.lines().filter(|line| !line.contains("seen      ")).map(|line| format!("{line}\n")).collect();
    golden::compare(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kubernetes/pod.txt"), &page);
    let json = run(&["pod", "-n", "shop", "checkout-api-775874766-sgp8q", "--kubernetes", objects, "-o", "json"]);
    let page: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(page["schema"], "oomscope.pod/v1");
    assert_eq!(page["containers"][0]["account"]["back_off"]["until"], "2026-11-21T07:34:42Z");
}

/// A pod that nobody knows is said to be unknown, with who was asked.
#[test]
fn an_unknown_pod() {
    let ran = run(&["pod", "shop/nobody", "--kubernetes", scenario("05-sigkill-not-oom").to_str().unwrap()]);
    ran.assert_code(1);
    assert!(ran.err.contains("nobody here knows a pod shop/nobody"), "{}", ran.err);
}

/// A damaged file is named with its line, nothing else is lost, and names that act on a terminal do not.
#[test]
fn damaged_and_hostile_objects() {
    let files = Files::new();
    files.write("broken.json", b"{\"kind\": \"Pod\", \"spec\": {\"containers\": 7}}");
    let hostile = serde_json::json!({
        "kind": "Pod",
        "metadata": {"name": "a\u{1b}[31m\n; reboot", "namespace": "x\u{202e}y", "uid": "0f1e2d3c-1111-2222-3333-444455556666"},
        "spec": {"containers": [{"name": "c\u{7}"}]},
        "status": {"containerStatuses": [{"name": "c\u{7}", "restartCount": 1, "state": {"terminated":
            {"exitCode": 137, "reason": "Error\u{1b}]0;owned\u{7}", "finishedAt": "2026-11-21T07:34:22Z"}}}]}
    });
    files.write("hostile.json", hostile.to_string().as_bytes());
    let ran = run(&["explain", "--kubernetes", files.path().to_str().unwrap()]);
    assert!(ran.err.contains("broken.json"), "{}", ran.err);
    assert!(ran.out.contains("SIGKILL"), "{}", ran.out);
    let acts = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
    assert!(!ran.out.chars().any(acts) && !ran.err.chars().any(acts), "{:?}", ran.out);
}
