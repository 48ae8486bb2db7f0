//! Mail, Markdown and HTML around pasted logs.

use super::habit::Habit;
use super::prefix::{Head, is_unmistakable};
use super::scan::{is_blank, skip_blanks, skip_one_blank, trim_end, word};
use super::stamp;
use crate::time::When;

/// Lines that hold no log text at all: code fences, table rules, pstore's headers, the journal's own remarks.
pub(super) fn is_noise(line: &[u8]) -> bool {
    let text = skip_blanks(line);
    match text.first() {
        None => true,
        Some(b'`' | b'~') => is_fence(text),
        Some(b'|') => text.iter().all(|b| matches!(b, b'|' | b'-' | b':' | b' ')),
        Some(b'=') => text.strip_prefix(b"====").and_then(stamp_of_ramoops).is_some(),
        Some(b'-') => is_journal_remark(text),
        Some(b'A'..=b'Z') => is_pstore_header(text),
        _ => false,
    }
}

/// "```", "``` text".
fn is_fence(text: &[u8]) -> bool {
    let Some(language) = text.strip_prefix(b"```").or_else(|| text.strip_prefix(b"~~~")) else { return false };
    let language = language.trim_ascii();
    language.len() <= 20 && !language.iter().any(|b| is_blank(*b) || matches!(b, b'[' | b':'))
}

/// `====1700000000.123456-D`.
fn stamp_of_ramoops(rest: &[u8]) -> Option<()> {
    let (_, rest) = stamp::boot(rest)?;
    matches!(rest, b"-C" | b"-D").then_some(())
}

/// `-- Logs begin at …`, `-- Journal begins at …`, `-- No entries --`, `-- Reboot --`, `-- Boot … --`.
fn is_journal_remark(text: &[u8]) -> bool {
    let Some(remark) = text.strip_prefix(b"-- ") else { return false };
    [&b"Logs begin"[..], b"Journal begins", b"No entries", b"Reboot --", b"Boot "].iter().any(|r| remark.starts_with(r))
}

/// The boot id of `-- Boot 4f… --`; `Some(None)` where a boot begins that is not named.
pub(super) fn boot_marker(line: &[u8]) -> Option<Option<String>> {
    let remark = skip_blanks(line).strip_prefix(b"-- ")?;
    if remark.starts_with(b"Reboot --") {
        return Some(None);
    }
    let (id, rest) = word(remark.strip_prefix(b"Boot ")?);
    let is_id = id.len() == 32 && id.iter().all(u8::is_ascii_hexdigit) && rest.starts_with(b" --");
    is_id.then(|| Some(String::from_utf8_lossy(id).into_owned()))
}

/// `Panic#2 Part1`: each pstore file begins so (`fs/pstore/platform.c`).
fn is_pstore_header(text: &[u8]) -> bool {
    let (why, rest) = word(trim_end(text));
    let mut parts = why.split(|b| *b == b'#');
    let named = parts.next().is_some_and(|name| name.iter().all(u8::is_ascii_alphabetic));
    let counted = parts.next().is_some_and(|count| !count.is_empty() && count.iter().all(u8::is_ascii_digit));
    let part = rest.strip_prefix(b" Part").is_some_and(|n| !n.is_empty() && n.iter().all(u8::is_ascii_digit));
    named && counted && part
}

/// `> text`, `>> text`.
pub(super) fn quote<'a>(bytes: &'a [u8], _: &mut Head, _: &mut Habit) -> Option<&'a [u8]> {
    bytes.strip_prefix(b">").map(skip_one_blank)
}

/// "```[  123.456789] text": fence and text on one line.
pub(super) fn fence<'a>(bytes: &'a [u8], head: &mut Head, _: &mut Habit) -> Option<&'a [u8]> {
    if let Some(rest) = bytes.strip_prefix(b"```") {
        head.fenced = true;
        return Some(rest);
    }
    let rest = bytes.strip_prefix(b"`")?;
    (is_unmistakable(rest) || stamp::date_in_words(rest).is_some()).then_some(rest)
}

/// `| 7109.247407 | 3 | text |`: cells with time and level, then the text.
pub(super) fn table_row<'a>(bytes: &'a [u8], head: &mut Head, _: &mut Habit) -> Option<&'a [u8]> {
    let mut rest = bytes.strip_prefix(b"|")?;
    head.table = true;
    for _ in 0..4 {
        let Some(bar) = rest.iter().take(64).position(|b| *b == b'|') else { break };
        let (cell, after) = rest.split_at(bar);
        let cell = cell.trim_ascii();
        if let Some((boot, [])) = stamp::boot(cell) {
            head.time(&When { boot_us: Some(boot), ..When::default() });
            head.stamped();
        } else if let [level @ b'0'..=b'7'] = cell {
            head.record.level = Some(level - b'0');
        } else if let Some((iso, [])) = stamp::iso(cell) {
            head.time(&iso.when);
        } else {
            break;
        }
        rest = after.strip_prefix(b"|").unwrap_or_default();
    }
    Some(skip_one_blank(rest))
}

const TAGS: [&[u8]; 18] = [
    b"pre",
    b"code",
    b"details",
    b"summary",
    b"html",
    b"body",
    b"head",
    b"div",
    b"span",
    b"p",
    b"br",
    b"li",
    b"ul",
    b"ol",
    b"td",
    b"tr",
    b"table",
    b"blockquote",
];

/// `<pre>`, `</code>`, `<div class="x">`. The kernel's own `<TASK>` and `<IRQ>` are none of these.
pub(super) fn tag<'a>(bytes: &'a [u8], _: &mut Head, _: &mut Habit) -> Option<&'a [u8]> {
    let inner = bytes.strip_prefix(b"<")?;
    let inner = inner.strip_prefix(b"/").unwrap_or(inner);
    let close = inner.iter().take(200).position(|b| *b == b'>')?;
    let (content, rest) = inner.split_at(close);
    let name = content.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
    let (name, attributes) = content.split_at(name);
    let known = TAGS.iter().any(|tag| tag.eq_ignore_ascii_case(name));
    (known && attributes.first().is_none_or(|b| matches!(b, b' ' | b'/'))).then(|| rest.strip_prefix(b">"))?
}

/// Whether the stream is a web page: only then do `&lt;` and closing tags mean something.
pub(super) fn is_html(line: &[u8]) -> bool {
    let text = skip_blanks(line);
    match text.first() {
        Some(b'<') => tag(text, &mut Head::default(), &mut Habit::default()).is_some(),
        Some(b'&') => {
            text.strip_prefix(b"&lt;").and_then(<[u8]>::first).is_some_and(u8::is_ascii_digit)
                || text.starts_with(b"&gt; ")
        }
        _ => false,
    }
}

/// Without `</pre>`, `<br/>` and the like at the end.
pub(super) fn without_closing_tags(mut text: &[u8]) -> &[u8] {
    for _ in 0..4 {
        if !text.ends_with(b">") {
            break;
        }
        let Some(open) = text.iter().rev().take(16).position(|b| *b == b'<') else { break };
        let (before, last) = text.split_at(text.len() - open - 1);
        if tag(last, &mut Head::default(), &mut Habit::default()).is_none_or(|rest| !rest.is_empty()) {
            break;
        }
        text = before;
    }
    text
}
