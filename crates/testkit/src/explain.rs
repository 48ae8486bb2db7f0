//! The whole path, as the tests of every package walk it: bytes of a kernel log in, cases out.

use oomscope_core::case::Case;
use oomscope_core::diagnosis::diagnose;
use oomscope_core::formats::klog::{LogEvent, Scanner};
use oomscope_core::incident::Incident;
use oomscope_core::incident::history::History;

/// The cases of one log, in its order.
#[must_use]
pub fn explain(log: &[u8]) -> Vec<Case> {
    explain_in_chunks([log])
}

/// The cases of one log that arrives in pieces.
#[must_use]
pub fn explain_in_chunks<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Case> {
    let mut events: Vec<LogEvent> = Vec::new();
    let mut scanner = Scanner::new();
    for chunk in chunks {
        scanner.push(chunk, &mut |event| events.push(event));
    }
    scanner.finish(&mut |event| events.push(event));
    let mut history = History::new();
    events.into_iter().map(|event| case_of(event, &mut history)).collect()
}

fn case_of(event: LogEvent, history: &mut History) -> Case {
    let mut incident = Incident::from_log(event, None);
    incident.recurrence = history.observe(&incident);
    let diagnosis = diagnose(&incident);
    Case::new(incident, diagnosis)
}
