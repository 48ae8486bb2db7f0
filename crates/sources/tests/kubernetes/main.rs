//! The API server and the kubelet as sources, against servers that speak their HTTP and misbehave.

mod cluster;
mod feed;
mod kubelet;
mod misbehaviour;
mod scale;
mod support;
