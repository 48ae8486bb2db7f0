//! The API server: asked once by a verb ([`Cluster`]), or followed by the [feed](super::feed).

mod access;
mod ask;
mod client;
mod cluster;
mod lenient;
pub(crate) mod node_name;
mod server;

pub use access::Access;
pub use ask::{
    CRON_JOB, DAEMON_SET, DEPLOYMENT, EVENT, JOB, Kind, LIMIT_RANGE, NAMESPACE, NODE, POD, PRIORITY_CLASS,
    RESOURCE_QUOTA, STATEFUL_SET,
};
pub use cluster::Cluster;

pub(crate) use ask::Ask;
pub(crate) use cluster::node_events;
pub(crate) use lenient::Lenient;
pub(crate) use server::{From, Server, status_refusal};
