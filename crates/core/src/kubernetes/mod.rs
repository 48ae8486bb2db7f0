//! What Kubernetes says: its objects, as far as memory and death are concerned, and what follows from them.
//!
//! The types are cut down to the fields that some question needs, and read any version of the API: what a server does not send is
//! `None` or empty, what it sends in addition is passed over. They are read from the API, the kubelet, saved files and manifests alike.

mod account;
mod amounts;
mod clock_tie;
mod directory;
mod document;
mod ending;
mod event;
pub mod eviction;
mod kubelet_config;
pub mod limits_in_force;
mod meta;
mod node;
mod pod;
mod quantity;
mod reconcile;
mod runtime;
mod shown;
mod source;
mod witness;
mod workload;

pub use account::{
    Account, BackOff, ContainerAccount, Coverage, EndedBy, Eviction, KernelSide, KillSeen, NodeAccount, PodAccount,
    State, ToldEvent,
};
pub use directory::{Directory, PodRecord};
pub use document::{Change, Document, NotAnObject, Object};
pub use ending::{Ending, SIGKILL_CODE};
pub use event::{About, Event};
pub use kubelet_config::{KubeletConfig, MemorySwap, Threshold, Thresholds};
pub use meta::{Meta, Owner};
pub use node::{Node, NodeAddress, NodeCondition, NodeStatus, Taint};
pub use pod::{
    Condition, Container, ContainerKind, ContainerState, ContainerStatus, EmptyDir, EnvVar, Pod, PodSpec, PodStatus,
    Qos, Resources, Running, Terminated, Volume, Waiting, mirrored_uid, split_container_id,
};
pub use quantity::{NotAQuantity, Quantity};
pub use reconcile::{KUBERNETES, LogRead, Reconciler};
pub use runtime::RuntimeContainer;
pub use source::Source;
pub use witness::KillWitness;
pub use workload::Workload;

use serde::{Deserialize, Deserializer};

/// Go writes an empty list or map as `null` as often as not.
fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
