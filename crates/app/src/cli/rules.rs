//! `oomscope rules`: the list that the documentation is generated from.

use std::io::Write as _;

use oomscope_core::diagnosis::rules::RULES;

use super::Outcome;

/// Prints every rule with what it looks at.
pub(crate) fn run() -> anyhow::Result<Outcome> {
    let mut out = std::io::stdout().lock();
    let widest = RULES.iter().map(|rule| rule.name.len()).max().unwrap_or(0);
    for rule in RULES {
        writeln!(out, "{:widest$}  {}", rule.name, rule.about)?;
    }
    Ok(Outcome::Explained)
}
