//! Which of the cluster's nodes this machine is.
//!
//! A DaemonSet says it (`NODE_NAME` from the downward API, `spec.nodeName`, which only variables can have, no files). Otherwise the
//! host's name is looked for: as a Node's name, as its label `kubernetes.io/hostname`, and as the name of a pod, which is this one
//! where it does not share the machine's UTS namespace.

use oomscope_core::kubernetes::{Node, Pod};

use super::super::{Error, Why};
use super::ask::{Ask, NODE, POD};
use super::server::{From, Server};
use crate::host_root::HostRoot;

/// The name from the environment.
pub(crate) fn from_environment() -> Option<String> {
    std::env::var("NODE_NAME").ok().filter(|name| !name.is_empty())
}

/// The name that the API server knows this machine by. `Ok(None)`: it knows none of the names that this machine has.
pub(crate) async fn ask(server: &Server, root: &HostRoot) -> Result<Option<String>, Error> {
    for host in host_names(root) {
        match server.get::<Node>(&Ask::get(&NODE, None, &host, "")).await {
            Ok(node) => return Ok(Some(node.metadata.name)),
            Err(Error { why: Why::NotFound, .. }) => {}
            Err(error) => return Err(error),
        }
        let labelled = Ask::list(&NODE, None).label("kubernetes.io/hostname", &host);
        let mut nodes = server.page::<Node>(&labelled, &From::NotOlderThan("0"), 2).await?.items;
        if let (Some(only), true) = (nodes.pop(), nodes.is_empty()) {
            return Ok(Some(only.full_name));
        }
        let own = Ask::get(&POD, Some(&server.namespace), &host, "");
        if let Ok(Pod { spec, .. }) = server.get::<Pod>(&own).await
            && spec.node_name.is_some()
        {
            return Ok(spec.node_name);
        }
    }
    Ok(None)
}

/// What this machine is called, long and short; Kubernetes writes names in lower case.
fn host_names(root: &HostRoot) -> Vec<String> {
    let file = std::fs::read_to_string(root.path("/etc/hostname")).ok();
    // Of the namespace that this runs in: in a pod the pod's.
    let own = rustix::system::uname().nodename().to_str().ok().map(str::to_owned);
    let mut names = Vec::new();
    for name in [file, own].into_iter().flatten() {
        let name = name.trim().to_lowercase();
        let short = name.split('.').next().unwrap_or_default().to_owned();
        names.extend([name, short]);
    }
    names.retain(|name| !name.is_empty() && name != "localhost");
    let mut seen = Vec::new();
    names.retain(|name| {
        let is_new = !seen.contains(name);
        seen.push(name.clone());
        is_new
    });
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The machine's own file comes before this process's namespace, the long name before the short one.
    #[test]
    fn names() {
        let folder = tempfile::tempdir().unwrap();
        let root = HostRoot::at(folder.path());
        std::fs::create_dir_all(root.path("/etc")).unwrap();
        std::fs::write(root.path("/etc/hostname"), "Worker-3.example.org\n").unwrap();
        let names = host_names(&root);
        assert_eq!(names[..2], ["worker-3.example.org", "worker-3"]);
    }
}
