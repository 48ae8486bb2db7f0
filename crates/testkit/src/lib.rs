//! Test material, never shipped.

pub mod corpus;
pub mod golden;
