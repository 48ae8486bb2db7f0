//! Manifests to be audited: files, folders, standard input.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::bail;
use oomscope_core::audit::{Inventory, Place, Sighting};
use oomscope_core::kubernetes::{Document, NotAnObject};
use oomscope_sources::manifests::{self, Error, Files, Manifest, ObjectLines};
use serde_json::Value;

use crate::cli::{complain, counted};

/// Errors shown; the others are counted. A folder of templates has one for each.
const SHOWN: u64 = 20;

/// Reads everything that was named. The number is of what could not be read.
///
/// # Errors
/// Where there was no Kubernetes object in any of it: a pipe whose writer failed must not pass for an audit without findings.
pub(super) fn read(paths: &[PathBuf], namespace: Option<&str>, inventory: &mut Inventory) -> anyhow::Result<u64> {
    let mut reading = Reading { namespace, inventory, unread: 0, objects: 0, passed_over: 0 };
    for path in paths {
        if path == Path::new("-") {
            let input = BufReader::new(std::io::stdin().lock());
            manifests::read_stream("-", input, &mut |found| reading.take("-", found, true));
        } else if path.is_dir() {
            reading.folder(path);
        } else {
            reading.file(path, true);
        }
    }
    reading.finish()
}

struct Reading<'a> {
    namespace: Option<&'a str>,
    inventory: &'a mut Inventory,
    unread: u64,
    objects: u64,
    /// Documents of a folder that are no Kubernetes objects.
    passed_over: u64,
}

impl Reading<'_> {
    fn folder(&mut self, folder: &Path) {
        let files = Files::below(folder);
        files.errors.iter().for_each(|error| self.refuse(&error.to_string()));
        if files.cut {
            self.refuse(&format!("{}: more than {} files; the rest was not read", folder.display(), files.paths.len()));
        }
        for path in &files.paths {
            self.file(path, false);
        }
    }

    /// `named`: by the user; then whatever is in it should be an object.
    fn file(&mut self, path: &Path, named: bool) {
        let name = path.display().to_string();
        manifests::read_file(path, &mut |found| self.take(&name, found, named));
    }

    fn take(&mut self, file: &str, found: Result<Manifest, Error>, named: bool) {
        match found {
            Ok(manifest) if !named && !looks_like_objects(&manifest.value) => self.passed_over += 1,
            Ok(manifest) => self.document(file, manifest),
            Err(error) => self.refuse(&error.to_string()),
        }
    }

    fn document(&mut self, file: &str, manifest: Manifest) {
        let Manifest { line, template, mut value, objects } = manifest;
        if let Some(namespace) = self.namespace {
            fill_namespace(&mut value, namespace);
        }
        let document = Document::read(value);
        document.refused.iter().for_each(|refused| self.refuse_object(file, line, refused));
        // Lines are of the document's objects in their order; a refused one would shift them.
        let known = objects.len() == document.objects.len();
        let mut lines = objects.into_iter().filter(|_| known);
        for (object, _) in &document.objects {
            self.objects += 1;
            let ObjectLines { line, containers } =
                lines.next().unwrap_or(ObjectLines { line, ..ObjectLines::default() });
            let place = Place { file: file.to_owned(), line: Some(line), template: template.clone() };
            let found = Sighting { place: Some(place), lines: containers };
            if let Err(refused) = self.inventory.see(object, found) {
                self.refuse_object(file, line, &refused);
            }
        }
    }

    fn refuse_object(&mut self, file: &str, line: u64, why: &NotAnObject) {
        self.refuse(&format!("{file}:{line}: {why}"));
    }

    fn refuse(&mut self, why: &str) {
        self.unread += 1;
        if self.unread <= SHOWN {
            complain(why);
        }
    }

    fn finish(self) -> anyhow::Result<u64> {
        if self.unread > SHOWN {
            complain(&format!("and {} more that could not be read", self.unread - SHOWN));
        }
        if self.passed_over > 0 && self.objects == 0 {
            complain(&format!("{} passed over that are no Kubernetes objects", counted(self.passed_over, "document")));
        }
        if self.objects == 0 {
            bail!("no Kubernetes object in what was to be audited");
        }
        Ok(self.unread)
    }
}

/// Beside manifests a folder has values, workflows, `kustomization.yaml` without a kind.
fn looks_like_objects(value: &Value) -> bool {
    let is_object = |value: &Value| value.get("kind").is_some() && value.get("apiVersion").is_some();
    match value {
        Value::Array(items) => items.iter().any(is_object),
        other => is_object(other),
    }
}

/// As `kubectl -n` does it: what names a namespace keeps it.
fn fill_namespace(value: &mut Value, namespace: &str) {
    if let Some(items) = value.get_mut("items").and_then(Value::as_array_mut) {
        return items.iter_mut().for_each(|item| fill_namespace(item, namespace));
    }
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        let own = metadata.entry("namespace").or_insert(Value::Null);
        if own.is_null() {
            *own = namespace.into();
        }
    }
}
