//! What files on the node tell of its containers, with no socket and no API: state folders of the runtimes, the kubelet's logs.
//!
//! A runtime removes most of a container's files within a fraction of a second of its end; [`container_on_disk`] looks at those of one
//! id only, to be quick. The names of log files stay until the kubelet removes the dead container.
//!
//! The files are written by runtimes, but names, labels and images in them are chosen by whoever may create pods, and a damaged
//! disk is a damaged disk: sizes and counts are bounded, links never lead out of the machine's root.

mod kubelet_logs;
mod volumes;

use oomscope_core::evidence::Gap;
use oomscope_core::kubernetes::RuntimeContainer;
pub use volumes::{MemoryVolume, memory_volumes};

use super::below::Below;
use crate::host_root::HostRoot;

/// Every container that files on the node tell of, and what could not be read.
#[must_use]
pub fn containers_on_disk(root: &HostRoot) -> (Vec<RuntimeContainer>, Vec<Gap>) {
    match Below::new(root) {
        Ok(below) => kubelet_logs::all(&below),
        Err(error) => {
            (Vec::new(), vec![Gap::new("containers on disk", format!("opening the machine's root: {error}"))])
        }
    }
}

/// The container with this whole id, from its own files.
#[must_use]
pub fn container_on_disk(root: &HostRoot, id: &str) -> Option<RuntimeContainer> {
    let below = Below::new(root).ok()?;
    kubelet_logs::one(&below, id)
}
