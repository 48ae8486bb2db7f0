//! /proc/PID/maps and smaps: the mappings of a process, those of one name added up.
//!
//! A process may have 65,530 mappings (`vm.max_map_count`) or, where that was raised, millions, and smaps has 25 lines for each.
//! So the files are taken line by line, and only what is added up is kept.

use indexmap::IndexMap;

use super::fields::{field, kib};
use super::maps::MapsLine;
use crate::evidence::Mapping;
use crate::text::Untrusted;
use crate::units::Bytes;

/// How many different names are kept apart. What comes later is added to `[others]`.
pub const MAX_NAMES: usize = 8192;

/// The name under which mappings are added up when there are too many names.
const OTHERS: &[u8] = b"[others]";
/// The kernel leaves the name of anonymous memory empty.
const ANON: &[u8] = b"[anon]";

/// Mappings by name, growing line by line. For `maps` the sizes of what is resident stay unknown.
#[derive(Clone, Debug, Default)]
pub struct MappingSums {
    by_name: IndexMap<Vec<u8>, Mapping>,
    /// Of the mapping whose lines are being read.
    current: Option<usize>,
    overflowed: bool,
}

impl MappingSums {
    /// Takes the next line of `maps` or `smaps`, without its newline.
    pub fn line(&mut self, line: &[u8]) {
        if let Some(mapping) = MapsLine::parse(line) {
            let name = if mapping.path.is_empty() { ANON } else { mapping.path };
            self.begin(mapping.end - mapping.start, name);
        } else if let Some((name, value)) = field(line) {
            self.add(name, value);
        }
    }

    /// More than [`MAX_NAMES`] names were met: the rest stand together as `[others]`.
    #[must_use]
    pub const fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// The sums, the largest first: by what is resident, else by address space.
    #[must_use]
    pub fn finish(self) -> Vec<Mapping> {
        let mut mappings: Vec<_> = self.by_name.into_values().collect();
        mappings.sort_by_key(|m| std::cmp::Reverse((m.rss_bytes, m.size_bytes)));
        mappings
    }

    fn begin(&mut self, size: u64, name: &[u8]) {
        let full = self.by_name.len() >= MAX_NAMES && !self.by_name.contains_key(name);
        self.overflowed |= full;
        let name = if full { OTHERS } else { name };
        let entry = self.by_name.entry(name.to_vec());
        self.current = Some(entry.index());
        let mapping = entry.or_insert_with(|| Mapping { name: Untrusted::from(name), ..Mapping::default() });
        mapping.count = mapping.count.saturating_add(1);
        mapping.size_bytes = Bytes(mapping.size_bytes.0.saturating_add(size));
    }

    fn add(&mut self, name: &[u8], value: &[u8]) {
        let Some((_, mapping)) = self.current.and_then(|current| self.by_name.get_index_mut(current)) else { return };
        let sum = match name {
            b"Rss" => &mut mapping.rss_bytes,
            b"Pss" => &mut mapping.pss_bytes,
            b"Anonymous" => &mut mapping.anon_bytes,
            b"Swap" => &mut mapping.swap_bytes,
            _ => return,
        };
        if let Some(Bytes(more)) = kib(value) {
            *sum = Some(Bytes(sum.map_or(0, |b| b.0).saturating_add(more)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(text: &[u8]) -> Vec<Mapping> {
        let mut sums = MappingSums::default();
        text.split(|b| *b == b'\n').for_each(|line| sums.line(line));
        sums.finish()
    }

    const SMAPS: &[u8] = b"55d0-65d0 r--p 00000000 fe:01 1234                       /usr/bin/a b\nSize: 4 kB\nRss: 4 kB\nPss: 2 kB\nAnonymous: 0 kB\nSwap: 0 kB\n\
        7000-9000 rw-p 00000000 00:00 0 \nRss: 8 kB\nPss: 8 kB\nAnonymous: 8 kB\nSwap: 4 kB\nVmFlags: rd wr\n\
        9000-a000 rw-p 00000000 00:00 0\nRss: 4 kB\nPss: 4 kB\nAnonymous: 4 kB\nSwap: 0 kB\n\
        b000-c000 rw-s 00000000 00:01 7 /memfd:x (deleted)\nRss: 0 kB\n";

    /// Mappings without a name, and several of one name, are added up; a blank in a path stays.
    #[test]
    fn added_up_by_name() {
        let found = sums(SMAPS);
        let names: Vec<_> = found.iter().map(|m| m.name.to_string()).collect();
        assert_eq!(names, ["[anon]", "/usr/bin/a b", "/memfd:x (deleted)"]);
        let anon = &found[0];
        assert_eq!((anon.count, anon.size_bytes, anon.rss_bytes), (2, Bytes(0x3000), Some(Bytes::from_kib(12))));
        assert_eq!((anon.swap_bytes, found[2].swap_bytes), (Some(Bytes::from_kib(4)), None));
    }

    /// maps alone says nothing of what is resident.
    #[test]
    fn maps_alone() {
        let found = sums(b"7000-9000 rw-p 00000000 00:00 0                          [heap]\n");
        assert_eq!((found[0].name.to_string().as_str(), found[0].rss_bytes), ("[heap]", None));
    }

    /// A path with hostile bytes is kept exactly; damaged lines add nothing.
    #[test]
    fn hostile() {
        let found =
            sums(b"Rss: 4 kB\nzz-1 rw-p\n9000-7000 rw-p 0 0:0 0 x\n7000-8000 rw-p 0 00:00 3 /a\xff\\012Rss: 9 kB\n");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name.as_bytes(), b"/a\xff\\012Rss: 9 kB");
        assert_eq!(found[0].rss_bytes, None);
    }

    /// However many names a process makes up, memory stays bounded and no byte is lost from the sum.
    #[test]
    fn too_many_names() {
        let mut sums = MappingSums::default();
        let lines = MAX_NAMES + 100;
        for i in 0..lines {
            sums.line(format!("1000-2000 rw-p 0 0:0 1 /{i}").as_bytes());
        }
        assert!(sums.overflowed());
        let found = sums.finish();
        assert_eq!(found.len(), MAX_NAMES + 1);
        assert_eq!(found.iter().map(|m| m.size_bytes.0).sum::<u64>(), lines as u64 * 0x1000);
    }
}
