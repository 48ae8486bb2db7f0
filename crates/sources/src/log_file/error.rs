//! What can go wrong between a path and its text.

use std::io;

use oomscope_core::text::escape;

use super::Compression;

/// Says what was attempted, on what, and why it failed. File names are escaped: they may come from anywhere.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be opened.
    #[error("opening {}: {source}", escape(.name.as_bytes()))]
    Open {
        /// The path.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The file could not be read further; what came before was delivered.
    #[error("reading {} at byte {offset}: {source}", escape(.name.as_bytes()))]
    Read {
        /// The path, or `standard input`.
        name: String,
        /// Bytes read from the file before.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The compressed data is cut or corrupt; what could be uncompressed was delivered.
    #[error(
        "reading {}: the {compression} data is cut or damaged near byte {offset}, after {text_bytes} bytes of text: {source}",
        escape(.name.as_bytes())
    )]
    Damaged {
        /// The path, or `standard input`.
        name: String,
        /// What it is compressed with.
        compression: Compression,
        /// Bytes read from the file up to the damage; it lies at most one read buffer before.
        offset: u64,
        /// Bytes of text delivered before.
        text_bytes: u64,
        /// The decoder's words.
        source: io::Error,
    },
    /// A known format that holds no text as it is.
    #[error("reading {}: this is {what}; {instead}", escape(.name.as_bytes()))]
    Unsupported {
        /// The path, or `standard input`.
        name: String,
        /// `a binary systemd journal`.
        what: &'static str,
        /// What to do in place of it.
        instead: &'static str,
    },
    /// A directory was named.
    #[error("{} is a directory; pass the log files in it{}", escape(.name.as_bytes()), for_example(.candidates))]
    Directory {
        /// The path.
        name: String,
        /// Files in it that look like kernel logs, a few.
        candidates: Vec<String>,
    },
    /// A pattern that matches no file.
    #[error("no file matches {}", escape(.pattern.as_bytes()))]
    NoMatch {
        /// As given.
        pattern: String,
    },
    /// A pattern that is not one.
    #[error("the pattern {}: {source}", escape(.pattern.as_bytes()))]
    Pattern {
        /// As given.
        pattern: String,
        /// What is wrong with it.
        source: glob::PatternError,
    },
}

impl Error {
    /// The typed error inside what [`Read::read`](io::Read::read) of a [`LogInput`](super::LogInput) returned.
    #[must_use]
    pub fn inside(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

pub(super) fn name_of(name: Option<&str>) -> String {
    name.unwrap_or("standard input").to_owned()
}

fn for_example(candidates: &[String]) -> String {
    match candidates {
        [] => String::new(),
        some => format!(", for example {}", escape(some.join(" ").as_bytes())),
    }
}
