//! Other programs that read OOM reports, as `scripts/rivals` installed them.

use anyhow::{Context as _, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What is there to compare with.
#[derive(Debug, Default)]
pub(crate) struct Rivals {
    pub(crate) present: Vec<Rival>,
    /// Name and reason.
    pub(crate) missing: Vec<(String, String)>,
}

#[derive(Debug)]
pub(crate) struct Rival {
    pub(crate) program: PathBuf,
    pub(crate) label: String,
    pub(crate) extracts: String,
}

#[derive(Debug, Deserialize)]
struct About {
    name: String,
    version: String,
    extracts: String,
}

pub(crate) fn installed(folder: &Path) -> Result<Rivals> {
    let mut rivals = Rivals::default();
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(rivals) };
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.sort();
    for folder in folders {
        match std::fs::read(folder.join("about.json")) {
            Ok(about) => {
                let about: About =
                    serde_json::from_slice(&about).with_context(|| format!("{}/about.json", folder.display()))?;
                let label = format!("{} {}", about.name, about.version);
                rivals.present.push(Rival { program: folder.join("run"), label, extracts: about.extracts });
            }
            Err(_) => {
                let why = std::fs::read_to_string(folder.join("missing")).unwrap_or_default();
                let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                rivals.missing.push((name, why.trim().to_owned()));
            }
        }
    }
    Ok(rivals)
}
