//! Every kind of death on a real cluster: `OOMSCOPE_E2E=1 KUBECONFIG=… cargo nextest run -p oomscope --test cluster`.
//!
//! Runs pods that die in a namespace of its own, asks `oomscope pod` from here, and deletes the namespace. It needs kubectl, and an image
//! with a shell that the nodes can pull (`OOMSCOPE_E2E_IMAGE`, busybox by default). A `KUBECONFIG` alone is not enough: nobody's cluster
//! is touched by accident. With oomscope on the nodes (docs/deploy.md) the answers have the kernel's side too, and more is required of
//! them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic, also in its helpers")]

mod scenarios;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use scenarios::SCENARIOS;

/// A node that has to pull the image first takes its time.
const PATIENCE: Duration = Duration::from_secs(300);

/// A namespace that is deleted when this is dropped.
struct Namespace(String);

impl Namespace {
    fn make() -> Self {
        let name = format!("oomscope-e2e-{}", std::process::id());
        kubectl(&["create", "namespace", &name], None);
        Self(name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("kubectl").args(["delete", "namespace", &self.0, "--wait=false"]).status();
    }
}

#[track_caller]
fn kubectl(arguments: &[&str], input: Option<&str>) -> String {
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut command = Command::new("kubectl");
    let mut child = command.args(arguments).stdin(stdin).stdout(Stdio::piped()).spawn().unwrap();
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        stdin.write_all(input.as_bytes()).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "kubectl {arguments:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The page of a pod, as an engineer with a laptop sees it.
fn page(namespace: &str, pod: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_oomscope"))
        .args(["pod", "-n", namespace, pod, "-o", "json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn killers(page: &Value) -> Vec<&str> {
    page["cases"].as_array().unwrap().iter().filter_map(|case| case["diagnosis"]["killer"].as_str()).collect()
}

/// Waits until the page tells one of what is expected; answers the last page.
#[track_caller]
fn wait_for(namespace: &str, pod: &str, expected: &[&str]) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = page(namespace, pod);
        if killers(&page).iter().any(|killer| expected.contains(killer)) {
            return page;
        }
        assert!(Instant::now() < deadline, "{pod}: none of {expected:?}: {page:#}");
        std::thread::sleep(Duration::from_secs(2));
    }
}

/// Each kind of death has the right account, from the API alone, or with the node's evidence where oomscope runs there.
#[test]
#[allow(clippy::print_stderr, reason = "a test that did nothing must not look like one that passed")]
fn every_kind_of_death() {
    let asked = std::env::var("OOMSCOPE_E2E").is_ok_and(|value| value == "1");
    if !asked || std::env::var_os("KUBECONFIG").is_none() {
        eprintln!("SKIPPED every_kind_of_death: no cluster was given (OOMSCOPE_E2E=1 and KUBECONFIG)");
        return;
    }
    let image = std::env::var("OOMSCOPE_E2E_IMAGE").unwrap_or_else(|_| "busybox:stable".to_owned());
    let namespace = Namespace::make();
    for scenario in SCENARIOS {
        kubectl(&["-n", &namespace.0, "apply", "-f", "-"], Some(&scenario.manifest(&image)));
    }
    for scenario in SCENARIOS {
        let page = wait_for(&namespace.0, scenario.name, scenario.killers);
        let has_node = page["inspection"].is_object()
            || page["cases"]
                .as_array()
                .unwrap()
                .iter()
                .any(|case| case["incident"]["origin"]["source"] != "kubernetes");
        eprintln!("{}: {:?}{}", scenario.name, killers(&page), if has_node { "" } else { " (by the API alone)" });
        if has_node {
            wait_for(&namespace.0, scenario.name, scenario.killers_with_node);
        }
    }
}
