//! Test material, never shipped.

pub mod corpus;
