//! Where what is known about pods and containers is read: the API server, the kubelet, the container runtime, files on the node, and
//! objects that somebody saved.

mod below;
pub mod cri;
pub mod disk;
mod oci;
pub mod saved;
