//! Changes as a piece of YAML that `kubectl patch --patch-file` takes and that a reader can put into the manifest.
//!
//! Names come from manifests that anybody may have written. Where one is no plain word it is written as a quoted string, JSON's, which YAML
//! reads as the same.

use std::fmt::Write as _;

use super::subject::Subject;
use crate::kubernetes::{ContainerKind, Workload};
use crate::units::Bytes;

/// Memory of one container; an amount that is to be found out stands in `<…>`.
#[derive(Clone, Debug, Default)]
pub(super) struct Change<'a> {
    pub(super) container: &'a str,
    pub(super) request: Option<Amount>,
    pub(super) limit: Option<Amount>,
}

/// An amount of memory of a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Amount {
    /// Rounded up to a short quantity.
    Of(Bytes),
    /// A quantity with its unit, as it is to be written.
    Written(String),
    /// What somebody has to fill in, and how to find it.
    Ask(&'static str),
}

impl Amount {
    fn yaml(&self) -> String {
        match self {
            Self::Of(bytes) => bytes.manifest_quantity(),
            Self::Written(text) => text.clone(),
            Self::Ask(what) => format!("<{what}>"),
        }
    }
}

/// The resources of some containers.
pub(super) fn resources(subject: &Subject, changes: &[Change<'_>]) -> String {
    let mut yaml = Yaml::at_pod_spec(&subject.workload.kind);
    for list in ["initContainers", "containers"] {
        let of_list = |change: &&Change<'_>| {
            let kind = subject.pod().kind_of(change.container);
            let is_init = matches!(kind, Some(ContainerKind::Init | ContainerKind::Sidecar));
            is_init == (list == "initContainers")
        };
        let changes: Vec<_> = changes.iter().filter(of_list).collect();
        if changes.is_empty() {
            continue;
        }
        yaml.line(0, &format!("{list}:"));
        for change in changes {
            yaml.line(1, &format!("- name: {}", scalar(change.container)));
            yaml.line(2, "resources:");
            for (what, amount) in [("requests", &change.request), ("limits", &change.limit)] {
                if let Some(amount) = amount {
                    yaml.line(3, &format!("{what}:"));
                    yaml.line(4, &format!("memory: {}", amount.yaml()));
                }
            }
        }
    }
    yaml.text
}

/// The size of a memory-backed volume.
pub(super) fn volume_size(subject: &Subject, volume: &str, size: &Amount) -> String {
    let mut yaml = Yaml::at_pod_spec(&subject.workload.kind);
    yaml.line(0, "volumes:");
    yaml.line(1, &format!("- name: {}", scalar(volume)));
    yaml.line(2, "emptyDir:");
    yaml.line(3, "medium: Memory");
    yaml.line(3, &format!("sizeLimit: {}", size.yaml()));
    yaml.text
}

/// A variable of a container.
pub(super) fn variable(subject: &Subject, container: &str, name: &str, value: &str) -> String {
    let mut yaml = Yaml::at_pod_spec(&subject.workload.kind);
    yaml.line(0, "containers:");
    yaml.line(1, &format!("- name: {}", scalar(container)));
    yaml.line(2, "env:");
    yaml.line(3, &format!("- name: {}", scalar(name)));
    yaml.line(3, &format!("  value: {}", quoted(value)));
    yaml.text
}

struct Yaml {
    text: String,
    depth: usize,
}

impl Yaml {
    fn at_pod_spec(kind: &str) -> Self {
        let mut yaml = Self { text: String::new(), depth: 0 };
        for key in Workload::path_to_pod_spec(kind) {
            yaml.line(0, &format!("{key}:"));
            yaml.depth += 1;
        }
        yaml
    }

    fn line(&mut self, deeper: usize, text: &str) {
        let _ = writeln!(self.text, "{}{text}", "  ".repeat(self.depth + deeper));
    }
}

/// As it is where it is a plain word, else quoted.
fn scalar(text: &str) -> String {
    let starts_plain = text.starts_with(|c: char| c.is_ascii_alphabetic());
    // Words that YAML 1.1 takes for something else than text.
    let is_special =
        ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    let is_plain =
        starts_plain && !is_special && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if is_plain { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name that would end the list and begin another key stays a name.
    #[test]
    fn hostile_names() {
        assert_eq!(scalar("api-1"), "api-1");
        assert_eq!(
            scalar("a\n    securityContext: {privileged: true}"),
            r#""a\n    securityContext: {privileged: true}""#
        );
        assert_eq!(
            (scalar("no"), scalar("1e3"), scalar("")),
            ("\"no\"".to_owned(), "\"1e3\"".to_owned(), "\"\"".to_owned())
        );
    }

    /// The patch has the shape of the object that it is for.
    #[test]
    fn shape() {
        let workload = Workload { kind: "CronJob".to_owned(), ..Workload::default() };
        let subject = Subject { workload, ..Subject::default() };
        let change = Change { container: "a", request: None, limit: Some(Amount::Of(Bytes(256 << 20))) };
        let expected = "spec:\n  jobTemplate:\n    spec:\n      template:\n        spec:\n          containers:\n            - name: a\n              \
                        resources:\n                limits:\n                  memory: 256Mi\n";
        assert_eq!(resources(&subject, &[change]), expected);
    }
}
