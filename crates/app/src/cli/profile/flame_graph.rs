//! A flame graph: the stacks of a profile side by side, each as wide as what it made resident.

use anyhow::{Context as _, bail};
use inferno::flamegraph::{self, Options, color};
use oomscope_core::profile::{Measure, Profile, folded};
use oomscope_core::text::{escape, name_in_text};

/// As SVG. Names are escaped by inferno; what would act on its format was replaced in the lines.
pub(super) fn render(profile: &Profile, measure: Measure) -> anyhow::Result<Vec<u8>> {
    let lines: Vec<String> = folded::lines(profile, measure).collect();
    if lines.is_empty() {
        bail!("there is no flame graph of nothing: no memory was made resident, or none of it is held");
    }
    let mut options = Options::default();
    options.title = title(profile, measure);
    options.count_name = "bytes".to_owned();
    options.colors = color::Palette::Basic(color::BasicPalette::Mem);
    options.deterministic = true;
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut svg)
        .context("drawing the flame graph")?;
    Ok(svg)
}

fn title(profile: &Profile, measure: Measure) -> String {
    let target = &profile.target;
    let process = profile.processes.iter().find(|process| Some(process.pid) == target.pid);
    let asked = match process {
        Some(process) => format!("{} (pid {})", name_in_text(process.comm.as_bytes()), process.pid),
        None => escape(target.asked.as_bytes()),
    };
    let seconds = profile.duration_us / 1_000_000;
    match measure {
        Measure::MadeResident => format!("{asked}: {} made resident in {seconds} s", profile.bytes),
        Measure::Held => format!("{asked}: {} more held after {seconds} s", profile.total(measure)),
    }
}
