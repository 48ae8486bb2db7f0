//! What a dashboard can have shown of it.
//!
//! A scraper looks every 10, 15 or 30 s, and what happens between two looks it never learns. The recorded minutes are looked at again
//! through its eyes, for every instant that its looks can have fallen on; a look shows the last sample before it. See
//! [`super::super::dashboards`].

use super::{Answer, Found, Rule};
use crate::diagnosis::dashboards::{Dashboards, Scraper};
use crate::diagnosis::facts::Facts;
use crate::diagnosis::words::{duration, percent};
use crate::evidence::{Gap, Part};
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "dashboards",
    about: "What scrapers with common intervals can have shown of the peak, beside the true peak and how long it lasted.",
    check,
};

const PARTS: &[Part] = &[Part::FlightRecord, Part::Usage];
/// The interval that is spoken of: the commonest of Prometheus.
const COMMON_US: u64 = 15_000_000;
/// A dashboard that shows this share of the peak has shown it.
const SHOWN: f64 = 0.9;

fn check(facts: &Facts<'_>) -> Answer {
    let minutes = match facts.recorded.minutes() {
        Ok(minutes) => minutes,
        Err(answer) => return answer,
    };
    let Some(dashboards) = &minutes.dashboards else {
        return Answer::CannotTell(Gap::new("what dashboards showed", "charged memory was not recorded"));
    };
    let Some(scraper) = dashboards.scraper(COMMON_US) else { return Answer::Absent };
    let Some(lowest) = scraper.usage.lowest_bytes else {
        return Answer::CannotTell(Gap::new(
            "what dashboards showed",
            format!(
                "the recording of this cgroup is only {} long, less than the time between two looks",
                duration(minutes.recorded.length_us())
            ),
        ));
    };
    let found = match () {
        () if is_shown(scraper.usage.highest_bytes, dashboards) && is_shown(lowest, dashboards) => {
            Found::that("Dashboards can show this peak", shown(dashboards, scraper, lowest), PARTS)
        }
        () if is_shown(scraper.usage.highest_bytes, dashboards) => {
            Found::that("Dashboards can miss this peak", missed(dashboards, scraper, lowest), PARTS)
        }
        () => Found::that("No dashboard can have shown this peak", missed(dashboards, scraper, lowest), PARTS),
    };
    if dashboards.peak.exact {
        return found.into();
    }
    found
        .lacking(Gap::new(
            "exact peak of the cgroup",
            "no maximum of the kernel was recorded between the samples (Linux 6.12 and later keep one), so it is only as fine as these",
        ))
        .into()
}

fn is_shown(bytes: Bytes, dashboards: &Dashboards) -> bool {
    bytes.share_of(dashboards.peak.bytes) >= SHOWN
}

/// `61 % of the limit`, or a size where there is none.
fn of_limit(bytes: Bytes, dashboards: &Dashboards) -> String {
    match dashboards.limit_bytes {
        Some(limit) => format!("{} of the limit", percent(bytes, limit)),
        None => bytes.to_string(),
    }
}

fn missed(dashboards: &Dashboards, scraper: &Scraper, lowest: Bytes) -> String {
    let highest = scraper.usage.highest_bytes;
    let range = if is_shown(highest, dashboards) {
        format!("shows at most {} if its looks fall badly", of_limit(lowest, dashboards))
    } else if lowest == highest {
        format!("showed at most {}", of_limit(lowest, dashboards))
    } else {
        format!(
            "showed at most {}, and {} if its looks fell badly",
            of_limit(highest, dashboards),
            of_limit(lowest, dashboards)
        )
    };
    format!(
        "One that looks every {} {range}; the true peak of {} {}.",
        interval(scraper),
        dashboards.peak.bytes,
        lasted(dashboards)
    )
}

fn shown(dashboards: &Dashboards, scraper: &Scraper, lowest: Bytes) -> String {
    format!(
        "One that looks every {} shows at least {}; the peak of {} {}.",
        interval(scraper),
        of_limit(lowest, dashboards),
        dashboards.peak.bytes,
        lasted(dashboards)
    )
}

fn interval(scraper: &Scraper) -> String {
    format!("{} s", scraper.interval_us / 1_000_000)
}

/// `lasted 0.4 s`, or between which bounds.
pub(in crate::diagnosis) fn lasted(dashboards: &Dashboards) -> String {
    let (least, most) = (dashboards.peak.lasted_at_least_us, dashboards.peak.lasted_at_most_us);
    if most <= least.saturating_add(least / 4) {
        format!("lasted {}", duration(most))
    } else if least < 1000 {
        format!("lasted {} or less", duration(most))
    } else {
        format!("lasted between {} and {}", duration(least), duration(most))
    }
}
