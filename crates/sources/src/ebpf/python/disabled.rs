//! The same functions, in a build without eBPF.

use std::os::fd::BorrowedFd;

use oomscope_core::evidence::Gap;

use super::PythonStack;
use crate::stacks::interpreters::python::Layout;

/// Python functions at a kill. There are none of these here.
#[derive(Debug)]
pub enum Pythons {}

/// Where it is told of processes.
#[derive(Clone, Debug)]
pub enum PythonLayouts {}

impl Pythons {
    /// # Errors
    /// Always.
    pub fn start() -> Result<Self, Gap> {
        Err(Gap::new("the Python functions of a process that is killed", "built without eBPF"))
    }

    /// Where to tell it of processes.
    #[must_use]
    pub fn layouts(&self) -> PythonLayouts {
        match *self {}
    }

    /// Readable when there is something to [`drain`](Self::drain).
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }

    /// Calls `on` for each stack that came since.
    pub fn drain(&mut self, _on: &mut dyn FnMut(PythonStack)) {
        match *self {}
    }
}

impl PythonLayouts {
    /// # Errors
    /// The kernel has no memory for it.
    pub fn set(&self, _pid: u32, _layout: &Layout) -> Result<(), Gap> {
        match *self {}
    }
}
