//! Points in time as logs write them.
//!
//! Every reader separates shape from value: a stamp that is recognised but whose value is not known for certain (no
//! year, unknown month word, a 61st second) is consumed and gives no time.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::months::month;
use super::scan::{fixed_number, head, next_word, number, skip_blanks};
use crate::time::{BootTime, When};

/// `123.456789`, the seconds since boot as printk writes them: exactly six decimals.
pub(super) fn boot(bytes: &[u8]) -> Option<(BootTime, &[u8])> {
    let (seconds, rest) = number(bytes)?;
    let (micros, rest) = fixed_number(rest.strip_prefix(b".")?, 6)?;
    Some((BootTime(seconds.checked_mul(1_000_000)?.checked_add(micros)?), rest))
}

/// What an ISO 8601 stamp said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Iso {
    /// `wall` where a zone was given, else `wall_local`.
    pub(super) when: When,
    /// A comma before the fraction: only `dmesg --time-format=iso` writes that (util-linux `sys-utils/dmesg.c`).
    pub(super) comma: bool,
    /// Zone `Z`: container runtimes and clouds; syslog daemons and the journal write an offset.
    pub(super) zulu: bool,
}

/// `2017-12-07T00:05:14[.,]123456+00:00`; `T` may be a blank, fraction and zone may be absent.
pub(super) fn iso(bytes: &[u8]) -> Option<(Iso, &[u8])> {
    let (year, rest) = fixed_number(bytes, 4)?;
    let (month, rest) = fixed_number(rest.strip_prefix(b"-").or_else(|| rest.strip_prefix(b"/"))?, 2)?;
    let (day, rest) = fixed_number(rest.strip_prefix(b"-").or_else(|| rest.strip_prefix(b"/"))?, 2)?;
    let rest = rest.strip_prefix(b"T").or_else(|| rest.strip_prefix(b" "))?;
    let (time, rest) = clock(rest)?;
    let local = civil(year, u8::try_from(month).ok().and_then(|m| i8::try_from(m).ok()), day, time);
    let (zone, rest) = zone(rest);
    let zulu = zone == Some((Offset::UTC, true));
    let when = match zone {
        Some((offset, _)) => When { wall: local.and_then(|local| offset.to_timestamp(local).ok()), ..When::default() },
        None => When { wall_local: local, ..When::default() },
    };
    Some((Iso { when, comma: time.comma, zulu }, rest))
}

/// `Z`, `+00:00`, `-0800`; the flag tells `Z`.
fn zone(bytes: &[u8]) -> (Option<(Offset, bool)>, &[u8]) {
    if let Some(rest) = bytes.strip_prefix(b"Z") {
        return (Some((Offset::UTC, true)), rest);
    }
    match numeric_zone(bytes) {
        Some((offset, rest)) => (Some((offset, false)), rest),
        None => (None, bytes),
    }
}

fn numeric_zone(bytes: &[u8]) -> Option<(Offset, &[u8])> {
    let (sign, rest) = match bytes.split_first()? {
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes, rest) = match fixed_number(rest, 4) {
        Some((both, rest)) => (both / 100, both % 100, rest),
        None => {
            let (hours, rest) = fixed_number(rest, 2)?;
            let (minutes, rest) = fixed_number(rest.strip_prefix(b":")?, 2)?;
            (hours, minutes, rest)
        }
    };
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    Some((Offset::from_seconds(sign * seconds).ok()?, rest))
}

/// A time of day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    hour: u64,
    minute: u64,
    second: u64,
    nanos: u64,
    comma: bool,
}

/// `00:05:14`, with a fraction of up to nine digits after a dot or comma.
pub(super) fn clock(bytes: &[u8]) -> Option<(Clock, &[u8])> {
    let (hour, rest) = fixed_number(bytes, 2)?;
    let (minute, rest) = fixed_number(rest.strip_prefix(b":")?, 2)?;
    let (second, rest) = fixed_number(rest.strip_prefix(b":")?, 2)?;
    let whole = Clock { hour, minute, second, nanos: 0, comma: false };
    let Some((separator @ (b'.' | b','), fraction)) = rest.split_first() else { return Some((whole, rest)) };
    let Some((digits, after)) = number(fraction) else { return Some((whole, rest)) };
    let nanos = match u32::try_from(fraction.len() - after.len()) {
        Ok(len @ 1..=9) => digits * 10_u64.pow(9 - len),
        _ => return None,
    };
    Some((Clock { nanos, comma: *separator == b',', ..whole }, after))
}

fn civil(year: u64, month: Option<i8>, day: u64, time: Clock) -> Option<DateTime> {
    let small = |n: u64| i8::try_from(n).ok();
    let nanos = i32::try_from(time.nanos).ok()?;
    let (hour, minute, second) = (small(time.hour)?, small(time.minute)?, small(time.second)?);
    DateTime::new(i16::try_from(year).ok()?, month?, small(day)?, hour, minute, second, nanos).ok()
}

/// A date in words: `Dec  7 00:05:14` (syslog; no year, so no date), `2017 Dec  7 00:05:14`, `Dec  7 2017 00:05:14`,
/// `Thu Dec  7 00:05:14 2017` (ctime, OpenWrt's logread), `Thu Dec  7 00:05:14 UTC 2017` (crash), in any language.
pub(super) fn date_in_words(bytes: &[u8]) -> Option<(When, &[u8])> {
    let mut before: [&[u8]; 5] = [b""; 5];
    let mut rest = bytes;
    for filled in 0..=4 {
        let (word, after) = next_word(rest);
        if let Some((time, tail)) = clock(word) {
            return if tail.is_empty() { date_around(before.get(..filled)?, time, after) } else { None };
        }
        if word.is_empty() || word.len() > 16 || !is_date_word(word) {
            return None;
        }
        *before.get_mut(filled)? = word;
        rest = after;
    }
    None
}

/// Makes a date of the words before the time of day and the year that may follow it.
fn date_around<'a>(before: &[&[u8]], time: Clock, rest: &'a [u8]) -> Option<(When, &'a [u8])> {
    let (last, earlier) = before.split_last()?;
    let (year_before, names, day) = match fixed_number(last, 4) {
        // `Dec 7 2017 00:05:14`
        Some((year, [])) => (Some(year), earlier.split_last()?.1, number(earlier.last()?)?.0),
        _ => (None, earlier, day_of_month(last)?),
    };
    let (year_before, names) = match names.split_first() {
        Some((first, names)) if fixed_number(first, 4).is_some_and(|(_, tail)| tail.is_empty()) => {
            (number(first).map(|(year, _)| year), names)
        }
        _ => (year_before, names),
    };
    let name = month_word(names)?;
    let (year, utc, rest) = match year_before {
        Some(year) => (Some(year), false, rest),
        // Only a date with a weekday is followed by its year.
        None if names.len() > 1 => year_after(rest),
        None => (None, false, rest),
    };
    let local = year.and_then(|year| civil(year, month(name), day, time));
    let when = if utc {
        When { wall: local.and_then(|local| Offset::UTC.to_timestamp(local).ok()), ..When::default() }
    } else {
        When { wall_local: local, ..When::default() }
    };
    Some((when, rest))
}

/// The month is the last of the names; a weekday may stand before it.
fn month_word<'a>(names: &[&'a [u8]]) -> Option<&'a [u8]> {
    let name = names.last()?;
    let is_name = name.iter().any(|b| b.is_ascii_alphabetic() || *b >= 0x80);
    (names.len() <= 3 && is_name).then_some(name)
}

fn day_of_month(word: &[u8]) -> Option<u64> {
    let (day, tail) = number(word)?;
    (tail.is_empty() && (1..=31).contains(&day)).then_some(day)
}

/// ` 2017`, ` UTC 2017`: the year, and whether the zone is UTC.
fn year_after(bytes: &[u8]) -> (Option<u64>, bool, &[u8]) {
    let (first, rest) = next_word(bytes);
    if let Some((year, [])) = fixed_number(first, 4) {
        return (Some(year), false, rest);
    }
    let (second, rest) = next_word(rest);
    match fixed_number(second, 4) {
        Some((year, [])) if is_zone_name(first) => (is_utc(first).then_some(year), true, rest),
        _ => (None, false, bytes),
    }
}

fn is_date_word(word: &[u8]) -> bool {
    word.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'.' || *b == b',' || *b >= 0x80)
}

/// `UTC`, `CEST`, `+03`.
pub(super) fn is_zone_name(word: &[u8]) -> bool {
    (2..=5).contains(&word.len()) && word.iter().all(|b| b.is_ascii_uppercase() || b"+-0123456789".contains(b))
}

pub(super) fn is_utc(zone: &[u8]) -> bool {
    matches!(zone, b"UTC" | b"GMT" | b"Z")
}

/// `Dec 7 00:05` or `Nov21 09:08`: `dmesg -e` at the change of a minute. It has no year, hence no date.
pub(super) fn is_reltime_minute(content: &[u8]) -> bool {
    let (date, time) = match content.iter().rposition(|b| *b == b' ') {
        Some(blank) => (head(content, blank), skip_blanks(content.get(blank..).unwrap_or_default())),
        None => return false,
    };
    let minutes = fixed_number(time, 2).and_then(|(_, rest)| fixed_number(rest.strip_prefix(b":")?, 2));
    minutes.is_some_and(|(_, rest)| rest.is_empty())
        && date.len() <= 24
        && date.last().is_some_and(u8::is_ascii_digit)
        && date.iter().any(|b| b.is_ascii_alphabetic() || *b >= 0x80)
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by magnitude (years 2001…2286).
pub(super) fn epoch(count: i128) -> Option<Timestamp> {
    let nanos = match count {
        1_000_000_000..=9_999_999_999 => count * 1_000_000_000,
        1_000_000_000_000..=9_999_999_999_999 => count * 1_000_000,
        1_000_000_000_000_000..=9_999_999_999_999_999 => count * 1_000,
        1_000_000_000_000_000_000..=9_999_999_999_999_999_999 => count,
        _ => return None,
    };
    Timestamp::from_nanosecond(nanos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Option<String> {
        let (when, rest) = date_in_words(text.as_bytes())?;
        let date = when.wall.map(|w| w.to_string()).or_else(|| when.wall_local.map(|l| l.to_string()));
        Some(format!("{}|{}", date.unwrap_or_default(), String::from_utf8_lossy(rest)))
    }

    /// Dates in words are read in any order and language, and give a date only if the year is stated.
    #[test]
    fn dates_in_words() {
        for (text, expected) in [
            ("Thu Dec  7 00:05:14 2017", Some("2017-12-07T00:05:14|")),
            ("Do Dez  7 00:05:14 2017", Some("2017-12-07T00:05:14|")),
            ("mar. déc.  3 09:44:17 2024", Some("2024-12-03T09:44:17|")),
            ("四 12月  7 00:05:14 2017", Some("2017-12-07T00:05:14|")),
            ("Чт дек  7 00:05:14 2017", Some("2017-12-07T00:05:14|")),
            ("xx qqq  7 00:05:14 2017", Some("|")),
            ("Sat Nov 21 09:08:33 UTC 2026", Some("2026-11-21T09:08:33Z|")),
            ("Sat Nov 21 09:08:33 CEST 2026", Some("|")),
            ("Dec  7 00:05:14 host", Some("| host")),
            ("Dec  7 00:05:14.123456 host", Some("| host")),
            ("2017 Dec  7 00:05:14 host", Some("2017-12-07T00:05:14| host")),
            ("Dec  7 2017 00:05:14 host", Some("2017-12-07T00:05:14| host")),
            ("July 12 13:11:19 localhost", Some("| localhost")),
            ("Dec 32 00:05:14 x", None),
            ("  pid  ", None),
            ("00:05:14", None),
            ("7 00:05:14", None),
        ] {
            assert_eq!(words(text).as_deref(), expected, "{text}");
        }
    }

    /// A zone makes an instant; without one the time stays local.
    #[test]
    fn iso_stamps() {
        for (text, expected) in [
            ("2017-12-07T00:05:14,123456+00:00 x", Some("2017-12-07T00:05:14.123456Z")),
            ("2017-12-07T00:05:14+0100 x", Some("2017-12-06T23:05:14Z")),
            ("2017-12-07T00:05:14.123456789Z x", Some("2017-12-07T00:05:14.123456789Z")),
            ("2017-12-07 00:05:14 x", Some("2017-12-07T00:05:14")),
            ("2017-13-07 00:05:14 x", Some("")),
            ("2017-12-07 00:05 x", None),
        ] {
            let got = iso(text.as_bytes()).map(|(iso, _)| {
                let wall = iso.when.wall.map(|w| w.to_string());
                wall.or_else(|| iso.when.wall_local.map(|l| l.to_string())).unwrap_or_default()
            });
            assert_eq!(got.as_deref(), expected, "{text}");
        }
    }

    /// printk's stamp has six decimals; nothing overflows.
    #[test]
    fn boot_stamps() {
        assert_eq!(boot(b"123.456789] x").map(|(t, _)| t.0), Some(123_456_789));
        assert!(boot(b"123.45678] x").is_none());
        assert!(boot(b"9999999999999999999.456789]").is_none());
        assert!(boot(b"14881]     0 14881").is_none());
    }
}
