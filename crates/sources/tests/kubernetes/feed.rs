//! What the feed knows and tells when everybody answers.

use oomscope_core::kubernetes::Source;
use oomscope_sources::kubernetes::feed::News;
use oomscope_testkit::kubernetes::{FakeCluster, Scenario};
use serde_json::json;

use crate::support::{Followed, options, pod, pod_on, restarts, wait, wait_for_watches};

const ORDERS: &str = "f0721225-100a-441c-8ab2-131bf3b904c9";

/// Every change that a real API server sent while a sidecar was killed is followed: each ending is known, though the pod shows only the
/// last one, and the pod stays known when it is deleted.
#[test]
fn a_real_stream() {
    let scenario = Scenario::own("02-sidecar-killed");
    let cluster = FakeCluster::start();
    scenario.node().into_iter().for_each(|node| cluster.put(node));
    let followed = Followed::of(&cluster);
    wait_for_watches(&cluster);
    for line in scenario.pods() {
        cluster.play(&line);
    }
    cluster.delete("pods", Some("shop"), "orders-0");
    wait(|| followed.pod("orders-0").is_some_and(|record| record.gone), || format!("the end; {:?}", followed.told()));
    let record = followed.pod("orders-0").unwrap();
    assert_eq!(record.source, Source::Api);
    let ooms =
        record.endings.iter().filter(|ending| ending.says_oom() && ending.container.as_deref() == Some("log-shipper"));
    assert_eq!(ooms.count(), 2, "{:#?}", record.endings);
    assert!(followed.told().contains(&News::Pod { uid: ORDERS.to_owned() }));
    assert!(
        followed.told().contains(&News::PodsFrom(Some(Source::Api)))
            && followed.gaps_told("pods of node node-1") == (0, 0)
    );
    assert!(followed.directory(|directory| directory.node.as_ref().is_some_and(|node| node.internal_ip().is_some())));
}

/// Everything that a real cluster said in the shared scenarios is read, without a gap.
#[test]
fn every_scenario() {
    let Some(scenarios) = Scenario::shared() else { return oomscope_testkit::corpus::say_skipped("every_scenario") };
    for scenario in scenarios {
        let cluster = FakeCluster::start();
        let followed = Followed::of(&cluster);
        cluster.load(&scenario);
        let last = scenario.pods().last().map(|line| line["object"]["metadata"]["name"].as_str().unwrap().to_owned());
        let Some(last) = last else { continue };
        wait(|| followed.pod(&last).is_some(), || format!("{last} of {}; {:?}", scenario.name(), followed.told()));
        wait(
            || followed.directory(|directory| directory.node.is_some()),
            || format!("the node of {}", scenario.name()),
        );
        let gaps = followed.feed.gaps();
        assert!(gaps.iter().all(|gap| gap.wanted == "configuration of the kubelet"), "{}: {gaps:?}", scenario.name());
    }
}

/// Events about the node come by themselves, those about a pod when they are asked for, each told of.
#[test]
fn events() {
    let scenario = Scenario::own("02-sidecar-killed");
    let cluster = FakeCluster::start();
    cluster.load(&scenario);
    let mut pods = scenario.pods();
    pods.truncate(6);
    pods.iter().for_each(|line| cluster.play(line));
    let followed = Followed::of(&cluster);
    followed.wait_for_pods(&["orders-0"]);
    wait(|| followed.told().contains(&News::NodeEvents), || "events about the node".to_owned());
    followed.directory(|directory| {
        assert!(
            directory.node_events.iter().all(|event| event.reason == "SystemOOM") && !directory.node_events.is_empty()
        );
    });
    assert!(!cluster.requests().iter().any(|request| request.uri.starts_with("/api/v1/namespaces/shop/events")));

    assert!(followed.feed.want_events(ORDERS) && followed.feed.want_events("nobody"));
    wait(
        || followed.told().contains(&News::PodEvents { uid: ORDERS.to_owned() }),
        || "events about the pod".to_owned(),
    );
    assert!(followed.pod("orders-0").unwrap().events.iter().any(|event| event.reason == "BackOff"));
    let asked: Vec<_> = cluster.requests().into_iter().filter(|request| request.uri.contains("/shop/events")).collect();
    let selector = "fieldSelector=involvedObject.kind=Pod,involvedObject.name=orders-0";
    assert!(asked.len() == 1 && asked[0].uri.contains(selector), "{asked:?}");
}

/// Nothing is told twice: a watch that begins anew, and a list of what is known.
#[test]
fn no_news_without_change() {
    let cluster = FakeCluster::start();
    cluster.put(pod("a", 0));
    let followed = Followed::of(&cluster);
    followed.wait_for_pods(&["a"]);
    wait_for_watches(&cluster);
    let told = followed.told().len();
    let requests = cluster.requests().len();
    cluster.break_watches(oomscope_testkit::kubernetes::Break::Gone);
    wait(|| cluster.requests().len() >= requests + 6, || "lists and watches anew".to_owned());
    wait_for_watches(&cluster);
    cluster.put(pod("b", 0));
    followed.wait_for_pods(&["a", "b"]);
    assert_eq!(followed.told()[told..], [News::Pod { uid: "uid-b".to_owned() }]);
}

/// A node is known by its host's name where nobody says what it is called, and only its pods are followed.
#[test]
fn the_hosts_name() {
    let cluster = FakeCluster::start();
    let labels = json!({"kubernetes.io/hostname": "worker-3"});
    cluster.put(
        json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "ip-10-0-0-7.example", "labels": labels}}),
    );
    cluster.put(pod_on("ip-10-0-0-7.example", "here", 0));
    cluster.put(pod_on("elsewhere", "there", 0));
    std::fs::create_dir_all(cluster.folder().join("etc")).unwrap();
    std::fs::write(cluster.folder().join("etc/hostname"), "Worker-3.example\n").unwrap();
    let mut options = options(&cluster);
    options.node = None;
    let followed = Followed::start(options);
    followed.wait_for_pods(&["here"]);
}

/// A pod's status reaches the directory with the next change, without another list.
#[test]
fn changes_arrive() {
    let cluster = FakeCluster::start();
    cluster.put(pod("a", 0));
    let followed = Followed::of(&cluster);
    followed.wait_for_pods(&["a"]);
    wait_for_watches(&cluster);
    for count in 1..50 {
        cluster.put(pod("a", count));
    }
    wait(|| restarts(&followed, "a") == Some(49), || "49 restarts".to_owned());
    cluster.delete("pods", Some("shop"), "a");
    followed.wait_for_pods(&[]);
    assert!(followed.pod("a").is_some_and(|record| record.gone), "a pod that is gone stays known");
    assert_eq!(crate::support::lists_of_pods(&cluster), 1);
}
