//! The profile as `go tool pprof`, Pyroscope and others read it: a gzipped protocol buffer
//! (github.com/google/pprof, `proto/profile.proto`).
//!
//! Addresses are offsets in their file, not places in a process: several processes then share what they share, and a frame without a name
//! can be named later by whoever has the file with that build id.

mod messages;

use std::io::Write as _;

use anyhow::Context as _;
use flate2::{Compression, write::GzEncoder};
use indexmap::{IndexMap, IndexSet};
use oomscope_core::evidence::Frame;
use oomscope_core::profile::{Profile, Stack, functions};
use prost::Message as _;

use messages as pb;

/// The whole file.
pub(super) fn render(profile: &Profile) -> anyhow::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&encode(profile).encode_to_vec()).and_then(|()| gzip.finish()).context("compressing the profile")
}

fn encode(profile: &Profile) -> pb::Profile {
    let mut tables = Tables::default();
    // The first string is the empty one.
    tables.string("");
    // The first mapping is taken for the program.
    if let Some(frame) = functions(profile, profile.measure()).first().and_then(|first| first.frame) {
        tables.mapping(frame, 0);
    }
    let sample = profile.stacks.iter().map(|stack| tables.sample(profile, stack)).collect();
    let mut value_type =
        |kind: &str, unit: &str| pb::ValueType { r#type: tables.string(kind), unit: tables.string(unit) };
    let mut sample_type = vec![value_type("faults", "count"), value_type("resident", "bytes")];
    if profile.held_bytes.is_some() {
        sample_type.push(value_type("held", "bytes"));
    }
    let default = sample_type.last().map_or(0, |last| last.r#type);
    let period_type = Some(value_type("faults", "count"));
    let comment = tables.string(&format!("oomscope profile {}", profile.target.asked));
    let began = profile.at.wall.and_then(|wall| i64::try_from(wall.as_nanosecond()).ok());
    pb::Profile {
        sample_type,
        sample,
        mapping: tables.mappings.into_values().collect(),
        location: tables.locations.into_values().collect(),
        function: tables.functions.into_values().collect(),
        string_table: tables.strings.into_iter().collect(),
        time_nanos: began.unwrap_or_default(),
        duration_nanos: signed(profile.duration_us.saturating_mul(1000)),
        period_type,
        period: signed(profile.sampling.period),
        comment: vec![comment],
        default_sample_type: default,
    }
}

/// What samples refer to. Identifiers count from 1, strings from 0.
#[derive(Default)]
struct Tables<'a> {
    strings: IndexSet<String>,
    mappings: IndexMap<(&'a [u8], Option<&'a str>), pb::Mapping>,
    locations: IndexMap<Vec<&'a Frame>, pb::Location>,
    functions: IndexMap<(&'a str, Option<&'a str>), pb::Function>,
}

impl<'a> Tables<'a> {
    fn string(&mut self, text: &str) -> i64 {
        let at = self.strings.get_index_of(text).unwrap_or_else(|| self.strings.insert_full(text.to_owned()).0);
        i64::try_from(at).unwrap_or_default()
    }

    fn sample(&mut self, profile: &'a Profile, stack: &'a Stack) -> pb::Sample {
        let frames: Vec<&Frame> = profile.frames_of(stack).collect();
        // The functions that the compiler put into one another are one place in the code.
        let places = frames.chunk_by(|inner, outer| inner.inlined && inner.address == outer.address);
        let location_id = places.map(|place| self.location(place)).collect();
        let faults = stack.samples.saturating_mul(profile.sampling.period);
        let held = stack.held_bytes.map(|held| held.0);
        let value = [Some(faults), Some(stack.bytes.0), held].into_iter().flatten().map(signed).collect();
        pb::Sample { location_id, value, label: self.labels(profile, stack) }
    }

    fn labels(&mut self, profile: &'a Profile, stack: &Stack) -> Vec<pb::Label> {
        let Some(process) = profile.processes.get(stack.process) else { return Vec::new() };
        let mut labels = vec![
            pb::Label { key: self.string("comm"), str: self.string(&process.comm.to_lossy()), ..pb::Label::default() },
            pb::Label { key: self.string("pid"), num: i64::from(process.pid), ..pb::Label::default() },
        ];
        if let Some(id) = &process.container_id {
            labels.push(pb::Label { key: self.string("container"), str: self.string(id), ..pb::Label::default() });
        }
        labels
    }

    fn location(&mut self, place: &[&'a Frame]) -> u64 {
        let key: Vec<&Frame> = place.to_vec();
        if let Some(known) = self.locations.get(&key) {
            return known.id;
        }
        // The outermost is the function that really stands there.
        let Some(outermost) = place.last() else { return 0 };
        let address = outermost.offset.or(outermost.address).unwrap_or_default();
        let mapping_id = self.mapping(outermost, address);
        let line = place.iter().filter_map(|frame| self.line(frame)).collect();
        let id = next_id(self.locations.len());
        self.locations.insert(key, pb::Location { id, mapping_id, address, line });
        id
    }

    /// 0 for code that is in no file.
    fn mapping(&mut self, frame: &'a Frame, address: u64) -> u64 {
        let Some(module) = &frame.module else { return 0 };
        let (filename, build_id) = (module.to_lossy(), frame.build_id.as_deref());
        let (filename, build_id_at) = (self.string(&filename), self.string(build_id.unwrap_or_default()));
        let id = next_id(self.mappings.len());
        let mapping = self.mappings.entry((module.as_bytes(), build_id)).or_insert_with(|| pb::Mapping {
            id,
            filename,
            build_id: build_id_at,
            has_functions: true,
            ..pb::Mapping::default()
        });
        mapping.memory_limit = mapping.memory_limit.max(address.saturating_add(1));
        // pprof looks for what has no name by itself where it is told that names are missing.
        mapping.has_functions &= frame.function.is_some();
        mapping.has_filenames |= frame.file.is_some();
        mapping.has_line_numbers |= frame.line.is_some();
        mapping.has_inline_frames = mapping.has_functions;
        mapping.id
    }

    fn line(&mut self, frame: &'a Frame) -> Option<pb::Line> {
        let name = frame.function.as_deref()?;
        let file = frame.file.as_deref();
        let (name_at, filename) = (self.string(name), self.string(file.unwrap_or_default()));
        let id = next_id(self.functions.len());
        let function = pb::Function { id, name: name_at, system_name: name_at, filename };
        let function_id = self.functions.entry((name, file)).or_insert(function).id;
        Some(pb::Line { function_id, line: frame.line.map_or(0, i64::from) })
    }
}

fn next_id(len: usize) -> u64 {
    len as u64 + 1
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
