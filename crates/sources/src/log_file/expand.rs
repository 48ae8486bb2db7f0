//! From arguments to files: patterns that no shell expanded, directories, rotated sets.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Error;
use super::rotation::order_by_age;

/// How many files an error about a directory proposes.
const CANDIDATES_SHOWN: usize = 4;
/// How kernel logs are usually called.
const USUAL_NAMES: [&str; 7] = ["kern", "messages", "syslog", "dmesg", "journal", "console", "system.log"];

/// The files that arguments name, each once, in the order to read them in: pieces of one rotated log stand together,
/// oldest first. `-` stands for standard input. What cannot be used is an error in its place; the others remain.
///
/// An existing file is never taken for a pattern.
#[must_use]
pub fn expand(arguments: &[OsString]) -> Vec<Result<PathBuf, Error>> {
    let mut seen = HashSet::new();
    let mut files = Vec::new();
    for argument in arguments {
        for file in expand_one(argument) {
            if file.as_ref().map_or(true, |path| seen.insert(path.clone())) {
                files.push(file);
            }
        }
    }
    order_by_age(files, |file| file.as_ref().ok().map(PathBuf::as_path))
}

fn expand_one(argument: &OsString) -> Vec<Result<PathBuf, Error>> {
    let path = PathBuf::from(argument);
    if path.is_dir() {
        return vec![Err(directory_error(&path))];
    }
    match argument.to_str() {
        Some(pattern) if pattern.contains(['*', '?', '[']) && path.symlink_metadata().is_err() => matches_of(pattern),
        _ => vec![Ok(path)],
    }
}

fn matches_of(pattern: &str) -> Vec<Result<PathBuf, Error>> {
    let found = match glob::glob(pattern) {
        Ok(found) => found,
        Err(source) => return vec![Err(Error::Pattern { pattern: pattern.to_owned(), source })],
    };
    let files: Vec<_> = found
        .filter_map(|file| match file {
            // A pattern means files: directories among its matches were not asked for.
            Ok(path) => (!path.is_dir()).then_some(Ok(path)),
            Err(e) => {
                let name = e.path().to_string_lossy().into_owned();
                Some(Err(Error::Open { name, source: e.into() }))
            }
        })
        .collect();
    if files.is_empty() { vec![Err(Error::NoMatch { pattern: pattern.to_owned() })] } else { files }
}

/// The error for a directory, with some of the logs in it.
pub(super) fn directory_error(path: &Path) -> Error {
    let mut candidates: Vec<String> = std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| USUAL_NAMES.iter().any(|usual| entry.file_name().to_string_lossy().starts_with(usual)))
        .map(|entry| entry.path().to_string_lossy().into_owned())
        .collect();
    candidates.sort();
    candidates.truncate(CANDIDATES_SHOWN);
    Error::Directory { name: path.to_string_lossy().into_owned(), candidates }
}
