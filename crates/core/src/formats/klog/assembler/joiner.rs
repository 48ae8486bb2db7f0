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

use crate::formats::klog::message::{self, COMM_MAX, Column, Columns, Message, NodeMemoryLine};
use crate::formats::klog::record::Record;

/// Longest message put together from pieces: two cgroup paths of 4 KiB and what stands between.
const LONGEST: usize = 16 << 10;

/// How many other records may come between two pieces of one message. Seen: 11 (corpus p2).
const MOST_BETWEEN: u32 = 4096;

/// How many lines one message may be wrapped into without saying more on each.
const MOST_PIECES: usize = 24;

/// A line shorter than this was not broken because it was too long.
const NARROWEST: usize = 60;

/// Mail programs break lines at 72 to 78 columns, at blanks; what is broken at more was most likely cut by a terminal.
const NARROWEST_TERMINAL: usize = 79;

/// Holds the latest record back while more of it may come.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    held: Option<Held>,
    /// A prefix without text, the record before this one.
    lone_prefix: Option<Record>,
    /// How often a wrapped line had to be joined without (+) or with (−) a blank, to settle what reading cannot.
    hard_wraps: i32,
    /// Where a terminal cut lines, once that is certain.
    cut_at: Option<usize>,
    /// The widest line so far. No terminal cut at less.
    widest: usize,
}

#[derive(Debug)]
struct Held {
    record: Record,
    /// How much the text says so far, see [`fields_read`].
    says: u32,
    /// It ends before its message does.
    open: bool,
    between: u32,
    /// Lines that may continue it, if one that comes makes sense of them.
    pieces: Vec<Record>,
}

impl Held {
    fn release(self, out: &mut Vec<Record>) {
        out.push(self.record);
        out.extend(self.pieces);
    }

    /// The summary was cut inside a path, and then another CPU's message came between: what looks like paths and fields is
    /// its own all the same, what not is somebody's remark.
    fn take_pieces_of_summary(&mut self) {
        if !self.record.text.starts_with(b"oom-kill:") || self.pieces.is_empty() {
            return;
        }
        for piece in std::mem::take(&mut self.pieces).into_iter().take_while(|piece| is_of_summary(&piece.text)) {
            self.record = merge(&self.record, &piece, concat(&self.record.text, b"", &piece.text));
        }
    }

    /// The last line of it so far.
    fn last(&self) -> &Record {
        self.pieces.last().unwrap_or(&self.record)
    }
}

/// What a line is to the text before it.
enum Wrapped {
    /// Together they say more.
    Joined(Record),
    /// A further line may tell.
    Perhaps,
    /// Something else.
    No,
}

impl Joiner {
    /// Takes the next record of the kernel; hands on what is complete, in order.
    pub(super) fn push(&mut self, mut record: Record, columns: Option<&Columns>, out: &mut Vec<Record>) {
        self.widest = self.widest.max(record.width);
        // A mail program left the stamp alone on its line, because a very long word follows it.
        if let Some(prefix) = self.lone_prefix.take().filter(|_| !record.prefixed && !record.framed) {
            let text =
                if prefix.text.trim_ascii().is_empty() { record.text.clone() } else { filled(&[&prefix, &record]) };
            record = merge(&prefix, &record, text);
        }
        // `?` marks a stack frame that is guessed.
        if record.prefixed && !record.framed && matches!(record.text.trim_ascii(), b"" | b"?") {
            self.lone_prefix = Some(record);
            return;
        }
        let Some(mut held) = self.held.take() else {
            self.hold(record, columns);
            return;
        };
        if record.prefixed {
            held.take_pieces_of_summary();
        }
        if held.pieces.is_empty()
            && let Some(joined) = joined(&held, &record, columns)
        {
            self.hold(joined, columns);
            return;
        }
        match self.wrapped(&held, &record, columns) {
            Wrapped::Joined(joined) => return self.hold(joined, columns),
            Wrapped::Perhaps => {
                held.pieces.push(record);
                self.held = Some(held);
                return;
            }
            Wrapped::No => {}
        }
        if held.open
            && held.record.prefixed
            && held.pieces.is_empty()
            && !starts_a_message(&record.text, columns)
            && held.between < MOST_BETWEEN
        {
            // A foreign line between two pieces; nothing of it concerns an OOM report.
            held.between += 1;
            self.held = Some(held);
            return;
        }
        held.release(out);
        self.hold(record, columns);
    }

    /// Hands on what is held: the end of the input, or nothing came for a while.
    pub(super) fn flush(&mut self, out: &mut Vec<Record>) {
        if let Some(held) = self.held.take() {
            held.release(out);
        }
    }

    fn hold(&mut self, mut record: Record, columns: Option<&Columns>) {
        if !record.prefixed && !record.framed && record.text.starts_with(b" ") && is_header(&record.text) {
            // Indented text rather than a name that begins with a blank.
            record.text = record.text.trim_ascii_start().to_vec();
        }
        close_up(&mut record);
        unfold(&mut record, columns);
        let says = fields_read(&record.text, columns);
        let open = says > 0 && is_open(&record.text, columns);
        self.held = Some(Held { open, record, says, between: 0, pieces: Vec::new() });
    }

    /// A line without the prefix that the line before it had, or behind a line that plainly breaks off.
    fn wrapped(&mut self, held: &Held, next: &Record, columns: Option<&Columns>) -> Wrapped {
        let lost_its_prefix = held.record.prefixed && !next.prefixed;
        let breaks_off = held.open && !held.record.prefixed && !next.prefixed;
        let exact = next.framed || (held.record.framed && !held.open);
        let length = held.record.text.len() + held.pieces.iter().map(|p| p.text.len()).sum::<usize>() + next.text.len();
        if exact
            || held.between > 0
            || !(lost_its_prefix || breaks_off)
            || length > LONGEST
            || next.text.trim_ascii().is_empty()
            || (in_summary(&held.record.text) && !is_in_summary(&next.text))
        {
            return Wrapped::No;
        }
        let alone = fields_read(&next.text, columns);
        let whole = self.says_more_joined(held, next, alone, columns).map(|text| merge(&held.record, next, text));
        if let Some(joined) = whole.or_else(|| self.wrapped_at_its_end(held, next, alone, columns)) {
            return Wrapped::Joined(joined);
        }
        let may_go_on = (held.open || begins_a_message(&held.record.text))
            && alone == 0
            && was_full(held.last(), next)
            && held.pieces.len() < MOST_PIECES;
        if may_go_on { Wrapped::Perhaps } else { Wrapped::No }
    }

    /// The lines joined in the way that reads best, if that says more than they do apart.
    fn says_more_joined(
        &mut self,
        held: &Held,
        next: &Record,
        alone: u32,
        columns: Option<&Columns>,
    ) -> Option<Vec<u8>> {
        let lines: Vec<&Record> = std::iter::once(&held.record).chain(&held.pieces).chain([next]).collect();
        let read = |text: Vec<u8>| (fields_read(&text, columns), text);
        let (cut, filled, by_width) = (read(cut(&lines)), read(filled(&lines)), read(by_width(&lines)));
        let most = cut.0.max(filled.0).max(by_width.0);
        if most <= held.says.max(alone) {
            return None;
        }
        if cut.0 != filled.0 {
            self.learn(cut.0 > filled.0, held.last().width);
        }
        let (_, text) = match (cut.0 == most, filled.0 == most) {
            (true, true) if self.prefers_cut(held, next) => cut,
            (true, false) => cut,
            (_, true) => filled,
            (false, false) => by_width,
        };
        Some(text)
    }

    /// A path, a list or a name ends where its line does, so that more of it makes it no more complete. Only what looks
    /// like the rest of it is taken.
    fn wrapped_at_its_end(&self, held: &Held, next: &Record, alone: u32, columns: Option<&Columns>) -> Option<Record> {
        let (text, width) = (&held.record.text[..], held.record.width);
        let adjacent = next.lines.0 == held.record.lines.1 + 1 && held.record.prefixed;
        if alone > 0 || !adjacent || held.says == 0 || text.ends_with(b" ") || width < NARROWEST {
            return None;
        }
        let certain = self.cut_at == Some(width);
        let perhaps_cut = certain
            || (width >= NARROWEST_TERMINAL && width == self.widest && self.hard_wraps >= 0 && !held.record.framed);
        let rest_of_word = perhaps_cut
            && next.text.len() <= COMM_MAX
            && next.text.iter().all(is_in_word)
            && next.text.iter().any(u8::is_ascii_alphanumeric);
        let continues = match message::parse(text) {
            Some(Message::TaskInCgroup(_)) => perhaps_cut && is_in_path(&next.text),
            Some(Message::StatsFor(stats)) => stats.inline.is_some() && next.text.trim_ascii_end().ends_with(b"KB"),
            // The build number stands behind the release.
            Some(Message::Cpu(_)) => certain || (perhaps_cut && next.text.contains(&b'#')) || rest_of_word,
            Some(Message::Stack(_) | Message::NodeMemory(_)) => certain || rest_of_word,
            Some(_) => rest_of_word && next.text.iter().all(u8::is_ascii_digit),
            None => rest_of_word && message::table_row(text, columns).is_some(),
        };
        let text = cut(&[&held.record, next]);
        (continues && fields_read(&text, columns) >= held.says).then(|| merge(&held.record, next, text))
    }

    /// Both ways of joining read the same: names and paths decide nothing.
    fn prefers_cut(&self, held: &Held, next: &Record) -> bool {
        let last = held.last();
        let blank_is_there = last.text.ends_with(b" ") || next.text.starts_with(b" ") && !next.text.starts_with(b"  ");
        in_summary(&held.record.text)
            || blank_is_there
            || self.cut_at == Some(last.width)
            || match self.hard_wraps {
                0 => last.width >= NARROWEST_TERMINAL,
                seen => seen > 0,
            }
    }

    fn learn(&mut self, cut: bool, width: usize) {
        self.hard_wraps = (self.hard_wraps + if cut { 1 } else { -1 }).clamp(-8, 8);
        if cut {
            self.cut_at = Some(width);
        }
    }
}

/// The text is the summary's, and ends before the victim's name: no blank can be in it.
fn in_summary(text: &[u8]) -> bool {
    text.starts_with(b"oom-kill:") && memchr::memmem::find(text, b"task=").is_none()
}

/// Nothing but a comma has a blank behind it there, and that only where a person put it.
fn is_in_summary(text: &[u8]) -> bool {
    let before_name = memchr::memmem::find(text, b"task=").map_or(text, |at| text.get(..at).unwrap_or(text));
    before_name.trim_ascii().split(|b| *b == b' ').rev().skip(1).all(|word| word.ends_with(b","))
}

/// Part of the summary's paths and fields.
fn is_of_summary(text: &[u8]) -> bool {
    !text.contains(&b' ')
        && (text.iter().any(|b| matches!(b, b'/' | b',' | b'='))
            || text.iter().filter(|b| b.is_ascii_digit()).count() > 3)
}

/// As a terminal cuts: anywhere, nothing lost.
fn cut(lines: &[&Record]) -> Vec<u8> {
    lines.iter().flat_map(|line| line.text.iter().copied()).collect()
}

/// As mail programs fill lines: at blanks, each replaced by a line end, perhaps with a new indentation.
fn filled(lines: &[&Record]) -> Vec<u8> {
    join(lines, |_| false)
}

/// As a terminal cuts and a copy then drops the blanks at the ends of lines: cut where the line is as wide as any.
fn by_width(lines: &[&Record]) -> Vec<u8> {
    let all_but_last = lines.split_last().map_or(&[][..], |(_, before)| before);
    let widest = all_but_last.iter().map(|line| line.width).max().unwrap_or_default();
    join(lines, |line| line.width == widest)
}

fn join(lines: &[&Record], is_cut: impl Fn(&Record) -> bool) -> Vec<u8> {
    let mut text = Vec::new();
    let mut after_cut = true;
    for line in lines {
        if after_cut {
            text.extend_from_slice(&line.text);
        } else {
            text.truncate(text.trim_ascii_end().len());
            text.push(b' ');
            text.extend_from_slice(line.text.trim_ascii_start());
        }
        after_cut = is_cut(line);
    }
    text
}

/// What may stand in a cgroup's path, and has something that only ids and units have.
fn is_in_path(text: &[u8]) -> bool {
    let allowed = |b: &u8| is_in_word(b) || matches!(b, b'\\' | b'@');
    text.iter().all(allowed)
        && (text.contains(&b'/')
            || text.iter().filter(|b| b.is_ascii_digit()).count() > 3
            || text.ends_with(b".slice")
            || text.ends_with(b".scope"))
}

fn is_in_word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b'+')
}

/// Lines that somebody broke and indented came as one record with newlines. A name may have newlines as well: they go
/// only if more can be read without them.
fn unfold(record: &mut Record, columns: Option<&Columns>) {
    if record.framed || !record.text.contains(&b'\n') {
        return;
    }
    let lines: Vec<&[u8]> = record.text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).collect();
    let says = fields_read(&record.text, columns);
    let flat = [lines.join(&b' '), lines.concat()];
    let better = flat.into_iter().map(|text| (fields_read(&text, columns), text)).filter(|(read, _)| *read > says);
    // Of two that read the same, the first: a blank more rarely hurts.
    if let Some((_, text)) = better.reduce(|best, other| if other.0 > best.0 { other } else { best }) {
        record.text = text;
    }
}

/// `oom-kill:constraint=CONSTRAINT_MEMCG, oom_memcg=/a, task=x`: somebody put blanks behind the commas. The kernel has none
/// behind the first.
fn close_up(record: &mut Record) {
    let constraint = record.text.strip_prefix(b"oom-kill:constraint=CONSTRAINT_").filter(|_| !record.framed);
    let name = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_uppercase() || **b == b'_').count();
    if constraint.is_some_and(|text| text.get(name(text)..).is_some_and(|rest| rest.starts_with(b", "))) {
        let text = bstr::ByteSlice::replace(&record.text[..], ",\n", ",");
        record.text = bstr::ByteSlice::replace(&text[..], ", ", ",");
    }
}

fn joined(held: &Held, next: &Record, columns: Option<&Columns>) -> Option<Record> {
    if held.record.text.len() + next.text.len() > LONGEST || next.text.trim_ascii().is_empty() {
        return None;
    }
    if next.continuation || is_piece_of_summary(held, next) {
        let whole = concat(&held.record.text, b"", &next.text);
        return (held.open && held.between <= MOST_BETWEEN && fields_read(&whole, columns) >= held.says)
            .then(|| merge(&held.record, next, whole));
    }
    if held.between > 0 { None } else { newline_in_a_name(held, next, columns) }
}

/// `Comm: x` + `y: z Not tainted …`, both stamped alike.
fn newline_in_a_name(held: &Held, next: &Record, columns: Option<&Columns>) -> Option<Record> {
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
    Record { text, lines: (first.lines.0, next.lines.1.max(first.lines.1)), width: next.width, ..first.clone() }
}

/// True for text that is a message of a report by itself.
fn starts_a_message(text: &[u8], columns: Option<&Columns>) -> bool {
    fields_read(text, columns) > 0
}

/// The next word would have made the line too long, so that it had to be broken there.
fn was_full(line: &Record, next: &Record) -> bool {
    let word = next.text.trim_ascii_start().iter().take_while(|b| !b.is_ascii_whitespace()).count();
    line.width + word >= NARROWEST
}

fn is_header(text: &[u8]) -> bool {
    matches!(message::parse(text), Some(Message::Invoked(_)))
}

/// Messages that say nothing until their last word is read.
fn begins_a_message(text: &[u8]) -> bool {
    const BEGINNINGS: [&[u8]; 4] = [b"Tasks in", b"Memory cgroup out of memory: ", b"Out of memory", b"oom_reaper: "];
    BEGINNINGS.iter().any(|beginning| text.starts_with(beginning))
}

/// How much of an OOM report a text says: 0 for none of it, else one more than the number of fields read.
fn fields_read(text: &[u8], columns: Option<&Columns>) -> u32 {
    let count = |fields: &[bool]| 1 + fields.iter().map(|f| u32::from(*f)).sum::<u32>();
    match message::parse(text) {
        None => {
            message::table_row(text, columns).map_or(0, |row| count(&[row.comm.is_some()]) + length(row.cells.len()))
        }
        Some(Message::Invoked(m)) => {
            count(&[m.gfp_mask.is_some(), m.gfp_flags.is_some(), m.order.is_some(), m.complete])
        }
        Some(Message::Cpu(m)) => count(&[m.comm.is_some(), m.release.is_some()]),
        Some(Message::TaskInCgroup(m)) => count(&[m.task.is_some(), m.limit.is_some()]),
        Some(Message::Usage(m)) => count(&[true, m.counter.failcnt.is_some()]),
        Some(Message::StatsFor(m)) => {
            count(&[m.complete]) + length(m.inline.map_or(0, |text| message::inline_statistics(text).count()))
        }
        Some(Message::TableHeader(columns)) => {
            let known = columns.0.iter().filter(|column| **column != Column::Other).count();
            count(&[has_name_column(text)]) + length(known)
        }
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
        Some(Message::Cpuset(_) | Message::SharesMemory(_) | Message::GroupKill(_) | Message::Notice(_)) => 2,
        Some(Message::Reap(m)) => count(&[true, m.anon.is_some(), m.file.is_some(), m.shmem.is_some()]),
        Some(Message::NodeMemory(line)) => 1 + length(counters_read(&line, text)),
        Some(Message::Stack(_)) => 1,
    }
}

fn counters_read(line: &NodeMemoryLine<'_>, text: &[u8]) -> usize {
    match line {
        NodeMemoryLine::Totals(counters) => counters.len(),
        NodeMemoryLine::Zone(zone) => zone.counters.len() + usize::from(zone.all_unreclaimable.is_some()),
        NodeMemoryLine::FreeList(list) => list.blocks.len(),
        NodeMemoryLine::Node => {
            text.split(|b| *b == b':').filter(|value| value.first().is_some_and(u8::is_ascii_digit)).count()
        }
        _ => 0,
    }
}

fn length(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX >> 1)
}

/// The last column of the task table is named, so its header is whole.
fn has_name_column(text: &[u8]) -> bool {
    text.trim_ascii_end().ends_with(b" name")
}

/// True when a message ends before its last field.
fn is_open(text: &[u8], columns: Option<&Columns>) -> bool {
    match message::parse(text) {
        None => message::table_row(text, columns).is_some_and(|row| row.comm.is_none()),
        Some(Message::Invoked(m)) => !m.complete,
        Some(Message::Cpu(m)) => !m.complete(),
        Some(Message::TaskInCgroup(m)) => m.limit.is_none(),
        Some(Message::StatsFor(m)) => !m.complete,
        Some(Message::TableHeader(_)) => !has_name_column(text),
        Some(Message::OomKill(m)) => !m.complete(),
        Some(Message::Chosen(m)) => m.score.is_none(),
        Some(Message::Killed(m)) => {
            m.comm.is_none() || (m.total_vm.is_some() && m.file.is_none()) || text.trim_ascii_end().ends_with(b",")
        }
        Some(Message::Reap(_)) => text.trim_ascii_end().ends_with(b","),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines as records, `|` marking those that have a prefix, of 20 columns.
    fn join(lines: &[&str]) -> Vec<String> {
        let mut joiner = Joiner::default();
        let mut out = Vec::new();
        for (line, number) in lines.iter().zip(1..) {
            let text = line.strip_prefix('|');
            let prefix = if text.is_some() { 20 } else { 0 };
            let text = text.unwrap_or(line);
            let record = Record {
                text: text.as_bytes().to_vec(),
                lines: (number, number),
                width: text.len() + prefix,
                prefixed: prefix > 0,
                ..Record::default()
            };
            joiner.push(record, None, &mut out);
        }
        joiner.flush(&mut out);
        out.iter().map(|record| String::from_utf8_lossy(&record.text).into_owned()).collect()
    }

    /// A terminal cuts inside paths, where nothing can be read until a later line.
    #[test]
    fn cut_by_a_terminal() {
        let summary = [
            "|oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset",
            "=3f1399bec07099102a9a1a1e8ab255009fa63e8cfe031c6794d587cd743de73f,mems_allowed=0",
            ",oom_memcg=/kubepods/besteffort/pod95a3701f-6e7a-4a3c-8a3b-0d9d6c2d5e4f/3f1399be",
            "c07099102a9a1a1e8ab255009fa63e8cfe031c6794d587cd743de73f,task_memcg=/kubepods/be",
            "steffort/pod95a3701f-6e7a-4a3c-8a3b-0d9d6c2d5e4f,task=app,pid=366,uid=0",
        ];
        assert_eq!(join(&summary), [summary.concat().replace('|', "")]);
    }

    /// A mail program breaks at blanks, and leaves the stamp alone before a very long word.
    #[test]
    fn filled_by_a_mail_program() {
        let lines = ["|Killed", "process 28675 (bash) total-vm:11700kB, anon-rss:2716kB,", "file-rss:0kB"];
        assert_eq!(join(&lines), ["Killed process 28675 (bash) total-vm:11700kB, anon-rss:2716kB, file-rss:0kB"]);
        let summary =
            "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task=a,pid=1,uid=0";
        assert_eq!(join(&["|", summary, "|x"]), [summary, "x"]);
    }

    /// What a person wrote below a whole message stays apart.
    #[test]
    fn remarks_are_no_rest() {
        let kill = "|Memory cgroup out of memory: Killed process 1 (a) total-vm:1kB, anon-rss:1kB, file-rss:1kB, UID:0 oom_score_adj:0";
        for remark in ["...", "snip", "What is this?", "0x12"] {
            assert_eq!(join(&[kill, remark]), [&kill[1..], remark]);
        }
    }
}
