//! /proc/PID/smaps_rollup (≥ 4.14): all mappings of a process added up.

use super::fields::{fields, kib};
use crate::units::Bytes;

/// Memory divided by the number of processes that share it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SmapsRollup {
    /// Every kind.
    pub pss: Option<Bytes>,
    /// Anonymous (≥ 5.4).
    pub pss_anon: Option<Bytes>,
    /// Files (≥ 5.4).
    pub pss_file: Option<Bytes>,
    /// Shared memory (≥ 5.4).
    pub pss_shmem: Option<Bytes>,
}

impl SmapsRollup {
    /// Reads the file.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut rollup = Self::default();
        for (name, value) in fields(bytes) {
            match name {
                b"Pss" => rollup.pss = kib(value),
                b"Pss_Anon" => rollup.pss_anon = kib(value),
                b"Pss_File" => rollup.pss_file = kib(value),
                b"Pss_Shmem" => rollup.pss_shmem = kib(value),
                _ => {}
            }
        }
        rollup
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts are not confused with the whole, nor a kernel without parts with parts of zero.
    #[test]
    fn parts() {
        let new = SmapsRollup::parse(b"1-2 ---p 00000000 00:00 0   [rollup]\nRss: 9 kB\nPss: 5 kB\nPss_Dirty: 4 kB\nPss_Anon: 3 kB\nPss_File: 2 kB\nPss_Shmem: 0 kB\n");
        assert_eq!((new.pss, new.pss_anon), (Some(Bytes::from_kib(5)), Some(Bytes::from_kib(3))));
        assert_eq!((new.pss_file, new.pss_shmem), (Some(Bytes::from_kib(2)), Some(Bytes(0))));
        assert_eq!(SmapsRollup::parse(b"Pss: 5 kB\n").pss_anon, None);
    }
}
