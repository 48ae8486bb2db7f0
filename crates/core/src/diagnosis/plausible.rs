//! Sizes of processes that no process can have are damage of the log, not facts to repeat.
//!
//! A digit too many in a log line makes a process of petabytes, and a saturated number one of 16 EiB. Such a size is taken out before any
//! rule reads it, so that it is unknown rather than wrong, and a gap says so.

use std::borrow::Cow;

use crate::evidence::{Gap, Task, Victim};
use crate::incident::Incident;
use crate::units::Bytes;

/// More than the address space of a process on any machine that Linux runs on: x86-64 with five levels of page tables ends at 2^56
/// *virtual* bytes, but at 2^52 of physical memory.
const MOST: u64 = 1 << 52;

/// The incident without impossible sizes, and the gap where there were any.
#[must_use]
pub(super) fn plausible(incident: &Incident) -> (Cow<'_, Incident>, Option<Gap>) {
    let damaged = incident.kills.iter().any(|report| {
        let mut victims = report.victims.iter().chain(&report.killed_sharing_memory).chain(&report.chosen);
        victims.any(|v| clean_victim(&mut v.clone())) || report.tasks.iter().any(|t| clean_task(&mut t.clone()))
    });
    if !damaged {
        return (Cow::Borrowed(incident), None);
    }
    let mut cleaned = incident.clone();
    for report in &mut cleaned.kills {
        let victims = report.victims.iter_mut().chain(&mut report.killed_sharing_memory).chain(&mut report.chosen);
        victims.for_each(|victim| _ = clean_victim(victim));
        report.tasks.iter_mut().for_each(|task| _ = clean_task(task));
    }
    let gap =
        Gap::new("sizes of all processes", "some numbers in the log are impossible, so they were damaged or forged");
    (Cow::Owned(cleaned), Some(gap))
}

fn clean_victim(victim: &mut Victim) -> bool {
    let Victim { total_vm_bytes, anon_bytes, file_bytes, shmem_bytes, pgtables_bytes, .. } = victim;
    clean(total_vm_bytes, [anon_bytes, file_bytes, shmem_bytes], [pgtables_bytes])
}

fn clean_task(task: &mut Task) -> bool {
    let Task { total_vm_bytes, rss_bytes, anon_bytes, file_bytes, shmem_bytes, pgtables_bytes, swap_bytes, .. } = task;
    clean(total_vm_bytes, [rss_bytes, anon_bytes, file_bytes, shmem_bytes], [pgtables_bytes, swap_bytes])
}

/// Takes out what is impossible; true where something was. Counters of resident pages are updated lazily and may run ahead, so they
/// count as impossible only from twice the virtual size on.
fn clean<const R: usize, const O: usize>(
    total_vm: &mut Option<Bytes>,
    resident: [&mut Option<Bytes>; R],
    other: [&mut Option<Bytes>; O],
) -> bool {
    let most_resident = total_vm.filter(|vm| (1..=MOST).contains(&vm.0)).map_or(MOST, |vm| vm.0.saturating_mul(2));
    let mut damaged = take_above(total_vm, MOST);
    for size in resident {
        damaged |= take_above(size, most_resident.min(MOST));
    }
    for size in other {
        damaged |= take_above(size, MOST);
    }
    damaged
}

fn take_above(size: &mut Option<Bytes>, most: u64) -> bool {
    size.take_if(|bytes| bytes.0 > most).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A saturated size and one far above the virtual size are unknown; one a little above it is kept.
    #[test]
    fn impossible_sizes() {
        let mib = |n: u64| Some(Bytes(n << 20));
        let mut victim = Victim {
            total_vm_bytes: mib(10),
            anon_bytes: Some(Bytes(u64::MAX)),
            file_bytes: mib(11),
            shmem_bytes: mib(21),
            ..Victim::default()
        };
        assert!(clean_victim(&mut victim));
        assert_eq!((victim.anon_bytes, victim.file_bytes, victim.shmem_bytes), (None, mib(11), None));
        assert!(!clean_victim(&mut victim));
        let mut task = Task { total_vm_bytes: Some(Bytes(u64::MAX)), rss_bytes: mib(5), ..Task::default() };
        assert!(clean_task(&mut task));
        assert_eq!((task.total_vm_bytes, task.rss_bytes), (None, mib(5)));
    }
}
