//! A case on one line, for lists: when, what killed, whom, at which limit, whose.

use super::layout::{self, Align};
use super::page::Page;
use super::style::Role;
use super::text::TextOptions;
use super::words;
use crate::case::Case;

/// One line without a newline, at most as wide as the page.
#[must_use]
pub fn render(case: &Case, options: &TextOptions) -> String {
    let page = Page::new(options);
    let report = case.incident.report();
    let cell = |text: String, width: usize| {
        let short = layout::shorten_end(&page.text(&text), width, page.glyphs.ellipsis);
        layout::pad(&short, width, Align::Left)
    };
    let when = words::instant(&case.incident.at).unwrap_or_else(|| "time unknown".to_owned());
    let killer = words::killer(case.diagnosis.killer).to_owned();
    let victims = match report.victims.as_slice() {
        [] if case.incident.kills.is_empty() => ended(case),
        [] if case.incident.is_counted_only() => "not known who".to_owned(),
        [] => "nothing killed".to_owned(),
        [one] => words::victim(one),
        many => words::victim_names(many, 2, page.glyphs.times),
    };
    let limit = report.limit_bytes.map_or_else(String::new, words::limit);
    let columns = options.columns();
    let fixed = [
        (when, Role::Dim, 20),
        (killer, Role::Verdict, 15),
        (victims, Role::Strong, if columns < 100 { 24 } else { 31 }),
        (limit, Role::Plain, 9),
    ];
    let mut line = String::new();
    let mut used = 0;
    for (text, role, width) in fixed {
        let width = width.min(columns.saturating_sub(used));
        if width < 4 {
            break;
        }
        line.push_str(&page.paint(role, &cell(text, width)));
        used += width + 2;
        line.push_str("  ");
    }
    let room = columns.saturating_sub(used);
    if let Some(owner) = words::owner(case).filter(|_| room >= 8) {
        line.push_str(&layout::shorten_middle(&page.text(&owner), room, page.glyphs.ellipsis));
    }
    line.trim_end().to_owned()
}

/// Who ended, where no process is known: the container, with its exit code.
fn ended(case: &Case) -> String {
    let account = case.incident.kubernetes.as_ref();
    let Some(ending) = account.and_then(|account| account.ending.as_ref()) else { return "the whole pod".to_owned() };
    let name = ending.container.clone().unwrap_or_else(|| "container".to_owned());
    ending.exit_code.map_or_else(|| name.clone(), |code| format!("{name}, exit code {code}"))
}
