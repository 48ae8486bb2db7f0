//! Recorded kernel logs, through the whole path, to the verdict and the sentence. Each log was printed by a real kernel that
//! killed in a known way; only registers and hardware names were cut out of it.

#![allow(clippy::disallowed_methods, reason = "a test may read its samples")]

use std::path::Path;

use oomscope_core::diagnosis::Killer::{self, *};
use oomscope_core::diagnosis::{Choice, Confidence, Diagnosis, diagnose};
use oomscope_core::formats::klog::Scanner;
use oomscope_core::incident::Incident;
use oomscope_core::incident::history::History;

/// Every case of a log.
fn cases(log: &[u8]) -> Vec<(Incident, Diagnosis)> {
    let mut events = Vec::new();
    let mut scanner = Scanner::new();
    scanner.push(log, &mut |event| events.push(event));
    scanner.finish(&mut |event| events.push(event));
    let mut history = History::new();
    events
        .into_iter()
        .map(|event| {
            let mut incident = Incident::from_log(event, None);
            incident.recurrence = history.observe(&incident);
            let diagnosis = diagnose(&incident);
            (incident, diagnosis)
        })
        .collect()
}

fn log(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/diagnosis/{name}.log")))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Log, killer of its first event, its sentence, and a rule that must have found something.
#[rustfmt::skip]
const STORIES: &[(&str, Killer, &str, &str)] = &[
    ("6.12-v2-a", ContainerLimit, "Container limit of 48 MiB reached: java (pid 193) grew to 47.8 MiB of anonymous memory and was killed.", "runtime"),
    ("5.10-v1-b", ContainerLimit, "Container limit of 40 MiB reached: node (pid 158) grew to 37.5 MiB of anonymous memory and was killed.", "survivors"),
    ("6.1-v2-c", PodLimit, "Pod limit of 64 MiB reached: java (pid 145) held 39.9 MiB of anonymous memory and was killed, when log-shipper (pid 146) asked for more.", "trigger_victim"),
    ("6.12-v2-d", ContainerLimit, "Container limit of 48 MiB reached: php-fpm (pid 181) with 32.4 MiB resident and 3 others were killed as a group (memory.oom.group); agent (pid 180), exempt by oom_score_adj -1000, lives.", "group_kill"),
    ("6.1-v1-e", Node, "The machine ran out of memory: batch-job (pid 236) with 12.3 MiB resident was killed first for its oom_score_adj of 1000, though python3 (pid 237) is larger with 108.2 MiB.", "watermarks"),
    ("6.12-v2-f", ContainerLimit, "Container limit of 48 MiB reached: 37.1 MiB of tmpfs files that no process maps fill it, and app (pid 188) was killed, though its own size of 10.8 MiB does not explain it.", "tmpfs"),
    ("6.18-v1-f", ContainerLimit, "Container limit of 48 MiB reached: 37.1 MiB of tmpfs files that no process maps fill it, and app (pid 24305) was killed, though its own size of 10.8 MiB does not explain it.", "tmpfs"),
    ("6.1-v2-f2", ContainerLimit, "Container limit of 40 MiB reached: mapper (pid 134) held 36.7 MiB of shared memory or tmpfs and was killed.", "tmpfs"),
    ("5.10-v2-h", ContainerLimit, "Container limit of 32 MiB reached: 26.2 MiB of kernel memory fill it, and innocent (pid 122), which held only 5.8 MiB, was killed for that.", "kernel_memory"),
    ("6.12-v2-h", ContainerLimit, "Container limit of 32 MiB reached: 26.1 MiB of kernel memory fill it, and innocent (pid 183), which held only 5.9 MiB, was killed for that.", "kernel_memory"),
    ("6.1-v2-h2", CgroupLimit, "Limit of docker container 172e30fe200e, 24 MiB, reached: 20.1 MiB of kernel memory fill it, and innocent (pid 116), which held only 3.8 MiB, was killed for that.", "kernel_memory"),
    ("6.1-v2-i", ContainerLimit, "Container limit of 16 MiB reached: 13 MiB of tmpfs files that no process maps fill it, and none of its 2 processes may be killed.", "no_killable_process"),
    ("6.1-v1-j", ContainerLimit, "Container limit of 32 MiB reached with its swap full: java (pid 148) grew to 30.7 MiB of anonymous memory, with 15.3 MiB more in swap, and was killed.", "swap"),
    ("6.12-v2-j", ContainerLimit, "Container limit of 32 MiB reached with its swap full: java (pid 183) grew to 31.6 MiB of anonymous memory, with 14.3 MiB more in swap, and was killed.", "swap"),
    ("6.1-v2-k1", Cpuset, "Memory node 1, all that a cpuset allows, ran out: numa-app (pid 147) with 24.7 MiB resident was killed.", "killer"),
    ("5.10-v1-k2", MemoryPolicy, "Memory node 1, all that a memory policy allows, ran out: elsewhere (pid 150) with 20.3 MiB resident, perhaps none of it there, was killed first for its oom_score_adj of 900, though mbind-app (pid 152) is larger with 46.9 MiB.", "killer"),
    ("6.1-v2-l", Node, "The machine ran out of memory: allocator (pid 170) with 138.1 MiB resident was killed because it asked for memory at that moment, not for its size.", "badness"),
    ("6.12-v2-m", Node, "Somebody asked the kernel for this kill (sysrq-f), whether or not memory was short: unlucky (pid 176) with 20.2 MiB resident was killed first for its oom_score_adj of 1000, though lucky (pid 177) is larger with 25.1 MiB.", "sysrq"),
    ("6.12-v2-n", CgroupLimit, "Limit of docker container c728c7484933, 24 MiB, reached: ruby (pid 169) grew to 23.9 MiB of anonymous memory and was killed.", "bucket"),
    ("6.1-v2-o", ContainerLimit, "Container limit of 6 MiB reached: crash-9 (pid 221) grew to 5.9 MiB of anonymous memory and was killed.", "limit_probe"),
    ("6.12-v2-s", CgroupLimit, "Limit of docker container 9d133ec25da3, 24 MiB, reached: worker (pid 168) grew to 23.9 MiB of anonymous memory and was killed.", "survivors"),
    ("5.10-v2-u", ContainerLimit, "Container limit reached: etl-job (pid 131) with 30.4 MiB resident was killed.", "lost_records"),
    ("6.12-v2-w", CgroupLimit, "Limit of podman container e71e58724090, 32 MiB, reached: java (pid 176) grew to 31.5 MiB of anonymous memory and was killed.", "trigger_victim"),
    ("6.1-v2-x", ContainerLimit, "Container limit of 24 MiB reached: the kernel panicked instead of killing a process, as it was set up to.", "panic_on_oom"),
    ("6.1-v1-y", AncestorLimit, "Limit of all pods (kubepods), 64 MiB, reached: best-effort (pid 164) with 12.3 MiB resident was killed first for its oom_score_adj of 1000, though burst (pid 165) is larger with 52.8 MiB.", "badness"),
    ("5.10-v1-z", ContainerLimit, "Container limit of 24 MiB reached: deep-app (pid 177) grew to 23.9 MiB of anonymous memory and was killed.", "killer"),
];

/// Killer, level and sentence of every kind of kill are the ones that were caused.
#[test]
fn every_story_is_told_right() {
    for (name, killer, summary, rule) in STORIES {
        let cases = cases(&log(name));
        let (_, diagnosis) = cases.first().unwrap_or_else(|| panic!("{name}: no event"));
        assert_eq!((diagnosis.killer, diagnosis.summary.as_str()), (*killer, *summary), "{name}");
        assert!(diagnosis.findings.iter().any(|f| f.rule == *rule), "{name}: {rule} found nothing");
    }
}

/// Findings cite what the log has, sums come out, nothing in a text can act on a terminal.
#[test]
fn every_diagnosis_is_well_formed() {
    for (name, ..) in STORIES {
        for (incident, diagnosis) in cases(&log(name)) {
            for finding in &diagnosis.findings {
                assert!(!finding.evidence.is_empty(), "{name}: {} cites nothing", finding.rule);
                assert!(finding.evidence.iter().all(|id| incident.evidence.iter().any(|e| e.id == *id)), "{name}");
            }
            if let Some(memory) = &diagnosis.memory {
                let parts: u64 = memory.parts.iter().map(|p| p.bytes).sum();
                assert_eq!(parts + memory.unaccounted_bytes, memory.usage_bytes + memory.overcounted_bytes, "{name}");
            }
            assert!(diagnosis.summary.ends_with('.') && !diagnosis.summary.contains("/kubepods"), "{name}");
            let texts = diagnosis.findings.iter().flat_map(|f| [&f.title, &f.detail]).chain([&diagnosis.summary]);
            assert!(texts.into_iter().all(|t| !t.is_empty() && !t.contains(char::is_control)), "{name}");
            let json = serde_json::to_string(&diagnosis).unwrap();
            assert_eq!(serde_json::from_str::<Diagnosis>(&json).unwrap(), diagnosis, "{name}");
        }
    }
}

/// The kernels' own choices agree with the replay of their formula, on every report with a table.
#[test]
fn the_replay_agrees_with_the_kernel() {
    let mut replayed = 0;
    for (name, ..) in STORIES {
        for (_, diagnosis) in cases(&log(name)) {
            let Some(ranking) =
                diagnosis.ranking.filter(|r| !matches!(r.choice, Choice::NotInTable | Choice::NotByPoints))
            else {
                continue;
            };
            assert_ne!(ranking.choice, Choice::Contradicted, "{name}: {ranking:?}");
            replayed += 1;
        }
    }
    assert!(replayed >= 20, "{replayed}");
}

/// Advice never is "raise the limit" where the limit is not what is wrong.
#[test]
fn no_larger_limit_for_tmpfs_and_kernel_memory() {
    for name in ["6.12-v2-f", "6.18-v1-f", "5.10-v2-h", "6.12-v2-h", "6.1-v2-h2", "6.1-v2-i", "6.1-v1-y", "6.1-v1-e"] {
        let (_, diagnosis) = cases(&log(name)).swap_remove(0);
        let raises = |r: &oomscope_core::diagnosis::Remedy| r.title.starts_with("Try ");
        assert!(
            !diagnosis.remedies.is_empty() && !diagnosis.remedies.iter().any(raises),
            "{name}: {:?}",
            diagnosis.remedies
        );
    }
}

/// Cutting lines away never turns one verdict into another, only into "unknown" or a lesser confidence.
#[test]
fn cuts_do_not_change_the_verdict() {
    for (name, killer, ..) in STORIES.iter().filter(|(name, ..)| *name != "6.1-v2-o") {
        let whole = log(name);
        let lines: Vec<&[u8]> = whole.split_inclusive(|b| *b == b'\n').collect();
        let step = (lines.len() / 40).max(1);
        for from in (0..lines.len()).step_by(step) {
            for kept in [
                lines[from..].concat(),
                lines[..from].concat(),
                [&lines[..from], &lines[(from + step).min(lines.len())..]].concat().concat(),
            ] {
                for (_, diagnosis) in cases(&kept) {
                    // Without the constraint's line, the nodes that were allowed are a part of the machine that is not named.
                    let vaguer = diagnosis.killer == Node && diagnosis.confidence < Confidence::Certain;
                    let vaguer = vaguer && matches!(killer, Cpuset | MemoryPolicy);
                    let same = [*killer, Unknown].contains(&diagnosis.killer);
                    assert!(same || vaguer, "{name} cut at {from}: {:?}", diagnosis.summary);
                }
            }
        }
    }
}
