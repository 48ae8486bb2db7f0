//! A case for a ticket.
//!
//! A ticket system reads more into text than a terminal does: links, images, HTML, `@mentions` that send mail, `#1` that
//! ties two tickets together. Backslashes do not help against the latter, which are looked for after the Markdown has been
//! read. Inside code nothing is read: every name stands in a code span, every word of a sentence that could be more than a
//! word does too, and fences are longer than any run of backticks within.

use std::fmt::Write as _;

use super::ranking::View;
use super::{memory, text, who, words};
use crate::case::Case;
use crate::evidence::KernelReport;
use crate::text::escape;
use crate::units::Bytes;

/// Log lines shown of each part of the report.
const LINES_OF_PART: usize = 40;
/// Victims listed.
const VICTIMS: usize = 50;

/// The case as Markdown (CommonMark with tables). Ends with a newline.
#[must_use]
pub fn render(case: &Case) -> String {
    let mut out = String::new();
    verdict(&mut out, case);
    who_table(&mut out, case);
    victims(&mut out, case.incident.report());
    super::markdown_code::write(&mut out, case);
    memory(&mut out, case);
    super::markdown_recorded::write(&mut out, case);
    ranking_table(&mut out, case);
    remedies(&mut out, case);
    findings(&mut out, case);
    gaps(&mut out, case);
    log_lines(&mut out, case);
    out
}

/// Writing to a `String` cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{ let _ = writeln!($out, $($arg)*); }};
}

/// What a word of a sentence may consist of and stay as it is.
fn is_harmless(word: &str) -> bool {
    // A colon is harmless at the end, not within: `https://…`, `:shortcode:`.
    let core = word.trim_end_matches([',', '.', ';', ':', '?', ')', '%']).trim_start_matches('(');
    let is_word = |c: char| c.is_alphanumeric() || "-–−./,'’×%+…·≥≤→←".contains(c);
    core.chars().all(is_word) && !core.to_ascii_lowercase().contains("www.")
}

/// True for a word that begins a list, a heading or a rule when it stands first in a line.
fn starts_a_block(word: &str) -> bool {
    let number = word.strip_suffix(['.', ')']);
    word.starts_with(['-', '+', '=']) || number.is_some_and(|n| n.chars().all(|c| c.is_ascii_digit()))
}

/// Text as a code span: shown exactly, read by nobody.
pub(super) fn code(text: &str) -> String {
    let fence = "`".repeat(longest_run_of_backticks(text) + 1);
    // A space beside each fence is taken off again by the reader when there is one on both sides.
    let needs_room = text.is_empty() || text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']);
    if needs_room { format!("{fence} {text} {fence}") } else { format!("{fence}{text}{fence}") }
}

fn longest_run_of_backticks(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// A sentence on one line, with every word that could be more than a word set as code.
pub(super) fn prose(sentence: &str) -> String {
    let clean = words::clean(sentence);
    let mut words = clean.split_whitespace().peekable();
    let mut out = String::with_capacity(clean.len() + 16);
    let mut is_first = true;
    while let Some(word) = words.next() {
        let is_safe = is_harmless(word) && !(is_first && starts_a_block(word));
        let shown = if is_safe { word.to_owned() } else { code_word(word) };
        out.push_str(&shown);
        if words.peek().is_some() {
            out.push(' ');
        }
        is_first = false;
    }
    out
}

/// The word as code, with the punctuation of the sentence left outside.
fn code_word(word: &str) -> String {
    let core = word.trim_end_matches([',', '.', ';', ':']);
    if core.is_empty() {
        return code(word);
    }
    // A rule has set it as code already: `main`.
    let quoted = core.strip_prefix('`').and_then(|core| core.strip_suffix('`'));
    let inner = quoted.filter(|inner| !inner.is_empty() && !inner.contains('`')).unwrap_or(core);
    format!("{}{}", code(inner), word.strip_prefix(core).unwrap_or_default())
}

/// A cell: a bar would end it, also inside a code span, unless escaped.
pub(super) fn cell(markdown: &str) -> String {
    markdown.replace('|', "\\|")
}

/// Lines in a fence longer than any run of backticks in them.
pub(super) fn fenced(out: &mut String, language: &str, indent: &str, lines: &[String]) {
    let longest = lines.iter().map(|line| longest_run_of_backticks(line)).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    put!(out, "{indent}{fence}{language}");
    for line in lines {
        put!(out, "{}", format!("{indent}{line}").trim_end());
    }
    put!(out, "{indent}{fence}");
}

fn verdict(out: &mut String, case: &Case) {
    let event = words::event(case);
    let (first, rest) = event.split_at(event.len().min(1));
    let event = format!("{first}{}", rest.to_lowercase()).replace("oom", "OOM").replace("Oom", "OOM");
    put!(out, "# {event}: {}\n", words::cause(case));
    if !case.diagnosis.summary.is_empty() {
        put!(out, "{}\n", prose(&case.diagnosis.summary));
    }
}

fn who_table(out: &mut String, case: &Case) {
    let report = case.incident.report();
    let mut rows: Vec<(&str, String)> = vec![("Confidence", words::confidence(case.diagnosis.confidence).to_owned())];
    if let [one] = report.victims.as_slice() {
        rows.push(("Victim", code(&words::victim(one))));
    }
    if let Some(trigger) = &report.trigger {
        rows.push(("Trigger", code(&words::process(trigger.comm.as_ref(), "thread", trigger.pid))));
    }
    if let Some(cgroup) = &report.limit_cgroup {
        rows.push(("Limit of", code(&cgroup.to_string())));
    }
    if let Some(limit) = report.limit_bytes {
        rows.push(("Limit", words::limit(limit)));
    }
    if let Some(cgroup) = &report.victim_cgroup
        && report.limit_cgroup.as_ref() != Some(cgroup)
    {
        rows.push(("Victim in", code(&cgroup.to_string())));
    }
    if let Some(identity) = &case.incident.identity {
        rows.extend(words::pod(identity).map(|pod| ("Pod", code(&pod))));
        rows.extend(identity.qos.as_deref().map(|qos| ("QoS", prose(qos))));
        rows.extend(identity.container.as_deref().map(|name| ("Container", code(&words::clean(name)))));
        rows.extend(identity.container_id.as_deref().map(|id| ("Container id", code(&words::clean(id)))));
        rows.extend(identity.runtime.as_deref().map(|runtime| ("Runtime", prose(runtime))));
    }
    let at = &case.incident.at;
    let when: Vec<String> = words::wall(at).into_iter().chain(at.boot_us.map(words::boot)).collect();
    if !when.is_empty() {
        rows.push(("When", when.join(" · ")));
    }
    rows.extend(who::place("–", &case.incident.origin).map(|place| ("Read from", code(&words::clean(&place)))));
    rows.extend(case.incident.origin.host.as_deref().map(|host| ("Host", code(&words::clean(host)))));
    rows.extend(report.kernel_release.as_deref().map(|release| ("Kernel", code(&words::clean(release)))));
    rows.push(("Case", code(&words::clean(&case.id))));
    put!(out, "| | |\n|---|---|");
    for (name, value) in rows {
        put!(out, "| {name} | {} |", cell(&value));
    }
}

fn victims(out: &mut String, report: &KernelReport) {
    if report.victims.len() < 2 {
        return;
    }
    put!(out, "\n## {} killed\n", words::count(report.victims.len(), "process", "processes"));
    put!(out, "| Name | pid | Anonymous | Shared | adj |\n|---|---:|---:|---:|---:|");
    for v in report.victims.iter().take(VICTIMS) {
        let name = v.comm.as_ref().map_or_else(String::new, |comm| code(&escape(comm.as_bytes())));
        let adj = words::adj(v.oom_score_adj);
        put!(
            out,
            "| {} | {} | {} | {} | {adj} |",
            cell(&name),
            v.pid,
            words::size(v.anon_bytes),
            words::size(v.shmem_bytes)
        );
    }
    if report.victims.len() > VICTIMS {
        put!(out, "\nand {} more", report.victims.len() - VICTIMS);
    }
}

fn memory(out: &mut String, case: &Case) {
    let Some(memory) = memory::of(case) else { return };
    put!(out, "\n## Where the memory went\n\n{}", memory::headline(&memory));
    if memory.parts.is_empty() {
        return;
    }
    put!(out, "\n| | Size | Share | |\n|---|---:|---:|---|");
    let share = |bytes: u64| words::percent(Bytes(bytes).share_of(memory::whole(&memory)));
    for part in &memory.parts {
        let remark = if part.reclaimable { "reclaimable" } else { "" };
        put!(out, "| {} | {} | {} | {remark} |", cell(&prose(&part.name)), Bytes(part.bytes), share(part.bytes));
    }
    if memory.unaccounted_bytes > 0 {
        let bytes = memory.unaccounted_bytes;
        put!(out, "| not in the statistics | {} | {} | |", Bytes(bytes), share(bytes));
    }
}

fn ranking_table(out: &mut String, case: &Case) {
    let Some(view) = View::of(case) else { return };
    put!(out, "\n## The ranking: {}\n", view.note());
    put!(out, "| # | Name | pid | Score | Memory | adj | |\n|---:|---|---:|---:|---:|---:|---|");
    for (place, row) in view.shown() {
        put!(
            out,
            "| {place} | {} | {} | {} | {} | {} | {} |",
            cell(&code(&escape(row.comm.as_bytes()))),
            row.pid,
            if row.eligible { words::grouped(i128::from(row.points)) } else { String::new() },
            words::size(view.memory(row)),
            words::adj(view.adj(row)),
            view.remark(row)
        );
    }
    if view.hidden() > 0 {
        put!(out, "\nand {} more", view.hidden());
    }
}

fn remedies(out: &mut String, case: &Case) {
    if case.diagnosis.remedies.is_empty() {
        return;
    }
    put!(out, "\n## What to do");
    for (at, remedy) in case.diagnosis.remedies.iter().enumerate() {
        put!(out, "\n{}. **{}**", at + 1, prose(&remedy.title));
        if !remedy.detail.is_empty() {
            put!(out, "\n   {}", prose(&remedy.detail));
        }
        if let Some(patch) = &remedy.patch {
            out.push('\n');
            fenced(out, "", "   ", &words::clean_lines(patch).collect::<Vec<_>>());
        }
    }
}

fn findings(out: &mut String, case: &Case) {
    if case.diagnosis.findings.is_empty() {
        return;
    }
    put!(out, "\n## How this is known\n");
    for finding in &case.diagnosis.findings {
        put!(out, "- **{}** {}", prose(&finding.title), prose(&finding.detail));
    }
}

fn gaps(out: &mut String, case: &Case) {
    let gaps = text::all_gaps(case);
    if gaps.is_empty() {
        return;
    }
    put!(out, "\n## What is not known, and why\n");
    for gap in gaps {
        put!(out, "- {}: {}", prose(&gap.wanted), prose(&gap.why));
    }
}

fn log_lines(out: &mut String, case: &Case) {
    let lines: Vec<String> = case
        .incident
        .evidence
        .iter()
        .flat_map(|part| {
            let more = part.text.len().saturating_sub(LINES_OF_PART);
            let rest = (more > 0).then(|| format!("… {}", words::count(more, "more line", "more lines")));
            part.text.iter().take(LINES_OF_PART).map(ToString::to_string).chain(rest)
        })
        .collect();
    if lines.is_empty() {
        return;
    }
    let title = if case.incident.evidence.iter().all(|e| e.lines.is_none()) { "The records" } else { "The log lines" };
    put!(out, "\n## {title}\n");
    fenced(out, "text", "", &lines);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing that a ticket system acts on stays outside of code.
    #[test]
    fn words_that_are_more_than_words_become_code() {
        assert_eq!(prose("node used 121 MiB of 128 MiB (94.5 %)."), "node used 121 MiB of 128 MiB (94.5 %).");
        assert_eq!(prose("@everyone see #1, <img src=x>"), "`@everyone` see `#1`, `<img` `src=x>`");
        assert_eq!(prose("[a](https://x) https://x www.x.org :x:"), "`[a](https://x)` `https://x` `www.x.org` `:x`:");
        assert_eq!(prose("raise memory_limit *now*"), "raise `memory_limit` `*now*`");
        assert_eq!(prose("- item"), "`-` item");
        assert_eq!(prose("1. item"), "`1`. item");
        assert_eq!(prose("40 processes"), "40 processes");
        assert_eq!(prose("in `main` ← `a`b`, `x y`"), "in `main` ← `` `a`b` ``, `` `x `` `` y` ``");
    }

    /// A name made of backticks does not end its code span, and a bar does not end its cell.
    #[test]
    fn code_cannot_be_left() {
        assert_eq!(code("a``b"), "```a``b```");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(code(""), "`  `");
        assert_eq!(cell(&code("a|b")), "`a\\|b`");
        let mut out = String::new();
        fenced(&mut out, "", "", &["````".to_owned()]);
        assert_eq!(out, "`````\n````\n`````\n");
    }
}
