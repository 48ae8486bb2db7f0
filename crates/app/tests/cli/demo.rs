//! The demonstration, for real where that is possible.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use super::run::{oomscope, run, run_with_input};

/// A recorded kill is explained anywhere, without any rights.
#[test]
fn recorded() {
    let ran = run(&["demo", "--recorded"]);
    ran.assert_code(0);
    assert!(ran.out.contains("OOM KILL") && ran.out.contains("WHAT TO DO"), "{}", ran.out);
    let json = run(&["demo", "--recorded", "-o", "json"]);
    assert_eq!(json.cases().len(), 1);
}

/// As root, a scratch cgroup is made and filled, and the kernel's own report of it is explained; else a recorded one is.
#[test]
#[allow(clippy::print_stderr, reason = "a test that did less must not look like one that did all")]
fn real() {
    let ran = run(&["demo", "-o", "json"]);
    ran.assert_code(0);
    let cases = ran.cases();
    assert_eq!(cases.len(), 1, "{}", ran.err);
    if ran.err.contains("no real kill here") {
        eprintln!("SKIPPED the real demo: {}", ran.err);
        return;
    }
    let kill = &cases[0]["incident"]["kills"][0];
    assert_eq!(cases[0]["diagnosis"]["killer"], "cgroup_limit", "{}", ran.out);
    assert_eq!(kill["limit_bytes"], 50 << 20);
    assert_eq!(kill["victims"][0]["pid"], kill["trigger"]["pid"]);
    assert!(cases[0]["incident"]["at"]["wall"].is_string(), "this machine's own log has a date");
    let scratch = kill["limit_cgroup"].as_str().unwrap();
    assert_eq!(folder_of(scratch), None, "{scratch} is left behind");
}

/// Where a cgroup is, by the path that the kernel has for it; `None` where it is not.
fn folder_of(cgroup: &str) -> Option<PathBuf> {
    let folders =
        ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].map(|root| Path::new(&format!("{root}{cgroup}")).to_owned());
    folders.into_iter().find(|folder| folder.exists())
}

/// Whoever ends the demonstration in the middle finds nothing left of it, and an exit code that names the signal.
#[test]
#[allow(clippy::print_stderr, reason = "a test that did less must not look like one that did all")]
fn interrupted() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut child = oomscope(&["demo"]).spawn().unwrap();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        err.read_line(&mut line).unwrap();
        let cgroup = line.strip_prefix("oomscope: made the cgroup ").and_then(|rest| rest.split_whitespace().next());
        let Some(folder) = cgroup.and_then(folder_of) else {
            child.kill().unwrap();
            child.wait().unwrap();
            eprintln!("SKIPPED interrupting the demo: {line}");
            return;
        };
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(128 + signal.as_raw()));
        assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(!folder.exists(), "{} is left behind", folder.display());
    }
}

/// The process that is to be killed does not begin unless it is told that it is in its cgroup.
#[test]
fn the_hog_needs_a_word() {
    for word in ["", "go", "gone\n", "\n"] {
        let ran = run_with_input(&["demo-hog", "1099511627776"], word.as_bytes());
        ran.assert_code(2);
        assert!(ran.err.contains("does not run by itself"), "{}", ran.err);
    }
}
