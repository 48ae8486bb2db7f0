//! What is printed: the JSON interface, colour, and nothing that acts on a terminal.

use std::process::Stdio;

use serde_json::Value;

use super::run::{Files, ONE_KILL, Ran, TWO_KILLS, dmesg, kmsg, oomscope, run, run_with_input};

/// One valid object a line, with every field of `oomscope.case/v1`.
#[test]
fn json_lines() {
    let ran = run_with_input(&["explain", "-o", "json", "-"], &kmsg(TWO_KILLS));
    ran.assert_code(0);
    assert!(ran.out.ends_with('\n'));
    for case in ran.cases() {
        has(&case, "schema id revision ruleset incident diagnosis");
        has(&case["incident"], "at origin kills identity timeline gaps");
        has(&case["incident"]["at"], "boot_us wall");
        has(&case["incident"]["origin"], "source file lines");
        let kill = &case["incident"]["kills"][0];
        has(
            kill,
            "constraint trigger gfp_mask order limit_cgroup victim_cgroup usage_bytes limit_bytes failcnt swap kmem \
             memory_swap group_kill no_killable_process victims tasks memory_stat stacks",
        );
        has(&kill["trigger"], "pid comm oom_score_adj");
        has(
            &kill["victims"][0],
            "pid comm uid total_vm_bytes anon_bytes file_bytes shmem_bytes pgtables_bytes oom_score_adj score cgroup",
        );
        has(
            &kill["tasks"][0],
            "pid tgid uid comm total_vm_bytes rss_bytes anon_bytes file_bytes shmem_bytes pgtables_bytes swap_bytes \
             oom_score_adj",
        );
        has(&kill["stacks"], "user kernel");
        has(&case["incident"]["identity"], "pod_uid container_id runtime qos namespace pod container owner node");
        has(&case["diagnosis"], "killer confidence summary findings remedies gaps");
        has(&case["diagnosis"]["findings"][0], "rule title detail evidence");
        has(&case["diagnosis"]["remedies"][0], "title detail patch");
        assert_eq!(case["schema"], "oomscope.case/v1");
        assert_eq!(case["diagnosis"]["killer"], "node");
    }
}

#[track_caller]
fn has(object: &Value, fields: &str) {
    for field in fields.split_whitespace() {
        assert!(object.get(field).is_some(), "no {field} in {object}");
    }
}

/// Colour only where it was asked for: a pipe is no terminal, and NO_COLOR does not forbid what a flag orders.
#[test]
fn colour() {
    let files = Files::new();
    let log = files.write("kern.log", &dmesg(ONE_KILL));
    let with = |flags: &[&str], no_color: &str| -> Ran {
        let mut command = oomscope(&[&["explain", &log], flags].concat());
        command.env("NO_COLOR", no_color).output().unwrap().into()
    };
    assert!(!with(&[], "").out.contains('\u{1b}'));
    assert!(!with(&["--color", "never"], "").out.contains('\u{1b}'));
    assert!(!with(&["--color", "auto"], "1").out.contains('\u{1b}'));
    assert!(with(&["--color", "always"], "").out.contains("\u{1b}[1m"));
    assert!(with(&["--color", "always"], "1").out.contains("\u{1b}[1m"));
    assert!(!with(&["--color", "always", "-o", "json"], "").out.contains('\u{1b}'));
    assert!(!with(&["--color", "always", "-o", "markdown"], "").out.contains('\u{1b}'));
}

/// A log of a hostile container: escape sequences, carriage returns and C1 controls in names and cgroup paths.
fn hostile() -> Vec<u8> {
    let comm = b"\x1b]0;pwn\x07\x1b[2J\r\x08";
    let path = b"/kubepods/pod0890e4ec-26c7-4b33-a1da-e364a1f444fc/\x1b[31m\xc2\x9b2J\xe2\x80\xaeevil";
    let mut log = Vec::new();
    for line in [
        &[b"[   10.000000] ", &comm[..], b" invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0"].concat(),
        &b"[   10.000001] memory: usage 49152kB, limit 49152kB, failcnt 80".to_vec(),
        &[b"[   10.000002] Memory cgroup stats for ", &path[..], b":"].concat(),
        &b"[   10.000003] Tasks state (memory values in pages):".to_vec(),
        &b"[   10.000004] [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name".to_vec(),
        &[b"[   10.000005] [    193]  1000   193  1061040    12401   159744        0           996 ", &comm[..]].concat(),
        &[
            b"[   10.000006] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg=",
            &path[..],
            b",task_memcg=",
            &path[..],
            b",task=",
            &comm[..],
            b",pid=193,uid=1000",
        ]
        .concat(),
        &[
            b"[   10.000007] Memory cgroup out of memory: Killed process 193 (",
            &comm[..],
            b") total-vm:4244160kB, anon-rss:48896kB, file-rss:708kB, shmem-rss:0kB, UID:1000 pgtables:156kB oom_score_adj:996",
        ]
        .concat(),
    ] {
        log.extend_from_slice(line);
        log.push(b'\n');
    }
    log
}

/// Whatever a process is called, nothing of it acts on the terminal, in any format, on either stream.
#[test]
fn hostile_names_reach_no_terminal() {
    let files = Files::new();
    let log = files.write("\u{1b}[31mkern.log", &hostile());
    for format in ["text", "json", "markdown"] {
        for evidence in [&[][..], &["--evidence"]] {
            let ran = run(&[&["explain", "-o", format, &log], evidence].concat());
            ran.assert_code(0);
            let acting = |text: &str| text.chars().find(|c| c.is_control() && *c != '\n' || *c == '\u{202e}');
            assert_eq!(acting(&ran.out), None, "{format}: {}", ran.out.escape_debug());
            assert_eq!(acting(&ran.err), None, "{format}: {}", ran.err.escape_debug());
            assert!(ran.out.contains("193"), "{}", ran.out);
        }
    }
    let missing = run(&["explain", "/\u{1b}[31mnonexistent"]);
    assert!(!missing.err.contains('\u{1b}'), "{}", missing.err.escape_debug());
}

/// The reader of our output may go away: no complaint, no panic, no failure.
#[test]
fn broken_pipe() {
    let files = Files::new();
    let mut log = Vec::new();
    for _ in 0..200 {
        log.extend(dmesg(ONE_KILL));
    }
    let log = files.write("kern.log", &log);
    let mut child = oomscope(&["explain", &log]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{:?}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// Every verb's help says what its exit codes mean.
#[test]
fn help_documents_exit_codes() {
    let help = run(&["--help"]);
    help.assert_code(0);
    for verb in ["explain", "demo", "rules", "completions"] {
        assert!(help.out.contains(verb), "{}", help.out);
        let ran = run(&[verb, "--help"]);
        ran.assert_code(0);
        assert!(ran.out.to_lowercase().contains("exit code"), "{verb}: {}", ran.out);
    }
}

/// Completions for the common shells know the verbs.
#[test]
fn completions() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&["completions", shell]);
        ran.assert_code(0);
        assert!(ran.out.contains("explain") && ran.out.contains("--victim") || ran.out.contains("victim"), "{shell}");
    }
}

/// Where standard output takes nothing, reading on is no use: said once, whatever there is still to read.
#[test]
fn full_disk() {
    let files = Files::new();
    let one = files.write("one", &dmesg(ONE_KILL));
    let two = files.write("two", &dmesg(TWO_KILLS));
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ran: Ran = oomscope(&["explain", &one, &two, &one]).stdout(full).output().unwrap().into();
    ran.assert_code(2);
    assert_eq!(ran.err, "oomscope: writing to standard output: No space left on device (os error 28)\n");
}
