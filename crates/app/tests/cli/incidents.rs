//! What was kept: listed, shown, exported, and explained again elsewhere.

use std::os::unix::fs::PermissionsExt as _;

use super::run::{Files, ONE_KILL, TWO_KILLS, dmesg, oomscope, run, run_with_input};

/// A store of version 1 of the tables, as that version wrote it: three kills, of the pids 188, 182 and 183 (and the rules
/// "0"). Made by `store::tests::writes_the_sample`.
const STORE: &[u8] = include_bytes!("store-v1.db.zst");

const IDS: [&str; 3] = ["oom-5ca1ab1e-4750884-188", "oom-5ca1ab1e-10050842-182", "oom-5ca1ab1e-10063254-183"];

/// The path of a fresh copy.
fn store(files: &Files) -> String {
    files.write("incidents.db", &zstd::decode_all(STORE).unwrap())
}

/// The oldest incident comes first, a line each with its id, and a filter keeps what it says.
#[test]
fn lists() {
    let files = Files::new();
    let store = store(&files);
    let list = |more: &[&str]| run(&[&["incidents", "--store", &store], more].concat());
    let all = list(&[]);
    all.assert_code(0);
    let lines: Vec<_> = all.out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", all.out);
    for (line, id) in lines.iter().zip(IDS) {
        assert!(line.starts_with(id), "{line}");
    }
    assert!(lines[0].contains("container limit") && lines[0].contains("app (pid 188)"), "{}", lines[0]);
    assert!(lines[0].contains("48 MiB") && lines[0].contains("2026-04-04 03:41:07Z"), "{}", lines[0]);

    let victims = |more: &[&str]| list(&[more, &["-o", "json"]].concat()).victims();
    assert_eq!(victims(&[]), [188, 182, 183]);
    assert_eq!(victims(&["--killer", "node"]), [182, 183]);
    assert_eq!(victims(&["--killer", "container-limit"]), [188]);
    assert_eq!(victims(&["--cgroup", "kubepods/burstable/pod1b0e01"]), [183]);
    assert_eq!(victims(&["--pod", "1b0e016d-8e"]), [183]);
    assert_eq!(victims(&["--since", "2026-04-04T03:41:10Z"]), [182, 183]);
    assert_eq!(victims(&["--until", "2026-04-04T03:41:10Z"]), [188]);
    assert_eq!(victims(&["--last", "1"]), [183]);
    list(&["--killer", "gremlins"]).assert_code(2);
}

/// Nothing to list is no error, and says which nothing it is.
#[test]
fn nothing_to_list() {
    let files = Files::new();
    let missing = files.path().join("none.db").into_os_string().into_string().unwrap();
    let ran = run(&["incidents", "--store", &missing]);
    ran.assert_code(1);
    assert!(ran.err.contains("there is no") && ran.err.contains("oomscope watch"), "{}", ran.err);
    assert!(!files.path().join("none.db").exists(), "a reader makes no file");
    let ran = run(&["incidents", "--store", &store(&files), "--killer", "pod_limit"]);
    ran.assert_code(1);
    assert!(ran.err.contains("none of the 3 stored incidents matches"), "{}", ran.err);
}

/// The flag, the variable and the user's own folder all lead to the store.
#[test]
fn finds_the_store() {
    let files = Files::new();
    let store = store(&files);
    let out = oomscope(&["incidents"]).env("OOMSCOPE_STORE", &store).output().unwrap();
    assert_eq!(String::from_utf8(out.stdout).unwrap().lines().count(), 3);
}

/// By id, by its beginning, and the newest; with the rules of today unless the old ones are asked for.
#[test]
fn shows_one() {
    let files = Files::new();
    let store = store(&files);
    let show = |more: &[&str]| run(&[&["show", "--store", &store], more].concat());
    for name in [IDS[2], "oom-5ca1ab1e-10063", "last"] {
        let ran = show(&[name]);
        ran.assert_code(0);
        assert!(ran.out.contains("OOM KILL") && ran.out.contains("python3 (pid 183)"), "{}", ran.out);
    }
    assert!(show(&["last", "-o", "markdown"]).out.contains("python3"));
    assert!(show(&["last", "--evidence"]).out.contains("invoked oom-killer"));
    let rules = |more: &[&str]| show(&[&["last", "-o", "json"], more].concat()).cases()[0]["ruleset"].clone();
    assert_ne!(rules(&[]), "0");
    assert_eq!(rules(&["--as-stored"]), "0");

    let several = show(&["oom-5ca1ab1e-100"]);
    several.assert_code(2);
    assert!(several.err.contains("several incidents begin with") && several.err.contains(IDS[1]), "{}", several.err);
    let none = show(&["oom-nope"]);
    none.assert_code(1);
    assert!(none.err.contains("no incident oom-nope"), "{}", none.err);
}

/// An exported case is one line of JSON for the user alone, and `show` and `explain` read it anywhere, compressed too.
#[test]
fn exports() {
    let files = Files::new();
    let store = store(&files);
    let ran: super::run::Ran =
        oomscope(&["export", "last", "--store", &store]).current_dir(files.path()).output().unwrap().into();
    ran.assert_code(0);
    let file = files.path().join(format!("{}.oomscope.json", IDS[2]));
    assert!(ran.err.contains("wrote oom-5ca1ab1e-10063254-183.oomscope.json"), "{}", ran.err);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(bytes.iter().filter(|&&b| b == b'\n').count(), 1);

    let file = file.to_str().unwrap();
    let packed = files.write("case.zst", &zstd::encode_all(&*bytes, 3).unwrap());
    let shown = run(&["show", "last", "--store", &store]).out;
    for (what, ran) in [
        ("show FILE", run(&["show", file])),
        ("show compressed", run(&["show", &packed])),
        ("show -", run_with_input(&["show", "-"], &bytes)),
        ("explain FILE", run(&["explain", file])),
        ("explain compressed", run(&["explain", &packed])),
        ("explain -", run_with_input(&["explain"], &bytes)),
    ] {
        ran.assert_code(0);
        assert_eq!(ran.out, shown, "{what}");
    }

    let again = run(&["export", "last", "--store", &store, "-o", file]);
    again.assert_code(2);
    assert!(again.err.contains("is there already"), "{}", again.err);
    run(&["export", "last", "--store", &store, "-o", file, "--force"]).assert_code(0);
    assert_eq!(run(&["export", "last", "--store", &store, "-o", "-"]).out.as_bytes(), bytes);
    run(&["export", "nope", "--store", &store]).assert_code(1);
}

/// Saved cases and logs in any order, in one stream and in several files; a kill that is in both is shown once.
#[test]
fn explains_cases_among_logs() {
    let files = Files::new();
    let saved = run(&["incidents", "-o", "json", "--store", &store(&files)]).out;
    let (first, rest) = saved.split_at(saved.find('\n').unwrap() + 1);
    let log = dmesg(ONE_KILL);
    let stream = [first.as_bytes(), &log, rest.as_bytes()].concat();
    let ran = run_with_input(&["explain", "-o", "json"], &stream);
    ran.assert_code(0);
    let mut victims = ran.victims();
    victims.sort_unstable();
    assert_eq!(victims, [182, 183, 188, 188]);
    let from_log = ran.cases().into_iter().find(|case| case["id"] == "oom-x-4750884-188").unwrap();
    assert_eq!(from_log["incident"]["origin"]["lines"][0], 2, "lines are counted as they are in the file");

    let (cases, log) = (files.write("cases.json", saved.as_bytes()), files.write("kern.log", &dmesg(TWO_KILLS)));
    for inputs in [[&cases, &log], [&log, &cases]] {
        let ran = run(&["explain", "-o", "json", inputs[0], inputs[1]]);
        ran.assert_code(0);
        assert_eq!(ran.cases().len(), 5, "{}", ran.err);
    }
    let copy = files.write("copy.json", first.as_bytes());
    let ran = run(&["explain", "-o", "json", &cases, &copy]);
    assert_eq!(ran.cases().len(), 3);
    assert!(ran.err.contains("left out 1 event"), "{}", ran.err);
}

/// Cases in a file that is large enough to be looked over first, between megabytes of other lines.
#[test]
fn cases_in_a_large_file() {
    let files = Files::new();
    let saved = run(&["incidents", "-o", "json", "--store", &store(&files)]).out;
    let filler = b"Apr  4 03:41:03 node app: nothing of interest happened here at all\n".repeat(130_000);
    let mut large = Vec::new();
    for case in saved.lines() {
        large.extend_from_slice(&filler);
        large.extend_from_slice(case.as_bytes());
        large.push(b'\n');
    }
    large.extend_from_slice(&filler);
    let ran = run(&["explain", "-o", "json", &files.write("large.log", &large)]);
    ran.assert_code(0);
    assert_eq!(ran.victims(), [188, 182, 183]);
}

/// A damaged or newer case is named by file and line, costs nothing else, and shows in the exit code.
#[test]
fn damaged_and_newer_cases() {
    let files = Files::new();
    let saved = run(&["incidents", "-o", "json", "--store", &store(&files)]).out;
    let lines: Vec<_> = saved.lines().collect();
    let half = &lines[1][..lines[1].len() / 2];
    let newer = lines[1].replacen("oomscope.case/v1", "oomscope.case/v2", 1);
    let file = files.write("cases.json", [lines[0], half, &newer, lines[2], ""].join("\n").as_bytes());
    for verb in ["explain", "show"] {
        let ran = run(&[verb, "-o", "json", &file]);
        ran.assert_code(2);
        assert_eq!(ran.victims(), [188, 183], "{verb}");
        assert!(ran.err.contains(&format!("{file}:2: this case is damaged")), "{verb}: {}", ran.err);
        assert!(ran.err.contains(&format!("{file}:3: this case is of a newer oomscope")), "{verb}: {}", ran.err);
    }
    let log = files.write("kern.log", &dmesg(ONE_KILL));
    let ran = run(&["show", &log]);
    ran.assert_code(2);
    assert!(ran.err.contains("no saved case") && ran.err.contains("oomscope explain"), "{}", ran.err);
}

/// What can be read of a damaged store is shown, with a word on it, and the file stays as it was.
#[test]
fn a_damaged_store() {
    let files = Files::new();
    let mut bytes = zstd::decode_all(STORE).unwrap();
    bytes[..4096].fill(0);
    let path = files.write("incidents.db", &bytes);
    let ran = run(&["incidents", "--store", &path]);
    ran.assert_code(0);
    assert_eq!(ran.out.lines().count(), 3, "{}", ran.out);
    assert!(ran.err.contains("is damaged") && ran.err.contains("the 3 incidents that could be read"), "{}", ran.err);
    assert_eq!(std::fs::read(&path).unwrap(), bytes);

    for other in [files.write("theirs.db", b"SQLite format 3\0".repeat(100).as_slice()), "/tmp".to_owned()] {
        let ran = run(&["incidents", "--store", &other]);
        ran.assert_code(2);
        assert!(ran.err.contains("not a store of oomscope"), "{}", ran.err);
    }
}
