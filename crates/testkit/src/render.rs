//! One recorded kernel log as every transport would have shown it.
//!
//! ```text
//! /dev/kmsg records ─▶ PrintkRecord ─▶ TRANSPORTS: dmesg, the journal, syslog, containers, log services, mail, terminals
//! ```
//!
//! Each renderer does what its tool does to bytes that it would not print and to records of several lines; where a tool
//! shows less, [`Keeps`] says so. To add a transport, write one function and add one line to [`TRANSPORTS`].

mod carriers;
mod journal;
mod page;

use std::fmt::Write as _;

/// One printk record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrintkRecord {
    /// 0…7.
    pub level: u8,
    /// 0 is the kernel itself.
    pub facility: u8,
    /// Sequence number.
    pub seq: u64,
    /// Microseconds since boot.
    pub at_us: u64,
    /// It continues the record before (`c`).
    pub continuation: bool,
    /// Exact bytes; may hold newlines.
    pub text: Vec<u8>,
}

impl PrintkRecord {
    /// Reads what `cat /dev/kmsg` gave. Lines that are no record (` KEY=value`) are passed over.
    #[must_use]
    pub fn all_of(kmsg: &[u8]) -> Vec<Self> {
        kmsg.split(|b| *b == b'\n').filter_map(Self::of_line).collect()
    }

    fn of_line(line: &[u8]) -> Option<Self> {
        let semicolon = line.iter().position(|b| *b == b';')?;
        let (head, body) = line.split_at(semicolon);
        let mut fields = std::str::from_utf8(head).ok()?.split(',');
        let priority: u16 = fields.next()?.parse().ok()?;
        Some(Self {
            level: (priority & 7) as u8,
            facility: u8::try_from(priority >> 3).ok()?,
            seq: fields.next()?.parse().ok()?,
            at_us: fields.next()?.parse().ok()?,
            continuation: fields.next()?.contains('c'),
            text: unescaped(&body[1..]),
        })
    }

    /// printk's stamp: `[    5.645864] `.
    fn stamp(&self) -> String {
        format!("[{:5}.{:06}] ", self.at_us / 1_000_000, self.at_us % 1_000_000)
    }

    fn priority(&self) -> u16 {
        u16::from(self.facility) * 8 + u16::from(self.level)
    }

    /// Hours, minutes, seconds, microseconds of an arbitrary day at whose midnight the machine booted.
    fn clock(&self) -> (u64, u64, u64, u64) {
        let seconds = self.at_us / 1_000_000 % 86_400;
        (seconds / 3600, seconds / 60 % 60, seconds % 60, self.at_us % 1_000_000)
    }

    /// `2026-11-21T00:00:05.645864`, with a separator of one's choice before the microseconds.
    fn iso(&self, point: char) -> String {
        let (h, m, s, us) = self.clock();
        format!("2026-11-21T{h:02}:{m:02}:{s:02}{point}{us:06}")
    }

    /// `Nov 21 00:00:05`.
    fn syslog_date(&self) -> String {
        let (h, m, s, _) = self.clock();
        format!("Nov 21 {h:02}:{m:02}:{s:02}")
    }

    /// Microseconds since the epoch.
    fn epoch_us(&self) -> u64 {
        1_795_219_200_000_000 + self.at_us % 86_400_000_000
    }
}

/// Undoes /dev/kmsg's `\xNN`.
fn unescaped(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((byte, after)) = rest.split_first() {
        let escape = rest.strip_prefix(b"\\x").and_then(|digits| std::str::from_utf8(digits.get(..2)?).ok());
        if let Some(value) = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            out.push(value);
            rest = &rest[4..];
        } else {
            out.push(*byte);
            rest = after;
        }
    }
    out
}

/// How much of a record a transport keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// Every byte, and where a record ends.
    Records,
    /// Every byte of printable text. Control characters, and bytes that are no UTF-8, come changed or not at all; a
    /// newline in a name may end a line.
    Text,
    /// As above, and blanks at the ends of lines may be lost or added: a name with blanks at its edges may come changed.
    Words,
}

/// One way to read a kernel log.
#[derive(Clone, Copy)]
pub struct Transport {
    /// Short and unique.
    pub name: &'static str,
    /// The log as this transport shows it.
    pub render: fn(&[PrintkRecord]) -> Vec<u8>,
    /// What it keeps of the text.
    pub keeps: Keeps,
    /// It shows the time since boot to the microsecond.
    pub boot_time: bool,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const fn transport(
    name: &'static str,
    render: fn(&[PrintkRecord]) -> Vec<u8>,
    keeps: Keeps,
    boot_time: bool,
) -> Transport {
    Transport { name, render, keeps, boot_time }
}

use Keeps::{Records, Text, Words};

/// All of them.
pub const TRANSPORTS: &[Transport] = &[
    transport("kmsg", kmsg, Records, true),
    transport("netconsole extended", netconsole, Records, true),
    transport("console", console, Text, true),
    transport("console with callers", console_with_callers, Text, true),
    transport("proc kmsg", proc_kmsg, Text, true),
    transport("dmesg", dmesg, Text, true),
    transport("dmesg -T", dmesg_ctime, Text, false),
    transport("dmesg -x", dmesg_decoded, Text, true),
    transport("dmesg -r", dmesg_raw, Text, true),
    transport("dmesg --time-format iso", dmesg_iso, Text, false),
    transport("dmesg -H", dmesg_human, Text, false),
    transport("dmesg --color", dmesg_coloured, Text, true),
    transport("dmesg -J", dmesg_json, Records, true),
    transport("journalctl -o short", journal::short, Text, false),
    transport("journalctl -o short-iso", journal::short_iso, Text, false),
    transport("journalctl -o short-precise", journal::short_precise, Text, false),
    transport("journalctl -o short-full", journal::short_full, Text, false),
    transport("journalctl -o short-monotonic", journal::short_monotonic, Text, true),
    transport("journalctl -o cat", journal::cat, Text, false),
    transport("journalctl -o json", journal::json, Records, true),
    transport("journalctl -o json-pretty", journal::json_pretty, Records, true),
    transport("journalctl -o export", journal::export, Records, true),
    transport("journalctl -o verbose", journal::verbose, Text, true),
    transport("rfc 3164", carriers::rfc3164, Text, true),
    transport("rfc 5424", carriers::rfc5424, Text, true),
    transport("rsyslog iso", carriers::rsyslog_iso, Text, true),
    transport("rsyslog of the journal", carriers::rsyslog_of_journal, Text, false),
    transport("cri", carriers::cri, Text, true),
    transport("cri in parts", carriers::cri_in_parts, Text, true),
    transport("docker json", carriers::docker_json, Text, true),
    transport("gcp json", carriers::gcp_json, Text, true),
    transport("loki json", carriers::loki_json, Text, true),
    transport("elastic json", carriers::elastic_json, Text, true),
    transport("talos", carriers::talos, Text, false),
    transport("vmware", carriers::vmware, Text, true),
    transport("stern", carriers::stern, Text, true),
    transport("kubectl --prefix", carriers::kubectl, Text, true),
    transport("compose", carriers::compose, Text, true),
    transport("grep -Hn", carriers::grep, Text, true),
    transport("logcat", carriers::logcat, Text, false),
    transport("logread -t", carriers::logread, Text, true),
    transport("quoted mail", page::quoted_mail, Words, true),
    transport("fence", page::fence, Text, true),
    transport("indented", page::indented, Words, true),
    transport("html", page::html, Words, true),
    transport("crlf", page::crlf, Text, true),
    transport("quoted-printable", page::quoted_printable, Text, true),
    transport("mail of 72 columns", page::mail72, Words, true),
    transport("mail of 72 columns, dmesg -T", page::mail72_ctime, Words, false),
    transport("terminal of 80 columns", page::terminal80, Words, true),
    transport("terminal of 120 columns", page::terminal120, Words, true),
    transport("terminal of 177 columns, syslog", page::terminal177, Words, true),
];

/// `\xNN` for what /dev/kmsg would not show (`msg_print_ext_body` in kernel/printk/printk.c).
fn escaped_by_kernel(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b'\\' | 0..0x20 | 0x7f.. => write!(out, "\\x{byte:02x}").unwrap_or_default(),
            byte => out.push(char::from(*byte)),
        }
    }
    out
}

fn kmsg(records: &[PrintkRecord]) -> Vec<u8> {
    let mut out = String::new();
    for r in records {
        let flag = if r.continuation { 'c' } else { '-' };
        let text = escaped_by_kernel(&r.text);
        writeln!(out, "{},{},{},{flag};{text}", r.priority(), r.seq, r.at_us).unwrap_or_default();
    }
    out.into_bytes()
}

/// A packet holds 1000 bytes; longer records come in fragments.
fn netconsole(records: &[PrintkRecord]) -> Vec<u8> {
    let mut out = String::new();
    for r in records {
        let flag = if r.continuation { 'c' } else { '-' };
        let head = format!("6.12.0,{},{},{},{flag}", r.priority(), r.seq, r.at_us);
        let text = escaped_by_kernel(&r.text);
        if text.len() <= 900 {
            writeln!(out, "{head};{text}").unwrap_or_default();
            continue;
        }
        let mut offset = 0;
        for piece in text.as_bytes().chunks(900) {
            let piece = String::from_utf8_lossy(piece);
            writeln!(out, "{head},ncfrag={offset}/{};{piece}", text.len()).unwrap_or_default();
            offset += piece.len();
        }
    }
    out.into_bytes()
}

/// The kernel's own way to print: every line of a record gets the record's prefix (`record_print_text`).
fn per_line(records: &[PrintkRecord], prefix: impl Fn(&PrintkRecord) -> String) -> Vec<u8> {
    let mut out = Vec::new();
    for r in records {
        let prefix = prefix(r);
        for line in r.text.split(|b| *b == b'\n') {
            out.extend_from_slice(prefix.as_bytes());
            out.extend_from_slice(line);
            out.push(b'\n');
        }
    }
    out
}

fn console(records: &[PrintkRecord]) -> Vec<u8> {
    per_line(records, PrintkRecord::stamp)
}

/// CONFIG_PRINTK_CALLER.
fn console_with_callers(records: &[PrintkRecord]) -> Vec<u8> {
    per_line(records, |r| format!("{}[{:>6}] ", r.stamp().trim_end(), "T181"))
}

fn proc_kmsg(records: &[PrintkRecord]) -> Vec<u8> {
    per_line(records, |r| format!("<{}>{}", r.priority(), r.stamp()))
}

/// util-linux: `\xNN` for what cannot be shown, further lines indented to the first (`safe_fwrite` in sys-utils/dmesg.c).
fn util_linux(records: &[PrintkRecord], prefix: impl Fn(&PrintkRecord) -> String) -> Vec<u8> {
    let mut out = Vec::new();
    for r in records {
        let prefix = prefix(r);
        out.extend_from_slice(prefix.as_bytes());
        for chunk in r.text.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\n' => out.extend_from_slice(format!("\n{:1$}", "", prefix.chars().count()).as_bytes()),
                    '\t' => out.push(b'\t'),
                    c if c.is_control() => out.extend_from_slice(format!("\\x{:02x}", u32::from(c)).as_bytes()),
                    c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            }
            for byte in chunk.invalid() {
                out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
            }
        }
        out.push(b'\n');
    }
    out
}

fn dmesg(records: &[PrintkRecord]) -> Vec<u8> {
    util_linux(records, PrintkRecord::stamp)
}

fn dmesg_ctime(records: &[PrintkRecord]) -> Vec<u8> {
    util_linux(records, |r| {
        let (h, m, s, _) = r.clock();
        format!("[Sat Nov 21 {h:02}:{m:02}:{s:02} 2026] ")
    })
}

const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];

fn dmesg_decoded(records: &[PrintkRecord]) -> Vec<u8> {
    util_linux(records, |r| {
        let facility = if r.facility == 0 { "kern" } else { "user" };
        format!("{facility:<6}:{:<6}: {}", LEVELS[usize::from(r.level)], r.stamp())
    })
}

fn dmesg_raw(records: &[PrintkRecord]) -> Vec<u8> {
    util_linux(records, |r| format!("<{}>{}", r.priority(), r.stamp()))
}

fn dmesg_iso(records: &[PrintkRecord]) -> Vec<u8> {
    util_linux(records, |r| format!("{}+00:00 ", r.iso(',')))
}

/// A date where the minute changed, differences else.
fn dmesg_human(records: &[PrintkRecord]) -> Vec<u8> {
    let first = records.first().map_or(0, |r| r.seq);
    util_linux(records, |r| {
        let (h, m, _, us) = r.clock();
        if r.seq == first { format!("[Nov21 {h:02}:{m:02}] ") } else { format!("[  +{}.{us:06}] ", us % 2) }
    })
}

fn dmesg_coloured(records: &[PrintkRecord]) -> Vec<u8> {
    let mut out = Vec::new();
    for r in records {
        let line = util_linux(std::slice::from_ref(r), PrintkRecord::stamp);
        let (stamp, text) = line.split_at(r.stamp().len());
        let colour = if r.level < 4 { "\x1b[31m" } else { "" };
        out.extend_from_slice(format!("\x1b[32m{}\x1b[0m{colour}", String::from_utf8_lossy(stamp)).as_bytes());
        out.extend_from_slice(text.strip_suffix(b"\n").unwrap_or(text));
        out.extend_from_slice(if colour.is_empty() { b"\n" } else { b"\x1b[0m\n" });
    }
    out
}

/// util-linux copies bytes that are no UTF-8 as they are.
fn dmesg_json(records: &[PrintkRecord]) -> Vec<u8> {
    let mut out = b"{\n   \"dmesg\": [\n".to_vec();
    for (index, r) in records.iter().enumerate() {
        let between = if index == 0 { "      {\n" } else { ",{\n" };
        let time = format!("{:5}.{:06}", r.at_us / 1_000_000, r.at_us % 1_000_000);
        let head =
            format!("{between}         \"pri\": {},\n         \"time\": {time},\n         \"msg\": \"", r.priority());
        out.extend_from_slice(head.as_bytes());
        for byte in &r.text {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
                0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                byte => out.push(*byte),
            }
        }
        out.extend_from_slice(b"\"\n      }");
    }
    out.extend_from_slice(b"\n   ]\n}\n");
    out
}
