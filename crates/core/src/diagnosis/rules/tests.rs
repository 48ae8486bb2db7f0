//! Stories that no recorded log tells, made by hand.

use crate::diagnosis::{Diagnosis, Killer, diagnose};
use crate::evidence::{
    Counter, FreeBlocks, Gap, KernelReport, LogExtent, NodeMemory, Scope, Task, TaskTable, Trigger, Victim, Zone,
};
use crate::incident::Incident;
use crate::incident::history::Recurrence;
use crate::units::Bytes;

const CTR: &str = "/kubepods/burstable/pod0890e4ec-26c7-4b33-a1da-e364a1f444fc/\
                   aea2a6cfac1a387209a5b99fff8397e5938619d3734e841c698440227869c61f";
const MIB: u64 = 1 << 20;

fn incident(report: KernelReport) -> Incident {
    Incident { kills: vec![report], ..Incident::default() }
}

fn found(diagnosis: &Diagnosis, rule: &str) -> bool {
    diagnosis.findings.iter().any(|f| f.rule == rule)
}

fn advised(diagnosis: &Diagnosis, title: &str) -> bool {
    diagnosis.remedies.iter().any(|r| r.title.contains(title))
}

/// A container of 64 MiB, full, with these statistics.
fn container(stat: &[(&str, u64)]) -> KernelReport {
    KernelReport {
        scope: Some(Scope::Memcg),
        limit_cgroup: Some(CTR.into()),
        victim_cgroup: Some(CTR.into()),
        usage_bytes: Some(Bytes(64 * MIB)),
        limit_bytes: Some(Bytes(64 * MIB)),
        memory_stat: Some(stat.iter().map(|(k, v)| ((*k).to_owned(), v * MIB)).collect()),
        victims: vec![Victim {
            pid: 10,
            comm: Some("app".into()),
            anon_bytes: Some(Bytes(60 * MIB)),
            file_bytes: Some(Bytes(0)),
            oom_score_adj: Some(900),
            ..Victim::default()
        }],
        group_kill: Some(false),
        task_table: TaskTable { header_seen: true, rows_damaged: 0 },
        extent: LogExtent { header: true, usage: true, kill_line: true, ..LogExtent::default() },
        ..KernelReport::default()
    }
}

fn tasks(count: u32, rss: u64) -> Vec<Task> {
    (10..10 + count)
        .map(|pid| Task {
            pid,
            tgid: Some(pid),
            comm: "worker".into(),
            rss_bytes: Some(Bytes(rss)),
            oom_score_adj: Some(900),
            ..Task::default()
        })
        .collect()
}

/// An OOM of a machine of 1 GiB with these totals in MiB.
fn machine(totals: &[(&str, u64)]) -> KernelReport {
    KernelReport {
        scope: Some(Scope::Global),
        order: Some(0),
        node_memory: Some(NodeMemory {
            totals_bytes: totals.iter().map(|(k, v)| ((*k).to_owned(), v * MIB)).collect(),
            ram_bytes: Some(Bytes(1024 * MIB)),
            reserved_bytes: Some(Bytes(0)),
            ..NodeMemory::default()
        }),
        ..container(&[])
    }
    .without_cgroup()
}

impl KernelReport {
    fn without_cgroup(mut self) -> Self {
        (self.limit_cgroup, self.usage_bytes, self.limit_bytes, self.memory_stat) = (None, None, None, None);
        self
    }
}

/// Forty workers of the same size: the number is the cause, and the advice is a number of workers.
#[test]
fn a_crowd() {
    let diagnosis = diagnose(&incident(KernelReport { tasks: tasks(40, 3 * MIB / 2), ..container(&[("anon", 60)]) }));
    assert!(found(&diagnosis, "many_small") && advised(&diagnosis, "Run at most 34"), "{:?}", diagnosis.remedies);
    assert!(diagnosis.summary.contains("40 processes share it, none larger than 1.5 MiB"), "{}", diagnosis.summary);
}

/// Dirty file cache that could not be written in time.
#[test]
fn dirty_cache() {
    let diagnosis = diagnose(&incident(container(&[("anon", 10), ("file", 50), ("file_dirty", 40), ("shmem", 0)])));
    assert!(found(&diagnosis, "cache_not_reclaimable") && advised(&diagnosis, "Write less at once"));
}

/// Program text that another cgroup paid for does not count here, and that is said.
#[test]
fn text_of_another_account() {
    let mut report = container(&[("anon", 60), ("file", 0)]);
    report.victims[0].file_bytes = Some(Bytes(30 * MIB));
    assert!(found(&diagnose(&incident(report)), "file_rss"));
}

/// A limit that was raised and filled again is not raised a second time.
#[test]
fn a_raise_that_did_not_help() {
    let mut again = incident(container(&[("anon", 63)]));
    assert!(advised(&diagnose(&again), "Try a limit of 96 MiB"));
    again.recurrence = Some(Recurrence {
        same_pod: 3,
        same_victim_name: 3,
        any_within_minute: 12,
        previous_limit_bytes: Some(32 * MIB),
        ..Recurrence::default()
    });
    let diagnosis = diagnose(&again);
    assert!(!advised(&diagnosis, "Try a limit") && advised(&diagnosis, "Look for a leak"));
    assert_eq!(diagnosis.findings.iter().filter(|f| f.rule == "recurrence").count(), 3);
}

/// Plenty of memory free, but only in single pages; the reserve that is advised never is more than the machine can spare.
#[test]
fn fragmented() {
    let mut report = machine(&[
        ("active_anon", 100),
        ("inactive_anon", 100),
        ("active_file", 1),
        ("inactive_file", 1),
        ("free", 500),
    ]);
    report.order = Some(3);
    let block = |block_bytes, count| FreeBlocks { block_bytes: Bytes(block_bytes), count, types: None };
    let zone = |blocks| Zone {
        name: "Normal".into(),
        free_bytes: Some(Bytes(500 * MIB)),
        min_bytes: Some(Bytes(4 * MIB)),
        free_blocks: blocks,
        ..Zone::default()
    };
    report.node_memory.as_mut().unwrap().zones = vec![zone(vec![block(4096, 128_000), block(32768, 0)])];
    let diagnosis = diagnose(&incident(report.clone()));
    assert!(patch(&diagnosis, "Keep more memory free").contains("vm.min_free_kbytes=20971\n"));
    for ram in [None, Some(Bytes(64 * MIB))] {
        report.node_memory.as_mut().unwrap().ram_bytes = ram;
        assert!(!patch(&diagnose(&incident(report.clone())), "Keep more memory free").contains("min_free_kbytes"));
    }
    assert!(
        found(&diagnosis, "fragmentation") && diagnosis.summary.contains("no free block of 32 KiB"),
        "{}",
        diagnosis.summary
    );
    report.node_memory.as_mut().unwrap().zones = vec![zone(vec![block(32768, 16_000)])];
    assert!(!found(&diagnose(&incident(report)), "fragmentation"));
}

/// A 32-bit machine: HighMem has room, the kernel's own zone has none.
#[test]
fn low_memory() {
    let mut report =
        machine(&[("active_anon", 1), ("inactive_anon", 1), ("active_file", 1), ("inactive_file", 1), ("free", 600)]);
    let zone = |name: &str, free: u64| Zone {
        name: name.into(),
        free_bytes: Some(Bytes(free * MIB)),
        min_bytes: Some(Bytes(4 * MIB)),
        ..Zone::default()
    };
    report.node_memory.as_mut().unwrap().zones = vec![zone("Normal", 3), zone("HighMem", 597)];
    let diagnosis = diagnose(&incident(report));
    assert!(diagnosis.findings.iter().any(|f| f.title == "Only low memory ran out"));
}

/// Slab and memory in no statistic are told where processes do not explain the machine.
#[test]
fn memory_of_no_process() {
    let diagnosis = diagnose(&incident(machine(&[
        ("active_anon", 50),
        ("inactive_anon", 50),
        ("active_file", 5),
        ("inactive_file", 5),
        ("slab_unreclaimable", 400),
        ("free", 10),
    ])));
    let titles: Vec<&str> =
        diagnosis.findings.iter().filter(|f| f.rule == "node_memory").map(|f| f.title.as_str()).collect();
    assert_eq!(titles, ["Kernel objects hold much of the memory", "Much of the memory is in no statistic"]);
    assert_eq!(diagnosis.killer, Killer::Node);
}

/// The request follows from oom_score_adj where the machine's size is known: (1000 - 900) / 1000 of 1 GiB.
#[test]
fn request() {
    let diagnosis = diagnose(&incident(machine(&[])));
    let detail = diagnosis.findings.iter().find(|f| f.rule == "request_inference").map(|f| f.detail.as_str());
    assert!(detail.is_some_and(|d| d.contains("about 10.0 %") && d.contains("102.4 MiB of 1 GiB")), "{detail:?}");
}

/// Of an empty report nothing is claimed, and the gaps say what was missing, each once.
#[test]
fn nothing_known() {
    let diagnosis = diagnose(&incident(KernelReport::default()));
    assert_eq!((diagnosis.killer, diagnosis.memory.is_some()), (Killer::Unknown, false));
    assert!(diagnosis.findings.iter().all(|f| f.rule == "lost_records"));
    let mut gaps = diagnosis.gaps.clone();
    gaps.dedup();
    assert!(!gaps.is_empty() && gaps == diagnosis.gaps);
}

/// Numbers of a hostile log overflow nothing, names reach no terminal.
#[test]
fn hostile() {
    let big = Some(Bytes(u64::MAX));
    let mut report = container(&[
        ("anon", u64::MAX / MIB),
        ("file", u64::MAX / MIB),
        ("kernel", u64::MAX / MIB),
        ("shmem", u64::MAX / MIB),
    ]);
    (report.usage_bytes, report.limit_bytes, report.order) = (big, big, Some(i32::MAX));
    report.trigger = Some(Trigger { comm: Some("\x1b]0;x\x07".into()), ..Trigger::default() });
    report.victims[0] = Victim {
        comm: Some("a\nb\u{202e}".into()),
        anon_bytes: big,
        shmem_bytes: big,
        file_bytes: big,
        ..Victim::default()
    };
    report.tasks = vec![
        Task {
            rss_bytes: big,
            swap_bytes: big,
            pgtables_bytes: big,
            oom_score_adj: Some(i32::MIN),
            ..Task::default()
        };
        3
    ];
    for scope in [Some(Scope::Memcg), Some(Scope::Global), None] {
        for page in [None, Some(0), Some(1), Some(u64::MAX)] {
            (report.scope, report.page_size_bytes) = (scope, page);
            let diagnosis = diagnose(&incident(report.clone()));
            assert!(!diagnosis.summary.contains(|c: char| c.is_control() || c == '\u{202e}'));
            assert!(!diagnosis.summary.contains("EiB resident"), "{}", diagnosis.summary);
            assert!(diagnosis.gaps.iter().any(|g| g.wanted == "sizes of all processes"));
        }
    }
}

/// The text to paste of the first remedy with these words in its title.
fn patch(diagnosis: &Diagnosis, title: &str) -> String {
    let remedy = diagnosis.remedies.iter().find(|r| r.title.contains(title));
    remedy.and_then(|r| r.patch.clone()).unwrap_or_default()
}

/// What the kubelet is told to keep free follows the machine's size, and never is more than the machine has.
#[test]
fn eviction_threshold_fits_the_machine() {
    for (mib, threshold) in [(206, "11Mi"), (2048, "103Mi"), (1 << 20, "52429Mi")] {
        let mut report =
            machine(&[("active_anon", 1), ("inactive_anon", 1), ("active_file", 1), ("inactive_file", 1), ("free", 1)]);
        report.node_memory.as_mut().unwrap().ram_bytes = Some(Bytes(mib * MIB));
        let patch = patch(&diagnose(&incident(report)), "Find what took the machine's memory");
        assert!(patch.contains(&format!("memory.available: \"{threshold}\"")), "{patch}");
    }
}

/// cgroup v1: where memory and swap together are at their limit, that limit must rise too.
#[test]
fn the_limit_with_swap_rises_too() {
    let mut report = container(&[("anon", 63)]);
    let both = Bytes(80 * MIB);
    report.memory_swap = Some(Counter { usage_bytes: both, limit_bytes: both, failcnt: None });
    let diagnosis = diagnose(&incident(report));
    assert!(advised(&diagnosis, "Try a limit of 96 MiB, and one of 112 MiB for memory and swap together"));
    assert!(patch(&diagnosis, "Try a limit").contains(&(112 * MIB).to_string()));
}

/// A monitor beside the victim's own cgroup is no sign that the container goes on.
#[test]
fn a_monitor_is_no_survivor() {
    let mut report = container(&[("anon", 63)]);
    let limit = "/machine.slice/libpod-e71e58724090";
    (report.limit_cgroup, report.victim_cgroup) =
        (Some(limit.into()), Some(format!("{limit}/container").as_str().into()));
    report.tasks = tasks(2, MIB);
    let diagnosis = diagnose(&incident(report));
    let finding =
        diagnosis.findings.iter().find(|f| f.rule == "survivors").map(|f| (f.title.as_str(), f.detail.as_str()));
    assert!(
        finding
            .is_some_and(|(title, detail)| title == "Others live on under this limit" && !detail.contains("goes on"))
    );
}

/// Which kind of kernel memory it is, is told only where the statistics itemise it.
#[test]
fn kernel_memory_of_unknown_kind() {
    let old = diagnose(&incident(container(&[("rss", 4), ("cache", 0), ("mapped_file", 0)])));
    let told = |d: &Diagnosis| {
        d.findings.iter().find(|f| f.rule == "kernel_memory").map(|f| f.detail.clone()).unwrap_or_default()
    };
    assert!(told(&old).contains("the log cannot tell") && !told(&old).contains("pipe"), "{}", told(&old));
    let new =
        diagnose(&incident(container(&[("anon", 4), ("file", 0), ("file_mapped", 0), ("slab_unreclaimable", 1)])));
    assert!(
        told(&new).contains("pipe buffers") && !patch(&new, "Find who makes").contains("slabtop"),
        "{}",
        told(&new)
    );
}

/// A share of a machine whose size the report does not state, or a class that the path does not name, infers nothing.
#[test]
fn no_request_without_a_machine() {
    assert!(!found(&diagnose(&incident(container(&[("anon", 60)]))), "request_inference"));
    let mut report = machine(&[]);
    report.victim_cgroup = Some("/kubepods/pod0890e4ec-26c7-4b33-a1da-e364a1f444fc".into());
    assert!(!found(&diagnose(&incident(report)), "request_inference"));
}

/// What the reading of the log has said is not said again by a rule.
#[test]
fn a_gap_is_told_once() {
    let mut incident = incident(KernelReport { trigger: None, ..container(&[("anon", 60)]) });
    let wanted = |d: &Diagnosis| d.gaps.iter().any(|g| g.wanted == "who asked for the memory");
    assert!(wanted(&diagnose(&incident)));
    incident.gaps.push(Gap::new("trigger, gfp mask and order", "cut"));
    assert!(!wanted(&diagnose(&incident)));
}

/// Of processes that could not be killed only those are called exempt that the table shows to be.
#[test]
fn not_killable_is_not_always_exempt() {
    let mut report = KernelReport {
        victims: Vec::new(),
        no_killable_process: true,
        group_kill: None,
        tasks: tasks(4, MIB),
        ..container(&[("anon", 60)])
    };
    let summary = |report: &KernelReport| diagnose(&incident(report.clone())).summary;
    assert!(summary(&report).contains("none of its 4 processes could be killed (exempt, or dying already)"));
    assert!(!advised(&diagnose(&incident(report.clone())), "Take oom_score_adj -1000 away"));
    report.tasks.iter_mut().for_each(|t| t.oom_score_adj = Some(-1000));
    assert!(summary(&report).contains("none of its 4 processes may be killed (oom_score_adj -1000)"));
}

/// A table with lost rows shows neither that nobody was left nor that there was no other candidate.
#[test]
fn lost_rows_may_be_survivors() {
    let mut report = KernelReport { tasks: tasks(1, 60 * MIB), ..container(&[("anon", 60)]) };
    let titles = |report: &KernelReport| -> Vec<String> {
        diagnose(&incident(report.clone())).findings.into_iter().map(|f| f.title).collect()
    };
    let claims = |titles: &[String]| {
        titles.iter().filter(|t| *t == "Nobody was left" || *t == "There was no other candidate").count()
    };
    assert_eq!(claims(&titles(&report)), 2);
    report.extent.records_lost = 3;
    assert_eq!(claims(&titles(&report)), 0, "{:?}", titles(&report));
}

/// docker's total of memory and swap rises by as much as the limit, and is left alone where it is not in the log.
#[test]
fn docker_keeps_its_swap() {
    let mut report = container(&[("anon", 63)]);
    let docker = "/docker/172e30fe200e6484f603f731aa2b2990aaea8dc6363e772d02cde59500cb438f";
    (report.limit_cgroup, report.victim_cgroup) = (Some(docker.into()), Some(docker.into()));
    let command = |report: &KernelReport| patch(&diagnose(&incident(report.clone())), "Try a limit");
    assert_eq!(command(&report), "docker update --memory 96m 172e30fe200e");
    report.memory_swap = Some(Counter { usage_bytes: Bytes(70 * MIB), limit_bytes: Bytes(128 * MIB), failcnt: None });
    assert_eq!(command(&report), "docker update --memory 96m --memory-swap 160m 172e30fe200e");
}

/// A log without the lines of level info cannot show that it was no group kill.
#[test]
fn a_filtered_log_does_not_deny_a_group_kill() {
    let denied = |report: KernelReport| {
        !diagnose(&incident(report)).gaps.iter().any(|g| g.wanted == "whether the whole cgroup was killed")
    };
    assert!(denied(container(&[("anon", 63)])));
    let mut filtered = container(&[]);
    filtered.extent.usage = false;
    assert!(!denied(filtered));
}
