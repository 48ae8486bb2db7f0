//! Cases made by hand, one for each shape that a report has to cope with. The numbers are those of real logs.

use indexmap::IndexMap;
use oomscope_core::case::Case;
use oomscope_core::diagnosis::{
    Choice, Confidence, Diagnosis, Finding, Killer, MemoryPart, MemoryUse, Ranked, Ranking, Remedy,
};
use oomscope_core::evidence::{
    Constraint, Counter, Evidence, Gap, KernelReport, LogExtent, NodeMemory, Part, Scope, Swap, Task, Trigger, Victim,
    Zone,
};
use oomscope_core::incident::history::Recurrence;
use oomscope_core::incident::identity::Identity;
use oomscope_core::incident::{Incident, Origin};
use oomscope_core::text::Untrusted;
use oomscope_core::time::{BootTime, When};
use oomscope_core::units::Bytes;

const POD: &str =
    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod9f3c0a12_77de_4c1b_9d2e_5a0b8c4d1e6f.slice";
const CONTAINER: &str = "cri-containerd-4be1c2d03a77f1d9a5c86f0b2e9d7a3c1f4e8b6d5a2c9e7f0b1d3a5c7e9f2b4d.scope";

fn kib(n: u64) -> Option<Bytes> {
    Some(Bytes::from_kib(n))
}

fn mib(n: u64) -> Option<Bytes> {
    kib(n * 1024)
}

fn evidence(part: Part, lines: (u64, u64), text: &[&str]) -> Evidence {
    Evidence {
        id: part.into(),
        part,
        lines: Some(lines),
        text: text.iter().map(|&line| Untrusted::from(line)).collect(),
    }
}

fn finding(rule: &str, title: &str, detail: &str, parts: &[Part]) -> Finding {
    Finding {
        kind: None,
        rule: rule.to_owned(),
        title: title.to_owned(),
        detail: detail.to_owned(),
        evidence: parts.iter().map(|&part| part.into()).collect(),
    }
}

fn remedy(title: &str, detail: &str, patch: Option<&str>) -> Remedy {
    Remedy { title: title.to_owned(), detail: detail.to_owned(), patch: patch.map(str::to_owned) }
}

fn origin(file: &str, lines: (u64, u64)) -> Origin {
    Origin { source: "klog".to_owned(), file: Some(file.to_owned()), lines: Some(lines), host: None, boot_id: None }
}

fn incident(at: When, origin: Origin, report: KernelReport) -> Incident {
    Incident { at, origin, kills: vec![report], ..Incident::default() }
}

fn task(pid: u32, comm: &str, rss_kib: u64, adj: i32) -> Task {
    Task {
        pid,
        tgid: Some(pid),
        uid: Some(1000),
        comm: comm.into(),
        total_vm_bytes: kib(rss_kib * 3),
        rss_bytes: kib(rss_kib),
        pgtables_bytes: kib(rss_kib / 400 + 40),
        swap_bytes: Some(Bytes(0)),
        oom_score_adj: Some(adj),
        ..Task::default()
    }
}

fn ranked(task: &Task, points: i64, adj_points: i64, is_victim: bool) -> Ranked {
    Ranked {
        pid: task.pid,
        comm: task.comm.clone(),
        points,
        adj_points,
        share_permille: None,
        eligible: task.oom_score_adj != Some(-1000),
        is_victim,
    }
}

fn ranking(rows: Vec<Ranked>, rows_omitted: u64, choice: Choice) -> Option<Ranking> {
    Some(Ranking { domain_bytes: None, rows, rows_omitted, choice, adj_decided: false })
}

fn memory(usage: u64, limit: u64, unaccounted_bytes: u64, parts: &[(&str, u64, bool)]) -> Option<MemoryUse> {
    let part =
        |&(name, bytes, reclaimable): &(&str, u64, bool)| MemoryPart { name: name.to_owned(), bytes, reclaimable };
    Some(MemoryUse {
        usage_bytes: usage,
        limit_bytes: Some(limit),
        parts: parts.iter().map(part).collect(),
        unaccounted_bytes,
        overcounted_bytes: 0,
    })
}

/// One process over the limit of its container, cgroup v2, in Kubernetes: the ordinary case.
pub(crate) fn container_limit() -> Case {
    let cgroup = format!("{POD}/{CONTAINER}");
    let report = KernelReport {
        scope: Some(Scope::Memcg),
        constraint: Some(Constraint::Memcg),
        trigger: Some(Trigger {
            pid: Some(2301),
            comm: Some("libuv-worker".into()),
            oom_score_adj: Some(987),
            ..Trigger::default()
        }),
        gfp_mask: Some("0xcc0".to_owned()),
        gfp_flags: Some("GFP_KERNEL".to_owned()),
        order: Some(0),
        limit_cgroup: Some(cgroup.as_str().into()),
        victim_cgroup: Some(cgroup.as_str().into()),
        usage_bytes: kib(131_072),
        limit_bytes: kib(131_072),
        failcnt: Some(1297),
        swap: Some(Counter { usage_bytes: Bytes(0), limit_bytes: Bytes(0), failcnt: Some(0) }),
        group_kill: Some(false),
        victims: vec![Victim {
            pid: 2295,
            comm: Some("node".into()),
            uid: Some(1000),
            total_vm_bytes: kib(1_046_528),
            anon_bytes: kib(123_904),
            file_bytes: kib(3_180),
            shmem_bytes: Some(Bytes(0)),
            pgtables_bytes: kib(1_204),
            oom_score_adj: Some(987),
            cgroup: Some(cgroup.as_str().into()),
            ..Victim::default()
        }],
        tasks: vec![task(2295, "node", 127_084, 987), task(2271, "sh", 712, 987), task(2250, "tini", 4, -1000)],
        memory_stat: Some(IndexMap::from([
            ("anon".to_owned(), 126_877_696),
            ("file".to_owned(), 2_404_352),
            ("shmem".to_owned(), 1_048_576),
            ("kernel".to_owned(), 4_718_592),
        ])),
        kernel_release: Some("6.1.0-28-cloud-amd64".to_owned()),
        page_size_bytes: Some(4096),
        cgroup_version: Some(2),
        extent: LogExtent { header: true, usage: true, oom_kill_line: true, kill_line: true, ..LogExtent::default() },
        ..KernelReport::default()
    };
    let at = When {
        boot_us: Some(BootTime(185_574_805)),
        wall: Some("2026-04-04T03:41:03.574805Z".parse().unwrap()),
        wall_local: None,
    };
    let mut origin = origin("kern.log", (120, 180));
    origin.host = Some("worker-7".to_owned());
    let mut incident = incident(at, origin, report);
    incident.identity = Some(Identity {
        pod_uid: Some("9f3c0a12-77de-4c1b-9d2e-5a0b8c4d1e6f".to_owned()),
        container_id: Some("4be1c2d03a77f1d9a5c86f0b2e9d7a3c1f4e8b6d5a2c9e7f0b1d3a5c7e9f2b4d".to_owned()),
        runtime: Some("containerd".to_owned()),
        qos: Some("burstable".to_owned()),
        ..Identity::default()
    });
    incident.recurrence = Some(Recurrence {
        same_cgroup: 0,
        same_pod: 3,
        same_victim_name: 3,
        any_within_minute: 0,
        first_at: Some(BootTime(20_000_000)),
        previous_at: Some(BootTime(103_000_000)),
        since_previous_us: None,
        previous_limit_bytes: Some(134_217_728),
    });
    incident.evidence = vec![
        evidence(
            Part::Header,
            (120, 120),
            &["libuv-worker invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=987"],
        ),
        evidence(Part::Usage, (141, 141), &["memory: usage 131072kB, limit 131072kB, failcnt 1297"]),
        evidence(
            Part::TaskTable,
            (172, 175),
            &[
                "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
                "[   2250]     0  2250      192        1    40960        0         -1000 tini",
                "[   2271]  1000  2271      402      178    45056        0           987 sh",
                "[   2295]  1000  2295   261632    31771  1232896        0           987 node",
            ],
        ),
        evidence(
            Part::OomKill,
            (176, 176),
            &[&format!(
                "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset={CONTAINER},mems_allowed=0,oom_memcg={cgroup},task_memcg={cgroup},task=node,pid=2295,uid=1000"
            )],
        ),
        evidence(
            Part::Kill,
            (177, 177),
            &[
                "Memory cgroup out of memory: Killed process 2295 (node) total-vm:1046528kB, anon-rss:123904kB, file-rss:3180kB, shmem-rss:0kB, UID:1000 pgtables:1204kB oom_score_adj:987",
            ],
        ),
    ];
    let diagnosis = Diagnosis {
        killer: Killer::ContainerLimit,
        confidence: Confidence::Certain,
        summary: "node (pid 2295) was killed because its container reached its limit of 128 MiB; 121 MiB of that was \
                  the process's own anonymous memory, so no cache could make room."
            .to_owned(),
        findings: vec![
            finding(
                "killer",
                "The limit of the container's own cgroup was reached",
                "The kernel names the container's cgroup as the one whose limit was hit, and its usage was 128 MiB of 128 MiB.",
                &[Part::OomKill, Part::Usage],
            ),
            finding(
                "badness",
                "The kernel's choice is confirmed",
                "node has the highest score of the 2 processes that could be killed.",
                &[Part::TaskTable, Part::Kill],
            ),
        ],
        remedies: vec![
            remedy(
                "Cap the heap of Node.js below the limit",
                "Node.js sizes its old space by the machine unless told; leave a quarter of the limit to buffers and \
                 stacks. It worked if the heap statistics level off below 96 MiB.",
                Some("env:\n- name: NODE_OPTIONS\n  value: \"--max-old-space-size=96\""),
            ),
            remedy(
                "Raise the limit if the process needs that much",
                "What it would have used is not known beyond the old limit; half as much again is a first step.",
                Some("resources:\n  limits:\n    memory: \"192Mi\"\n  requests:\n    memory: \"192Mi\"\n"),
            ),
        ],
        gaps: vec![Gap::new("the names of the pod and its container", "a kernel log has only their ids")],
        ranking: ranking(
            vec![
                ranked(&task(2295, "node", 0, 987), 64_500, 32_343, true),
                ranked(&task(2271, "sh", 0, 987), 32_533, 32_343, false),
                ranked(&task(2250, "tini", 0, -1000), 0, -32_768, false),
            ],
            0,
            Choice::Confirmed,
        ),
        memory: memory(
            134_217_728,
            134_217_728,
            217_088,
            &[
                ("anonymous", 126_877_696, false),
                ("page tables", 2_584_576, false),
                ("file cache", 1_355_776, true),
                ("tmpfs and shared memory", 1_048_576, false),
                ("slab", 1_134_016, false),
                ("slab (reclaimable)", 1_000_000, true),
            ],
        ),
        ..Diagnosis::default()
    };
    Case::new(incident, diagnosis)
}

/// A tmpfs filled by a process that has long gone; who dies is innocent and tiny. The limit is that of a plain cgroup.
pub(crate) fn tmpfs() -> Case {
    let report = KernelReport {
        scope: Some(Scope::Memcg),
        constraint: Some(Constraint::Memcg),
        trigger: Some(Trigger { pid: Some(141), comm: Some("innocent".into()), ..Trigger::default() }),
        order: Some(0),
        gfp_flags: Some("GFP_HIGHUSER_MOVABLE|__GFP_ZERO".to_owned()),
        limit_cgroup: Some("/system.slice/batch.service".into()),
        victim_cgroup: Some("/system.slice/batch.service/worker".into()),
        usage_bytes: kib(65_532),
        limit_bytes: kib(65_536),
        failcnt: Some(1),
        group_kill: Some(false),
        victims: vec![Victim {
            pid: 141,
            comm: Some("innocent".into()),
            uid: Some(0),
            anon_bytes: kib(612),
            file_bytes: kib(4),
            oom_score_adj: Some(0),
            ..Victim::default()
        }],
        tasks: vec![task(141, "innocent", 616, 0)],
        ..KernelReport::default()
    };
    let at = When {
        boot_us: Some(BootTime(788_645_123_456)),
        wall: None,
        wall_local: Some("2026-11-02T14:07:55".parse().unwrap()),
    };
    let mut incident = incident(at, origin("messages-20261102.xz", (88_120, 88_171)), report);
    incident.identity = Some(Identity { runtime: Some("systemd".to_owned()), ..Identity::default() });
    let diagnosis = Diagnosis {
        killer: Killer::CgroupLimit,
        confidence: Confidence::Certain,
        summary:
            "innocent (pid 141) was killed because /system.slice/batch.service reached its limit of 64 MiB, but it \
                  held less than 1 MiB: 62.4 MiB are files in a tmpfs that no living process accounts for."
                .to_owned(),
        remedies: vec![remedy(
            "Give the tmpfs a size and empty it",
            "Killing processes frees nothing here: the files stay until they are deleted or the tmpfs is unmounted.",
            Some("mount -o remount,size=32M /path/of/the/tmpfs"),
        )],
        ranking: ranking(vec![ranked(&task(141, "innocent", 0, 0), 165, 0, true)], 0, Choice::Confirmed),
        memory: memory(
            67_104_768,
            67_108_864,
            0,
            &[
                ("tmpfs and shared memory", 65_404_928, false),
                ("anonymous", 630_784, false),
                ("slab", 1_069_056, false),
            ],
        ),
        ..Diagnosis::default()
    };
    Case::new(incident, diagnosis)
}

/// The machine itself ran out of memory.
pub(crate) fn node() -> Case {
    let zone = |name: &str, free, min, low, managed, all_unreclaimable| Zone {
        node: 0,
        name: name.to_owned(),
        free_bytes: kib(free),
        min_bytes: kib(min),
        low_bytes: kib(low),
        managed_bytes: kib(managed),
        all_unreclaimable: Some(all_unreclaimable),
        ..Zone::default()
    };
    let report = KernelReport {
        scope: Some(Scope::Global),
        constraint: Some(Constraint::None),
        trigger: Some(Trigger {
            pid: Some(1188),
            comm: Some("kubelet".into()),
            oom_score_adj: Some(-999),
            ..Trigger::default()
        }),
        order: Some(0),
        gfp_flags: Some("GFP_HIGHUSER_MOVABLE|__GFP_ZERO".to_owned()),
        victim_cgroup: Some("/kubepods/besteffort/podaaaaaaaa-1111-2222-3333-bbbbbbbbbbbb/0123456789ab".into()),
        victims: vec![Victim {
            pid: 5120,
            comm: Some("stress".into()),
            uid: Some(0),
            anon_bytes: mib(2_211),
            oom_score_adj: Some(1000),
            ..Victim::default()
        }],
        tasks: vec![
            task(5120, "stress", 2_264_064, 1000),
            task(4100, "java", 9_437_184, 3),
            task(1188, "kubelet", 102_400, -999),
            task(801, "sshd", 6_144, -1000),
        ],
        node_memory: Some(NodeMemory {
            zones: vec![
                zone("DMA", 11_264, 64, 76, 15_360, true),
                zone("DMA32", 46_908, 12_284, 15_352, 3_045_120, false),
                zone("Normal", 54_644, 55_284, 69_104, 13_107_200, true),
            ],
            swap: Some(Swap { free_bytes: Some(Bytes(0)), total_bytes: Some(Bytes(0)) }),
            ..NodeMemory::default()
        }),
        ..KernelReport::default()
    };
    let at = When { boot_us: Some(BootTime(10_049_217)), wall: None, wall_local: None };
    let incident = incident(at, origin("dmesg.txt", (300, 390)), report);
    let diagnosis = Diagnosis {
        killer: Killer::Node,
        confidence: Confidence::Certain,
        summary:
            "The machine ran out of memory, and stress (pid 5120) was killed because its oom_score_adj of 1000 put \
                  it first, although java (pid 4100) held four times as much."
                .to_owned(),
        gaps: vec![Gap::new("who had grown", "a kernel log is one instant; nothing recorded the minutes before")],
        ranking: ranking(
            vec![
                ranked(&task(5120, "stress", 0, 1000), 4_601_221, 4_033_792, true),
                ranked(&task(4100, "java", 0, 3), 2_377_310, 12_101, false),
                ranked(&task(1188, "kubelet", 0, -999), -4_004_032, -4_029_758, false),
                ranked(&task(801, "sshd", 0, -1000), 0, 0, false),
            ],
            211,
            Choice::Confirmed,
        ),
        memory: memory(
            16_445_440_000,
            16_560_000_000,
            340_000_000,
            &[
                ("anonymous", 13_900_000_000, false),
                ("slab", 1_200_000_000, false),
                ("page tables", 400_000_000, false),
                ("file cache", 605_440_000, true),
            ],
        ),
        ..Diagnosis::default()
    };
    Case::new(incident, diagnosis)
}

/// All that a rate-limited report leaves.
pub(crate) fn bare_kill_line() -> Case {
    let report = KernelReport {
        scope: Some(Scope::Memcg),
        victims: vec![Victim { pid: 212, comm: Some("hog17".into()), anon_bytes: mib(47), ..Victim::default() }],
        extent: LogExtent { kill_line: true, rate_limited: true, ..LogExtent::default() },
        ..KernelReport::default()
    };
    let mut origin = origin("", (4021, 4021));
    origin.file = None;
    let mut incident = incident(When { boot_us: Some(BootTime(12_000_431)), ..When::default() }, origin, report);
    incident.gaps =
        vec![Gap::new("trigger, limit, statistics and task table", "rate-limited by the kernel: 10 reports in 5 s")];
    let diagnosis = Diagnosis {
        killer: Killer::Unknown,
        confidence: Confidence::Possible,
        summary: "hog17 (pid 212) was killed because some cgroup reached its limit; the kernel did not print which."
            .to_owned(),
        gaps: vec![
            Gap::new("which cgroup's limit", "the `oom-kill:` line is missing"),
            Gap::new("trigger, limit, statistics and task table", "rate-limited by the kernel: 10 reports in 5 s"),
        ],
        ..Diagnosis::default()
    };
    Case::new(incident, diagnosis)
}

/// Forty processes killed together by `memory.oom.group`.
pub(crate) fn group_kill() -> Case {
    let victim = |n: u32| Victim {
        pid: 3000 + n,
        comm: Some(if n == 0 { "php-fpm: master" } else { "php-fpm: pool" }.into()),
        uid: Some(33),
        anon_bytes: kib(6_100 + u64::from(n) * 7),
        shmem_bytes: kib(1_024),
        file_bytes: kib(300),
        oom_score_adj: Some(0),
        ..Victim::default()
    };
    let report = KernelReport {
        scope: Some(Scope::Memcg),
        constraint: Some(Constraint::Memcg),
        trigger: Some(Trigger { pid: Some(3017), comm: Some("php-fpm: pool".into()), ..Trigger::default() }),
        order: Some(0),
        limit_cgroup: Some("/kubepods/pod1234abcd-0000-4000-8000-00000000beef".into()),
        victim_cgroup: Some("/kubepods/pod1234abcd-0000-4000-8000-00000000beef/c1".into()),
        usage_bytes: mib(256),
        limit_bytes: mib(256),
        failcnt: Some(48),
        group_kill: Some(true),
        victims: (0..40).map(victim).collect(),
        tasks: (0..40).map(|n| task(3000 + n, "php-fpm: pool", 7_400, 0)).collect(),
        ..KernelReport::default()
    };
    let at = When { boot_us: Some(BootTime(4_000_000_000)), ..When::default() };
    let mut incident = incident(at, origin("kern.log", (10, 140)), report);
    incident.identity = Some(Identity {
        pod_uid: Some("1234abcd-0000-4000-8000-00000000beef".to_owned()),
        qos: Some("guaranteed".to_owned()),
        namespace: Some("shop".to_owned()),
        pod: Some("cart-7f9c".to_owned()),
        owner: Some("ReplicaSet/cart".to_owned()),
        ..Identity::default()
    });
    let diagnosis = Diagnosis {
        killer: Killer::PodLimit,
        confidence: Confidence::Certain,
        summary: "All 40 processes of the container were killed together because the pod reached its limit of 256 MiB."
            .to_owned(),
        remedies: vec![remedy("Run fewer workers", "Each worker holds about 6.1 MiB of its own.", None)],
        ranking: ranking(
            (0..40).map(|n| ranked(&task(3000 + n, "php-fpm: pool", 0, 0), 1_850 - i64::from(n), 0, n == 8)).collect(),
            0,
            Choice::Contradicted,
        ),
        memory: memory(
            268_435_456,
            268_435_456,
            20_000_000,
            &[("anonymous", 205_000_000, false), ("tmpfs and shared memory", 43_435_456, false)],
        ),
        ..Diagnosis::default()
    };
    Case::new(incident, diagnosis)
}

/// Names that try to act on whatever shows them: a terminal, a ticket system, a reader.
pub(crate) fn hostile() -> Case {
    let name: &[u8] = b"\x1b[2J\x1b[31m`|@all";
    let path = "/x\u{202e}gpj.exe/a|b`c/\u{1b}]0;owned\u{7}/<img src=x>/\u{2066}#1";
    let report = KernelReport {
        scope: Some(Scope::Memcg),
        constraint: Some(Constraint::Other("\u{9b}31m".to_owned())),
        trigger: Some(Trigger { pid: Some(9), comm: Some("a) b, c=(d".into()), ..Trigger::default() }),
        order: Some(3),
        gfp_flags: Some("GFP_\u{1b}[31m".to_owned()),
        limit_cgroup: Some(path.into()),
        victim_cgroup: Some(path.into()),
        limit_bytes: mib(16),
        usage_bytes: mib(16),
        victims: vec![Victim { pid: 10, comm: Some(name.into()), uid: Some(0), ..Victim::default() }],
        tasks: vec![
            Task { comm: b"\xff\xfe\x80bad"[..].into(), ..task(11, "", 100, 0) },
            task(12, "日本語\u{202e}", 90, 0),
        ],
        kernel_release: Some("6.1\n| x".to_owned()),
        ..KernelReport::default()
    };
    let mut origin = origin("kern\u{1b}[0m.log", (1, 3));
    origin.host = Some("ho\u{202e}st".to_owned());
    let mut incident = incident(When::default(), origin, report);
    incident.identity = Some(Identity {
        container: Some("<b>@team</b>".to_owned()),
        runtime: Some("docker\u{1b}c".to_owned()),
        ..Identity::default()
    });
    incident.evidence =
        vec![evidence(Part::Kill, (1, 2), &["Killed process 10 (\u{1b}[2J\u{1b}[31m`|@all) ```", "\u{202e}"])];
    incident.gaps = vec![Gap::new("line\u{1b}[1m 7", "torn\nin two")];
    let diagnosis = Diagnosis {
        killer: Killer::CgroupLimit,
        confidence: Confidence::Likely,
        // A stored case is a file that anyone may have edited.
        summary: "\u{1b}[2J @everyone <script>alert(1)</script> [x](https://x) `|`".to_owned(),
        findings: vec![finding("x", "# title | of \u{1b}[31m", "detail\n\n# heading", &[Part::Kill])],
        remedies: vec![remedy("1. do @this", "or *that*", Some("```\n\u{1b}[31mrm -rf\t/\n````"))],
        gaps: Vec::new(),
        ranking: ranking(
            vec![
                ranked(&Task { pid: 10, comm: name.into(), ..Task::default() }, 120, 0, true),
                ranked(&task(12, "日本語\u{202e}", 0, 0), 90, 0, false),
            ],
            0,
            Choice::Confirmed,
        ),
        memory: memory(16 << 20, 16 << 20, 1 << 20, &[("an\u{1b}[31mon|`", 15 << 20, false)]),
        ..Diagnosis::default()
    };
    Case::new(incident, diagnosis)
}

/// Every case with the name of its golden files.
pub(crate) fn all() -> Vec<(&'static str, Case)> {
    let mut all = vec![
        ("container_limit", container_limit()),
        ("tmpfs", tmpfs()),
        ("node", node()),
        ("bare_kill_line", bare_kill_line()),
        ("group_kill", group_kill()),
        ("hostile", hostile()),
    ];
    all.extend(super::code_cases::all());
    all
}
