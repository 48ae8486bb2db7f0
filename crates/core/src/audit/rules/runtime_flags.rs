//! A runtime that was told to take more than its container has.
//!
//! `-Xmx`, `-XX:MaxRAMPercentage`, `GOMEMLIMIT` and `--max-old-space-size` bound the heap alone: metaspace, stacks, buffers and the runtime
//! itself come on top. At or above the limit the collector sees no reason to work until the kernel has killed it; within a tenth below it,
//! there is no room for the rest. Read from the arguments and the plain variables of the manifest; flags inside an image or a ConfigMap are
//! not seen, and then nothing is said.

use super::{Asks, Observation, Rule, named};
use crate::audit::amounts;
use crate::audit::finding::Risk;
use crate::audit::patch;
use crate::audit::subject::Subject;
use crate::kubernetes::Container;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "runtime_flags",
    about: "Heap flags of Java, Go and Node.js at or above the limit (high) or within a tenth of it (medium).",
    asks: Asks::Subject(check),
};

/// A flag that bounds a heap.
struct Flag {
    /// What it looks like, up to its value.
    start: &'static str,
    /// How its value is read, given the limit.
    value: fn(&str, Bytes) -> Option<Bytes>,
    /// The variable to set it in, and its value for a share of the limit in MiB.
    variable: &'static str,
    fixed: fn(u64) -> String,
}

const FLAGS: [Flag; 5] = [
    Flag { start: "-Xmx", value: |text, _| java_size(text), variable: "JAVA_TOOL_OPTIONS", fixed: java },
    Flag { start: "-XX:MaxHeapSize=", value: |text, _| java_size(text), variable: "JAVA_TOOL_OPTIONS", fixed: java },
    Flag { start: "-XX:MaxRAMPercentage=", value: percentage, variable: "JAVA_TOOL_OPTIONS", fixed: java },
    Flag { start: "--max-old-space-size=", value: |text, _| mebibytes(text), variable: "NODE_OPTIONS", fixed: node },
    Flag { start: "--max_old_space_size=", value: |text, _| mebibytes(text), variable: "NODE_OPTIONS", fixed: node },
];

const GO: &str = "GOMEMLIMIT";
/// Texts longer than this hold no flags that anybody wrote by hand.
const LONGEST_TEXT: usize = 64 << 10;

fn java(_mib: u64) -> String {
    "-XX:MaxRAMPercentage=75.0".to_owned()
}

fn node(mib: u64) -> String {
    format!("--max-old-space-size={}", mib * 3 / 4)
}

fn check(subject: &Subject) -> Vec<Observation> {
    let limited = subject.lasting_containers().filter_map(|container| Some((container, amounts::limit(container)?)));
    limited.filter_map(|(container, limit)| contradiction(subject, container, limit)).collect()
}

/// A flag as it was found: its words, the heap that it allows, how to set it right.
struct Set {
    words: String,
    heap: Bytes,
    variable: &'static str,
    value: String,
}

fn contradiction(subject: &Subject, container: &Container, limit: Bytes) -> Option<Observation> {
    let set = flags(container, limit).max_by_key(|set| set.heap)?;
    let share = if set.variable == GO { 95 } else { 90 };
    let (risk, title) = if set.heap >= limit {
        (Risk::High, "Heap larger than the limit")
    } else if u128::from(set.heap.0) * 100 > u128::from(limit.0) * share {
        (Risk::Medium, "Heap leaves no room below the limit")
    } else {
        return None;
    };
    let (heap, shown_limit) = set.heap.side_by_side(limit);
    Some(Observation {
        risk,
        title,
        why: "The flag bounds the heap alone; metaspace, stacks, buffers and the runtime come on top, so the kernel kills before the collector \
              works or the program can fail with a message.",
        evidence: format!(
            "{}: {} allows {heap}, the limit is {shown_limit}",
            named(&container.name),
            named(&set.words)
        ),
        fix: "Lower the flag to what the limit leaves (three quarters for Java and Node.js, nine tenths for Go), or raise the limit.",
        patch: Some(patch::variable(subject, &container.name, set.variable, &set.value)),
        containers: vec![container.name.clone()],
    })
}

fn flags(container: &Container, limit: Bytes) -> impl Iterator<Item = Set> {
    let values = container.env.iter().filter_map(|variable| variable.value.as_deref());
    let texts = container.command.iter().chain(&container.args).map(String::as_str).chain(values);
    let words = texts.filter(|text| text.len() <= LONGEST_TEXT).flat_map(words_of);
    let go = container
        .env
        .iter()
        .filter(|variable| variable.name == GO)
        .filter_map(move |variable| go(variable.value.as_deref()?, limit));
    words.filter_map(move |word| flag(word, limit)).chain(go)
}

/// As a shell or a JVM splits a line, near enough.
fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).filter(|word| word.starts_with('-'))
}

fn flag(word: &str, limit: Bytes) -> Option<Set> {
    let (flag, value) = FLAGS.iter().find_map(|flag| Some((flag, word.strip_prefix(flag.start)?)))?;
    let heap = (flag.value)(value, limit)?;
    Some(Set { words: word.to_owned(), heap, variable: flag.variable, value: (flag.fixed)(limit.0 >> 20) })
}

fn go(value: &str, limit: Bytes) -> Option<Set> {
    let heap = go_size(value.trim())?;
    let mib = (limit.0 >> 20) * 9 / 10;
    Some(Set { words: format!("{GO}={}", value.trim()), heap, variable: GO, value: format!("{mib}MiB") })
}

/// `512m`, `2G`, `1048576k`: binary, whatever the case of the letter.
fn java_size(text: &str) -> Option<Bytes> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift).map(Bytes)
}

fn mebibytes(text: &str) -> Option<Bytes> {
    text.parse::<u64>().ok()?.checked_mul(1 << 20).map(Bytes)
}

fn percentage(text: &str, limit: Bytes) -> Option<Bytes> {
    let percent: f64 = text.parse().ok().filter(|percent| (0.0..=100.0).contains(percent))?;
    Some(Bytes((limit.0 as f64 * percent / 100.0) as u64))
}

/// runtime/debug.SetMemoryLimit: `B`, `KiB`, `MiB`, `GiB`, `TiB`, or bytes; `off` is none.
fn go_size(text: &str) -> Option<Bytes> {
    let number = |text: &str, shift: u32| text.parse::<u64>().ok()?.checked_mul(1 << shift).map(Bytes);
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("B", 0), ("", 0)];
    units.iter().find_map(|(unit, shift)| number(text.strip_suffix(unit)?, *shift))
}

#[cfg(test)]
mod tests {
    use crate::audit::finding::Risk;
    use crate::audit::testing::{deployment, found};
    use serde_json::{Value, json};

    fn risk(more: Value) -> Option<Risk> {
        let mut container =
            json!({"name": "a", "resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}});
        for (key, value) in more.as_object().expect("fields") {
            container[key] = value.clone();
        }
        let findings = found(&[deployment("shop", "api", json!([container]))]);
        findings.iter().find(|finding| finding.rule == "runtime_flags").map(|finding| finding.risk)
    }

    /// Every runtime's flag is read in its own units, wherever it stands.
    #[test]
    fn flags() {
        let variable = |name: &str, value: &str| json!({"env": [{"name": name, "value": value}]});
        assert_eq!(risk(variable("JAVA_TOOL_OPTIONS", "-Xms1g -Xmx1g -XX:+UseG1GC")), Some(Risk::High));
        assert_eq!(risk(json!({"args": ["java -Xmx1000M -jar a.jar"]})), Some(Risk::Medium));
        assert_eq!(risk(json!({"command": ["java", "-Xmx512m", "-jar", "a.jar"]})), None);
        assert_eq!(risk(variable("JAVA_OPTS", "-XX:MaxRAMPercentage=95.0")), Some(Risk::Medium));
        assert_eq!(risk(variable("GOMEMLIMIT", "1GiB")), Some(Risk::High));
        assert_eq!(risk(variable("GOMEMLIMIT", "900MiB")), None);
        assert_eq!(risk(variable("NODE_OPTIONS", "--max-old-space-size=2048")), Some(Risk::High));
        assert_eq!(risk(variable("NODE_OPTIONS", "--max-old-space-size=99999999999999999999")), None);
        assert_eq!(risk(variable("GOMEMLIMIT", "off")), None);
    }
}
