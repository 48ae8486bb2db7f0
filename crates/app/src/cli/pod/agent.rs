//! The page made on the pod's own node: by the oomscope that runs there, through `kubectl exec`.
//!
//! kubectl does the rest: it knows every way of logging in that a kubeconfig can name, and whoever asks for the page has it.

use std::process::Command;

use anyhow::{Context as _, bail};
use oomscope_core::kubernetes::Pod;
use oomscope_core::runbook::PodPage;

use super::Args;
use super::asked::Found;

/// What the agent's pods are labelled with: deploy/helm/oomscope/templates/_helpers.tpl.
const LABEL: (&str, &str) = ("app.kubernetes.io/name", "oomscope");

/// The page; `None` where no agent runs on the pod's node.
pub(super) fn page(args: &Args, found: &Found, uid: &str) -> anyhow::Result<Option<PodPage>> {
    let Some(cluster) = &found.cluster else { return Ok(None) };
    let pod = found.directory.pod(uid).map(|record| &record.pod);
    let Some(node) = pod.and_then(|pod| pod.spec.node_name.as_deref()) else { return Ok(None) };
    let mut agent: Option<Pod> = None;
    cluster.pods_on(node, |pod| {
        if is_agent(&pod) {
            agent = Some(pod);
        }
    })?;
    let Some(agent) = agent else { return Ok(None) };
    let output = command(args, &agent, uid).output().context("kubectl, which asks the agent on the pod's node")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("kubectl exec in {}: {}", agent.metadata.full_name(), said.trim().lines().last().unwrap_or("no answer"));
    }
    let mut page: PodPage = serde_json::from_slice(&output.stdout).context("reading the agent's page")?;
    // The agent's own names come from its node; the API server's are the better ones.
    found.directory.complete(&mut page.identity);
    Ok(Some(page))
}

fn command(args: &Args, agent: &Pod, uid: &str) -> Command {
    let mut command = Command::new("kubectl");
    if let Some(kubeconfig) = &args.kubeconfig {
        command.arg("--kubeconfig").arg(kubeconfig);
    }
    if let Some(context) = &args.context {
        command.args(["--context", context]);
    }
    command.args(["--namespace", agent.metadata.namespace.as_deref().unwrap_or("default")]);
    command.args(["exec", &agent.metadata.name, "--", "/usr/bin/oomscope", "pod", "-o", "json", "--", uid]);
    command
}

/// Anybody may put the label on a pod: the agent is a `DaemonSet`'s and sees the node's processes, which a cluster that keeps its tenants
/// apart lets none of them do.
fn is_agent(pod: &Pod) -> bool {
    let is_labelled = pod.metadata.labels.get(LABEL.0).map(String::as_str) == Some(LABEL.1);
    let of_daemon_set = pod.metadata.controller().is_some_and(|owner| owner.kind == "DaemonSet");
    let is_running = pod.status.phase.as_deref() == Some("Running") && pod.metadata.deletion_timestamp.is_none();
    is_labelled && of_daemon_set && pod.spec.host_pid == Some(true) && is_running
}
