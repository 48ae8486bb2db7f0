//! Colours and characters. Restrained: red is the verdict and the victim, everything that only names a thing is dim.

use anstyle::{AnsiColor, Style};

/// What a piece of text is, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Ordinary text.
    Plain,
    /// The verdict and the victim.
    Verdict,
    /// Title of a section.
    Heading,
    /// What a value is called, and what matters less.
    Dim,
    /// What matters most after the verdict.
    Strong,
    /// Something that is not known.
    Gap,
    /// Text to paste.
    Patch,
    /// Part of the bar: memory that cannot be given back, by its rank.
    Held(usize),
    /// Part of the bar: memory that the kernel can take back.
    Reclaimable,
}

/// Puts colour on text, or does not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    /// Whether to.
    pub(super) colour: bool,
}

impl Palette {
    /// `text` with the style of `role` around it.
    pub(super) fn paint(self, role: Role, text: &str) -> String {
        let style = style_of(role);
        if !self.colour || text.is_empty() || style.is_plain() {
            return text.to_owned();
        }
        format!("{style}{text}{style:#}")
    }
}

fn style_of(role: Role) -> Style {
    let colour = |c: AnsiColor| Style::new().fg_color(Some(c.into()));
    match role {
        Role::Plain => Style::new(),
        Role::Verdict => colour(AnsiColor::Red).bold(),
        Role::Heading | Role::Strong => Style::new().bold(),
        Role::Dim => Style::new().dimmed(),
        Role::Gap => colour(AnsiColor::Yellow),
        Role::Patch => colour(AnsiColor::Cyan),
        Role::Held(0) => colour(AnsiColor::Red),
        Role::Held(1) => colour(AnsiColor::Yellow),
        Role::Held(2) => colour(AnsiColor::Magenta),
        Role::Held(_) => colour(AnsiColor::Blue),
        Role::Reclaimable => colour(AnsiColor::Green),
    }
}

/// The characters that are not letters: Unicode, or what a serial console has.
#[derive(Debug)]
pub(super) struct Glyphs {
    /// Before the verdict and beside the victim.
    pub(super) cross: &'static str,
    /// Between two facts of one line.
    pub(super) dot: &'static str,
    /// Before an item of a list.
    pub(super) bullet: &'static str,
    /// Two accounts that differ.
    pub(super) unlike: &'static str,
    /// Where something was left out.
    pub(super) ellipsis: &'static str,
    /// Between the ends of a range.
    pub(super) to: &'static str,
    /// A count of equal things.
    pub(super) times: &'static str,
    /// Both ends of the bar.
    pub(super) frame: [&'static str; 2],
    /// The bar: memory that cannot be given back, largest part first: see [`Glyphs::held`].
    held: [&'static str; 4],
    /// The bar: memory that the kernel can take back.
    pub(super) reclaimable: &'static str,
    /// The bar: charged, but to what the log does not say.
    pub(super) unaccounted: &'static str,
    /// What a scraper saw, in a plot.
    pub(super) look: &'static str,
    /// Left of a block of text to paste.
    pub(super) gutter: &'static str,
}

impl Glyphs {
    /// Of the part with this rank; those beyond share the last.
    pub(super) fn held(&self, rank: usize) -> &'static str {
        self.held.get(rank).or(self.held.last()).copied().unwrap_or_default()
    }
}

pub(super) const UNICODE: Glyphs = Glyphs {
    cross: "✖",
    dot: "·",
    bullet: "•",
    unlike: "≠",
    ellipsis: "…",
    to: "–",
    times: "×",
    frame: ["▕", "▏"],
    held: ["█", "▓", "▒", "▚"],
    reclaimable: "░",
    unaccounted: "?",
    look: "○",
    gutter: "│",
};

pub(super) const ASCII: Glyphs = Glyphs {
    cross: "X",
    dot: "-",
    bullet: "*",
    unlike: "!",
    ellipsis: "...",
    to: "-",
    times: "x",
    frame: ["[", "]"],
    held: ["#", "=", "+", "%"],
    reclaimable: ".",
    unaccounted: "?",
    look: "o",
    gutter: "|",
};
