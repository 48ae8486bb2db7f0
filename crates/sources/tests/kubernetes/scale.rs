//! What it costs: only this node's pods are asked for and kept, however many there are and however often they are listed.

use oomscope_core::kubernetes::Source;
use oomscope_testkit::kubernetes::{Break, FakeCluster};

use crate::support::{Followed, NODE, lists_of_pods, pod, pod_on, pod_requests, wait, wait_for_watches};

/// 5,000 pods in the cluster, 250 on this node, listed again and again: 250 are known, out of the server's memory, in
/// pages where it makes any.
#[test]
fn a_large_cluster() {
    let cluster = FakeCluster::start();
    for n in 0..4750 {
        cluster.put(pod_on(&format!("node-{}", 2 + n % 99), &format!("other-{n}"), 0));
    }
    for n in 0..250 {
        cluster.put(pod(&format!("own-{n}"), 0));
    }
    let followed = Followed::of(&cluster);
    let known = || followed.directory(|directory| directory.pods().count());
    wait(|| known() == 250, || format!("250 pods, not {}", known()));
    for round in 1..=10 {
        wait_for_watches(&cluster);
        cluster.break_watches(Break::Gone);
        wait(|| lists_of_pods(&cluster) >= 3 + round, || "another list".to_owned());
    }
    assert_eq!(known(), 250);
    followed.directory(|directory| {
        assert!(directory.pods().all(|(_, record)| record.source == Source::Api && !record.gone));
    });

    let requests = pod_requests(&cluster);
    let selector = format!("fieldSelector=spec.nodeName={NODE}");
    assert!(requests.iter().all(|uri| uri.contains(&selector)), "{requests:?}");
    let lists: Vec<_> = requests.iter().filter(|uri| !uri.contains("watch=true")).collect();
    let (first, anew) = lists.split_at(3);
    assert!(first.iter().all(|uri| uri.contains("limit=100")) && first[0].contains("resourceVersion=0&"), "{first:?}");
    assert!(first[1..].iter().all(|uri| uri.contains("continue=")), "{first:?}");
    // With a limit these would be read out of the store, all pods of the cluster.
    let from_memory = |uri: &str| uri.contains("resourceVersionMatch=NotOlderThan") && !uri.contains("limit=");
    assert!(anew.iter().all(|uri| from_memory(uri) && !uri.contains("resourceVersion=0&")), "{anew:?}");
}

/// Pods come and go: the latest of those that are gone are remembered, not all of them.
#[test]
fn churn() {
    let cluster = FakeCluster::start();
    let followed = Followed::of(&cluster);
    wait_for_watches(&cluster);
    for n in 0..3000 {
        cluster.put(pod(&format!("p-{n}"), 0));
        cluster.delete("pods", Some("shop"), &format!("p-{n}"));
    }
    wait(|| followed.pod("p-2999").is_some_and(|record| record.gone), || "the last pod".to_owned());
    let known = followed.directory(|directory| directory.pods().count());
    // The oldest are forgotten 64 at a time.
    assert!(known <= 1065, "{known}");
}
