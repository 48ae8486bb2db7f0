//! How often a case of `oomscope watch` names the function that asked for the page which was one too many: real kills of real
//! programs, one kind of build after the other.
//!
//! ```text
//! oomscope-hit-rates [KIND…] [--kills 50] [--place here|alone|deleted] [--write]
//! ```
//!
//! Nothing is asserted: the table is for a person, and `--write` puts it into docs/stacks.md. `scripts/hit-rates` builds what is needed,
//! then runs this from the root of the workspace. Needs root, memory cgroups and eBPF.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program whose output is its table")]

mod kills;
mod page;
mod score;

use anyhow::{Context as _, Result, bail};
use oomscope_testkit::programs::{Kind, Place, Unbuilt, build};

use score::Score;

/// What was asked for.
struct Wanted {
    kinds: Vec<Kind>,
    kills: u32,
    place: Place,
    write: bool,
}

fn main() -> Result<()> {
    let wanted = wanted(std::env::args().skip(1))?;
    let mut rows = Vec::new();
    for kind in wanted.kinds {
        let folder = tempfile::tempdir().context("a folder for the program")?;
        let row = match build(kind, folder.path()) {
            Ok(program) => kills::cause(&program, wanted.kills, wanted.place)
                .map(|cases| Score::of(kind, &cases))
                .with_context(|| format!("kills of {}", kind.name)),
            Err(missing @ Unbuilt::Missing { .. }) => Err(missing.into()),
            Err(failed) => return Err(failed.into()),
        };
        match &row {
            Ok(score) => println!("{:<20} {score}", kind.name),
            Err(error) => println!("{:<20} not measured: {error:#}", kind.name),
        }
        rows.push((kind, row));
    }
    if wanted.write { page::write(&rows) } else { Ok(()) }
}

fn wanted(mut args: impl Iterator<Item = String>) -> Result<Wanted> {
    let mut wanted = Wanted { kinds: Vec::new(), kills: 50, place: Place::Here, write: false };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--kills" => wanted.kills = args.next().context("--kills needs a number")?.parse().context("--kills")?,
            "--place" => wanted.place = place(args.next().as_deref())?,
            "--write" => wanted.write = true,
            name => wanted.kinds.push(Kind::named(name).with_context(|| unknown(name))?),
        }
    }
    if wanted.kinds.is_empty() {
        wanted.kinds = Kind::ALL.into_iter().chain([Kind::NAMELESS]).collect();
    }
    Ok(wanted)
}

fn place(name: Option<&str>) -> Result<Place> {
    match name {
        Some("here") => Ok(Place::Here),
        Some("alone") => Ok(Place::Alone),
        Some("deleted") => Ok(Place::Deleted),
        _ => bail!("--place needs one of: here, alone, deleted"),
    }
}

fn unknown(name: &str) -> String {
    let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name).collect();
    format!("no kind is called {name}; there are: {}", names.join(", "))
}
