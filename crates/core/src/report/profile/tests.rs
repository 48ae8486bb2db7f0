use super::*;
use crate::profile::made_up::{self, frame};
use crate::profile::{Builder, Process, Weight, folded};
use crate::report::json;
use crate::text::acts_on_its_surroundings;
use oomscope_testkit::golden;

fn golden(name: &str, text: &str) {
    golden::compare(format!("{}/src/report/profile/golden/{name}.txt", env!("CARGO_MANIFEST_DIR")), text);
}

fn page(profile: &Profile, width: usize) -> String {
    render(profile, 20, &TextOptions { width, ..TextOptions::default() })
}

/// Without `--held`.
fn made_resident() -> Profile {
    let mut profile = made_up::profile();
    profile.held_bytes = None;
    profile.stacks.iter_mut().for_each(|stack| stack.held_bytes = None);
    profile
}

/// The whole page, narrow and wide, and for a terminal that has only ASCII.
#[test]
fn pages() {
    for width in [80, 120] {
        golden(&format!("held.{width}"), &page(&made_up::profile(), width));
        golden(&format!("made-resident.{width}"), &page(&made_resident(), width));
    }
    let ascii = render(&made_up::profile(), 20, &TextOptions { unicode: false, width: 80, ..TextOptions::default() });
    assert!(ascii.is_ascii(), "{ascii}");
    golden("held.ascii", &ascii);
}

/// What is shown fits, is no more than was asked for, and acts on no terminal.
#[test]
fn narrow_and_short() {
    for width in [40, 61, 80, 200] {
        for line in page(&made_up::profile(), width).lines() {
            assert!(super::super::layout::width_of(line) <= width, "{width}: {line}");
            assert!(!line.chars().any(acts_on_its_surroundings), "{line:?}");
        }
    }
    let short = render(&made_up::profile(), 2, &TextOptions::default());
    let (_, calls) = short.split_once("CALLS").unwrap();
    assert!(calls.contains("… "), "the rest is summed up: {calls}");
}

/// A recursion a thousand calls deep is one line, and nothing overflows.
#[test]
fn deep_recursion() {
    let mut builder = Builder::default();
    let mut frames = vec![frame("touch", "/a", 1)];
    frames.extend((0..5000).map(|_| frame("walk", "/a", 2)));
    let process = Process { pid: 1, comm: "deep".into(), ..Process::default() };
    builder.add(&process, &frames, Weight { samples: 100, bytes: Bytes(400 << 10), held_bytes: None });
    let mut profile = made_resident();
    builder.finish(&mut profile);
    let page = page(&profile, 80);
    assert!(page.contains("walk ×1023 › touch"), "{page}");
}

/// Without a sample the page says why there is nothing, and what would see more.
#[test]
fn nothing_sampled() {
    let mut profile = Profile { bytes: Bytes(0), stacks: Vec::new(), held_bytes: None, ..made_up::profile() };
    profile.sampling.samples = 0;
    let page = page(&profile, 100);
    assert!(page.contains("no new memory in 1 min") && page.contains("far less than 4 MiB"), "{page}");
    assert!(!page.contains("CALLS"), "{page}");
}

/// Each stack is a line; what the format would misread is replaced.
#[test]
fn folded_stacks() {
    let text = folded::render(&made_up::profile(), Measure::MadeResident);
    golden("folded", &text);
    for line in text.lines() {
        let (stack, bytes) = line.rsplit_once(' ').unwrap();
        assert!(bytes.parse::<u64>().is_ok() && stack.contains(';'), "{line}");
    }
    assert!(!folded::render(&made_up::profile(), Measure::Held).contains("log_write"), "nothing of it is held");
}

/// The JSON form is read back as what it was.
#[test]
fn json_and_back() {
    let line = json::profile(&made_up::profile()).unwrap();
    assert!(line.starts_with(r#"{"schema":"oomscope.profile/v1","#) && !line.contains('\n'));
    assert_eq!(serde_json::from_str::<Profile>(&line).unwrap(), made_up::profile());
}
