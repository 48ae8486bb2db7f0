//! Where cases go: standard output, as text, JSON Lines or Markdown.

use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;
use clap::ValueEnum;
use oomscope_core::case::Case;
use oomscope_core::report::{json, markdown, summary::Summary, text};

use super::When;

/// `-o`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// JSON Lines: one case a line, schema oomscope.case/v1
    Json,
    /// For a ticket
    Markdown,
}

/// How text looks: decided once, from the terminal, the environment and the flags.
pub(crate) struct Colour;

impl Colour {
    /// The options for human text on standard output.
    pub(crate) fn options(when: When, evidence: bool) -> text::TextOptions {
        let terminal = std::io::stdout().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        let colour = match when {
            When::Always => true,
            When::Never => false,
            When::Auto => terminal && !no_colour && !dumb,
        };
        text::TextOptions { width: width(terminal), colour, unicode: speaks_utf8(), evidence }
    }
}

/// The terminal's width, COLUMNS where there is none, else 100.
fn width(terminal: bool) -> usize {
    let columns = || std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    let size = || terminal_size::terminal_size().map(|(w, _)| usize::from(w.0));
    if terminal { size().or_else(columns) } else { columns() }.unwrap_or(100)
}

/// As the C library decides it: LC_ALL, else LC_CTYPE, else LANG. Nothing set at all is a container or a service, read
/// nowadays by something that speaks UTF-8.
fn speaks_utf8() -> bool {
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok()).find(|v| !v.is_empty());
    locale.is_none_or(|name| {
        let lower = name.to_ascii_lowercase();
        lower.contains("utf-8") || lower.contains("utf8")
    })
}

/// Prints a whole answer.
pub(crate) fn answer(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context(CannotWrite)
}

/// Standard output does not take what is written to it: nothing more can be shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CannotWrite;

impl std::fmt::Display for CannotWrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("writing to standard output")
    }
}

/// Prints cases as they come, and what they have in common at the end.
pub(crate) struct Printer {
    format: Format,
    options: text::TextOptions,
    summary: Summary,
    printed: u64,
}

impl Printer {
    pub(crate) fn new(format: Format, options: text::TextOptions) -> Self {
        Self { format, options, summary: Summary::default(), printed: 0 }
    }

    /// How many cases were printed.
    pub(crate) const fn printed(&self) -> u64 {
        self.printed
    }

    /// Prints a case at once: the input may be a pipe that goes on for days.
    pub(crate) fn case(&mut self, case: &Case) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Text => text::render(case, &self.options),
            Format::Json => json::line(case).context("writing a case as JSON")?,
            Format::Markdown => markdown::render(case),
        };
        self.write(&text).context(CannotWrite)?;
        self.printed += 1;
        self.summary.add(case);
        Ok(())
    }

    /// Prints a line between cases: to standard error where standard output is for programs.
    pub(crate) fn line(&mut self, line: &str) -> anyhow::Result<()> {
        if self.format != Format::Text {
            let _ = writeln!(std::io::stderr().lock(), "{line}");
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).context(CannotWrite)
    }

    /// A case, with what stands between it and the one before.
    fn write(&self, text: &str) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.printed > 0 && self.format != Format::Json {
            writeln!(out)?;
        }
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            writeln!(out)?;
        }
        out.flush()
    }

    /// Prints the overview when there was more than one case to read.
    pub(crate) fn finish(&self) -> anyhow::Result<()> {
        if self.format == Format::Text && self.printed > 1 {
            let overview = format!("\n{}", self.summary.render(&self.options));
            let mut out = std::io::stdout().lock();
            out.write_all(overview.as_bytes()).and_then(|()| out.flush()).context(CannotWrite)?;
        }
        Ok(())
    }
}
