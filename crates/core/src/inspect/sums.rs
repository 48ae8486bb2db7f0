//! What several processes hold together.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::evidence::{Mapping, Snapshot};
use crate::text::Untrusted;
use crate::units::Bytes;

/// Different names that are kept; what comes later is added up as [`OTHERS`].
const MAX_NAMES: usize = 8192;
const OTHERS: &[u8] = b"[others]";

/// Mappings of one name in all processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingTotal {
    /// The sums. Resident sizes count shared pages once for each process, `pss_bytes` does not.
    #[serde(flatten)]
    pub mapping: Mapping,
    /// How many processes have some.
    pub processes: u64,
}

impl MappingTotal {
    /// By which they are compared: the share, else what is resident; `None` where only the address space is known.
    #[must_use]
    pub fn share(&self) -> Option<Bytes> {
        self.mapping.pss_bytes.or(self.mapping.rss_bytes)
    }
}

/// Sums over processes, taken one after the other so that the mappings of all of them never stand in memory together.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    mappings: IndexMap<Untrusted, MappingTotal>,
    had_mappings: bool,
    fds: IndexMap<String, u64>,
    had_fds: bool,
}

impl Totals {
    /// Adds a process.
    pub fn add(&mut self, snapshot: &Snapshot) {
        if let Some(mappings) = &snapshot.mappings {
            self.had_mappings = true;
            for mapping in mappings {
                self.add_mapping(mapping);
            }
        }
        if let Some(fds) = &snapshot.fds {
            self.had_fds = true;
            for (kind, count) in fds {
                let sum = self.fds.entry(kind.clone()).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
    }

    fn add_mapping(&mut self, mapping: &Mapping) {
        let others = Untrusted::from(OTHERS);
        let full = self.mappings.len() >= MAX_NAMES && !self.mappings.contains_key(&mapping.name);
        let name = if full { &others } else { &mapping.name };
        let total = self.mappings.entry(name.clone()).or_insert_with(|| MappingTotal {
            mapping: Mapping { name: name.clone(), ..Mapping::default() },
            processes: 0,
        });
        total.processes = total.processes.saturating_add(1);
        let sum = &mut total.mapping;
        sum.count = sum.count.saturating_add(mapping.count);
        sum.size_bytes = Bytes(sum.size_bytes.0.saturating_add(mapping.size_bytes.0));
        add(&mut sum.rss_bytes, mapping.rss_bytes);
        add(&mut sum.pss_bytes, mapping.pss_bytes);
        add(&mut sum.anon_bytes, mapping.anon_bytes);
        add(&mut sum.swap_bytes, mapping.swap_bytes);
    }

    /// Mappings, largest first, and open files, most first; `None` where not one process told them.
    #[must_use]
    pub fn finish(mut self) -> (Option<Vec<MappingTotal>>, Option<IndexMap<String, u64>>) {
        let mut mappings: Vec<_> = self.mappings.into_values().collect();
        mappings.sort_by(|a, b| {
            (b.share(), b.mapping.size_bytes, &a.mapping.name).cmp(&(a.share(), a.mapping.size_bytes, &b.mapping.name))
        });
        self.fds.sort_by(|name_a, a, name_b, b| b.cmp(a).then_with(|| name_a.cmp(name_b)));
        (self.had_mappings.then_some(mappings), self.had_fds.then_some(self.fds))
    }
}

fn add(sum: &mut Option<Bytes>, more: Option<Bytes>) {
    if let Some(more) = more {
        *sum = Some(Bytes(sum.map_or(0, |sum| sum.0).saturating_add(more.0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(mappings: &[(&str, u64, Option<u64>)], sockets: u64) -> Snapshot {
        let mapping = |(name, rss, pss): &(&str, u64, Option<u64>)| Mapping {
            name: Untrusted::from(*name),
            count: 1,
            size_bytes: Bytes(rss * 2),
            rss_bytes: Some(Bytes(*rss)),
            pss_bytes: pss.map(Bytes),
            ..Mapping::default()
        };
        Snapshot {
            mappings: Some(mappings.iter().map(mapping).collect()),
            fds: Some([("socket".to_owned(), sockets), ("pipe".to_owned(), 1)].into_iter().collect()),
            ..Snapshot::default()
        }
    }

    /// Two processes that share a library count it twice by what is resident, once by PSS; the order is by the latter.
    #[test]
    fn shared_memory_counts_once() {
        let mut totals = Totals::default();
        totals.add(&snapshot(&[("libc", 100, Some(50)), ("[heap]", 70, Some(70))], 3));
        totals.add(&snapshot(&[("libc", 100, Some(50)), ("[heap]", 50, Some(50))], 4));
        let (mappings, fds) = totals.finish();
        let mappings = mappings.unwrap();
        let (heap, libc) = (&mappings[0], &mappings[1]);
        assert_eq!((heap.mapping.name.as_bytes(), heap.share(), heap.processes), (&b"[heap]"[..], Some(Bytes(120)), 2));
        assert_eq!((libc.mapping.rss_bytes, libc.mapping.pss_bytes), (Some(Bytes(200)), Some(Bytes(100))));
        assert_eq!(fds.unwrap().into_iter().collect::<Vec<_>>(), [("socket".to_owned(), 7), ("pipe".to_owned(), 2)]);
    }

    /// What nobody told is not nothing.
    #[test]
    fn unknown_stays_unknown() {
        let mut totals = Totals::default();
        totals.add(&Snapshot::default());
        assert_eq!(totals.finish(), (None, None));
    }

    /// However many names there are, memory is bounded and the sum is kept.
    #[test]
    fn too_many_names() {
        let mut totals = Totals::default();
        for n in 0..MAX_NAMES + 10 {
            totals.add(&snapshot(&[(&format!("/{n}"), 1, None)], 0));
        }
        let mappings = totals.finish().0.unwrap();
        assert_eq!(mappings.len(), MAX_NAMES + 1);
        assert_eq!(mappings[0].mapping.name.as_bytes(), OTHERS);
        assert_eq!(mappings[0].mapping.rss_bytes, Some(Bytes(10)));
    }
}
