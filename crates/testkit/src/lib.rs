//! Test material, never shipped.

pub mod containerd;
pub mod corpus;
mod explain;
pub mod golden;
pub mod kubernetes;
pub mod programs;
pub mod render;
pub mod vm;

pub use explain::{explain, explain_in_chunks};
