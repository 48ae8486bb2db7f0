//! What only a watcher knows: the minutes before, and the counters.

use oomscope_core::case::Case;
use oomscope_core::incident::timeline::{CgroupRecord, Role, Timeline};
use oomscope_core::recorder::Series;
use oomscope_core::units::{Bytes, Limit};
use oomscope_testkit::vm::{Facts, Fields, Spike};

use super::cases::Cases;

/// A kernel that keeps the highest charge has it this close to the limit at the kill. Where it keeps none (v2 before 5.19), a
/// growth of some milliseconds falls between two readings.
const NEAR_LIMIT: f64 = 0.85;
/// A kernel charges in batches, so usage may be read a little above the limit (`MEMCG_CHARGE_BATCH` pages for each CPU).
const ABOVE_LIMIT: u64 = 2 * 64 * 4096;

/// The recording and the counters of one case.
pub(super) fn around(fields: &Fields, case: &Case) -> Vec<String> {
    let mut wrong = Vec::new();
    if let Some(contradiction) = case.diagnosis.findings.iter().find(|found| found.title.contains("disagree")) {
        wrong.push(format!("{}: {}", contradiction.title, contradiction.detail));
    }
    let Some(timeline) = &case.incident.timeline else {
        wrong.push("no timeline".to_owned());
        return wrong;
    };
    if let Some(at) = case.incident.at.boot_us
        && !(timeline.from_us <= at && timeline.from_us <= timeline.to_us)
    {
        wrong.push(format!(
            "the timeline ({:?} to {:?}) lies after the kill at {at:?}",
            timeline.from_us, timeline.to_us
        ));
    }
    // A limit of memory and swap together is met below that of memory.
    // Of a rate-limited report there is no line that names the limit's cgroup.
    let is_named = case.incident.report().limit_cgroup.is_some();
    if is_named && fields.get("limit_bytes").is_some() && fields.get("swap").is_none() {
        wrong.extend(limit_reached(fields, timeline));
    }
    wrong
}

fn limit_reached(fields: &Fields, timeline: &Timeline) -> Option<String> {
    let Some(record) = timeline.cgroups.iter().find(|record| record.role == Role::Limit) else {
        return Some("the cgroup of the limit was not recorded".to_owned());
    };
    let limit = fields.number("limit_bytes")?;
    if record.limits.max_bytes != Some(Limit::At(Bytes(limit))) {
        return Some(format!("the recorded limit is {:?}, not {limit}", record.limits.max_bytes));
    }
    let Some(read) = record.rows.samples().filter_map(|sample| sample.highest()).max() else {
        return Some("the cgroup of the limit has no row".to_owned());
    };
    let kept = record.lifetime_peak_bytes.map(|bytes| bytes.0);
    let highest = kept.map_or(read, |kept| kept.max(read));
    let keeps_peaks = kept.is_some() || record.rows.series(Series::Peak).next().is_some();
    let too_low = keeps_peaks && (highest as f64) < limit as f64 * NEAR_LIMIT;
    (too_low || highest > limit + ABOVE_LIMIT)
        .then(|| format!("the highest recorded charge is {highest}, the limit {limit}"))
}

/// Spikes of some milliseconds, where the kernel keeps a peak that a reader can reset: v1, and v2 since 6.12.
pub(super) fn spikes(facts: &Facts, watched: &Cases) -> Vec<String> {
    facts.spikes.iter().filter_map(|spike| missed(facts, spike, watched)).collect()
}

fn missed(facts: &Facts, spike: &Spike, watched: &Cases) -> Option<String> {
    let record = watched.all().find_map(|case| {
        let timeline = case.incident.timeline.as_ref()?;
        timeline.cgroups.iter().find(|record| record.cgroup.as_bytes() == spike.cgroup.as_bytes())
    });
    let Some(record) = record else { return Some("watch: spike: its cgroup was not recorded".to_owned()) };
    let seen = highest_within(record, spike.from_us, spike.to_us + LOOK_AGAIN_US);
    if seen.is_some_and(|bytes| bytes >= spike.bytes) || !has_exact_peaks(facts) {
        return None;
    }
    let ms = (spike.to_us - spike.from_us) / 1000;
    Some(format!("watch: spike: {} bytes for {ms} ms, the highest that was recorded then is {seen:?}", spike.bytes))
}

/// The next reading at the base interval of a second, and what two clocks may differ by.
const LOOK_AGAIN_US: u64 = 1_200_000;

fn highest_within(record: &CgroupRecord, from_us: u64, to_us: u64) -> Option<u64> {
    let within = record.rows.samples().filter(|sample| (from_us..=to_us).contains(&sample.at.0));
    within.filter_map(|sample| sample.highest()).max()
}

fn has_exact_peaks(facts: &Facts) -> bool {
    let end = facts.end.clone().unwrap_or_default();
    let mut numbers = end.get("kernel").unwrap_or_default().split('.').map_while(|number| number.parse::<u32>().ok());
    let version = numbers.next().zip(numbers.next());
    end.get("cgroups") == Some("v1") || version.is_some_and(|version| version >= (6, 12))
}
