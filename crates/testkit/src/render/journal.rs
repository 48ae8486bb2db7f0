//! journalctl's output modes (systemd, src/shared/logs-show.c).

use serde_json::{Value, json};

use super::{PrintkRecord, per_line};

const BOOT: &str = "9d3e7a5c1b2f4e6d8a0b1c2d3e4f5a6b";

/// `utf8_is_printable_newline()`: no control characters except tab and newline.
fn printable(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    (!text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n'))).then_some(text)
}

/// `print_multiline()`: further lines are indented to the first; what cannot be printed is counted.
fn text_mode(records: &[PrintkRecord], prefix: impl Fn(&PrintkRecord) -> String) -> Vec<u8> {
    let mut out = String::new();
    for r in records {
        let prefix = format!("{} ", prefix(r).trim_end());
        out.push_str(&prefix);
        match printable(&r.text) {
            Some(text) => out.push_str(&text.replace('\n', &format!("\n{:1$}", "", prefix.chars().count()))),
            None => out.push_str(&format!("[{}B blob data]", r.text.len())),
        }
        out.push('\n');
    }
    out.into_bytes()
}

/// journald takes the name of a program that wrote to /dev/kmsg from the text, where `name[pid]: ` begins it; else the
/// record has no identifier.
fn tag(r: &PrintkRecord) -> &'static str {
    match (r.facility, writer(r)) {
        (0, _) => "node-7c kernel:",
        (_, Some(_)) => "node-7c",
        (_, None) => "node-7c unknown:",
    }
}

fn writer(r: &PrintkRecord) -> Option<(&str, &str)> {
    let (name, rest) = std::str::from_utf8(&r.text).ok()?.split_once('[')?;
    let (pid, text) = rest.split_once("]: ")?;
    let named = !name.contains(' ') && pid.bytes().all(|b| b.is_ascii_digit());
    named.then_some((name, text))
}

pub(super) fn short(records: &[PrintkRecord]) -> Vec<u8> {
    text_mode(records, |r| format!("{} {}", r.syslog_date(), tag(r)))
}

pub(super) fn short_iso(records: &[PrintkRecord]) -> Vec<u8> {
    text_mode(records, |r| {
        let (h, m, s, _) = r.clock();
        format!("2026-11-21T{h:02}:{m:02}:{s:02}+0000 {}", tag(r))
    })
}

pub(super) fn short_precise(records: &[PrintkRecord]) -> Vec<u8> {
    text_mode(records, |r| format!("{}.{:06} {}", r.syslog_date(), r.at_us % 1_000_000, tag(r)))
}

pub(super) fn short_full(records: &[PrintkRecord]) -> Vec<u8> {
    text_mode(records, |r| {
        let (h, m, s, _) = r.clock();
        format!("Sat 2026-11-21 {h:02}:{m:02}:{s:02} UTC {}", tag(r))
    })
}

pub(super) fn short_monotonic(records: &[PrintkRecord]) -> Vec<u8> {
    text_mode(records, |r| format!("{}{}", r.stamp(), tag(r)))
}

/// Text alone.
pub(super) fn cat(records: &[PrintkRecord]) -> Vec<u8> {
    per_line(records, |_| String::new())
}

fn entry(r: &PrintkRecord) -> Value {
    let (identifier, text) = match (r.facility, writer(r)) {
        (0, _) => ("kernel", &r.text[..]),
        (_, Some((name, text))) => (name, text.as_bytes()),
        (_, None) => ("unknown", &r.text[..]),
    };
    let message = match printable(text) {
        Some(text) => json!(text),
        None => json!(text),
    };
    json!({
        "__CURSOR": format!("s=5b1e0c8f;i={:x}", r.seq),
        "__REALTIME_TIMESTAMP": r.epoch_us().to_string(),
        "__MONOTONIC_TIMESTAMP": r.at_us.to_string(),
        "_BOOT_ID": BOOT,
        "_TRANSPORT": "kernel",
        "SYSLOG_FACILITY": r.facility.to_string(),
        "SYSLOG_IDENTIFIER": identifier,
        "PRIORITY": r.level.to_string(),
        "_SOURCE_MONOTONIC_TIMESTAMP": r.at_us.to_string(),
        "_HOSTNAME": "node-7c",
        "MESSAGE": message,
    })
}

pub(super) fn json(records: &[PrintkRecord]) -> Vec<u8> {
    records.iter().flat_map(|r| format!("{}\n", entry(r)).into_bytes()).collect()
}

pub(super) fn json_pretty(records: &[PrintkRecord]) -> Vec<u8> {
    records.iter().flat_map(|r| format!("{:#}\n", entry(r)).into_bytes()).collect()
}

/// Binary fields have their length before them.
pub(super) fn export(records: &[PrintkRecord]) -> Vec<u8> {
    let mut out = Vec::new();
    for r in records {
        let Value::Object(fields) = entry(r) else { continue };
        let cursor = fields.get("__CURSOR").into_iter().map(|cursor| ("__CURSOR", cursor));
        let others = fields.iter().map(|(name, value)| (name.as_str(), value));
        for (name, value) in cursor.chain(others.filter(|(name, _)| !matches!(*name, "__CURSOR" | "MESSAGE"))) {
            out.extend_from_slice(format!("{name}={}\n", value.as_str().unwrap_or_default()).as_bytes());
        }
        if printable(&r.text).is_some_and(|text| !text.contains('\n')) {
            out.extend_from_slice(b"MESSAGE=");
        } else {
            out.extend_from_slice(b"MESSAGE\n");
            out.extend_from_slice(&(r.text.len() as u64).to_le_bytes());
        }
        out.extend_from_slice(&r.text);
        out.extend_from_slice(b"\n\n");
    }
    out
}

pub(super) fn verbose(records: &[PrintkRecord]) -> Vec<u8> {
    let mut out = String::new();
    for r in records {
        let (h, m, s, us) = r.clock();
        out.push_str(&format!("Sat 2026-11-21 {h:02}:{m:02}:{s:02}.{us:06} UTC [s=5b1e0c8f;i={:x};b={BOOT}]\n", r.seq));
        let Value::Object(fields) = entry(r) else { continue };
        for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with("__") && *name != "MESSAGE") {
            out.push_str(&format!("    {name}={}\n", value.as_str().unwrap_or_default()));
        }
        match printable(&r.text) {
            Some(text) => out.push_str(&format!("    MESSAGE={}\n", text.replace('\n', &format!("\n{:12}", "")))),
            None => out.push_str(&format!("    MESSAGE=[{}B blob data]\n", r.text.len())),
        }
    }
    out.into_bytes()
}
