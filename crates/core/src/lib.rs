//! oomscope's judgement: kernel text and numbers go in, a verdict comes out.
//!
//! The data takes one path, and the modules are its stations:
//!
//! ```text
//! RawLine ─formats::klog─▶ Evidence ─incident─▶ Incident ─diagnosis─▶ Case ─report─▶ text · JSON · Markdown
//! ```
//!
//! This crate opens nothing, asks no clock and starts no thread: where `/` is and what time it is are
//! arguments. `clippy.toml` beside it enforces that. It therefore runs as well on a laptop, over a log from
//! a node that no longer exists, as on that node.

pub mod audit;
pub mod case;
pub mod diagnosis;
pub mod evidence;
pub mod formats;
pub mod incident;
pub mod inspect;
pub mod kubernetes;
pub mod ledger;
pub mod next;
pub mod notice;
pub mod profile;
pub mod recorder;
pub mod report;
pub mod runbook;
pub mod text;
pub mod time;
pub mod units;
