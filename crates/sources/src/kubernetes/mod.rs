//! Where what is known about pods and containers is read: the container runtime, and files on the node.

mod below;
pub mod cri;
pub mod disk;
mod oci;
