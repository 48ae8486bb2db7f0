//! An incident from a log alone.

use super::identity::identify;
use super::{Incident, Origin};
use crate::evidence::Gap;
use crate::formats::klog::LogEvent;

impl Incident {
    /// Wraps what a kernel log said, with the name of the file it stood in (`None`: standard input, or this machine's log).
    #[must_use]
    pub fn from_log(event: LogEvent, file: Option<&str>) -> Self {
        let LogEvent { report, at, lines, host, boot_id, evidence, mut gaps } = event;
        let owner = report.victim_cgroup.as_ref().or(report.limit_cgroup.as_ref());
        let identity = owner.and_then(|path| identify(path.as_bytes()));
        if at.is_unknown() {
            gaps.push(Gap::new("time", "the log's lines carry no time stamp that could be read"));
        } else if at.wall.is_none() && at.wall_local.is_none() {
            gaps.push(Gap::new(
                "date and time of day",
                "the log's lines carry the time since boot, and no date with a year",
            ));
        }
        Self {
            at,
            origin: Origin {
                source: "klog".to_owned(),
                file: file.map(str::to_owned),
                lines: Some(lines),
                host,
                boot_id,
            },
            kills: vec![report],
            identity,
            timeline: None,
            counters: Vec::new(),
            contexts: Vec::new(),
            hot_stacks: None,
            kubernetes: None,
            recurrence: None,
            evidence,
            gaps,
        }
    }
}
