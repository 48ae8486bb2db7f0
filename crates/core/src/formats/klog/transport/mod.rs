//! Strips what was wrapped around the kernel's text and keeps what the wrapping knew.
//!
//! ```text
//! raw line ─whole─▶ clean ─▶ block? (JSON, journal export) ─▶ peel: layer after layer ─▶ unescape ─▶ Record
//! ```
//!
//! A log is what somebody had at hand: `dmesg` in any of its styles, /dev/kmsg, the journal in any of its formats, syslog,
//! a container runtime's JSON, a quoted mail, a web page; often several in one file. So every line says for itself what
//! it is, and the memory of the stream only breaks ties (`habit.rs`). The constraint that shaped this: process names, which
//! anybody chooses, stand in the kernel's text. What could be a name is never peeled (`prefix.rs`).
//!
//! Memory is bounded by the longest entry that is put together from lines (1 MiB), time is linear.

mod bracket;
mod cri;
mod escapes;
mod export;
mod habit;
mod journal;
mod json;
mod kmsg;
mod markup;
mod months;
mod prefix;
mod quoted_printable;
mod scan;
mod stamp;
mod syslog;
mod wrapper;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use self::export::{Export, Taken, Verbose};
use self::habit::Habit;
use self::journal::Message;
use self::json::{Collector, Fed, Found};
use self::prefix::{Content, Head, peel};
use self::quoted_printable::QuotedPrintable;
use self::scan::{after, trim_end};
use super::record::Record;

/// JSON in JSON in JSON: deeper nesting is taken for text.
const DEEPEST_TEXT: usize = 4;
/// A message column nearer to the margin than this is no journal's or dmesg's, and indentation there means something else.
const LEAST_COLUMN: usize = 12;
/// No more lines than this are joined to one record by indentation.
const LONGEST_JOINED: usize = 64 * 1024;

/// Per input stream; remembers what the stream looked like so far.
#[derive(Debug, Default)]
pub struct Unwrapper {
    habit: Habit,
    block: Block,
    held: Option<Held>,
    fragments: kmsg::Fragments,
    encoding: QuotedPrintable,
    parts: cri::Parts,
    /// The last line was a /dev/kmsg record: ` KEY=value` lines may follow.
    after_kmsg: bool,
    /// The stream is a web page.
    html: bool,
    /// The stream has Markdown fences.
    fenced: bool,
    /// The last line ended in a backslash.
    backslash: bool,
    /// The boot that the journal's lines belong to.
    boot_id: Option<String>,
    /// The stream has the kernel's own records: what others quote of them says nothing new.
    kernel_speaks: bool,
    /// The last record was another program's.
    foreign_last: bool,
    /// The stream is a journal's export: binary values hold anything, so that no entry's beginning can be told in it
    /// without having read what is before.
    export: bool,
    /// The stream has JSON objects of many lines.
    pretty: bool,
    /// Lines are missing before the next one, which may stand within an object.
    adrift: bool,
    /// The line being read came, or goes on, in pieces.
    piece: Piece,
}

/// Where in its line the piece stands that is being read.
#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    /// More of the line came before it.
    continues: bool,
    /// More of the line follows it.
    goes_on: bool,
    /// What follows is not read: framing that was begun, or another program's words.
    drop_rest: bool,
}

/// An entry of many lines that has begun.
#[derive(Debug, Default)]
enum Block {
    #[default]
    None,
    Export(Export),
    Verbose(Verbose),
    Json(Collector, Box<Record>),
}

/// The last record of a text transport: indented lines may continue it.
#[derive(Debug)]
struct Held {
    record: Record,
    /// Where its text began, in bytes and in characters.
    column: (usize, usize),
}

type Emit<'a> = &'a mut dyn FnMut(Record);

impl Unwrapper {
    /// An unwrapper for a stream of which nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Feeds one raw line, without its line terminator, that stood at `number`, counted from 1. The caller bounds the
    /// length of lines. Emits zero or more records.
    ///
    /// The record of a line may be emitted only with the next line, which might continue it: see [`Self::flush`].
    pub fn push(&mut self, line: &[u8], number: u64, emit: Emit<'_>) {
        self.part(line, number, false, emit);
    }

    /// Feeds a piece of a line that is too long for the caller. More of the line follows: further pieces, and the last
    /// one with [`Self::push`].
    pub fn push_piece(&mut self, piece: &[u8], number: u64, emit: Emit<'_>) {
        self.part(piece, number, true, emit);
    }

    /// Whether what was read belongs to an entry or line that is not finished: the next line would be misread without it.
    #[must_use]
    pub fn is_inside_entry(&self) -> bool {
        self.export
            || self.piece.goes_on
            || match &self.block {
                Block::None => false,
                Block::Export(_) | Block::Verbose(_) => true,
                Block::Json(collector, _) => !collector.is_between_objects(),
            }
    }

    fn part(&mut self, line: &[u8], number: u64, goes_on: bool, emit: Emit<'_>) {
        let before = self.piece;
        let continues = before.goes_on;
        self.piece = Piece { continues, goes_on, drop_rest: continues && before.drop_rest };
        if self.piece.drop_rest {
            return;
        }
        let Some(line) = self.on_course(line) else { return };
        match std::mem::take(&mut self.block) {
            Block::None => {}
            Block::Export(mut export) => match export.push(line, number, !goes_on) {
                Taken::Inside => {
                    self.block = Block::Export(export);
                    return;
                }
                Taken::End => {
                    self.export = true;
                    return self.message(export.finish(true), emit);
                }
                Taken::Broken => self.broken_export(export, emit),
            },
            Block::Verbose(verbose) if continues => {
                self.block = Block::Verbose(verbose);
                return;
            }
            Block::Verbose(mut verbose) => {
                if verbose.push(line.strip_suffix(b"\r").unwrap_or(line), number) {
                    self.block = Block::Verbose(verbose);
                    return;
                }
                self.message(verbose.finish(true), emit);
            }
            Block::Json(collector, base) => return self.collect(collector, base, line, number, emit),
        }
        self.foreign_last = false;
        self.whole_line(line, number, emit);
        // What another program wrote stays its own on the rest of the line.
        self.piece.drop_rest |= goes_on && !continues && self.foreign_last;
    }

    /// Among lines that follow a gap, the first that is certainly not within an object whose beginning was not read.
    fn on_course<'a>(&mut self, line: &'a [u8]) -> Option<&'a [u8]> {
        if !self.adrift {
            return Some(line);
        }
        let start = json::opening(line).or_else(|| (!json::is_inner_line(line)).then_some(line))?;
        self.adrift = false;
        Some(start)
    }

    /// What began like an entry ended unlike one: it was text that looks like a field, or its end is missing.
    fn broken_export(&mut self, mut export: Export, emit: Emit<'_>) {
        self.export = false;
        match export.doubted() {
            Some((lines, first)) => self.lines_after_all(&lines, first, emit),
            None => self.message(export.finish(false), emit),
        }
    }

    /// Nothing came for a while: emits what is pending, but for an entry whose end is still to come.
    pub fn idle(&mut self, emit: Emit<'_>) {
        match self.block {
            Block::None => self.flush(emit),
            _ => self.release(emit),
        }
    }

    /// What follows is not the next line: some are left out. Not while [`Self::is_inside_entry`].
    pub fn gap(&mut self, emit: Emit<'_>) {
        self.flush(emit);
        self.adrift = self.pretty;
    }

    /// End of input: emits what is pending, such as the last record and an unfinished entry.
    pub fn flush(&mut self, emit: Emit<'_>) {
        match std::mem::take(&mut self.block) {
            Block::None => {}
            Block::Export(export) => self.message(export.finish(false), emit),
            Block::Verbose(verbose) => self.message(verbose.finish(false), emit),
            Block::Json(collector, _) => {
                let (rest, first) = collector.rest();
                self.lines_after_all(rest, first, emit);
            }
        }
        for (line, first) in [self.encoding.flush(), self.parts.flush()].into_iter().flatten() {
            self.line(&line, (first, first), false, emit);
        }
        self.release(emit);
        self.fragments.flush(emit);
    }

    /// Puts lines together that a transport broke by rules of its own.
    fn whole_line(&mut self, raw: &[u8], number: u64, emit: Emit<'_>) {
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        if self.parts.concerns(raw) {
            if let Some((whole, first)) = self.parts.feed(raw, number) {
                self.line(&whole, (first, number), true, emit);
            }
            return;
        }
        loop {
            match self.encoding.feed(raw, number, has_a_prefix) {
                quoted_printable::Fed::Line(line, first) => return self.line(&line, (first, number), true, emit),
                quoted_printable::Fed::Broken => return,
                quoted_printable::Fed::Before(line, first) => self.line(&line, (first, first), true, emit),
            }
        }
    }

    /// One line outside any block, and where in the input it stood. `opens`: an entry may begin here that ends on a
    /// later line.
    fn line(&mut self, raw: &[u8], lines: (u64, u64), opens: bool, emit: Emit<'_>) {
        let line = &*self.clean(raw);
        let (first, number) = lines;
        if self.continues_held(line, number) {
            return;
        }
        if std::mem::take(&mut self.after_kmsg) && kmsg::is_attribute(line) {
            self.after_kmsg = true;
            return;
        }
        if let Some(boot_id) = markup::boot_marker(line) {
            self.boot_id = boot_id;
        }
        if markup::is_noise(line) {
            self.fenced |= line.starts_with(b"`");
            return;
        }
        if opens && Export::begins(line) {
            let mut export = Export::new(first);
            export.push(line, number, !self.piece.goes_on);
            self.block = Block::Export(export);
            return;
        }
        self.export &= line.is_empty();
        if let Some(verbose) = Verbose::begin(line, first) {
            self.block = Block::Verbose(verbose);
            return;
        }
        let mut head = Head::default();
        head.record.lines = lines;
        head.record.width = columns(line);
        match peel(line, &mut head, &mut self.habit) {
            Content::Text(text) => self.text(head, text, Some(column(line, text)), emit),
            Content::Kmsg(header) => {
                self.release(emit);
                self.after_kmsg = true;
                let header = header.map_body(|body| self.trimmed(body, &head));
                self.note(header.record());
                self.fragments.push(header, lines, emit);
            }
            Content::Json(start) => match json::parse(start).or_else(|| json::member(start)) {
                Some(value) => self.value(&value, &head.record, 0, emit),
                None if opens => {
                    let base = Box::new(head.record);
                    self.collect(Collector::default(), base, start, number, emit);
                }
                None => match json::cut_off(start) {
                    Some(value) => self.value(&value, &head.record, 0, emit),
                    None => self.text(head, start, Some(column(line, start)), emit),
                },
            },
        }
    }

    /// Without what no log line has: line ends, a byte order mark, NULs of a crash, colours, HTML.
    fn clean<'a>(&mut self, raw: &'a [u8]) -> Cow<'a, [u8]> {
        let mut line = raw;
        while let [b'\0' | 0x1e | b'\r', rest @ ..] = line {
            line = rest;
        }
        line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        while let [rest @ .., b'\r' | b'\0'] = line {
            line = rest;
        }
        let backslash = line.ends_with(b"\\");
        if backslash && self.backslash {
            line = line.strip_suffix(b"\\").unwrap_or(line);
        }
        self.backslash = backslash;
        let line = escapes::without_terminal_sequences(line);
        self.html |= markup::is_html(&line);
        if !self.html {
            return line;
        }
        Cow::Owned(escapes::html(markup::without_closing_tags(&line)).into_owned())
    }

    /// Joins a line that is indented to where the last record's text began.
    fn continues_held(&mut self, line: &[u8], number: u64) -> bool {
        let Some(Held { record, column: (bytes, chars) }) = &mut self.held else { return false };
        if line.first() != Some(&b' ') || record.text.len() > LONGEST_JOINED {
            return false;
        }
        let indent = line.iter().take_while(|b| **b == b' ').count();
        let column = if indent >= *bytes { *bytes } else { *chars };
        if indent < column || indent == line.len() {
            return false;
        }
        record.text.push(b'\n');
        record.text.extend_from_slice(&escapes::plain(after(line, column)));
        record.lines.1 = number;
        true
    }

    fn collect(&mut self, mut collector: Collector, base: Box<Record>, line: &[u8], number: u64, emit: Emit<'_>) {
        let mut values = Vec::new();
        let fed = collector.feed(line, number, !self.piece.goes_on, &mut |object, first| {
            values.extend(json::parse(object).map(|v| (v, first)));
        });
        for (value, first) in values {
            let base = Record { lines: (first, number), ..(*base).clone() };
            self.value(&value, &base, 0, emit);
        }
        match fed {
            Fed::Open => {
                self.pretty |= !self.piece.goes_on;
                self.block = Block::Json(collector, base);
            }
            Fed::Closed => {}
            // What is within one long line cannot be told from the text of another program in it.
            Fed::Broken if self.piece.continues => self.piece.drop_rest = self.piece.goes_on,
            Fed::Broken => {
                self.piece.drop_rest = self.piece.goes_on;
                let (unread, first) = collector.unread();
                self.lines_after_all(unread, first, emit);
                self.line(line, (number, number), false, emit);
            }
        }
    }

    /// Lines that looked like the beginning of an object, but were none.
    fn lines_after_all(&mut self, lines: &[u8], first: u64, emit: Emit<'_>) {
        for (line, number) in lines.strip_suffix(b"\n").unwrap_or(lines).split(|b| *b == b'\n').zip(first..) {
            self.line(line, (number, number), false, emit);
        }
    }

    fn message(&mut self, message: Option<Message>, emit: Emit<'_>) {
        match message {
            Some(Message::Exact(record)) => self.send(record, emit),
            Some(Message::Tagged(mut record)) => {
                let text = std::mem::take(&mut record.text);
                self.inner_text(Head::inside(record), &text, 0, emit);
            }
            None => {}
        }
    }

    fn value(&mut self, value: &serde_json::Value, base: &Record, depth: usize, emit: Emit<'_>) {
        json::interpret(value, base, &mut |found| match found {
            Found::Record(record) => self.send(record, emit),
            Found::Text(head, text) => self.inner_text(head, &text, depth + 1, emit),
        });
    }

    /// Text out of JSON: one or more lines, each perhaps wrapped again.
    fn inner_text(&mut self, head: Head, text: &[u8], depth: usize, emit: Emit<'_>) {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let framed = head.record.framed && !text.contains(&b'\n');
        for line in text.split(|b| *b == b'\n') {
            let line = escapes::without_terminal_sequences(without_written_line_end(line));
            let mut head = head.clone();
            head.record.framed = framed;
            match peel(&line, &mut head, &mut self.habit) {
                Content::Kmsg(header) => {
                    self.release(emit);
                    self.fragments.push(header, head.record.lines, emit);
                }
                Content::Json(start) if depth < DEEPEST_TEXT => match json::parse(start) {
                    Some(value) => self.value(&value, &head.record, depth, emit),
                    None => self.text(head, start, None, emit),
                },
                Content::Json(text) | Content::Text(text) => self.text(head, text, None, emit),
            }
        }
    }

    /// The end of peeling: what remains is the kernel's, or another program's, text. `column`: where it began in
    /// its line.
    fn text(&mut self, mut head: Head, text: &[u8], column: Option<(usize, usize)>, emit: Emit<'_>) {
        let mut text = self.trimmed(text, &head);
        if head.record.foreign
            && !self.kernel_speaks
            && let Some(quoted) = wrapper::relayed(text)
        {
            head.record.foreign = false;
            text = quoted;
        }
        if !head.record.prefixed && !head.record.foreign && markup::is_noise(text) {
            return;
        }
        if head.syslog && head.record.boot_id.is_none() {
            head.record.boot_id.clone_from(&self.boot_id);
        }
        let column = column.filter(|_| head.record.prefixed || head.record.foreign);
        if !head.syslog || !text.contains(&b'#') {
            return self.hold(Record { text: escapes::plain(text).into_owned(), ..head.record }, column, emit);
        }
        for part in escapes::rsyslog(text).split(|b| *b == b'\n') {
            let record = Record { text: escapes::plain(part).into_owned(), ..head.record.clone() };
            self.hold(record, column, emit);
        }
    }

    /// Without what belongs to a wrapping that was opened before the text.
    fn trimmed<'a>(&self, mut text: &'a [u8], head: &Head) -> &'a [u8] {
        if head.table {
            text = trim_end(text);
            text = text.strip_suffix(b"|").unwrap_or(text);
            text = text.strip_suffix(b" ").unwrap_or(text);
        }
        if head.quoted {
            text = trim_end(text);
            text = text.strip_suffix(b",").or_else(|| text.strip_suffix(b";")).unwrap_or(text);
            text = without_written_line_end(text.strip_suffix(b"\"").unwrap_or(text));
        }
        if self.fenced || head.fenced {
            text = text.strip_suffix(b"```").unwrap_or(text);
        }
        text
    }

    /// Emits the record held and holds this one, if indented lines might continue it.
    fn hold(&mut self, record: Record, column: Option<(usize, usize)>, emit: Emit<'_>) {
        self.note(&record);
        self.release(emit);
        match column.filter(|(bytes, _)| *bytes >= LEAST_COLUMN) {
            Some(column) => self.held = Some(Held { record, column }),
            None => emit(record),
        }
    }

    fn send(&mut self, record: Record, emit: Emit<'_>) {
        self.note(&record);
        self.release(emit);
        emit(record);
    }

    const fn note(&mut self, record: &Record) {
        self.foreign_last = record.foreign;
        self.kernel_speaks |= record.prefixed && !record.foreign;
    }

    fn release(&mut self, emit: Emit<'_>) {
        if let Some(held) = self.held.take() {
            emit(held.record);
        }
    }
}

/// Where `text`, the end of `line`, begins: in bytes, and in characters for a terminal's columns.
fn column(line: &[u8], text: &[u8]) -> (usize, usize) {
    let start = line.len().saturating_sub(text.len());
    (start, columns(scan::head(line, start)))
}

/// Whether something in the line says who wrote it, so that it is no rest of another line.
fn has_a_prefix(line: &[u8]) -> bool {
    let mut head = Head::default();
    match peel(line, &mut head, &mut Habit::default()) {
        Content::Kmsg(_) => true,
        Content::Json(_) | Content::Text(_) => head.record.prefixed || head.record.foreign,
    }
}

/// How many columns of a terminal a text takes. Continuation bytes of UTF-8 take none.
fn columns(text: &[u8]) -> usize {
    text.iter().filter(|b| **b & 0xc0 != 0x80).count()
}

/// Without a line end that somebody wrote out: `\r\n` as four characters, in JSON that was quoted twice.
fn without_written_line_end(mut text: &[u8]) -> &[u8] {
    text = text.strip_suffix(b"\r").unwrap_or(text);
    for end in [&b"\\n"[..], b"\\r"] {
        text = text.strip_suffix(end).unwrap_or(text);
    }
    text
}
