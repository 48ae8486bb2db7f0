//! Who is who on a node, from those who know it: the API server, the kubelet, the container runtime, files on disk, and objects that
//! somebody saved.
//!
//! Each may be away, slow or forbidden while the others are not, so each is asked by itself, within time limits, and what it could
//! not tell is a [`Gap`](oomscope_core::evidence::Gap). What they say meets in a [`Directory`](oomscope_core::kubernetes::Directory).

pub mod api;
mod below;
pub mod cri;
pub mod disk;
mod error;
pub mod feed;
pub mod kubelet;
mod oci;
pub mod saved;

pub use error::{Error, Why};
