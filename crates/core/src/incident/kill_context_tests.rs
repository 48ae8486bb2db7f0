//! Contexts alone, beside a whole report, and against one that says something else.

use super::*;
use crate::evidence::{Comm, Task};
use crate::time::BootTime;

const MIB: u64 = 1 << 20;

fn path_of(id: u64) -> Option<Untrusted> {
    match id {
        1 => Some("/".into()),
        20 => Some("/pod".into()),
        21 => Some("/pod/app".into()),
        _ => None,
    }
}

fn around(cgroup_version: u8) -> Surroundings<'static> {
    Surroundings { path_of: &path_of, cgroup_version: Some(cgroup_version) }
}

fn level(cgroup_id: u64, usage: u64, limit: Option<u64>) -> ChainLevel {
    ChainLevel {
        cgroup_id,
        usage_bytes: Bytes(usage * MIB),
        limit_bytes: limit.map(|limit| Bytes(limit * MIB)),
        swap_usage_bytes: Some(Bytes(0)),
        swap_limit_bytes: None,
        failcnt: Some(7),
        ..ChainLevel::default()
    }
}

fn party(tid: u32, pid: u32, comm: &str) -> Party {
    Party { tid, pid, comm: Comm::from(comm), uid: 1000, oom_score_adj: 3, cgroup_id: 21 }
}

fn context() -> KillContext {
    KillContext {
        at: BootTime(5_000_000),
        hook: Hook::OomKillProcess,
        trigger: party(103, 101, "loader"),
        victim: party(101, 101, "app"),
        gfp_mask: Some(0xcc0),
        order: Some(0),
        global: Some(false),
        limit_cgroup_id: Some(20),
        chain: vec![level(21, 63, None), level(20, 64, Some(64)), level(1, 900, None)],
        victim_memory: VictimMemory { anon_bytes: Some(Bytes(60 * MIB)), ..VictimMemory::default() },
        tasks: vec![Task { pid: 101, tgid: Some(101), comm: "app".into(), ..Task::default() }],
        tasks_complete: true,
    }
}

fn alone(context: KillContext) -> Incident {
    Incident::from_context(When::default(), None, context, around(2), vec![Gap::new("the report", "no log")])
}

/// A context alone gives the report that the kernel would have printed, and says that no line of it was read.
#[test]
fn a_kill_without_a_log() {
    let incident = alone(context());
    let report = incident.report();
    assert_eq!((report.scope, report.constraint.clone()), (Some(Scope::Memcg), Some(Constraint::Memcg)));
    assert_eq!(report.limit_cgroup, Some("/pod".into()));
    assert_eq!(report.victim_cgroup, Some("/pod/app".into()));
    assert_eq!((report.usage_bytes, report.limit_bytes), (Some(Bytes(64 * MIB)), Some(Bytes(64 * MIB))));
    assert_eq!((report.failcnt, report.gfp_mask.as_deref(), report.order), (Some(7), Some("0xcc0"), Some(0)));
    assert_eq!(report.trigger.as_ref().unwrap().pid, Some(103), "the trigger is a thread");
    let victim = report.victims.first().unwrap();
    assert_eq!((victim.pid, victim.anon_bytes, victim.file_bytes), (101, Some(Bytes(60 * MIB)), None));
    assert_eq!((report.tasks.len(), report.group_kill), (1, None));
    assert_eq!(report.extent, crate::evidence::LogExtent::default());
    assert_eq!(incident.origin.source, LIVE);
    assert!(incident.is_without_log() && !incident.is_counted_only() && incident.is_named_by_context());
    assert_eq!(incident.gaps, [Gap::new("the report", "no log")], "nothing disagrees with nothing");
    assert!(incident.has(Part::KillContext));
}

/// The second counter of a level is swap on v2 and memory with swap on v1; without the version it is neither.
#[test]
fn the_second_counter_needs_the_version() {
    let swap = |version| {
        let report = report_of(&context(), Surroundings { path_of: &path_of, cgroup_version: version });
        (report.swap.is_some(), report.memory_swap.is_some())
    };
    assert_eq!(swap(Some(2)), (true, false));
    assert_eq!(swap(Some(1)), (false, true));
    assert_eq!(swap(None), (false, false));
    let counter = report_of(&context(), around(2)).swap.unwrap();
    assert_eq!(crate::units::Limit::from_printed(counter.limit_bytes), crate::units::Limit::Unlimited);
}

/// That the machine ran out is known, and of which of its memory nodes is not.
#[test]
fn a_kill_of_the_machine() {
    let report = report_of(&KillContext { global: Some(true), limit_cgroup_id: None, ..context() }, around(2));
    assert_eq!((report.scope, report.constraint), (Some(Scope::Global), None));
    assert_eq!((report.limit_cgroup, report.limit_bytes), (None, None));
}

/// A cgroup whose path nobody knows any more stays unnamed.
#[test]
fn a_cgroup_that_has_gone() {
    let gone = KillContext { limit_cgroup_id: Some(99), ..context() };
    let report = report_of(&gone, around(2));
    assert_eq!((report.scope, report.limit_cgroup, report.usage_bytes), (Some(Scope::Memcg), None, None));
}

/// A kill line that stands alone gets the rest of its report, and keeps what it says itself.
#[test]
fn a_rate_limited_kill_is_completed() {
    let printed = Victim { pid: 101, anon_bytes: Some(Bytes(61 * MIB)), ..Victim::default() };
    let mut report = KernelReport { victims: vec![printed], group_kill: Some(false), ..KernelReport::default() };
    report.extent.rate_limited = true;
    assert_eq!(complete(&mut report, &context(), around(2)), []);
    assert_eq!(report.limit_cgroup, Some("/pod".into()));
    assert_eq!(report.trigger.as_ref().unwrap().pid, Some(103));
    let victim = report.victims.first().unwrap();
    assert_eq!((victim.anon_bytes, victim.uid), (Some(Bytes(61 * MIB)), Some(1000)));
    assert_eq!((report.tasks.len(), report.group_kill, report.extent.rate_limited), (1, Some(false), true));
}

/// What was printed stays, and where it differs by more than an instant explains, a gap says so.
#[test]
fn a_disagreement_is_said() {
    let mut report = report_of(&context(), around(2));
    report.usage_bytes = Some(Bytes(63 * MIB));
    assert_eq!(complete(&mut report, &context(), around(2)), [], "a batch of charges is no disagreement");
    report.limit_bytes = Some(Bytes(128 * MIB));
    report.trigger.as_mut().unwrap().pid = Some(104);
    let before = report.clone();
    let gaps = complete(&mut report, &context(), around(2));
    assert_eq!(report, before);
    let said: Vec<_> = gaps.iter().map(|gap| gap.why.as_str()).collect();
    assert!(said.iter().any(|why| why.contains("128 MiB") && why.contains("64 MiB")), "{said:?}");
    assert!(said.iter().any(|why| why.contains("thread 104") && why.contains("thread 103")), "{said:?}");
}

/// A context of another kill fills in nothing.
#[test]
fn another_kill_is_refused() {
    let other = KernelReport { victims: vec![Victim { pid: 5, ..Victim::default() }], ..KernelReport::default() };
    let mut report = other.clone();
    let gaps = complete(&mut report, &context(), around(2));
    assert_eq!((report, gaps.len()), (other, 1));
}

/// More processes than a program in the kernel may look at: the table is not taken for whole.
#[test]
fn a_cut_table_is_a_gap() {
    let incident = alone(KillContext { tasks_complete: false, ..context() });
    assert!(incident.gaps.iter().any(|gap| gap.wanted.contains("task table")), "{:?}", incident.gaps);
}

/// Contexts and hot stacks go through JSON unharmed, and a case that was stored without them is read.
#[test]
fn stored_cases_are_read() {
    let mut incident = alone(context());
    incident.add_hot_stacks(crate::evidence::HotStacks::default());
    let json = serde_json::to_string(&incident).unwrap();
    assert_eq!(serde_json::from_str::<Incident>(&json).unwrap(), incident);
    let mut old = serde_json::to_value(Incident::default()).unwrap();
    let fields = old.as_object_mut().unwrap();
    assert!(!fields.contains_key("contexts") && !fields.contains_key("hot_stacks"), "absent where there are none");
    assert_eq!(serde_json::from_value::<Incident>(old).unwrap(), Incident::default());
}
