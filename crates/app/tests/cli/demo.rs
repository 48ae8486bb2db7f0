//! The demonstration, for real where that is possible.

use super::run::run;

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
    for root in ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"] {
        assert!(!std::path::Path::new(&format!("{root}{scratch}")).exists(), "{scratch} is left behind");
    }
}
