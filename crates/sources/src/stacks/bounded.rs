//! A cache that knows how large it may become.

use std::collections::HashMap;
use std::hash::Hash;

/// Keeps what was used last, as long as number and weight stay within limits.
#[derive(Debug)]
pub(super) struct Bounded<K, V> {
    entries: HashMap<K, Entry<V>>,
    max_entries: usize,
    max_weight: usize,
    weight: usize,
    clock: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    weight: usize,
    used: u64,
}

impl<K: Copy + Eq + Hash, V> Bounded<K, V> {
    pub(super) fn new(max_entries: usize, max_weight: usize) -> Self {
        Self { entries: HashMap::new(), max_entries, max_weight, weight: 0, clock: 0 }
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn get(&mut self, key: &K) -> Option<&mut V> {
        self.clock += 1;
        let entry = self.entries.get_mut(key)?;
        entry.used = self.clock;
        Some(&mut entry.value)
    }

    /// `weight` in bytes. Gives back those that had to go.
    pub(super) fn insert(&mut self, key: K, value: V, weight: usize) -> Vec<V> {
        let mut gone: Vec<V> = self.remove(&key).into_iter().collect();
        self.make_room(weight, &mut gone);
        self.clock += 1;
        self.weight += weight;
        self.entries.insert(key, Entry { value, weight, used: self.clock });
        gone
    }

    /// Bytes.
    pub(super) const fn weight(&self) -> usize {
        self.weight
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.remove(key)?;
        self.weight -= entry.weight;
        Some(entry.value)
    }

    /// One that alone is too heavy is let in when all others are gone: what makes values bounds each.
    fn make_room(&mut self, weight: usize, gone: &mut Vec<V>) {
        while !self.entries.is_empty()
            && (self.entries.len() >= self.max_entries || self.weight.saturating_add(weight) > self.max_weight)
        {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| *key);
            gone.extend(oldest.and_then(|key| self.remove(&key)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one that was not used for longest goes first, for want of places and of bytes alike.
    #[test]
    fn least_recently_used_goes() {
        let mut cache = Bounded::new(3, 100);
        for key in [1, 2, 3] {
            cache.insert(key, (), 10);
        }
        cache.get(&1);
        cache.insert(4, (), 10);
        assert_eq!((cache.len(), cache.weight()), (3, 30));
        assert!(!cache.contains(&2));
        cache.insert(5, (), 85);
        assert_eq!((cache.len(), cache.weight()), (2, 95));
        assert!(cache.contains(&4));
    }
}
