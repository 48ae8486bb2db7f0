//! The kubelet's logs, whose names say whose they are, also long after the container has ended.
//!
//! `/var/log/pods/<namespace>_<pod>_<uid>/<container>/<restart>.log` is the log, and
//! `/var/log/containers/<pod>_<namespace>_<container>-<id>.log` a link to it (`pkg/kubelet/kuberuntime/{helpers,legacy}.go`). The
//! kubelet cuts the link's name at 255 bytes; an id that was cut is not read.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;

use oomscope_core::kubernetes::RuntimeContainer;

use super::{Ids, MOST_CONTAINERS, is_name};
use crate::kubernetes::below::Below;

const LINKS: &str = "/var/log/containers";
const LOGS: &str = "/var/log/pods";

/// The links to logs.
#[derive(Debug)]
pub(super) struct Logs {
    /// Names of all of them by id, where all were read.
    by_id: Option<HashMap<String, String>>,
}

impl Logs {
    /// For one container, whose link is looked for when asked.
    pub(super) const fn of_one() -> Self {
        Self { by_id: None }
    }

    /// For many.
    pub(super) fn all(below: &Below, ids: &mut Ids) -> Self {
        let names = ids.folder(below, LINKS, id_of);
        let by_id = names.into_iter().filter_map(|name| Some((id_of(&name)?.to_owned(), name))).collect();
        Self { by_id: Some(by_id) }
    }

    /// What the names of its logs tell of a container of which some is known.
    pub(super) fn container(
        &self,
        below: &Below,
        id: &str,
        known: Option<&RuntimeContainer>,
    ) -> Option<RuntimeContainer> {
        let by_name = || target(below, &link_of(id, known?)?);
        let by_link = match &self.by_id {
            Some(by_id) => by_id.get(id).and_then(|link| target(below, link)),
            None => by_name().or_else(|| target(below, &find(below, id)?)),
        };
        match by_link {
            Some(container) => Some(RuntimeContainer { id: id.to_owned(), ..container }),
            None => latest(below, known?),
        }
    }
}

/// A pod, by the names of its folders of logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodNames {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its containers that were ever started, init containers among them, by name.
    pub containers: Vec<String>,
}

/// The pod whose folder has this uid.
pub(super) fn pod(below: &Below, uid: &str) -> Option<PodNames> {
    let folders = below.names(LOGS, MOST_CONTAINERS).ok()?.names.into_iter();
    let mut folders = folders.filter_map(|name| name.into_string().ok());
    let folder = folders.find(|name| name.rsplit_once('_').is_some_and(|(_, last)| last == uid))?;
    let (namespace, rest) = folder.split_once('_')?;
    let (name, _) = rest.split_once('_')?;
    let containers = below.names(Path::new(LOGS).join(&folder), MOST_CONTAINERS).map(|names| names.names);
    let containers = containers.unwrap_or_default().into_iter().filter_map(|name| name.into_string().ok());
    let mut containers: Vec<String> = containers.filter(|name| is_name(name)).collect();
    containers.sort();
    (is_name(namespace) && is_name(name)).then(|| PodNames {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        containers,
    })
}

/// Where a link points to.
fn target(below: &Below, link: &str) -> Option<RuntimeContainer> {
    of_log(&below.target(Path::new(LINKS).join(link)).ok()?)
}

fn link_of(id: &str, known: &RuntimeContainer) -> Option<String> {
    let (pod, namespace, container) = (known.pod.as_ref()?, known.namespace.as_ref()?, known.container.as_ref()?);
    let is_part = [pod, namespace, container].into_iter().all(|name| is_name(name));
    is_part.then(|| format!("{pod}_{namespace}_{container}-{id}.log"))
}

fn find(below: &Below, id: &str) -> Option<String> {
    let names = below.names(LINKS, MOST_CONTAINERS).ok()?.names.into_iter();
    names.filter_map(|name| name.into_string().ok()).find(|name| id_of(name) == Some(id))
}

/// The latest log of a running container is its own: instances of a container do not run side by side.
fn latest(below: &Below, known: &RuntimeContainer) -> Option<RuntimeContainer> {
    let is_running = known.init_pid.is_some() && known.finished.is_none();
    let (namespace, pod) = (known.namespace.as_ref()?, known.pod.as_ref()?);
    let (uid, container) = (known.pod_uid.as_ref()?, known.container.as_ref()?);
    if !is_running || ![namespace, pod, uid, container].into_iter().all(|name| is_name(name)) {
        return None;
    }
    let folder = Path::new(LOGS).join(format!("{namespace}_{pod}_{uid}")).join(container);
    let logs = below.names(folder, MOST_CONTAINERS).ok()?.names;
    let latest = logs.iter().filter_map(|log| restarts(log.to_str()?)).max()?;
    Some(RuntimeContainer { id: known.id.clone(), restart_count: Some(latest), ..RuntimeContainer::default() })
}

/// The id at the end of a link's name.
fn id_of(link: &str) -> Option<&str> {
    let (_, id) = link.strip_suffix(".log")?.rsplit_once('-')?;
    (id.len() == 64 && id.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(id)
}

/// What the path of a log says of its container.
fn of_log(path: &Path) -> Option<RuntimeContainer> {
    let mut parts = path.iter().rev().map(OsStr::to_str);
    let mut next = || parts.next().flatten();
    let (file, container, pod) = (next()?, next()?, next()?);
    let (namespace, pod_and_uid) = pod.split_once('_')?;
    let (name, uid) = pod_and_uid.split_once('_')?;
    let text = |text: &str| Some(text.to_owned()).filter(|text| is_name(text));
    Some(RuntimeContainer {
        pod_uid: text(uid),
        namespace: text(namespace),
        pod: text(name),
        container: text(container),
        restart_count: restarts(file),
        ..RuntimeContainer::default()
    })
}

/// `3.log`; of rotated ones the date is behind.
fn restarts(file: &str) -> Option<u32> {
    file.strip_suffix(".log")?.parse().ok()
}
