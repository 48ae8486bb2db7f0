//! Test material, never shipped.

pub mod corpus;
pub mod golden;
pub mod render;
