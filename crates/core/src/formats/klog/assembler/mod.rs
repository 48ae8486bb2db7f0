//! Puts the messages of one OOM event together.
//!
//! The kernel prints a report under one lock (`oom_lock`), always in the same order: header, stack, charge, statistics or
//! Mem-Info, task table, `oom-kill:` summary, kill line, group members. So one report is open at a time, and a message that
//! cannot follow what was read begins the next one. Everything else in the log is foreign and passes by. What is lost
//! makes a report shorter, never wrong: see `finish.rs`.

mod draft;
mod finish;
mod joiner;
mod order;
mod recent;
#[cfg(test)]
mod tests;

use crate::evidence::{Evidence, Gap, KernelReport, Part};
use crate::formats::klog::message::{self, Message, Notice};
use crate::formats::klog::record::Record;
use crate::time::When;
use draft::Draft;
use joiner::Joiner;
use order::Fit;
use recent::Recent;

/// One OOM event as it stood in the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogEvent {
    /// What the kernel said.
    pub report: KernelReport,
    /// Of the first kill line, or of the last line where nothing was killed.
    pub at: When,
    /// First and last line.
    pub lines: (u64, u64),
    /// Host name, where the transport names it.
    pub host: Option<String>,
    /// Boot id, where the transport states it.
    pub boot_id: Option<String>,
    /// The lines by part.
    pub evidence: Vec<Evidence>,
    /// What a whole report has and this one has not.
    pub gaps: Vec<Gap>,
}

/// How long a report that waits for its end is kept when nothing comes, in milliseconds; see [`Assembler::idle`].
pub const PATIENCE_MS: u64 = 3000;

/// Records without any part of a report after which a report that has its kill line is handed on.
const LINGER_RECORDS: u32 = 256;

/// Kill lines that wait for their group to be proven.
const MOST_MEMBERS: usize = 4096;

/// Longest silence of the kernel's clock inside one report. A slow serial console delays lines by less.
const LONGEST_PAUSE_US: u64 = 30_000_000;

/// Reads records, tells of events.
#[derive(Debug, Default)]
pub struct Assembler {
    joiner: Joiner,
    draft: Option<Draft>,
    recent: Recent,
    since_part: u32,
    part_read: bool,
    last_seq: Option<u64>,
    missing: Option<Missing>,
    /// Kill lines right behind that of the open report, until it shows whether they are members of a group.
    perhaps_members: Vec<Record>,
}

/// Records that did not arrive.
#[derive(Debug)]
struct Missing {
    /// The first record after the first of them.
    before: u64,
    count: u64,
}

impl Assembler {
    /// Nothing read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next record and hands on the events that it ends.
    pub fn push(&mut self, record: Record, out: &mut dyn FnMut(LogEvent)) {
        self.part_read = false;
        self.note_lost_records(&record);
        if record.foreign {
            return;
        }
        let mut whole = Vec::new();
        let columns = self.draft.as_ref().and_then(|d| d.columns.as_ref());
        self.joiner.push(record, columns, &mut whole);
        for record in whole {
            self.take(&record, out);
        }
    }

    /// Nothing came for `waited_ms`: hands on what is complete, and after a while also what is not.
    pub fn idle(&mut self, waited_ms: u64, out: &mut dyn FnMut(LogEvent)) {
        self.flush_joiner(out);
        if self.draft.as_ref().is_some_and(|d| d.is_over() || waited_ms >= PATIENCE_MS) {
            self.close(out);
        }
    }

    /// The end of the input.
    pub fn finish(&mut self, out: &mut dyn FnMut(LogEvent)) {
        self.flush_joiner(out);
        self.close(out);
    }

    /// True while a report is open that has not seen its end: the caller must not skip lines.
    #[must_use]
    pub fn wants_every_line(&self) -> bool {
        self.draft.as_ref().is_some_and(|d| !d.is_over()) && self.since_part < LINGER_RECORDS
    }

    /// True when the latest record was a part of a report.
    #[must_use]
    pub const fn read_a_part(&self) -> bool {
        self.part_read
    }

    fn flush_joiner(&mut self, out: &mut dyn FnMut(LogEvent)) {
        let mut whole = Vec::new();
        self.joiner.flush(&mut whole);
        for record in whole {
            self.take(&record, out);
        }
    }

    fn take(&mut self, record: &Record, out: &mut dyn FnMut(LogEvent)) {
        if self.recent.is_repetition_of_last(record) {
            return;
        }
        self.charge_lost_records(record);
        let found = self.split_and_read(record, out);
        self.part_read |= found;
        self.since_part = if found { 0 } else { self.since_part.saturating_add(1) };
        if self.since_part == LINGER_RECORDS && self.draft.as_ref().is_some_and(Draft::is_over) {
            self.close(out);
        }
    }

    /// Compares sequence numbers as records arrive: those of other writers, and those that are joined with the one before,
    /// are not missing.
    fn note_lost_records(&mut self, record: &Record) {
        let Some(seq) = record.seq else { return };
        let between =
            self.last_seq.and_then(|last| seq.checked_sub(last)?.checked_sub(1)).filter(|between| *between > 0);
        if let Some(between) = between {
            let missing = self.missing.get_or_insert(Missing { before: seq, count: 0 });
            missing.count = missing.count.saturating_add(between);
        }
        self.last_seq = Some(seq);
    }

    /// What is missing before this record is missing in the report that is open, not in one that was still held back.
    fn charge_lost_records(&mut self, record: &Record) {
        let came_before = |missing: &Missing| record.seq.is_some_and(|seq| seq >= missing.before);
        let Some(missing) = self.missing.take_if(|missing| came_before(missing)) else { return };
        if let Some(draft) = self.draft.as_mut().filter(|draft| !draft.is_over()) {
            draft.report.extent.records_lost = draft.report.extent.records_lost.saturating_add(missing.count);
        }
    }

    /// A record is one message; but statistics and Mem-Info came as one record of many lines (before 6.x), and
    /// node-problem-detector joins the two kill lines with a blank.
    fn split_and_read(&mut self, record: &Record, out: &mut dyn FnMut(LogEvent)) -> bool {
        let text =
            if record.prefixed || record.framed { &record.text[..] } else { in_unknown_surroundings(&record.text) };
        let joined = find(text, b"sacrifice child Killed process ");
        if let Some(at) = joined.filter(|_| matches!(message::parse(text), Some(Message::Chosen(_)))) {
            let (chosen, killed) = text.split_at(at + b"sacrifice child".len());
            let read = self.read(chosen.trim_ascii(), record, out);
            return self.read(killed.trim_ascii(), record, out) || read;
        }
        // A name with a newline in it is one message; a list is none as a whole.
        let one_message = !text.contains(&b'\n') || matches!(message::parse(text), Some(m) if !is_item(&m));
        if one_message || !self.is_list(text) {
            return self.read(text, record, out);
        }
        let mut read = false;
        for line in text.split(|b| *b == b'\n') {
            read |= self.is_list(line) && self.read(line, record, out);
        }
        read
    }

    /// True for text whose lines are items: statistics (while they are expected) and Mem-Info.
    fn is_list(&self, text: &[u8]) -> bool {
        let first = text.split(|b| *b == b'\n').next().unwrap_or_default();
        let statistics_expected = self.draft.as_ref().is_some_and(Draft::expects_statistics);
        (statistics_expected && message::statistic(first).is_some())
            || message::parse(first).is_some_and(|message| is_item(&message))
    }

    /// Reads one message. True when it was part of a report.
    fn read(&mut self, text: &[u8], record: &Record, out: &mut dyn FnMut(LogEvent)) -> bool {
        let Some(message) = message::parse(text) else {
            return self.read_in_context(text, record, out);
        };
        match message {
            Message::Notice(Notice::AllocationFailure) => {
                // What follows looks like a report and kills nobody.
                match self.draft.as_mut() {
                    Some(draft) if draft.is_event() => draft.foreign_trace_begins(),
                    _ => self.draft = None,
                }
                false
            }
            Message::Notice(Notice::Suppressed(count)) => {
                self.recent.suppressed = self.recent.suppressed.saturating_add(count);
                true
            }
            Message::Notice(Notice::Dropped(count)) => {
                if let Some(draft) = self.draft.as_mut().filter(|d| !d.is_over()) {
                    draft.report.extent.records_lost = draft.report.extent.records_lost.saturating_add(count);
                    draft.cite(Part::Lost, text, record);
                }
                false
            }
            // Of no stage: it stands behind a cgroup's statistics and behind Mem-Info alike, and says nothing that is used.
            Message::Notice(Notice::Protection) => self.draft.is_some(),
            Message::Reap(ref reap) => {
                let known =
                    self.draft.as_mut().is_some_and(|d| d.reaped(reap, text, record)) || self.recent.knows_victims();
                if !known && reap.comm.is_some() {
                    self.close(out);
                    self.draft = Some(Draft::of_reaper(reap, text, record, &mut self.recent));
                }
                true
            }
            ref other => {
                let part = draft::part_of(other);
                self.absorb(part, text, record, out, |draft, recent| draft.absorb(other, record, recent))
            }
        }
    }

    /// Rows and statistics mean something only where they stand.
    fn read_in_context(&mut self, text: &[u8], record: &Record, out: &mut dyn FnMut(LogEvent)) -> bool {
        if self.draft.as_ref().is_some_and(Draft::expects_statistics)
            && let Some((key, value)) = message::statistic(text)
        {
            return self.absorb(Part::MemoryStat, text, record, out, |draft, _| draft.statistic(key, value));
        }
        let columns = self.draft.as_ref().filter(|d| !d.is_over()).and_then(|d| d.columns.clone());
        match message::table_row(text, columns.as_ref()) {
            Some(row) => self.absorb(Part::TaskTable, text, record, out, |draft, _| draft.row(&row)),
            None => false,
        }
    }

    /// Lets the open report take a part, or begins a new one where it cannot follow.
    fn absorb(
        &mut self,
        part: Part,
        text: &[u8],
        record: &Record,
        out: &mut dyn FnMut(LogEvent),
        put: impl FnOnce(&mut Draft, &mut Recent),
    ) -> bool {
        if self.draft.as_ref().is_some_and(|d| d.report.panic.is_some()) && matches!(part, Part::Cpu | Part::Stack) {
            // The trace of the panic, not of another event.
            return true;
        }
        if self.draft.is_none() && text.ends_with(b" sharing same memory") {
            return false;
        }
        match self.draft.as_mut().map_or(Fit::Mine, |draft| draft.fit(part, text, record)) {
            Fit::Mine => {}
            Fit::Next => self.close(out),
            Fit::Foreign => return false,
            Fit::PerhapsMember => {
                if self.perhaps_members.len() < MOST_MEMBERS {
                    self.perhaps_members.push(Record { text: text.to_vec(), ..record.clone() });
                    return true;
                }
                self.close(out);
            }
            Fit::ProvesGroup => self.take_members(),
        }
        let draft = self.draft.get_or_insert_with(|| Draft::new(record));
        draft.cite(part, text, record);
        put(draft, &mut self.recent);
        true
    }

    /// Kill lines that waited turn out to be those of a group.
    fn take_members(&mut self) {
        let Some(draft) = self.draft.as_mut().filter(|_| !self.perhaps_members.is_empty()) else { return };
        draft.report.group_kill = Some(true);
        for record in std::mem::take(&mut self.perhaps_members) {
            draft.take_kill_line(&record, &mut self.recent);
        }
    }

    /// Hands on the open report, and behind it the kill lines that might have been of its group, each by itself.
    fn close(&mut self, out: &mut dyn FnMut(LogEvent)) {
        if let Some(draft) = self.draft.take().filter(Draft::is_event) {
            out(finish::finish(draft, &mut self.recent));
        }
        for record in std::mem::take(&mut self.perhaps_members) {
            let mut draft = Draft::new(&record);
            draft.take_kill_line(&record, &mut self.recent);
            out(finish::finish(draft, &mut self.recent));
        }
    }
}

/// A message that comes in lists.
const fn is_item(message: &Message<'_>) -> bool {
    matches!(message, Message::NodeMemory(_) | Message::StatsFor(_))
}

/// Text without any known prefix: leading blanks are indentation and not the beginning of a name, and an event that some
/// tool quotes begins where the kernel's words do.
fn in_unknown_surroundings(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii_start();
    message::begins_within(text).map_or(text, |at| &text[at..])
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, needle)
}
