//! A case as the bytes of its row: its line of JSON, one zstd frame with a checksum.
//!
//! The checksum is what tells a flipped bit from the truth: SQLite has none of its own.

use std::io::{Error, ErrorKind, Read as _, Result};

use oomscope_core::case::Case;
use oomscope_core::report::json;
use zstd::stream::raw::CParameter;
use zstd::stream::read::Decoder;

/// Quick enough to stand between a kill and the disk; higher levels win a few per cent.
const LEVEL: i32 = 3;

/// The longest line of JSON that is read back: a task table of 100 000 rows takes about 30 MB.
const LONGEST: u64 = 64 << 20;

/// Packs a case.
pub(super) fn pack(case: &Case) -> Result<Vec<u8>> {
    let line = json::line(case)?;
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    compressor.compress(line.as_bytes())
}

/// The case that these bytes begin with, and how many of them it takes.
///
/// # Errors
/// Where the bytes are damaged, or no case.
pub(super) fn unpack(bytes: &[u8]) -> Result<(Case, usize)> {
    let mut decoder = Decoder::with_buffer(bytes)?.single_frame();
    let mut line = Vec::new();
    decoder.by_ref().take(LONGEST + 1).read_to_end(&mut line)?;
    if line.len() as u64 > LONGEST {
        return Err(Error::new(ErrorKind::InvalidData, "longer than any case"));
    }
    let rest = decoder.finish().len();
    Ok((serde_json::from_slice(&line)?, bytes.len().saturating_sub(rest)))
}
