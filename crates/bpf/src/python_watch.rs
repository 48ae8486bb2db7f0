//! The Python functions in which processes were that asked for the page that was one too many.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use libbpf_rs::{Link, MapCore as _, MapFlags, MapHandle};

use crate::object::{Loaded, image};
use crate::records::Wire as _;
use crate::ring::{Ring, counters};
use crate::{Failure, Reason, wire};

/// Sees the kills that processes cause whose layout it was told, until it is dropped.
pub struct PythonWatch {
    // Dropped first: no more records then.
    _links: Vec<Link>,
    ring: Ring<PythonRecord>,
    layouts: PythonLayouts,
    bss: MapHandle,
}

/// Where it is told how processes lay out their frames; may be used from another thread.
#[derive(Clone, Debug)]
pub struct PythonLayouts(Arc<MapHandle>);

/// The Python frames of a task.
#[derive(Clone, Debug)]
pub struct PythonRecord(Box<wire::python>);

impl PythonWatch {
    /// Loads and attaches the program.
    ///
    /// # Errors
    /// It does not work here, and why.
    pub fn start() -> Result<Self, Failure> {
        let attach = |program: &libbpf_rs::ProgramMut<'_>| program.attach().map(|link| vec![link]);
        let mut loaded = Loaded::new(image!("python"), &["on_mark_victim_in_python"], &|_| {}, &attach)?;
        let ring = Ring::new(loaded.map("python_events")?, PythonRecord::decode).map_err(|e| Failure {
            tried: "ring buffer of Python frames".to_owned(),
            reason: Reason::Other(e.to_string()),
        })?;
        let layouts = PythonLayouts(Arc::new(loaded.map("pythons")?));
        Ok(Self { ring, layouts, bss: loaded.map(".bss")?, _links: loaded.links })
    }

    /// Where to tell it of processes.
    #[must_use]
    pub fn layouts(&self) -> PythonLayouts {
        self.layouts.clone()
    }

    /// Readable from the moment of a kill until it is drained.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }

    /// Calls `on` for each record that waits, without waiting for more.
    pub fn drain(&mut self, on: &mut dyn FnMut(PythonRecord)) {
        self.ring.drain(on);
    }

    /// Records that were not sent because the ring buffer was full.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let [lost] = counters(&self.bss);
        lost
    }
}

impl PythonLayouts {
    /// From now on its frames are copied when it asks for a page that is one too many. Of the processes that were told, the 4096 that
    /// were told last are kept.
    ///
    /// # Errors
    /// The kernel has no memory for it.
    pub fn set(&self, pid: u32, layout: &wire::python_layout) -> Result<(), Failure> {
        self.0.update(&pid.to_ne_bytes(), &bytes_of(layout), MapFlags::ANY).map_err(|e| Failure {
            tried: format!("telling the kernel how process {pid} keeps its Python frames"),
            reason: Reason::Other(e.to_string()),
        })
    }
}

/// A `python_process` that no kill was seen of.
fn bytes_of(layout: &wire::python_layout) -> [u8; size_of::<wire::python_process>()] {
    let process = wire::python_process { layout: *layout, last_ns: 0 };
    // SAFETY: it is made up of integers without padding between, so that each of its bytes is initialised.
    unsafe { std::mem::transmute(process) }
}

impl PythonRecord {
    fn decode(bytes: &[u8]) -> Option<Self> {
        wire::python::read(bytes, size_of::<wire::python>()).map(Self)
    }
}

impl std::ops::Deref for PythonRecord {
    type Target = wire::python;

    fn deref(&self) -> &wire::python {
        &self.0
    }
}

impl wire::python {
    /// Those that were found, innermost first.
    #[must_use]
    pub fn frames(&self) -> &[wire::python_frame] {
        usize::try_from(self.count).ok().and_then(|count| self.frames.get(..count)).unwrap_or(&self.frames)
    }
}

impl wire::python_frame {
    /// As much of the line table as was copied.
    #[must_use]
    pub fn line_table(&self) -> &[u8] {
        usize::try_from(self.line_table_bytes).ok().and_then(|bytes| self.line_table.get(..bytes)).unwrap_or_default()
    }
}
