//! Who is who on a node: pods and containers by the ids that their cgroups carry, the living and the dead.
//!
//! Kubernetes forgets: a status keeps one earlier ending per container, an evicted pod loses all of them, and a deleted pod is gone
//! before anybody asks. So what any witness has once said is kept here, within bounds.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use indexmap::IndexMap;
use jiff::Timestamp;

use super::ending::Ending;
use super::{Change, ContainerKind, Document, Event, KubeletConfig, Node, Object, Pod, RuntimeContainer, Source};
use crate::incident::identity::Identity;

/// Pods that are gone are remembered up to this many, the latest ones.
const GONE_PODS: usize = 1000;
/// So many more before the oldest are forgotten, all at once: it takes a look at everything known.
const GONE_TOO_MANY: usize = 64;
/// Endings of containers kept for one pod: a back-off of 5 min gives 12 an hour.
const ENDINGS: usize = 32;
/// Events kept for one pod, and for the node.
const EVENTS: usize = 64;
/// Containers of the runtime that belong to no pod known.
const CONTAINERS: usize = 4096;

/// All that is known of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRecord {
    /// Its latest state.
    pub pod: Pod,
    /// The best witness of it.
    pub source: Source,
    /// When that was said; `None` for objects that somebody saved.
    pub seen: Option<Timestamp>,
    /// True once it is gone from the API or the node.
    pub gone: bool,
    /// Every ending of its containers that was ever seen, oldest first.
    pub endings: Vec<Ending>,
    /// Events about it, oldest first.
    pub events: Vec<Event>,
    /// Its latest status that still had containers: an eviction deletes them.
    pub with_containers: Option<Box<Pod>>,
}

/// Which container an id is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Instance {
    pod: String,
    container: String,
}

/// Pods and containers of a node.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// Labels of pods that accounts repeat.
    labels: Vec<String>,
    pods: IndexMap<String, PodRecord>,
    instances: HashMap<String, Instance>,
    containers: IndexMap<String, (RuntimeContainer, Source)>,
    stray_events: Vec<Event>,
    /// Witnesses that cannot be asked at present.
    away: BTreeSet<Source>,
    /// The node, once seen.
    pub node: Option<Node>,
    /// When its condition MemoryPressure turned true, each time that was seen.
    pub memory_pressure: Vec<Timestamp>,
    /// Events about the node, oldest first.
    pub node_events: Vec<Event>,
    /// The kubelet's configuration, once read.
    pub kubelet: Option<KubeletConfig>,
}

impl Directory {
    /// An empty one. Accounts repeat these labels of pods.
    #[must_use]
    pub fn with_labels(labels: Vec<String>) -> Self {
        Self { labels, ..Self::default() }
    }

    /// Labels of pods that accounts repeat.
    pub(super) fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Takes in everything that a document says.
    pub fn see_document(&mut self, document: Document, source: Source, at: Option<Timestamp>) {
        for (object, change) in document.objects {
            match object {
                Object::Pod(pod) => {
                    let uid = pod.cgroup_uid().map(str::to_owned);
                    self.see_pod(*pod, source, at);
                    if let (Change::Deleted, Some(uid)) = (change, uid) {
                        self.pod_gone(&uid);
                    }
                }
                Object::Node(node) => self.see_node(*node),
                Object::Event(event) if change == Change::Present => self.see_event(*event),
                Object::Event(_) | Object::Other { .. } => {}
            }
        }
    }

    /// Takes in the present state of a pod. A worse witness does not replace what a better one said, unless that is gone.
    pub fn see_pod(&mut self, pod: Pod, source: Source, at: Option<Timestamp>) {
        let Some(uid) = pod.cgroup_uid().map(str::to_owned) else { return };
        for status in pod.statuses() {
            let ended = [&status.state, &status.last_state].into_iter().filter_map(|state| state.terminated.as_ref());
            let ids = ended.filter_map(|ended| ended.id()).chain(status.id());
            for id in ids {
                let instance = Instance { pod: uid.clone(), container: status.name.clone() };
                self.instances.insert(id.to_owned(), instance);
            }
        }
        let endings: Vec<Ending> = pod
            .statuses()
            .flat_map(|status| [(status, &status.last_state), (status, &status.state)])
            .filter_map(|(status, state)| Some(Ending::of(&pod, status, state.terminated.as_ref()?, source)))
            .collect();
        let uids = [Some(uid.clone()), pod.metadata.uid.clone()];
        let record = self.pods.entry(uid).or_insert_with(|| PodRecord {
            pod: pod.clone(),
            source,
            seen: at,
            gone: false,
            endings: Vec::new(),
            events: Vec::new(),
            with_containers: None,
        });
        for ending in endings {
            add_ending(&mut record.endings, ending);
        }
        if is_newer(&pod, source, record, &self.away) {
            if pod.statuses().next().is_none() && record.pod.statuses().next().is_some() {
                record.with_containers = Some(Box::new(record.pod.clone()));
            }
            record.pod = pod;
            record.source = source;
            record.seen = at;
            record.gone = false;
        }
        self.adopt_events(&uids);
    }

    /// Whether a witness cannot be asked at present: meanwhile a worse one may replace what it said.
    pub fn set_away(&mut self, source: Source, is_away: bool) {
        if is_away {
            self.away.insert(source);
        } else {
            self.away.remove(&source);
        }
    }

    /// The pod with this cgroup uid is gone; what is known of it stays.
    pub fn pod_gone(&mut self, uid: &str) {
        if let Some(record) = self.pods.get_mut(uid) {
            record.gone = true;
        }
        self.forget_oldest();
    }

    /// Marks as gone every pod of a source that its complete list no longer has.
    pub fn only_present(&mut self, source: Source, present: &dyn Fn(&str) -> bool) {
        for (uid, record) in &mut self.pods {
            if record.source == source && !present(uid) {
                record.gone = true;
            }
        }
        self.forget_oldest();
    }

    /// Takes in a container as the runtime knows it.
    pub fn see_container(&mut self, container: RuntimeContainer, source: Source) {
        if let (Some(pod), Some(name)) = (&container.pod_uid, &container.container) {
            let instance = Instance { pod: pod.clone(), container: name.clone() };
            self.instances.entry(container.id.clone()).or_insert(instance);
        }
        match self.containers.get_mut(&container.id) {
            Some((known, by)) if *by < source => known.fill(container),
            Some(known) => {
                let before = std::mem::replace(known, (container, source));
                known.0.fill(before.0);
            }
            None => {
                self.containers.insert(container.id.clone(), (container, source));
            }
        }
        while self.containers.len() > CONTAINERS {
            self.containers.shift_remove_index(0);
        }
    }

    /// Takes in an event about a pod or the node.
    pub fn see_event(&mut self, event: Event) {
        if event.is_about("Node") {
            add_event(&mut self.node_events, event);
            return;
        }
        match event.involved_object.uid.as_ref().and_then(|uid| self.by_api_uid(uid)) {
            Some(uid) => {
                if let Some(record) = self.pods.get_mut(&uid) {
                    add_event(&mut record.events, event);
                }
            }
            None => add_event(&mut self.stray_events, event),
        }
    }

    /// Takes in the node's own object.
    pub fn see_node(&mut self, node: Node) {
        let pressure = node.condition("MemoryPressure").filter(|condition| condition.status == "True");
        if let Some(since) = pressure.and_then(|condition| condition.last_transition_time)
            && !self.memory_pressure.contains(&since)
        {
            self.memory_pressure.push(since);
            self.memory_pressure.drain(..self.memory_pressure.len().saturating_sub(EVENTS));
        }
        let version =
            |node: &Node| node.metadata.resource_version.as_deref().and_then(|version| version.parse::<u64>().ok());
        let is_older = self.node.as_ref().is_some_and(|known| {
            known.metadata.name == node.metadata.name
                && version(known).zip(version(&node)).is_some_and(|(known, new)| new < known)
        });
        if !is_older {
            self.node = Some(node);
        }
    }

    /// Every pod known, with the uid that its cgroup carries.
    pub fn pods(&self) -> impl Iterator<Item = (&str, &PodRecord)> {
        self.pods.iter().map(|(uid, record)| (uid.as_str(), record))
    }

    /// A pod, by the uid that its cgroup carries.
    #[must_use]
    pub fn pod(&self, uid: &str) -> Option<&PodRecord> {
        self.pods.get(uid)
    }

    /// Pods of this name, the living first, and of those the youngest: a StatefulSet gives a name again.
    #[must_use]
    pub fn pods_named(&self, namespace: Option<&str>, name: &str) -> Vec<(&str, &PodRecord)> {
        let is_it = |record: &PodRecord| {
            let meta = &record.pod.metadata;
            meta.name == name && namespace.is_none_or(|namespace| meta.namespace.as_deref() == Some(namespace))
        };
        let mut found: Vec<_> = self.pods().filter(|(_, record)| is_it(record)).collect();
        let has_ended = |record: &PodRecord| matches!(record.pod.status.phase.as_deref(), Some("Failed" | "Succeeded"));
        found.sort_by_key(|(_, record)| {
            (record.gone, has_ended(record), Reverse(record.pod.metadata.creation_timestamp))
        });
        found
    }

    /// Every container that a runtime told of.
    pub fn containers(&self) -> impl Iterator<Item = (&RuntimeContainer, Source)> {
        self.containers.values().map(|(container, source)| (container, *source))
    }

    /// A container as the runtime knows it, by its id or the beginning of it.
    #[must_use]
    pub fn runtime_container(&self, id: &str) -> Option<&RuntimeContainer> {
        let exact = self.containers.get(id).map(|(container, _)| container);
        exact.or_else(|| {
            let mut found = self.containers.iter().filter(|(full, _)| full.starts_with(id)).map(|(_, (c, _))| c);
            found.next().filter(|_| found.next().is_none() && id.len() >= 12)
        })
    }

    /// The container whose first process has this pid, in the machine's own pid namespace. Of several that had it, the latest.
    #[must_use]
    pub fn container_of_init(&self, pid: u32) -> Option<&RuntimeContainer> {
        let has_it = |container: &&RuntimeContainer| container.init_pid == Some(pid);
        self.containers
            .values()
            .map(|(container, _)| container)
            .filter(has_it)
            .max_by_key(|container| container.started)
    }

    /// The name of the container whose instance has this id.
    #[must_use]
    pub fn container_name(&self, id: &str) -> Option<&str> {
        self.instances.get(id).map(|instance| instance.container.as_str())
    }

    /// Adds the names to what a cgroup path told. Where nobody knows the pod or the container, nothing changes.
    pub fn complete(&self, identity: &mut Identity) {
        let runtime = identity.container_id.as_deref().and_then(|id| self.runtime_container(id));
        let uid = identity.pod_uid.clone().or_else(|| {
            let by_status = identity.container_id.as_ref().and_then(|id| self.instances.get(id)).map(|i| i.pod.clone());
            by_status.or_else(|| runtime?.pod_uid.clone())
        });
        let record = uid.as_ref().and_then(|uid| self.pods.get(uid));
        if identity.pod_uid.is_none() {
            identity.pod_uid = uid;
        }
        if let Some(record) = record {
            identity.complete_from_pod(record);
        }
        if let Some(id) = identity.container_id.clone() {
            let name = self.container_name(&id).map(str::to_owned).or_else(|| record?.only_container());
            identity.complete_container(record, name);
        }
        if let Some(container) = runtime {
            let source = self.containers.get(&container.id).map(|(_, source)| *source);
            identity.complete_from_runtime(container, source);
        }
        if identity.node.is_none() {
            identity.node =
                self.node.as_ref().map(|node| node.metadata.name.clone()).filter(|_| identity.pod.is_some());
        }
    }

    /// Events name the uid of the API, which of a static pod is not the cgroup's.
    fn by_api_uid(&self, uid: &str) -> Option<String> {
        if self.pods.contains_key(uid) {
            return Some(uid.to_owned());
        }
        let is_it = |record: &PodRecord| record.pod.metadata.uid.as_deref() == Some(uid);
        self.pods.iter().find(|(_, record)| is_it(record)).map(|(uid, _)| uid.clone())
    }

    /// Events often come before the pod that they are about.
    fn adopt_events(&mut self, uids: &[Option<String>]) {
        let is_its =
            |event: &mut Event| event.involved_object.uid.is_some() && uids.contains(&event.involved_object.uid);
        for event in self.stray_events.extract_if(.., is_its).collect::<Vec<_>>() {
            self.see_event(event);
        }
    }

    fn forget_oldest(&mut self) {
        let gone = self.pods.values().filter(|record| record.gone).count();
        let Some(mut too_many) = gone.checked_sub(GONE_PODS).filter(|count| *count >= GONE_TOO_MANY) else { return };
        self.pods.retain(|_, record| {
            let goes = record.gone && too_many > 0;
            too_many -= usize::from(goes);
            !goes
        });
        let pods = &self.pods;
        self.instances.retain(|_, instance| pods.contains_key(&instance.pod));
    }
}

impl PodRecord {
    /// The pod as it was when its status still had containers.
    #[must_use]
    pub fn with_statuses(&self) -> &Pod {
        self.with_containers.as_deref().filter(|_| self.pod.statuses().next().is_none()).unwrap_or(&self.pod)
    }

    /// Where there is only one container, an unknown id of the pod is an instance of it (or the pause container).
    fn only_container(&self) -> Option<String> {
        let mut containers = self.pod.containers();
        match (containers.next(), containers.next()) {
            (Some((_, only)), None) => Some(only.name.clone()),
            _ => None,
        }
    }
}

impl Identity {
    fn complete_from_pod(&mut self, record: &PodRecord) {
        let pod = &record.pod;
        let meta = &pod.metadata;
        self.namespace = self.namespace.take().or_else(|| meta.namespace.clone());
        self.pod = self.pod.take().or_else(|| Some(meta.name.clone()));
        self.owner = self.owner.take().or_else(|| meta.workload());
        self.node = self.node.take().or_else(|| pod.spec.node_name.clone());
        self.qos = self.qos.take().or_else(|| Some(pod.qos().to_string().to_lowercase()));
        self.source = self.source.or(Some(record.source));
    }

    fn complete_container(&mut self, record: Option<&PodRecord>, name: Option<String>) {
        self.container = self.container.take().or(name);
        let Some((record, name)) = record.zip(self.container.as_deref()) else { return };
        self.container_kind = self.container_kind.or_else(|| record.pod.kind_of(name));
        let image = record.pod.container(name).and_then(|container| container.image.clone());
        self.image = self.image.take().or(image);
    }

    fn complete_from_runtime(&mut self, container: &RuntimeContainer, source: Option<Source>) {
        self.namespace = self.namespace.take().or_else(|| container.namespace.clone());
        self.pod = self.pod.take().or_else(|| container.pod.clone());
        self.runtime = self.runtime.take().or_else(|| container.runtime.clone());
        self.image = self.image.take().or_else(|| container.image.clone());
        // Only the runtime knows that a container without a name is the sandbox.
        if container.kind == Some(ContainerKind::Pause) {
            self.container = None;
            self.container_kind = container.kind;
        } else {
            self.container = self.container.take().or_else(|| container.container.clone());
            self.container_kind = self.container_kind.or(container.kind);
        }
        self.source = self.source.or(source);
    }
}

/// A pod's state by a better or equal witness, or any state where the better witness has lost the pod or cannot be asked.
fn is_newer(pod: &Pod, source: Source, record: &PodRecord, away: &BTreeSet<Source>) -> bool {
    if source > record.source && !record.gone && !away.contains(&record.source) {
        return false;
    }
    let version = |pod: &Pod| pod.metadata.resource_version.as_deref().and_then(|version| version.parse::<u64>().ok());
    // Saved objects come in any order.
    match (source, version(pod), version(&record.pod)) {
        (Source::File, Some(new), Some(old)) => new >= old,
        _ => true,
    }
}

fn add_ending(endings: &mut Vec<Ending>, ending: Ending) {
    match endings.iter_mut().find(|known| known.is_same(&ending)) {
        Some(known) if known.source >= ending.source => *known = ending,
        Some(_) => {}
        None => {
            endings.push(ending);
            endings.sort_by_key(|ending| ending.finished);
        }
    }
    if endings.len() > ENDINGS {
        endings.remove(0);
    }
}

/// An event that is counted up comes again under its name.
fn add_event(events: &mut Vec<Event>, event: Event) {
    let is_same = |known: &Event| !known.metadata.name.is_empty() && known.metadata.name == event.metadata.name;
    match events.iter_mut().find(|known| is_same(known)) {
        Some(known) if event.last() >= known.last() => *known = event,
        Some(_) => {}
        None => events.push(event),
    }
    if events.len() > EVENTS {
        events.remove(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::Meta;
    use serde_json::json;

    fn directory(documents: &[serde_json::Value]) -> Directory {
        let mut directory = Directory::default();
        for document in documents {
            directory.see_document(Document::read(document.clone()), Source::File, None);
        }
        directory
    }

    fn status(version: &str, id: &str, ended: &str) -> serde_json::Value {
        json!({
            "kind": "Pod",
            "metadata": {"name": "api-1", "namespace": "shop", "uid": "u-1", "resourceVersion": version},
            "spec": {"containers": [{"name": "api", "image": "api:7"}, {"name": "log"}], "nodeName": "n"},
            "status": {"containerStatuses": [{
                "name": "api", "containerID": format!("containerd://{id}"), "restartCount": 1,
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-11-21T07:33:43Z",
                                             "containerID": format!("containerd://{ended}")}}
            }]}
        })
    }

    /// While a better witness cannot be asked, a worse one may replace what it said; before and after not.
    #[test]
    fn a_witness_that_is_away() {
        let pod = |name: &str| Pod {
            metadata: Meta { name: name.to_owned(), uid: Some("u".to_owned()), ..Meta::default() },
            ..Pod::default()
        };
        let mut directory = Directory::default();
        let mut says = |source, name: &str, api_is_away| {
            directory.set_away(Source::Api, api_is_away);
            directory.see_pod(pod(name), source, None);
            directory.pod("u").map(|record| record.pod.metadata.name.clone()).unwrap_or_default()
        };
        assert_eq!(says(Source::Api, "a", false), "a");
        assert_eq!(says(Source::Kubelet, "b", false), "a");
        assert_eq!(says(Source::Kubelet, "c", true), "c");
        assert_eq!(says(Source::Api, "d", false), "d");
        assert_eq!(says(Source::Kubelet, "e", false), "d");
    }

    /// The ids of instances that the status has long overwritten are still known by their names.
    #[test]
    fn overwritten_instances_are_remembered() {
        let directory = directory(&[status("2", "c2", "c1"), status("5", "c3", "c2")]);
        assert_eq!(directory.container_name("c1"), Some("api"));
        let record = directory.pod("u-1").unwrap();
        assert_eq!(record.endings.len(), 2);
        assert_eq!(record.endings[0].container_id.as_deref(), Some("c1"));
    }

    /// Saved objects are read in any order; the newest version is the pod's state.
    #[test]
    fn the_newest_version_counts() {
        let directory = directory(&[status("5", "c3", "c2"), status("2", "c2", "c1")]);
        assert_eq!(directory.pod("u-1").unwrap().pod.metadata.resource_version.as_deref(), Some("5"));
    }

    /// The path gives uid and id; the names come from here, with their source.
    #[test]
    fn names_for_a_path() {
        let directory = directory(&[status("2", "c2", "c1")]);
        let mut identity =
            Identity { pod_uid: Some("u-1".to_owned()), container_id: Some("c2".to_owned()), ..Identity::default() };
        directory.complete(&mut identity);
        assert_eq!(identity.namespace.as_deref(), Some("shop"));
        assert_eq!((identity.container.as_deref(), identity.image.as_deref()), (Some("api"), Some("api:7")));
        assert_eq!((identity.container_kind, identity.source), (Some(ContainerKind::App), Some(Source::File)));
    }

    /// Without any object the runtime still names the container.
    #[test]
    fn the_runtime_names_what_nobody_else_knows() {
        let mut directory = Directory::default();
        directory.see_container(
            RuntimeContainer {
                id: "c9".to_owned(),
                pod: Some("p".to_owned()),
                container: Some("main".to_owned()),
                ..RuntimeContainer::default()
            },
            Source::Cri,
        );
        let mut identity = Identity { container_id: Some("c9".to_owned()), ..Identity::default() };
        directory.complete(&mut identity);
        assert_eq!((identity.container.as_deref(), identity.source), (Some("main"), Some(Source::Cri)));
    }

    /// Pods that are gone are forgotten one day, the living never.
    #[test]
    fn memory_is_bounded() {
        let mut directory = Directory::default();
        for number in 0..GONE_PODS + 3 * GONE_TOO_MANY {
            let uid = format!("u-{number}");
            let mut pod = Pod::default();
            pod.metadata.uid = Some(uid.clone());
            directory.see_pod(pod, Source::Api, None);
            if number > 0 {
                directory.pod_gone(&uid);
            }
        }
        assert!(directory.pods.len() <= GONE_PODS + GONE_TOO_MANY + 1, "{}", directory.pods.len());
        assert!(directory.pod("u-0").is_some());
    }
}
