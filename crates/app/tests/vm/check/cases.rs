//! The cases that oomscope printed.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use oomscope_core::case::Case;

/// In order of first printing, each in its latest revision.
#[derive(Debug, Default)]
pub(super) struct Cases(Vec<Case>);

impl Cases {
    /// Reads JSON Lines. A line that the process was writing when it was killed is passed over, any other must be a case.
    pub(super) fn read(files: &[PathBuf]) -> Result<Self> {
        let mut cases = Self::default();
        for file in files {
            let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
            for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
                let case: Case = serde_json::from_str(line).with_context(|| format!("{}: {line}", file.display()))?;
                cases.add(case)?;
            }
        }
        Ok(cases)
    }

    fn add(&mut self, case: Case) -> Result<()> {
        match self.0.iter_mut().find(|known| known.id == case.id) {
            Some(before) => {
                ensure!(case.revision >= before.revision, "{} came again with an older revision", case.id);
                *before = case;
            }
            None => self.0.push(case),
        }
        Ok(())
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Case> {
        self.0.iter()
    }

    /// Those in which this process died.
    pub(super) fn of_victim(&self, pid: u32) -> impl Iterator<Item = &Case> {
        self.all().filter(move |case| case.incident.report().victims.iter().any(|victim| victim.pid == pid))
    }
}
