//! What workload rules are asked about: pods of one make, with what was seen of them.

use std::collections::BTreeMap;

use super::finding::{Place, Target};
use super::namespace::Class;
use super::seen::Seen;
use super::{amounts, patch};
use crate::kubernetes::{Container, ContainerKind, Pod, Qos, Workload};
use crate::text::name_in_text;

/// Who told of a subject, which decides what may be concluded from silence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Witness {
    /// A manifest or a controller's template: defaults are still to be filled in.
    #[default]
    Template,
    /// A pod as the API or the kubelet has it.
    Pod,
    /// Cgroups alone: limits and the QoS class, no requests, no names.
    Cgroups,
}

/// Pods of one make.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subject {
    /// Who makes them, and how.
    pub workload: Workload,
    /// How many there are or shall be; `None` where that is not known.
    pub pods: Option<u64>,
    /// Who told.
    pub witness: Witness,
    /// Where it is written.
    pub place: Option<Place>,
    /// Lines of its containers in that file, by name.
    pub lines: BTreeMap<String, u64>,
    /// What its namespace is for.
    pub class: Class,
    /// The number of its priority class, where known.
    pub priority: Option<i32>,
    /// What was seen of its containers, by name.
    pub seen: BTreeMap<String, Seen>,
}

/// From here on a user's priority class means that others shall suffer first; far above what clusters use to tell batch jobs apart.
const HIGH_PRIORITY: i32 = 1_000_000;
/// Words in the names of priority classes of what must answer quickly.
const URGENT: [&str; 6] = ["critical", "high", "latency", "interactive", "realtime", "online"];

impl Subject {
    /// Its pods, as they shall be.
    #[must_use]
    pub fn pod(&self) -> &Pod {
        &self.workload.template
    }

    /// Containers that somebody wrote into the manifest.
    pub fn containers(&self) -> impl Iterator<Item = (ContainerKind, &Container)> {
        self.pod().containers().filter(|(kind, _)| *kind != ContainerKind::Ephemeral)
    }

    /// Those that stay: init containers come and go, and are held by the limits of the others.
    pub fn lasting_containers(&self) -> impl Iterator<Item = &Container> {
        self.containers().filter(|(kind, _)| *kind != ContainerKind::Init).map(|(_, container)| container)
    }

    /// Lasting containers without a memory limit; none where the pod as a whole has one.
    pub fn unlimited(&self) -> impl Iterator<Item = &Container> {
        let whole = self.pod().spec.resources.memory_limit().is_some();
        self.lasting_containers().filter(move |container| !whole && amounts::limit(container).is_none())
    }

    /// Its QoS class.
    #[must_use]
    pub fn qos(&self) -> Qos {
        self.pod().qos()
    }

    /// Whether requests are known: cgroups do not have them.
    #[must_use]
    pub fn knows_requests(&self) -> bool {
        self.witness != Witness::Cgroups
    }

    /// Nobody told what the pod is called: it goes by its uid, its containers by their ids.
    #[must_use]
    pub fn is_nameless(&self) -> bool {
        self.witness == Witness::Cgroups && self.workload.metadata.namespace.is_none()
    }

    /// Runs once on every node, or looks after the node itself: a leak of it is a leak of the whole fleet.
    #[must_use]
    pub fn is_host_agent(&self) -> bool {
        self.workload.kind == "DaemonSet" || self.pod().spec.host_pid == Some(true)
    }

    /// A part of the control plane that its distribution runs from a file of the node (kube-apiserver, etcd): it has no limit on
    /// purpose, and nobody can change that through the API.
    #[must_use]
    pub fn is_control_plane(&self) -> bool {
        let meta = &self.pod().metadata;
        let of_file = meta.annotations.contains_key("kubernetes.io/config.mirror")
            || meta.annotations.get("kubernetes.io/config.source").is_some_and(|source| source == "file");
        self.class == Class::System && (of_file || self.workload.kind == "Node")
    }

    /// What must answer quickly or must not die: by its priority class.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        let name = self.pod().spec.priority_class_name.as_deref().unwrap_or_default().to_ascii_lowercase();
        let by_name = name.starts_with("system-") || URGENT.iter().any(|word| name.contains(word));
        by_name || self.priority.is_some_and(|priority| priority >= HIGH_PRIORITY)
    }

    /// ` (priority class high)`, for a sentence.
    pub(super) fn priority_in_words(&self) -> String {
        match (&self.pod().spec.priority_class_name, self.priority) {
            (Some(name), _) => format!("priority class {}", name_in_text(name.as_bytes())),
            (None, Some(priority)) => format!("priority {priority}"),
            (None, None) => "no priority class".to_owned(),
        }
    }

    /// Whether it is in production.
    #[must_use]
    pub fn is_production(&self) -> bool {
        self.class == Class::Production
    }

    /// Whether it is of the cluster itself.
    #[must_use]
    pub fn class_is_system(&self) -> bool {
        self.class == Class::System
    }

    /// The pod as a whole has a memory request or limit (1.32 and newer), which its containers share.
    #[must_use]
    pub fn request_of_pod_is_set(&self) -> bool {
        let own = &self.pod().spec.resources;
        own.memory_request().is_some() || own.memory_limit().is_some()
    }

    /// What was seen of a container.
    pub(super) fn seen(&self, container: &str) -> Option<&Seen> {
        self.seen.get(container)
    }

    pub(super) fn target(&self) -> Target {
        let meta = &self.workload.metadata;
        Target {
            kind: self.workload.kind.clone(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            pods: self.pods,
        }
    }

    /// The lines of the containers, else that of the object.
    pub(super) fn places(&self, containers: &[String]) -> Vec<Place> {
        let Some(place) = &self.place else { return Vec::new() };
        let at = |line: u64| Place { line: Some(line), ..place.clone() };
        let lines: Vec<Place> =
            containers.iter().filter_map(|name| self.lines.get(name)).map(|line| at(*line)).collect();
        if lines.is_empty() { vec![place.clone()] } else { lines }
    }

    /// A patch of the memory of containers: `(container, request, limit)`; what is `None` is not mentioned.
    pub(super) fn resources_patch(&self, changes: &[patch::Change<'_>]) -> String {
        patch::resources(self, changes)
    }
}
