//! What a program in the kernel adds to a verdict.

use oomscope_core::evidence::{ChainLevel, Frame, Hook, HotStack, HotStacks, KillContext, Party, Task, VictimMemory};
use oomscope_core::incident::kill_context::Surroundings;
use oomscope_core::time::BootTime;

use super::*;

fn path_of(id: u64) -> Option<Untrusted> {
    match id {
        1 => Some("/".into()),
        2 => Some(POD.into()),
        3 => Some(CONTAINER.into()),
        _ => None,
    }
}

fn context(hook: Hook, global: Option<bool>, limit_cgroup_id: Option<u64>) -> KillContext {
    let party = |comm: &str| Party { tid: 9, pid: 9, comm: comm.into(), cgroup_id: 3, ..Party::default() };
    let level = |cgroup_id, limit: Option<u64>| ChainLevel {
        cgroup_id,
        usage_bytes: Bytes(64 * MIB),
        limit_bytes: limit.map(Bytes),
        ..ChainLevel::default()
    };
    KillContext {
        at: BootTime(KILL),
        hook,
        trigger: party("app"),
        victim: party("app"),
        gfp_mask: None,
        order: None,
        global,
        limit_cgroup_id,
        chain: vec![level(3, Some(64 * MIB)), level(2, Some(64 * MIB)), level(1, None), level(7, None)],
        victim_memory: VictimMemory { anon_bytes: Some(Bytes(60 * MIB)), ..VictimMemory::default() },
        tasks: vec![Task { pid: 9, tgid: Some(9), comm: "app".into(), ..Task::default() }],
        tasks_complete: true,
    }
}

fn seen(context: KillContext) -> Incident {
    let around = Surroundings { path_of: &path_of, cgroup_version: Some(2) };
    Incident::from_context(When::default(), None, context, around, Vec::new())
}

/// What the kernel told its program is certain, and what that had to deduce is the best reading; the machine's own memory may be that of a cpuset.
#[test]
fn the_level_by_a_context_alone() {
    let exact = |global, limit| context(Hook::OomKillProcess, Some(global), limit);
    let deduced = |limit| context(Hook::MarkVictimBtf, None, limit);
    for (context, killer, confidence) in [
        (exact(false, Some(3)), Killer::ContainerLimit, Confidence::Certain),
        (exact(false, Some(2)), Killer::PodLimit, Confidence::Certain),
        (exact(false, Some(7)), Killer::Unknown, Confidence::Possible),
        (exact(true, None), Killer::Node, Confidence::Likely),
        (deduced(Some(3)), Killer::ContainerLimit, Confidence::Likely),
        (deduced(None), Killer::Unknown, Confidence::Possible),
    ] {
        let diagnosis = diagnose(&seen(context.clone()));
        assert_eq!((diagnosis.killer, diagnosis.confidence), (killer, confidence), "{context:?}");
        assert!(!diagnosis.summary.contains("counters"), "{}", diagnosis.summary);
    }
}

/// Counters that are sure of the level know better than what was full, whichever came first; not better than what the kernel told.
#[test]
fn counters_beside_a_context() {
    let pods = || vec![v2(CONTAINER, (0, 1), (0, 1)), v2(POD, (1, 0), (1, 1))];
    let mut incident = seen(context(Hook::MarkVictimBtf, None, Some(3)));
    incident.add_live(None, pods());
    let diagnosis = diagnose(&incident);
    assert_eq!((diagnosis.killer, diagnosis.confidence), (Killer::PodLimit, Confidence::Certain));
    assert_eq!(incident.report().limit_cgroup, Some(POD.into()));
    let mut incident = seen(context(Hook::OomKillProcess, Some(false), Some(3)));
    incident.add_live(None, pods());
    assert_eq!(diagnose(&incident).killer, Killer::ContainerLimit);
}

/// Of the process that grew, the function that took most of its memory is named.
#[test]
fn the_function_that_grew() {
    let mut incident = spike();
    let timeline = incident.timeline.as_ref().unwrap();
    let pid = timeline.processes.first().unwrap().pid;
    let frame = |name: &str| Frame { function: Some(name.to_owned()), ..Frame::default() };
    let stack = |name: &str, mib: u64| HotStack {
        frames: vec![frame("malloc"), frame(name)],
        bytes: Bytes(mib * MIB),
        pid: Some(pid),
        ..HotStack::default()
    };
    let stacks = vec![stack("cache_put", 30), stack("other", 10)];
    incident.add_hot_stacks(HotStacks { to_us: BootTime(60_000_000), stacks, ..HotStacks::default() });
    let diagnosis = diagnose(&incident);
    let found = diagnosis.findings.iter().find(|f| f.kind.as_deref() == Some("function")).unwrap();
    assert_eq!(found.rule, "culprit");
    assert!(found.detail.contains("75 %") && found.detail.contains("`cache_put`"), "{}", found.detail);
}
