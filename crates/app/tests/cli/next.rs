//! The kernel's ranking, foretold.

use std::os::unix::process::ExitStatusExt as _;

use serde_json::Value;

use super::holder::{Holder, scratch};
use super::run::{Ran, run};

const MIB: u64 = 1 << 20;

fn ask(target: &str, more: &[&str]) -> (Ran, Value) {
    let ran = run(&[&["next", target, "-o", "json"], more].concat());
    let answer = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}{}", ran.out, ran.err));
    (ran, answer)
}

fn pids(answer: &Value) -> Vec<u64> {
    answer["processes"].as_array().unwrap().iter().map(|row| row["pid"].as_u64().unwrap()).collect()
}

/// Two real processes in a limited cgroup: the larger one is named, however the cgroup is asked for, and when the cgroup then really
/// runs out of memory, through the smaller one's doing, it is the one that the kernel kills.
#[test]
fn the_kernel_kills_whom_it_named() {
    let Some(scratch) = scratch(64) else { return };
    let (mut small, mut large) = (Holder::start(&scratch), Holder::start(&scratch));
    small.hold(10);
    large.hold(36);
    let path = scratch.kernel_path().to_str().unwrap();
    let name = path.rsplit('/').next().unwrap();
    for target in [path, scratch.folder().to_str().unwrap(), &small.pid().to_string(), name] {
        let (ran, answer) = ask(target, &[]);
        ran.assert_code(0);
        assert_eq!(pids(&answer), [large.pid(), small.pid()].map(u64::from), "{target}: {answer}");
        assert_eq!(answer["domain"]["limit_bytes"], 64 * MIB);
    }
    let (_, answer) = ask(path, &[]);
    let margin = answer["margin"]["bytes"].as_u64().unwrap();
    assert!((25 * MIB..27 * MIB).contains(&margin), "{margin}");
    assert_eq!(answer["margin"]["pid"], small.pid());

    // The larger one holds more than twice what is missing, so that it stays the larger one until the end.
    let fed = small.feed(18);
    let status = large.0.wait().unwrap();
    assert_eq!(status.signal(), Some(9), "the one that was named is killed");
    assert!(fed.is_ok() && small.0.try_wait().unwrap().is_none(), "the one that asked for memory lives");
    drop((small, large));
    scratch.remove().unwrap();
}

/// A limit that is tried out: it weighs `oom_score_adj` anew, and says when it would kill at once.
#[test]
fn another_limit() {
    let Some(scratch) = scratch(128) else { return };
    let (mut light, mut heavy) = (Holder::start(&scratch), Holder::start(&scratch));
    light.hold(10);
    heavy.hold(40);
    std::fs::write(format!("/proc/{}/oom_score_adj", light.pid()), "400").unwrap();
    let path = scratch.kernel_path().to_str().unwrap();
    let first = |limit: &str| {
        let (_, answer) = ask(path, &["--if-limit", limit]);
        assert_eq!(answer["domain"]["limit_is_supposed"], true);
        (pids(&answer)[0], answer["excess_bytes"].as_u64())
    };
    // 400 of 1000 of the limit: 24 MiB of 60 are less than the 30 between them, 80 of 200 are more.
    assert_eq!(first("60Mi"), (u64::from(heavy.pid()), None));
    assert_eq!(first("200Mi"), (u64::from(light.pid()), None));
    let (pid, excess) = first("20Mi");
    assert_eq!(pid, u64::from(heavy.pid()));
    assert!(excess.is_some_and(|excess| (29 * MIB..40 * MIB).contains(&excess)), "{excess:?}");
    let text = run(&["next", path, "--if-limit", "20Mi"]);
    assert!(text.out.contains("at once") && text.out.contains(&heavy.pid().to_string()), "{}", text.out);
    drop((light, heavy));
    scratch.remove().unwrap();
}

/// A process that is exempt is never named, however large, and where all are exempt nobody is.
#[test]
#[allow(clippy::print_stderr, reason = "a test that did less must not look like one that did all")]
fn exempt() {
    let Some(scratch) = scratch(64) else { return };
    let mut only = Holder::start(&scratch);
    only.hold(8);
    let adj = format!("/proc/{}/oom_score_adj", only.pid());
    if let Err(e) = std::fs::write(&adj, "-1000") {
        return eprintln!("SKIPPED: {e} (it takes CAP_SYS_RESOURCE)");
    }
    let (ran, answer) = ask(scratch.kernel_path().to_str().unwrap(), &[]);
    ran.assert_code(1);
    assert_eq!(answer["processes"][0]["rank"], Value::Null);
    let text = run(&["next", scratch.kernel_path().to_str().unwrap()]);
    assert!(text.out.contains("NOBODY CAN BE KILLED"), "{}", text.out);
    drop(only);
    scratch.remove().unwrap();
}

/// The machine's ranking is the kernel's own, which /proc/PID/oom_score shows in coarser steps: nobody stands before another whose
/// score is higher, but for what changed between the two readings.
#[test]
fn agrees_with_oom_score() {
    let ran = run(&["next", "-o", "json", "-n", "100000"]);
    ran.assert_code(0);
    let answer: Value = serde_json::from_str(&ran.out).unwrap();
    let rows = answer["processes"].as_array().unwrap();
    let scores: Vec<i64> =
        rows.iter().filter(|row| row["rank"].is_u64()).filter_map(|row| row["oom_score"].as_i64()).collect();
    assert!(!scores.is_empty());
    // A step of the score is 1/1000 of the machine's memory; processes of other tests may grow by one meanwhile.
    let inversions: Vec<_> = scores.windows(2).filter(|pair| pair[0] + 2 < pair[1]).collect();
    assert!(inversions.is_empty(), "{scores:?}");
}

/// What is not there is said, with what a target may be; and a limit without a target makes no sense.
#[test]
fn errors() {
    for (target, message) in [
        ("no-such-thing", "nothing here is called"),
        ("4194305", "no process has the pid 4194305"),
        ("/no/such/cgroup", "no cgroup /no/such/cgroup"),
        ("../../etc", "no cgroup ../../etc"),
        ("\u{1b}[31m", "\\x1b[31m\""),
    ] {
        let ran = run(&["next", target]);
        if ran.err.contains("no memory cgroup") {
            continue;
        }
        ran.assert_code(2);
        assert!(ran.err.contains(message), "{target}: {}", ran.err);
        assert!(!ran.err.contains('\u{1b}'), "{:?}", ran.err);
    }
    run(&["next", "--if-limit", "1Gi"]).assert_code(2);
    run(&["next", "/", "--if-limit", "1 potato"]).assert_code(2);
}
