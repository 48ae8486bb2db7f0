//! The audit of manifests, of a node and of a cluster.

use std::path::{Path, PathBuf};

use oomscope_testkit::golden;
use oomscope_testkit::kubernetes::{FakeCluster, Misbehaviour, Scenario, Who};
use serde_json::{Value, json};

use super::fake_node::FakeNode;
use super::run::{Files, Ran, oomscope, run, run_with_input};

fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testkit/corpus/manifests")
}

fn manifest(name: &str) -> String {
    manifests().join(name).into_os_string().into_string().unwrap()
}

/// `audit` with a store that is not there, so that what this machine has seen has no part in it.
fn audit(arguments: &[&str]) -> Ran {
    run(&[&["audit", "--store", "/nowhere/incidents.db"], arguments].concat())
}

/// The findings of `-o json` as `rule target`, and the summary.
fn findings(ran: &Ran) -> (Vec<String>, Value) {
    let mut lines = ran.cases();
    let summary = lines.pop().unwrap();
    assert_eq!(summary["type"], "summary", "{summary}");
    let rule =
        |line: &Value| format!("{} {}", line["rule"].as_str().unwrap(), line["target"]["name"].as_str().unwrap());
    (lines.iter().map(rule).collect(), summary)
}

/// The whole page over manifests with one risk each, as a person reads it.
#[test]
fn page() {
    let mut command = oomscope(&["audit", "--store", "/nowhere/incidents.db", "-f", "risky.yaml"]);
    let ran: Ran = command.current_dir(manifests()).output().unwrap().into();
    ran.assert_code(0);
    golden::compare(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/golden/audit-risky.txt"), &ran.out);
}

/// Each rule finds its manifest and no other, and nothing is said of manifests that are as they should be.
#[test]
fn every_risk_once() {
    let (rules, summary) = findings(&audit(&["-f", &manifest("risky.yaml"), "-o", "json"]));
    let expected = [
        "unit_mistake report",
        "runtime_flags checkout-api",
        "tmpfs_volume thumbnailer",
        "host_agent log-shipper",
        "best_effort web",
        "no_request checkout-api",
        "namespace_default defaults",
        "overcommit checkout-api",
        "guaranteed_missed cache",
        "unit_mistake cache",
        "init_limit checkout-api",
    ];
    assert_eq!(rules, expected);
    assert_eq!((&summary["workloads"], &summary["scope"]), (&json!(6), &json!("manifests")));
    let sound = audit(&["-f", &manifest("sound.yaml"), "--fail-on", "low"]);
    sound.assert_code(0);
    assert_eq!(sound.out, "NOTHING FOUND\n  in 3 workloads\n");
}

/// CI fails on the risk that it names and on worse, and on nothing else.
#[test]
fn fail_on() {
    let files = Files::new();
    let medium = files.write(
        "medium.yaml",
        b"apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop}\nspec:\n  containers:\n    - name: a\n      resources: {requests: \
          {memory: 1Gi}}\n",
    );
    for (risk, code) in [("high", 0), ("medium", 1), ("low", 1)] {
        audit(&["-f", &medium, "--fail-on", risk]).assert_code(code);
    }
    audit(&["-f", &medium, "--production", "billing-*", "--fail-on", "medium"]).assert_code(0);
    audit(&["-f", &manifest("risky.yaml")]).assert_code(0);
    audit(&["-f", &manifest("risky.yaml"), "--fail-on", "high"]).assert_code(1);
}

/// What Helm prints comes on standard input: template and line are said. A pipe whose writer failed is no clean bill of health.
#[test]
fn helm_output() {
    let rendered = std::fs::read(manifest("risky.yaml")).unwrap();
    let arguments = ["audit", "--store", "/nowhere/incidents.db", "-f", "-", "--fail-on", "high", "-o", "json"];
    let ran = run_with_input(&arguments, &rendered);
    ran.assert_code(1);
    let tmpfs = ran.cases().into_iter().find(|line| line["rule"] == "tmpfs_volume").unwrap();
    let place = json!([{"file": "-", "line": 53, "template": "shop/templates/thumbnailer.yaml"}]);
    assert_eq!(tmpfs["places"], place);
    for nothing in ["", "Error: chart not found\n", "# nothing\n---\n"] {
        run_with_input(&arguments, nothing.as_bytes()).assert_code(2);
    }
}

/// A document that cannot be read is named with its line, and everything beside it is audited all the same.
#[test]
fn broken_documents() {
    let files = Files::new();
    let good = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a}]}\n";
    let wrong = "apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n      containers:\n        - name: a\n          resources: \
                 {limits: {memory: 1GB}}\n";
    let text = format!("{good}---\nkind: [\n---\n{wrong}---\nfoo: bar\n---\n{}", good.replace("name: p", "name: q"));
    let file = files.write("x.yaml", text.as_bytes());
    let ran = audit(&["-f", &file, "-o", "json"]);
    ran.assert_code(2);
    let (rules, summary) = findings(&ran);
    assert_eq!((rules, &summary["unread"]), (vec!["best_effort p".to_owned(), "best_effort q".to_owned()], &json!(3)));
    let told: Vec<&str> = ran.err.lines().collect();
    assert_eq!(told.len(), 3, "{}", ran.err);
    assert!(told[0].contains("x.yaml:7:") || told[0].contains("x.yaml:6:"), "{}", ran.err);
    assert!(told[1].contains("x.yaml:8: a Deployment that cannot be read") && told[1].contains("1GB"), "{}", ran.err);
    assert!(told[2].contains("x.yaml:17: no Kubernetes object: it has no kind"), "{}", ran.err);
}

/// Of a folder only manifests are read, at any depth; values and workflows beside them are nobody's business, unreadable ones are.
#[test]
fn folders() {
    let files = Files::new();
    std::fs::create_dir_all(files.path().join("deploy/base")).unwrap();
    files.write("deploy/values.yaml", b"replicas: 3\nkind: of\n");
    files.write("deploy/notes.txt", b"{");
    std::fs::copy(manifest("risky.yaml"), files.path().join("deploy/base/a.yml")).unwrap();
    let folder = files.path().to_str().unwrap();
    audit(&["-f", folder, "--fail-on", "high"]).assert_code(1);
    files.write("deploy/template.yaml", b"kind: Deployment\nspec:\n  {{- if .x }}\n  a: {{ .y }}\n");
    let ran = audit(&["-f", folder]);
    ran.assert_code(2);
    assert!(ran.err.contains("helm template"), "{}", ran.err);
    audit(&["-f", &files.write("named.yaml", b"replicas: 3\n")]).assert_code(2);
    audit(&["-f", "/nowhere"]).assert_code(2);
}

/// Names that would act on a terminal, or end the YAML of a patch, do neither.
#[test]
fn hostile_names() {
    let file = manifest("hostile.yaml");
    let text = audit(&["-f", &file]);
    assert!(!text.out.chars().any(|c| c != '\n' && c.is_control()) && !text.out.contains('\u{202e}'), "{:?}", text.out);
    let json = audit(&["-f", &file, "-o", "json"]);
    assert!(!json.out.chars().any(|c| c != '\n' && c.is_control()), "{:?}", json.out);
    let flags = json.cases().into_iter().find(|line| line["rule"] == "runtime_flags").unwrap();
    assert_eq!(flags["containers"], json!(["a\n      hostPID: true"]));
    assert!(flags["patch"].as_str().unwrap().contains("- name: \"a\\n      hostPID: true\"\n"), "{flags}");
}

/// Thousands of pods of one make, as `kubectl get pods -o json` lists them, are one finding.
#[test]
fn many_pods() {
    let pod = |n: usize| {
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": format!("api-{n}"), "namespace": "shop", "uid": format!("{n}"),
            "labels": {"pod-template-hash": "abc"}, "ownerReferences": [{"kind": "ReplicaSet", "name": "api-abc", "controller": true}]},
            "spec": {"containers": [{"name": "a", "resources": {"requests": {"memory": "64Mi"}}}]}})
    };
    let list = json!({"kind": "List", "apiVersion": "v1", "items": (0..5000).map(pod).collect::<Vec<_>>()});
    let ran =
        run_with_input(&["audit", "--store", "/nowhere/x.db", "-f", "-", "-o", "json"], list.to_string().as_bytes());
    ran.assert_code(0);
    let target = json!({"kind": "Deployment", "namespace": "shop", "name": "api", "pods": 5000});
    assert_eq!(ran.cases()[0]["target"], target);
    assert_eq!(ran.cases().len(), 2);
}

/// A node by its own files, with no Kubernetes to ask: the kubelet's configuration, limits and pressure of its cgroups.
#[test]
fn node() {
    let node = FakeNode::new();
    node.write(
        "proc/meminfo",
        "MemTotal: 8388608 kB\nMemFree: 1024 kB\nMemAvailable: 4194304 kB\nSwapTotal: 1048576 kB\n",
    );
    node.write("etc/hostname", "worker-1\n");
    node.write("var/lib/kubelet/config.yaml", "evictionHard: {nodefs.available: 10%}\nfailSwapOn: false\n");
    node.write("sys/fs/cgroup/kubepods.slice/memory.stat", "anon 209715200\nfile 0\nshmem 0\n");
    let service = "sys/fs/cgroup/system.slice/greedy.service";
    for (file, text) in [
        ("cgroup.procs", ""),
        ("cgroup.controllers", "memory\n"),
        ("memory.current", "2147483648\n"),
        ("memory.max", "max\n"),
        ("memory.stat", "anon 2000000000\nfile 0\nshmem 0\n"),
    ] {
        node.write(&format!("{service}/{file}"), text);
    }
    let ran = audit(&["--node", "--root", node.root(), "-o", "json"]);
    ran.assert_code(0);
    let (rules, summary) = findings(&ran);
    assert_eq!(rules, ["reservation worker-1", "eviction_threshold worker-1", "host_service worker-1"]);
    assert_eq!((&summary["scope"], &summary["workloads"]), (&json!("node"), &json!(1)));
    let greedy = ran.cases().into_iter().find(|line| line["rule"] == "host_service").unwrap();
    assert!(
        greedy["patch"].as_str().unwrap().starts_with("systemctl set-property 'greedy.service' MemoryMax="),
        "{greedy}"
    );
}

/// A machine with neither pods nor a cluster to ask: it is said, and what runs on it is audited all the same.
#[test]
fn no_kubernetes() {
    let root = Files::new();
    let write = |path: &str, text: &str| {
        std::fs::create_dir_all(root.path().join(path).parent().unwrap()).unwrap();
        root.write(path, text.as_bytes());
    };
    write("proc/self/cgroup", "0::/\n");
    write("proc/1/mountinfo", "30 24 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n");
    write("proc/meminfo", "MemTotal: 4194304 kB\nMemAvailable: 1048576 kB\n");
    write("sys/fs/cgroup/cgroup.controllers", "memory\n");
    let service = "sys/fs/cgroup/system.slice/database.service";
    for (file, text) in [("cgroup.procs", ""), ("memory.current", "1073741824\n"), ("memory.max", "max\n")] {
        write(&format!("{service}/{file}"), text);
    }
    write(&format!("{service}/memory.stat"), "anon 1000000000\nfile 0\nshmem 0\n");
    let arguments = ["audit", "--store", "/nowhere/x.db", "--root", root.path().to_str().unwrap(), "-o", "json"];
    let mut command = oomscope(&arguments);
    let ran: Ran = command.env("KUBECONFIG", "/nowhere/config").output().unwrap().into();
    ran.assert_code(0);
    assert!(ran.err.contains("no pods run here, and no cluster can be asked"), "{}", ran.err);
    let (rules, summary) = findings(&ran);
    assert_eq!((rules, &summary["scope"]), (vec!["host_service this machine".to_owned()], &json!("node")));
}

/// A real cluster's objects over its API: what a status says of kills, once for each workload, with the limit that stands.
#[test]
fn cluster() {
    let cluster = FakeCluster::start();
    for name in ["01-single-container-crashloop", "07-tmpfs-emptydir"] {
        cluster.load(&Scenario::own(name));
    }
    let kubeconfig = cluster.kubeconfig();
    let arguments = ["--cluster", "--kubeconfig", kubeconfig.to_str().unwrap(), "-o", "json"];
    let ran = audit(&arguments);
    ran.assert_code(0);
    let (rules, summary) = findings(&ran);
    assert!(rules.contains(&"tmpfs_volume thumbnailer".to_owned()), "{rules:?}");
    assert!(rules.contains(&"oom_kills checkout-api".to_owned()), "{rules:?}");
    assert_eq!((&summary["scope"], &summary["nodes"]), (&json!("cluster"), &json!(1)));
    let killed =
        ran.cases().into_iter().find(|line| line["rule"] == "oom_kills" && line["target"]["name"] == "checkout-api");
    assert_eq!(killed.unwrap()["target"]["kind"], "Deployment");

    // Who may not list nodes is told so, and has everything else audited; without pods there is no audit.
    cluster.misbehave(Who::Api, "/nodes", Misbehaviour::Status(403));
    let ran = audit(&arguments);
    ran.assert_code(0);
    let (_, summary) = findings(&ran);
    assert!(summary["gaps"].as_array().unwrap().iter().any(|gap| gap["wanted"] == "nodes"), "{summary}");
    cluster.misbehave(Who::Api, "/pods", Misbehaviour::Status(403));
    audit(&arguments).assert_code(2);
}

/// The rules are listed by the program as in the documentation.
#[test]
fn rules() {
    let ran = audit(&["--rules"]);
    ran.assert_code(0);
    assert!(ran.out.lines().count() >= 20 && ran.out.contains("no_limit"), "{}", ran.out);
}
