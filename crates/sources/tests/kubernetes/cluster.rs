//! One-shot questions.

use std::path::Path;

use oomscope_sources::kubernetes::Why;
use oomscope_sources::kubernetes::api::{Access, Cluster, DEPLOYMENT, PRIORITY_CLASS};
use oomscope_testkit::kubernetes::{FakeCluster, Misbehaviour, Scenario, Who};
use serde_json::json;

use crate::support::{pod, pod_on};

fn connect(cluster: &FakeCluster) -> Cluster {
    Cluster::connect(&Access::new(Some(&cluster.kubeconfig()), None)).unwrap()
}

/// Everything that a verb asks about one pod and its node.
#[test]
fn a_pods_story() {
    let fake = FakeCluster::start();
    let scenario = Scenario::own("02-sidecar-killed");
    fake.load(&scenario);
    scenario.pods().iter().take(6).for_each(|line| fake.play(line));
    let cluster = connect(&fake);
    assert_eq!((cluster.url(), cluster.namespace()), (fake.url().as_str(), "shop"));
    let pod = cluster.pod("shop", "orders-0").unwrap().unwrap();
    assert_eq!(pod.spec.node_name.as_deref(), Some("node-1"));
    assert_eq!(cluster.pod("shop", "nobody").unwrap(), None);
    assert!(cluster.events_about("shop", "orders-0").unwrap().iter().any(|event| event.reason == "BackOff"));
    assert!(cluster.node("node-1").unwrap().is_some_and(|node| node.memory_capacity().is_some()));
    assert_eq!((cluster.node("node-2").unwrap(), cluster.nodes().unwrap().len()), (None, 1));
    assert!(cluster.node_events("node-1").unwrap().iter().any(|event| event.reason == "SystemOOM"));
    assert!(cluster.kubelet_config("node-1").unwrap().memory_thresholds().hard.is_some());
    assert!(cluster.stats_summary("node-1").unwrap()["pods"].is_array());
}

/// Many pods come page by page, each once; one that cannot be read is a gap with its name.
#[test]
fn many_pods() {
    let fake = FakeCluster::start();
    (0..1200).for_each(|n| fake.put(pod_on("node-2", &format!("p-{n:04}"), 0)));
    fake.put(pod("own", 0));
    fake.put(json!({"kind": "Pod", "metadata": {"name": "bad", "namespace": "shop"}, "status": 7}));
    let cluster = connect(&fake);
    let mut names = Vec::new();
    let gaps = cluster.pods(None, |pod| names.push(pod.metadata.name)).unwrap();
    assert_eq!((names.len(), gaps.len()), (1201, 1));
    assert!(gaps[0].wanted.contains("shop/bad"), "{gaps:?}");
    names.dedup();
    assert_eq!(names.len(), 1201);
    let pages = fake.requests().iter().filter(|request| request.uri.contains("limit=250")).count();
    assert_eq!(pages, 5);
    let mut here = 0;
    cluster.pods_on("node-1", |_| here += 1).unwrap();
    let mut elsewhere = 0;
    cluster.pods(Some("other"), |_| elsewhere += 1).unwrap();
    assert_eq!((here, elsewhere), (1, 0));
}

/// Objects of other kinds as they were written, with their kind; a kind that the server does not have is said.
#[test]
fn other_kinds() {
    let fake = FakeCluster::start();
    fake.put(json!({"kind": "Deployment", "apiVersion": "apps/v1", "spec": {"replicas": 3},
        "metadata": {"name": "api", "namespace": "shop", "managedFields": [{}]}}));
    fake.misbehave(Who::Api, "priorityclasses", Misbehaviour::Status(404));
    let cluster = connect(&fake);
    let mut found = Vec::new();
    cluster.objects(&DEPLOYMENT, Some("shop"), |object| found.push(object)).unwrap();
    assert_eq!((found.len(), &found[0]["kind"], &found[0]["spec"]["replicas"]), (1, &json!("Deployment"), &json!(3)));
    assert!(found[0]["metadata"].get("managedFields").is_none());
    let error = cluster.objects(&PRIORITY_CLASS, None, |_| ()).unwrap_err();
    assert_eq!(error.why, Why::NotFound);
}

/// A refusal says what was asked, of whom, and which rule is missing; never the token.
#[test]
fn refusals() {
    let fake = FakeCluster::start();
    let cluster = connect(&fake);
    let cases = [
        (Misbehaviour::Status(403), "the role needs the rule \"get nodes/proxy\""),
        (Misbehaviour::Status(401), "not logged in (401)"),
        (Misbehaviour::Status(500), "the server answered 500 (it said: told to refuse)"),
        (Misbehaviour::Garbage, "the answer cannot be read"),
    ];
    for (how, expected) in cases {
        fake.misbehave(Who::Api, "/nodes", how);
        let error = cluster.kubelet_config("node-1").unwrap_err().to_string();
        let head = format!("/configz of node node-1 from {}: ", fake.url());
        assert!(error.starts_with(&head) && error.contains(expected) && !error.contains("s3cret"), "{error}");
        fake.behave();
    }
    fake.misbehave(Who::Api, "/nodes", Misbehaviour::Throttle(0));
    assert!(matches!(cluster.node("node-1").unwrap_err().why, Why::Throttled { .. }));
    assert!(fake.requests().iter().filter(|request| request.uri == "/api/v1/nodes/node-1").count() == 4, "asked again");
    fake.stop(Who::Api);
    let error = cluster.nodes().unwrap_err();
    assert!(matches!(&error.why, Why::Unreachable(_)) && error.may_pass(), "{error}");
}

/// The token of the kubeconfig is shown to its server.
#[test]
fn credentials() {
    let fake = FakeCluster::start();
    connect(&fake).nodes().unwrap();
    assert!(fake.requests().iter().all(|request| request.authorization.as_deref() == Some("Bearer s3cret-token")));
}

/// Of a credential plugin that fails the status is told, not what it printed, which may be a credential.
#[test]
fn a_credential_plugin() {
    let fake = FakeCluster::start();
    let write = |script: &str| {
        let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(fake.kubeconfig()).unwrap()).unwrap();
        config["users"][0]["user"] = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh",
            "args": ["-c", script], "interactiveMode": "Never"}});
        std::fs::write(fake.kubeconfig(), config.to_string()).unwrap();
    };
    write("echo s3cret-1; echo s3cret-2 >&2; exit 3");
    let error = Cluster::connect(&Access::new(Some(&fake.kubeconfig()), None)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("credential plugin failed (exit status: 3)") && !text.contains("s3cret"), "{text}");
    write("echo '{\"kind\":\"ExecCredential\",\"status\":{\"token\":\"from-plugin\"}}'");
    connect(&fake).nodes().unwrap();
    assert!(fake.requests().iter().all(|request| request.authorization.as_deref() == Some("Bearer from-plugin")));
}

/// What is wrong with a kubeconfig is said without quoting it.
#[test]
fn kubeconfigs() {
    let fake = FakeCluster::start();
    let access = |context: &str| Access::new(Some(&fake.kubeconfig()), Some(context));
    assert_eq!(Cluster::connect(&access("other")).unwrap().namespace(), "default");
    let error = Cluster::connect(&access("nowhere")).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
    let missing = Cluster::connect(&Access::new(Some(Path::new("/no/such/config")), None)).unwrap_err();
    assert!(missing.to_string().contains("/no/such/config"), "{missing}");
    for address in ["host:6443", "nonsense", "/x"] {
        let config = fake.folder().join("address");
        let text = std::fs::read_to_string(fake.kubeconfig()).unwrap().replace(&fake.url(), address);
        std::fs::write(&config, text).unwrap();
        let error = Cluster::connect(&Access::new(Some(&config), None)).unwrap_err();
        assert!(error.to_string().contains("is no address"), "{error}");
    }
    let garbage = fake.folder().join("garbage");
    std::fs::write(&garbage, "users: [{name: u, user: {token: s3cret-token").unwrap();
    let error = Cluster::connect(&Access::new(Some(&garbage), None)).unwrap_err();
    assert!(matches!(error.why, Why::NotConfigured(_)) && !error.to_string().contains("s3cret"), "{error}");
}
