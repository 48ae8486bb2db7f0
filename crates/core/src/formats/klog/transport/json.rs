//! JSON around log text: `dmesg --json`, the journal, container runtimes, log services.
//!
//! An object may stand on one line or on many, in an array or behind a key. [`Collector`] cuts the objects out of the
//! lines without needing to hold the whole document; [`interpret`] finds what one of them says.

use bstr::ByteSlice;
use serde_json::{Map, Value};

use super::journal::{Entry, Message};
use super::prefix::Head;
use super::scan::skip_blanks;
use super::{bracket, kmsg, stamp, syslog};
use crate::formats::klog::record::Record;
use crate::time::{BootTime, When};

/// An object longer than this is given up.
const LONGEST_OBJECT: usize = 1 << 20;
const DEEPEST: usize = 64;

/// Members that hold a log line, the likeliest first.
const TEXT: [&str; 11] =
    ["MESSAGE", "msg", "message", "textPayload", "log", "line", "_raw", "event", "text", "body", "content"];
const TIME: [&str; 6] = ["time", "timestamp", "@timestamp", "talos-time", "ts", "date"];
const HOST: [&str; 3] = ["_HOSTNAME", "hostname", "host"];
const WRITER: [&str; 6] = ["SYSLOG_IDENTIFIER", "ident", "program", "appname", "app_name", "transport"];

/// Whether `bytes` look like the beginning of an object or array, or one member of an object.
pub(super) fn begins(bytes: &[u8]) -> bool {
    let second = |inner: &[u8]| skip_blanks(inner).first().copied();
    match bytes.split_first() {
        Some((b'{', inner)) => matches!(second(inner), None | Some(b'"')),
        Some((b'[', inner)) => matches!(second(inner), None | Some(b'{')),
        Some((b'"', _)) => member(bytes).is_some(),
        _ => false,
    }
}

/// `"MESSAGE" : "text",`: one line of an object whose other lines are not here; the string may be cut off.
pub(super) fn member(bytes: &[u8]) -> Option<Value> {
    let inner = bytes.strip_prefix(b"\"")?;
    let key = TEXT.iter().find(|key| inner.strip_prefix(key.as_bytes()).is_some_and(|rest| rest.starts_with(b"\"")))?;
    let rest = skip_blanks(inner.get(key.len() + 1..)?).strip_prefix(b":")?;
    let value = skip_blanks(rest);
    value.strip_prefix(b"\"")?;
    let value = value.trim_ascii_end();
    let value = value.strip_suffix(b",").unwrap_or(value);
    let parsed = parse(value).or_else(|| parse(&[value, b"\""].concat()))?;
    Some(Value::Object(Map::from_iter([((*key).to_owned(), parsed)])))
}

/// An object whose end is not here (the log was cut): what it says up to its last whole member or inside it.
///
/// `_TRANSPORT` may be among what is missing of a journal's entry: then it counts as another program's.
pub(super) fn cut_off(bytes: &[u8]) -> Option<Value> {
    let mut value = cut_members(bytes)?;
    if let Some(object) = value.as_object_mut().filter(|object| object.contains_key("MESSAGE")) {
        object.entry("_TRANSPORT").or_insert(Value::String(String::new()));
    }
    Some(value)
}

fn cut_members(bytes: &[u8]) -> Option<Value> {
    const LONGEST: usize = 64 << 10;
    const MEMBERS_GIVEN_UP: usize = 4;
    let mut rest = Some(bytes).filter(|bytes| bytes.starts_with(b"{") && bytes.len() < LONGEST)?;
    for _ in 0..MEMBERS_GIVEN_UP {
        let closed = ["\"}", "}", "\"}}", "}}"].iter().find_map(|end| parse(&[rest, end.as_bytes()].concat()));
        if closed.is_some() {
            return closed;
        }
        rest = rest.rfind(b",\"").and_then(|comma| rest.get(..comma))?;
    }
    None
}

/// util-linux's dmesg copies bytes that are no UTF-8 as they are. They travel through the JSON reader as characters of
/// this private range.
const RAW_BYTES: u32 = 0x0010_ff00;

/// Reads one JSON value.
pub(super) fn parse(bytes: &[u8]) -> Option<Value> {
    if let Ok(text) = bytes.to_str() {
        return serde_json::from_str(text).ok();
    }
    let mut text = String::with_capacity(bytes.len() * 2);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|byte| char::from_u32(RAW_BYTES + u32::from(*byte))));
    }
    serde_json::from_str(&text).ok()
}

fn exact_bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c).checked_sub(RAW_BYTES).and_then(|byte| u8::try_from(byte).ok()).filter(|byte| *byte >= 0x80)
        {
            Some(byte) => out.push(byte),
            None => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}

/// What an object says.
pub(super) enum Found {
    /// A record whose text is exact.
    Record(Record),
    /// Text that may be wrapped further, and what was around it.
    Text(Head, Vec<u8>),
}

/// Finds the log text in `value`; `base` is what was known before.
pub(super) fn interpret(value: &Value, base: &Record, found: &mut dyn FnMut(Found)) {
    search(value, base, 0, found);
}

fn search(value: &Value, base: &Record, depth: usize, found: &mut dyn FnMut(Found)) {
    if depth > 5 {
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| search(item, base, depth + 1, found)),
        Value::Object(object) => search_object(object, base, depth, found),
        _ => {}
    }
}

fn search_object(object: &Map<String, Value>, base: &Record, depth: usize, found: &mut dyn FnMut(Found)) {
    if let Some(record) = dmesg(object, base) {
        return found(Found::Record(record));
    }
    let head = context(object, base);
    if object.contains_key("MESSAGE") {
        return journal(object, &head.record, found);
    }
    match TEXT.iter().find_map(|key| text(object.get(*key)?)) {
        Some(text) => found(Found::Text(head, text)),
        None => {
            let nested = object.values().filter(|value| value.is_object() || value.is_array());
            nested.for_each(|value| search(value, &head.record, depth + 1, found));
        }
    }
}

fn text(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(exact_bytes(text)),
        Value::Array(items) if !items.is_empty() => {
            let bytes: Option<Vec<u8>> = items.iter().map(|n| n.as_u64().and_then(|n| u8::try_from(n).ok())).collect();
            bytes.or_else(|| {
                let strings: Option<Vec<Vec<u8>>> = items.iter().map(|s| s.as_str().map(exact_bytes)).collect();
                Some(strings?.join(&b'\n'))
            })
        }
        _ => None,
    }
}

/// `{"pri":4,"time":   100.000001,"msg":"…"}` of util-linux; with `-x` `"fac":"kern","pri":"warn"`.
fn dmesg(object: &Map<String, Value>, base: &Record) -> Option<Record> {
    let message = object.get("msg")?.as_str()?;
    let (level, kernel) = match object.get("pri")? {
        Value::Number(priority) => {
            let priority = priority.as_u64()?;
            (u8::try_from(priority & 7).ok(), priority >> 3 == 0)
        }
        Value::String(name) => (syslog::level(name.as_bytes()), true),
        _ => return None,
    };
    let named = object.get("fac").and_then(Value::as_str).is_none_or(|facility| facility == "kern");
    let mut record = Record {
        text: exact_bytes(message),
        level,
        foreign: !(kernel && named),
        framed: true,
        prefixed: true,
        caller: object.get("caller").and_then(Value::as_str).map(str::trim).and_then(bracket::caller_id),
        ..base.clone()
    };
    if let Some(seconds) = object.get("time").and_then(Value::as_f64).filter(|seconds| (0.0..1e12).contains(seconds)) {
        record.when.boot_us = Some(BootTime((seconds * 1e6).round() as u64));
    }
    Some(record)
}

fn journal(object: &Map<String, Value>, base: &Record, found: &mut dyn FnMut(Found)) {
    let mut entry = Entry::default();
    for (field, value) in object {
        match value {
            Value::Number(number) => entry.set(field.as_bytes(), number.to_string().as_bytes()),
            value => {
                if let Some(value) = text(value) {
                    entry.set(field.as_bytes(), &value);
                }
            }
        }
    }
    match entry.into_message(base.lines, true) {
        Some(Message::Exact(record)) => found(Found::Record(with_base(record, base))),
        Some(Message::Tagged(record)) => {
            let mut record = with_base(record, base);
            let text = std::mem::take(&mut record.text);
            found(Found::Text(Head::inside(record), text));
        }
        None => {}
    }
}

fn with_base(mut record: Record, base: &Record) -> Record {
    record.when.fill_from(&base.when);
    record.host = record.host.or_else(|| base.host.clone());
    record
}

/// Time, host and writer that stand beside the text.
fn context(object: &Map<String, Value>, base: &Record) -> Head {
    let mut record = base.clone();
    let mut when = TIME.iter().find_map(|key| point_in_time(object.get(*key)?)).unwrap_or_default();
    // Talos' `clock` is the record's time in microseconds since boot.
    if object.contains_key("talos-level") {
        when.boot_us = object.get("clock").and_then(Value::as_u64).map(BootTime);
        record.seq = object.get("seq").and_then(Value::as_u64).filter(|seq| kmsg::is_plausible_seq(*seq));
    }
    when.fill_from(&record.when);
    record.when = when;
    if let Some(host) = HOST.iter().find_map(|key| object.get(*key)?.as_str()) {
        record.host = syslog::host_name(host.as_bytes());
    }
    if let Some(facility) = object.get("facility").and_then(Value::as_str) {
        record.prefixed |= facility == "kern";
    }
    if let Some(writer) = WRITER.iter().find_map(|key| object.get(*key)?.as_str()) {
        record.prefixed |= writer == "kernel";
    }
    Head::inside(record)
}

fn point_in_time(value: &Value) -> Option<When> {
    let wall = match value {
        Value::String(text) => match stamp::iso(text.as_bytes()) {
            Some((iso, _)) => return Some(iso.when),
            None => stamp::epoch(text.parse().ok()?)?,
        },
        Value::Number(number) => match number.as_i64() {
            Some(count) => stamp::epoch(i128::from(count))?,
            None => stamp::epoch((number.as_f64()? * 1e6) as i128)?,
        },
        _ => return None,
    };
    Some(When { wall: Some(wall), ..When::default() })
}

/// Cuts objects out of lines.
#[derive(Debug, Default)]
pub(super) struct Collector {
    /// The object being read, with the beginning of its line (which may be another object's end).
    object: Vec<u8>,
    /// Where in `object` the current line begins.
    line_start: usize,
    first: u64,
    stack: Vec<u8>,
    in_string: bool,
    escaped: bool,
    /// Inside `{"dmesg": [`: its elements are the objects, as the whole is too long to hold.
    in_dmesg: bool,
    given_up: bool,
}

/// What became of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fed {
    /// More is needed.
    Open,
    /// All that was opened is closed.
    Closed,
    /// This was no JSON.
    Broken,
}

impl Collector {
    /// Takes a line, or a piece of one (`ends`: the line ends with it); calls `unit` with every object that ends in it,
    /// and the line that it began on.
    pub(super) fn feed(&mut self, line: &[u8], number: u64, ends: bool, unit: &mut dyn FnMut(&[u8], u64)) -> Fed {
        self.line_start = self.object.len();
        for byte in line {
            if !self.step(*byte, number, unit) {
                return Fed::Broken;
            }
        }
        if !ends {
            return Fed::Open;
        }
        // JSON has no line breaks within strings.
        if self.in_string {
            return Fed::Broken;
        }
        self.keep(b'\n', number);
        if self.stack.is_empty() { Fed::Closed } else { Fed::Open }
    }

    fn step(&mut self, byte: u8, number: u64, unit: &mut dyn FnMut(&[u8], u64)) -> bool {
        if self.in_string {
            self.in_string = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            self.keep(byte, number);
            return true;
        }
        match byte {
            b'{' | b'[' => return self.open(byte, number),
            b'}' | b']' => return self.close(byte, number, unit),
            b'"' => self.in_string = true,
            b' ' | b'\t' | b',' | b':' | b'+' | b'-' | b'.' | b'0'..=b'9' | b'E' | b'a'..=b'z' => {}
            _ => return false,
        }
        self.keep(byte, number);
        true
    }

    fn open(&mut self, byte: u8, number: u64) -> bool {
        if byte == b'{' && self.at_container() {
            self.object.clear();
            self.line_start = 0;
            self.first = number;
            self.given_up = false;
        }
        if byte == b'[' && self.stack == b"{" && self.is_dmesg_array() {
            self.in_dmesg = true;
        }
        self.stack.push(byte);
        self.keep(byte, number);
        self.stack.len() <= DEEPEST
    }

    fn close(&mut self, byte: u8, number: u64, unit: &mut dyn FnMut(&[u8], u64)) -> bool {
        let opener = if byte == b'}' { b'{' } else { b'[' };
        if self.stack.pop() != Some(opener) {
            return false;
        }
        self.keep(byte, number);
        if byte == b'}' && self.at_container() {
            if !self.given_up {
                unit(&self.object, self.first);
            }
            self.object.clear();
            self.line_start = 0;
        }
        self.in_dmesg &= self.stack.len() >= 2;
        true
    }

    /// Whether an object that begins or ends here is one of its own, rather than part of another.
    fn at_container(&self) -> bool {
        self.stack.iter().all(|opener| *opener == b'[') || self.in_dmesg && self.stack.len() == 2
    }

    /// Whether nothing of an object was read that is not finished.
    pub(super) fn is_between_objects(&self) -> bool {
        !self.in_string && self.at_container()
    }

    fn is_dmesg_array(&self) -> bool {
        let start = self.object.iter().filter(|b| !b.is_ascii_whitespace()).take(16);
        self.object.len() < 64 && start.eq(b"{\"dmesg\":")
    }

    fn keep(&mut self, byte: u8, number: u64) {
        if self.stack.is_empty() && byte != b'}' {
            return;
        }
        if self.object.len() >= LONGEST_OBJECT {
            self.given_up = true;
            self.object.clear();
            self.line_start = 0;
        }
        if !self.given_up {
            if self.object.is_empty() {
                self.first = number;
            }
            self.object.push(byte);
        }
    }

    /// The lines before the current one that belong to no finished object, and the number of the first.
    pub(super) fn unread(&self) -> (&[u8], u64) {
        (self.object.get(..self.line_start).unwrap_or_default(), self.first)
    }

    /// All that belongs to no finished object.
    pub(super) fn rest(&self) -> (&[u8], u64) {
        (&self.object, self.first)
    }
}

/// Whether a line can stand within an object that is written on many lines.
pub(super) fn is_inner_line(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.starts_with(b"\"") || line.iter().all(|b| b"[]{},.-+ 0123456789eE".contains(b)) || is_literal(line)
}

fn is_literal(line: &[u8]) -> bool {
    matches!(line.strip_suffix(b",").unwrap_or(line), b"true" | b"false" | b"null")
}

/// `{`, `},{`: the object that begins on a line of nothing but brackets.
pub(super) fn opening(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii();
    let brackets = line.iter().all(|b| b"[]{}, ".contains(b));
    line.get(line.len().checked_sub(1)?..).filter(|last| brackets && *last == b"{")
}
