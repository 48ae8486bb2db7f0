//! What must hold for every input, not only for recorded ones.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic, also in its helpers")]

use std::sync::LazyLock;

use oomscope_core::case::Case;
use oomscope_core::diagnosis::{Confidence, Killer};
use oomscope_core::report::{TextOptions, json, markdown, text};
use oomscope_testkit::corpus::own_kernel_scenarios;
use oomscope_testkit::{explain, explain_in_chunks};
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use serde_json::Value;

/// Every real report of the repository, in both forms.
static LOGS: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let scenarios = own_kernel_scenarios();
    let forms = |s: &oomscope_testkit::corpus::KernelScenario| [("kmsg", s.kmsg()), ("dmesg", s.dmesg())];
    let all = scenarios.iter().flat_map(|s| forms(s).map(|(form, log)| (format!("{}/{form}", s.id()), log)));
    all.filter_map(|(name, log)| Some((name, log?))).collect()
});

/// Those with a single event, and with pages of 4 KiB: the task table counts pages, and where every line is missing that
/// their size could be told from, it is taken to be the usual one.
static SINGLE: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let is_plain = |log: &[u8]| {
        let cases = explain(log);
        cases.len() == 1 && cases[0].incident.report().page_size_bytes.is_none_or(|size| size == 4096)
    };
    LOGS.iter().filter(|(_, log)| is_plain(log)).cloned().collect()
});

/// Pieces of what logs are made of, so that arbitrary input gets past the first test of each parser.
const FRAGMENTS: &[&str] = &[
    "[    4.356779] ",
    "4,471,4356779,-;",
    "6,404,4641338,c;",
    "<4>",
    "Apr  4 03:41:03 node kernel: ",
    "{\"MESSAGE\":\"",
    "java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=996",
    "CPU: 0 PID: 1 Comm: ",
    "memory: usage 49152kB, limit 49152kB, failcnt 80",
    "Memory cgroup stats for /kubepods/pod",
    ":",
    "anon 1",
    "\\x0a",
    "Tasks state (memory values in pages):",
    "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
    "[    193]  1000   193  1061040    12401   159744        0           996 java",
    "Mem-Info:",
    "Node 0 DMA free:860kB min:140kB",
    "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),",
    "task_memcg=/a,task=x,pid=1,uid=0",
    "pid=",
    "99999999999999999999",
    "Memory cgroup out of memory: Killed process 193 (java) total-vm:4244160kB, anon-rss:48896kB",
    "Out of memory: Kill process 1 (",
    "Out of memory and no killable processes...",
    "oom_reaper: reaped process 193 (java), now anon-rss:0kB",
    "\u{1b}[31m",
    "\r",
    ") ",
    "\"}",
];

fn fragment() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => prop::sample::select(FRAGMENTS).prop_map(|word| word.as_bytes().to_vec()),
        2 => Just(b"\n".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..24),
    ]
}

fn is_one_json_object(case: &Case) -> bool {
    let line = json::line(case).unwrap();
    !line.contains('\n') && serde_json::from_str::<Value>(&line).unwrap().is_object()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    /// No bytes make anything panic, and what comes out can be shown and is JSON.
    #[test]
    fn any_bytes_are_read(fragments in prop::collection::vec(fragment(), 0..60)) {
        for case in explain(&fragments.concat()) {
            prop_assert!(is_one_json_object(&case));
            let _ = text::render(&case, &TextOptions { evidence: true, ..TextOptions::default() });
            let _ = markdown::render(&case);
        }
    }

    /// A real report with bytes changed anywhere is read without a panic too.
    #[test]
    fn damaged_reports_are_read(log in any::<Index>(), damage in prop::collection::vec((any::<Index>(), any::<u8>()), 1..40)) {
        let mut log = log.get(&LOGS).1.clone();
        for (at, byte) in damage {
            let at = at.index(log.len());
            log[at] = byte;
        }
        for case in explain(&log) {
            prop_assert!(is_one_json_object(&case));
        }
    }

    /// The pieces in which a log arrives do not change what it says.
    #[test]
    fn chunks_change_nothing(log in any::<Index>(), cuts in prop::collection::vec(any::<Index>(), 0..12)) {
        let (name, log) = log.get(&LOGS);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(log.len())).collect();
        cuts.sort_unstable();
        let ends = cuts.iter().copied().chain([log.len()]);
        let chunks: Vec<&[u8]> = ends.scan(0, |start, end| Some(&log[std::mem::replace(start, end)..end])).collect();
        prop_assert_eq!(explain_in_chunks(chunks), explain(log), "{}", name);
    }

    /// Lines that are missing make the answer poorer, never different: what is still said was said before.
    #[test]
    fn cutting_lines_only_takes_away(
        (log, missing) in (0..SINGLE.len()).prop_flat_map(|log| {
            let count = SINGLE[log].1.split_inclusive(|b| *b == b'\n').count();
            (Just(log), subsequence((0..count).collect::<Vec<_>>(), 0..=count / 2))
        })
    ) {
        let (name, log) = &SINGLE[log];
        let whole = explain(log).remove(0);
        let lines = log.split_inclusive(|b| *b == b'\n').enumerate();
        let left: Vec<u8> = lines.filter(|(at, _)| !missing.contains(at)).flat_map(|(_, line)| line.to_vec()).collect();
        for case in explain(&left) {
            let poorer = is_poorer(&case, &whole);
            prop_assert!(poorer.is_ok(), "{}: {}", name, poorer.unwrap_err());
        }
    }
}

/// One byte at a time is the smallest chunk.
#[test]
fn byte_by_byte() {
    for (name, log) in LOGS.iter().take(8) {
        assert_eq!(explain_in_chunks(log.chunks(1)), explain(log), "{name}");
    }
}

/// True (or the reason why not) where everything that `cut` says is also said by `whole`.
fn is_poorer(cut: &Case, whole: &Case) -> Result<(), String> {
    let verdict = |case: &Case| (case.diagnosis.killer, case.diagnosis.confidence);
    let ((killer, confidence), (before, confidence_before)) = (verdict(cut), verdict(whole));
    if killer != Killer::Unknown && killer != before && !is_presumed_node(cut, before) {
        return Err(format!("the killer became {killer:?}, which was {before:?}"));
    }
    if confidence > confidence_before || killer == Killer::Unknown && confidence == Confidence::Certain {
        return Err(format!("became surer: {confidence:?} of {killer:?}"));
    }
    let report = |case: &Case| serde_json::to_value(case.incident.report()).unwrap();
    is_contained("", &report(cut), &report(whole))
}

/// An OOM that is of no cgroup is presumed to be of the whole machine where the line that says it is missing: by far the
/// commonest case, given as likely, with the gap that names the others.
fn is_presumed_node(cut: &Case, before: Killer) -> bool {
    let diagnosis = &cut.diagnosis;
    let is_unsure = diagnosis.confidence < Confidence::Certain && !diagnosis.gaps.is_empty();
    diagnosis.killer == Killer::Node && is_unsure && matches!(before, Killer::Cpuset | Killer::MemoryPolicy)
}

/// What is about the log and not about the event: how much of the report is there.
const ABOUT_THE_LOG: &[&str] = &["extent", "task_table", "only_chosen"];

fn is_contained(place: &str, part: &Value, whole: &Value) -> Result<(), String> {
    match (part, whole) {
        (Value::Null, _) => Ok(()),
        (Value::Array(items), _) if items.is_empty() => Ok(()),
        // "false" says that the kernel did not do it, or that the line that tells of it is missing.
        (Value::Bool(false), Value::Bool(_)) => Ok(()),
        (Value::Object(fields), Value::Object(before)) => {
            let mut fields = fields.iter().filter(|(name, _)| !ABOUT_THE_LOG.contains(&name.as_str()));
            fields.try_for_each(|(name, value)| {
                is_contained(&format!("{place}/{name}"), value, before.get(name).unwrap_or(&Value::Null))
            })
        }
        (Value::Array(items), Value::Array(before)) => items.iter().try_for_each(|item| {
            let is_there = before.iter().any(|other| is_contained("", item, other).is_ok());
            is_there.then_some(()).ok_or_else(|| format!("{place}: {item} was not there before"))
        }),
        _ if part == whole => Ok(()),
        _ => Err(format!("{place}: {part}, was {whole}")),
    }
}
