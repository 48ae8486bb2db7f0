//! Which cases are shown.

use super::run::{Files, ONE_KILL, Ran, TWO_KILLS, dmesg, run};

fn explain(arguments: &[&str]) -> Ran {
    let files = Files::new();
    let log = files.write("two.log", &dmesg(TWO_KILLS));
    run(&[&["explain", "-o", "json", &log], arguments].concat())
}

/// `--last N`: the last ones, in the order of the log.
#[test]
fn last() {
    assert_eq!(explain(&["--last", "1"]).victims(), [183]);
    assert_eq!(explain(&["--last", "5"]).victims(), [182, 183]);
    explain(&["--last", "0"]).assert_code(2);
}

/// `--victim`: a pid, or a part of the name.
#[test]
fn victim() {
    assert_eq!(explain(&["--victim", "182"]).victims(), [182]);
    assert_eq!(explain(&["--victim", "pytho"]).victims(), [183]);
    let nobody = explain(&["--victim", "postgres"]);
    nobody.assert_code(1);
    assert!(nobody.err.contains("2 OOM events found, and none matches"), "{}", nobody.err);
}

/// `--pod`: its uid, the beginning of it, with dashes or underscores, or a part of the path.
#[test]
fn pod() {
    let all = explain(&[]);
    let uid = all.cases()[1]["incident"]["identity"]["pod_uid"].as_str().unwrap().to_owned();
    for wanted in [&uid, &uid[..8], &uid.replace('-', "_"), &format!("pod{uid}"), "/kubepods/burstable/"] {
        assert_eq!(explain(&["--pod", wanted]).victims(), [183], "{wanted}");
    }
    explain(&["--pod", "00000000"]).assert_code(1);
}

/// `--since`: by date where the log has dates; where it has none, the cases are kept and that is said.
#[test]
fn since() {
    let files = Files::new();
    let dated = |date: &str, text: &str| -> String {
        let lines = text.lines().map(|line| line.split_once("] ").unwrap().1);
        lines.map(|line| format!("{date} node kernel: {line}\n")).collect()
    };
    let text = String::from_utf8(dmesg(ONE_KILL)).unwrap();
    let log = dated("2026-04-01T10:00:00.000000+00:00", &text) + &dated("2026-04-03T10:00:00.000000+00:00", &text);
    let log = files.write("syslog", log.as_bytes());
    let count = |since: &str| run(&["explain", "-o", "json", "--since", since, &log]).cases().len();
    assert_eq!(count("2026-03-01"), 2);
    assert_eq!(count("2026-04-02T00:00:00Z"), 1);
    assert_eq!(count("2026-04-04T00:00:00Z"), 0);
    let undated = explain(&["--since", "2026-04-01"]);
    undated.assert_code(0);
    assert!(undated.err.contains("kept 2 cases without a date"), "{}", undated.err);
}
