//! A profile made by hand, for tests.

use super::{Builder, Process, Profile, SCHEMA, Sampling, Target, Weight};
use crate::evidence::{FoundBy, Frame, Language, NamedBy};
use crate::time::{BootTime, When};
use crate::units::Bytes;

const MIB: u64 = 1 << 20;
const LIBC: &str = "/usr/lib/x86_64-linux-gnu/libc.so.6";

/// A frame of a program with debug information; without a name where that is empty.
pub(crate) fn frame(function: &str, module: &str, line: u32) -> Frame {
    let named = !function.is_empty();
    Frame {
        function: named.then(|| function.to_owned()),
        module: Some(module.into()),
        offset: Some(0x1000 + u64::from(line) * 16),
        build_id: Some("8c3a52".to_owned()),
        address: Some(0x5555_0000_1000 + u64::from(line) * 16),
        file: (named && line > 0).then(|| format!("/src/shop/{}.c", function.split('_').next().unwrap_or("x"))),
        line: (named && line > 0).then_some(line),
        language: Some(Language::C),
        found_by: FoundBy::UnwindTable,
        named_by: named.then_some(NamedBy::DebugInfo),
        ..Frame::default()
    }
}

fn stack(innermost_first: &[(&str, u32)]) -> Vec<Frame> {
    innermost_first
        .iter()
        .map(|(name, line)| match *name {
            "memset" | "malloc" | "_start" | "__libc_start_main" => {
                Frame { line: None, file: None, ..frame(name, LIBC, *line) }
            }
            "" => frame("", "/opt/shop/lib/plugin.so", *line),
            name => frame(name, "/opt/shop/server", *line),
        })
        .collect()
}

/// A server that keeps its catalogue, a cache that is emptied again, and a plugin without symbols; a helper beside it.
pub(crate) fn profile() -> Profile {
    let server = Process {
        pid: 4711,
        comm: "server".into(),
        cgroup: Some("/shop".into()),
        container_id: Some("3d4cccf9d78b".to_owned()),
    };
    let helper = |pid| Process { pid, comm: "helper; rm \u{1b}[31m".into(), ..Process::default() };
    let start = [("main", 12), ("__libc_start_main", 0), ("_start", 0)];
    let mut builder = Builder::default();
    let mut add = |process: &Process, inner: &[(&str, u32)], samples: u64, held: u64| {
        let frames = stack(&[inner, &start].concat());
        let bytes = |mib: u64| Bytes(mib * MIB);
        builder.add(process, &frames, Weight { samples, bytes: bytes(samples * 4), held_bytes: Some(bytes(held)) });
    };
    let load = [("memset", 0), ("catalog_load", 88), ("serve_request", 41)];
    add(&server, &load, 150, 590);
    add(&server, &[("memset", 0), ("catalog_load", 91), ("serve_request", 41)], 20, 80);
    add(&server, &[("malloc", 0), ("cache_put", 17), ("serve_request", 44)], 90, 10);
    for line in 1..5 {
        add(&server, &[("", line), ("plugin_call", 9), ("serve_request", 47)], 4, 3);
    }
    for (at, name) in ["log_write", "tls_accept", "json_emit"].into_iter().enumerate() {
        add(&server, &[(name, 7), ("serve_request", 50)], 1 + at as u64 % 2, 0);
    }
    for pid in [5000, 5001] {
        add(&helper(pid), &[("helper_scan", 3)], 5, 20);
    }
    builder.add(&server, &[], Weight { samples: 2, bytes: Bytes(8 * MIB), held_bytes: Some(Bytes(0)) });
    let mut profile = Profile {
        schema: SCHEMA.to_owned(),
        at: When { boot_us: Some(BootTime(1_000_000)), wall: "2026-07-01T03:00:00Z".parse().ok(), wall_local: None },
        duration_us: 60_000_000,
        host: Some("node-7".to_owned()),
        target: Target { asked: "4711".into(), cgroup: Some("/shop".into()), pid: None, identity: None },
        sampling: Sampling { period: 1024, page_bytes: Bytes(4096), samples: 292, ..Sampling::default() },
        ..Profile::default()
    };
    builder.finish(&mut profile);
    profile
}
