//! What the API server says of this node, into the directory.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use oomscope_core::kubernetes::{Event, Node, Pod, Source};
use tokio::sync::mpsc;
use tokio::sync::watch;

use super::super::Error;
use super::super::api::{Ask, EVENT, From, Lenient, NODE, POD, Server, node_events};
use super::news::News;
use super::pace::Pace;
use super::reflect::{Reflector, Seen};
use super::shared::Shared;

/// Objects that cannot be read are gaps whose names begin so.
const POD_GAP: &str = "pod ";
const POD_EVENTS: &str = "events about pods";
/// Events of one pod that are asked for: as many as the directory keeps.
const EVENTS: u32 = 64;

/// The API server and one of its nodes.
#[derive(Clone)]
pub(super) struct ApiTasks {
    pub(super) server: Server,
    pub(super) node: String,
    pub(super) pace: Pace,
    pub(super) shared: Arc<Shared>,
}

impl ApiTasks {
    fn reflector(&self, ask: Ask) -> Reflector {
        Reflector { server: self.server.clone(), ask, pace: self.pace, shared: Arc::clone(&self.shared) }
    }

    /// This node's pods, and whether they are to be had.
    pub(super) async fn pods(self, reached: watch::Sender<Option<bool>>) {
        let ask = Ask::list(&POD, None).fields(&[("spec.nodeName", &self.node)]);
        let reflector = self.reflector(ask.named(format!("pods of node {}", self.node)));
        let shared = Arc::clone(&self.shared);
        let mut listing = Listing::default();
        let on = move |seen| on_pod(&shared, &mut listing, seen);
        let shared = self.shared;
        let on_reach = move |is_reached| {
            if reached.send_if_modified(|state| state.replace(is_reached) != Some(is_reached)) {
                shared.directory().set_away(Source::Api, !is_reached);
                shared.set_pods_from(is_reached.then_some(Source::Api));
            }
        };
        reflector.run::<Pod>(on, on_reach).await;
    }

    /// The Node object.
    pub(super) async fn node(self) {
        let ask = Ask::list(&NODE, None).fields(&[("metadata.name", &self.node)]);
        let reflector = self.reflector(ask.named(format!("node {}", self.node)));
        let on = move |seen: Seen<Node>| {
            let Some(Lenient { object, .. }) = seen.object() else { return };
            match object {
                Ok(node) => on_node(&self.shared, node),
                Err(why) => self.shared.gap_begins(&format!("object of node {}", self.node), why),
            }
        };
        reflector.run::<Node>(on, |_| ()).await;
    }

    /// Events about the node.
    pub(super) async fn node_events(self) {
        let reflector = self.reflector(node_events(&self.node));
        let on = move |seen: Seen<Event>| {
            // An event is deleted when it is an hour old, which does not make it untrue.
            let Some(Lenient { object: Ok(event), .. }) = seen.object() else { return };
            let is_new = {
                let mut directory = self.shared.directory();
                let is_new = !directory.node_events.contains(&event);
                directory.see_event(event);
                is_new
            };
            if is_new {
                self.shared.tell(News::NodeEvents);
            }
        };
        reflector.run::<Event>(on, |_| ()).await;
    }

    /// Events about pods, one pod after the other, as they are asked for. They cannot be watched for one node: an event does not say
    /// where it came from in any field that the API server selects by, and those of a whole cluster are too many.
    pub(super) async fn pod_events(self, mut wanted: mpsc::Receiver<String>) {
        while let Some(uid) = wanted.recv().await {
            let name = {
                let directory = self.shared.directory();
                directory.pod(&uid).and_then(|record| {
                    let meta = &record.pod.metadata;
                    Some((meta.namespace.clone()?, meta.name.clone()))
                })
            };
            let Some((namespace, name)) = name else { continue };
            match self.events_about(&namespace, &name).await {
                Ok(events) => {
                    self.shared.answered(POD_EVENTS);
                    self.see_events(uid, events);
                }
                Err(error) => {
                    self.shared.refused(&error);
                    tokio::time::sleep(self.pace.first_wait).await;
                }
            }
        }
    }

    async fn events_about(&self, namespace: &str, pod: &str) -> Result<Vec<Event>, Error> {
        let ask = Ask::list(&EVENT, Some(namespace))
            .fields(&[("involvedObject.kind", "Pod"), ("involvedObject.name", pod)])
            .named(POD_EVENTS);
        let page = self.server.page::<Event>(&ask, &From::Newest, EVENTS).await?;
        Ok(page.items.into_iter().filter_map(|item| item.object.ok()).collect())
    }

    fn see_events(&self, uid: String, events: Vec<Event>) {
        let is_new = {
            let mut directory = self.shared.directory();
            let known = |directory: &oomscope_core::kubernetes::Directory| {
                directory.pod(&uid).map(|record| record.events.clone()).unwrap_or_default()
            };
            let before = known(&directory);
            events.into_iter().for_each(|event| directory.see_event(event));
            before != known(&directory)
        };
        if is_new {
            self.shared.tell(News::PodEvents { uid });
        }
    }
}

fn on_node(shared: &Shared, node: Node) {
    shared.gap_ends(&format!("object of node {}", node.metadata.name));
    let is_new = {
        let mut directory = shared.directory();
        let is_new = directory.node.as_ref() != Some(&node);
        directory.see_node(node);
        is_new
    };
    if is_new {
        shared.tell(News::Node);
    }
}

/// The list that is being read.
#[derive(Default)]
struct Listing {
    uids: HashSet<String>,
    /// Gaps of its pods that cannot be read.
    gaps: HashSet<String>,
}

fn on_pod(shared: &Shared, listing: &mut Listing, seen: Seen<Pod>) {
    match seen {
        Seen::ListBegins => *listing = Listing::default(),
        Seen::Listed(pod) => {
            listing.uids.extend(pod.uid.clone());
            listing.gaps.extend(pod.object.is_err().then(|| pod_gap(&pod)));
            present(shared, pod);
        }
        Seen::Present(pod) => present(shared, pod),
        Seen::Gone(pod) => {
            shared.gap_ends(&pod_gap(&pod));
            // The last state may hold an ending that no watch event showed.
            if let Ok(last) = pod.object {
                see_pod(shared, last, Source::Api);
            }
            if let Some(uid) = pod.uid {
                shared.directory().pod_gone(&uid);
                shared.tell(News::Pod { uid });
            }
        }
        Seen::ListEnds => {
            let Listing { uids, gaps } = std::mem::take(listing);
            only_present(shared, &[Source::Api, Source::Kubelet], &uids);
            shared.gaps_end(POD_GAP, |gap| !gaps.contains(gap));
        }
    }
}

fn pod_gap(pod: &Lenient<Pod>) -> String {
    format!("{POD_GAP}{}", pod.full_name)
}

fn present(shared: &Shared, pod: Lenient<Pod>) {
    let gap = pod_gap(&pod);
    match pod.object {
        Ok(pod) => {
            shared.gap_ends(&gap);
            see_pod(shared, pod, Source::Api);
        }
        Err(why) => shared.gap_begins(&gap, format!("its object cannot be read: {why}")),
    }
}

/// Takes in a pod and tells of it where anything of it is new.
pub(super) fn see_pod(shared: &Shared, pod: Pod, source: Source) {
    let Some(uid) = pod.cgroup_uid().map(str::to_owned) else { return };
    let is_new = {
        let mut directory = shared.directory();
        let is_new = directory.pod(&uid).is_none_or(|record| record.gone || record.pod != pod);
        directory.see_pod(pod, source, Some(Timestamp::now()));
        is_new
    };
    if is_new {
        shared.tell(News::Pod { uid });
    }
}

/// What a complete list of a witness no longer has is gone, also for those that were heard while it was away.
pub(super) fn only_present(shared: &Shared, sources: &[Source], listed: &HashSet<String>) {
    let gone: Vec<String> = {
        let mut directory = shared.directory();
        let of_them = |record: &oomscope_core::kubernetes::PodRecord| !record.gone && sources.contains(&record.source);
        let gone = directory.pods().filter(|(uid, record)| of_them(record) && !listed.contains(*uid));
        let gone = gone.map(|(uid, _)| uid.to_owned()).collect();
        sources.iter().for_each(|source| directory.only_present(*source, &|uid| listed.contains(uid)));
        gone
    };
    gone.into_iter().for_each(|uid| shared.tell(News::Pod { uid }));
}
