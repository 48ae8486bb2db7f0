//! The records as the programs write them (`programs/wire.h`), generated from their BTF.
//!
//! Counts and lengths in them are to be taken through the methods here, which keep them within the arrays.

mod kill_program {
    #![allow(warnings, clippy::all, clippy::undocumented_unsafe_blocks)]
    include!(concat!(env!("OUT_DIR"), "/kill.skel.rs"));
}

mod faults_program {
    #![allow(warnings, clippy::all, clippy::undocumented_unsafe_blocks)]
    include!(concat!(env!("OUT_DIR"), "/faults.skel.rs"));
}

mod python_program {
    #![allow(warnings, clippy::all, clippy::undocumented_unsafe_blocks)]
    include!(concat!(env!("OUT_DIR"), "/python.skel.rs"));
}

pub use faults_program::types::{fault, fault_filter, fault_losses};
pub use kill_program::types::{
    build_id, kill, kill_hook, kill_losses, kill_scope, level, memory, party, range, registers, stack, task_row, tasks,
};
pub use python_program::types::{python, python_entry, python_frame, python_layout, python_process, python_text};

pub(crate) use faults_program::types::rodata as faults_rodata;
pub(crate) use kill_program::types::rodata as kill_rodata;

use kill_program::types::record_kind;

pub(crate) const RECORD_KILL: u32 = record_kind::RECORD_KILL.0;
pub(crate) const RECORD_STACK: u32 = record_kind::RECORD_STACK.0;
pub(crate) const RECORD_TASKS: u32 = record_kind::RECORD_TASKS.0;
pub(crate) const RECORD_FAULT: u32 = record_kind::RECORD_FAULT.0;
