//! `oomscope export`: an incident as a file that any oomscope reads.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use oomscope_core::report::json;

use super::kept::At;
use super::output::answer;
use super::{Outcome, complain, show};

/// Write an incident that `oomscope watch` has kept to a file, for `explain` and `show` on any machine
///
/// The file is the case as one line of JSON (oomscope.case/v1), as it was stored. It has what the machine knew of the kill,
/// command lines and log lines among it: look at it before you give it away.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An id of `oomscope incidents` or the beginning of one, or `last` for the newest
    #[arg(value_name = "ID")]
    id: String,

    /// Where to write it, `-` for standard output [default: ID.oomscope.json in this folder]
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,

    /// Replace the file where there is one
    #[arg(short, long)]
    force: bool,

    #[command(flatten)]
    at: At,
}

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  written
  1  no such incident is stored
  2  the store could not be read or the file not be written, or the command line was wrong";

/// Writes the file.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let Some(case) = show::stored(&args.id, &args.at)? else { return Ok(Outcome::NothingFound) };
    let line = json::line(&case).context("writing a case as JSON")? + "\n";
    let path = args.output.clone().unwrap_or_else(|| file_name(&case.id));
    if path == Path::new("-") {
        answer(&line)?;
        return Ok(Outcome::Explained);
    }
    write(&path, line.as_bytes(), args.force)?;
    complain(&format!("wrote {}", path.display()));
    Ok(Outcome::Explained)
}

/// Ids are letters, digits and dashes; a store that somebody edited may have others.
fn file_name(id: &str) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    PathBuf::from(format!("{}.oomscope.json", id.chars().map(plain).collect::<String>()))
}

/// For the user alone, as the store is.
pub(super) fn write(path: &Path, bytes: &[u8], force: bool) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let written = options.open(path).and_then(|mut file| file.write_all(bytes));
    match written {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} is there already (--force replaces it)", path.display())
        }
        other => other.with_context(|| format!("writing {}", path.display())),
    }
}
