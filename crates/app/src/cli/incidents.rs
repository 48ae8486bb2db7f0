//! `oomscope incidents`: what the watcher has kept.

use std::io::{IsTerminal as _, Write as _};

use anyhow::Context as _;
use clap::ValueEnum;
use oomscope_core::case::Case;
use oomscope_core::diagnosis::Killer;
use oomscope_core::report::{TextOptions, json, one_line};
use oomscope_core::text::escape;
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::filter::Since;
use super::kept::At;
use super::output::CannotWrite;
use super::{Colour, Outcome, When, complain, in_words};
use crate::cases::diagnosed_again;
use crate::store::{Wanted, killer_name};

/// List the incidents that `oomscope watch` has kept, the newest last
///
/// A line each: the id (for `show` and `export`), when, which killer, who died, at which limit, whose.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How to print them
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: ListFormat,

    /// Only since a date or an age (2026-04-04, 2026-04-04T03:41:03Z, 15m, "3 days")
    #[arg(long, value_name = "TIME", value_parser = Since::parse_now)]
    since: Option<Since>,

    /// Only before a date or an age
    #[arg(long, value_name = "TIME", value_parser = Since::parse_now)]
    until: Option<Since>,

    /// Only those of a killer, by its name in the JSON: container_limit, pod_limit, node, …
    #[arg(long, value_name = "KILLER", value_parser = killer)]
    killer: Option<Killer>,

    /// Only those of a cgroup: any part of the path of the limit's or the victim's
    #[arg(long, value_name = "PART")]
    cgroup: Option<String>,

    /// Only those of a pod: its uid or the beginning of it
    #[arg(long, value_name = "UID")]
    pod: Option<String>,

    /// Only the last N
    #[arg(long, value_name = "N")]
    last: Option<u64>,

    #[command(flatten)]
    at: At,

    /// When to use colour
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    color: When,
}

/// `-o`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    /// For people
    #[default]
    Text,
    /// JSON Lines: one case a line, schema oomscope.case/v1
    Json,
}

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  at least one incident was listed
  1  none is stored, or none matches
  2  the store or one of its incidents could not be read, or the command line was wrong";

/// As the JSON has it, with dashes too.
fn killer(name: &str) -> Result<Killer, String> {
    let name = name.replace('-', "_");
    let deserializer: StrDeserializer<'_, ValueError> = name.as_str().into_deserializer();
    Killer::deserialize(deserializer).map_err(|error| error.to_string())
}

/// Columns with which nothing of a usual line is cut.
const WIDE: usize = 160;

/// Lists what is stored.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let Some(store) = args.at.open()? else { return Ok(Outcome::NothingFound) };
    let wanted = Wanted {
        since: args.since.map(Since::instant),
        until: args.until.map(Since::instant),
        killer: args.killer.map(killer_name),
        cgroup: args.cgroup.clone(),
        pod: args.pod.clone(),
        most: args.last,
    };
    let entries = store.list(&wanted)?;
    if entries.is_empty() {
        let kept = store.count()?;
        complain(&if kept == 0 {
            "no incident is stored".to_owned()
        } else {
            format!("none of the {kept} stored incidents matches")
        });
        return Ok(Outcome::NothingFound);
    }
    let options = wide(Colour::options(args.color, false));
    let widest = entries.iter().map(|entry| entry.id.len()).max().unwrap_or(0);
    let mut out = std::io::stdout().lock();
    let mut outcome = Outcome::Explained;
    for entry in &entries {
        let case = match store.read(entry) {
            Ok(case) => diagnosed_again(case),
            Err(error) => {
                complain(&in_words(&error.into()));
                outcome = Outcome::CannotRead;
                continue;
            }
        };
        let line = match args.output {
            ListFormat::Text => row(&case, widest, &options),
            ListFormat::Json => json::line(&case).context("writing a case as JSON")?,
        };
        writeln!(out, "{line}").context(CannotWrite)?;
    }
    out.flush().context(CannotWrite)?;
    Ok(outcome)
}

/// A pipe or a file has room for the whole line.
fn wide(options: TextOptions) -> TextOptions {
    let is_terminal = std::io::stdout().is_terminal();
    TextOptions { width: if is_terminal { options.width } else { options.width.max(WIDE) }, ..options }
}

/// The id, and the case in what is left of the width.
fn row(case: &Case, widest: usize, options: &TextOptions) -> String {
    let rest = TextOptions { width: options.columns().saturating_sub(widest + 2), ..*options };
    format!("{:widest$}  {}", escape(case.id.as_bytes()), one_line::render(case, &rest))
}
