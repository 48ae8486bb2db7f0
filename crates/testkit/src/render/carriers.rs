//! Syslog daemons, container runtimes, log services, hypervisors and other tools that carry the kernel's lines.

use serde_json::json;

use super::{LEVELS, PrintkRecord, per_line};

/// rsyslog's `#ooo` for control characters.
fn escaped_by_rsyslog(line: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    for byte in line {
        match byte {
            0..0x20 => out.extend_from_slice(format!("#{byte:03o}").as_bytes()),
            byte => out.push(*byte),
        }
    }
    out
}

fn rsyslog(records: &[PrintkRecord], prefix: impl Fn(&PrintkRecord) -> String) -> Vec<u8> {
    per_line(records, prefix).split(|b| *b == b'\n').map(escaped_by_rsyslog).collect::<Vec<_>>().join(&b'\n')
}

pub(super) fn rfc3164(records: &[PrintkRecord]) -> Vec<u8> {
    rsyslog(records, |r| format!("{} node-7c kernel: {}", r.syslog_date(), r.stamp()))
}

pub(super) fn rfc5424(records: &[PrintkRecord]) -> Vec<u8> {
    rsyslog(records, |r| format!("<{}>1 {}+00:00 node-7c kernel - - - {}", r.level, r.iso('.'), r.stamp()))
}

pub(super) fn rsyslog_iso(records: &[PrintkRecord]) -> Vec<u8> {
    rsyslog(records, |r| format!("{}+00:00 node-7c kernel: {}", r.iso('.'), r.stamp()))
}

/// imjournal: a record stays one line, its newlines become `#012`.
pub(super) fn rsyslog_of_journal(records: &[PrintkRecord]) -> Vec<u8> {
    let mut out = Vec::new();
    for r in records {
        out.extend_from_slice(format!("{} node-7c kernel: ", r.syslog_date()).as_bytes());
        out.extend_from_slice(&escaped_by_rsyslog(&r.text));
        out.push(b'\n');
    }
    out
}

pub(super) fn cri(records: &[PrintkRecord]) -> Vec<u8> {
    per_line(records, |r| format!("{}789Z stdout F {}", r.iso('.'), r.stamp()))
}

/// The container's pipe was read in pieces of 40 bytes.
pub(super) fn cri_in_parts(records: &[PrintkRecord]) -> Vec<u8> {
    let mut out = Vec::new();
    for r in records {
        for line in per_line(std::slice::from_ref(r), PrintkRecord::stamp).split(|b| *b == b'\n') {
            let count = line.chunks(40).count();
            for (index, part) in line.chunks(40).enumerate() {
                let tag = if index + 1 == count { 'F' } else { 'P' };
                out.extend_from_slice(format!("{}789Z stdout {tag} ", r.iso('.')).as_bytes());
                out.extend_from_slice(part);
                out.push(b'\n');
            }
        }
    }
    out
}

/// One object for each line of the console.
fn objects(records: &[PrintkRecord], object: impl Fn(&PrintkRecord, String) -> serde_json::Value) -> Vec<u8> {
    let mut out = String::new();
    for r in records {
        for line in r.text.split(|b| *b == b'\n') {
            let text = format!("{}{}", r.stamp(), String::from_utf8_lossy(line));
            out.push_str(&format!("{}\n", object(r, text)));
        }
    }
    out.into_bytes()
}

pub(super) fn docker_json(records: &[PrintkRecord]) -> Vec<u8> {
    objects(
        records,
        |r, text| json!({"log": format!("{text}\n"), "stream": "stdout", "time": format!("{}Z", r.iso('.'))}),
    )
}

pub(super) fn gcp_json(records: &[PrintkRecord]) -> Vec<u8> {
    objects(records, |r, text| {
        json!({
            "textPayload": format!("{text}\r\n"),
            "timestamp": format!("{}Z", r.iso('.')),
            "resource": {"type": "gce_instance", "labels": {"zone": "europe-west1-b"}},
        })
    })
}

pub(super) fn loki_json(records: &[PrintkRecord]) -> Vec<u8> {
    objects(
        records,
        |r, text| json!({"labels": {"job": "kmsg"}, "line": text, "timestamp": format!("{}Z", r.iso('.'))}),
    )
}

pub(super) fn elastic_json(records: &[PrintkRecord]) -> Vec<u8> {
    objects(
        records,
        |r, text| json!({"@timestamp": format!("{}Z", r.iso('.')), "log": {"file": {"path": "/var/log/kern.log"}}, "message": text}),
    )
}

pub(super) fn talos(records: &[PrintkRecord]) -> Vec<u8> {
    per_line(records, |r| {
        let level = if r.level == 4 { "warning" } else { LEVELS[usize::from(r.level)] };
        format!("10.44.7.19: kern: {level:>7}: [{}789Z]: ", r.iso('.'))
    })
}

pub(super) fn vmware(records: &[PrintkRecord]) -> Vec<u8> {
    per_line(records, |r| format!("{}Z In(05) vcpu-5 - Guest: <{}>{}", &r.iso('.')[..23], r.level, r.stamp()))
}

pub(super) fn stern(records: &[PrintkRecord]) -> Vec<u8> {
    per_line(records, |r| format!("kmsg-reader-x7k2p reader {}", r.stamp()))
}

pub(super) fn kubectl(records: &[PrintkRecord]) -> Vec<u8> {
    per_line(records, |r| format!("[pod/kmsg-reader-x7k2p/reader] {}", r.stamp()))
}

pub(super) fn compose(records: &[PrintkRecord]) -> Vec<u8> {
    per_line(records, |r| format!("kmsg-1  | {}", r.stamp()))
}

pub(super) fn grep(records: &[PrintkRecord]) -> Vec<u8> {
    per_line(records, |r| format!("/var/log/kern.log:{}:{} node-7c kernel: {}", r.seq, r.syslog_date(), r.stamp()))
}

pub(super) fn logcat(records: &[PrintkRecord]) -> Vec<u8> {
    per_line(records, |r| {
        let (h, m, s, us) = r.clock();
        format!("11-21 {h:02}:{m:02}:{s:02}.{:03}     0     0 W kernel  : ", us / 1000)
    })
}

pub(super) fn logread(records: &[PrintkRecord]) -> Vec<u8> {
    per_line(records, |r| {
        let (h, m, s, us) = r.clock();
        let epoch = r.epoch_us() / 1_000_000;
        let level = LEVELS[usize::from(r.level)];
        format!("Sat Nov 21 {h:02}:{m:02}:{s:02} 2026 [{epoch}.{:03}] kern.{level} kernel: {}", us / 1000, r.stamp())
    })
}
