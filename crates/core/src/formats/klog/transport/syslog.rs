//! Lines of syslog daemons and of journalctl: a date, a host, a tag that names the writer.

use super::bracket;
use super::habit::Habit;
use super::prefix::Head;
use super::scan::{fixed_number, is_blank, next_word, number, skip_blanks, skip_one_blank, word};
use super::stamp::{self, Iso};
use crate::time::When;

/// Who wrote a line, and where.
#[derive(Debug)]
pub(super) struct Tag<'a> {
    pub(super) name: &'a [u8],
    pub(super) host: Option<String>,
}

impl Tag<'_> {
    /// The kernel itself wrote it.
    pub(super) fn is_kernel(&self) -> bool {
        is_kernel(self.name)
    }
}

const FACILITIES: [&[u8]; 20] = [
    b"kern",
    b"user",
    b"mail",
    b"daemon",
    b"auth",
    b"syslog",
    b"lpr",
    b"news",
    b"uucp",
    b"cron",
    b"authpriv",
    b"ftp",
    b"local0",
    b"local1",
    b"local2",
    b"local3",
    b"local4",
    b"local5",
    b"local6",
    b"local7",
];

/// `warn` → 4. The names that util-linux, busybox, OpenWrt, Talos and rsyslog print.
pub(super) fn level(name: &[u8]) -> Option<u8> {
    Some(match name {
        b"emerg" | b"panic" => 0,
        b"alert" => 1,
        b"crit" => 2,
        b"err" | b"error" => 3,
        b"warn" | b"warning" => 4,
        b"notice" => 5,
        b"info" => 6,
        b"debug" => 7,
        _ => return None,
    })
}

/// `<6>`.
pub(super) fn pri(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (priority, rest) = number(bytes.strip_prefix(b"<")?)?;
    Some((priority, rest.strip_prefix(b">").filter(|_| priority < 1024)?))
}

/// `<6>text`, `<4>Dec  7 …`, and the whole header of RFC 5424.
pub(super) fn priority<'a>(bytes: &'a [u8], head: &mut Head, _: &mut Habit) -> Option<&'a [u8]> {
    let (priority, rest) = pri(bytes)?;
    if head.stage != super::prefix::Stage::Outside && !bracket::is_wide_stamp(rest) {
        return None;
    }
    head.facility(priority >> 3 == 0, u8::try_from(priority & 7).unwrap_or_default());
    match number(rest).and_then(|(_, more)| rfc5424(more.strip_prefix(b" ")?, head)) {
        Some(text) => Some(text),
        None => Some(rest),
    }
}

/// `TIMESTAMP host app procid msgid [structured data] BOM? text`, after the version.
fn rfc5424<'a>(bytes: &'a [u8], head: &mut Head) -> Option<&'a [u8]> {
    let (when, rest) = match stamp::iso(bytes) {
        Some((iso, rest)) => (iso.when, rest),
        None => (When::default(), bytes.strip_prefix(b"-")?),
    };
    let (host, rest) = word(rest.strip_prefix(b" ")?);
    let (app, rest) = word(rest.strip_prefix(b" ")?);
    let (_, rest) = word(rest.strip_prefix(b" ")?);
    let (_, rest) = word(rest.strip_prefix(b" ")?);
    let text = after_structured_data(rest.strip_prefix(b" ")?)?;
    head.time(&when);
    name_writer(app, host_name(host), head);
    Some(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text))
}

/// Past `-` or `[id key="value \] …"]…` and one blank.
fn after_structured_data(bytes: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = bytes.strip_prefix(b"-") {
        return (rest.is_empty() || rest.starts_with(b" ")).then(|| skip_one_blank(rest));
    }
    bytes.strip_prefix(b"[")?;
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b']' if !quoted && bytes.get(at + 1) != Some(&b'[') => {
                return bytes.get(at + 1..).map(skip_one_blank);
            }
            _ => {}
        }
    }
    None
}

/// `2017-12-07T00:05:14,123456+00:00 text` (dmesg), `… host kernel: text` (rsyslog, journal), `… info host kernel - - -
/// text` (VMware), `…Z stdout F text` (CRI), `…Z text` (docker, clouds).
pub(super) fn iso_line<'a>(bytes: &'a [u8], head: &mut Head, habit: &mut Habit) -> Option<&'a [u8]> {
    let (iso, rest) = stamp::iso(bytes)?;
    if !rest.first().is_none_or(|b| is_blank(*b) || *b == b'|') {
        return None;
    }
    head.time(&iso.when);
    if iso.comma {
        head.stamped();
        return Some(bracket::decorated(skip_one_blank(rest), head, habit));
    }
    Some(after_iso(iso, rest, head))
}

fn after_iso<'a>(iso: Iso, rest: &'a [u8], head: &mut Head) -> &'a [u8] {
    let text = skip_one_blank(rest);
    for stream in [&b"stdout "[..], b"stderr "] {
        if let Some(more) = text.strip_prefix(stream) {
            return more.strip_prefix(b"F ").or_else(|| more.strip_prefix(b"P ")).unwrap_or(more);
        }
    }
    file_rfc5424(text, head).or_else(|| tagged(text, head, !iso.zulu)).unwrap_or(text)
}

/// `[level ]host app - - - text`: RFC 5424 as file templates write it.
fn file_rfc5424<'a>(text: &'a [u8], head: &mut Head) -> Option<&'a [u8]> {
    let (first, rest) = word(text);
    let (host, rest) = if level(first).is_some() { next_word(rest) } else { (first, rest) };
    let (app, rest) = next_word(rest);
    let (_, rest) = next_word(rest);
    let text = rest.strip_prefix(b" - ")?;
    let text = after_structured_data(text)?;
    if let Some(level) = level(first) {
        head.record.level = Some(level);
    }
    name_writer(app, host_name(host), head);
    Some(text)
}

/// `1795252113.123456 host kernel: text` (journalctl `-o short-unix`).
pub(super) fn unix_line<'a>(bytes: &'a [u8], head: &mut Head, _: &mut Habit) -> Option<&'a [u8]> {
    let (since_epoch, rest) = stamp::boot(bytes)?;
    let wall = stamp::epoch(i128::from(since_epoch.0))?;
    let text = tagged(rest.strip_prefix(b" ")?, head, false)?;
    head.time(&When { wall: Some(wall), ..When::default() });
    Some(text)
}

/// `Dec  7 00:05:14 host kernel: text` and its relatives, in any language.
pub(super) fn dated_line<'a>(bytes: &'a [u8], head: &mut Head, _: &mut Habit) -> Option<&'a [u8]> {
    let (when, rest) = weekday_and_iso(bytes).or_else(|| stamp::date_in_words(bytes))?;
    if !rest.first().is_none_or(|b| is_blank(*b) || *b == b':') {
        return None;
    }
    head.time(&when);
    let text = skip_one_blank(rest.strip_prefix(b":").unwrap_or(rest));
    let text = epoch_in_brackets(text, head).unwrap_or(text);
    Some(tagged(text, head, true).unwrap_or(text))
}

/// `[1618252188.123] `: what `logread -t` puts behind the date.
fn epoch_in_brackets<'a>(bytes: &'a [u8], head: &mut Head) -> Option<&'a [u8]> {
    let (seconds, rest) = fixed_number(bytes.strip_prefix(b"[")?, 10)?;
    let (millis, rest) = fixed_number(rest.strip_prefix(b".")?, 3)?;
    let wall = stamp::epoch(i128::from(seconds) * 1_000_000 + i128::from(millis) * 1000)?;
    head.time(&When { wall: Some(wall), ..When::default() });
    rest.strip_prefix(b"] ")
}

/// `Thu 2026-04-04 03:41:03 UTC`: journalctl `-o short-full`.
pub(super) fn weekday_and_iso(bytes: &[u8]) -> Option<(When, &[u8])> {
    let (weekday, rest) = word(bytes);
    if weekday.is_empty() || weekday.len() > 16 || weekday.iter().any(u8::is_ascii_digit) {
        return None;
    }
    let (mut iso, rest) = stamp::iso(rest.strip_prefix(b" ")?)?;
    let (zone, after) = next_word(rest);
    if !stamp::is_zone_name(zone) {
        return Some((iso.when, rest));
    }
    if stamp::is_utc(zone) {
        let local = iso.when.wall_local.take();
        iso.when.wall = local.and_then(|local| jiff::tz::Offset::UTC.to_timestamp(local).ok());
    }
    Some((iso.when, after))
}

/// `[facility.level ]kernel: text`, `host [facility.level ]kernel: text`; notes the writer.
///
/// `plain` allows a host's tag without a pid (`host systemd: text`), which without a syslog date before it would be the
/// kernel's own `word: `.
fn tagged<'a>(text: &'a [u8], head: &mut Head, plain: bool) -> Option<&'a [u8]> {
    let text = skip_blanks(text);
    let text = facility_dot_level(text, head).unwrap_or(text);
    let (first, rest) = word(text);
    let (tag, text) = match parse_tag(text) {
        Some((name, has_pid, rest)) if has_pid || is_kernel(name) => (Tag { name, host: None }, rest),
        _ => {
            let rest = facility_dot_level(skip_blanks(rest), head).unwrap_or(rest);
            tag_after_host(first, rest, plain)?
        }
    };
    head.syslog = true;
    if tag.is_kernel() {
        head.kernel_tag();
    } else {
        head.other_program(tag.name);
    }
    head.record.host = tag.host.or(head.record.host.take());
    Some(text)
}

/// ` tag: text` behind a host name.
pub(super) fn tag_after_host<'a>(host: &[u8], rest: &'a [u8], plain: bool) -> Option<(Tag<'a>, &'a [u8])> {
    let (name, has_pid, text) = parse_tag(skip_blanks(rest))?;
    (is_kernel(name) || has_pid || plain).then(|| (Tag { name, host: host_name(host) }, text))
}

/// `name: `, `name[12]: `: the name, whether there was a pid, and the text.
fn parse_tag(bytes: &[u8]) -> Option<(&[u8], bool, &[u8])> {
    let len = bytes.iter().take(65).position(|b| matches!(b, b'[' | b':') || is_blank(*b))?;
    let (name, rest) = bytes.split_at_checked(len).filter(|(name, _)| !name.is_empty())?;
    let (has_pid, rest) = match rest.strip_prefix(b"[") {
        Some(inner) => {
            let close = inner.iter().take(24).position(|b| *b == b']')?;
            (true, inner.get(close + 1..)?)
        }
        None => (false, rest),
    };
    let text = rest.strip_prefix(b":")?;
    let ends = text.is_empty() || text.starts_with(b" ") || text.starts_with(b"[") && is_kernel(name);
    ends.then(|| (name, has_pid, skip_one_blank(text)))
}

/// The audit subsystem's records reach the journal under a tag of their own.
fn is_kernel(tag: &[u8]) -> bool {
    matches!(tag, b"kernel" | b"audit")
}

fn name_writer(app: &[u8], host: Option<String>, head: &mut Head) {
    head.syslog = true;
    head.record.host = host.or(head.record.host.take());
    if is_kernel(app) { head.kernel_tag() } else { head.other_program(app) }
}

/// A host name, unless it was withheld (`-`, `...`) or is longer than any (RFC 1035: 255 bytes). Every record holds it.
pub(super) fn host_name(host: &[u8]) -> Option<String> {
    let named = host.len() <= 255 && host.iter().any(u8::is_ascii_alphanumeric);
    named.then(|| String::from_utf8_lossy(host).into_owned())
}

/// `kern.warn ` (OpenWrt, busybox).
fn facility_dot_level<'a>(text: &'a [u8], head: &mut Head) -> Option<&'a [u8]> {
    let (name, rest) = word(text);
    let dot = name.iter().take(10).position(|b| *b == b'.')?;
    let (facility, severity) = name.split_at(dot);
    let level = level(severity.get(1..)?)?;
    if !FACILITIES.contains(&facility) {
        return None;
    }
    head.record.level = Some(level);
    Some(skip_blanks(rest))
}

/// `kern  :info  : text` (dmesg -x), `kern:    info: text` and `10.44.7.19: kern:    info: text` (Talos).
pub(super) fn facility_level<'a>(bytes: &'a [u8], head: &mut Head, _: &mut Habit) -> Option<&'a [u8]> {
    if let Some(text) = facility_colon_level(bytes, head) {
        return Some(text);
    }
    let (node, rest) = word(bytes);
    let node = node.strip_suffix(b":")?;
    let text = facility_colon_level(rest.strip_prefix(b" ")?, head)?;
    head.record.host = host_name(node);
    Some(text)
}

fn facility_colon_level<'a>(bytes: &'a [u8], head: &mut Head) -> Option<&'a [u8]> {
    let facility = FACILITIES.iter().find(|name| bytes.starts_with(name) && ends_name(bytes, name.len()))?;
    let rest = skip_blanks(bytes.strip_prefix(*facility)?).strip_prefix(b":")?;
    let rest = skip_blanks(rest);
    let len = rest.iter().take(8).take_while(|b| b.is_ascii_lowercase()).count();
    let (severity, rest) = rest.split_at_checked(len)?;
    let level = level(severity)?;
    let rest = skip_blanks(rest).strip_prefix(b":")?;
    head.facility(*facility == b"kern", level);
    Some(skip_one_blank(rest))
}

fn ends_name(bytes: &[u8], len: usize) -> bool {
    bytes.get(len).is_some_and(|b| is_blank(*b) || *b == b':')
}

/// `kernel: text` without date or host.
pub(super) fn bare_kernel_tag<'a>(bytes: &'a [u8], head: &mut Head, _: &mut Habit) -> Option<&'a [u8]> {
    let rest = bytes.strip_prefix(b"kernel:")?;
    head.kernel_tag();
    head.syslog = true;
    Some(skip_one_blank(rest))
}
