//! The sheet of paper that a text report is written on: it knows width, colour and characters, and every text from outside
//! passes through it.

use super::layout::{self, Align};
use super::style::{ASCII, Glyphs, Palette, Role, UNICODE};
use super::text::TextOptions;
use super::words;

/// Everything below a section's title stands this far in.
const INDENT: usize = 2;
/// Width of the names of facts (`victim`, `limit of`).
const LABEL: usize = 10;

/// Text being written.
pub(super) struct Page {
    out: String,
    width: usize,
    palette: Palette,
    pub(super) glyphs: &'static Glyphs,
    unicode: bool,
}

impl Page {
    pub(super) fn new(options: &TextOptions) -> Self {
        Self {
            out: String::new(),
            width: options.columns(),
            palette: Palette { colour: options.colour },
            glyphs: if options.unicode { &UNICODE } else { &ASCII },
            unicode: options.unicode,
        }
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    /// Columns of a line.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Columns of a line inside a section.
    pub(super) fn inner_width(&self) -> usize {
        self.width - INDENT
    }

    /// Columns right of a fact's name.
    pub(super) fn fact_width(&self) -> usize {
        self.width - INDENT - LABEL
    }

    /// Whether there is room for two things side by side.
    pub(super) fn is_wide(&self) -> bool {
        self.width >= 72
    }

    /// Whether characters beyond ASCII may be shown.
    pub(super) fn is_unicode(&self) -> bool {
        self.unicode
    }

    /// A text from outside, made safe and, for a terminal without Unicode, ASCII.
    pub(super) fn text(&self, text: &str) -> String {
        let clean = words::clean(text);
        if self.unicode || clean.is_ascii() { clean.into_owned() } else { clean.chars().map(ascii).collect() }
    }

    pub(super) fn paint(&self, role: Role, text: &str) -> String {
        self.palette.paint(role, text)
    }

    /// A finished line at the left margin.
    pub(super) fn raw(&mut self, line: &str) {
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    /// A finished line inside a section.
    pub(super) fn line(&mut self, line: &str) {
        self.raw(&format!("{}{line}", " ".repeat(INDENT)));
    }

    pub(super) fn blank(&mut self) {
        self.out.push('\n');
    }

    /// Opens a section. `note` is set dim beside the title when there is room.
    pub(super) fn heading(&mut self, title: &str, note: &str) {
        self.blank();
        let title_width = layout::width_of(title);
        let painted = self.paint(Role::Heading, title);
        let note = self.text(note);
        if note.is_empty() || title_width + 2 + layout::width_of(&note) > self.width {
            return self.raw(&painted);
        }
        let note = self.paint(Role::Dim, &note);
        self.raw(&format!("{painted}  {note}"));
    }

    /// Wrapped text, `indent` columns in from the section's margin.
    pub(super) fn paragraph(&mut self, role: Role, indent: usize, text: &str) {
        self.hanging(role, "", indent, text);
    }

    /// Wrapped text behind `lead` (a bullet, a number), which stands in the `indent` columns before it.
    pub(super) fn hanging(&mut self, role: Role, lead: &str, indent: usize, text: &str) {
        let text = self.text(text);
        if text.is_empty() && lead.is_empty() {
            return;
        }
        let mut lead = layout::pad(lead, indent, Align::Left);
        for line in layout::wrap(&text, self.inner_width().saturating_sub(indent)) {
            let line = format!("{lead}{}", self.paint(role, &line));
            self.line(&line);
            lead = " ".repeat(indent);
        }
    }

    /// `victim    java (pid 4711)`: a fact with its name.
    pub(super) fn fact(&mut self, label: &str, role: Role, text: &str) {
        self.facts(label, role, &[text.to_owned()]);
    }

    /// Several facts under one name, with a dot between those of one line.
    pub(super) fn facts(&mut self, label: &str, role: Role, facts: &[String]) {
        let between = format!(" {} ", self.glyphs.dot);
        self.flowing(label, role, facts, &between);
    }

    fn flowing(&mut self, label: &str, role: Role, facts: &[String], between: &str) {
        let facts: Vec<String> = facts.iter().map(|fact| self.text(fact)).collect();
        let spaces = " ".repeat(LABEL.saturating_sub(layout::width_of(label)));
        let mut label = format!("{}{spaces}", self.paint(Role::Dim, label));
        for line in layout::flow(&facts, between, self.fact_width()) {
            let line = format!("{label}{}", self.paint(role, &line));
            self.line(&line);
            label = " ".repeat(LABEL);
        }
    }

    /// Pieces one after the other, each whole.
    pub(super) fn flow(&mut self, role: Role, pieces: &[String]) {
        for line in layout::flow(pieces, "  ", self.inner_width()) {
            let line = self.paint(role, &line);
            self.line(&line);
        }
    }

    /// Pieces of one thing under one name: each whole where it fits into a line.
    pub(super) fn chain(&mut self, label: &str, role: Role, pieces: &[String]) {
        self.flowing(label, role, pieces, " ");
    }

    /// A fact that is one long path: whole if it fits, else without its middle.
    pub(super) fn path(&mut self, label: &str, path: &str) {
        let short = layout::shorten_middle(&self.text(path), self.fact_width(), self.glyphs.ellipsis);
        self.fact(label, Role::Plain, &short);
    }

    /// Lines to paste: never wrapped, because a broken line no longer pastes.
    pub(super) fn patch(&mut self, indent: usize, text: &str) {
        let gutter = self.paint(Role::Dim, self.glyphs.gutter);
        for line in words::clean_lines(text) {
            let line = self.paint(Role::Patch, &line);
            self.line(&format!("{}{gutter} {line}", " ".repeat(indent)));
        }
    }
}

/// The nearest ASCII to a character: what our own sentences use, and a question mark for the rest.
fn ascii(c: char) -> char {
    match c {
        c if c.is_ascii() => c,
        '–' | '—' | '−' | '·' => '-',
        '×' => 'x',
        '’' | '‘' => '\'',
        '“' | '”' => '"',
        '→' => '>',
        '←' => '<',
        '…' => '~',
        '\u{a0}' | '\u{202f}' => ' ',
        _ => '?',
    }
}
