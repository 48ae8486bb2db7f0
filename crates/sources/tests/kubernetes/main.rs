//! The API server and the kubelet as sources, against servers that speak their HTTP and misbehave.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic, also in its helpers")]

mod cluster;
mod feed;
mod kubelet;
mod misbehaviour;
mod proxy;
mod scale;
mod support;
