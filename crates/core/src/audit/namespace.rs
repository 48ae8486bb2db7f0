//! Which namespaces matter most.
//!
//! Only people know which namespaces are production; `--production PATTERN` says it. Without that: `kube-*` belongs to the cluster itself, a
//! name or an environment label with a word like `dev`, `test` or `staging` in it is none, and everything else is, because a pod that
//! was forgotten to be protected costs more than a remark too many.

use std::collections::BTreeMap;

/// Parts of names, between dashes, dots and underscores, of namespaces for trying things out.
const TRIALS: [&str; 24] = [
    "ci",
    "demo",
    "dev",
    "devel",
    "develop",
    "development",
    "e2e",
    "integration",
    "int",
    "lab",
    "local",
    "nonprod",
    "playground",
    "preview",
    "qa",
    "review",
    "sandbox",
    "scratch",
    "stage",
    "staging",
    "stg",
    "test",
    "testing",
    "tmp",
];

/// Labels of a namespace that say what it is for.
const LABELS: [&str; 6] =
    ["env", "environment", "stage", "tier", "app.kubernetes.io/environment", "kubernetes.io/environment"];

/// What a namespace is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Class {
    /// What the users of the cluster depend on, or what nothing says otherwise of.
    #[default]
    Production,
    /// The cluster's own.
    System,
    /// For trying things out.
    Trial,
}

/// How namespaces are told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Production {
    /// Names, in which `*` stands for any text. Empty: by the words of names and labels.
    pub patterns: Vec<String>,
}

impl Production {
    /// What a namespace is for. `name` is `None` where a manifest leaves it to the command line.
    #[must_use]
    pub fn class(&self, name: Option<&str>, labels: Option<&BTreeMap<String, String>>) -> Class {
        let shown = name.unwrap_or("default");
        if !self.patterns.is_empty() {
            let is_it = self.patterns.iter().any(|pattern| matches(pattern.as_bytes(), shown.as_bytes()));
            return if is_it { Class::Production } else { other_than_production(shown) };
        }
        let label = labels.and_then(|labels| LABELS.iter().find_map(|label| labels.get(*label)));
        match label {
            Some(value) if is_trial(value) => Class::Trial,
            Some(value) if value.to_ascii_lowercase().starts_with("prod") => Class::Production,
            _ if is_system(shown) => Class::System,
            _ if is_trial(shown) => Class::Trial,
            _ => Class::Production,
        }
    }
}

fn other_than_production(name: &str) -> Class {
    if is_system(name) { Class::System } else { Class::Trial }
}

fn is_system(name: &str) -> bool {
    name.starts_with("kube-")
}

fn is_trial(name: &str) -> bool {
    name.split(['-', '_', '.']).any(|part| {
        let word = part.trim_end_matches(|c: char| c.is_ascii_digit()).to_ascii_lowercase();
        TRIALS.contains(&word.as_str())
    })
}

/// Whether `*` of the pattern can be filled in so that it becomes the name. Each star takes as little as will do, and gets
/// more only from the latest one on: that is enough, and never exponential.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match (pattern.get(p), star) {
            (Some(b'*'), _) => {
                star = Some((p, n));
                p += 1;
            }
            (Some(c), _) if name.get(n) == Some(c) => {
                p += 1;
                n += 1;
            }
            (_, Some((at, from))) => {
                star = Some((at, from + 1));
                (p, n) = (at + 1, from + 1);
            }
            (_, None) => return false,
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|c| *c == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words decide, not letters within them, and a label knows better than the name.
    #[test]
    fn by_words() {
        let class = |name: &str| Production::default().class(Some(name), None);
        for production in ["shop", "default", "latest-news", "device-api", "contest"] {
            assert_eq!(class(production), Class::Production, "{production}");
        }
        for trial in ["dev", "shop-dev", "team-a-staging", "test2", "qa_1", "pr-17-preview"] {
            assert_eq!(class(trial), Class::Trial, "{trial}");
        }
        assert_eq!(class("kube-system"), Class::System);
        let labelled = |value: &str| BTreeMap::from([("env".to_owned(), value.to_owned())]);
        let class = |name, value| Production::default().class(Some(name), Some(&labelled(value)));
        assert_eq!((class("shop", "dev"), class("test-results", "prod")), (Class::Trial, Class::Production));
        assert_eq!(Production::default().class(None, None), Class::Production);
    }

    /// What the user says is production is, and nothing else.
    #[test]
    fn by_pattern() {
        let production = Production { patterns: vec!["prod-*".to_owned(), "*shop*".to_owned()] };
        let class = |name: &str| production.class(Some(name), None);
        assert_eq!((class("prod-a"), class("my-shop-dev")), (Class::Production, Class::Production));
        assert_eq!((class("billing"), class("kube-system")), (Class::Trial, Class::System));
        let stars = "*a".repeat(40);
        assert!(!matches(stars.as_bytes(), "a".repeat(39).as_bytes()) && matches(b"**", b""));
    }
}
