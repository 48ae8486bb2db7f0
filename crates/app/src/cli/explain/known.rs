//! The same kill in several files (`kern.log` and `messages`): recognised, so that it is shown once.

use std::collections::HashMap;

use oomscope_core::case::{Case, Marks};

/// Cases remembered; then all are forgotten.
const MOST: usize = 1 << 15;

/// Kills that share an id and are still told apart. More are not compared, so that a log of nothing else takes no longer.
const MOST_OF_ONE_ID: usize = 16;

/// The kills that were met so far.
#[derive(Default)]
pub(super) struct Known {
    by_id: HashMap<String, Vec<(Marks, u64)>>,
    count: usize,
}

impl Known {
    /// True when another file than this, the `file`th, had this kill. Remembers it where not.
    ///
    /// Within one file a repeated id is no repeated kill: two boots, or a log of several machines.
    pub(super) fn has(&mut self, case: &Case, file: u64) -> bool {
        if case.incident.at.is_unknown() {
            return false;
        }
        if self.count >= MOST {
            *self = Self::default();
        }
        let marks = Marks::of(&case.incident);
        let seen = self.by_id.entry(case.id.clone()).or_default();
        if let Some((known, _)) = seen.iter_mut().find(|(known, at)| *at != file && known.agree(&marks)) {
            known.fill_from(marks);
            return true;
        }
        if seen.len() < MOST_OF_ONE_ID {
            seen.push((marks, file));
            self.count += 1;
        }
        false
    }
}
