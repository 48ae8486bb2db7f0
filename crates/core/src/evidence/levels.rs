//! The levels above a process with their limits, named as far as two of them are.
//!
//! A program in the kernel knows levels by number and not by path. The kernel's report names two of them, the one whose limit was reached and
//! the victim's; the paths of their ancestors follow.

use super::{ChainLevel, KernelReport, KillContext};
use crate::text::Untrusted;

/// One level with its path, where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedLevel {
    /// What was charged and allowed.
    pub level: ChainLevel,
    /// As the kernel's report calls it.
    pub path: Option<Untrusted>,
    /// Its limit is the one that was reached.
    pub is_reached: bool,
}

/// The levels of a kill, innermost first.
#[must_use]
pub fn levels(context: &KillContext, report: &KernelReport) -> Vec<NamedLevel> {
    let of_limit = context.limit_cgroup_id.zip(report.limit_cgroup.as_ref());
    let of_victim = Some(context.victim.cgroup_id).zip(report.victim_cgroup.as_ref());
    let mut inherited: Option<Untrusted> = None;
    let mut levels = Vec::new();
    for level in &context.chain {
        let named = [of_limit, of_victim].into_iter().flatten().find(|(id, _)| *id == level.cgroup_id);
        let path = named.map(|(_, path)| path.clone()).or_else(|| inherited.as_ref().and_then(parent));
        inherited.clone_from(&path);
        levels.push(NamedLevel { level: *level, path, is_reached: context.limit_cgroup_id == Some(level.cgroup_id) });
    }
    levels
}

/// `/a` of `/a/b`, `/` of `/a`; the root has none.
fn parent(path: &Untrusted) -> Option<Untrusted> {
    let path = path.as_bytes();
    let at = path.iter().rposition(|byte| *byte == b'/').filter(|_| path.len() > 1)?;
    path.get(..at.max(1)).map(Untrusted::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Hook, Party, VictimMemory};
    use crate::time::BootTime;

    /// Ancestors of a named level are named after it; what lies below the first named one is not.
    #[test]
    fn ancestors_have_names() {
        let level = |cgroup_id| ChainLevel { cgroup_id, ..ChainLevel::default() };
        let context = KillContext {
            at: BootTime(0),
            hook: Hook::MarkVictim,
            trigger: Party::default(),
            victim: Party { cgroup_id: 77, ..Party::default() },
            gfp_mask: None,
            order: None,
            global: None,
            limit_cgroup_id: Some(3),
            chain: vec![level(4), level(3), level(2), level(1)],
            victim_memory: VictimMemory::default(),
            tasks: Vec::new(),
            tasks_complete: true,
        };
        let report = KernelReport {
            limit_cgroup: Some("/a/b".into()),
            victim_cgroup: Some("/a/b/victim".into()),
            ..KernelReport::default()
        };
        let named = levels(&context, &report);
        let paths: Vec<_> = named.iter().map(|level| level.path.as_ref().map(ToString::to_string)).collect();
        assert_eq!(paths, [None, Some("/a/b".to_owned()), Some("/a".to_owned()), Some("/".to_owned())]);
        assert_eq!(named.iter().map(|level| level.is_reached).collect::<Vec<_>>(), [false, true, false, false]);
    }
}
