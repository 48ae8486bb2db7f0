//! From an event in a log to a case: the same few steps for every driver.

use jiff::Timestamp;
use oomscope_core::case::Case;
use oomscope_core::diagnosis::{RULESET, diagnose};
use oomscope_core::evidence::Gap;
use oomscope_core::formats::klog::LogEvent;
use oomscope_core::incident::Incident;
use oomscope_core::incident::history::History;
use oomscope_core::time::BootTime;
use oomscope_sources::clock::{self, BootAnchor};
use oomscope_sources::host_root::HostRoot;

/// What the log itself does not say of the machine that wrote it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogOrigin {
    /// As the user named it; `None` for standard input and this machine's own log.
    pub(crate) file: Option<String>,
    /// The running boot of this machine, for its own log only.
    pub(crate) this_boot: Option<ThisBoot>,
    /// What of this log could not be read.
    pub(crate) gap: Option<Gap>,
}

/// Names the running boot and ties its clock to the wall.
#[derive(Clone, Debug, Default)]
pub(crate) struct ThisBoot {
    id: Option<String>,
    anchor: Option<BootAnchor>,
}

impl ThisBoot {
    /// Asks this machine. What it does not tell stays unknown; the cases have gaps for it.
    pub(crate) fn ask() -> Self {
        Self::ask_of(&HostRoot::default())
    }

    /// The same through the node's `/`, mounted elsewhere: a container has its node's boot.
    pub(crate) fn ask_of(root: &HostRoot) -> Self {
        Self { id: clock::boot_id(root).ok(), anchor: BootAnchor::now() }
    }

    /// Ties the clock to the wall anew.
    pub(crate) fn ask_again(&mut self) {
        self.anchor = BootAnchor::now();
    }

    /// Names the boot of an event of this machine's own log, and its time on the wall.
    pub(crate) fn complete(&self, event: &mut LogEvent) {
        event.boot_id = event.boot_id.take().or_else(|| self.id.clone());
        event.at.wall = event.at.wall.or_else(|| event.at.boot_us.and_then(|at| self.wall_of(at)));
    }

    /// Its id, where the machine tells it.
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// A printk time on the wall clock.
    pub(crate) fn wall_of(&self, at: BootTime) -> Option<Timestamp> {
        self.anchor.as_ref()?.wall_of(at)
    }
}

/// Turns events into cases, with a memory of the events before.
#[derive(Debug, Default)]
pub(crate) struct CaseMaker {
    history: History,
}

impl CaseMaker {
    /// Explains one event.
    pub(crate) fn case(&mut self, mut event: LogEvent, origin: &LogOrigin) -> Case {
        if let Some(boot) = &origin.this_boot {
            boot.complete(&mut event);
        }
        let mut incident = Incident::from_log(event, origin.file.as_deref());
        incident.gaps.extend(origin.gap.clone());
        self.explain(incident)
    }

    /// Explains an incident, and remembers it for those that follow.
    pub(crate) fn explain(&mut self, mut incident: Incident) -> Case {
        incident.recurrence = self.history.observe(&incident);
        diagnosed(incident)
    }
}

/// The case of an incident whose history is known.
pub(crate) fn diagnosed(incident: Incident) -> Case {
    let diagnosis = diagnose(&incident);
    Case::new(incident, diagnosis)
}

/// What the present rules say of a case that was kept. Its id and revision stay: nothing new is known.
pub(crate) fn diagnosed_again(case: Case) -> Case {
    let diagnosis = diagnose(&case.incident);
    Case { ruleset: RULESET.to_owned(), diagnosis, ..case }
}
