//! What people see: whole outputs, kept as files that were read by eye (`UPDATE_GOLDEN=1` rewrites them).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic, also in its helpers")]

mod cases;
mod code_cases;

use std::path::PathBuf;

use oomscope_core::case::Case;
use oomscope_core::report::{Summary, TextOptions, code, json, markdown, one_line, text};
use oomscope_core::text::acts_on_its_surroundings;
use oomscope_testkit::golden;
use proptest::prelude::*;
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

fn golden_file(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/golden/report", name].iter().collect()
}

fn options(width: usize) -> TextOptions {
    TextOptions { width, colour: false, unicode: true, evidence: false }
}

/// The report for a terminal, of every shape of case, narrow, ordinary and wide.
#[test]
fn text_at_three_widths() {
    for (name, case) in cases::all() {
        for width in [40, 80, 120] {
            let options = TextOptions { evidence: width != 40, ..options(width) };
            golden::compare(golden_file(&format!("{name}.{width}.txt")), &text::render(&case, &options));
        }
    }
}

/// With colours, and without Unicode.
#[test]
fn text_in_colour_and_in_ascii() {
    let case = cases::container_limit();
    let colour = text::render(&case, &TextOptions { colour: true, ..options(80) });
    golden::compare(golden_file("container_limit.80.ansi"), &colour);
    let ascii = text::render(&case, &TextOptions { unicode: false, ..options(80) });
    golden::compare(golden_file("container_limit.80.ascii.txt"), &ascii);
    let ascii = text::render(&code_cases::rust(), &TextOptions { unicode: false, ..options(80) });
    assert!(ascii.is_ascii());
    golden::compare(golden_file("stack_rust.80.ascii.txt"), &ascii);
}

/// No line is wider than asked, except text to paste, which must not be broken.
#[test]
fn text_holds_its_width() {
    let mut all = cases::all();
    let mut nothing_killed = cases::node();
    nothing_killed.incident.kills[0].no_killable_process = true;
    nothing_killed.incident.kills[0].trigger.as_mut().unwrap().pid = Some(5120);
    for (row, name) in nothing_killed.diagnosis.ranking.as_mut().unwrap().rows.iter_mut().zip(["a", "a-long-name-of-a"])
    {
        row.comm = name.into();
    }
    all.push(("nothing_killed", nothing_killed));
    for (name, case) in all {
        for width in 40..=130 {
            for unicode in [true, false] {
                let options = TextOptions { unicode, evidence: true, ..options(width) };
                for line in text::render(&case, &options).lines() {
                    let pastes = line.contains('│') || line.contains("| ");
                    assert!(pastes || line.width() <= width, "{name} at {width}: {} columns\n{line}", line.width());
                }
            }
        }
    }
}

/// Colour changes nothing but colour.
#[test]
fn colour_is_only_colour() {
    for (name, case) in cases::all() {
        let plain = text::render(&case, &options(80));
        let coloured = text::render(&case, &TextOptions { colour: true, ..options(80) });
        assert_eq!(without_colour(&coloured), plain, "{name}");
    }
}

fn without_colour(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |out, piece| out + piece.split_once('m').map_or(piece, |(_, rest)| rest))
}

/// Nothing in a case can act on the terminal or the ticket that shows it.
#[test]
fn hostile_names_do_nothing() {
    for case in [cases::hostile(), code_cases::hostile()] {
        does_nothing(&case);
    }
}

fn does_nothing(case: &Case) {
    let shown = [
        text::render(case, &TextOptions { evidence: true, ..options(80) }),
        markdown::render(case),
        one_line::render(case, &options(120)),
        json::line(case).unwrap(),
    ];
    for output in shown {
        let acting: Vec<char> = output.chars().filter(|&c| c != '\n' && acts_on_its_surroundings(c)).collect();
        assert!(acting.is_empty(), "{acting:?} in\n{output}");
    }
    let ascii = text::render(case, &TextOptions { unicode: false, evidence: true, ..options(80) });
    assert!(ascii.is_ascii(), "{ascii}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever bytes a process and a cgroup are called, nothing acts on the reader's terminal and no line is too wide.
    #[test]
    fn any_name_is_harmless(comm in prop::collection::vec(any::<u8>(), 0..16), path in ".{0,200}", width in 40_usize..130) {
        let mut case = cases::container_limit();
        let report = &mut case.incident.kills[0];
        report.victims[0].comm = Some(comm.as_slice().into());
        report.limit_cgroup = Some(path.as_str().into());
        case.diagnosis.summary = format!("{path} was full");
        case.diagnosis.ranking.as_mut().unwrap().rows[0].comm = comm.as_slice().into();
        let acts = |c: char| c != '\n' && acts_on_its_surroundings(c);
        let shown = text::render(&case, &options(width));
        prop_assert!(!shown.contains(acts));
        for line in shown.lines().filter(|line| !line.contains('│')) {
            prop_assert!(line.width() <= width, "{} columns at {width}\n{line}", line.width());
        }
        prop_assert!(!markdown::render(&case).contains(acts));
        prop_assert!(!json::line(&case).unwrap().contains(acts));
        let list = one_line::render(&case, &options(width));
        prop_assert!(!list.contains(acts_on_its_surroundings) && list.width() <= width, "{list}");
    }
}

/// The ticket.
#[test]
fn markdown_for_a_ticket() {
    for (name, case) in cases::all() {
        golden::compare(golden_file(&format!("{name}.md")), &markdown::render(&case));
    }
}

/// One line a case, and never more than one.
#[test]
fn lists() {
    let list = |width: usize| {
        cases::all().iter().map(|(_, case)| one_line::render(case, &options(width)) + "\n").collect::<String>()
    };
    assert_eq!(list(120).lines().count(), cases::all().len());
    golden::compare(golden_file("list.txt"), &[list(60), list(80), list(120)].join("\n"));
}

/// A stack that comes later is one line, and a case without one has none.
#[test]
fn code_in_one_line() {
    let line = code::line(&code_cases::rust()).unwrap();
    assert!(
        line.ends_with(
            "Which code: asked in `api::render::Row::push` (render.rs:88) ← `api::render::Table<…>::render` ← \
         `api::handle_request` · took most: 61.1 % `api::cache::put` (cache.rs:31) ← `api::handle_request`"
        ),
        "{line}"
    );
    let hostile = code::line(&code_cases::hostile()).unwrap();
    assert!(!hostile.contains(acts_on_its_surroundings), "{hostile}");
    assert_eq!(code::line(&cases::container_limit()), None);
}

/// Many cases are grouped, the most frequent first.
#[test]
fn summary_groups_by_killer_and_owner() {
    let mut summary = Summary::new();
    for (at, (_, case)) in cases::all().iter().enumerate() {
        for _ in 0..=at {
            summary.add(case);
        }
    }
    let pages: Vec<String> = [60, 80, 120].iter().map(|&width| summary.render(&options(width))).collect();
    golden::compare(golden_file("summary.txt"), &pages.join("\n"));
}

/// A log with a different cgroup in each of its kills does not fill the memory, and every kill is still counted.
#[test]
fn summary_is_bounded() {
    let mut case = cases::container_limit();
    let mut summary = Summary::new();
    for n in 0..3000 {
        case.incident.identity = None;
        case.incident.kills[0].limit_cgroup = Some(format!("/restart-{n}").as_str().into());
        summary.add(&case);
    }
    let page = summary.render(&options(80));
    assert!(page.starts_with("3 000 OOM events in 1 000 groups and others, 3 000 processes killed\n"), "{page}");
    assert!(page.lines().count() < 50);
    assert!(page.contains("2970  others"), "{page}");
}

/// Every name and every nesting of the contract, with the right type or null.
#[test]
fn json_is_the_contract() {
    for (name, case) in cases::all() {
        let line = json::line(&case).unwrap();
        assert!(!line.contains('\n'), "{name}");
        let json: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["schema"], "oomscope.case/v1");
        fields(&json, "", "schema:s id:s revision:n ruleset:s incident:o diagnosis:o");
        fields(&json, "/incident", "at:o origin:o kills:a identity:o? timeline:o? gaps:a");
        fields(&json, "/incident/at", "boot_us:n? wall:s?");
        fields(&json, "/incident/origin", "source:s file:s? lines:a?");
        fields(
            &json,
            "/incident/kills/0",
            "constraint:s? trigger:o? gfp_mask:s? order:n? limit_cgroup:s? victim_cgroup:s? usage_bytes:n? limit_bytes:n? \
             failcnt:n? swap:o? kmem:o? memory_swap:o? group_kill:b? no_killable_process:b victims:a tasks:a memory_stat:o? \
             stacks:o?",
        );
        fields(&json, "/incident/kills/0/trigger", "pid:n? comm:s? oom_score_adj:n?");
        fields(&json, "/incident/kills/0/swap", "usage_bytes:n limit_bytes:n");
        fields(
            &json,
            "/incident/kills/0/victims/0",
            "pid:n comm:s? uid:n? total_vm_bytes:n? anon_bytes:n? file_bytes:n? shmem_bytes:n? pgtables_bytes:n? \
             oom_score_adj:n? score:n? cgroup:s?",
        );
        fields(
            &json,
            "/incident/kills/0/tasks/0",
            "pid:n tgid:n? uid:n? comm:s total_vm_bytes:n? rss_bytes:n? anon_bytes:n? file_bytes:n? shmem_bytes:n? \
             pgtables_bytes:n? swap_bytes:n? oom_score_adj:n?",
        );
        fields(
            &json,
            "/incident/identity",
            "pod_uid:s? container_id:s? runtime:s? qos:s? namespace:s? pod:s? container:s? owner:s? node:s?",
        );
        fields(&json, "/incident/gaps/0", "wanted:s why:s");
        fields(&json, "/diagnosis", "killer:s confidence:s summary:s findings:a remedies:a gaps:a");
        fields(&json, "/diagnosis/findings/0", "rule:s title:s detail:s evidence:a");
        fields(&json, "/diagnosis/remedies/0", "title:s detail:s patch:s?");
        fields(&json, "/diagnosis/gaps/0", "wanted:s why:s");
    }
}

/// Checks `name:type` pairs at a place: s, n, b, o, a for the types, `?` where null is one too. A place that this case has
/// not, or has as null, is skipped; `every_place_is_checked` below makes sure that some case has it.
fn fields(json: &Value, place: &str, expected: &str) {
    let Some(object) = json.pointer(place).and_then(Value::as_object) else { return };
    for field in expected.split_whitespace() {
        let (name, kind) = field.split_once(':').unwrap();
        let value = object.get(name).unwrap_or_else(|| panic!("{place}/{name} is not there"));
        let fits = match kind.chars().next().unwrap() {
            's' => value.is_string(),
            'n' => value.is_i64() || value.is_u64(),
            'b' => value.is_boolean(),
            'o' => value.is_object(),
            _ => value.is_array(),
        };
        assert!(fits || (kind.ends_with('?') && value.is_null()), "{place}/{name}: {value}");
    }
}

/// The places that `json_is_the_contract` skips where they are absent exist in one full case, with the values in place.
#[test]
fn every_place_is_checked() {
    let json: Value = serde_json::from_str(&json::line(&cases::container_limit()).unwrap()).unwrap();
    for (place, value) in [
        ("/incident/at/boot_us", Value::from(185_574_805)),
        ("/incident/at/wall", Value::from("2026-04-04T03:41:03.574805Z")),
        ("/incident/origin/lines", Value::from(vec![120, 180])),
        ("/incident/kills/0/constraint", Value::from("memcg")),
        ("/incident/kills/0/trigger/comm", Value::from("libuv-worker")),
        ("/incident/kills/0/swap/limit_bytes", Value::from(0)),
        ("/incident/kills/0/victims/0/pid", Value::from(2295)),
        ("/incident/kills/0/tasks/2/oom_score_adj", Value::from(-1000)),
        ("/incident/kills/0/memory_stat/anon", Value::from(126_877_696)),
        ("/incident/identity/qos", Value::from("burstable")),
        ("/incident/timeline", Value::Null),
        ("/diagnosis/killer", Value::from("container_limit")),
        ("/diagnosis/confidence", Value::from("certain")),
        ("/diagnosis/findings/0/evidence/0", Value::from("oom-kill")),
        ("/diagnosis/gaps/0/why", Value::from("a kernel log has only their ids")),
    ] {
        assert_eq!(json.pointer(place), Some(&value), "{place}");
    }
}

/// A name that is not UTF-8 keeps its bytes beside it.
#[test]
fn json_keeps_names_that_are_not_utf8() {
    let json: Value = serde_json::from_str(&json::line(&cases::hostile()).unwrap()).unwrap();
    assert_eq!(json.pointer("/incident/kills/0/tasks/0/comm_hex"), Some(&Value::from("fffe80626164")));
}
