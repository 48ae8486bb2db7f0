//! The kernel log.
//!
//! ```text
//! bytes ─lines─▶ transport ─▶ Record ─▶ message ─▶ Message ─▶ assembler ─▶ KernelReport
//! ```
//!
//! - `transport/` strips what dmesg, the journal, syslog, a serial console, kubectl or a mail program wrapped around the
//!   kernel's text, and keeps what those knew: time, sequence number, level, host.
//! - `message/` reads one kernel message: every wording since 2.6.
//! - `assembler` puts the messages of one OOM event together, through foreign lines, losses and damage.

pub mod assembler;
pub mod message;
pub mod record;
mod scanner;
pub mod transport;

pub use assembler::{Assembler, LogEvent, PATIENCE_MS};
pub use scanner::{LONGEST_LITERAL, Scanner, Tally, has_literal, newlines};
