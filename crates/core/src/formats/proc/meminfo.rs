//! /proc/meminfo.

use bstr::ByteSlice;
use indexmap::IndexMap;

use super::fields::{fields, kib};
use crate::units::Bytes;

/// Every size of the file, in its order, by the kernel's own names (`MemTotal`, `Active(anon)`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemInfo(pub IndexMap<String, Bytes>);

impl MemInfo {
    /// Reads the file. Counts of huge pages, which are no sizes, are left out.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        Self(fields(bytes).filter_map(|(name, value)| Some((name.to_str().ok()?.to_owned(), kib(value)?))).collect())
    }

    /// One size; `None` where this kernel does not print it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Bytes> {
        self.0.get(name).copied()
    }

    /// Memory that the kernel manages.
    #[must_use]
    pub fn total(&self) -> Option<Bytes> {
        self.get("MemTotal")
    }

    /// What could be had without swapping, as the kernel estimates it (≥ 3.14).
    #[must_use]
    pub fn available(&self) -> Option<Bytes> {
        self.get("MemAvailable")
    }

    /// Swap of all devices.
    #[must_use]
    pub fn swap_total(&self) -> Option<Bytes> {
        self.get("SwapTotal")
    }

    /// Of it, unused.
    #[must_use]
    pub fn swap_free(&self) -> Option<Bytes> {
        self.get("SwapFree")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes are found by name; counts and damage are not taken for sizes.
    #[test]
    fn sizes() {
        let info = MemInfo::parse(
            b"MemTotal:       16384 kB\nActive(anon):  12 kB\nHugePages_Total:       0\n\xff: 1 kB\nSwapTotal: x kB\n",
        );
        assert_eq!((info.total(), info.get("Active(anon)")), (Some(Bytes(16 << 20)), Some(Bytes::from_kib(12))));
        assert_eq!((info.0.len(), info.swap_total()), (2, None));
    }
}
