//! `[…]`: printk's stamp, dmesg's other ways to write time, caller ids, and what vendors put beside them.

use memchr::memchr;

use super::habit::{Decoration, Habit};
use super::prefix::{Head, Stage};
use super::scan::{head as first, number, skip_blanks, skip_one_blank, word};
use super::stamp;
use super::syslog::{Tag, tag_after_host};
use crate::time::{BootTime, When};

/// The longest bracket looked at: `[mercredi septembre 30 23:59:59 2026 <   12.345678>]` and then some.
const LONGEST: usize = 96;

/// What stands in the bracket, and what follows it.
fn bracket(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = bytes.strip_prefix(b"[")?;
    let end = memchr(b']', first(inner, LONGEST))?;
    let (content, rest) = inner.split_at(end);
    Some((content, rest.strip_prefix(b"]")?))
}

/// `[  123.456789]`, with dmesg's delta (`<    0.000004>`), a CPU (`,cpu0`) or a clock (` / 08-12 18:22:42.786`) in it,
/// and printk's caller glued to it.
pub(super) fn printk<'a>(bytes: &'a [u8], head: &mut Head, habit: &mut Habit) -> Option<&'a [u8]> {
    let (boot, rest) = printk_stamp(bytes)?;
    if head.stage == Stage::Stamped {
        // Two time formats, or a console that stamps again. A name cannot know the microsecond.
        return (head.record.when.boot_us == Some(boot)).then(|| skip_one_blank(rest));
    }
    head.time(&When { boot_us: Some(boot), ..When::default() });
    head.stamped();
    Some(after_stamp(rest, head, habit))
}

fn printk_stamp(bytes: &[u8]) -> Option<(BootTime, &[u8])> {
    let (content, rest) = bracket(bytes)?;
    let (boot, more) = stamp::boot(skip_blanks(content))?;
    let known = match more.first() {
        None => true,
        Some(b',') => more.starts_with(b",cpu"),
        Some(b' ') => is_delta(skip_blanks(more)) || more.starts_with(b" / "),
        Some(_) => false,
    };
    known.then_some((boot, rest))
}

/// `<    0.000004>` or `<    0.000012 >`.
fn is_delta(content: &[u8]) -> bool {
    content
        .strip_prefix(b"<")
        .and_then(|inner| stamp::boot(skip_blanks(inner)))
        .is_some_and(|(_, end)| matches!(end, b">" | b" >"))
}

/// Whether a stamp that is too wide for a process name begins here: printk pads to `[12345.123456] `, 15 bytes.
pub(super) fn is_wide_stamp(bytes: &[u8]) -> bool {
    let Some((content, rest)) = bracket(bytes) else { return false };
    match printk_stamp(bytes) {
        Some(_) => content.len() >= 12 && matches!(rest.first(), Some(b' ' | b'[')) && !skip_blanks(rest).is_empty(),
        None => ctime(content).is_some(),
    }
}

/// `[ T123]`, `[C0]`, Qualcomm's `[T123@C4]`.
fn caller(bytes: &[u8]) -> Option<(String, &[u8])> {
    let inner = skip_blanks(bytes.strip_prefix(b"[")?);
    let end = memchr(b']', first(inner, 24))?;
    let (id, rest) = inner.split_at(end);
    let digits = id.strip_prefix(b"T").or_else(|| id.strip_prefix(b"C"))?;
    let (_, more) = number(digits)?;
    let known = more.is_empty() || more.strip_prefix(b"@C").and_then(number).is_some_and(|(_, end)| end.is_empty());
    known.then(|| (String::from_utf8_lossy(id).into_owned(), rest.strip_prefix(b"]").unwrap_or_default()))
}

/// A caller's id that stands in a field of its own; what is longer than any id is none.
pub(super) fn caller_id(id: &str) -> Option<String> {
    const LONGEST: usize = 24;
    (id.len() <= LONGEST).then(|| id.to_owned())
}

/// `[ T123] text`: a kernel without time stamps but with callers.
pub(super) fn lone_caller<'a>(bytes: &'a [u8], head: &mut Head, habit: &mut Habit) -> Option<&'a [u8]> {
    let (id, rest) = caller(bytes)?;
    if !habit.believes(Some(Decoration::Caller)) {
        return None;
    }
    head.stamped();
    head.record.caller = Some(id);
    Some(skip_one_blank(rest))
}

/// Reads past what this stream has between stamp and text.
pub(super) fn decorated<'a>(rest: &'a [u8], head: &mut Head, habit: &mut Habit) -> &'a [u8] {
    if let Some((tag, text)) = journal_tag(rest) {
        if tag.is_kernel() {
            if habit.believes(Some(Decoration::Journal)) {
                head.record.host = tag.host;
                return text;
            }
            return rest;
        }
        if habit.is_journal() {
            head.record.host = tag.host;
            head.other_program(tag.name);
            return text;
        }
        // Either another program's line in a journal that has not shown itself yet, or odd text: no reason to settle.
        return rest;
    }
    if let Some((id, text)) = caller(rest) {
        if habit.believes(Some(Decoration::Caller)) {
            head.record.caller = Some(id);
            return skip_one_blank(text);
        }
        return rest;
    }
    let vendor = mediatek(rest).or_else(|| samsung(rest)).or_else(|| cpu_pid_comm(rest));
    let believed = habit.believes(vendor.map(|(kind, _)| kind));
    vendor.filter(|_| believed).map_or(rest, |(_, text)| text)
}

/// `host kernel: `, `host name[12]: `.
fn journal_tag(rest: &[u8]) -> Option<(Tag<'_>, &[u8])> {
    let (host, more) = word(rest);
    if host.is_empty() || !host.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')) {
        return None;
    }
    tag_after_host(host, more, false)
}

/// `(0)[1234:kworker/0:1]text`, `-(0)[…` with interrupts off.
fn mediatek(rest: &[u8]) -> Option<(Decoration, &[u8])> {
    let rest = skip_blanks(rest);
    let rest = rest.strip_prefix(b"-").unwrap_or(rest);
    let close = memchr(b')', first(rest.strip_prefix(b"(")?, 4))?;
    let rest = rest.get(close + 2..)?.strip_prefix(b"[")?;
    let (_, rest) = number(rest)?;
    let rest = rest.strip_prefix(b":")?;
    let close = memchr(b']', first(rest, 24))?;
    let rest = rest.get(close + 1..)?;
    // A name may end in a bracket: `runc:[2:INIT]`.
    Some((Decoration::Mediatek, rest.strip_prefix(b"]").unwrap_or(rest)))
}

/// ` [2:    kworker/2:1:  123] text`, `I[0:      swapper/0:    0] text` in an interrupt.
fn samsung(rest: &[u8]) -> Option<(Decoration, &[u8])> {
    let rest = skip_blanks(rest);
    let inner = rest.strip_prefix(b"I").unwrap_or(rest).strip_prefix(b"[")?;
    let (_, name) = number(inner)?;
    let name = name.strip_prefix(b":")?;
    let close = first(name, 40).windows(2).position(|pair| pair == b"] ")?;
    let (name_and_pid, rest) = name.split_at_checked(close)?;
    let colon = name_and_pid.iter().rposition(|b| *b == b':').filter(|colon| *colon >= 15)?;
    let (_, end) = number(skip_blanks(name_and_pid.get(colon + 1..)?))?;
    end.is_empty().then_some((Decoration::Samsung, rest.strip_prefix(b"] ")?))
}

/// `c0 123 (comm) text`.
fn cpu_pid_comm(rest: &[u8]) -> Option<(Decoration, &[u8])> {
    let (_, rest) = number(skip_blanks(rest).strip_prefix(b"c")?)?;
    let (_, rest) = number(skip_blanks(rest.strip_prefix(b" ")?))?;
    let name = skip_blanks(rest).strip_prefix(b"(")?;
    let close = first(name, 24).windows(2).position(|pair| pair == b") ")?;
    Some((Decoration::CpuPidComm, name.get(close + 2..)?))
}

/// `[Thu Dec  7 00:05:14 2017]` in any language, also with a delta behind the year.
pub(super) fn date<'a>(bytes: &'a [u8], head: &mut Head, habit: &mut Habit) -> Option<&'a [u8]> {
    let (content, rest) = bracket(bytes)?;
    let when = ctime(content)?;
    let second = head.stage == Stage::Stamped;
    head.time(&when);
    head.stamped();
    Some(if second { skip_one_blank(rest) } else { after_stamp(rest, head, habit) })
}

/// Past the blank behind a stamp, and past a caller or what else the stream has there.
fn after_stamp<'a>(rest: &'a [u8], head: &mut Head, habit: &mut Habit) -> &'a [u8] {
    // printk itself leaves no blank between stamp and caller, so that this can be no name.
    if let Some((caller, rest)) = caller(rest) {
        head.record.caller = Some(caller);
        return skip_one_blank(rest);
    }
    decorated(skip_one_blank(rest), head, habit)
}

fn ctime(content: &[u8]) -> Option<When> {
    let (when, rest) = stamp::date_in_words(content)?;
    let rest = skip_blanks(rest);
    (rest.is_empty() || is_delta(rest)).then_some(when)
}

/// `[  +0.000004]`, `[<    0.000004>]`, `[Dec 7 00:05]`: relative to something that is not here, so no time.
pub(super) fn delta<'a>(bytes: &'a [u8], head: &mut Head, habit: &mut Habit) -> Option<&'a [u8]> {
    let (content, rest) = bracket(bytes)?;
    let inner = skip_blanks(content);
    let plus = inner.strip_prefix(b"+").and_then(stamp::boot).is_some_and(|(_, end)| end.is_empty());
    if !plus && !is_delta(inner) && !stamp::is_reltime_minute(inner) {
        return None;
    }
    head.stamped();
    Some(after_stamp(rest, head, habit))
}

/// `[2025-06-04T04:51:57.572293906Z]:` (Talos), `[2024-01-01 00:00:00]`.
pub(super) fn iso<'a>(bytes: &'a [u8], head: &mut Head, _: &mut Habit) -> Option<&'a [u8]> {
    let (content, rest) = bracket(bytes)?;
    let (iso, end) = stamp::iso(content)?;
    end.is_empty().then(|| head.time(&iso.when))?;
    match rest.strip_prefix(b":") {
        // Talos reads /dev/kmsg and names the level before its stamp.
        Some(rest) if head.record.level.is_some() => {
            head.stamped();
            Some(skip_one_blank(rest))
        }
        _ => Some(skip_one_blank(rest)),
    }
}

/// `5193641.506728] text`: copied without its first bytes. Digits may be lost too, so this gives no time.
pub(super) fn beheaded<'a>(bytes: &'a [u8], head: &mut Head, habit: &mut Habit) -> Option<&'a [u8]> {
    let (_, rest) = stamp::boot(bytes)?;
    let rest = rest.strip_prefix(b"]").filter(|rest| rest.starts_with(b" ") || rest.starts_with(b"["))?;
    head.stamped();
    Some(after_stamp(rest, head, habit))
}
