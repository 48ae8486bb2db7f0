//! One document, by the parser: its value, and where its objects and containers stand.
//!
//! The document is read twice: once as the value that everything else works on, once as an outline whose parts carry their places. JSON is
//! YAML too, but the large ones (`kubectl get pods -o json`) are many times faster through its own parser, and have no lines that a person
//! would look up.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Options, Spanned};

use super::{Error, Manifest, ObjectLines, lines};

/// Parser events of one document: some hundred thousand lines of YAML.
const MOST_EVENTS: usize = 2_000_000;
/// Deeper than any object of the API, CustomResourceDefinitions included.
const DEEPEST: usize = 200;
/// What the parser needs for that many levels: without optimisation some 20 KiB each.
const STACK: usize = 32 << 20;
/// JSON beyond this has no lines for its containers.
const LONGEST_WITH_LINES: usize = 4 << 20;
/// Of the parser's words.
const LONGEST_WHY: usize = 300;

fn options() -> Options {
    let budget = serde_saphyr::budget! {
        max_events: MOST_EVENTS,
        max_nodes: MOST_EVENTS,
        max_depth: DEEPEST,
        max_aliases: 10_000,
        max_anchors: 10_000,
        max_recorded_anchor_events: 100_000,
    };
    serde_saphyr::options! { budget: budget, with_snippet: false, duplicate_keys: DuplicateKeyPolicy::LastWins }
}

/// One YAML document as a value, with the bounds of a manifest.
///
/// # Errors
/// The parser's words on one line, with the line that they are about where it knows one.
pub fn value_of(text: &str) -> Result<Value, (Option<u64>, String)> {
    with_stack(|| parse(text)).unwrap_or_else(|error| Err((None, format!("no thread to read it in: {error}"))))
}

/// The parser descends with the nesting: whoever calls may have less stack left than that takes.
pub(crate) fn with_stack<T: Send>(work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work)?;
        thread.join().map_err(|_| std::io::Error::other("the parser failed"))
    })
}

fn parse(text: &str) -> Result<Value, (Option<u64>, String)> {
    if looks_like_json(text)
        && let Ok(value) = serde_json::from_str(text)
    {
        return Ok(value);
    }
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let line = error.location().map(|place| place.line()).filter(|line| *line > 0);
        (line, in_one_line(&error.to_string()))
    })
}

fn looks_like_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// The first line of the parser's words, without the place in the document: that of the file stands before them.
fn in_one_line(words: &str) -> String {
    let line = words.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no YAML");
    let line = line.split_once(" at line ").map_or(line, |(what, _)| what);
    line.chars().take(LONGEST_WHY).collect()
}

/// `first`: the line of the text's first byte.
pub(super) fn read(file: &str, first: u64, text: &str, template: Option<String>) -> Result<Manifest, Error> {
    let value = value_of(text).map_err(|(line, why)| Error::Document {
        file: file.to_owned(),
        line: first + line.map_or_else(|| lines::before_content(text), |line| line - 1),
        why: format!("{why}{}", hint(text)),
    })?;
    let line = first + lines::before_content(text);
    let objects = with_stack(|| outline(text).map(|outline| outline.objects(first, line))).ok().flatten();
    Ok(Manifest { line, template, value, objects: objects.unwrap_or_default() })
}

/// What the error most likely comes from.
fn hint(text: &str) -> &'static str {
    let is_template = text.contains("{{") && text.contains("}}");
    if is_template { " (this looks like a Helm template: pipe what `helm template` prints into `-f -`)" } else { "" }
}

/// The parts of an object whose places are wanted. What does not fit is no error: it only has no places then.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Outline {
    items: Vec<Spanned<Outline>>,
    spec: Option<Box<SpecOutline>>,
    template: Option<Box<Outline>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SpecOutline {
    containers: Vec<Spanned<Named>>,
    init_containers: Vec<Spanned<Named>>,
    template: Option<Box<Outline>>,
    job_template: Option<Box<Outline>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
}

fn outline(text: &str) -> Option<Outline> {
    if looks_like_json(text) && text.len() > LONGEST_WITH_LINES {
        return None;
    }
    serde_saphyr::from_str_with_options(text, options()).ok()
}

impl Outline {
    /// `first`: the line of the text's first byte; `line`: that of its content.
    fn objects(&self, first: u64, line: u64) -> Vec<ObjectLines> {
        if self.items.is_empty() {
            return vec![ObjectLines { line, containers: self.containers(first) }];
        }
        let at = |item: &Spanned<Self>| ObjectLines {
            line: first + item.referenced.line().saturating_sub(1),
            containers: item.value.containers(first),
        };
        self.items.iter().map(at).collect()
    }

    fn containers(&self, first: u64) -> BTreeMap<String, u64> {
        let mut containers = BTreeMap::new();
        self.add_containers(first, &mut containers);
        containers
    }

    fn add_containers(&self, first: u64, containers: &mut BTreeMap<String, u64>) {
        if let Some(spec) = &self.spec {
            for container in spec.init_containers.iter().chain(&spec.containers) {
                let line = first + container.referenced.line().saturating_sub(1);
                containers.insert(container.value.name.clone(), line);
            }
            for template in spec.template.iter().chain(&spec.job_template) {
                template.add_containers(first, containers);
            }
        }
        if let Some(template) = &self.template {
            template.add_containers(first, containers);
        }
    }
}
