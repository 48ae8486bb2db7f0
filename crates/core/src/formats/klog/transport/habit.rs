//! What a stream's lines look like after the printk stamp: the memory that breaks ties.
//!
//! Some kernels and tools write more between stamp and text (`[ T123]`, MediaTek's `(0)[123:comm]`, the journal's
//! `host kernel:`). A process may be *named* like that, and its name begins the text of `… invoked oom-killer`. A
//! stream either has such decoration on all of its lines or on none, so a line that differs from those before is taken
//! for a name; only if several lines in a row differ has the stream changed.

/// What may stand between the stamp and the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoration {
    /// `[ T123]`, with a blank between stamp and caller (util-linux ≥ 2.40).
    Caller,
    /// `(0)[123:comm]` (MediaTek).
    Mediatek,
    /// `[2:    kworker/2:1:  123]` (Samsung).
    Samsung,
    /// `c0 123 (comm)`.
    CpuPidComm,
    /// `host kernel:` (journalctl `-o short-monotonic`).
    Journal,
}

/// So many lines in a row that differ mean that the stream has changed.
const CHANGED: u8 = 8;

/// What the lines after the stamp have looked like so far.
#[derive(Debug, Default)]
pub(super) struct Habit {
    usual: Option<Option<Decoration>>,
    differing: u8,
}

impl Habit {
    /// Tells whether a line that looks decorated as `seen` is.
    pub(super) fn believes(&mut self, seen: Option<Decoration>) -> bool {
        let changed = match self.usual {
            None => true,
            Some(usual) if usual == seen => {
                self.differing = 0;
                return seen.is_some();
            }
            Some(_) => {
                self.differing += 1;
                self.differing >= CHANGED
            }
        };
        if changed {
            self.usual = Some(seen);
            self.differing = 0;
        }
        changed && seen.is_some()
    }

    /// The stream is the journal's with monotonic stamps: other programs' lines are to be expected in it.
    pub(super) fn is_journal(&self) -> bool {
        self.usual == Some(Some(Decoration::Journal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One odd line is a name, a run of them a change of the stream.
    #[test]
    fn believes_the_majority() {
        let mut habit = Habit::default();
        assert!(!habit.believes(None));
        assert!(!habit.believes(Some(Decoration::Caller)));
        assert!(!habit.believes(None));
        for _ in 1..CHANGED {
            assert!(!habit.believes(Some(Decoration::Caller)));
        }
        assert!(habit.believes(Some(Decoration::Caller)));
        assert!(habit.believes(Some(Decoration::Caller)));
    }
}
