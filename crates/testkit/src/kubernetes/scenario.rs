//! What a real cluster said while something was killed: a folder of recorded objects and watch streams.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// One recorded scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    folder: PathBuf,
}

impl Scenario {
    /// The one in a folder.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// One of the repository's own, which are always there.
    #[must_use]
    pub fn own(name: &str) -> Self {
        Self::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/kubernetes").join(name))
    }

    /// All of the shared ones, where they are.
    #[must_use]
    pub fn shared() -> Option<Vec<Self>> {
        let folder = crate::corpus::shared_root()?.join("../fixtures/kubernetes");
        let entries = std::fs::read_dir(folder).ok()?;
        let mut folders: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
        folders.sort();
        Some(folders.iter().map(|folder| Self::at(folder)).collect())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// One of its files.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// One of its files, read.
    ///
    /// # Panics
    /// Where it is not there, or no JSON.
    #[must_use]
    pub fn json(&self, name: &str) -> Value {
        json_of(&self.file(name))
    }

    /// The Node object, the latest where there are several.
    #[must_use]
    pub fn node(&self) -> Option<Value> {
        let is_node = |name: &str| name == "node.json" || name.starts_with("node-") && !name.starts_with("node-events");
        self.files(is_node).pop().map(|path| json_of(&path))
    }

    /// The watch stream of pods.
    #[must_use]
    pub fn pods(&self) -> Vec<Value> {
        self.lines("watch-pods.jsonl")
    }

    /// The watch streams of events, about pods and then about the node; the node's events that were kept at the end with them.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        let mut lines = self.lines("watch-events.jsonl");
        lines.extend(self.lines("watch-node-events.jsonl"));
        let kept = self.files(|name| name == "node-events.json").pop().map(|path| json_of(&path));
        let items = kept.and_then(|list| list["items"].as_array().cloned()).unwrap_or_default();
        lines.extend(items.into_iter().map(|object| json!({"type": "MODIFIED", "object": object})));
        lines
    }

    /// What the kubelet said last, by path.
    #[must_use]
    pub fn kubelet(&self) -> Vec<(String, Value)> {
        let latest = |prefix: &str| self.files(|name| name.starts_with(prefix)).pop().map(|path| json_of(&path));
        let answers = [
            ("/pods", latest("kubelet-pods")),
            ("/stats/summary", latest("stats-summary")),
            ("/configz", latest("configz")),
        ];
        answers.into_iter().filter_map(|(path, answer)| Some((path.to_owned(), answer?))).collect()
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn files(&self, is_it: impl Fn(&str) -> bool) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.folder);
        let entries = entries.unwrap_or_else(|error| panic!("listing {}: {error}", self.folder.display()));
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(&is_it))
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        paths.sort();
        paths
    }
}

fn json_of(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
