//! Which code: stacks that come to an incident later than the kill, because naming their frames takes time.

use super::{Incident, LIVE, live_evidence};
use crate::evidence::{Evidence, HotStacks, Part, Stacks};
use crate::text::Untrusted;

impl Incident {
    /// Adds where the trigger was, and victims that were not the trigger. The call trace of the log stays where there is one.
    pub fn add_stacks(&mut self, stacks: Stacks) {
        let Some(report) = self.kills.first_mut() else { return };
        LIVE.clone_into(&mut self.origin.source);
        let printed = report.stacks.take().map(|stacks| stacks.kernel).filter(|kernel| !kernel.is_empty());
        let stacks = Stacks { kernel: printed.unwrap_or(stacks.kernel), ..stacks };
        let lines = live_evidence::stacks(&stacks);
        report.stacks = Some(stacks);
        self.cite(Part::UserStack, lines);
    }

    /// Adds the code that made memory resident in the minutes before.
    pub fn add_hot_stacks(&mut self, hot: HotStacks) {
        LIVE.clone_into(&mut self.origin.source);
        self.cite(Part::HotStacks, live_evidence::hot_stacks(&hot));
        self.hot_stacks = Some(hot);
    }

    /// Replaces a live record that findings can cite; none without lines.
    pub(super) fn cite(&mut self, part: Part, lines: Vec<String>) {
        self.evidence.retain(|evidence| evidence.part != part);
        if !lines.is_empty() {
            let text = lines.iter().map(|line| Untrusted::from(line.as_str())).collect();
            self.evidence.push(Evidence { id: part.into(), part, lines: None, text });
        }
    }
}
