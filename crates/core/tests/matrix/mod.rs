//! Reading a log to reports, and telling two readings apart.

use std::fmt;

use oomscope_core::formats::klog::Scanner;
use serde_json::Value;

/// The reports of a log, as their JSON.
pub(crate) fn reports(log: &[u8]) -> Vec<Value> {
    let mut out = Vec::new();
    let mut scanner = Scanner::new();
    let mut take =
        |event: oomscope_core::formats::klog::LogEvent| out.push(serde_json::to_value(event.report).unwrap());
    scanner.push(log, &mut take);
    scanner.finish(&mut take);
    out
}

/// One value that is not the same in two readings.
pub(crate) struct Difference {
    pub(crate) path: String,
    pub(crate) full: Value,
    pub(crate) part: Value,
}

impl Difference {
    /// The last name of the path.
    pub(crate) fn field(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |value: &Value| value.to_string().chars().take(160).collect::<String>();
        write!(f, "{}: {} became {}", self.path, short(&self.full), short(&self.part))
    }
}

/// Everything that differs between two readings of the same log.
pub(crate) fn compare(full: &[Value], part: &[Value]) -> Vec<Difference> {
    if full.len() != part.len() {
        return vec![Difference { path: "reports".to_owned(), full: full.len().into(), part: part.len().into() }];
    }
    let mut out = Vec::new();
    for (index, (full, part)) in full.iter().zip(part).enumerate() {
        differ(&index.to_string(), full, part, &mut out);
    }
    out
}

fn differ(path: &str, full: &Value, part: &Value, out: &mut Vec<Difference>) {
    match (full, part) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                let none = Value::Null;
                differ(&format!("{path}.{key}"), a.get(key).unwrap_or(&none), b.get(key).unwrap_or(&none), out);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                differ(&format!("{path}.{index}"), a, b, out);
            }
        }
        (a, b) if a == b => {}
        (a, b) => out.push(Difference { path: path.to_owned(), full: a.clone(), part: b.clone() }),
    }
}

/// What a reading of damaged input says *differently*: knowing less is right, knowing something else is not.
pub(crate) fn contradictions(full: &[Value], part: &[Value]) -> Vec<Difference> {
    let mut out = Vec::new();
    if part.len() > full.len() {
        out.push(Difference { path: "reports".to_owned(), full: full.len().into(), part: part.len().into() });
    }
    for (index, (full, part)) in full.iter().zip(part).enumerate() {
        contradict(&index.to_string(), full, part, &mut out);
    }
    out
}

fn contradict(path: &str, full: &Value, part: &Value, out: &mut Vec<Difference>) {
    match (full, part) {
        (_, Value::Null | Value::Bool(false)) => {}
        (Value::Object(a), Value::Object(b)) => {
            for (key, b) in b {
                contradict(&format!("{path}.{key}"), a.get(key).unwrap_or(&Value::Null), b, out);
            }
        }
        (Value::Array(a), Value::Array(b)) if b.len() <= a.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                contradict(&format!("{path}.{index}"), a, b, out);
            }
        }
        (a, b) if a == b => {}
        (Value::Null, Value::Object(b)) if b.is_empty() => {}
        (a, b) => out.push(Difference { path: path.to_owned(), full: a.clone(), part: b.clone() }),
    }
}
