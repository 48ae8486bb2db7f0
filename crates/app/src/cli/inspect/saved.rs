//! Looks in files.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use oomscope_core::inspect::{Inspection, SCHEMA};
use oomscope_core::report::json;
use oomscope_core::text::escape;
use serde::Deserialize;

use crate::cli::export;

/// Ten thousand processes with their largest mappings come to some 30 MiB.
const LARGEST: u64 = 256 << 20;

/// Writes one, for the user alone: it has command lines.
pub(super) fn write(path: &Path, inspection: &Inspection, force: bool) -> anyhow::Result<()> {
    let line = json::inspection(inspection).context("writing the look as JSON")? + "\n";
    export::write(path, line.as_bytes(), force)
}

/// Reads one.
pub(super) fn read(path: &Path) -> anyhow::Result<Inspection> {
    #[derive(Deserialize)]
    struct Head {
        schema: String,
    }
    let reading = || format!("reading {}", path.display());
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).with_context(reading)?;
    if bytes.len() as u64 > LARGEST {
        bail!("{} is longer than any saved look ({} MiB)", path.display(), LARGEST >> 20);
    }
    let head: Head = serde_json::from_slice(&bytes)
        .with_context(|| format!("{} is no saved look (`inspect --save` writes them)", path.display()))?;
    if head.schema != SCHEMA {
        bail!("{} is of the schema {}; this oomscope reads {SCHEMA}", path.display(), escape(head.schema.as_bytes()));
    }
    serde_json::from_slice(&bytes).with_context(reading)
}
