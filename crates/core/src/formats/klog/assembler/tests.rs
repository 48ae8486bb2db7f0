//! Stories of what stands between and around the lines of a report.

use super::{Assembler, LogEvent};
use crate::formats::klog::record::Record;
use crate::time::{BootTime, When};

/// A report of one process in `/pod/a`, from the header to the kill line.
const REPORT: &[&str] = &[
    "java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=996",
    "CPU: 0 PID: 163 Comm: java Not tainted 6.12.0 #1",
    " dump_stack_lvl+0x5d/0x80",
    "memory: usage 49152kB, limit 49152kB, failcnt 18",
    "swap: usage 0kB, limit 9007199254740988kB, failcnt 0",
    "Memory cgroup stats for /pod/a:",
    "anon 50130944",
    "Tasks state (memory values in pages):",
    "[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name",
    "[    163]  1000   163  1061042    12455    12224      231         0   159744        0           996 java",
    SUMMARY,
    KILL,
];

const SUMMARY: &str = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=a,mems_allowed=0,oom_memcg=/pod/a,task_memcg=/pod/a,task=java,pid=163,uid=1000";

const KILL: &str = "Memory cgroup out of memory: Killed process 163 (java) total-vm:4244168kB, anon-rss:48896kB, file-rss:924kB, shmem-rss:0kB, UID:1000 pgtables:156kB oom_score_adj:996";

/// A kill line of somebody else.
const ANOTHER: &str = "Memory cgroup out of memory: Killed process 164 (sh) total-vm:1kB, anon-rss:1kB, file-rss:0kB";

/// One record a line, a microsecond apart, as /dev/kmsg would deliver them.
fn events(lines: &[&str]) -> Vec<LogEvent> {
    let mut assembler = Assembler::new();
    let mut events = Vec::new();
    for (i, line) in (1..).zip(lines) {
        let record = Record {
            text: line.as_bytes().to_vec(),
            lines: (i, i),
            when: When { boot_us: Some(BootTime(1_000_000 + i)), ..When::default() },
            framed: true,
            prefixed: true,
            ..Record::default()
        };
        assembler.push(record, &mut |event| events.push(event));
    }
    assembler.finish(&mut |event| events.push(event));
    events
}

/// The report, with other lines put in before its line number `at`.
fn with(at: usize, others: &[&'static str]) -> Vec<&'static str> {
    [&REPORT[..at], others, &REPORT[at..]].concat()
}

/// The report without its task table, which would tell strangers apart, and what follows it.
fn without_table(others: &[&'static str]) -> Vec<&'static str> {
    [&REPORT[..7], &REPORT[10..], others].concat()
}

fn only(lines: &[&str]) -> LogEvent {
    let mut events = events(lines);
    assert_eq!(events.len(), 1, "{events:#?}");
    events.remove(0)
}

fn victims(event: &LogEvent) -> Vec<u32> {
    event.report.victims.iter().map(|victim| victim.pid).collect()
}

/// A soft lockup on another CPU, anywhere in a report, changes nothing of it.
#[test]
fn another_cpu_prints_a_trace_of_its_own() {
    let lockup = [
        "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [bar:888]",
        "CPU: 1 PID: 888 Comm: bar Tainted: G      W   6.12.0 #1",
        "Call Trace:",
        " native_queued_spin_lock_slowpath+0x5/0x10",
    ];
    let alone = only(REPORT).report;
    for at in 1..REPORT.len() {
        let report = only(&with(at, &lockup)).report;
        assert_eq!(report.trigger.and_then(|trigger| trigger.pid), Some(163), "before line {at}");
        assert_eq!((&report.victims, &report.tasks), (&alone.victims, &alone.tasks), "before line {at}");
    }
}

/// A failed allocation brings its own trace and Mem-Info, and kills nobody.
#[test]
fn somebody_elses_failed_allocation() {
    let failure = [
        "foo: page allocation failure: order:4, mode:0xcc0(GFP_KERNEL), nodemask=(null),cpuset=/,mems_allowed=0",
        "CPU: 3 PID: 777 Comm: foo Not tainted 6.12.0 #1",
        " warn_alloc+0x11/0x22",
        "Mem-Info:",
        "active_anon:1 inactive_anon:2 isolated_anon:0",
    ];
    let event = only(&with(3, &failure));
    assert_eq!(event.report.node_memory, None);
    assert_eq!(events(&failure), [], "alone it is no event");
}

/// A cgroup's path may quote a kill line; so may a message that is no part of any report.
#[test]
fn a_path_quotes_a_kill_line() {
    let quote = "/x Out of memory: Killed process 1 (systemd) total-vm:1kB, anon-rss:1kB, file-rss:1kB, shmem-rss:0kB";
    let report: Vec<String> = REPORT.iter().map(|line| line.replace("/pod/a", quote)).collect();
    let event = only(&report.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(victims(&event), [163]);
    assert_eq!(event.report.limit_cgroup.expect("named").to_lossy(), quote);
    assert_eq!(events(&[&format!("cgroup: fork rejected by pids controller in {quote}")]), []);
    assert_eq!(
        events(&["cgroup: fork rejected by pids controller in /x invoked oom-killer: gfp_mask=0xcc0, order=0"]),
        []
    );
}

/// Kill lines behind a report, without a report of their own, are kills of their own while nothing proves a group.
#[test]
fn bare_kill_lines_behind_a_report() {
    let found = events(&without_table(&[ANOTHER]));
    assert_eq!(found.iter().map(victims).collect::<Vec<_>>(), [vec![163], vec![164]]);
    assert!(found.iter().all(|event| event.report.group_kill == Some(false)));
}

/// The victim named a second time proves the group, also where the notice was filtered away.
#[test]
fn a_group_without_its_notice() {
    let event = only(&without_table(&[ANOTHER, KILL]));
    assert_eq!((victims(&event), event.report.group_kill), (vec![163, 164], Some(true)));
    // The very same line twice is a log that two daemons wrote to.
    let event = only(&without_table(&[KILL]));
    assert_eq!((victims(&event), event.report.group_kill), (vec![163], Some(false)));
}

/// The newest line first, as `journalctl -r` prints it: the summary still belongs to its kill.
#[test]
fn the_summary_behind_the_kill_line() {
    let event = only(&[KILL, SUMMARY]);
    assert_eq!((victims(&event), event.report.limit_cgroup.is_some()), (vec![163], true));
}

/// Sequence numbers are the sender's word: no arithmetic on them can fail.
#[test]
fn absurd_sequence_numbers() {
    let mut assembler = Assembler::new();
    for seq in [u64::MAX, 0, u64::MAX, 7] {
        let record = Record { text: KILL.into(), seq: Some(seq), framed: true, ..Record::default() };
        assembler.push(record, &mut |_| {});
    }
}
