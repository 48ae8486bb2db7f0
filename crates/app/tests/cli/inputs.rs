//! What is read, and what becomes of what cannot be: files, patterns, compression, standard input, exit codes.

use std::io::Write as _;

use super::run::{Files, NO_KILL, ONE_KILL, TWO_KILLS, dmesg, kmsg, run, run_with_input};

/// 0: explained, 1: no kill in what was read (and a word on what that was), 2: not read.
#[test]
fn exit_codes() {
    let files = Files::new();
    let kill = files.write("kill.log", &dmesg(ONE_KILL));
    let none = files.write("none.log", NO_KILL);
    let empty = files.write("empty.log", b"");
    run(&["explain", &kill]).assert_code(0);
    for quiet in [&none, &empty] {
        let ran = run(&["explain", quiet]);
        ran.assert_code(1);
        assert!(ran.err.contains("no OOM event found: 1 log read"), "{}", ran.err);
        assert_eq!(ran.out, "");
    }
    let missing = run(&["explain", "/nonexistent.log"]);
    missing.assert_code(2);
    assert!(missing.err.contains("/nonexistent.log") && missing.err.contains("No such file"), "{}", missing.err);
    run(&["explain", "--no-such-flag"]).assert_code(2);
    run(&["no-such-verb"]).assert_code(2);
    run(&["explain", "--since", "yesterday-ish", &kill]).assert_code(2);
}

/// `-` is standard input, alone and among files.
#[test]
fn standard_input() {
    let files = Files::new();
    let two = files.write("two.log", &dmesg(TWO_KILLS));
    let alone = run_with_input(&["explain", "-o", "json", "-"], &dmesg(ONE_KILL));
    alone.assert_code(0);
    assert_eq!(alone.victims(), [188]);
    assert!(alone.cases()[0]["incident"]["origin"]["file"].is_null());
    let among = run_with_input(&["explain", "-o", "json", &two, "-"], &dmesg(ONE_KILL));
    assert_eq!(among.victims(), [182, 183, 188]);
}

/// Several files, a pattern that the shell did not expand, and one that matches nothing.
#[test]
fn several_files_and_patterns() {
    let files = Files::new();
    let one = files.write("one.log", &dmesg(ONE_KILL));
    files.write("two.log", &dmesg(TWO_KILLS));
    files.write("other.txt", b"not a log");
    let ran = run(&["explain", "-o", "json", &format!("{}/*.log", files.path().display())]);
    ran.assert_code(0);
    let mut victims = ran.victims();
    victims.sort_unstable();
    assert_eq!(victims, [182, 183, 188]);
    let text = run(&["explain", &format!("{}/*.log", files.path().display())]);
    assert!(text.out.contains("3 OOM events"), "several cases end with an overview: {}", text.out);
    let nothing = run(&["explain", "-o", "json", &format!("{}/*.gz", files.path().display()), &one]);
    nothing.assert_code(2);
    assert!(nothing.err.contains("*.gz"), "{}", nothing.err);
    assert_eq!(nothing.victims(), [188], "the other argument is explained all the same");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut writer = liblzma::write::XzEncoder::new(Vec::new(), 1);
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// Compressed logs are recognised by what is in them, whatever they are called, also on standard input.
#[test]
fn compressed_logs() {
    let files = Files::new();
    let log = dmesg(ONE_KILL);
    let plain = run_with_input(&["explain", "-o", "json", "-"], &log);
    for (ending, bytes) in
        [("gz", gzip(&log)), ("xz", xz(&log)), ("bz2", bzip2(&log)), ("zst", zstd::encode_all(&log[..], 1).unwrap())]
    {
        for name in [format!("kern.log.2.{ending}"), format!("misnamed-{ending}")] {
            let ran = run(&["explain", "-o", "json", &files.write(&name, &bytes)]);
            ran.assert_code(0);
            assert_eq!(ran.victims(), [188], "{name}");
        }
        let piped = run_with_input(&["explain", "-o", "json", "-"], &bytes);
        assert_eq!(piped.out, plain.out, "{ending} on standard input");
    }
}

/// A compressed file that breaks off: what could be read is explained, the rest is a gap, and the exit code says it.
#[test]
fn truncated_gzip() {
    let files = Files::new();
    let mut log = dmesg(ONE_KILL);
    // The kill is whole; what follows does not compress, and half of it is cut away.
    let mut noise = 1_u32;
    for _ in 0..20_000 {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        writeln!(log, "[    9.0] noise {noise:x}").unwrap();
    }
    let whole = gzip(&log);
    let path = files.write("kern.log.1.gz", &whole[..whole.len() / 2]);
    let ran = run(&["explain", "-o", "json", &path]);
    ran.assert_code(2);
    assert_eq!(ran.victims(), [188]);
    assert!(ran.err.contains("kern.log.1.gz"), "the message names the file: {}", ran.err);
}

/// Where the file breaks off inside the report, the case says from where on the rest is not known.
#[test]
fn truncated_inside_the_report() {
    let files = Files::new();
    let log = dmesg(TWO_KILLS);
    // Stored, not compressed, so that the cut is at the same place in both.
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    writer.write_all(&log).unwrap();
    let whole = writer.finish().unwrap();
    let path = files.write("kern.log.1.gz", &whole[..whole.len() / 4]);
    let ran = run(&["explain", "-o", "json", &path]);
    ran.assert_code(2);
    let cases = ran.cases();
    assert_eq!(cases.len(), 1, "{}", ran.out);
    let gaps = cases[0]["incident"]["gaps"].to_string();
    assert!(gaps.contains("kern.log.1.gz") && gaps.contains("the rest of"), "{gaps}");
}

/// A folder is no log, and a missing file does not hide the good one beside it.
#[test]
fn unreadable_beside_readable() {
    let files = Files::new();
    let good = files.write("good.log", &dmesg(ONE_KILL));
    let folder = files.path().display().to_string();
    let ran = run(&["explain", "-o", "json", &folder, "/nonexistent.log", &good]);
    ran.assert_code(2);
    assert_eq!(ran.victims(), [188]);
    assert!(ran.err.contains(&folder) && ran.err.to_lowercase().contains("director"), "{}", ran.err);
    assert!(ran.err.contains("/nonexistent.log"), "{}", ran.err);
}

/// A report that rotation split over two files is one case.
#[test]
fn rotated_in_the_middle_of_a_report() {
    let files = Files::new();
    let log = dmesg(ONE_KILL);
    let middle = log.len() / 2 + log[log.len() / 2..].iter().position(|b| *b == b'\n').unwrap() + 1;
    let older = files.write("kern.log.1", &log[..middle]);
    let newer = files.write("kern.log", &log[middle..]);
    for arguments in [[&older, &newer], [&newer, &older]] {
        let ran = run(&["explain", "-o", "json", arguments[0], arguments[1]]);
        ran.assert_code(0);
        assert_eq!(ran.victims(), [188], "{}", ran.err);
        let kill = &ran.cases()[0]["incident"]["kills"][0];
        assert_eq!(kill["limit_bytes"], 48 << 20, "from the older file");
        assert_eq!(kill["trigger"]["comm"], "app");
    }
}

/// The same log twice, and the same kill in two forms, is shown once.
#[test]
fn the_same_kill_is_shown_once() {
    let files = Files::new();
    let messages = files.write("messages", &dmesg(TWO_KILLS));
    let copy = files.write("copy", &dmesg(TWO_KILLS));
    let kmsg = files.write("kmsg", &kmsg(TWO_KILLS));
    let ran = run(&["explain", "-o", "json", &messages, &copy, &kmsg]);
    ran.assert_code(0);
    assert_eq!(ran.victims(), [182, 183]);
    assert!(ran.err.contains("left out 4 events that an earlier file had too"), "{}", ran.err);
}

/// Kills of different machines that happen to have the same id are both shown; a copy of either is not.
#[test]
fn kills_of_other_machines_are_no_copies() {
    let files = Files::new();
    let text = String::from_utf8(dmesg(ONE_KILL)).unwrap();
    let on = |host: &str| -> String {
        text.lines().map(|line| format!("Apr  4 03:41:03 {host} kernel: {line}\n")).collect()
    };
    let one = files.write("one", on("web-1").as_bytes());
    let copy = files.write("copy", on("web-1.example.org").as_bytes());
    let plain = files.write("plain", text.as_bytes());
    let two = files.write("two", on("web-2").as_bytes());
    let other = files.write("other", text.replace("total-vm:", "total-vm:1").as_bytes());
    let shown = |logs: &[&String]| {
        let logs: Vec<&str> = logs.iter().map(|log| log.as_str()).collect();
        run(&[&["explain", "-o", "json"], logs.as_slice()].concat()).cases().len()
    };
    assert_eq!(shown(&[&one, &copy]), 1);
    assert_eq!(shown(&[&one, &plain]), 1);
    assert_eq!(shown(&[&one, &two, &copy, &two]), 2);
    assert_eq!(shown(&[&plain, &one, &two]), 2);
    assert_eq!(shown(&[&plain, &other]), 2);
}
