use std::io::Read as _;
use std::process::Command;

use oomscope_core::evidence::{Frame, NamedBy};
use oomscope_core::profile::{Builder, Measure, Process, Weight};
use oomscope_core::text::acts_on_its_surroundings;

use super::*;

const MIB: u64 = 1 << 20;
/// A name with everything that some format or other would misread.
const HOSTILE: &str = "evil<b>&amp;\"';\u{1b}[31m\u{202e} 42\n";

fn frame(function: &str, offset: u64) -> Frame {
    Frame {
        function: Some(function.to_owned()).filter(|name| !name.is_empty()),
        module: Some("/opt/shop/server".into()),
        offset: Some(offset),
        build_id: Some("8c3a52".to_owned()),
        address: Some(0x5555_0000_0000 + offset),
        file: (!function.is_empty()).then(|| "/src/shop.c".to_owned()),
        line: Some(7),
        named_by: Some(NamedBy::DebugInfo),
        ..Frame::default()
    }
}

/// Two processes, an inlined function, one without a name, and a hostile one.
fn profile(held: bool) -> Profile {
    let process = |pid| Process {
        pid,
        comm: "server".into(),
        container_id: Some("3d4cccf9d78b".to_owned()),
        ..Process::default()
    };
    let mut builder = Builder::default();
    let mut add = |pid, inner: &[Frame], mib: u64| {
        let frames = [inner, &[frame("main", 0x10)]].concat();
        let held_bytes = held.then_some(Bytes(mib * MIB / 2));
        builder.add(&process(pid), &frames, Weight { samples: mib / 4, bytes: Bytes(mib * MIB), held_bytes });
    };
    let inlined = Frame { inlined: true, ..frame("fill", 0x20) };
    add(7, &[inlined.clone(), frame("load_catalog", 0x20)], 400);
    add(8, &[inlined, frame("load_catalog", 0x20)], 80);
    add(7, &[frame("", 0x30)], 40);
    add(7, &[frame(HOSTILE, 0x40)], 8);
    let mut profile = Profile { schema: SCHEMA.to_owned(), duration_us: 60_000_000, ..Profile::default() };
    profile.target.asked = "shop".into();
    profile.sampling = Sampling { period: 1024, page_bytes: Bytes(4096), samples: 132, ..Sampling::default() };
    builder.finish(&mut profile);
    profile
}

/// Lengths of time as people write them; nothing, the past and what nobody waits for are refused.
#[test]
fn times() {
    assert_eq!(profile_time("10s"), Ok(Duration::from_secs(10)));
    assert_eq!(profile_time("1h 30s"), Ok(Duration::from_secs(3630)));
    for refused in ["", "5", "0s", "-5m", "25h", "x"] {
        assert!(profile_time(refused).is_err(), "{refused}");
    }
}

/// The flame graph is well-formed whatever names hold, and has nothing in it that runs but inferno's own script.
#[test]
fn hostile_names_in_a_flame_graph() {
    let svg = String::from_utf8(flame_graph::render(&profile(true), Measure::Held).unwrap()).unwrap();
    let (_, frames) = svg.split_once("<svg id=\"frames\"").unwrap();
    assert!(frames.contains("evil&lt;b&gt;&amp;amp:&quot;&apos;:?[31m"), "{frames}");
    assert!(!frames.contains("<b>") && !frames.chars().any(|c| c != '\n' && acts_on_its_surroundings(c)), "{frames}");
    assert!(svg.contains("264 MiB more held after 60 s"), "{svg}");
    let nothing = Profile { stacks: Vec::new(), ..profile(false) };
    assert!(flame_graph::render(&nothing, Measure::MadeResident).is_err());
}

/// What pprof itself says of the file: sizes, inlined functions, build id, labels.
#[test]
fn pprof_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.pb.gz");
    std::fs::write(&path, pprof::render(&profile(true)).unwrap()).unwrap();
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(&path).unwrap()).read_to_end(&mut unpacked).unwrap();
    assert!(unpacked.windows(12).any(|bytes| bytes == b"load_catalog"));
    let go = |arguments: &[&str]| {
        let ran =
            Command::new("go").args(["tool", "pprof"]).args(arguments).arg(&path).env("HOME", folder.path()).output();
        ran.ok().map(|ran| {
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
            String::from_utf8(ran.stdout).unwrap()
        })
    };
    let Some(top) = go(&["-top", "-unit=mb"]) else { return eprintln!("SKIPPED: Go is not installed") };
    assert!(
        top.contains("Type: held") && top.contains("240MB 90.91% 90.91%      240MB 90.91%  fill (inline)"),
        "{top}"
    );
    assert!(top.contains("load_catalog") && top.contains("File: server"), "{top}");
    let resident = go(&["-top", "-unit=mb", "-sample_index=resident"]).unwrap();
    assert!(resident.contains("480MB 90.91%"), "{resident}");
    let raw = go(&["-raw"]).unwrap();
    for expected in ["/opt/shop/server 8c3a52", "comm:[server]", "container:[3d4cccf9d78b]", "pid:[7]", "Period: 1024"]
    {
        assert!(raw.contains(expected), "{expected}: {raw}");
    }
}
