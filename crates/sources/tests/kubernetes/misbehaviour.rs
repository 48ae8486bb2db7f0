//! Whatever an API server or a network does: nothing that was known is lost, each gap is told once when it begins and once when it ends.

use std::time::{Duration, Instant};

use oomscope_core::kubernetes::Source;
use oomscope_sources::kubernetes::feed::News;
use oomscope_testkit::kubernetes::{Break, FakeCluster, Misbehaviour, Who};
use serde_json::json;

use crate::support::{Followed, lists_of_pods, nowhere, options, pod, restarts, wait, wait_for_watches};

const PODS: &str = "pods of node node-1";

fn running(cluster: &FakeCluster) -> Followed {
    cluster.put(pod("a", 0));
    let followed = Followed::of(cluster);
    followed.wait_for_pods(&["a"]);
    wait_for_watches(cluster);
    followed
}

/// What happens while a watch is broken is seen when it goes on; that is no gap, and nothing is listed again.
#[test]
fn disconnected() {
    for how in [Break::Disconnect, Break::End] {
        let cluster = FakeCluster::start();
        let followed = running(&cluster);
        for count in 1..=5 {
            cluster.break_watches(how.clone());
            cluster.put(pod("a", count));
            wait(|| restarts(&followed, "a") == Some(count), || format!("{count} restarts"));
        }
        assert_eq!((followed.gaps_told(PODS), lists_of_pods(&cluster)), ((0, 0), 1), "{how:?}");
    }
}

/// 410 in the middle of a watch, after changes that no watch will tell: all is listed anew, what vanished is gone.
#[test]
fn expired() {
    let cluster = FakeCluster::start();
    cluster.put(pod("b", 0));
    let followed = Followed::of(&cluster);
    cluster.put(pod("a", 0));
    followed.wait_for_pods(&["a", "b"]);
    wait_for_watches(&cluster);
    cluster.misbehave(Who::Api, "watch=true", Misbehaviour::Status(503));
    cluster.break_watches(Break::Disconnect);
    wait(|| followed.gaps_told(PODS).0 == 1, || "a gap".to_owned());
    cluster.delete("pods", Some("shop"), "b");
    cluster.put(pod("a", 7));
    cluster.put(pod("c", 0));
    cluster.compact();
    cluster.behave();
    followed.wait_for_pods(&["a", "c"]);
    assert_eq!(restarts(&followed, "a"), Some(7));
    wait(|| followed.gaps_told(PODS) == (1, 1), || "the end of the gap".to_owned());
    cluster.break_watches(Break::Gone);
    cluster.put(pod("d", 0));
    followed.wait_for_pods(&["a", "c", "d"]);
    assert_eq!(followed.gaps_told(PODS), (1, 1));
}

/// A bookmark moves a quiet watch on, so that it need not list again when older versions are gone.
#[test]
fn bookmarks() {
    let cluster = FakeCluster::start();
    let followed = running(&cluster);
    let watches =
        |cluster: &FakeCluster| cluster.requests().iter().filter(|request| request.uri.contains("watch=true")).count();
    for name in ["x", "y", "z"] {
        cluster.put(json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}}));
    }
    cluster.break_watches(Break::Bookmark);
    cluster.compact();
    cluster.break_watches(Break::End);
    wait(|| watches(&cluster) >= 6, || "watches that begin again".to_owned());
    cluster.put(pod("a", 1));
    wait(|| restarts(&followed, "a") == Some(1), || "a restart".to_owned());
    assert_eq!(lists_of_pods(&cluster), 1);
}

/// Every way of not getting an answer from the beginning on: one gap with its reason, which ends when the server behaves.
#[test]
fn no_answer() {
    let cases = [
        (Misbehaviour::Status(500), "answered 500"),
        (Misbehaviour::Status(403), "needs the rule \"list pods\""),
        (Misbehaviour::Throttle(0), "too often"),
        (Misbehaviour::Hang, "no answer in"),
        (Misbehaviour::Garbage, "cannot be read"),
    ];
    for (how, reason) in cases {
        let cluster = FakeCluster::start();
        cluster.put(pod("a", 0));
        cluster.misbehave(Who::Api, "/pods", how.clone());
        let followed = Followed::of(&cluster);
        wait(|| lists_of_pods(&cluster) >= 3, || format!("more tries with {how:?}"));
        assert_eq!(followed.gaps_told(PODS), (1, 0), "{how:?}");
        let gaps = followed.feed.gaps();
        assert!(gaps.iter().any(|gap| gap.wanted == PODS && gap.why.contains(reason)), "{how:?}: {gaps:?}");
        assert!(!format!("{gaps:?}").contains("s3cret"), "{gaps:?}");
        // Only what was refused is missing.
        wait(|| cluster.open_watches() == 2, || "the other watches".to_owned());
        cluster.behave();
        followed.wait_for_pods(&["a"]);
        wait(|| followed.gaps_told(PODS) == (1, 1), || format!("the end of the gap after {how:?}"));
        wait(|| followed.feed.gaps().iter().all(|gap| gap.wanted != PODS), || "no gap".to_owned());
    }
}

/// A token that is not taken is one gap, whatever was asked for.
#[test]
fn logged_out() {
    let cluster = FakeCluster::start();
    cluster.put(pod("a", 0));
    cluster.misbehave(Who::Api, "", Misbehaviour::Status(401));
    let followed = Followed::of(&cluster);
    wait(|| lists_of_pods(&cluster) >= 3, || "more tries".to_owned());
    assert_eq!((followed.gaps_told("the API server"), followed.gaps_told(PODS)), ((1, 0), (0, 0)));
    cluster.behave();
    followed.wait_for_pods(&["a"]);
    wait(|| followed.gaps_told("the API server") == (1, 1), || "the end of the gap".to_owned());
}

/// A server that asks to wait is obeyed.
#[test]
fn throttled() {
    let cluster = FakeCluster::start();
    cluster.put(pod("a", 0));
    cluster.misbehave(Who::Api, "/pods", Misbehaviour::Throttle(2));
    let began = Instant::now();
    let followed = Followed::of(&cluster);
    wait(|| lists_of_pods(&cluster) >= 2, || "another try".to_owned());
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    drop(followed);
}

/// A slow server is waited for, within the limit.
#[test]
fn slow() {
    let cluster = FakeCluster::start();
    cluster.put(pod("a", 0));
    cluster.misbehave(Who::Api, "", Misbehaviour::Slow(Duration::from_millis(200)));
    let mut options = options(&cluster);
    options.pace.patience = Duration::from_secs(20);
    let followed = Followed::start(options);
    followed.wait_for_pods(&["a"]);
    assert_eq!(followed.gaps_told(PODS), (0, 0));
}

/// One object that cannot be read, in the list and in a watch, costs itself only and is named; the last good state of it stays.
#[test]
fn malformed() {
    let broken = |name: &str| {
        let mut pod = pod(name, 0);
        pod["spec"]["containers"] = json!("none");
        pod
    };
    let cluster = FakeCluster::start();
    cluster.put(pod("a", 0));
    cluster.put(broken("b"));
    let followed = Followed::of(&cluster);
    followed.wait_for_pods(&["a"]);
    wait_for_watches(&cluster);
    assert_eq!(followed.gaps_told("pod shop/b"), (1, 0));
    cluster.put(broken("a"));
    cluster.put(pod("c", 0));
    followed.wait_for_pods(&["a", "c"]);
    assert_eq!(followed.gaps_told("pod shop/a"), (1, 0));
    assert_eq!(restarts(&followed, "a"), Some(0));
    cluster.put(pod("a", 3));
    cluster.delete("pods", Some("shop"), "b");
    wait(|| restarts(&followed, "a") == Some(3), || "a readable again".to_owned());
    wait(|| followed.feed.gaps().iter().all(|gap| !gap.wanted.starts_with("pod ")), || "no gaps".to_owned());
    assert_eq!(lists_of_pods(&cluster), 1, "the watch went on");
}

/// A line that is no watch event at all may have been anything: all is listed anew.
#[test]
fn a_garbled_line() {
    let cluster = FakeCluster::start();
    let followed = running(&cluster);
    cluster.break_watches(Break::Line("{\"type\":\"ADDED\",\"object\":{\"metadata\"::".to_owned()));
    wait(|| lists_of_pods(&cluster) == 2, || "another list".to_owned());
    cluster.put(pod("b", 0));
    followed.wait_for_pods(&["a", "b"]);
    assert_eq!(followed.gaps_told(PODS), (0, 0));
}

/// Gone and back: meanwhile the kubelet tells, and what happened in between is known afterwards.
#[test]
fn away_and_back() {
    let cluster = FakeCluster::start();
    cluster.put(pod("b", 0));
    cluster.kubelet_says("/pods", json!({"kind": "PodList", "items": [pod("a", 1), pod("static", 0)]}));
    let followed = running_with_b(&cluster);
    cluster.stop(Who::Api);
    wait(|| followed.feed.pods_from() == Some(Source::Kubelet), || format!("the kubelet; {:?}", followed.told()));
    wait(|| restarts(&followed, "a") == Some(1), || "the kubelet's status".to_owned());
    assert!(followed.pod("static").is_some_and(|record| record.source == Source::Kubelet));
    assert!(followed.pod("b").is_some_and(|record| !record.gone), "what the kubelet does not name is kept");
    cluster.delete("pods", Some("shop"), "b");
    cluster.put(pod("a", 2));
    cluster.resume(Who::Api);
    followed.wait_for_pods(&["a", "static"]);
    wait(|| restarts(&followed, "a") == Some(2), || "the API server's status".to_owned());
    assert_eq!(followed.feed.pods_from(), Some(Source::Api));
    assert_eq!((followed.gaps_told("the API server"), followed.gaps_told(PODS)), ((1, 1), (0, 0)));
    let told = followed.told();
    assert!(told.contains(&News::PodsFrom(Some(Source::Kubelet))), "{told:?}");
    let last = told.iter().rfind(|news| matches!(news, News::PodsFrom(_)));
    assert_eq!(last, Some(&News::PodsFrom(Some(Source::Api))));
}

fn running_with_b(cluster: &FakeCluster) -> Followed {
    cluster.put(pod("a", 0));
    let followed = Followed::of(cluster);
    followed.wait_for_pods(&["a", "b"]);
    wait_for_watches(cluster);
    followed
}

/// Nobody answers: two gaps, and the directory keeps what it knew.
#[test]
fn nobody() {
    let cluster = FakeCluster::start();
    let followed = running(&cluster);
    cluster.stop(Who::Kubelet);
    cluster.stop(Who::Api);
    wait(|| followed.gaps_told("pods of the kubelet") == (1, 0), || "the kubelet's gap".to_owned());
    assert_eq!(followed.feed.pods_from(), None);
    assert!(followed.pod("a").is_some_and(|record| !record.gone && record.source == Source::Api));
    cluster.resume(Who::Api);
    wait(|| followed.feed.pods_from() == Some(Source::Api), || "the API server".to_owned());
    wait(|| followed.gaps_told("pods of the kubelet") == (1, 1), || "nobody needs the kubelet".to_owned());
}

/// No way to any API server is known: that is said, and the kubelet tells what it can.
#[test]
fn not_configured() {
    let cluster = FakeCluster::start();
    cluster.kubelet_says("/pods", json!({"kind": "PodList", "items": [pod("a", 0)]}));
    let mut options = options(&cluster);
    options.api = nowhere(&cluster);
    let followed = Followed::start(options);
    followed.wait_for_pods(&["a"]);
    assert_eq!(followed.gaps_told("the API server"), (1, 0));
    assert_eq!(followed.feed.pods_from(), Some(Source::Kubelet));
}

/// Ending the feed does not wait for a server that never answers.
#[test]
fn ends_at_once() {
    let cluster = FakeCluster::start();
    cluster.misbehave(Who::Api, "", Misbehaviour::Hang);
    let mut options = options(&cluster);
    options.pace.patience = Duration::from_secs(600);
    let followed = Followed::start(options);
    wait(|| !cluster.requests().is_empty(), || "a request".to_owned());
    let began = Instant::now();
    drop(followed);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}
