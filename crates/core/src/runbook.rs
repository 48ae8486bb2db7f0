//! One answer at 3 AM: all that is known of one pod, on one page.
//!
//! A page holds what was found and by whom; what nobody could be asked is a gap. It is complete in itself, so that a page made on the
//! node can be read elsewhere.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::diagnosis::placeholders::is_plain;
use crate::diagnosis::{Killer, Remedy};
use crate::evidence::Gap;
use crate::incident::identity::Identity;
use crate::inspect::Inspection;
use crate::kubernetes::{ContainerAccount, NodeAccount, PodAccount, Source, ToldEvent};
use crate::next::Outlook;
use crate::units::Bytes;

/// Name and version of the JSON form.
pub const SCHEMA: &str = "oomscope.pod/v1";

/// The page. Serialises to the public JSON of `oomscope.pod/v1`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodPage {
    /// [`SCHEMA`].
    pub schema: String,
    /// When it was made.
    pub at: Option<Timestamp>,
    /// Whose page it is, with its node and owner.
    pub identity: Identity,
    /// The pod's status; `None` where neither the API server nor the kubelet could be asked.
    pub pod: Option<PodAccount>,
    /// Who told of the status.
    pub source: Option<Source>,
    /// Its containers, in the order in which they start.
    pub containers: Vec<ContainerNow>,
    /// Events about it, oldest first.
    pub events: Vec<ToldEvent>,
    /// Its node's conditions.
    pub node: Option<NodeAccount>,
    /// The node's memory, where this was made on it.
    pub node_memory: Option<NodeMemoryNow>,
    /// What happened: kills, ends, evictions, the latest first.
    pub cases: Vec<Case>,
    /// Cases that are known beside those.
    pub cases_omitted: u64,
    /// The pod's cgroup looked into, where this was made on its node.
    pub inspection: Option<Inspection>,
    /// Whom the kernel would kill if the pod grew.
    pub next: Option<Outlook>,
    /// What to do, best first.
    pub remedies: Vec<Remedy>,
    /// What is not known, and why.
    pub gaps: Vec<Gap>,
}

/// A container as it is now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerNow {
    /// As Kubernetes or the runtime shows it.
    pub account: ContainerAccount,
    /// Charged to its cgroup now.
    pub usage_bytes: Option<Bytes>,
    /// What of it the kernel cannot take back without swap.
    pub unreclaimable_bytes: Option<Bytes>,
    /// The highest charge of this instance.
    pub peak_bytes: Option<Bytes>,
    /// The limit in force.
    pub limit_in_force_bytes: Option<Bytes>,
}

/// The machine's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeMemoryNow {
    /// All of it.
    pub total_bytes: Option<Bytes>,
    /// What the kernel takes for available.
    pub available_bytes: Option<Bytes>,
    /// Swap that is free.
    pub swap_free_bytes: Option<Bytes>,
}

impl PodPage {
    /// What to do, from the cases: each remedy once, those of the latest case first, with the manifest's patch in place of the
    /// general one where the container is known.
    pub fn advise(&mut self) {
        let mut remedies: Vec<Remedy> = Vec::new();
        remedies.extend(self.patch());
        for case in &self.cases {
            for remedy in &case.diagnosis.remedies {
                let is_known =
                    |known: &Remedy| known.title == remedy.title || (is_resources(known) && is_resources(remedy));
                if !remedies.iter().any(is_known) {
                    remedies.push(remedy.clone());
                }
            }
        }
        self.remedies = remedies;
    }

    /// The raise that is worth a trial, as a patch of the pod's owner: for the container that died at a limit, half as much again.
    fn patch(&self) -> Option<Remedy> {
        let case = self
            .cases
            .iter()
            .find(|case| matches!(case.diagnosis.killer, Killer::ContainerLimit | Killer::PodLimit))?;
        if case.incident.report().killed_at_start() {
            return None;
        }
        // Where raising helps, a rule has said so.
        case.diagnosis.remedies.iter().find(|remedy| is_resources(remedy))?;
        let name = case.incident.identity.as_ref()?.container.clone().filter(|name| is_plain(name))?;
        let container = self.containers.iter().find(|container| container.account.name == name)?;
        let limit = container.account.limit_bytes?;
        let trial = Bytes(limit.0.saturating_add(limit.0 / 2)).manifest_quantity();
        let list = match container.account.kind {
            Some(crate::kubernetes::ContainerKind::Init | crate::kubernetes::ContainerKind::Sidecar) => {
                "initContainers"
            }
            _ => "containers",
        };
        let yaml = self.in_owner(&format!("{list}:\n- name: {name}\n  resources:\n    limits:\n      memory: {trial}"));
        let command = self.command();
        Some(Remedy {
            title: format!("Give container {name} {trial} in place of {limit}, as an experiment"),
            detail: "If it is killed at the new limit too, something grows without bound, and the next step is a heap profile, not another raise."
                .to_owned(),
            patch: Some(match command {
                Some(command) => format!("{command} --patch '\n{yaml}'"),
                None => yaml,
            }),
        })
    }

    /// The lines of a pod's spec as its owner's manifest has them.
    fn in_owner(&self, spec: &str) -> String {
        let path: &[&str] = match self.identity.owner.as_deref().and_then(|owner| owner.split_once('/')) {
            None => &["spec"],
            Some(("CronJob", _)) => &["spec", "jobTemplate", "spec", "template", "spec"],
            Some(_) => &["spec", "template", "spec"],
        };
        let above = path.iter().enumerate().map(|(depth, key)| format!("{}{key}:", "  ".repeat(depth)));
        let below = spec.lines().map(|line| format!("{}{line}", "  ".repeat(path.len())));
        above.chain(below).collect::<Vec<_>>().join("\n")
    }

    /// `kubectl -n shop patch deployment checkout-api`
    fn command(&self) -> Option<String> {
        let (kind, name) = self.identity.owner.as_deref()?.split_once('/')?;
        let namespace = self.identity.namespace.as_deref()?;
        let has_template = matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet");
        (has_template && is_plain(name) && is_plain(namespace))
            .then(|| format!("kubectl -n {namespace} patch {} {name}", kind.to_lowercase()))
    }
}

fn is_resources(remedy: &Remedy) -> bool {
    remedy.patch.as_deref().is_some_and(|patch| patch.contains("resources:") && patch.contains("limits:"))
}
