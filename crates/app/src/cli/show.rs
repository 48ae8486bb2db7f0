//! `oomscope show`: one incident that was kept, or the cases in a file.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use oomscope_core::case::Case;
use oomscope_core::text::escape;
use oomscope_sources::log_file;

use super::kept::At;
use super::output::Printer;
use super::saved::{self, Unreadable};
use super::{Colour, Format, Outcome, When, complain};
use crate::cases::diagnosed_again;
use crate::store::{Entry, Store, Wanted};

/// Show an incident that `oomscope watch` has kept, or a case that was saved to a file
///
/// The case is diagnosed again by the rules of this oomscope, from the evidence that was kept with it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An id of `oomscope incidents` or the beginning of one, `last` for the newest, a FILE of saved cases, or `-` for
    /// standard input
    #[arg(value_name = "ID|FILE")]
    what: String,

    /// How to print it
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,

    /// Also print the log lines that the verdict rests on (JSON always has them)
    #[arg(short, long)]
    evidence: bool,

    /// What the rules said when it was stored, instead of what they say now
    #[arg(long)]
    as_stored: bool,

    #[command(flatten)]
    at: At,

    /// When to use colour
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    color: When,
}

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  shown
  1  no such incident is stored
  2  the store, the file or a case in it could not be read, or the command line was wrong";

/// Shows what was named.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let mut printer = Printer::new(args.output, Colour::options(args.color, args.evidence));
    let mut show = |case: Case| printer.case(&if args.as_stored { case } else { diagnosed_again(case) });
    let outcome = if is_file(&args.what) {
        file(Path::new(&args.what), &mut show)?
    } else {
        match stored(&args.what, &args.at)? {
            Some(case) => show(case).map(|()| Outcome::Explained)?,
            None => Outcome::NothingFound,
        }
    };
    printer.finish()?;
    Ok(outcome)
}

/// An id has no slash and no dot, and is seldom the name of a file; then `./NAME` names the file.
fn is_file(what: &str) -> bool {
    what == "-" || what.contains(['/', '.'])
}

/// The incident of the store that was named. Where there is none, says so.
pub(super) fn stored(id: &str, at: &At) -> anyhow::Result<Option<Case>> {
    let Some(store) = at.open()? else { return Ok(None) };
    let entry = if id == "last" { newest(&store)? } else { store.find(id)? };
    let Some(entry) = entry else {
        complain(&format!(
            "no incident {} in {} (`oomscope incidents` lists them)",
            escape(id.as_bytes()),
            at.path().display()
        ));
        return Ok(None);
    };
    Ok(Some(store.read(&entry)?))
}

fn newest(store: &Store) -> anyhow::Result<Option<Entry>> {
    Ok(store.list(&Wanted { most: Some(1), ..Wanted::default() })?.pop())
}

/// Every case of a file; one that cannot be read is named by its line, and the others are shown.
fn file(path: &Path, show: &mut dyn FnMut(Case) -> anyhow::Result<()>) -> anyhow::Result<Outcome> {
    let input = log_file::open(path)?;
    let name = input.name().unwrap_or("standard input").to_owned();
    let mut reader = BufReader::new(input);
    let mut line = Vec::new();
    let (mut shown, mut failed) = (0_u64, false);
    for number in 1_u64.. {
        line.clear();
        // A longer line is read in pieces, each of which is named as unreadable.
        let limit = saved::LONGEST as u64 + 1;
        if reader.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        match saved::parse(&line) {
            Ok(case) => {
                show(case)?;
                shown += 1;
            }
            Err(why @ Unreadable::NoCase) => {
                complain(&format!("{name}:{number}: {why}; for a log: oomscope explain"));
                return Ok(Outcome::CannotRead);
            }
            Err(why) => {
                complain(&format!("{name}:{number}: {why}"));
                failed = true;
            }
        }
    }
    if shown == 0 && !failed {
        complain(&format!("{name}: nothing in it"));
    }
    Ok(if failed || shown == 0 { Outcome::CannotRead } else { Outcome::Explained })
}
