//! A cluster to be audited, through its API: pods, and what decides over them.
//!
//! Pods tell what is in force, defaults of LimitRanges and injected sidecars included, so they are read rather than the templates that they
//! were made from; only a CronJob may have none right now. What may not be read is a gap, and the rest is audited.

use oomscope_core::audit::{Inventory, Sighting, Witness};
use oomscope_core::evidence::Gap;
use oomscope_core::kubernetes::{Document, Object};
use oomscope_sources::kubernetes::api::{Access, CRON_JOB, Cluster, Kind, LIMIT_RANGE, NAMESPACE, PRIORITY_CLASS};
use serde_json::Value;

use crate::cli::complain;

/// Kubelets that are asked for their configuration: each is a request through the API server, and fleets are made alike.
const KUBELETS: usize = 30;

/// Reads it. The number is of objects that could not be read.
///
/// # Errors
/// Where not even the pods may be listed.
pub(super) fn read(access: &Access, namespace: Option<&str>, inventory: &mut Inventory) -> anyhow::Result<u64> {
    let cluster = Cluster::connect(access)?;
    let mut unread = 0;
    objects(&cluster, &PRIORITY_CLASS, None, inventory, &mut unread);
    // What one may not list need not be allowed where one may read the namespace that was asked for.
    objects(&cluster, &NAMESPACE, None, inventory, &mut unread);
    objects(&cluster, &LIMIT_RANGE, namespace, inventory, &mut unread);
    let gaps = cluster.pods(namespace, |pod| inventory.see_pod(&pod, Sighting::default(), Witness::Pod))?;
    for gap in gaps {
        refuse(&format!("{}: {}", gap.wanted, gap.why), &mut unread);
    }
    objects(&cluster, &CRON_JOB, namespace, inventory, &mut unread);
    if namespace.is_none() {
        nodes(&cluster, inventory);
    }
    Ok(unread)
}

/// Hands over every object of a kind.
fn objects(cluster: &Cluster, kind: &Kind, namespace: Option<&str>, inventory: &mut Inventory, unread: &mut u64) {
    let listed = cluster.objects(kind, namespace, |value| see(value, inventory, unread));
    if let Err(error) = listed {
        inventory.gaps.push(Gap::new(kind.plural, error.to_string()));
    }
}

fn see(value: Value, inventory: &mut Inventory, unread: &mut u64) {
    let document = Document::read(value);
    for refused in &document.refused {
        refuse(&refused.to_string(), unread);
    }
    for (object, _) in &document.objects {
        if let Err(refused) = inventory.see(object, Sighting::default()) {
            refuse(&refused.to_string(), unread);
        }
    }
}

fn refuse(why: &str, unread: &mut u64) {
    *unread += 1;
    complain(why);
}

/// Nodes with the sums of their pods; with only some of the pods read, those would be wrong.
fn nodes(cluster: &Cluster, inventory: &mut Inventory) {
    let nodes = match cluster.nodes() {
        Ok(nodes) => nodes,
        Err(error) => return inventory.gaps.push(Gap::new("nodes", error.to_string())),
    };
    let names: Vec<String> = nodes.iter().map(|node| node.metadata.name.clone()).collect();
    for node in nodes {
        // A Node is never malformed here: it was read as one.
        let _ = inventory.see(&Object::Node(Box::new(node)), Sighting::default());
    }
    for name in names.iter().take(KUBELETS) {
        match cluster.kubelet_config(name) {
            Ok(config) => inventory.see_kubelet(name, config),
            Err(error) => {
                return inventory.gaps.push(Gap::new("configuration of the kubelets", error.to_string()));
            }
        }
    }
    if names.len() > KUBELETS {
        let why = format!("only the first {KUBELETS} of {} nodes were asked", names.len());
        inventory.gaps.push(Gap::new("configuration of the other kubelets", why));
    }
}
