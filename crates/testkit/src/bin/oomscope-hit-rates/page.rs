//! The table in docs/stacks.md.

use anyhow::{Context as _, Result};
use oomscope_testkit::programs::Kind;

use crate::score::Score;

const PAGE: &str = "docs/stacks.md";
const BEGIN: &str = "<!-- hit rates: written by scripts/hit-rates --write -->\n";
const END: &str = "<!-- end of hit rates -->\n";

/// Replaces the table.
pub(crate) fn write(rows: &[(Kind, Result<Score>)]) -> Result<()> {
    let page = std::fs::read_to_string(PAGE).with_context(|| format!("reading {PAGE}"))?;
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("{PAGE} has no place for the table"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{PAGE}: the table has no end"))?;
    std::fs::write(PAGE, format!("{before}{BEGIN}\n{}\n{END}{after}", table(rows)))
        .with_context(|| format!("writing {PAGE}"))
}

fn table(rows: &[(Kind, Result<Score>)]) -> String {
    let mut table =
        String::from("| program | built | on top | anywhere | whole | with a stack |\n|---|---|---:|---:|---:|---:|\n");
    for (kind, row) in rows {
        let cells = match row {
            Ok(Score { kills, with_stack, on_top, anywhere, whole }) => {
                format!("{on_top} of {kills} | {anywhere} | {whole} | {with_stack}")
            }
            Err(_) => "not measured | | |".to_owned(),
        };
        table.push_str(&format!("| `{}` | {} | {cells} |\n", kind.name, kind.about));
    }
    table
}
