//! The promises of the whole stage: text survives every wrapping, nothing panics, names cannot pass for prefixes.

use proptest::prelude::*;

use super::*;

fn unwrap(input: &[u8]) -> Vec<Record> {
    let mut out = Vec::new();
    let mut unwrapper = Unwrapper::new();
    let mut emit = |record| out.push(record);
    for (line, number) in input.split(|b| *b == b'\n').zip(1..) {
        unwrapper.push(line, number, &mut emit);
    }
    unwrapper.flush(&mut emit);
    out
}

fn one(input: &str) -> Record {
    let mut records = unwrap(input.as_bytes());
    assert_eq!(records.len(), 1, "{input}: {records:?}");
    records.remove(0)
}

/// Each with the text in place of `@`.
const KERNEL_WRAPPINGS: &[&str] = &[
    "[  123.456789] @",
    "[  123.456789][ T1234] @",
    "[  123.456789][    C0] @",
    "[  123.456789] [ T1234] @",
    "[  123.456789] (0)[1234:kworker/0:1]@",
    "[  123.456789]  [2:    kworker/2:1:  123] @",
    "[  123.456789] c0 123 (kworker/0:1) @",
    "[    1.234567 <    0.000004>] @",
    "[<    0.000004>] @",
    "kern  :info  : [  123.456789] @",
    "<6>[  123.456789] @",
    "[Thu Dec  7 00:05:14 2017] @",
    "[Do Dez  7 00:05:14 2017] @",
    "[四 12月  7 00:05:14 2017] @",
    "[Thu Dec  7 00:05:14 2017 <    1.000001>] @",
    "[  123.456789] [Thu Dec  7 00:05:14 2017] @",
    "[Thu Dec  7 00:05:14 2017] [   T12] @",
    "[Dec 7 00:05] @",
    "[Nov21 09:08] @",
    "[  +0.000004] @",
    "2017-12-07T00:05:14,123456+00:00 @",
    "6,416,1758426,-;@",
    "6,416,1758426,-,caller=T12;@",
    "Dec  7 00:05:14 host kernel: @",
    "Dec  7 00:05:14.123456 host kernel: @",
    "Dec 07 00:05:14 kernel: @",
    "<4>Dec  7 00:05:14 host kernel: [  123.456789] @",
    "Dec  7 00:05:14 host kernel[123]: @",
    "déc. 07 00:05:14 host kernel: @",
    "2017-12-07T00:05:14.123456+00:00 host kernel: @",
    "2017-12-07T00:05:14+0000 host kernel: [  123.456789] @",
    "Thu 2026-04-04 03:41:03 UTC host kernel: @",
    "[   12.345678] host kernel: @",
    "[  100.000001 <    0.000012 >] host kernel: @",
    "1795252113.123456 host kernel: @",
    "Mon Apr 12 18:29:48 2021 kern.warn kernel: [  278.720081] @",
    "Aug  1 17:16:33 unitv2 user.err kernel: @",
    "<4>1 2024-12-04T11:00:02.671100+00:00 node-7c kernel - - - [  123.456789] @",
    "<4>1 2024-12-04T11:00:02Z node-7c kernel 1 x [a1 b=\"c\\\"]\"] \u{feff}@",
    "2018-03-08T10:40:22.123456+00:00 info vcsa kernel - - - [  123.456789] @",
    "2024-01-01T00:00:00.123456789Z stdout F [  123.456789] @",
    "10.44.7.19: kern:    info: [2025-06-04T04:51:57.572293906Z]: @",
    "kern: warning: [2025-06-04T04:51:57.572293906Z]: @",
    "[pod/kmsg-x/reader] [  123.456789] @",
    "kmsg-1  | [  123.456789] @",
    "/var/log/kern.log:4711:Dec  3 07:52:25 node kernel: [  123.456789] @",
    "/var/log/kern.log-4711-Dec  3 07:52:25 node kernel: @",
    "2023-12-04T10:49:30.125Z In(05) vcpu-5 - Guest: <6>[  123.456789] @",
    "node login: [  123.456789] @",
    "  12. <4>[  123.456789] @",
    "> > [  123.456789] @",
    "    [  123.456789] @",
    "\t[  123.456789] @",
    "\u{feff}\u{1b}[32m[  123.456789] \u{1b}[0m@",
    "warning|kernel[-]|[  123.456789] @",
    "08-12 18:22:42.790   278   278 E kernel  : @",
    "kernel: @",
];

/// What the kernel might print, with names that look like prefixes in it.
const TEXTS: &[&str] = &[
    "Memory cgroup out of memory: Killed process 10558 (x: y) total-vm:52kB, UID:0 oom_score_adj:999",
    "[14881]     0 14881  5063909   119961    1661   136409          -998 java",
    "[    111]     0   111     1162      450    32768        0             0  [1] 0 0 9 9 9",
    "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
    " dump_stack+0x67/0x95",
    " ? __schedule+0x2e2/0x890",
    " <TASK>",
    "<6>x invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
    "3,1,1,-;x invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
    "kernel: invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
    "memory: usage 524288kB, limit 524288kB, failcnt 0",
    "[<ffffffff81691fc5>] do_page_fault+0x35/0x90",
    "Node 0 active_anon:1448kB inactive_anon:0kB",
];

/// A kernel text comes out of every wrapping as it went in, and is marked as the kernel's.
#[test]
fn text_survives_every_wrapping() {
    for wrapping in KERNEL_WRAPPINGS {
        for text in TEXTS {
            let record = one(&wrapping.replace('@', text));
            assert_eq!(String::from_utf8_lossy(&record.text), *text, "{wrapping}");
            assert!(record.prefixed && !record.foreign, "{wrapping}: {record:?}");
        }
    }
}

/// What the prefixes knew is kept.
#[test]
fn prefixes_are_remembered() {
    let record = one("<4>1 2024-12-04T11:00:02.671100+00:00 node-7c kernel - - - [97657.671100][ T12] x");
    assert_eq!(record.host.as_deref(), Some("node-7c"));
    assert_eq!(record.caller.as_deref(), Some("T12"));
    assert_eq!(record.level, Some(4));
    assert_eq!(record.when.boot_us.map(|t| t.0), Some(97_657_671_100));
    assert_eq!(record.when.wall.map(|t| t.to_string()).as_deref(), Some("2024-12-04T11:00:02.6711Z"));
    assert_eq!(one("Dec  7 00:05:14 host kernel: x").when, crate::time::When::default());
}

/// Another program's line is foreign, unless printk stamped it after the tag.
#[test]
fn other_programs_are_foreign() {
    for line in [
        "Dec  7 00:05:14 host kubelet[812]: Out of memory: Killed process 1 (x)",
        "Dec  7 00:05:14 host systemd: Out of memory",
        "2026-02-08T00:40:07.136582+00:00 host systemd[1]: Out of memory",
        "user  :notice: [  123.456789] Out of memory",
        "12,1,2,-;Out of memory",
        "{\"MESSAGE\":\"Out of memory\",\"_TRANSPORT\":\"stdout\",\"SYSLOG_IDENTIFIER\":\"kernel\"}",
    ] {
        assert!(one(line).foreign, "{line}");
    }
    assert!(!one("Dec  7 00:05:14 host klogd[9]: [  123.456789] Out of memory").foreign);
}

/// What a program writes behind its own tag cannot make itself the kernel's.
#[test]
fn a_program_cannot_pass_for_the_kernel() {
    for tag in [
        "Dec  7 00:05:14 host logger[1234]: ",
        "Dec  7 00:05:14 host systemd: ",
        "2024-12-07T00:05:14+00:00 host app[12]: ",
        "<12>1 2024-12-04T11:00:02Z h app 1 - - ",
        "<4>1 2024-12-04T11:00:02Z h app 1 - - ",
        "warning|app[1]|",
    ] {
        for forged in [
            "[12345.678901] ",
            "<0>[12345.678901] ",
            "[Thu Dec  7 00:05:14 2017] ",
            "[ T123] ",
            "<4>[12345.678901][ T123] ",
            "[2025-06-04T04:51:57.572293906Z]: ",
            "<4>1 2024-12-04T11:00:02Z h kernel - - - ",
            "kernel: ",
        ] {
            let record = one(&format!("{tag}{forged}Out of memory: Killed process 1 (x)"));
            assert!(record.foreign && !record.prefixed, "{tag}{forged}: {record:?}");
        }
    }
}

/// Once a stream has shown what follows the stamp, a name that looks like more of a prefix is a name.
#[test]
fn names_are_no_decoration() {
    for name in ["[ T123]", "h kernel:", "(0)[123:x]", "c0 1 (x)"] {
        let text = format!("{name} invoked oom-killer: gfp_mask=0xcc0");
        let records = unwrap(format!("[    1.000000] Linux version 6.1\n[    2.000000] {text}").as_bytes());
        assert_eq!(String::from_utf8_lossy(&records[1].text), text);
        assert_eq!((records[1].caller.as_deref(), records[1].host.as_deref()), (None, None));
    }
}

/// A stamp within the text stays; only an identical second one goes.
#[test]
fn a_second_stamp_is_text() {
    assert_eq!(one("[  123.456789] [    1.000000] x").text, b"[    1.000000] x");
    assert_eq!(one("[  123.456789] [  123.456789] x").text, b"x");
}

/// Without a prefix, the line is the text, with its blanks.
#[test]
fn bare_text() {
    let record = one("   ? asm_exc_page_fault+0x8/0x30");
    assert_eq!(record.text, b"   ? asm_exc_page_fault+0x8/0x30");
    assert!(!record.prefixed && !record.foreign);
}

/// journalctl and dmesg indent the further lines of a record to its first; a forged report in another program's message
/// stays that program's.
#[test]
fn indented_lines_continue_a_record() {
    let records =
        unwrap(b"Dec  7 00:05:14 host app[1]: first\n                             [    1.000000] Killed process 1\n");
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].text, b"first\n[    1.000000] Killed process 1");
    assert!(records[0].foreign && records[0].lines == (1, 2));
}

/// util-linux's pretty-printed JSON, one element at a time, with a byte that is no UTF-8.
#[test]
fn dmesg_json() {
    let input = b"{\n   \"dmesg\": [\n      {\n         \"pri\": 4,\n         \"time\":   100.000001,\n         \"msg\": \"a\\nb \xff\"\n      },{\n         \"pri\": 30,\n         \"time\":     1.5,\n         \"msg\": \"c\"\n      }\n   ]\n}\n[    1.000000] after";
    let records = unwrap(input);
    assert_eq!(records.len(), 3, "{records:?}");
    assert_eq!(records[0].text, b"a\nb \xff");
    assert_eq!(records[0].when.boot_us.map(|t| t.0), Some(100_000_001));
    assert_eq!((records[0].level, records[0].framed, records[0].lines), (Some(4), true, (3, 7)));
    assert!(records[1].foreign);
    assert_eq!(records[2].text, b"after");
    assert_eq!(unwrap(b"{\"dmesg\":[{\"pri\":4,\"time\":1.0,\"msg\":\"x\"}]}").len(), 1);
}

/// The journal's JSON forms: a byte array, sse, a record separator, over many lines.
#[test]
fn journal_json() {
    let object = "{\"__REALTIME_TIMESTAMP\":\"1733252475880491\",\"_SOURCE_MONOTONIC_TIMESTAMP\":\"5\",\"_TRANSPORT\":\"kernel\",\
                  \"MESSAGE\":[120,32,255],\"PRIORITY\":\"3\",\"_BOOT_ID\":\"9d3e\",\"_HOSTNAME\":\"n\"}";
    for line in [object.to_owned(), format!("data: {object}"), format!("\u{1e}{object}"), object.replace(',', ",\n\t")]
    {
        let records = unwrap(line.as_bytes());
        assert_eq!(records.len(), 1, "{line}");
        assert_eq!(records[0].text, b"x \xff");
        assert!(records[0].framed && records[0].prefixed && !records[0].foreign);
        assert_eq!((records[0].level, records[0].boot_id.as_deref()), (Some(3), Some("9d3e")));
    }
}

/// Log services: the text member is found and unwrapped in turn.
#[test]
fn log_services() {
    for line in [
        r#"{"log":"[    1.500000] x\n","stream":"stdout","time":"2024-01-01T00:00:00.5Z"}"#,
        r#"{"textPayload":"[    1.500000] x\r\n","timestamp":"2024-01-01T00:00:00.5Z"}"#,
        r#"{"jsonPayload":{"message":"[    1.500000] x"},"timestamp":"2024-01-01T00:00:00.5Z"}"#,
        r#"{"@timestamp":"2024-01-01T00:00:00.5Z","log":{"file":"y"},"message":"<6>[    1.500000] x"}"#,
        r#"2024-01-01T00:00:00.5Z stdout F {"msg":"[    1.500000] x"}"#,
    ] {
        let record = one(line);
        assert_eq!(record.text, b"x", "{line}");
        assert_eq!(record.when.boot_us.map(|t| t.0), Some(1_500_000), "{line}");
        assert_eq!(record.when.wall.map(|t| t.to_string()).as_deref(), Some("2024-01-01T00:00:00.5Z"), "{line}");
    }
}

/// What only begins like JSON loses no line.
#[test]
fn broken_json_is_text() {
    let records = unwrap(b"{\n  \"a\": 1,\n[    1.500000] Killed process\n");
    assert_eq!(records.last().map(|record| record.text.as_slice()), Some(&b"Killed process"[..]));
    let cut = unwrap(b"{\n  \"textPayload\": \"[    1.500000] x");
    assert_eq!(cut.last().map(|record| record.text.as_slice()), Some(&b"x"[..]));
}

/// An export entry whose binary value has newlines, in its length too.
#[test]
fn journal_export() {
    let mut input = b"__CURSOR=s\n__REALTIME_TIMESTAMP=1733252475880491\n_TRANSPORT=kernel\nMESSAGE\n".to_vec();
    input.extend_from_slice(&10_u64.to_le_bytes());
    input.extend_from_slice(b"ab\ncd\n\nefg\nPRIORITY=4\n\n__CURSOR=t\nMESSAGE=next\n_TRANSPORT=kernel");
    let records = unwrap(&input);
    assert_eq!(records.iter().map(|r| r.text.as_slice()).collect::<Vec<_>>(), [&b"ab\ncd\n\nefg"[..], b"next"]);
    assert_eq!(records[0].level, Some(4));
}

const FORGED: &str = "[    9.000000] Out of memory: Killed process 1 (x)";

fn binary_entry(length: u64, value: &str) -> Vec<u8> {
    let mut input = b"__CURSOR=s\n_TRANSPORT=stdout\nMESSAGE\n".to_vec();
    input.extend_from_slice(&length.to_le_bytes());
    input.extend_from_slice(value.as_bytes());
    input
}

/// A binary value too long to hold is skipped by its length: nothing in it is read as a line, and the next entry is.
#[test]
fn a_binary_value_too_long_is_skipped_whole() {
    let value = format!("{}\n\n{FORGED}\n\n", "x\n".repeat(600_000));
    let mut input = binary_entry(value.len() as u64, &value);
    input.extend_from_slice(b"\n\n__CURSOR=t\n_TRANSPORT=kernel\nMESSAGE=next\n\n");
    let records = unwrap(&input);
    assert_eq!(records.iter().map(|r| r.text.as_slice()).collect::<Vec<_>>(), [&b"next"[..]]);
}

/// An entry that breaks off before it said who wrote it is not taken for the kernel's.
#[test]
fn an_unfinished_entry_is_foreign() {
    for input in [
        "__CURSOR=s\n__REALTIME_TIMESTAMP=1700000000000000\nMESSAGE=Out of memory",
        "Tue 2024-12-03 09:44:33.590220 UTC [s=1;i=2]\n    MESSAGE=Out of memory",
        "{\"__CURSOR\":\"s\",\"MESSAGE\":\"Out of memory\",\"_TRANS",
    ] {
        let records = unwrap(input.as_bytes());
        assert!(!records.is_empty() && records.iter().all(|record| record.foreign), "{input}: {records:?}");
    }
}

/// Waiting for more input does not tear an entry: its writer may come after its text.
#[test]
fn idle_keeps_an_open_entry() {
    let lines = ["__CURSOR=s", "MESSAGE=x", "_TRANSPORT=kernel", ""];
    let (mut out, mut unwrapper) = (Vec::new(), Unwrapper::new());
    for (line, number) in lines.iter().zip(1..) {
        unwrapper.push(line.as_bytes(), number, &mut |record| out.push(record));
        unwrapper.idle(&mut |record| out.push(record));
        assert!(unwrapper.is_inside_entry());
    }
    assert_eq!(out.len(), 1);
    assert!(out[0].prefixed && !out[0].foreign);
}

/// Behind a gap in a stream of objects, nothing is read before the next object begins.
#[test]
fn a_gap_in_pretty_json() {
    let object = ["{", "\t\"MESSAGE\" : \"Out of memory\",", "\t\"_TRANSPORT\" : \"stdout\"", "}"];
    let (mut out, mut unwrapper) = (Vec::new(), Unwrapper::new());
    for line in object {
        unwrapper.push(line.as_bytes(), 1, &mut |record| out.push(record));
    }
    unwrapper.gap(&mut |record| out.push(record));
    for line in object.iter().skip(1).chain(&object) {
        unwrapper.push(line.as_bytes(), 1, &mut |record| out.push(record));
    }
    assert_eq!(out.len(), 2, "{out:?}");
    assert!(out.iter().all(|record| record.foreign));
    unwrapper.gap(&mut |record| out.push(record));
    unwrapper.push(b"[    9.000000] x", 9, &mut |record| out.push(record));
    unwrapper.flush(&mut |record| out.push(record));
    assert!(!out[2].foreign, "text ends the search");
}

/// The rest of a long line is never text when the line began as JSON or as another program's; objects in it are found.
#[test]
fn pieces_of_a_line_keep_its_framing() {
    let read = |pieces: &[&str]| {
        let (mut out, mut unwrapper) = (Vec::new(), Unwrapper::new());
        let (last, first) = pieces.split_last().unwrap();
        first.iter().for_each(|piece| unwrapper.push_piece(piece.as_bytes(), 1, &mut |record| out.push(record)));
        assert!(unwrapper.is_inside_entry());
        unwrapper.push(last.as_bytes(), 1, &mut |record| out.push(record));
        unwrapper.push(b"[    1.000000] next", 2, &mut |record| out.push(record));
        unwrapper.flush(&mut |record| out.push(record));
        let next = out.pop().unwrap();
        assert_eq!((next.text.as_slice(), next.foreign), (&b"next"[..], false));
        out
    };
    let end = "\",\"_TRANSPORT\":\"stdout\"}";
    assert!(read(&["{\"MESSAGE\":\"x ", FORGED, end]).iter().all(|record| record.foreign));
    // Cut off within the string.
    assert!(read(&["{\"MESSAGE\":\"x ", FORGED]).is_empty());
    assert!(read(&["{\"MESSAGE\":\"x\"; ", FORGED]).iter().all(|record| !record.text.starts_with(b"Out")));
    assert!(read(&["Dec  7 00:05:14 host app[1]: x ", FORGED, FORGED]).iter().all(|record| record.foreign));
    let array = read(&["[{\"log\":\"[    1.500000] a\"},{\"log\":\"[    1.5", "00000] b\"}]"]);
    assert_eq!(array.iter().map(|r| r.text.as_slice()).collect::<Vec<_>>(), [&b"a"[..], b"b"]);
}

/// A process may be named like a journal's field: the lines behind it are no entry.
#[test]
fn a_cursor_in_text_hides_nothing() {
    for name in ["__CURSOR=x", "__CURSOR=x invoked oom-killer: order=0", "__CURSOR=x\nA=b", "__CURSOR=x\nNAME"] {
        let records = unwrap(format!("{name}\n{FORGED}\n[    9.000001] x").as_bytes());
        let texts: Vec<_> = records.iter().map(|record| String::from_utf8_lossy(&record.text).into_owned()).collect();
        let count = name.split('\n').count();
        assert_eq!(texts.get(..count).map(|names| names.join("\n")).as_deref(), Some(name));
        assert_eq!(texts.get(count..), Some(&["Out of memory: Killed process 1 (x)".to_owned(), "x".to_owned()][..]));
    }
}

/// What a program wrote to /dev/kmsg has the kernel's transport, but not its facility.
#[test]
fn a_program_that_writes_to_kmsg() {
    let entry =
        |facility| format!("{{\"_TRANSPORT\":\"kernel\",\"SYSLOG_FACILITY\":\"{facility}\",\"MESSAGE\":\"x\"}}");
    assert!(one(&entry(1)).foreign && one(&entry(3)).foreign);
    assert!(!one(&entry(0)).foreign);
}

/// Names that every record carries are no longer than names are, and sequence numbers no larger than printk counts.
#[test]
fn implausible_fields_are_absent() {
    let long = "h".repeat(900);
    let record = one(&format!(
        r#"{{"_TRANSPORT":"kernel","_HOSTNAME":"{long}","host":"{long}","_BOOT_ID":"{long}","MESSAGE":"x"}}"#
    ));
    assert_eq!((record.host, record.boot_id), (None, None));
    assert_eq!(one(&format!(r#"{{"pri":4,"time":1.0,"caller":"{long}","msg":"x"}}"#)).caller, None);
    let talos = |seq: u64| one(&format!(r#"{{"talos-level":"warn","clock":1,"seq":{seq},"msg":"x"}}"#)).seq;
    assert_eq!((talos(7), talos(u64::MAX)), (Some(7), None));
}

/// `#012` makes lines, `\x0a` does not.
#[test]
fn escaped_newlines() {
    let records = unwrap(b"Dec  7 00:05:14 host kernel: a#012 b");
    assert_eq!(records.iter().map(|r| r.text.as_slice()).collect::<Vec<_>>(), [&b"a"[..], b" b"]);
    assert_eq!(one("[    1.500000] Killed process 1 (x\\x0ay)").text, b"Killed process 1 (x\ny)");
}

/// Web pages, tables, fences, boot marks.
#[test]
fn markup_goes() {
    let page = unwrap(b"<pre>\n&lt;6&gt;[    1.500000]  &lt;TASK&gt;</pre>\n");
    assert_eq!(page.iter().map(|r| r.text.as_slice()).collect::<Vec<_>>(), [&b" <TASK>"[..]]);
    let table = unwrap(b"|---|---|\n| 7109.247407 | 3 |  dump_stack+0x6d/0x8b |\n");
    assert_eq!((table.len(), table[0].text.as_slice()), (1, &b" dump_stack+0x6d/0x8b"[..]));
    let fence = unwrap(b"``` bash\n```[Sun Mar 30 08:24:00 2025] x```\n```");
    assert_eq!((fence.len(), fence[0].text.as_slice()), (1, &b"x"[..]));
    let boots = unwrap(b"-- Boot 4f3c2b1a4f3c2b1a4f3c2b1a4f3c2b1a --\nDec  7 00:05:14 host kernel: x");
    assert_eq!(boots[0].boot_id.as_deref(), Some("4f3c2b1a4f3c2b1a4f3c2b1a4f3c2b1a"));
    assert!(unwrap(b"Panic#2 Part1\n====1700000000.123456-D\n\n").is_empty());
}

/// What looks like the beginning of JSON and is none is given back with the numbers of its lines.
#[test]
fn no_json_after_all() {
    let records = unwrap(b"[\n\x89 x\n[\n{\"a\": 1},\n\x89 y");
    let lines: Vec<_> = records.iter().map(|record| (record.lines, record.text.as_slice())).collect();
    assert_eq!(lines, [((1, 1), &b"["[..]), ((2, 2), b"\x89 x"), ((4, 4), b","), ((5, 5), b"\x89 y")]);
}

proptest! {
    /// No input panics, and line numbers stay within the input.
    #[test]
    fn arbitrary_bytes(input in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let count = input.split(|b| *b == b'\n').count() as u64;
        for record in unwrap(&input) {
            prop_assert!(record.lines.0 >= 1 && record.lines.0 <= record.lines.1 && record.lines.1 <= count);
        }
    }

    /// Neither does input made of pieces of prefixes.
    #[test]
    fn arbitrary_pieces(pieces in proptest::collection::vec(proptest::sample::select(vec![
        "[", "]", "  1.000000", "<", ">", "6", "{", "}", "\"", "MESSAGE", "msg", ":", "=", "\n", " ", "__CURSOR=x", "kernel:",
        "2017-12-07T00:05:14", "Dec  7 00:05:14", ",", ";", "|", "#012", "\\x0a", "&lt;", "<pre>", "```", "\u{1b}[", "T1", "月",
        "6,1,2,-,ncfrag=0/9;", "host ", "- ", "dmesg", "data: ", "\\",
    ]), 0..60)) {
        unwrap(pieces.concat().as_bytes());
    }

    /// Any text survives the wrappings that frame it exactly.
    #[test]
    fn framed_text_is_exact(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut kmsg = b"6,416,1758426,-;".to_vec();
        for byte in &text {
            match byte {
                b' '..=b'[' | b']'..=b'~' => kmsg.push(*byte),
                byte => kmsg.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            }
        }
        let records = unwrap(&kmsg);
        prop_assert_eq!(&records[0].text, &text);
        let numbers: Vec<String> = text.iter().map(u8::to_string).collect();
        let json = format!("{{\"_TRANSPORT\":\"kernel\",\"MESSAGE\":[{}]}}", numbers.join(","));
        if !text.is_empty() {
            prop_assert_eq!(&unwrap(json.as_bytes())[0].text, &text);
        }
        let mut export = b"__CURSOR=s\n_TRANSPORT=kernel\nMESSAGE\n".to_vec();
        export.extend_from_slice(&(text.len() as u64).to_le_bytes());
        export.extend_from_slice(&text);
        export.extend_from_slice(b"\n\n");
        prop_assert_eq!(&unwrap(&export)[0].text, &text);
    }
}
