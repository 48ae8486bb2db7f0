//! Which cases to show: `--since`, `--pod`, `--victim`.

use anyhow::{Context as _, bail};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use oomscope_core::case::Case;

/// An instant as the user gave it, in both of the forms that a log may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Since {
    at: Timestamp,
    local: DateTime,
}

impl Since {
    /// `2026-04-04T03:41:03Z`, `2026-04-04 03:41` (this machine's zone), `2026-04-04`, `15m`, `2h`, `3 days`.
    pub(crate) fn parse(text: &str, now: &Zoned) -> anyhow::Result<Self> {
        let zone = now.time_zone().clone();
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(Self { at, local: at.to_zoned(zone).datetime() });
        }
        if let Ok(local) = text.parse::<DateTime>() {
            let at = zone.to_timestamp(local).with_context(|| format!("{text} does not exist in this time zone"))?;
            return Ok(Self { at, local });
        }
        let Ok(ago) = text.parse::<Span>() else {
            bail!("`{text}` is no time: give a date (2026-04-04, 2026-04-04T03:41:03Z) or an age (15m, 2h, 3 days)");
        };
        let from = now.checked_sub(ago.abs()).with_context(|| format!("{text} ago is too long ago"))?;
        Ok(Self { at: from.timestamp(), local: from.datetime() })
    }

    /// For what knows its time in UTC.
    pub(crate) const fn instant(self) -> Timestamp {
        self.at
    }

    /// For the command line.
    pub(crate) fn parse_now(text: &str) -> Result<Self, String> {
        let now = Timestamp::now().to_zoned(TimeZone::system());
        Self::parse(text, &now).map_err(|error| format!("{error:#}"))
    }
}

/// What a case must match.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) since: Option<Since>,
    pub(crate) pod: Option<String>,
    pub(crate) victim: Option<String>,
}

/// Whether a case is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    Yes,
    No,
    /// As `Yes`, but by a local time of an unstated zone, taken for this machine's.
    YesByLocalTime,
    /// As `No`, but by such a time.
    NoByLocalTime,
    /// `--since` was given and the log does not say when this happened.
    TimeUnknown,
}

impl Filter {
    pub(crate) fn check(&self, case: &Case) -> Match {
        let pod = self.pod.as_ref().is_none_or(|wanted| is_of_pod(case, wanted));
        let victim = self.victim.as_ref().is_none_or(|wanted| has_victim(case, wanted));
        if !pod || !victim {
            return Match::No;
        }
        let Some(since) = self.since else { return Match::Yes };
        let at = &case.incident.at;
        match (at.wall, at.wall_local) {
            (Some(wall), _) if wall >= since.at => Match::Yes,
            (None, Some(local)) if local >= since.local => Match::YesByLocalTime,
            (None, Some(_)) => Match::NoByLocalTime,
            (None, None) => Match::TimeUnknown,
            _ => Match::No,
        }
    }
}

/// By name, by uid or its beginning (with dashes or underscores), or by any part of one of the cgroup paths.
fn is_of_pod(case: &Case, wanted: &str) -> bool {
    let dashed = wanted.replace('_', "-");
    let uid = dashed.strip_prefix("pod").unwrap_or(&dashed);
    let identity = case.incident.identity.as_ref();
    let by_name = identity.and_then(|i| i.pod.as_ref()).is_some_and(|name| name == wanted);
    let by_uid = identity.and_then(|i| i.pod_uid.as_ref()).is_some_and(|u| !uid.is_empty() && u.starts_with(uid));
    let report = case.incident.report();
    let in_path = [&report.limit_cgroup, &report.victim_cgroup].into_iter().flatten().any(|path| {
        let path = path.to_lossy();
        path.contains(wanted) || path.replace('_', "-").contains(&dashed)
    });
    by_name || by_uid || in_path
}

/// By pid, or by any part of its name.
fn has_victim(case: &Case, wanted: &str) -> bool {
    let pid: Option<u32> = wanted.parse().ok();
    case.incident.kills.iter().flat_map(|kill| &kill.victims).any(|victim| {
        pid == Some(victim.pid) || victim.comm.as_ref().is_some_and(|comm| comm.0.to_lossy().contains(wanted))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Zoned {
        "2026-04-04T12:00:00Z".parse::<Timestamp>().expect("a fixed instant").to_zoned(TimeZone::UTC)
    }

    /// Ages and dates, and a clear word on what is neither.
    #[test]
    fn since_accepts_what_people_write() {
        let at = |text: &str| Since::parse(text, &now()).map(|s| s.at.to_string());
        assert_eq!(at("2h").expect("an age"), "2026-04-04T10:00:00Z");
        assert_eq!(at("3 days").expect("an age"), "2026-04-01T12:00:00Z");
        assert_eq!(at("2026-04-04 03:41").expect("a date"), "2026-04-04T03:41:00Z");
        assert_eq!(at("2026-04-04").expect("a date"), "2026-04-04T00:00:00Z");
        assert_eq!(at("2026-04-04T03:41:03+02:00").expect("a date"), "2026-04-04T01:41:03Z");
        assert!(at("yesterday-ish").expect_err("nonsense").to_string().contains("is no time"));
    }
}
