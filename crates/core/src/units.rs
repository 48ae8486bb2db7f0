//! Quantities with their units in the type, and how people write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A size in bytes.
///
/// `Display` is for people: binary units, at most one decimal, exact when the unit divides evenly
/// (`48 MiB`, `47.8 MiB`, `812 KiB`, `0 B`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// From KiB, which the kernel writes `kB`. Saturates: a hostile log must not wrap around to a small number.
    #[must_use]
    pub const fn from_kib(kib: u64) -> Self {
        Self(kib.saturating_mul(1024))
    }

    /// From a number of pages of `page_size` bytes. Saturates.
    #[must_use]
    pub const fn from_pages(pages: u64, page_size: u64) -> Self {
        Self(pages.saturating_mul(page_size))
    }

    /// The share of `whole`, 0.0 when `whole` is zero.
    #[must_use]
    pub fn share_of(self, whole: Self) -> f64 {
        if whole.0 == 0 { 0.0 } else { self.0 as f64 / whole.0 as f64 }
    }

    /// Two sizes that are compared: as people write them, or in KiB or bytes where both would read the same and are not.
    #[must_use]
    pub fn side_by_side(self, other: Self) -> (String, String) {
        if self == other || self.to_string() != other.to_string() {
            return (self.to_string(), other.to_string());
        }
        let in_kib = self.0.is_multiple_of(1024) && other.0.is_multiple_of(1024);
        let (divisor, unit) = if in_kib { (1024, "KiB") } else { (1, "B") };
        (format!("{} {unit}", self.0 / divisor), format!("{} {unit}", other.0 / divisor))
    }

    /// As a Kubernetes manifest quantity, rounded *up* to the unit that keeps it short:
    /// `128Mi`, `1536Mi`, `2Gi`. Sizes under 1 MiB become `1Mi`.
    #[must_use]
    pub fn manifest_quantity(self) -> String {
        let mib = self.0.div_ceil(1 << 20).max(1);
        if mib.is_multiple_of(1024) { format!("{}Gi", mib / 1024) } else { format!("{mib}Mi") }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let mut unit = 0;
        while unit + 1 < UNITS.len() && self.0 >> (10 * (unit + 1)) > 0 {
            unit += 1;
        }
        let divisor = 1u64 << (10 * unit);
        if self.0.is_multiple_of(divisor) {
            return f.pad(&format!("{} {}", self.0 / divisor, UNITS[unit]));
        }
        let tenths = (self.0 as f64 / divisor as f64 * 10.0).round() / 10.0;
        // 1023.96 MiB rounds to 1024.0 MiB; one unit up reads better.
        if tenths >= 1024.0 && unit + 1 < UNITS.len() {
            return f.pad(&format!("1 {}", UNITS[unit + 1]));
        }
        f.pad(&format!("{tenths} {}", UNITS[unit]))
    }
}

/// Not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a size: write it like 256Mi, 1.5Gi, 512M or 268435456")]
pub struct NotASize;

/// As in a Kubernetes manifest or as people write it: `256Mi`, `256MiB`, `256M` (a million), `1.5 Gi`, `268435456`. Kubernetes' `m`, a
/// thousandth of a byte, is refused: nobody means it.
impl FromStr for Bytes {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<Self, NotASize> {
        let text = text.trim();
        let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let factor = factor_of(unit.trim()).ok_or(NotASize)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let whole: u64 = whole.parse().map_err(|_| NotASize)?;
        let fraction: f64 = format!("0.{fraction}").parse().map_err(|_| NotASize)?;
        let part = (fraction * factor as f64) as u64;
        whole.checked_mul(factor).and_then(|bytes| bytes.checked_add(part)).map(Self).ok_or(NotASize)
    }
}

fn factor_of(unit: &str) -> Option<u64> {
    let unit = unit.strip_suffix('B').unwrap_or(unit);
    let power = |prefix: &str| match prefix {
        "K" | "k" => Some(1),
        "M" => Some(2),
        "G" => Some(3),
        "T" => Some(4),
        "P" => Some(5),
        _ => None,
    };
    match unit.strip_suffix('i') {
        _ if unit.is_empty() => Some(1),
        Some(prefix) => power(prefix).map(|power| 1024_u64.pow(power)),
        None => power(unit).map(|power| 1000_u64.pow(power)),
    }
}

/// The smallest number that a kernel prints for "no limit", in bytes.
///
/// 64-bit kernels print `PAGE_COUNTER_MAX` (`LONG_MAX / PAGE_SIZE` pages: 9007199254740988 kB with 4 KiB pages,
/// 9007199254740928 kB with 64 KiB), kernels before 3.19 `RES_COUNTER_MAX` (9007199254740991 kB) or `ULLONG_MAX`
/// (18014398509481983 kB). No machine has an exbibyte, so anything from there up means "unlimited".
/// Source: `include/linux/page_counter.h`, `include/linux/res_counter.h`.
const UNLIMITED_FROM: u64 = 1 << 60;

/// 32-bit kernels cannot print such numbers; there `PAGE_COUNTER_MAX` is `LONG_MAX` pages of 4 KiB.
const UNLIMITED_32BIT: u64 = 2_147_483_647 * 4096;

/// A limit as a cgroup file or a kernel report states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// At most this many bytes.
    At(Bytes),
    /// No limit was set.
    Unlimited,
}

impl Limit {
    /// Reads the number that a kernel printed, in bytes.
    #[must_use]
    pub const fn from_printed(bytes: Bytes) -> Self {
        if bytes.0 >= UNLIMITED_FROM || bytes.0 == UNLIMITED_32BIT { Self::Unlimited } else { Self::At(bytes) }
    }

    /// The limit in bytes; `None` when there is none.
    #[must_use]
    pub const fn bytes(self) -> Option<Bytes> {
        match self {
            Self::At(b) => Some(b),
            Self::Unlimited => None,
        }
    }
}

/// A number of bytes, or `"max"` as cgroup v2 writes it.
impl Serialize for Limit {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::At(bytes) => bytes.serialize(serializer),
            Self::Unlimited => serializer.serialize_str("max"),
        }
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Bytes(Bytes),
            Word(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Bytes(bytes) => Ok(Self::At(bytes)),
            Written::Word(word) if word == "max" => Ok(Self::Unlimited),
            Written::Word(word) => Err(serde::de::Error::custom(format!("neither a size nor \"max\": {word:?}"))),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(bytes) => bytes.fmt(f),
            Self::Unlimited => f.pad("no limit"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes read the way people say them, and exact sizes stay exact.
    #[test]
    fn sizes_for_people() {
        assert_eq!(Bytes(0).to_string(), "0 B");
        assert_eq!(Bytes::from_kib(812).to_string(), "812 KiB");
        assert_eq!(Bytes::from_kib(49152).to_string(), "48 MiB");
        assert_eq!(Bytes::from_kib(48896).to_string(), "47.8 MiB");
        assert_eq!(Bytes((1 << 30) - 1).to_string(), "1 GiB");
        assert_eq!(Bytes(u64::MAX).to_string(), "16 EiB");
    }

    /// Two sizes of which one is said to be less than the other never read the same.
    #[test]
    fn compared_sizes_differ() {
        let pair = |a: u64, b: u64| Bytes::from_kib(a).side_by_side(Bytes::from_kib(b));
        assert_eq!(pair(1620, 1664), ("1620 KiB".to_owned(), "1664 KiB".to_owned()));
        assert_eq!(pair(304, 340), ("304 KiB".to_owned(), "340 KiB".to_owned()));
        assert_eq!(pair(2048, 2048), ("2 MiB".to_owned(), "2 MiB".to_owned()));
    }

    /// Sizes as people write them; what is none is refused rather than guessed at.
    #[test]
    fn sizes_from_people() {
        let size = |text: &str| text.parse::<Bytes>().ok().map(|bytes| bytes.0);
        assert_eq!(
            (size("256Mi"), size("256 MiB"), size("268435456")),
            (Some(256 << 20), Some(256 << 20), Some(256 << 20))
        );
        assert_eq!((size("1.5Gi"), size("512M"), size("2kB")), (Some(3 << 29), Some(512_000_000), Some(2000)));
        for wrong in ["", "Mi", "1Q", "128m", "-1", "1.2.3", "99999999999P", "1e3", "."] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }

    /// A quantity in a manifest never rounds below what was asked for.
    #[test]
    fn manifest_quantities_round_up() {
        assert_eq!(Bytes(128_974_848).manifest_quantity(), "123Mi");
        assert_eq!(Bytes(128_974_849).manifest_quantity(), "124Mi");
        assert_eq!(Bytes(2 << 30).manifest_quantity(), "2Gi");
        assert_eq!(Bytes(1).manifest_quantity(), "1Mi");
    }

    /// Every kernel's way of printing "no limit" is recognised, and a terabyte is still a limit.
    #[test]
    fn unlimited_is_not_a_number() {
        for kib in
            [9_007_199_254_740_988, 9_007_199_254_740_928, 9_007_199_254_740_991, 18_014_398_509_481_983, 8_589_934_588]
        {
            assert_eq!(Limit::from_printed(Bytes::from_kib(kib)), Limit::Unlimited, "{kib} kB");
        }
        let tib = Bytes(1 << 40);
        assert_eq!(Limit::from_printed(tib), Limit::At(tib));
    }
}
