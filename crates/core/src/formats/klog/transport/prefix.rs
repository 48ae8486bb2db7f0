//! Peels what was written before the kernel's text, one layer after another, until the text itself remains.
//!
//! The recognisers stand in [`RECOGNISERS`]: to teach a new wrapping, write one function and add one line.
//!
//! The danger is peeling too much. The kernel's text may begin with a process name (15 bytes that anybody chooses), so
//! the closer a layer is to the kernel, the less may follow it: [`Stage`].

use super::habit::Habit;
use super::kmsg;
use super::scan::{is_blank, skip_blanks};
use super::{bracket, markup, syslog, wrapper};
use crate::formats::klog::record::Record;

/// How near to the kernel's text the peeling has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Nothing has said who wrote the line.
    #[default]
    Outside,
    /// A syslog or journal tag named the writer: its text follows, with a printk stamp perhaps.
    Tagged,
    /// The printk stamp was there: the kernel's text follows.
    Stamped,
}

/// What the layers said.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    /// The record to be, without its text.
    pub(super) record: Record,
    pub(super) stage: Stage,
    /// Came through a syslog daemon: `#012` may stand for control characters.
    pub(super) syslog: bool,
    /// Another program, or a facility other than the kernel's, was named as the source: what that program wrote cannot
    /// make itself the kernel's. Only a tag can, further out than any text.
    another_source: bool,
    /// The line is a quoted string of some source code or JSON: `"…",`.
    pub(super) quoted: bool,
    /// The line began with a Markdown fence.
    pub(super) fenced: bool,
    /// The line is a row of a table: `| … |`.
    pub(super) table: bool,
}

impl Head {
    /// For text inside a structure that has already said what it knows.
    pub(super) fn inside(record: Record) -> Self {
        let stage = if record.prefixed || record.foreign { Stage::Tagged } else { Stage::Outside };
        Self { stage, another_source: record.foreign, record, ..Self::default() }
    }

    /// The next inner layer knows the time better.
    pub(super) fn time(&mut self, when: &crate::time::When) {
        let mut inner = *when;
        inner.fill_from(&self.record.when);
        self.record.when = inner;
    }

    /// printk's stamp: the kernel printed it, for itself or (facility) for a program that wrote to /dev/kmsg. Or another
    /// program wrote it behind its own tag: `logger '[12345.678901] Out of memory: …'`.
    pub(super) const fn stamped(&mut self) {
        self.record.prefixed = !self.another_source;
        self.record.foreign = self.another_source;
        self.stage = Stage::Stamped;
    }

    /// A tag names the kernel as the writer.
    pub(super) const fn kernel_tag(&mut self) {
        self.record.prefixed = true;
        self.record.foreign = false;
        self.another_source = false;
        self.stage = Stage::Tagged;
    }

    /// A syslog facility and level. Behind a program's tag they are that program's text.
    pub(super) const fn facility(&mut self, kernel: bool, level: u8) {
        self.record.level = Some(level);
        self.another_source |= !kernel;
        self.record.prefixed |= kernel && !self.another_source;
        self.record.foreign = self.another_source;
    }

    /// A tag names another program as the writer. What relays the kernel's records under its own name ([`is_relay`])
    /// may show by printk's stamp that it did.
    pub(super) fn other_program(&mut self, name: &[u8]) {
        self.record.prefixed = false;
        self.record.foreign = true;
        self.another_source |= !is_relay(name);
        self.stage = Stage::Tagged;
    }
}

/// Programs that do nothing but hand on what the kernel printed: syslog's own readers, and receivers of a console.
fn is_relay(name: &[u8]) -> bool {
    const RELAYS: [&[u8]; 12] = [
        b"kern",
        b"klogd",
        b"klog",
        b"imklog",
        b"dmesg",
        b"vmunix",
        b"kmsg",
        b"netconsole",
        b"console",
        b"console-log",
        b"serial",
        b"serial-console",
    ];
    RELAYS.contains(&name)
}

/// Reads one layer: changes `Head` and returns what follows, or returns `None` and changes nothing.
type Read = for<'a> fn(&'a [u8], &mut Head, &mut Habit) -> Option<&'a [u8]>;

struct Recogniser {
    /// Cheap test of the first byte.
    begins: fn(u8) -> bool,
    /// The innermost stage in which this layer can still occur.
    until: Stage,
    read: Read,
}

const fn layer(begins: fn(u8) -> bool, until: Stage, read: Read) -> Recogniser {
    Recogniser { begins, until, read }
}

const RECOGNISERS: &[Recogniser] = &[
    // [  123.456789]   [  1.234567 <    0.000004>]   [  123.456789][ T1234]
    layer(|b| b == b'[', Stage::Stamped, bracket::printk),
    // [Thu Dec  7 00:05:14 2017]   [Do Dez  7 00:05:14 2017]
    layer(|b| b == b'[', Stage::Stamped, bracket::date),
    // [  +0.000004]   [<    0.000004>]   [Dec 7 00:05]
    layer(|b| b == b'[', Stage::Outside, bracket::delta),
    // [2025-06-04T04:51:57.572293906Z]:
    layer(|b| b == b'[', Stage::Tagged, bracket::iso),
    // [ T1234]
    layer(|b| b == b'[', Stage::Tagged, bracket::lone_caller),
    // [pod/name/container]
    layer(|b| b == b'[', Stage::Outside, wrapper::kubectl),
    // 123.456789]  whose bracket was lost in copying
    layer(|b| b.is_ascii_digit(), Stage::Outside, bracket::beheaded),
    // <6>   <4>1 2024-12-04T11:00:02+00:00 host kernel - - -
    layer(|b| b == b'<', Stage::Tagged, syslog::priority),
    // <pre>   <code>
    layer(|b| b == b'<', Stage::Outside, markup::tag),
    // 2017-12-07T00:05:14,123456+00:00   2017-12-07T00:05:14+00:00 host kernel:   …Z stdout F
    layer(|b| b.is_ascii_digit(), Stage::Outside, syslog::iso_line),
    // 1795252113.123456 host kernel:
    layer(|b| b.is_ascii_digit(), Stage::Outside, syslog::unix_line),
    // 08-12 18:22:42.790   278   278 E lowmemorykiller:
    layer(|b| b.is_ascii_digit(), Stage::Outside, wrapper::logcat),
    // kern  :info  :    10.44.7.19: kern:    info:
    layer(|b| b.is_ascii_alphanumeric(), Stage::Outside, syslog::facility_level),
    // kernel:
    layer(|b| b == b'k', Stage::Outside, syslog::bare_kernel_tag),
    // Dec  7 00:05:14 host kernel:   Thu Dec  7 00:05:14 2017 kern.warn kernel:   Thu 2026-04-04 03:41:03 UTC host kernel:
    layer(|b| b.is_ascii_alphanumeric() || b >= 0x80, Stage::Outside, syslog::dated_line),
    // > quoted mail
    layer(|b| b == b'>', Stage::Outside, markup::quote),
    // | cell | cell |
    layer(|b| b == b'|', Stage::Outside, markup::table_row),
    // ```[  123.456789]
    layer(|b| b == b'`', Stage::Outside, markup::fence),
    // name-1  | text
    layer(|b| b.is_ascii_alphanumeric(), Stage::Outside, wrapper::compose),
    // warning|kernel[-]|
    layer(|b| b.is_ascii_lowercase(), Stage::Outside, wrapper::openeuler),
    // anything before Guest:
    layer(|_| true, Stage::Outside, wrapper::vmware),
    // data: {…}
    layer(|b| b == b'd', Stage::Outside, wrapper::server_sent_event),
    // file:123:   1.   login:   pod container   before something unmistakable
    layer(|_| true, Stage::Outside, wrapper::unknown_lead),
];

/// What is left when no layer is found any more.
#[allow(clippy::large_enum_variant, reason = "one lives at a time, on the stack; a box would be an allocation a line")]
pub(super) enum Content<'a> {
    /// Text, up to the end of the line.
    Text(&'a [u8]),
    /// A record of /dev/kmsg.
    Kmsg(kmsg::Header<'a>),
    /// Something that begins like JSON.
    Json(&'a [u8]),
}

/// A hostile line could nest forever; no real one has more layers than this.
const MOST_LAYERS: usize = 12;

/// Peels `line`.
pub(super) fn peel<'a>(line: &'a [u8], head: &mut Head, habit: &mut Habit) -> Content<'a> {
    let mut rest = line;
    for _ in 0..MOST_LAYERS {
        // Blanks before the text are the kernel's, blanks before a prefix are a code block's.
        let start = if head.stage == Stage::Outside { skip_blanks(rest) } else { rest };
        let Some(first) = start.first().copied() else { break };
        if head.stage == Stage::Outside {
            if first.is_ascii_digit()
                && let Some(header) = kmsg::parse(start)
            {
                return Content::Kmsg(header);
            }
            if super::json::begins(start) {
                return Content::Json(start);
            }
        }
        let stage = head.stage;
        let layer = RECOGNISERS
            .iter()
            .filter(|layer| stage <= layer.until && (layer.begins)(first))
            .find_map(|layer| (layer.read)(start, head, habit));
        match layer {
            Some(inner) => rest = inner,
            None => break,
        }
    }
    Content::Text(rest)
}

/// Something at the start that no process name can be: a stamp, date or record header, longer than the 15 bytes of a
/// name.
pub(super) fn is_unmistakable(bytes: &[u8]) -> bool {
    match bytes.first() {
        Some(b'[') => bracket::is_wide_stamp(bytes),
        Some(b'<') => syslog::pri(bytes)
            .is_some_and(|(_, rest)| !rest.first().copied().is_some_and(is_blank) && is_unmistakable(rest)),
        Some(b'0'..=b'9') => super::stamp::iso(bytes).is_some() || kmsg::parse(bytes).is_some(),
        _ => false,
    }
}
