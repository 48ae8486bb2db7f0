//! Test material, never shipped.
