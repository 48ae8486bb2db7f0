//! Who is asked about the pod: saved objects, or the API server, else the kubelet, the runtime and the node's files.

use oomscope_core::evidence::Gap;
use oomscope_core::kubernetes::{Directory, Source};
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::kubernetes::Error;
use oomscope_sources::kubernetes::api::{Access, Cluster};
use oomscope_sources::kubernetes::kubelet::{Kubelet, KubeletAccess};
use oomscope_sources::kubernetes::saved::read_saved;

use super::{Args, Name, is_root_of_this_machine};
use crate::cli::witnesses::see_containers;

/// What they said.
pub(super) struct Found {
    pub(super) directory: Directory,
    /// The pod, by the uid that its cgroup carries; `None`: nobody knows it.
    pub(super) uid: Option<String>,
    /// The API server, where it answered.
    pub(super) cluster: Option<Cluster>,
    /// Who could not be asked.
    pub(super) gaps: Vec<Gap>,
}

pub(super) fn ask(args: &Args, name: &Name, root: &HostRoot) -> anyhow::Result<Found> {
    let mut found =
        Found { directory: Directory::with_labels(args.labels.clone()), uid: None, cluster: None, gaps: Vec::new() };
    if !args.kubernetes.is_empty() {
        for path in &args.kubernetes {
            found.gaps.extend(read_saved(path, &mut found.directory));
        }
        found.uid = name.find(&found.directory).map(str::to_owned);
        return Ok(found);
    }
    if !args.local {
        ask_the_api(args, name, &mut found);
    }
    ask_the_node(args, root, &mut found);
    found.uid = name.find(&found.directory).map(str::to_owned).or_else(|| name.find_by_container(&found.directory));
    Ok(found)
}

fn ask_the_api(args: &Args, name: &Name, found: &mut Found) {
    let access = Access::new(args.kubeconfig.as_deref(), args.context.as_deref());
    let asked = Cluster::connect(&access).and_then(|cluster| {
        let namespace = name.namespace.clone().unwrap_or_else(|| cluster.namespace().to_owned());
        tell(&cluster, &namespace, &name.name, found)?;
        Ok(cluster)
    });
    match asked {
        Ok(cluster) => found.cluster = Some(cluster),
        Err(error) => found.gaps.push(Gap::new("what the API server says of the pod", error.to_string())),
    }
}

/// The pod must be had; what is said around it may be missing.
fn tell(cluster: &Cluster, namespace: &str, name: &str, found: &mut Found) -> Result<(), Error> {
    let now = Some(jiff::Timestamp::now());
    let Some(pod) = cluster.pod(namespace, name)? else { return Ok(()) };
    let node = pod.spec.node_name.clone();
    found.directory.see_pod(pod, Source::Api, now);
    match cluster.events_about(namespace, name) {
        Ok(events) => events.into_iter().for_each(|event| found.directory.see_event(event)),
        Err(error) => found.gaps.push(Gap::new("events about the pod", error.to_string())),
    }
    let Some(node) = node else { return Ok(()) };
    match cluster.node(&node) {
        Ok(node) => node.into_iter().for_each(|node| found.directory.see_node(node)),
        Err(error) => found.gaps.push(Gap::new("the node's conditions", error.to_string())),
    }
    match cluster.node_events(&node) {
        Ok(events) => events.into_iter().for_each(|event| found.directory.see_event(event)),
        Err(error) => found.gaps.push(Gap::new("events about the node", error.to_string())),
    }
    Ok(())
}

/// The kubelet only where the API server did not know the pod; the runtime and the files always: they know what it forgets.
fn ask_the_node(args: &Args, root: &HostRoot, found: &mut Found) {
    if found.directory.pods().next().is_none() && is_root_of_this_machine(&args.root) {
        let pods = Kubelet::connect(&KubeletAccess::default(), None).and_then(|kubelet| kubelet.pods());
        match pods {
            Ok(document) => found.directory.see_document(document, Source::Kubelet, Some(jiff::Timestamp::now())),
            Err(error) => found.gaps.push(Gap::new("what the kubelet says of the pod", error.to_string())),
        }
    }
    let (missing, runtime) = see_containers(root, &mut found.directory);
    if let Err(error) = runtime {
        found.gaps.push(Gap::new("what the container runtime says of the pod", error.to_string()));
    }
    found.gaps.extend(missing);
}
