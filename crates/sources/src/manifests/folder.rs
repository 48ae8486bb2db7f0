//! The manifests below a folder, as kubectl finds them with `-R`: by their endings.

use std::path::{Path, PathBuf};

use super::Error;

/// Folders that lie deeper are passed over.
const DEEPEST: usize = 64;
/// More files than this are no manifests.
const MOST: usize = 100_000;
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// What there is below a folder.
#[derive(Debug, Default)]
pub struct Files {
    /// Sorted by name, so that two runs say the same.
    pub paths: Vec<PathBuf>,
    /// What could not be listed.
    pub errors: Vec<Error>,
    /// There were more than are looked at.
    pub cut: bool,
}

impl Files {
    /// Links to files are followed (a mounted ConfigMap is made of them), links to folders are not: they may lead in circles.
    #[must_use]
    pub fn below(folder: &Path) -> Self {
        let mut files = Self::default();
        let mut waiting = vec![(folder.to_owned(), 0)];
        while let Some((folder, depth)) = waiting.pop() {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) => {
                    files.errors.push(Error::file(&folder, error));
                    continue;
                }
            };
            for entry in entries.flatten() {
                let path = entry.path();
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_folder && depth < DEEPEST {
                    waiting.push((path, depth + 1));
                } else if !is_folder && is_manifest(&path) {
                    files.paths.push(path);
                }
            }
            if files.paths.len() > MOST {
                files.paths.truncate(MOST);
                files.cut = true;
                break;
            }
        }
        files.paths.sort();
        files
    }
}

/// A regular file, or a link to one: opening a pipe would wait for ever.
fn is_manifest(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    ENDINGS.contains(&ending.as_str()) && path.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Manifests at any depth in order, nothing else, and no circles.
    #[test]
    fn what_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("b/c")).unwrap();
        for name in ["z.yaml", "a.JSON", "b/c/d.yml", "README.md", "values.yaml.bak"] {
            std::fs::write(at(name), "").unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), at("b/up")).unwrap();
        let found = Files::below(folder.path());
        assert_eq!(found.paths, [at("a.JSON"), at("b/c/d.yml"), at("z.yaml")]);
        assert_eq!(Files::below(&at("gone")).errors.len(), 1);
    }
}
