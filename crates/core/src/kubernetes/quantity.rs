//! `resource.Quantity`: `123Mi`, `1e3`, `500m`.
//!
//! Source: apimachinery, `pkg/api/resource/quantity.go`: a signed decimal with a binary suffix (`Ki` … `Ei`), a decimal one (`n`, `u`,
//! `m`, `k`, `M` … `E`) or an exponent.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units::Bytes;

/// An amount of a resource, exact to a thousandth; finer amounts are rounded up, as the API server does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    thousandths: i128,
}

/// Not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a quantity: {0:?}")]
pub struct NotAQuantity(pub String);

impl Quantity {
    /// A whole number of bytes.
    #[must_use]
    pub const fn of_bytes(bytes: Bytes) -> Self {
        Self { thousandths: bytes.0 as i128 * 1000 }
    }

    /// As bytes, a part of one rounded up; below zero is zero.
    #[must_use]
    pub fn bytes(self) -> Bytes {
        let whole = self.thousandths.div_euclid(1000) + i128::from(self.thousandths.rem_euclid(1000) > 0);
        Bytes(u64::try_from(whole.max(0)).unwrap_or(u64::MAX))
    }

    /// In thousandths: millicores for cpu.
    #[must_use]
    pub const fn thousandths(self) -> i128 {
        self.thousandths
    }

    /// True for nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.thousandths == 0
    }
}

/// The factor of a suffix, as thousandths: a power of two, or of ten. `n` and `u` are finer than what is kept.
fn factor(suffix: &str) -> Option<Factor> {
    let power = |letters: &str, suffix: &str| letters.find(suffix).filter(|_| suffix.len() == 1);
    if let Some(binary) = suffix.strip_suffix('i') {
        return power("KMGTPE", binary).map(|at| Factor::Times(1 << (10 * (at as u32 + 1))));
    }
    match suffix {
        "" => Some(Factor::Times(1)),
        "k" => Some(Factor::Times(1000)),
        "n" => Some(Factor::Over(1_000_000_000)),
        "u" => Some(Factor::Over(1_000_000)),
        "m" => Some(Factor::Over(1000)),
        _ => power("KMGTPE", suffix).filter(|at| *at > 0).map(|at| Factor::Times(1000_i128.pow(at as u32 + 1))),
    }
}

#[derive(Clone, Copy, Debug)]
enum Factor {
    Times(i128),
    Over(i128),
}

impl FromStr for Quantity {
    type Err = NotAQuantity;

    fn from_str(text: &str) -> Result<Self, NotAQuantity> {
        parse(text.trim()).ok_or_else(|| NotAQuantity(text.chars().take(40).collect()))
    }
}

fn parse(text: &str) -> Option<Quantity> {
    /// More digits than any amount has; bounds the arithmetic.
    const LONGEST: usize = 36;
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || whole.len() + fraction.len() > LONGEST {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let mut over = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let mut times = 1000_i128;
    match exponent(suffix) {
        Some(exponent) if exponent >= 0 => times = times.checked_mul(10_i128.checked_pow(exponent.unsigned_abs())?)?,
        Some(exponent) => over = over.checked_mul(10_i128.checked_pow(exponent.unsigned_abs())?)?,
        None => match factor(suffix)? {
            Factor::Times(by) => times = times.checked_mul(by)?,
            Factor::Over(by) => over = over.checked_mul(by)?,
        },
    }
    let product = digits.checked_mul(times)?;
    let rounded_up = product / over + i128::from(product % over > 0);
    Some(Quantity { thousandths: sign * rounded_up })
}

/// `e3`, `E-2`; the bare `E` is a suffix.
fn exponent(suffix: &str) -> Option<i32> {
    suffix.strip_prefix(['e', 'E']).filter(|digits| !digits.is_empty())?.parse().ok()
}

/// As people write it: in the largest binary unit that divides it, else in bytes or thousandths.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.thousandths % 1000 != 0 {
            return f.pad(&format!("{}m", self.thousandths));
        }
        let whole = self.thousandths / 1000;
        let units = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
        let fits = |unit: &usize| whole != 0 && whole % (1_i128 << (10 * *unit)) == 0;
        let unit = (1..units.len()).rev().find(fits).unwrap_or(0);
        f.pad(&format!("{}{}", whole / (1_i128 << (10 * unit)), units[unit]))
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A string; manifests also have plain numbers.
impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Whole(i64),
            Fraction(f64),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Text(text) => text,
            Written::Whole(number) => number.to_string(),
            Written::Fraction(number) => number.to_string(),
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Option<u64> {
        text.parse::<Quantity>().ok().map(|quantity| quantity.bytes().0)
    }

    /// Every way of writing an amount that the API accepts.
    #[test]
    fn amounts() {
        assert_eq!((bytes("123Mi"), bytes("0.5Gi"), bytes("1e3")), (Some(128_974_848), Some(1 << 29), Some(1000)));
        assert_eq!(
            (bytes("128974848"), bytes("129M"), bytes("1.5k")),
            (Some(128_974_848), Some(129_000_000), Some(1500))
        );
        assert_eq!((bytes("1E"), bytes("1Ei"), bytes("12E2")), (Some(10_u64.pow(18)), Some(1 << 60), Some(1200)));
        assert_eq!((bytes("500m"), bytes("1500m"), bytes("1u"), bytes("100e-2")), (Some(1), Some(2), Some(1), Some(1)));
        assert_eq!((bytes("-5"), bytes("+5"), bytes(".5Ki")), (Some(0), Some(5), Some(512)));
    }

    /// What is none is refused; digits without end do not overflow.
    #[test]
    fn no_amounts() {
        for wrong in ["", "Mi", "1 Mi", "1K", "1mi", "1MiB", "e3", "1.2.3", "--1", "1e99999", &"9".repeat(99)] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    /// Written back as people write it, and read again as the same.
    #[test]
    fn written_back() {
        for (text, written) in [("123Mi", "123Mi"), ("1024Mi", "1Gi"), ("1000", "1000"), ("1500m", "1500m"), ("0", "0")]
        {
            assert_eq!(text.parse::<Quantity>().unwrap().to_string(), written);
        }
    }
}
