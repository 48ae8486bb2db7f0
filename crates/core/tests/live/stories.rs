//! Recorded minutes made by hand: a container of 64 MiB, killed at one instant, that filled up in different ways.

use oomscope_core::evidence::{
    Constraint, CounterChange, Counters, Events, Evidence, KernelReport, Limits, LogExtent, Part, Scope, Task,
    TaskTable, Trigger, Victim,
};
use oomscope_core::incident::timeline::{CgroupRecord, ProcessPoint, ProcessRecord, Role, Timeline};
use oomscope_core::incident::{Incident, Origin};
use oomscope_core::recorder::{Sample, Series};
use oomscope_core::text::Untrusted;
use oomscope_core::time::{BootTime, When};
use oomscope_core::units::{Bytes, Limit};

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const POD: &str = "/kubepods/burstable/pod0890e4ec-26c7-4b33-a1da-e364a1f444fc";
pub(crate) const CONTAINER: &str = "/kubepods/burstable/pod0890e4ec-26c7-4b33-a1da-e364a1f444fc/\
                             aea2a6cfac1a387209a5b99fff8397e5938619d3734e841c698440227869c61f";
pub(crate) const SIDECAR: &str = "/kubepods/burstable/pod0890e4ec-26c7-4b33-a1da-e364a1f444fc/\
                           bbb2a6cfac1a387209a5b99fff8397e5938619d3734e841c698440227869c61f";
/// 20 minutes after boot.
pub(crate) const KILL: u64 = 1_200_000_000;
const LIMIT: u64 = 64 * MIB;

/// The instants of a recorder that looks every second, and every 10 ms in the last `hot_us` before the kill.
pub(crate) fn instants(length_us: u64, hot_us: u64) -> Vec<u64> {
    let calm = (KILL - length_us..KILL - hot_us).step_by(1_000_000);
    let hot = (KILL - hot_us..KILL).step_by(10_000);
    calm.chain(hot).collect()
}

/// Samples of what a function says of each instant.
pub(crate) fn rows(instants: &[u64], sample: impl Fn(u64, Sample) -> Sample) -> Vec<Sample> {
    instants.iter().map(|&at| sample(at, Sample::new(BootTime(at)))).collect()
}

/// A container that only has anonymous memory.
pub(crate) fn anon(bytes: u64, sample: Sample) -> Sample {
    sample.with(Series::Current, bytes).with(Series::Anon, bytes).with(Series::File, 0).with(Series::Shmem, 0)
}

pub(crate) fn record(cgroup: &str, role: Role, limit: Option<u64>, samples: Vec<Sample>) -> CgroupRecord {
    CgroupRecord {
        cgroup: cgroup.into(),
        role,
        limits: Limits {
            max_bytes: Some(limit.map_or(Limit::Unlimited, |bytes| Limit::At(Bytes(bytes)))),
            ..Limits::default()
        },
        base_interval_us: 1_000_000,
        lifetime_peak_bytes: None,
        rows: samples.into_iter().collect(),
    }
}

/// Recorded for 15 minutes, whenever the container was made.
pub(crate) fn timeline(cgroups: Vec<CgroupRecord>, processes: Vec<ProcessRecord>) -> Timeline {
    Timeline { from_us: BootTime(KILL - 900_000_000), to_us: BootTime(KILL + 1_000_000), cgroups, processes }
}

/// A process of anonymous memory.
pub(crate) fn process(pid: u32, comm: &str, cgroup: &str, points: &[(u64, u64)]) -> ProcessRecord {
    let point = |&(at, anon): &(u64, u64)| ProcessPoint {
        at_us: BootTime(at),
        anon_bytes: Bytes(anon),
        ..ProcessPoint::default()
    };
    ProcessRecord {
        pid,
        comm: comm.into(),
        cgroup: cgroup.into(),
        points: points.iter().map(point).collect(),
        ..ProcessRecord::default()
    }
}

/// What the kernel's log says of it.
pub(crate) fn report(limit: &str, victim_cgroup: &str, victim: (u32, &str, u64)) -> KernelReport {
    let (pid, comm, anon) = victim;
    KernelReport {
        scope: Some(Scope::Memcg),
        constraint: Some(Constraint::Memcg),
        trigger: Some(Trigger { pid: Some(pid), comm: Some(comm.into()), ..Trigger::default() }),
        order: Some(0),
        limit_cgroup: Some(limit.into()),
        victim_cgroup: Some(victim_cgroup.into()),
        usage_bytes: Some(Bytes(LIMIT)),
        limit_bytes: Some(Bytes(LIMIT)),
        victims: vec![Victim { pid, comm: Some(comm.into()), anon_bytes: Some(Bytes(anon)), ..Victim::default() }],
        group_kill: Some(false),
        tasks: vec![Task { pid, tgid: Some(pid), comm: comm.into(), rss_bytes: Some(Bytes(anon)), ..Task::default() }],
        task_table: TaskTable { header_seen: true, rows_damaged: 0 },
        extent: LogExtent { header: true, usage: true, oom_kill_line: true, kill_line: true, ..LogExtent::default() },
        ..KernelReport::default()
    }
}

/// The report as an incident from a log, with the lines that name things.
pub(crate) fn from_log(report: KernelReport) -> Incident {
    let evidence = |part: Part, line, text: &str| Evidence {
        id: part.into(),
        part,
        lines: Some((line, line)),
        text: vec![Untrusted::from(text)],
    };
    Incident {
        at: When { boot_us: Some(BootTime(KILL)), ..When::default() },
        origin: Origin { source: "klog".to_owned(), boot_id: Some("0f1e2d3c-aaaa".to_owned()), ..Origin::default() },
        kills: vec![report],
        evidence: vec![
            evidence(Part::OomKill, 1, "oom-kill:constraint=CONSTRAINT_MEMCG,…"),
            evidence(Part::Kill, 2, "Memory cgroup out of memory: Killed process …"),
        ],
        ..Incident::default()
    }
}

/// An incident of one container that was recorded.
pub(crate) fn recorded(samples: Vec<Sample>) -> Incident {
    let mut incident = from_log(report(CONTAINER, CONTAINER, (4711, "java", 63 * MIB)));
    incident
        .add_live(Some(timeline(vec![record(CONTAINER, Role::Limit, Some(LIMIT), samples)], Vec::new())), Vec::new());
    incident
}

/// v2: `(oom, oom_kill)` of the cgroup itself and with all below, before always 0.
pub(crate) fn v2(cgroup: &str, own: (u64, u64), all: (u64, u64)) -> CounterChange {
    let events = |(oom, kill)| Some(Events { oom: Some(oom), oom_kill: Some(kill), ..Events::default() });
    let counters = |own, all| Some(Counters { local: events(own), hierarchical: events(all), ..Counters::default() });
    change(cgroup, counters((0, 0), (0, 0)), counters(own, all))
}

/// v1: `failcnt` and `oom_kill`, before always 0.
pub(crate) fn v1(cgroup: &str, failcnt: u64, oom_kill: u64) -> CounterChange {
    let counters = |failcnt, kill| {
        Some(Counters {
            local: Some(Events { oom_kill: Some(kill), ..Events::default() }),
            failcnt: Some(failcnt),
            ..Counters::default()
        })
    };
    change(cgroup, counters(0, 0), counters(failcnt, oom_kill))
}

fn change(cgroup: &str, before: Option<Counters>, after: Option<Counters>) -> CounterChange {
    CounterChange { cgroup: cgroup.into(), before, after, usage_bytes: None, limits: Limits::default(), removed: false }
}

/// A spike within the last 0.4 s, of a kernel with an exact peak; and the counters.
pub(crate) fn spike() -> Incident {
    let at = |at: u64| match KILL - at {
        before @ 0..=400_000 => 20 * MIB + 43 * MIB * (400_000 - before) / 400_000,
        before => (20 + before / 1_000_000 % 3) * MIB,
    };
    let mut samples = rows(&instants(900_000_000, 400_000), |t, sample| {
        anon(at(t), sample).with(Series::Peak, at(t)).with(Series::Max, 0).with(Series::Processes, 2)
    });
    samples.push(anon(MIB, Sample::new(BootTime(KILL + 20_000))).with(Series::Peak, LIMIT).with(Series::Processes, 1));
    samples.push(anon(MIB, Sample::new(BootTime(KILL + 1_000_000))).with(Series::Peak, MIB).with(Series::Processes, 1));
    let processes = vec![
        process(
            4711,
            "java",
            CONTAINER,
            &[(KILL - 60_000_000, 18 * MIB), (KILL - 1_000_000, 18 * MIB), (KILL - 10_000, 60 * MIB)],
        ),
        process(4700, "sh", CONTAINER, &[(KILL - 60_000_000, MIB), (KILL + 500_000, MIB)]),
    ];
    let mut report = report(CONTAINER, CONTAINER, (4711, "java", 62 * MIB));
    let shell = Task { pid: 4700, tgid: Some(4700), comm: "sh".into(), rss_bytes: Some(Bytes(MIB)), ..Task::default() };
    report.tasks.push(shell);
    let mut incident = from_log(report);
    incident.add_live(
        Some(timeline(vec![record(CONTAINER, Role::Limit, Some(LIMIT), samples)], processes)),
        vec![v2(CONTAINER, (1, 1), (1, 1)), v2(POD, (0, 0), (1, 1)), v2("/kubepods", (0, 0), (1, 1))],
    );
    incident
}

/// A leak of the application; the sidecar beside it, under the limit of the pod, was killed. Only the counters tell of it.
pub(crate) fn sidecar_killed_unseen() -> Incident {
    let leak = |at: u64, sample| anon(10 * MIB + (at - (KILL - 600_000_000)) / 600 * 53 * MIB / 1_000_000, sample);
    let instants = instants(600_000_000, 500_000);
    let pod = rows(&instants, |at, sample| {
        let sample: Sample = leak(at, sample);
        let near_miss = u64::from(at > KILL - 100_000_000) * 7;
        sample.with(Series::Max, near_miss).with(Series::PressureSome, at / 10).with(Series::PressureFull, at / 40)
    });
    let member = rows(&instants, leak);
    let sidecar = rows(&instants, |_, sample| anon(2 * MIB, sample));
    let grows: Vec<(u64, u64)> =
        (0..=20).map(|n| (KILL - 600_000_000 + n * 30_000_000 - 1, (8 + n * 53 / 20) * MIB)).collect();
    let timeline = timeline(
        vec![
            record(POD, Role::Limit, Some(LIMIT), pod),
            record(SIDECAR, Role::Victim, None, sidecar),
            record(CONTAINER, Role::Member, None, member),
        ],
        vec![
            process(4711, "java", CONTAINER, &grows),
            process(4800, "envoy", SIDECAR, &[(KILL - 600_000_000, 2 * MIB), (KILL - 1000, 2 * MIB)]),
        ],
    );
    let victim =
        Victim { pid: 4800, comm: Some("envoy".into()), anon_bytes: Some(Bytes(2 * MIB)), ..Victim::default() };
    let mut pod = v2(POD, (1, 0), (1, 1));
    pod.limits.max_bytes = Some(Limit::At(Bytes(LIMIT)));
    let counters = vec![v2(SIDECAR, (0, 1), (0, 1)), pod, v2("/kubepods", (0, 0), (1, 1))];
    let gap =
        oomscope_core::evidence::Gap::new("kernel log of the kill", "/dev/kmsg was overrun: 120 records were lost");
    let at = When { boot_us: Some(BootTime(KILL)), ..When::default() };
    Incident::from_counters(at, Some("0f1e2d3c-aaaa".to_owned()), counters, Some(timeline), vec![victim], vec![gap])
}
