//! The fake cluster is what kubectl takes for a cluster.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic, also in its helpers")]

use std::process::Command;

use oomscope_testkit::kubernetes::{FakeCluster, Scenario};

/// kubectl finds kinds by discovery, reads lists, one object, a description with its events, and the kubelet through the proxy.
#[test]
#[allow(clippy::print_stderr, reason = "a skipped test must say so")]
fn kubectl_reads_it() {
    if Command::new("kubectl").arg("version").arg("--client").output().is_err() {
        return eprintln!("SKIPPED kubectl_reads_it: there is no kubectl");
    }
    let cluster = FakeCluster::start();
    cluster.load(&Scenario::own("02-sidecar-killed"));
    let kubectl = |arguments: &str| {
        let cache = cluster.folder().join("cache");
        let output = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(cluster.kubeconfig())
            .arg("--cache-dir")
            .arg(cache)
            .args(arguments.split(' '))
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert!(kubectl("get pods").1.contains("orders-0"));
    assert!(kubectl("get pods -A --field-selector spec.nodeName=node-1").1.contains("orders-0"));
    assert!(!kubectl("get pods -A --field-selector spec.nodeName=node-2").1.contains("orders-0"));
    assert!(kubectl("get nodes -l kubernetes.io/hostname=node-1").1.contains("node-1"));
    assert!(kubectl("describe pod orders-0").1.contains("Back-off restarting failed container"));
    assert!(kubectl("get --raw /api/v1/nodes/node-1/proxy/configz").1.contains("evictionHard"));
    assert_eq!(kubectl("get pod nobody"), (false, String::new()));
}
