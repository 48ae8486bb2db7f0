//! From the program's records to frames.

use std::os::fd::BorrowedFd;

use oomscope_bpf::wire::{python_entry, python_frame, python_layout, python_text};
use oomscope_bpf::{PythonRecord, PythonWatch};
use oomscope_core::evidence::Gap;

use super::PythonStack;
use crate::stacks::interpreters::python::{Copied, Entry, Layout, Text};

/// Python functions at a kill.
pub struct Pythons(PythonWatch);

/// Where it is told of processes; may be used from another thread.
#[derive(Clone, Debug)]
pub struct PythonLayouts(oomscope_bpf::PythonLayouts);

/// Instead of an offset: there is no such field (`PYTHON_NONE`).
const NONE: u32 = u32::MAX;

impl Pythons {
    /// Loads the program.
    ///
    /// # Errors
    /// It does not work here, and why.
    pub fn start() -> Result<Self, Gap> {
        let watch = PythonWatch::start();
        watch.map(Self).map_err(|e| Gap::new("the Python functions of a process that is killed", e.to_string()))
    }

    /// Where to tell it of processes.
    #[must_use]
    pub fn layouts(&self) -> PythonLayouts {
        PythonLayouts(self.0.layouts())
    }

    /// Readable when there is something to [`drain`](Self::drain).
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Calls `on` for each stack that came since. Frames say where they were by the layout that was told for their process.
    pub fn drain(&mut self, on: &mut dyn FnMut(PythonStack)) {
        self.0.drain(&mut |record| on(stack(&record)));
    }
}

impl PythonLayouts {
    /// From now on the frames of this process are copied at a kill that it causes. Those that were told last are kept.
    ///
    /// # Errors
    /// The kernel has no memory for it.
    pub fn set(&self, pid: u32, layout: &Layout) -> Result<(), Gap> {
        let what = format!("the Python functions of process {pid}, if it is killed");
        self.0.set(pid, &in_c(layout)).map_err(|e| Gap::new(what, e.to_string()))
    }
}

fn in_c(layout: &Layout) -> python_layout {
    let offsets = &layout.offsets;
    let (frame_entry_kind, frame_entry) = match offsets.frame_entry {
        Entry::Always => (python_entry::PYTHON_ENTRY_ALWAYS, NONE),
        Entry::Flag(at) => (python_entry::PYTHON_ENTRY_FLAG, at),
        Entry::Owner(at) => (python_entry::PYTHON_ENTRY_OWNER, at),
    };
    python_layout {
        interpreters: layout.interpreters,
        interpreter_next: offsets.interpreter_next,
        interpreter_threads: offsets.interpreter_threads,
        thread_next: offsets.thread_next,
        thread_id: offsets.thread_id,
        thread_frame: offsets.thread_frame,
        cframe_frame: offsets.cframe_frame.unwrap_or(NONE),
        frame_previous: offsets.frame_previous,
        frame_code: offsets.frame_code,
        frame_instruction: offsets.frame_instruction,
        frame_entry,
        frame_entry_kind: frame_entry_kind.0,
        code_file: offsets.code_file,
        code_name: offsets.code_name,
        code_first_line: offsets.code_first_line,
        code_line_table: offsets.code_line_table,
        string_length: offsets.string_length,
        string_state: offsets.string_state,
        string_ascii: offsets.string_ascii,
        string_other: offsets.string_other,
        bytes_size: offsets.bytes_size,
        bytes_data: offsets.bytes_data,
        padding: 0,
    }
}

fn stack(record: &PythonRecord) -> PythonStack {
    let mut frames: Vec<Copied> = Vec::new();
    for frame in record.frames() {
        if frame.is_sentinel != 0 {
            if let Some(before) = frames.last_mut() {
                before.entry = true;
            }
        } else if frame.code != 0 {
            frames.push(copied(frame));
        }
    }
    PythonStack { at_ns: record.at_ns, pid: record.pid, tid: record.tid, frames }
}

fn copied(frame: &python_frame) -> Copied {
    Copied {
        name: text(&frame.name, &frame.name_data),
        file: text(&frame.file, &frame.file_data),
        first_line: frame.first_line,
        line_table: frame.line_table().to_vec(),
        place: frame.instruction,
        code: frame.code,
        entry: frame.is_entry != 0,
    }
}

fn text(head: &python_text, data: &[u8]) -> Option<Text> {
    let length = usize::try_from(head.length).ok().filter(|&length| length > 0)?;
    let bytes = length.saturating_mul(Text::width(head.state)?).min(data.len());
    Some(Text { state: head.state, length, data: data.get(..bytes)?.to_vec() })
}
