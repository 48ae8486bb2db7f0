//! A case for a person at a terminal: the verdict in the first lines, everything else in the order of the next questions.

use super::layout;
use super::page::Page;
use super::style::Role;
use super::{accounts, code, memory, ranking, recorded, who, words};
use crate::case::Case;
use crate::diagnosis::{Finding, Remedy};
use crate::evidence::{Evidence, EvidenceId, Gap};

/// Narrowest and widest page.
const WIDTHS: (usize, usize) = (40, 200);
/// Log lines shown of each part of the report.
const LINES_OF_PART: usize = 12;
/// Lines shown of each record of a watcher.
const LINES_OF_RECORD: usize = 60;
/// Gaps shown.
const GAPS: usize = 20;

/// Bytes of wanted things listed before one reason.
const GAP_WIDTH: usize = 400;

/// How a report for a terminal looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// Columns of the terminal; taken as 40 where less and as 200 where more.
    pub width: usize,
    /// ANSI colours.
    pub colour: bool,
    /// Characters beyond ASCII. Without them everything is ASCII, also what the names hold.
    pub unicode: bool,
    /// The log lines that the case rests on, at the end.
    pub evidence: bool,
}

impl TextOptions {
    /// The width that is used.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.width.clamp(WIDTHS.0, WIDTHS.1)
    }
}

impl Default for TextOptions {
    fn default() -> Self {
        Self { width: 80, colour: false, unicode: true, evidence: false }
    }
}

/// The case, explained. Ends with a newline.
#[must_use]
pub fn render(case: &Case, options: &TextOptions) -> String {
    let mut page = Page::new(options);
    verdict(&mut page, case);
    who::write(&mut page, case);
    code::write(&mut page, case);
    accounts::write(&mut page, case);
    memory::write(&mut page, case);
    recorded::write(&mut page, case);
    ranking::write(&mut page, case);
    remedies(&mut page, &case.diagnosis.remedies);
    findings(&mut page, case);
    gaps(&mut page, case);
    if options.evidence {
        log_lines(&mut page, case);
    }
    page.finish()
}

fn verdict(page: &mut Page, case: &Case) {
    let diagnosis = &case.diagnosis;
    let event = format!("{} {}", page.glyphs.cross, words::event(case));
    let cause = words::cause(case);
    let sure = format!("{} {}", page.glyphs.dot, words::confidence(diagnosis.confidence));
    let fits = |text: &str| layout::width_of(text) + 1 + layout::width_of(&sure) <= page.width();
    let one_line = format!("{event}: {cause}");
    if fits(&one_line) {
        first_line(page, &one_line, &sure);
    } else if fits(&event) {
        first_line(page, &event, &sure);
        page.paragraph(Role::Verdict, 0, cause);
    } else {
        first_line(page, &event, "");
        page.paragraph(Role::Verdict, 0, &format!("{cause} {sure}"));
    }
    page.paragraph(Role::Plain, 0, &diagnosis.summary);
}

fn first_line(page: &mut Page, verdict: &str, sure: &str) {
    let line = format!("{} {}", page.paint(Role::Verdict, verdict), page.paint(Role::Dim, sure));
    page.raw(&line);
}

/// WHAT TO DO.
pub(super) fn remedies(page: &mut Page, remedies: &[Remedy]) {
    if remedies.is_empty() {
        return;
    }
    page.heading("WHAT TO DO", if remedies.len() > 1 { "best first" } else { "" });
    for (at, remedy) in remedies.iter().enumerate() {
        if at > 0 {
            page.blank();
        }
        page.hanging(Role::Strong, &format!("{}.", at + 1), 3, &remedy.title);
        page.paragraph(Role::Plain, 3, &remedy.detail);
        if let Some(patch) = &remedy.patch {
            page.patch(3, patch);
        }
    }
}

fn findings(page: &mut Page, case: &Case) {
    let shown_elsewhere = |finding: &&Finding| !accounts::is_shown_here(case, finding);
    let findings: Vec<&Finding> = case.diagnosis.findings.iter().filter(shown_elsewhere).collect();
    if findings.is_empty() {
        return;
    }
    page.heading("HOW THIS IS KNOWN", "");
    for finding in findings {
        let bullet = page.glyphs.bullet;
        page.hanging(Role::Strong, bullet, 2, &finding.title);
        let cited = citation(page, case, &finding.evidence);
        page.paragraph(Role::Plain, 2, &format!("{}{cited}", finding.detail));
    }
}

/// ` [lines 131–145] [counters]`: where in the log the cited parts stand, and which records of a watcher are cited.
fn citation(page: &Page, case: &Case, cited: &[EvidenceId]) -> String {
    let cited = || case.incident.evidence.iter().filter(|e| cited.contains(&e.id));
    let live = cited().filter(|e| e.lines.is_none()).map(|e| format!("[{}]", words::part(e.part)));
    let lines = lines_cited(page, cited().filter_map(|e| e.lines).collect());
    lines.into_iter().chain(live).map(|place| format!(" {place}")).collect()
}

fn lines_cited(page: &Page, mut ranges: Vec<(u64, u64)>) -> Option<String> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, before| {
        let joins = next.0 <= before.1.saturating_add(1);
        before.1 = if joins { before.1.max(next.1) } else { before.1 };
        joins
    });
    if ranges.is_empty() {
        return None;
    }
    let to = page.glyphs.to;
    let range = |&(a, b): &(u64, u64)| if a == b { a.to_string() } else { format!("{a}{to}{b}") };
    let word = if matches!(ranges.as_slice(), [(a, b)] if a == b) { "line" } else { "lines" };
    Some(format!("[{word} {}]", ranges.iter().map(range).collect::<Vec<_>>().join(", ")))
}

/// Every gap of the incident and of the diagnosis; those with the same reason as one.
pub(super) fn all_gaps(case: &Case) -> Vec<Gap> {
    let mut gaps: Vec<Gap> = Vec::new();
    for gap in case.incident.gaps.iter().chain(&case.diagnosis.gaps) {
        match gaps.iter_mut().find(|known| known.why == gap.why) {
            Some(known) if known.wanted.contains(&gap.wanted) || known.wanted.len() > GAP_WIDTH => {}
            Some(known) => {
                known.wanted.push_str("; ");
                known.wanted.push_str(&gap.wanted);
            }
            None => gaps.push(gap.clone()),
        }
        // One more than is shown tells that there are more; a damaged log can have thousands.
        if gaps.len() > GAPS {
            break;
        }
    }
    gaps
}

fn gaps(page: &mut Page, case: &Case) {
    let gaps = all_gaps(case);
    if gaps.is_empty() {
        return;
    }
    page.heading("WHAT IS NOT KNOWN, AND WHY", "");
    for gap in gaps.iter().take(GAPS) {
        page.hanging(Role::Gap, page.glyphs.bullet, 2, &format!("{}: {}", gap.wanted, gap.why));
    }
    if gaps.len() > GAPS {
        page.paragraph(Role::Dim, 2, "and more, in the JSON");
    }
}

fn log_lines(page: &mut Page, case: &Case) {
    let evidence = &case.incident.evidence;
    if evidence.is_empty() {
        return;
    }
    let last = evidence.iter().filter_map(|e| e.lines).map(|lines| lines.1).max();
    if let Some(last) = last {
        page.heading("THE LOG LINES", case.incident.origin.file.as_deref().unwrap_or_default());
        let number_width = last.to_string().len();
        for part in evidence {
            if let Some(lines) = part.lines {
                part_lines(page, part, lines, number_width);
            }
        }
    }
    for record in evidence.iter().filter(|e| e.lines.is_none()) {
        live_record(page, record);
    }
}

/// What a watcher recorded, as a short account.
fn live_record(page: &mut Page, record: &Evidence) {
    page.heading(&words::part(record.part).to_uppercase(), "");
    for line in record.text.iter().take(LINES_OF_RECORD) {
        let text = page.text(&line.to_string());
        let mut lead = "";
        for piece in layout::wrap_log_line(&text, page.inner_width().saturating_sub(2)) {
            page.line(&format!("{lead}{piece}"));
            lead = "  ";
        }
    }
    if record.text.len() > LINES_OF_RECORD {
        let more = words::count(record.text.len() - LINES_OF_RECORD, "more line", "more lines");
        page.paragraph(Role::Dim, 0, &format!("and {more}, in the JSON"));
    }
}

fn part_lines(page: &mut Page, part: &Evidence, lines: (u64, u64), number_width: usize) {
    // Foreign lines can stand between those of a part: only where there are none is the number of each line known.
    let (first, last) = lines;
    let is_contiguous = last.checked_sub(first).and_then(|n| n.checked_add(1)) == Some(part.text.len() as u64);
    for (at, line) in part.text.iter().take(LINES_OF_PART).enumerate() {
        let number =
            if is_contiguous || at == 0 { (first.saturating_add(at as u64)).to_string() } else { String::new() };
        let number = layout::pad(&number, number_width, layout::Align::Right);
        let mut lead = format!("{}  ", page.paint(Role::Dim, &number));
        let text = page.text(&line.to_string());
        // What goes on below stands two columns further in than what begins.
        for piece in layout::wrap_log_line(&text, page.inner_width().saturating_sub(number_width + 4)) {
            page.line(&format!("{lead}{piece}"));
            lead = " ".repeat(number_width + 4);
        }
    }
    if part.text.len() > LINES_OF_PART {
        let more = words::count(part.text.len() - LINES_OF_PART, "more line", "more lines");
        let range = who::line_range(page.glyphs.to, lines);
        page.paragraph(Role::Dim, number_width + 2, &format!("and {more} ({range})"));
    }
}
