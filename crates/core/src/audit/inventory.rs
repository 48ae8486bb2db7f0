//! Everything that an audit is about, put together from objects in any order: pods of one make once, templates with their namespace's
//! defaults, sightings with whom they are of.
//!
//! Of a pod only the first and the newest of its make are kept, so 100,000 pods of a cluster cost their uids.

use std::collections::{BTreeMap, HashMap};

use indexmap::IndexMap;
use serde_json::Value;

use super::finding::Place;
use super::limit_range::LimitRange;
use super::machine::{Committed, Machine};
use super::namespace::{Class, Production};
use super::seen::{Seen, Sight};
use super::subject::{Subject, Witness};
use crate::evidence::Gap;
use crate::incident::identity::Identity;
use crate::kubernetes::{KubeletConfig, Meta, Node, NotAnObject, Object, Pod, Workload};

/// Where an object was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// The file, and the line of the object.
    pub place: Option<Place>,
    /// Lines of its containers, by name.
    pub lines: BTreeMap<String, u64>,
}

/// Pods of one make go by namespace and by who made them: `Deployment/api`, `Pod/import-a`.
type Key = (Option<String>, String);

/// Everything to be audited.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    production: Production,
    subjects: IndexMap<Key, Subject>,
    by_uid: HashMap<String, Key>,
    machines: IndexMap<String, Machine>,
    committed: HashMap<String, Committed>,
    namespaces: HashMap<String, BTreeMap<String, String>>,
    limit_ranges: Vec<LimitRange>,
    priorities: HashMap<String, i32>,
    default_priority: Option<i32>,
    finished: Vec<Subject>,
    /// What was sought and not had.
    pub gaps: Vec<Gap>,
}

impl Inventory {
    /// Nothing yet.
    #[must_use]
    pub fn new(production: Production) -> Self {
        Self { production, ..Self::default() }
    }

    /// Takes in an object. Kinds that say nothing about memory are passed over.
    ///
    /// # Errors
    /// [`NotAnObject::Malformed`] where a kind that is read here has a field of another type than the API gives it.
    pub fn see(&mut self, object: &Object, found: Sighting) -> Result<(), NotAnObject> {
        match object {
            Object::Pod(pod) => self.see_pod(pod, found, Witness::Pod),
            Object::Node(node) => self.see_node(node),
            Object::Event(_) => {}
            Object::Other { kind, value } => return self.see_other(object, kind, value, found),
        }
        Ok(())
    }

    fn see_other(&mut self, object: &Object, kind: &str, value: &Value, found: Sighting) -> Result<(), NotAnObject> {
        let malformed =
            |error: serde_json::Error| NotAnObject::Malformed { kind: kind.to_owned(), why: error.to_string() };
        match kind {
            "Namespace" => {
                let meta = meta_of(value).map_err(malformed)?;
                self.namespaces.insert(meta.name, meta.labels);
            }
            "LimitRange" => {
                let range = LimitRange::read(value).map_err(malformed)?;
                self.limit_ranges.push(LimitRange { place: found.place, ..range });
            }
            "PriorityClass" => self.see_priority_class(value, &meta_of(value).map_err(malformed)?),
            _ => {
                if let Some(workload) = Workload::of(object) {
                    self.see_template(workload?, found);
                }
            }
        }
        Ok(())
    }

    fn see_priority_class(&mut self, value: &Value, meta: &Meta) {
        let Some(number) = value.get("value").and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok()) else {
            return;
        };
        if value.get("globalDefault").and_then(Value::as_bool) == Some(true) {
            self.default_priority = Some(number);
        }
        self.priorities.insert(meta.name.clone(), number);
    }

    /// A controller. Its pods, where there are any, tell more than its template, and come under the same key. What makes nothing but
    /// other controllers' pods (a Deployment's ReplicaSet) is that one's.
    fn see_template(&mut self, workload: Workload, found: Sighting) {
        let meta = &workload.metadata;
        if meta.controller().is_some() {
            return;
        }
        let key = (meta.namespace.clone(), format!("{}/{}", workload.kind, meta.name));
        let pods = workload.replicas;
        let subject = Subject {
            workload,
            pods,
            witness: Witness::Template,
            place: found.place,
            lines: found.lines,
            ..Subject::default()
        };
        match self.subjects.get_mut(&key) {
            Some(known) if known.witness != Witness::Template => {
                known.place = known.place.take().or(subject.place);
                known.lines.extend(subject.lines);
            }
            _ => {
                self.subjects.insert(key, subject);
            }
        }
    }

    /// Takes in a pod, as `witness` knows it.
    pub fn see_pod(&mut self, pod: &Pod, found: Sighting, witness: Witness) {
        let meta = &pod.metadata;
        let made_by = meta.workload().filter(|owner| !owner.starts_with("Node/"));
        let owner = made_by.unwrap_or_else(|| format!("Pod/{}", meta.name));
        let key = (meta.namespace.clone(), owner);
        if let Some(uid) = pod.cgroup_uid() {
            self.by_uid.insert(uid.to_owned(), key.clone());
        }
        let has_ended = matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed"));
        // Nobody will run it again.
        if has_ended && key.1.starts_with("Pod/") {
            return;
        }
        if let Some(node) = pod.spec.node_name.as_ref().filter(|_| !has_ended) {
            let committed = self.committed.entry(node.clone()).or_default();
            committed.add(Some(pod.memory_request()), pod.memory_limit());
        }
        let one = u64::from(!has_ended);
        // A pod of a manifest has been through no admission.
        let witness = if meta.uid.is_none() && witness == Witness::Pod { Witness::Template } else { witness };
        let killed: Vec<(String, Seen)> =
            pod.statuses().filter_map(|s| Some((s.name.clone(), Seen::of_status(s)?))).collect();
        let known = match self.subjects.get_mut(&key).filter(|known| known.witness != Witness::Template) {
            Some(known) => {
                known.pods = known.pods.map(|pods| pods.saturating_add(one));
                if meta.creation_timestamp > known.workload.template.metadata.creation_timestamp {
                    known.workload.template = pod.clone();
                }
                known
            }
            None => {
                let subject = self.new_subject(pod, &key, found, witness, one);
                let at = self.subjects.insert_full(key, subject).0;
                let Some((_, subject)) = self.subjects.get_index_mut(at) else { return };
                subject
            }
        };
        for (container, seen) in killed {
            known.seen.entry(container).or_default().merge(&seen);
        }
    }

    fn new_subject(&self, pod: &Pod, key: &Key, found: Sighting, witness: Witness, pods: u64) -> Subject {
        let (kind, name) = key.1.split_once('/').unwrap_or(("Pod", &key.1));
        let metadata = Meta { name: name.to_owned(), namespace: key.0.clone(), ..Meta::default() };
        let of_template = self.subjects.get(key);
        Subject {
            workload: Workload { kind: kind.to_owned(), metadata, template: pod.clone(), replicas: None },
            pods: Some(pods),
            witness,
            place: of_template.and_then(|known| known.place.clone()).or(found.place),
            lines: of_template.map(|known| known.lines.clone()).unwrap_or(found.lines),
            ..Subject::default()
        }
    }

    fn see_node(&mut self, node: &Node) {
        let name = node.metadata.name.clone();
        let machine = Machine {
            name: Some(name.clone()),
            has_pods: true,
            capacity: node.memory_capacity().map(|quantity| quantity.bytes()),
            allocatable: node.memory_allocatable().map(|quantity| quantity.bytes()),
            ..Machine::default()
        };
        self.machines.insert(name, machine);
    }

    /// Takes in a machine of which more is known than its Node object tells.
    pub fn see_machine(&mut self, machine: Machine) {
        self.machines.insert(machine.name.clone().unwrap_or_default(), machine);
    }

    /// Adds the configuration of a node's kubelet. A node that is not known yet is none of ours.
    pub fn see_kubelet(&mut self, node: &str, config: KubeletConfig) {
        if let Some(machine) = self.machines.get_mut(node) {
            machine.kubelet = Some(config);
        }
    }

    /// True where neither a workload nor a machine is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subjects.is_empty() && self.machines.is_empty()
    }

    /// Adds what was seen of a container. False: nothing here is what it was seen of.
    pub fn observe(&mut self, sight: &Sight) -> bool {
        if !sight.is_of_a_container() {
            return false;
        }
        let Some(key) = self.key_of(&sight.identity) else { return false };
        let Some(subject) = self.subjects.get_mut(&key) else { return false };
        let Some(container) = container_of(subject, &sight.identity) else { return false };
        subject.seen.entry(container).or_default().merge(&sight.seen);
        true
    }

    /// By uid, else by the names: of a manifest that leaves the namespace open too.
    fn key_of(&self, identity: &Identity) -> Option<Key> {
        if let Some(key) = identity.pod_uid.as_ref().and_then(|uid| self.by_uid.get(uid)) {
            return Some(key.clone());
        }
        let by_pod = identity.pod.as_ref().map(|pod| format!("Pod/{pod}"));
        let owner = identity.owner.clone().or(by_pod)?;
        let key = (identity.namespace.clone(), owner);
        if self.subjects.contains_key(&key) {
            return Some(key);
        }
        let open = (None, key.1);
        self.subjects.contains_key(&open).then_some(open)
    }

    /// Nothing more will come: fills in what one object says of another. To be called once, before the audit.
    pub fn finish(&mut self) {
        let (namespaces, production) = (&self.namespaces, &self.production);
        let mut subjects: Vec<Subject> = std::mem::take(&mut self.subjects).into_values().collect();
        for subject in &mut subjects {
            let namespace = subject.workload.metadata.namespace.clone();
            let labels = namespace.as_ref().and_then(|name| namespaces.get(name));
            subject.class = production.class(namespace.as_deref(), labels);
            subject.priority = subject.pod().spec.priority.or_else(|| match &subject.pod().spec.priority_class_name {
                Some(name) => self.priorities.get(name).copied(),
                None => self.default_priority,
            });
            if subject.witness == Witness::Template {
                let ranges = self.limit_ranges.iter().filter(|range| range.metadata.namespace == namespace);
                ranges.for_each(|range| range.fill(&mut subject.workload.template));
            }
        }
        for (name, machine) in &mut self.machines {
            if let Some(committed) = self.committed.get(name) {
                machine.committed = *committed;
            }
        }
        self.finished = subjects;
    }

    /// Every workload; empty before [`Inventory::finish`].
    #[must_use]
    pub fn subjects(&self) -> &[Subject] {
        &self.finished
    }

    /// Every machine.
    #[must_use]
    pub fn machines(&self) -> Vec<&Machine> {
        self.machines.values().collect()
    }

    /// Every LimitRange.
    #[must_use]
    pub fn limit_ranges(&self) -> &[LimitRange] {
        &self.limit_ranges
    }

    /// What a namespace is for.
    #[must_use]
    pub fn class(&self, namespace: Option<&str>) -> Class {
        self.production.class(namespace, namespace.and_then(|name| self.namespaces.get(name)))
    }
}

fn meta_of(value: &Value) -> Result<Meta, serde_json::Error> {
    value.get("metadata").cloned().map(serde_json::from_value).transpose().map(Option::unwrap_or_default)
}

/// The container's name, or that of the only one.
fn container_of(subject: &Subject, identity: &Identity) -> Option<String> {
    let mut all = subject.containers().map(|(_, container)| container.name.clone());
    match &identity.container {
        Some(name) => all.find(|known| known == name),
        None => all.next().filter(|_| all.next().is_none()),
    }
}
