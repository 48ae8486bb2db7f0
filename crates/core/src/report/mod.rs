//! Station 7 of the path: how a [`Case`](crate::case::Case) is shown.
//!
//! Pure functions from a case to text: how wide, in which colours and in which characters are arguments, so that the
//! same case gives the same bytes in a terminal, in a test and in a ticket.
//!
//! Process names, cgroup paths and log lines are chosen by strangers. They reach the reader through one of three doors
//! and no other: [`escape`](crate::text::escape) for a terminal, [`json`]'s formatter, and [`markdown`]'s code spans and
//! fences. Sentences of the diagnosis have been escaped by the rules already, but a stored case may have been edited since:
//! they are cleaned again on the way out (`words::clean`).

mod layout;
mod markdown_code;
mod markdown_recorded;
mod memory;
mod page;
mod ranking;
mod recorded;
mod style;
mod table;
mod who;
mod words;

pub mod accounts;
pub mod audit;
pub mod code;
pub mod inspection;
pub mod json;
pub mod ledger;
pub mod markdown;
pub mod next;
pub mod one_line;
pub mod plot;
pub mod profile;
pub mod runbook;
pub mod summary;
pub mod text;

pub use recorded::plot as growth_plot;
pub use summary::Summary;
pub use text::TextOptions;
