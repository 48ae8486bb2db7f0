//! The offset between a log's clock and the wall, where the log does not state it: bounds that the statuses of containers give.
//!
//! A kill in a container happens between the start and the end of that instance, so every kill whose instance is known bounds the
//! offset from both sides. The bounds of all kills of one log together are often a second or two apart.

use jiff::Timestamp;

/// The earliest and the latest that something may have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl Span {
    /// Known to about a second.
    pub(super) fn about(at: Timestamp) -> Self {
        Self { from: moved(at, -1_000_000), to: moved(at, 1_000_000) }
    }
}

/// One kill on the log's clock, and what the wall says of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    /// Microseconds on the log's clock.
    pub(super) log_us: i64,
    /// It did not happen before.
    pub(super) not_before: Option<Timestamp>,
    /// It did not happen after.
    pub(super) not_after: Option<Timestamp>,
}

/// Microseconds from the log's clock to the wall, at least and at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClockTie {
    from_us: i64,
    to_us: i64,
}

impl ClockTie {
    /// `None` where nothing bounds it on both sides, or where the bounds contradict each other.
    pub(super) fn of(bounds: &[Bound]) -> Option<Self> {
        let offset = |bound: &Bound, at: Timestamp| at.as_microsecond().checked_sub(bound.log_us);
        let from = bounds.iter().filter_map(|bound| offset(bound, bound.not_before?)).max()?;
        let to = bounds.iter().filter_map(|bound| offset(bound, bound.not_after?)).min()?;
        (from <= to).then_some(Self { from_us: from, to_us: to })
    }

    /// A time of the log on the wall.
    pub(super) fn span_of(self, log_us: i64) -> Option<Span> {
        let at = |offset: i64| Timestamp::from_microsecond(log_us.checked_add(offset)?).ok();
        Some(Span { from: at(self.from_us)?, to: at(self.to_us)? })
    }
}

/// A time, moved by microseconds; unmoved where that would leave the calendar.
pub(super) fn moved(at: Timestamp, us: i64) -> Timestamp {
    at.as_microsecond().checked_add(us).and_then(|us| Timestamp::from_microsecond(us).ok()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn bound(log: i64, not_before: i64, not_after: i64) -> Bound {
        Bound { log_us: log * 1_000_000, not_before: Some(at(not_before)), not_after: Some(at(not_after)) }
    }

    /// Several instances bound the offset more closely than each alone.
    #[test]
    fn bounds_meet() {
        let tie = ClockTie::of(&[bound(10, 1000, 1011), bound(30, 1028, 1045)]).unwrap();
        assert_eq!(tie.span_of(10_000_000), Some(Span { from: at(1008), to: at(1011) }));
    }

    /// Contradictions tie nothing, and neither does one side alone.
    #[test]
    fn no_tie() {
        assert_eq!(ClockTie::of(&[bound(10, 1000, 1011), bound(30, 1060, 1070)]), None);
        assert_eq!(ClockTie::of(&[Bound { log_us: 1, not_before: Some(at(5)), not_after: None }]), None);
        assert_eq!(ClockTie::of(&[]), None);
    }
}
