//! Fake machines.
