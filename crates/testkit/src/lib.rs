//! Test material, never shipped.

pub mod golden;
