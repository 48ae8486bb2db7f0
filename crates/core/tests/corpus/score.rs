//! How right a reading is: every field that a truth knows, compared, counted and named where it is wrong.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};

/// Of one field over many reports.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    right: u32,
    missed: u32,
    wrong: u32,
    made_up: u32,
}

/// Fields of a file that are read otherwise than its truth says, and why that is right too. They are not counted.
pub(crate) struct Exception {
    pub(crate) file: &'static str,
    pub(crate) fields: &'static [&'static str],
    pub(crate) why: &'static str,
}

/// All comparisons of a test.
#[derive(Default)]
pub(crate) struct Score {
    fields: BTreeMap<&'static str, Tally>,
    mismatches: Vec<String>,
    excused: Vec<(String, &'static str)>,
    exceptions: &'static [Exception],
}

impl Score {
    /// With mismatches that are known and so none of [`Score::mismatches`].
    pub(crate) fn with_exceptions(exceptions: &'static [Exception]) -> Self {
        Self { exceptions, ..Self::default() }
    }

    /// Compares one field. `want` of `None` means that the log does not say it, so that no value may be there.
    pub(crate) fn compare<T: PartialEq + Debug>(
        &mut self,
        place: &str,
        field: &'static str,
        want: Option<T>,
        got: Option<T>,
    ) {
        let tally = self.fields.entry(field).or_default();
        if want == got {
            tally.right += u32::from(want.is_some());
            return;
        }
        let file = place.split('#').next().unwrap_or(place);
        let excuse = self.exceptions.iter().find(|e| e.file == file && e.fields.contains(&field));
        match excuse {
            Some(_) => self.excused.push((file.to_owned(), field)),
            None => self.mismatches.push(format!("{place} {field}: expected {}, got {}", shown(&want), shown(&got))),
        }
        match (want, got) {
            _ if excuse.is_some() => {}
            (Some(_), None) => tally.missed += 1,
            (None, _) => tally.made_up += 1,
            (Some(_), Some(_)) => tally.wrong += 1,
        }
    }

    /// Compares what is always known.
    pub(crate) fn same<T: PartialEq + Debug>(&mut self, place: &str, field: &'static str, want: T, got: T) {
        self.compare(place, field, Some(want), Some(got));
    }

    /// What is wrong and not known to be so.
    pub(crate) fn mismatches(&self) -> &[String] {
        &self.mismatches
    }

    /// Exceptions that no comparison needed.
    pub(crate) fn stale_exceptions(&self) -> Vec<String> {
        let used = |file: &str, field: &str| self.excused.iter().any(|(f, g)| f == file && *g == field);
        let all = self.exceptions.iter().flat_map(|e| e.fields.iter().map(move |field| (e.file, *field, e.why)));
        all.filter(|(file, field, _)| !used(file, field))
            .map(|(file, field, why)| format!("{file} {field} ({why})"))
            .collect()
    }

    /// Of what is known, the share that was read and read right.
    pub(crate) fn recall(&self) -> f64 {
        let all = self.sum();
        f64::from(all.right) / f64::from((all.right + all.missed + all.wrong).max(1))
    }

    /// Of what was read, the share that is right.
    pub(crate) fn precision(&self) -> f64 {
        let all = self.sum();
        f64::from(all.right) / f64::from((all.right + all.wrong + all.made_up).max(1))
    }

    fn sum(&self) -> Tally {
        self.fields.values().fold(Tally::default(), |sum, t| Tally {
            right: sum.right + t.right,
            missed: sum.missed + t.missed,
            wrong: sum.wrong + t.wrong,
            made_up: sum.made_up + t.made_up,
        })
    }

    /// One line a field, and the sums.
    pub(crate) fn table(&self) -> String {
        let mut out = format!("{:20} {:>6} {:>6} {:>6} {:>7}\n", "field", "right", "missed", "wrong", "made up");
        for (field, t) in &self.fields {
            let _ = writeln!(out, "{field:20} {:6} {:6} {:6} {:7}", t.right, t.missed, t.wrong, t.made_up);
        }
        let _ = writeln!(out, "recall {:.4}, precision {:.4}", self.recall(), self.precision());
        out
    }

    /// The table and every mismatch.
    pub(crate) fn report(&self) -> String {
        format!("{}\n{}\n", self.table(), self.mismatches.join("\n"))
    }
}

fn shown<T: Debug>(value: &Option<T>) -> String {
    value.as_ref().map_or_else(|| "nothing".to_owned(), |v| format!("{v:?}"))
}
