//! What the targets share: the one path, from bytes to every form of the report.

use oomscope_core::case::Case;
use oomscope_core::diagnosis::diagnose;
use oomscope_core::formats::klog::{LogEvent, Scanner};
use oomscope_core::incident::Incident;
use oomscope_core::report::{json, markdown, text};

/// The events in `log`, which arrives `chunk` bytes at a time (at least one).
pub fn events(log: &[u8], chunk: usize) -> Vec<LogEvent> {
    let mut scanner = Scanner::new();
    let mut events = Vec::new();
    for part in log.chunks(chunk.max(1)) {
        scanner.push(part, &mut |event| events.push(event));
    }
    scanner.finish(&mut |event| events.push(event));
    events
}

/// Lets each event become a case, shows it in every form, and holds what must be true of any case.
pub fn judge_and_show(events: Vec<LogEvent>) {
    for event in events {
        let incident = Incident::from_log(event, Some("fuzz.log"));
        let diagnosis = diagnose(&incident);
        let case = Case::new(incident, diagnosis);

        let line = json::line(&case).expect("every case has a JSON form");
        assert!(!line.trim_end_matches('\n').contains('\n'), "JSON Lines: one case, one line");
        serde_json::from_str::<serde_json::Value>(&line).expect("what we print is JSON");
        let page = text::render(&case, &text::TextOptions { evidence: true, ..text::TextOptions::default() });
        assert!(is_harmless(&page), "a control character reached the terminal");
        assert!(is_harmless(&markdown::render(&case)), "a control character reached the ticket");
    }
}

/// No control characters but the newline: nothing from the log can move the cursor or set the terminal's title.
fn is_harmless(shown: &str) -> bool {
    shown.chars().all(|c| c == '\n' || !c.is_control())
}

/// The lines of `data`.
pub fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|&byte| byte == b'\n')
}
