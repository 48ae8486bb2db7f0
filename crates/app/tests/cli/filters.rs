//! Which cases are shown.

use super::run::{Files, ONE_KILL, Ran, TWO_KILLS, dmesg, oomscope, run};

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

/// Local times of an unstated zone are taken as this machine's (TZ), and that is said once; a stated zone needs no word.
#[test]
fn since_without_a_zone() {
    let files = Files::new();
    let text = String::from_utf8(dmesg(ONE_KILL)).unwrap();
    let dated = |date: &str| -> String {
        text.lines().map(|line| format!("{date} node kernel: {}\n", line.split_once("] ").unwrap().1)).collect()
    };
    let log = files.write("local", (dated("2026-04-01T10:00:00") + &dated("2026-04-03T10:00:00")).as_bytes());
    let since = |zone: &str| -> Ran {
        let arguments = ["explain", "-o", "json", "--since", "2026-04-03T10:30:00Z", &log];
        oomscope(&arguments).env("TZ", zone).output().unwrap().into()
    };
    for (zone, cases) in [("UTC0", 0), ("WEST5", 1)] {
        let ran = since(zone);
        assert_eq!(ran.cases().len(), cases, "{}", ran.err);
        assert_eq!(ran.err.matches("states no time zone for 2 cases").count(), 1, "{}", ran.err);
    }
    let stated = files.write("stated", dated("2026-04-01T10:00:00Z").as_bytes());
    let ran = run(&["explain", "--since", "2026-03-01", &stated]);
    assert!(!ran.err.contains("time zone"), "{}", ran.err);
}

/// What is no time is refused before anything is read, with examples of what is one.
#[test]
fn since_nonsense() {
    for nonsense in ["", "yesterday-ish", "2026-13-01", "999999999 years", "-"] {
        let ran = explain(&[&format!("--since={nonsense}")]);
        ran.assert_code(2);
        assert!(ran.err.contains("--since") && !ran.err.contains("panicked"), "{}", ran.err);
    }
}
