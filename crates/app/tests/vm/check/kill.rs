//! One expected kill against the case of it.

use std::collections::BTreeSet;

use oomscope_core::case::Case;
use oomscope_core::text::Untrusted;
use oomscope_testkit::vm::{Expected, Fields};

use super::cases::Cases;
use super::recorded;

/// Who saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Witness {
    /// `explain`, with the log alone.
    Log,
    /// `watch`, with the minutes before and the counters.
    Watch,
    /// `incidents`, what is left for tomorrow.
    Store,
}

impl std::fmt::Display for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Log => "explain",
            Self::Watch => "watch",
            Self::Store => "incidents",
        })
    }
}

/// The cases that are of this kill.
pub(super) fn find<'a>(expected: &Expected, cases: &'a Cases) -> Vec<&'a Case> {
    cases.all().filter(|case| is_of(expected, case)).collect()
}

pub(super) fn is_of(expected: &Expected, case: &Case) -> bool {
    let (fields, report) = (&expected.fields, case.incident.report());
    let of_cgroup = || report.limit_cgroup.as_ref().is_some_and(|limit| is(limit, fields.get("limit_cgroup")));
    if let Some(pid) = fields.number("lost") {
        let nobody_named = report.victims.is_empty() && of_cgroup();
        return nobody_named || report.victims.iter().any(|victim| u64::from(victim.pid) == pid);
    }
    if fields.get("no_killable").is_some() {
        return report.no_killable_process && of_cgroup();
    }
    let Some(first) = fields.pids("victims").first().copied() else { return false };
    report.victims.iter().any(|victim| u64::from(victim.pid) == first)
}

/// True of a kill that happened while oomscope was not running.
pub(super) fn was_unwatched(expected: &Expected) -> bool {
    expected.fields.get("watcher") == Some("while")
}

/// What differs, in words.
pub(super) fn compare(witness: Witness, expected: &Expected, case: &Case) -> Vec<String> {
    let mut wrong = Vec::new();
    if expected.fields.get("lost").is_some() {
        if case.incident.gaps.is_empty() && case.incident.report().tasks.is_empty() {
            wrong.push("the log was lost, and no gap says so".to_owned());
        }
        return wrong;
    }
    wrong.extend(told(&expected.fields, case));
    if witness != Witness::Log {
        wrong.extend(wall_clock(&expected.fields, case));
    }
    if witness != Witness::Log && !was_unwatched(expected) {
        wrong.extend(recorded::around(&expected.fields, case));
    }
    wrong
}

/// What the log tells, or the counters in its place.
fn told(fields: &Fields, case: &Case) -> Vec<String> {
    let mut differences = Differences::default();
    let report = case.incident.report();
    let killer = serde_json::to_value(case.diagnosis.killer).unwrap_or_default();
    let has_report = report.trigger.is_some() || fields.get("report") != Some("maybe");

    let pids: BTreeSet<u64> = report.victims.iter().map(|victim| u64::from(victim.pid)).collect();
    differences.compare("victims", &fields.pids("victims").into_iter().collect(), &pids);
    if has_report || killer != "unknown" {
        differences.compare("killer", &fields.get("killer").unwrap_or_default(), &killer.as_str().unwrap_or_default());
    }
    if has_report {
        differences.cgroup("limit_cgroup", fields, report.limit_cgroup.as_ref());
        differences.cgroup("victim_cgroup", fields, report.victim_cgroup.as_ref());
        differences.number("limit_bytes", fields, report.limit_bytes.map(|bytes| bytes.0));
        let trigger = report.trigger.as_ref();
        differences.number("trigger", fields, trigger.and_then(|trigger| trigger.pid).map(u64::from));
        let name = trigger.and_then(|trigger| trigger.comm.as_ref()).map(ToString::to_string);
        differences.text("trigger_comm", fields, name);
        let group = fields.get("group").is_some();
        differences.compare("group_kill", &group, &report.group_kill.unwrap_or_default());
    }
    differences.0
}

/// The time that the machine had then. `explain` reads the log later, when the clock may have been set.
fn wall_clock(fields: &Fields, case: &Case) -> Option<String> {
    let wanted = fields.number("wall_s")?;
    let wall = case.incident.at.wall?.as_second();
    let apart = wall.abs_diff(i64::try_from(wanted).ok()?);
    (apart > CLOCK_SECONDS).then(|| format!("the wall clock said {wanted} s, the case says {wall}"))
}

/// From when a scenario reads the clock until its process dies, on a busy machine.
const CLOCK_SECONDS: u64 = 15;

#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn compare<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, wanted: &T, got: &T) {
        if wanted != got {
            self.0.push(format!("{what}: expected {wanted:?}, got {got:?}"));
        }
    }

    fn cgroup(&mut self, what: &str, fields: &Fields, got: Option<&Untrusted>) {
        if fields.get(what).is_some() && !got.is_some_and(|got| is(got, fields.get(what))) {
            self.compare(what, &fields.get(what).map(str::to_owned), &got.map(ToString::to_string));
        }
    }

    fn number(&mut self, what: &str, fields: &Fields, got: Option<u64>) {
        if let Some(wanted) = fields.number(what) {
            self.compare(what, &Some(wanted), &got);
        }
    }

    fn text(&mut self, what: &str, fields: &Fields, got: Option<String>) {
        if let Some(wanted) = fields.get(what) {
            self.compare(what, &Some(wanted.to_owned()), &got);
        }
    }
}

fn is(cgroup: &Untrusted, name: Option<&str>) -> bool {
    name.is_some_and(|name| cgroup.as_bytes() == name.as_bytes())
}
