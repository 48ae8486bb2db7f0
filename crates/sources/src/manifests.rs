//! Kubernetes manifests: files, folders, the output of Helm on a pipe.
//!
//! A stream is cut into documents here, at the lines that separate them, and each is parsed by itself: so a document that is none costs
//! only itself, and every object and every error has its line in the file. That is sound, because YAML allows `---` at the
//! beginning of a line nowhere but between documents (YAML 1.2.2, rule `c-forbidden`); kubectl does the same.
//!
//! Manifests may come from anybody: documents, lines and folders are bounded, and the parser has a budget for aliases and nesting.

mod folder;
mod lines;
mod split;
mod yaml;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde_json::Value;

pub use folder::Files;
pub use split::LONGEST_DOCUMENT;
pub use yaml::value_of;
pub(crate) use yaml::with_stack;

use split::{Piece, Splitter};

/// One document.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Line of its first content, counted from 1.
    pub line: u64,
    /// What `# Source:` says that Helm rendered it from.
    pub template: Option<String>,
    /// Its content.
    pub value: Value,
    /// Lines of its objects and of their containers: one entry for a document that is one object, one an item for a list.
    pub objects: Vec<ObjectLines>,
}

/// Where an object and its containers stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectLines {
    /// Line of the object.
    pub line: u64,
    /// Lines of its containers, by name.
    pub containers: BTreeMap<String, u64>,
}

/// A document or a file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system says so.
    #[error("reading {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is neither YAML nor JSON.
    #[error("{file}:{line}: {why}")]
    Document {
        /// Which, as it was named.
        file: String,
        /// Where the fault is, else where the document begins.
        line: u64,
        /// The parser's words, and what may be meant.
        why: String,
    },
    /// It is longer than [`LONGEST_DOCUMENT`].
    #[error("{file}:{line}: a document of more than {} MiB", LONGEST_DOCUMENT >> 20)]
    TooLong {
        /// Which, as it was named.
        file: String,
        /// Where it begins.
        line: u64,
    },
}

impl Error {
    fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }
}

/// Reads every document of a file.
///
/// # Errors
/// Given to `each`, in the place of the document: the others are read all the same.
pub fn read_file(path: &Path, each: &mut dyn FnMut(Result<Manifest, Error>)) {
    match File::open(path) {
        Ok(file) => read_stream(&path.display().to_string(), BufReader::new(file), each),
        Err(error) => each(Err(Error::file(path, error))),
    }
}

/// Reads every document of a stream that is called `name`.
///
/// # Errors
/// As [`read_file`].
pub fn read_stream(name: &str, input: impl BufRead, each: &mut dyn FnMut(Result<Manifest, Error>)) {
    let mut splitter = Splitter::new(input);
    let mut template = None;
    loop {
        match splitter.next() {
            Ok(None) => return,
            Ok(Some(Piece::TooLong { line })) => each(Err(Error::TooLong { file: name.to_owned(), line })),
            Ok(Some(Piece::Document { line, text })) => {
                template = lines::helm_source(&text).or(template);
                if !lines::is_empty(&text) {
                    each(yaml::read(name, line, &text, template.clone()));
                }
            }
            Err(error) => return each(Err(Error::file(Path::new(name), error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Manifest>, Vec<String>) {
        let (mut manifests, mut errors) = (Vec::new(), Vec::new());
        read_stream("x.yaml", text.as_bytes(), &mut |found| match found {
            Ok(manifest) => manifests.push(manifest),
            Err(error) => errors.push(error.to_string()),
        });
        (manifests, errors)
    }

    const HELM: &str = "---\n# Source: shop/templates/api.yaml\nkind: Deployment\nmetadata:\n  name: api\nspec:\n  template:\n    spec:\n      \
                        containers:\n        - name: a\n        - image: x\n          name: b\n---\n# Source: shop/templates/empty.yaml\n---\nkind: \
                        [unclosed\n--- # three\n{\"kind\": \"Pod\",\n \"spec\": {\"containers\": [\n  {\"name\": \"c\"}]}}\n";

    /// Documents, containers and errors have the lines of the file, and a bad document costs only itself.
    #[test]
    fn lines() {
        let (manifests, errors) = read(HELM);
        let kinds: Vec<_> = manifests.iter().map(|m| (m.value["kind"].as_str().unwrap(), m.line)).collect();
        assert_eq!(kinds, [("Deployment", 3), ("Pod", 18)]);
        assert_eq!(manifests[0].template.as_deref(), Some("shop/templates/api.yaml"));
        let containers = |at: usize| {
            manifests[at].objects[0].containers.iter().map(|(name, line)| (name.as_str(), *line)).collect::<Vec<_>>()
        };
        assert_eq!(containers(0), [("a", 10), ("b", 11)]);
        assert_eq!(containers(1), [("c", 20)]);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with("x.yaml:1"), "{errors:?}");
    }

    /// A list says the line of each of its items.
    #[test]
    fn lists() {
        let (manifests, errors) =
            read("kind: List\nitems:\n- kind: Pod\n  spec:\n    containers:\n    - name: a\n- kind: Pod\n");
        assert_eq!(errors, Vec::<String>::new());
        let lines: Vec<_> = manifests[0].objects.iter().map(|object| object.line).collect();
        assert_eq!(lines, [3, 7]);
        assert_eq!(manifests[0].objects[0].containers["a"], 6);
    }

    /// A few bytes that would become a tree of a billion nodes are refused at once, and so is nesting without end.
    #[test]
    fn bombs() {
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = format!("*a{}", level - 1);
            laughs.push_str(&format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(", ")));
        }
        for bomb in [laughs, "[".repeat(1_000_000), "a: ".repeat(100_000), format!("{}\n", "- ".repeat(500_000))] {
            let (manifests, errors) = read(&bomb);
            assert!(manifests.is_empty() && errors.len() == 1, "{} manifests, {errors:?}", manifests.len());
            assert!(errors[0].len() < 2000, "{}", errors[0].len());
        }
    }

    /// What Helm has not rendered yet is called what it is.
    #[test]
    fn templates() {
        let (_, errors) =
            read("kind: Deployment\nspec:\n  {{- if .Values.x }}\n  replicas: {{ .Values.n }}\n  {{- end }}\n");
        assert!(errors[0].contains("helm template"), "{errors:?}");
    }
}
