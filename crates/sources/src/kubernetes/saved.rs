//! Objects that somebody saved: `kubectl get -o json` or `-o yaml`, a recorded watch, manifests, a whole folder of them.
//!
//! What cannot be read is said with file and line, and the rest is read all the same: an excerpt that was cut in the middle is common.
//! Bounded in the size and number of files and in how deep folders nest; symbolic links to folders are not followed.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use oomscope_core::evidence::Gap;
use oomscope_core::kubernetes::{Directory, Document, KubeletConfig, NotAnObject, Object, Source};
use serde_json::Value;

use crate::manifests::with_stack;

/// Of one file. The pods of 5000 nodes take some 500 MiB, those of one node 2.
const LARGEST: u64 = 256 << 20;
/// Files that are read.
const MOST_FILES: usize = 10_000;
/// Folders in folders.
const DEEPEST: usize = 16;
/// Places in one text that are damaged; behind that many it is given up.
const MOST_DAMAGED: usize = 1000;
/// Gaps that are told; the others are counted.
const MOST_GAPS: usize = 20;

/// Part of a text that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Line, from 1.
    pub line: u64,
    /// Why.
    pub why: String,
}

/// Reads a file, or every `.json`, `.jsonl`, `.yaml` and `.yml` below a folder, in the order of their names. A kubelet's configuration,
/// as a file or as `/configz` serves it, is taken as that of the node.
#[must_use]
pub fn read_saved(path: &Path, directory: &mut Directory) -> Vec<Gap> {
    let mut reading = Reading { directory, gaps: Vec::new(), objects: 0, files: 0, strict: !path.is_dir() };
    if reading.strict {
        reading.file(path);
    } else {
        reading.folder(path, 0);
        if reading.objects == 0 && reading.gaps.is_empty() {
            reading.gap(path, "no file in it holds a Kubernetes object");
        }
    }
    summed_up(reading.gaps)
}

/// Reads the values of a text: JSON, JSON one after another (a recorded watch), or YAML with any number of documents. `take` gets each with
/// the line that it begins on.
#[must_use]
pub fn values(text: &[u8], take: &mut dyn FnMut(Value, u64)) -> Vec<Unreadable> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    match text.trim_ascii_start().first() {
        Some(b'{' | b'[') => json(text, take),
        _ => yaml(text, take),
    }
}

/// Behind damage, reading goes on where a line begins with a brace.
fn json(text: &[u8], take: &mut dyn FnMut(Value, u64)) -> Vec<Unreadable> {
    let mut unreadable = Vec::new();
    let mut lines = Lines::new(text);
    let mut from = 0;
    while let Some(rest) = text.get(from..) {
        let mut stream = serde_json::Deserializer::from_slice(rest).into_iter::<Value>();
        loop {
            let begins = from + stream.byte_offset();
            match stream.next() {
                None => return unreadable,
                Some(Ok(value)) => take(value, lines.of_value(begins)),
                Some(Err(error)) => {
                    let begins = from + stream.byte_offset();
                    let line = lines.of_value(begins);
                    unreadable.push(Unreadable { line, why: error.to_string() });
                    let next = next_object(text, begins).filter(|_| unreadable.len() < MOST_DAMAGED);
                    let Some(next) = next else { return unreadable };
                    from = next;
                    break;
                }
            }
        }
    }
    unreadable
}

fn next_object(text: &[u8], after: usize) -> Option<usize> {
    // The damaged value itself begins at the first brace.
    let start = after + text.get(after..)?.iter().position(|b| !b.is_ascii_whitespace())?;
    let found = text.get(start..)?.windows(2).position(|two| two == b"\n{")?;
    Some(start + found + 1)
}

/// The line of a place, for places that only go up.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    const fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, line: 1 }
    }

    /// Of the first byte from `place` on that is no white space.
    fn of_value(&mut self, place: usize) -> u64 {
        let blanks = self.text.get(place..).map_or(0, |rest| rest.len() - rest.trim_ascii_start().len());
        let place = place + blanks;
        let passed = self.text.get(self.at..place).unwrap_or_default();
        self.line += passed.iter().filter(|b| **b == b'\n').count() as u64;
        self.at = self.at.max(place);
        self.line
    }
}

/// Documents are told apart here and read one by one, so that one with an error costs only itself.
fn yaml(text: &[u8], take: &mut dyn FnMut(Value, u64)) -> Vec<Unreadable> {
    let mut unreadable = Vec::new();
    for (begins, document) in yaml_documents(text) {
        let is_blank = |line: &[u8]| matches!(line.trim_ascii().first(), None | Some(b'#'));
        let blank = document.split(|b| *b == b'\n').take_while(|line| is_blank(line)).count() as u64;
        let read = with_stack(|| serde_saphyr::from_slice_with_options::<Value>(document, yaml_options()));
        match read {
            Err(error) => {
                unreadable.push(Unreadable { line: begins, why: format!("no thread to read it in: {error}") });
            }
            Ok(Ok(Value::Null)) => {}
            Ok(Ok(value)) => take(value, begins + blank),
            Ok(Err(error)) => {
                let within = error.location().map_or(1, |location| location.line().max(1));
                let why = error.without_snippet().to_string();
                unreadable.push(Unreadable { line: begins + within - 1, why });
            }
        }
    }
    unreadable
}

/// What the size of the file bounds already need not be bounded again; aliases stay bounded, as they multiply.
fn yaml_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 100_000_000,
            max_nodes: 50_000_000,
            max_total_scalar_bytes: 256 << 20,
        },
    }
}

/// Each with the number of its first line. A line of three dashes at the margin ends a document wherever it stands.
fn yaml_documents(text: &[u8]) -> Vec<(u64, &[u8])> {
    let mut documents = Vec::new();
    let (mut begins, mut first_line, mut at) = (0, 1, 0);
    for (line, number) in text.split_inclusive(|b| *b == b'\n').zip(1_u64..) {
        let is_marker = line.strip_prefix(b"---").is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace));
        if is_marker {
            documents.push((first_line, text.get(begins..at).unwrap_or_default()));
            // What stands behind the dashes on the same line belongs to the document.
            (begins, first_line) = (at + 3, number);
        }
        at += line.len();
    }
    documents.push((first_line, text.get(begins..).unwrap_or_default()));
    documents
}

struct Reading<'a> {
    directory: &'a mut Directory,
    gaps: Vec<Gap>,
    objects: usize,
    files: usize,
    /// One file was named: that it holds no objects is worth saying.
    strict: bool,
}

impl Reading<'_> {
    fn gap(&mut self, path: &Path, why: impl Into<String>) {
        self.gaps.push(Gap::new(path.display().to_string(), why));
    }

    fn folder(&mut self, folder: &Path, depth: usize) {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.gap(folder, error.to_string()),
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let is_link = path.symlink_metadata().is_ok_and(|meta| meta.is_symlink());
            match (path.is_dir(), is_link) {
                (true, true) => {}
                (true, false) if depth == DEEPEST => self.gap(&path, format!("folders nest more than {DEEPEST} deep")),
                (true, false) => self.folder(&path, depth + 1),
                (false, _) if is_of_a_kind_to_read(&path) => self.file(&path),
                (false, _) => {}
            }
        }
    }

    fn file(&mut self, path: &Path) {
        self.files += 1;
        if self.files > MOST_FILES {
            return self.gap(path, format!("only {MOST_FILES} files are read"));
        }
        match bytes(path) {
            Ok(bytes) => self.text(path, &bytes),
            Err(why) => self.gap(path, why),
        }
    }

    fn text(&mut self, path: &Path, text: &[u8]) {
        let before = self.objects;
        let mut kindless = None;
        let mut take = |value: Value, line: u64| self.value(path, value, line, &mut kindless);
        let unreadable = values(text, &mut take);
        for part in unreadable {
            self.gap(path, format!("line {}: {}", part.line, part.why));
        }
        if self.strict && self.objects == before {
            let why = kindless.map_or_else(
                || "it holds no Kubernetes object".to_owned(),
                |line| format!("line {line}: {}", NotAnObject::NoKind),
            );
            self.gap(path, why);
        }
    }

    fn value(&mut self, path: &Path, value: Value, line: u64, kindless: &mut Option<u64>) {
        if value.get("kubeletconfig").is_some() {
            return self.kubelet_config(path, value, line);
        }
        let document = Document::read(value);
        for refused in &document.refused {
            match refused {
                NotAnObject::NoKind => *kindless = kindless.or(Some(line)),
                _ => self.gap(path, format!("line {line}: {refused}")),
            }
        }
        self.objects += document.objects.len();
        for (object, _) in &document.objects {
            if let Object::Other { kind, value } = object
                && kind == "KubeletConfiguration"
            {
                self.kubelet_config(path, value.clone(), line);
            }
        }
        self.directory.see_document(document, Source::File, None);
    }

    fn kubelet_config(&mut self, path: &Path, value: Value, line: u64) {
        match KubeletConfig::from_json(value) {
            Ok(config) => {
                self.directory.kubelet = Some(config);
                self.objects += 1;
            }
            Err(error) => {
                self.gap(path, format!("line {line}: a kubelet's configuration that cannot be read: {error}"));
            }
        }
    }
}

fn is_of_a_kind_to_read(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("json" | "jsonl" | "ndjson" | "yaml" | "yml"))
}

/// A pipe is read as well as a file, as `<(kubectl get …)` is one.
fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("it is larger than {} MiB", LARGEST >> 20));
    }
    Ok(bytes)
}

fn summed_up(mut gaps: Vec<Gap>) -> Vec<Gap> {
    let more = gaps.len().saturating_sub(MOST_GAPS);
    gaps.truncate(MOST_GAPS);
    if more > 0 {
        gaps.push(Gap::new(format!("{more} more parts of saved objects"), "they could not be read either"));
    }
    gaps
}

#[cfg(test)]
mod tests;
