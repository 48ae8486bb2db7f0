//! Puts messages back together that did not arrive in one piece.
//!
//! Four things take them apart, and each leaves its own trace:
//!
//! | what | trace |
//! |---|---|
//! | another CPU printed between two continuations (`pr_cont`), or a line outgrew printk's buffer | the rest comes as records of its own, with other records between; /dev/kmsg marks them `c` |
//! | a terminal, a mail program or a person wrapped the text | the rest comes on a line without the stream's prefix |
//! | a process name holds a newline and the transport is lines of text | the rest comes with the very same time stamp |
//! | the log is damaged | the rest does not come |
//!
//! One record is held back until it is clear that nothing more of it comes. Whether a join is right is decided by reading:
//! the joined text must say more than its beginning did.

use crate::formats::klog::message::{self, COMM_MAX, Columns, Message};
use crate::formats::klog::record::Record;

/// Longest message put together from pieces: two cgroup paths of 4 KiB and what stands between.
const LONGEST: usize = 16 << 10;

/// How many other records may come between two pieces of one message. Seen: 11 (corpus p2).
const MOST_BETWEEN: u32 = 4096;

/// Holds the latest record back while more of it may come.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    held: Option<Held>,
    /// How often a wrapped line had to be joined without (+) or with (−) a blank, to settle what reading cannot.
    hard_wraps: i32,
}

#[derive(Debug)]
struct Held {
    record: Record,
    /// How much the text says so far, see [`fields_read`].
    says: u32,
    /// It ends before its message does.
    open: bool,
    between: u32,
}

impl Joiner {
    /// Takes the next record of the kernel; hands on what is complete, in order.
    pub(super) fn push(&mut self, record: Record, columns: Option<&Columns>, out: &mut Vec<Record>) {
        let Some(mut held) = self.held.take() else {
            self.hold(record, columns);
            return;
        };
        if let Some(joined) = self.joined(&held, &record, columns) {
            self.hold(joined, columns);
            return;
        }
        if held.open && held.record.prefixed && !starts_a_message(&record.text, columns) && held.between < MOST_BETWEEN
        {
            // A foreign line between two pieces; nothing of it concerns an OOM report.
            held.between += 1;
            self.held = Some(held);
            return;
        }
        out.push(held.record);
        self.hold(record, columns);
    }

    /// Hands on what is held: the end of the input, or nothing came for a while.
    pub(super) fn flush(&mut self, out: &mut Vec<Record>) {
        out.extend(self.held.take().map(|held| held.record));
    }

    fn hold(&mut self, record: Record, columns: Option<&Columns>) {
        let says = fields_read(&record.text, columns);
        self.held = Some(Held { open: says > 0 && is_open(&record.text, columns), record, says, between: 0 });
    }

    fn joined(&mut self, held: &Held, next: &Record, columns: Option<&Columns>) -> Option<Record> {
        if held.record.text.len() + next.text.len() > LONGEST || next.text.trim_ascii().is_empty() {
            return None;
        }
        if next.continuation || is_piece_of_summary(held, next) {
            let whole = concat(&held.record.text, b"", &next.text);
            return (held.open && held.between <= MOST_BETWEEN && fields_read(&whole, columns) >= held.says)
                .then(|| merge(&held.record, next, whole));
        }
        if held.between > 0 {
            return None;
        }
        self.newline_in_a_name(held, next, columns).or_else(|| self.wrapped(held, next, columns))
    }

    /// `Comm: x` + `y: z Not tainted …`, both stamped alike.
    fn newline_in_a_name(&self, held: &Held, next: &Record, columns: Option<&Columns>) -> Option<Record> {
        let same_record = !next.framed
            && held.record.when == next.when
            && held.record.when.boot_us.is_some()
            && (next.prefixed || next.text.starts_with(b"        "));
        let rest = if next.prefixed { &next.text[..] } else { next.text.trim_ascii_start() };
        if !same_record || (held.says == 0 && held.record.text.len() > COMM_MAX) {
            return None;
        }
        let whole = concat(&held.record.text, b"\n", rest);
        let alone = fields_read(rest, columns);
        let says = fields_read(&whole, columns);
        let better = match message::parse(&whole) {
            // A name that begins before the line that tells what it is.
            Some(Message::Invoked(invoked)) => {
                held.says == 0 && says >= alone && invoked.comm.is_some_and(|c| c.contains(&b'\n'))
            }
            Some(_) => held.open && alone == 0 && says > held.says,
            None => {
                alone == 0
                    && message::table_row(&whole, columns).and_then(|row| row.comm).is_some_and(|c| c.len() <= COMM_MAX)
                    && held.says > 0
            }
        };
        better.then(|| merge(&held.record, next, whole))
    }

    /// A line without the prefix that the line before it had, or behind a line that plainly breaks off.
    fn wrapped(&mut self, held: &Held, next: &Record, columns: Option<&Columns>) -> Option<Record> {
        let lost_its_prefix = held.record.prefixed && !next.prefixed;
        let breaks_off = held.open && !held.record.prefixed && !next.prefixed;
        if held.record.framed || !(lost_its_prefix || breaks_off) {
            return None;
        }
        let alone = fields_read(&next.text, columns);
        let hard = concat(&held.record.text, b"", &next.text);
        let soft = concat(held.record.text.trim_ascii_end(), b" ", next.text.trim_ascii_start());
        let (says_hard, says_soft) = (fields_read(&hard, columns), fields_read(&soft, columns));
        if says_hard.max(says_soft) <= held.says.max(alone) {
            return None;
        }
        let take_hard = if says_hard == says_soft { self.hard_wraps > 0 } else { says_hard > says_soft };
        if says_hard != says_soft {
            self.hard_wraps = (self.hard_wraps + if take_hard { 1 } else { -1 }).clamp(-8, 8);
        }
        Some(merge(&held.record, next, if take_hard { hard } else { soft }))
    }
}

/// Journald and dmesg do not mark continuations, but a piece of the `oom-kill:` line is unlike anything else.
fn is_piece_of_summary(held: &Held, next: &Record) -> bool {
    const FOLLOW: [&[u8]; 6] =
        [b",cpuset=", b",mems_allowed=", b",oom_memcg=", b",global_oom", b",task_memcg=", b",task="];
    let text = &next.text[..];
    if !held.open || !next.prefixed || text.len() > 8192 {
        return false;
    }
    let so_far = &held.record.text[..];
    if so_far.starts_with(b"oom-kill:") {
        let value_follows = so_far.ends_with(b"=");
        let names_end = !text.contains(&b' ') || text.windows(6).any(|w| w == b",task=");
        return FOLLOW.iter().any(|f| text.starts_with(f)) || (value_follows && names_end && !text.is_empty());
    }
    let path_follows = so_far.ends_with(b" of ") || so_far.ends_with(b" in ") || so_far.ends_with(b" for ");
    (path_follows && text.starts_with(b"/"))
        || text.starts_with(b" killed as a result of limit of ")
        || text.starts_with(b" are going to be killed")
        || text == b":"
}

fn concat(a: &[u8], between: &[u8], b: &[u8]) -> Vec<u8> {
    [a, between, b].concat()
}

fn merge(first: &Record, next: &Record, text: Vec<u8>) -> Record {
    Record { text, lines: (first.lines.0, next.lines.1.max(first.lines.1)), ..first.clone() }
}

/// True for text that is a message of a report by itself.
fn starts_a_message(text: &[u8], columns: Option<&Columns>) -> bool {
    fields_read(text, columns) > 0
}

/// How much of an OOM report a text says: 0 for none of it, else one more than the number of fields read.
fn fields_read(text: &[u8], columns: Option<&Columns>) -> u32 {
    let count = |fields: &[bool]| 1 + fields.iter().map(|f| u32::from(*f)).sum::<u32>();
    match message::parse(text) {
        None => message::table_row(text, columns)
            .map_or(0, |row| count(&[row.comm.is_some()]) + u32::try_from(row.cells.len()).unwrap_or(u32::MAX >> 1)),
        Some(Message::Invoked(m)) => {
            count(&[m.gfp_mask.is_some(), m.gfp_flags.is_some(), m.order.is_some(), m.complete])
        }
        Some(Message::Cpu(m)) => count(&[m.comm.is_some(), m.release.is_some()]),
        Some(Message::TaskInCgroup(m)) => count(&[m.task.is_some(), m.limit.is_some()]),
        Some(Message::Usage(m)) => count(&[true, m.counter.failcnt.is_some()]),
        Some(Message::StatsFor(m)) => {
            let inline = m.inline.map_or(0, |text| message::inline_statistics(text).count());
            count(&[m.complete]) + u32::try_from(inline).unwrap_or(u32::MAX >> 1)
        }
        Some(Message::TableHeader(columns)) => count(&[true]) + u32::try_from(columns.0.len()).unwrap_or(0),
        Some(Message::OomKill(m)) => count(&[
            m.constraint.is_some(),
            m.cpuset.is_some(),
            m.mems_allowed.is_some(),
            m.global_oom,
            m.oom_memcg.is_some(),
            m.task_memcg.is_some(),
            m.task.is_some(),
        ]),
        Some(Message::Chosen(m)) => count(&[m.scope.is_some(), m.comm.is_some(), m.score.is_some()]),
        Some(Message::Killed(m)) => count(&[
            m.scope.is_some(),
            m.comm.is_some(),
            m.uid.is_some(),
            m.total_vm.is_some(),
            m.anon.is_some(),
            m.file.is_some(),
            m.shmem.is_some(),
            m.pgtables.is_some(),
            m.oom_score_adj.is_some(),
        ]),
        Some(
            Message::Cpuset(_)
            | Message::SharesMemory(_)
            | Message::GroupKill(_)
            | Message::Reap(_)
            | Message::Notice(_),
        ) => 2,
        Some(Message::Stack(_) | Message::NodeMemory(_)) => 1,
    }
}

/// True when a message ends before its last field.
fn is_open(text: &[u8], columns: Option<&Columns>) -> bool {
    match message::parse(text) {
        None => message::table_row(text, columns).is_some_and(|row| row.comm.is_none()),
        Some(Message::Invoked(m)) => !m.complete,
        Some(Message::Cpu(m)) => !m.complete(),
        Some(Message::TaskInCgroup(m)) => m.limit.is_none(),
        Some(Message::StatsFor(m)) => !m.complete,
        Some(Message::OomKill(m)) => !m.complete(),
        Some(Message::Chosen(m)) => m.score.is_none(),
        Some(Message::Killed(m)) => {
            m.comm.is_none() || (m.total_vm.is_some() && m.file.is_none()) || text.trim_ascii_end().ends_with(b",")
        }
        _ => false,
    }
}
