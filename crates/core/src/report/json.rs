//! A case as one line of JSON: `oomscope.case/v1`, the public interface.
//!
//! The names and units are those of the types; nothing is added or left out here. What is particular is the escaping:
//! JSON permits every character from U+0080 up, and U+007F, unescaped in a string, among them C1 controls and marks that
//! turn text around. A line of ours can be shown with `cat`, so all of those are written as `\uXXXX`.

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};

use crate::audit::{self, Audit, Finding, Risk};
use crate::case::Case;
use crate::evidence::Gap;
use crate::inspect::{Inspection, InspectionDiff};
use crate::ledger::Ledger;
use crate::next::Outlook;
use crate::profile::Profile;
use crate::runbook::PodPage;
use crate::text::acts_on_its_surroundings;

/// The case as one JSON object, without a newline in or after it.
///
/// # Errors
///
/// Those of `serde_json`; the types of a case give it no occasion for any.
pub fn line(case: &Case) -> Result<String, serde_json::Error> {
    to_harmless_json(case)
}

/// What `oomscope next` found, as one JSON object, without a newline in or after it.
///
/// # Errors
///
/// Those of `serde_json`; the types give it no occasion for any.
pub fn next(outlook: &Outlook) -> Result<String, serde_json::Error> {
    to_harmless_json(outlook)
}

/// What `oomscope inspect` found, as one JSON object, without a newline in or after it.
///
/// # Errors
///
/// Those of `serde_json`; the types give it no occasion for any.
pub fn inspection(inspection: &Inspection) -> Result<String, serde_json::Error> {
    to_harmless_json(inspection)
}

/// What `oomscope node` found, as one JSON object, without a newline in or after it.
///
/// # Errors
///
/// Those of `serde_json`; the types give it no occasion for any.
pub fn ledger(ledger: &Ledger) -> Result<String, serde_json::Error> {
    to_harmless_json(ledger)
}

/// What `oomscope profile` found, as one JSON object, without a newline in or after it.
///
/// # Errors
///
/// Those of `serde_json`; the types give it no occasion for any.
pub fn profile(profile: &Profile) -> Result<String, serde_json::Error> {
    to_harmless_json(profile)
}

/// What grew between two looks, in the same way.
///
/// # Errors
///
/// As [`inspection`].
pub fn inspection_diff(diff: &InspectionDiff) -> Result<String, serde_json::Error> {
    to_harmless_json(diff)
}

/// The page of a pod, as one JSON object, without a newline in or after it.
///
/// # Errors
///
/// As [`line()`].
pub fn pod_page(page: &PodPage) -> Result<String, serde_json::Error> {
    to_harmless_json(page)
}

/// What `oomscope audit` found: a line for each finding and one for the whole, each with its newline.
///
/// # Errors
///
/// Those of `serde_json`; the types give it no occasion for any.
pub fn audit(audit: &Audit) -> Result<String, serde_json::Error> {
    let mut out = String::new();
    for finding in &audit.findings {
        out.push_str(&to_harmless_json(&FindingLine { schema: audit::SCHEMA, kind: "finding", finding })?);
        out.push('\n');
    }
    let summary = SummaryLine {
        schema: audit::SCHEMA,
        kind: "summary",
        scope: audit.scope,
        workloads: audit.workloads,
        nodes: audit.nodes,
        high: audit.count(Risk::High),
        medium: audit.count(Risk::Medium),
        low: audit.count(Risk::Low),
        unread: audit.unread,
        gaps: &audit.gaps,
    };
    Ok(out + &to_harmless_json(&summary)? + "\n")
}

#[derive(Serialize)]
struct FindingLine<'a> {
    schema: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    finding: &'a Finding,
}

#[derive(Serialize)]
struct SummaryLine<'a> {
    schema: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    scope: audit::Scope,
    workloads: u64,
    nodes: u64,
    high: usize,
    medium: usize,
    low: usize,
    unread: u64,
    gaps: &'a [Gap],
}

/// Any value as JSON that acts on no terminal.
fn to_harmless_json(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut out = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Harmless))?;
    String::from_utf8(out).map_err(|e| serde_json::Error::io(io::Error::new(io::ErrorKind::InvalidData, e)))
}

/// Compact JSON in which characters that act on their surroundings are escaped.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        // Nearly all text is plain ASCII; serde_json itself escapes what is below U+0020.
        if fragment.bytes().all(|b| b < 0x7f) {
            return CompactFormatter.write_string_fragment(writer, fragment);
        }
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| acts_on_its_surroundings(c)) {
            let (harmless, from) = rest.split_at(at);
            CompactFormatter.write_string_fragment(writer, harmless)?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = from.split_at(c.len_utf8()).1;
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing that acts on a terminal stands in the output, and reading it back gives the same string.
    #[test]
    fn cat_is_harmless_and_nothing_is_lost() {
        let hostile = "\u{1b}[31m\u{7f}\u{9b}2J a\u{202e}b\u{2028}\u{2066}\u{e0041} \"é\\日";
        let json = to_harmless_json(&hostile).unwrap();
        assert!(!json.chars().any(acts_on_its_surroundings), "{json:?}");
        assert!(json.contains("\\u009b2J a\\u202eb\\u2028\\u2066\\udb40\\udc41"), "{json}");
        assert!(json.contains("é\\\\日"), "what is harmless stays readable: {json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), hostile);
    }
}
