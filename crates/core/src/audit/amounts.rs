//! What one container asks for and may take, where it says so.

use crate::kubernetes::{Container, Quantity};
use crate::units::Bytes;

/// The memory request that counts for a container: the API copies a limit into a missing request. `None`: it states nothing.
pub(super) fn request(container: &Container) -> Option<Bytes> {
    Some(container.memory_request()).filter(|bytes| bytes.0 > 0)
}

/// Its memory limit.
pub(super) fn limit(container: &Container) -> Option<Bytes> {
    container.resources.memory_limit().map(Quantity::bytes)
}
