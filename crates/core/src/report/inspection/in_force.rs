//! A pod's spec against the files of its cgroups.

use crate::kubernetes::limits_in_force::{InForce, LevelInForce, Resize, Setting, Step, Value, Verdict};
use crate::report::page::Page;
use crate::report::style::Role;
use crate::report::table::{self, Row, Shrink, left, right};
use crate::text::name_in_text;
use crate::units::{Bytes, Limit};

/// Differences that are explained; the others are in the table.
const EXPLAINED: usize = 8;
/// Causes of each.
const CAUSES: usize = 4;

pub(super) fn write(page: &mut Page, in_force: &InForce) {
    let differences = in_force.differences().count();
    let note = match differences {
        0 if in_force.levels.iter().any(is_compared) => "nothing differs",
        0 => "no spec to compare with",
        _ => "what differs is marked",
    };
    page.heading("SPEC AND WHAT IS IN FORCE", note);
    let columns = [
        left("", 0),
        left("of", 0).shrinking(Shrink::Middle, 12),
        left("file", 0),
        right("wanted", 0),
        right("in force", 0),
        left("wanted because", 1).shrinking(Shrink::End, 16),
    ];
    let rows: Vec<Row> = in_force.levels.iter().flat_map(|level| rows(level, page.glyphs.cross)).collect();
    table::write(page, &columns, &rows);
    if let Some(resize) = &in_force.resize {
        in_flight(page, resize);
    }
    for (level, setting) in in_force.differences().take(EXPLAINED) {
        explain(page, level, setting);
    }
}

fn is_compared(level: &LevelInForce) -> bool {
    level.settings.iter().any(|setting| setting.verdict != Verdict::NotCompared)
}

fn rows(level: &LevelInForce, mark: &str) -> Vec<Row> {
    let mut name = Some(step(&level.step));
    let shown = level.settings.iter().filter(|setting| is_worth_a_line(setting));
    shown.map(|setting| row(setting, name.take().unwrap_or_default(), mark)).collect()
}

/// The limit always; of the others what is set, or should be.
fn is_worth_a_line(setting: &Setting) -> bool {
    let is_limit = matches!(setting.file.as_str(), "memory.max" | "memory.limit_in_bytes");
    let is_unset = |value: Option<Value>| match value {
        None | Some(Value::Flag(false) | Value::Amount(Limit::Unlimited | Limit::At(Bytes(0)))) => true,
        Some(Value::Flag(true) | Value::Number(_) | Value::Amount(_)) => false,
    };
    is_limit || setting.verdict == Verdict::Differs || !is_unset(setting.actual) || !is_unset(setting.expected)
}

fn row(setting: &Setting, name: String, mark: &str) -> Row {
    let differs = setting.verdict == Verdict::Differs;
    let (wanted, actual) = side_by_side(setting);
    let from = setting.from.clone().unwrap_or_default();
    let from = match setting.verdict {
        Verdict::Rounded => format!("{from}, in whole pages"),
        Verdict::AlsoRight => format!("{from}; other versions do as here"),
        _ => from,
    };
    Row {
        role: if differs { Role::Verdict } else { Role::Plain },
        cells: vec![
            if differs { mark.to_owned() } else { String::new() },
            name,
            setting.file.clone(),
            wanted,
            actual,
            from,
        ],
    }
}

/// Sizes that would read the same and are not, in smaller units.
fn side_by_side(setting: &Setting) -> (String, String) {
    if let (Some(Value::Amount(Limit::At(wanted))), Some(Value::Amount(Limit::At(actual)))) =
        (setting.expected, setting.actual)
    {
        return wanted.side_by_side(actual);
    }
    let text = |value: Option<Value>| value.map_or_else(String::new, |value| value.to_string());
    (text(setting.expected), text(setting.actual))
}

fn step(step: &Step) -> String {
    match step {
        Step::Container(Some(name)) => name_in_text(name.as_bytes()),
        Step::Container(None) => "a container".to_owned(),
        Step::Pause => "pause".to_owned(),
        Step::Pod => "the pod".to_owned(),
        Step::QosClass => "its class".to_owned(),
        Step::Kubepods => "all pods".to_owned(),
        Step::Above => "above".to_owned(),
    }
}

fn in_flight(page: &mut Page, resize: &Resize) {
    let why: Vec<&str> = [&resize.reason, &resize.message].into_iter().flatten().map(String::as_str).collect();
    let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(": ")) };
    page.paragraph(Role::Strong, 0, &format!("A resize is {}{why}.", resize.state));
    for container in &resize.containers {
        let amount = |limit: Option<crate::kubernetes::Quantity>| {
            limit.map_or_else(|| "no limit".to_owned(), |limit| limit.to_string())
        };
        let text =
            format!("{}: {} wanted, runs with {}", container.name, amount(container.wanted), amount(container.running));
        page.hanging(Role::Plain, page.glyphs.bullet, 2, &text);
    }
}

fn explain(page: &mut Page, level: &LevelInForce, setting: &Setting) {
    let (wanted, actual) = side_by_side(setting);
    let text =
        format!("{} of {} is {actual}, not {wanted}. What is known to do that:", setting.file, step(&level.step));
    page.paragraph(Role::Strong, 0, &text);
    for cause in setting.causes.iter().take(CAUSES) {
        page.hanging(Role::Plain, page.glyphs.bullet, 2, cause);
    }
}
