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
    /// How it is written for a heap of so many MiB.
    write: fn(u64) -> String,
    /// Hundredths of the limit from which on there is no room for the rest.
    tight: u128,
    /// Hundredths of the limit that it should be.
    good: u64,
}

const FLAGS: [Flag; 6] = [
    Flag { start: "-Xmx", value: |text, _| java_size(text), write: |mib| format!("-Xmx{mib}m"), tight: 90, good: 75 },
    Flag {
        start: "-XX:MaxHeapSize=",
        value: |text, _| java_size(text),
        write: |mib| format!("-XX:MaxHeapSize={mib}m"),
        tight: 90,
        good: 75,
    },
    Flag {
        start: "-XX:MaxRAMPercentage=",
        value: percentage,
        write: |_| "-XX:MaxRAMPercentage=75.0".to_owned(),
        tight: 90,
        good: 75,
    },
    Flag {
        start: "--max-old-space-size=",
        value: |text, _| mebibytes(text),
        write: |mib| format!("--max-old-space-size={mib}"),
        tight: 90,
        good: 75,
    },
    Flag {
        start: "--max_old_space_size=",
        value: |text, _| mebibytes(text),
        write: |mib| format!("--max_old_space_size={mib}"),
        tight: 90,
        good: 75,
    },
    GO,
];

/// Not a flag but a variable; put here as `GOMEMLIMIT=…`.
const GO: Flag = Flag {
    start: "GOMEMLIMIT=",
    value: |text, _| go_size(text),
    write: |mib| format!("GOMEMLIMIT={mib}MiB"),
    tight: 95,
    good: 90,
};
/// Texts longer than this hold no flags that anybody wrote by hand.
const LONGEST_TEXT: usize = 64 << 10;

fn check(subject: &Subject) -> Vec<Observation> {
    let limited = subject.lasting_containers().filter_map(|container| Some((container, amounts::limit(container)?)));
    limited.filter_map(|(container, limit)| contradiction(subject, container, limit)).collect()
}

/// A flag as it was found.
struct Set {
    flag: &'static Flag,
    /// With its value.
    word: String,
    /// The heap that it allows.
    heap: Bytes,
    /// The variable that it stands in, with all of its text; `None` for an argument.
    variable: Option<(String, String)>,
}

fn contradiction(subject: &Subject, container: &Container, limit: Bytes) -> Option<Observation> {
    let set = flags(container, limit).max_by_key(|set| set.heap)?;
    let (risk, title) = if set.heap >= limit {
        (Risk::High, "Heap larger than the limit")
    } else if u128::from(set.heap.0) * 100 > u128::from(limit.0) * set.flag.tight {
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
        evidence: format!("{}: {} allows {heap}, the limit is {shown_limit}", named(&container.name), named(&set.word)),
        fix: "Lower the flag to what the limit leaves (three quarters for Java and Node.js, nine tenths for Go), or raise the limit.",
        patch: lowered(subject, container, &set, limit),
        containers: vec![container.name.clone()],
    })
}

/// The variable with this flag lowered and everything else in it. A patch replaces lists of arguments as a whole, so of an argument there is
/// none.
fn lowered(subject: &Subject, container: &Container, set: &Set, limit: Bytes) -> Option<String> {
    let (name, text) = set.variable.as_ref()?;
    let mib = (limit.0 >> 20) * set.flag.good / 100;
    let written = (set.flag.write)(mib);
    let value = match written.strip_prefix(GO.start) {
        Some(value) => value.to_owned(),
        None => text.replace(&set.word, &written),
    };
    Some(patch::variable(subject, &container.name, name, &value))
}

fn flags(container: &Container, limit: Bytes) -> impl Iterator<Item = Set> {
    let arguments = container.command.iter().chain(&container.args).map(|text| (None, text.clone()));
    let variables = container.env.iter().filter_map(|variable| {
        let value = variable.value.clone()?;
        let is_go = GO.start.strip_suffix('=') == Some(&variable.name);
        let text = if is_go { format!("{}{}", GO.start, value.trim()) } else { value.clone() };
        Some((Some((variable.name.clone(), value)), text))
    });
    let texts = arguments.chain(variables).filter(|(_, text)| text.len() <= LONGEST_TEXT);
    texts.flat_map(move |(variable, text)| {
        words_of(&text).filter_map(|word| set(word, variable.as_ref(), limit)).collect::<Vec<_>>()
    })
}

/// As a shell or a JVM splits a line, near enough.
fn words_of(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
    words.filter(|word| word.starts_with('-') || word.starts_with(GO.start))
}

fn set(word: &str, variable: Option<&(String, String)>, limit: Bytes) -> Option<Set> {
    let (flag, value) = FLAGS.iter().find_map(|flag| Some((flag, word.strip_prefix(flag.start)?)))?;
    let heap = (flag.value)(value, limit)?;
    Some(Set { flag, word: word.to_owned(), heap, variable: variable.cloned() })
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
    use crate::audit::finding::{Finding, Risk};
    use crate::audit::testing::{deployment, found};
    use serde_json::{Value, json};

    fn risk(more: Value) -> Option<Risk> {
        findings(more).first().map(|finding| finding.risk)
    }

    fn findings(more: Value) -> Vec<Finding> {
        let mut container =
            json!({"name": "a", "resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}});
        for (key, value) in more.as_object().expect("fields") {
            container[key] = value.clone();
        }
        let mut findings = found(&[deployment("shop", "api", json!([container]))]);
        findings.retain(|finding| finding.rule == "runtime_flags");
        findings
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

    /// The patch lowers the flag and leaves the others of the variable as they are; arguments are not replaced as a whole.
    #[test]
    fn patches() {
        let patch = |more| findings(more).first().and_then(|finding| finding.patch.clone()).unwrap_or_default();
        let variable = |name: &str, value: &str| json!({"env": [{"name": name, "value": value}]});
        let java = patch(variable("JAVA_TOOL_OPTIONS", "-Xms1g -Xmx2g -XX:+UseG1GC"));
        assert!(
            java.ends_with("- name: JAVA_TOOL_OPTIONS\n              value: \"-Xms1g -Xmx768m -XX:+UseG1GC\"\n"),
            "{java}"
        );
        assert!(patch(variable("GOMEMLIMIT", "2GiB")).ends_with("value: \"921MiB\"\n"));
        assert_eq!(patch(json!({"args": ["-Xmx2g"]})), "");
    }
}
