//! What container tools, hypervisors, search tools and people put before lines.

use memchr::memmem;

use super::habit::Habit;
use super::prefix::{Head, is_unmistakable};
use super::scan::{fixed_number, head as first, is_blank, next_word, number, skip_blanks, skip_one_blank, word};
use super::stamp;
use super::syslog;

/// `[pod/name/container] text` (`kubectl logs --prefix`).
pub(super) fn kubectl<'a>(bytes: &'a [u8], _: &mut Head, _: &mut Habit) -> Option<&'a [u8]> {
    let inner = bytes.strip_prefix(b"[pod/")?;
    let close = first(inner, 320).windows(2).position(|pair| pair == b"] ")?;
    inner.get(close + 2..)
}

/// `name-1  | text` (docker compose), `name | text` (stern with a template).
pub(super) fn compose<'a>(bytes: &'a [u8], _: &mut Head, _: &mut Habit) -> Option<&'a [u8]> {
    let (name, rest) = word(bytes);
    let is_name = name.len() <= 64 && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    let text = skip_blanks(rest).strip_prefix(b"|").filter(|_| is_name && !rest.is_empty())?;
    (text.is_empty() || text.starts_with(b" ")).then(|| skip_one_blank(text))
}

/// `data: {…}` (journalctl `-o json-sse`).
pub(super) fn server_sent_event<'a>(bytes: &'a [u8], _: &mut Head, _: &mut Habit) -> Option<&'a [u8]> {
    bytes.strip_prefix(b"data: ").filter(|text| super::json::begins(text))
}

/// `warning|kernel[-]|text` (openEuler's rsyslog template).
pub(super) fn openeuler<'a>(bytes: &'a [u8], head: &mut Head, _: &mut Habit) -> Option<&'a [u8]> {
    let bar = memchr::memchr(b'|', first(bytes, 12))?;
    let (severity, rest) = bytes.split_at(bar);
    let level = syslog::level(severity)?;
    let rest = rest.strip_prefix(b"|")?;
    let bar = memchr::memchr(b'|', first(rest, 80))?;
    let (tag, rest) = rest.split_at(bar);
    head.record.level = Some(level);
    head.syslog = true;
    if tag.starts_with(b"kernel[") {
        head.kernel_tag();
    } else {
        head.other_program(tag.split(|b| *b == b'[').next().unwrap_or(tag));
    }
    Some(skip_one_blank(rest.strip_prefix(b"|")?))
}

/// `In(05) vcpu-5 - Guest: <6>[…`, `| vcpu-0| I125: Guest: <6>[…`: the guest's console in vmware.log.
pub(super) fn vmware<'a>(bytes: &'a [u8], _: &mut Head, _: &mut Habit) -> Option<&'a [u8]> {
    let start = first(bytes, 64);
    if !start.iter().take(2).any(|b| matches!(b, b'|' | b'I' | b'n')) {
        return None;
    }
    let guest = memmem::find(start, b"Guest: ")?;
    bytes.get(guest + b"Guest: ".len()..).filter(|text| is_unmistakable(text))
}

/// `08-12 18:22:42.790   278   278 E lowmemorykiller: text` (Android's logcat).
pub(super) fn logcat<'a>(bytes: &'a [u8], head: &mut Head, _: &mut Habit) -> Option<&'a [u8]> {
    let (_, rest) = fixed_number(bytes, 2)?;
    let (_, rest) = fixed_number(rest.strip_prefix(b"-")?, 2)?;
    let (_, rest) = stamp::clock(rest.strip_prefix(b" ")?)?;
    let (_, rest) = number(skip_blanks(rest))?;
    let (_, rest) = number(skip_blanks(rest))?;
    let (letter, rest) = next_word(rest);
    let level = match letter {
        b"V" | b"D" => 7,
        b"I" => 6,
        b"W" => 4,
        b"E" => 3,
        b"F" => 2,
        _ => return None,
    };
    let colon = memchr::memchr(b':', first(rest, 64))?;
    let (tag, text) = rest.split_at(colon);
    head.record.level = Some(level);
    if tag.trim_ascii() == b"kernel" {
        head.kernel_tag();
    } else {
        head.other_program(tag.trim_ascii());
    }
    Some(skip_one_blank(text.strip_prefix(b":")?))
}

/// `I1203 07:52:25.591 log_monitor.go:160] text`: node-problem-detector tells in its own log what it read in the kernel's.
pub(super) fn relayed(text: &[u8]) -> Option<&[u8]> {
    let (date, rest) = word(text);
    if !matches!(date.first(), Some(b'I' | b'W' | b'E')) || date.len() != 5 {
        return None;
    }
    let (_, rest) = stamp::clock(skip_blanks(rest))?;
    let rest = skip_blanks(rest);
    let rest = number(rest).map_or(rest, |(_, after)| skip_blanks(after));
    let rest = rest.strip_prefix(b"log_monitor.go:")?;
    let (_, rest) = number(rest)?;
    rest.strip_prefix(b"] ")
}

/// So much of a line is searched for something unmistakable behind an unknown beginning.
const LONGEST_LEAD: usize = 160;

/// Something not known before something that only a stamp can be: `file:123:`, `1.`, `login:`, `pod container`, `$`, `"`.
///
/// What stands before it must not look like the kernel's own text, in which a name or a path may quote a stamp.
pub(super) fn unknown_lead<'a>(bytes: &'a [u8], head: &mut Head, habit: &mut Habit) -> Option<&'a [u8]> {
    let mut separator = false;
    for (at, byte) in first(bytes, LONGEST_LEAD).iter().enumerate() {
        if separator {
            let (lead, rest) = bytes.split_at_checked(at)?;
            let begins = match byte {
                b'[' | b'<' => is_unmistakable(rest) && is_plain_lead(lead),
                b'0'..=b'9' => is_place_or_word(lead) && is_unmistakable(rest),
                b'A'..=b'Z' => is_place_or_word(lead) && stamp::date_in_words(rest).is_some(),
                _ => false,
            };
            if begins {
                head.quoted |= lead.ends_with(b"\"");
                return Some(rest);
            }
        }
        if matches!(byte, b'(' | b'=' | b',' | b'{' | b']') && !bytes.starts_with(b"/") {
            return None;
        }
        separator = is_blank(*byte) || matches!(byte, b':' | b'-' | b'|' | b'"' | b'`');
    }
    kernel_tag_after_clock(bytes, head, habit)
}

/// Words, as of a prompt, a list or another program's prefix; no path, no `Comm:`.
fn is_plain_lead(lead: &[u8]) -> bool {
    is_place(lead) || (!lead.contains(&b'/') && memmem::find(lead, b"omm:").is_none())
}

/// `/var/log/kern.log:4711:` or one word.
fn is_place_or_word(lead: &[u8]) -> bool {
    is_place(lead) || !skip_blanks(lead).trim_ascii_end().iter().any(|b| is_blank(*b))
}

/// What grep writes: no blanks, a colon or dash at the end.
fn is_place(lead: &[u8]) -> bool {
    matches!(lead.last(), Some(b':' | b'-')) && !lead.iter().any(|b| is_blank(*b))
}

/// An unknown date, host and `kernel: `. A time of day and the tag are more than a name can hold.
fn kernel_tag_after_clock<'a>(bytes: &'a [u8], head: &mut Head, _: &mut Habit) -> Option<&'a [u8]> {
    const TAG: &[u8] = b" kernel: ";
    let tag = memmem::find(first(bytes, LONGEST_LEAD), TAG)?;
    let (lead, rest) = bytes.split_at_checked(tag)?;
    let has_clock = lead.windows(8).any(|time| stamp::clock(time).is_some());
    if !has_clock || lead.contains(&b'(') {
        return None;
    }
    head.kernel_tag();
    head.syslog = true;
    rest.strip_prefix(TAG)
}
