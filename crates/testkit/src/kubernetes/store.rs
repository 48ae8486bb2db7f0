//! Objects with versions, and every change of them for those who watch.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::select::Selection;

/// Group, plural, namespace, name.
type Key = (String, String, String);

#[derive(Default)]
pub(super) struct Store {
    version: u64,
    /// Watches from before this version are told that it is gone.
    oldest: u64,
    objects: BTreeMap<Key, Value>,
    changes: Vec<Change>,
}

struct Change {
    version: u64,
    plural: String,
    before: Option<Value>,
    after: Option<Value>,
}

pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// As the API server spells it.
pub(super) fn plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    if lower.ends_with("ss") { format!("{lower}es") } else { format!("{lower}s") }
}

impl Store {
    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn put(&mut self, mut object: Value) {
        let key = key(&object);
        assert!(!key.0.is_empty() && !key.2.is_empty(), "an object without kind or name: {object}");
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let before = self.objects.insert(key.clone(), object.clone());
        self.changes.push(Change { version: self.version, plural: key.0, before, after: Some(object) });
    }

    pub(super) fn delete(&mut self, plural: &str, namespace: Option<&str>, name: &str) {
        let key = (plural.to_owned(), namespace.unwrap_or_default().to_owned(), name.to_owned());
        if let Some(mut before) = self.objects.remove(&key) {
            self.version += 1;
            before["metadata"]["resourceVersion"] = json!(self.version.to_string());
            self.changes.push(Change { version: self.version, plural: key.0, before: Some(before), after: None });
        }
    }

    pub(super) fn play(&mut self, line: &Value) {
        let object = &line["object"];
        match line["type"].as_str() {
            Some("ADDED" | "MODIFIED") => self.put(object.clone()),
            Some("DELETED") => {
                // What the last state says was never seen in any other line.
                self.put(object.clone());
                let (plural, namespace, name) = key(object);
                self.delete(&plural, Some(&namespace), &name);
            }
            _ => {}
        }
    }

    pub(super) fn compact(&mut self) {
        self.oldest = self.version;
    }

    pub(super) fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.objects.get(&(plural.to_owned(), namespace.to_owned(), name.to_owned()))
    }

    pub(super) fn list<'a>(&'a self, selection: &'a Selection) -> impl Iterator<Item = &'a Value> {
        self.objects
            .iter()
            .filter(|(key, object)| key.0 == selection.plural && selection.matches(object))
            .map(|(_, object)| object)
    }

    /// Whether a watch may begin at a version.
    pub(super) const fn keeps(&self, version: u64) -> bool {
        version >= self.oldest
    }

    /// Lines for a watch that has seen everything up to a version.
    pub(super) fn since(&self, version: u64, selection: &Selection) -> Vec<String> {
        let newer = self.changes.iter().filter(|change| change.version > version && change.plural == selection.plural);
        newer.filter_map(|change| change.line(selection)).collect()
    }
}

impl Change {
    /// What a watch with this selection is told: an object that no longer matches is deleted for it
    /// (apiserver, pkg/storage/cacher/cache_watcher.go, `convertToWatchEvent`).
    fn line(&self, selection: &Selection) -> Option<String> {
        let matches = |object: &Option<Value>| object.as_ref().is_some_and(|object| selection.matches(object));
        let (kind, object) = match (matches(&self.before), matches(&self.after)) {
            (false, true) => ("ADDED", &self.after),
            (true, true) => ("MODIFIED", &self.after),
            (true, false) => ("DELETED", &self.before),
            (false, false) => return None,
        };
        let mut object = object.clone()?;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        Some(json!({"type": kind, "object": object}).to_string())
    }
}

fn key(object: &Value) -> Key {
    let kind = text(object, "/kind");
    let plural = if kind.is_empty() { String::new() } else { plural(kind) };
    (plural, text(object, "/metadata/namespace").to_owned(), text(object, "/metadata/name").to_owned())
}
