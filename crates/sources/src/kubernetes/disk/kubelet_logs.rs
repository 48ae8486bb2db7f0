//! The kubelet's logs, whose names say whose they are, also long after the container has ended.
//!
//! `/var/log/pods/<namespace>_<pod>_<uid>/<container>/<restart>.log` is the log, and
//! `/var/log/containers/<pod>_<namespace>_<container>-<id>.log` a link to it (`pkg/kubelet/kuberuntime/{helpers,legacy}.go`). The
//! kubelet cuts the link's name at 255 bytes; an id that was cut is not read.

use std::ffi::OsStr;
use std::path::Path;

use oomscope_core::evidence::Gap;
use oomscope_core::kubernetes::RuntimeContainer;

use crate::kubernetes::below::Below;

const LINKS: &str = "/var/log/containers";
/// Links looked through: a node has some hundred.
const MOST_LINKS: usize = 20_000;

/// What each link tells.
pub(super) fn all(below: &Below) -> (Vec<RuntimeContainer>, Vec<Gap>) {
    let names = match below.names(LINKS, MOST_LINKS) {
        Ok(names) => names,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return (Vec::new(), Vec::new()),
        Err(error) => return (Vec::new(), vec![Gap::new("names of containers", format!("listing {LINKS}: {error}"))]),
    };
    let containers = names.names.iter().filter_map(|name| container(below, name)).collect();
    let cut = Gap::new("names of containers", format!("{LINKS} has more than {MOST_LINKS} entries"));
    (containers, if names.are_all { Vec::new() } else { vec![cut] })
}

/// What the link of one container tells.
pub(super) fn one(below: &Below, id: &str) -> Option<RuntimeContainer> {
    let names = below.names(LINKS, MOST_LINKS).ok()?;
    let name = names.names.iter().find(|name| id_of(name) == Some(id))?;
    container(below, name)
}

fn container(below: &Below, link: &OsStr) -> Option<RuntimeContainer> {
    let id = id_of(link)?;
    let target = below.target(Path::new(LINKS).join(link)).ok()?;
    Some(RuntimeContainer { id: id.to_owned(), ..of_log(&target)? })
}

/// The id at the end of a link's name.
fn id_of(link: &OsStr) -> Option<&str> {
    let (_, id) = link.to_str()?.strip_suffix(".log")?.rsplit_once('-')?;
    is_id(id).then_some(id)
}

/// As every runtime makes them.
pub(super) fn is_id(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// What the path of a log says of its container.
pub(super) fn of_log(path: &Path) -> Option<RuntimeContainer> {
    let mut parts = path.iter().rev().map(OsStr::to_str);
    let mut next = || parts.next().flatten();
    let (file, container, pod) = (next()?, next()?, next()?);
    let (namespace, pod_and_uid) = pod.split_once('_')?;
    let (name, uid) = pod_and_uid.split_once('_')?;
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Some(RuntimeContainer {
        pod_uid: text(uid),
        namespace: text(namespace),
        pod: text(name),
        container: text(container),
        restart_count: restart(file),
        ..RuntimeContainer::default()
    })
}

/// `3.log`; rotated ones have a date behind.
fn restart(file: &str) -> Option<u32> {
    file.strip_suffix(".log")?.parse().ok()
}
