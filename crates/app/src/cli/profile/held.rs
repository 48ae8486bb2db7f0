//! Which of the sampled pages are still there, and which mappings grew.

use std::collections::{BTreeSet, HashMap};

use oomscope_core::evidence::Gap;
use oomscope_core::formats::proc::Resident;
use oomscope_core::profile::held::{Held, Kept, Reservoir, growth};
use oomscope_sources::process::{PageMap, Proc};

use super::lives::Lives;

/// What processes had when the profile began.
#[derive(Default)]
pub(super) struct Baseline {
    by_pid: HashMap<u32, Before>,
}

struct Before {
    started_ticks: Option<u64>,
    resident: Vec<Resident>,
}

impl Baseline {
    /// Looks. A process that cannot be looked into is not in it; one that comes later had nothing.
    pub(super) fn take(proc: &Proc, processes: &[u32]) -> Self {
        let look = |pid: &u32| {
            let resident = proc.resident(*pid).ok()?;
            // A thread of the kernel has none, and never will.
            (!resident.is_empty()).then(|| (*pid, Before { started_ticks: proc.started_ticks(*pid), resident }))
        };
        Self { by_pid: processes.iter().filter_map(look).collect() }
    }

    fn of(&self, pid: u32, started_ticks: Option<u64>) -> &[Resident] {
        let before = self.by_pid.get(&pid).filter(|before| before.started_ticks == started_ticks);
        before.map_or(&[], |before| &before.resident)
    }
}

/// Asks the kernel about every kept fault.
pub(super) fn ask(
    proc: &Proc,
    lives: &Lives,
    pages: &Reservoir,
    baseline: Option<&Baseline>,
    gaps: &mut Vec<Gap>,
) -> Held {
    let faults = pages.faults();
    let is_there = are_there(proc, lives, &faults);
    let with_pages: BTreeSet<usize> = faults.iter().map(|kept| kept.page.process).collect();
    let mut grown = HashMap::new();
    let mut unseen = 0;
    for life in with_pages.into_iter().filter(|life| lives.is_current(*life)) {
        let Some(pid) = lives.get(life).map(|life| life.process.pid) else { continue };
        match proc.resident(pid) {
            Ok(after) => {
                let before = baseline.map_or(&[][..], |baseline| baseline.of(pid, proc.started_ticks(pid)));
                grown.insert(life, growth(before, &after));
            }
            // Its pages are not there either, unless they may be looked at and its mappings not.
            Err(_) => unseen += u64::from(proc.started_ticks(pid).is_some()),
        }
    }
    if unseen > 0 {
        let what = format!("which mappings of {} grew", crate::cli::counted(unseen, "process"));
        gaps.push(Gap::new(what, "smaps could not be read; what is held of them is by their pages alone"));
    }
    Held::new(&faults, &is_there, &grown, pages.scale())
}

/// In the order of `faults`, which is by process.
fn are_there(proc: &Proc, lives: &Lives, faults: &[Kept]) -> Vec<bool> {
    let mut open: Option<(usize, Option<PageMap>)> = None;
    let mut answers = Vec::with_capacity(faults.len());
    for kept in faults {
        let life = kept.page.process;
        if open.as_ref().is_none_or(|(of, _)| *of != life) {
            // Of an earlier life nothing is left, whoever has the pid now.
            let pid = lives.get(life).filter(|_| lives.is_current(life)).map(|life| life.process.pid);
            open = Some((life, pid.and_then(|pid| proc.page_map(pid).ok())));
        }
        let map = open.as_ref().and_then(|(_, map)| map.as_ref());
        answers.push(map.and_then(|map| map.is_there(kept.page.address)).unwrap_or(false));
    }
    answers
}
