//! What of the memory that was made resident still is.
//!
//! The page of each sampled fault is kept, and at the end the kernel is asked whether it is still there (resident or swapped out).
//! Pages that `free` gave back to the kernel, and those of a process that has ended, are not. A page that faults again was given back in
//! between: its earlier fault counts as freed.
//!
//! Most faults are not sampled, so a page may be there again by somebody else's fault: an allocator gives the end of its heap back and
//! takes it again all the time. Code that fills memory fills it in a row, so a sample speaks for its neighbourhood, as many bytes to
//! either side as it stands for, and a later sample takes that over from the earlier ones as far as the two overlap, as one coat of
//! paint covers another. What is covered was given back. Where the same addresses come and go faster than they are sampled this tells
//! nothing, and whoever faulted more is blamed for more.
//!
//! At last each mapping's growth, which the kernel knows exactly, is shared out among those whose pages are still there: the memory that
//! a garbage collector moves to and fro faults in all the time, and its heap stays as it is.

use std::collections::{BTreeMap, HashMap};

use crate::formats::proc::Resident;

/// A page of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Page {
    /// Whose: any number that tells processes apart.
    pub process: usize,
    /// Its address, aligned to a page.
    pub address: u64,
}

/// A fault that is asked about at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its page.
    pub page: Page,
    /// Whose stack: any number.
    pub stack: usize,
    /// What it stands for, bytes.
    pub bytes: u64,
    /// Its place in time: later ones have larger numbers.
    pub order: u64,
    /// It was given back in between, since its page faulted again.
    pub freed: bool,
}

/// Faults to ask about: all of them, or where there are more than there is room for, as many drawn with equal chance (Vitter's
/// algorithm R).
#[derive(Clone, Debug)]
pub struct Reservoir {
    room: usize,
    kept: Vec<Kept>,
    /// Where the faults stand that were not freed.
    at: HashMap<Page, usize>,
    offered: u64,
    offered_bytes: u64,
    random: u64,
}

impl Reservoir {
    /// For so many faults, of some 80 bytes each.
    #[must_use]
    pub fn new(room: usize) -> Self {
        Self { room: room.max(1), kept: Vec::new(), at: HashMap::new(), offered: 0, offered_bytes: 0, random: 0 }
    }

    /// A sampled fault.
    pub fn offer(&mut self, page: Page, stack: usize, bytes: u64) {
        self.offered += 1;
        self.offered_bytes = self.offered_bytes.saturating_add(bytes);
        if let Some(earlier) = self.at.remove(&page).and_then(|at| self.kept.get_mut(at)) {
            earlier.freed = true;
        }
        let kept = Kept { page, stack, bytes, order: self.offered, freed: false };
        if self.kept.len() < self.room {
            self.at.insert(page, self.kept.len());
            self.kept.push(kept);
            return;
        }
        let drawn = usize::try_from(self.draw() % self.offered).unwrap_or(usize::MAX);
        if let Some(place) = self.kept.get_mut(drawn) {
            let evicted = std::mem::replace(place, kept);
            if !evicted.freed {
                self.at.remove(&evicted.page);
            }
            self.at.insert(page, drawn);
        }
    }

    /// The faults, in the order of their pages, so that asking about neighbours can be done at once.
    #[must_use]
    pub fn faults(&self) -> Vec<Kept> {
        let mut faults = self.kept.clone();
        faults.sort_by_key(|kept| kept.page);
        faults
    }

    /// Bytes that were offered for every byte that is kept.
    #[must_use]
    pub fn scale(&self) -> f64 {
        let kept: u64 = self.kept.iter().fold(0, |sum, kept| sum.saturating_add(kept.bytes));
        if kept == 0 { 1.0 } else { self.offered_bytes as f64 / kept as f64 }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): even, and the same in every run.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// By how much each mapping of `after` grew. Both in the order of their addresses, as the kernel lists them. Mappings grow at either
/// end, merge and are split; what was resident before in the same addresses counts, by the part of it that overlaps.
#[must_use]
pub fn growth(before: &[Resident], after: &[Resident]) -> Vec<Resident> {
    let mut before = before.iter().peekable();
    let mut grown = Vec::with_capacity(after.len());
    for now in after {
        let mut had = 0_u64;
        while let Some(old) = before.peek().filter(|old| old.start < now.end) {
            had = had.saturating_add(overlapping(old, now));
            if old.end > now.end {
                break;
            }
            before.next();
        }
        grown.push(Resident { bytes: now.bytes.saturating_sub(had), ..*now });
    }
    grown
}

fn overlapping(old: &Resident, now: &Resident) -> u64 {
    let common = old.end.min(now.end).saturating_sub(old.start.max(now.start));
    let length = old.end.saturating_sub(old.start).max(1);
    let part = u128::from(old.bytes) * u128::from(common) / u128::from(length);
    u64::try_from(part).unwrap_or(u64::MAX)
}

/// For every stack: which part of what it made resident is held.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Held and asked about.
    by_stack: HashMap<usize, (f64, f64)>,
    all: (f64, f64),
}

impl Held {
    /// `is_there`: of each of `faults`, whether its page is still there. `grown`: by how much the mappings of a process grew; a process
    /// that is not in it is taken at its pages' word. `scale`: of [`Reservoir::scale`].
    #[must_use]
    pub fn new(faults: &[Kept], is_there: &[bool], grown: &HashMap<usize, Vec<Resident>>, scale: f64) -> Self {
        let mappings = Mappings(grown);
        let mut parts = uncovered(faults, &mappings, scale);
        for (at, (part, kept)) in parts.iter_mut().zip(faults).enumerate() {
            if kept.freed || !is_there.get(at).copied().unwrap_or(false) {
                *part = 0.0;
            }
        }
        // What the samples say is there, for each mapping.
        let mut claimed: HashMap<(usize, u64), f64> = HashMap::new();
        for (kept, part) in faults.iter().zip(&parts) {
            if let Some(mapping) = mappings.of(&kept.page) {
                *claimed.entry((kept.page.process, mapping.start)).or_default() += kept.bytes as f64 * scale * part;
            }
        }
        let mut held = Self::default();
        for (kept, part) in faults.iter().zip(&parts) {
            let mapping = mappings.of(&kept.page);
            let share = mapping.map_or(1.0, |mapping| {
                let claimed = claimed.get(&(kept.page.process, mapping.start)).copied().unwrap_or_default();
                if claimed > 0.0 { mapping.bytes as f64 / claimed } else { 0.0 }
            });
            held.add(kept, part * share);
        }
        held
    }

    fn add(&mut self, kept: &Kept, part: f64) {
        let bytes = kept.bytes as f64;
        for sums in [self.by_stack.entry(kept.stack).or_default(), &mut self.all] {
            sums.0 += bytes * part;
            sums.1 += bytes;
        }
    }

    /// The part of a stack's bytes, 0 to 1. A stack none of whose faults was kept has the part of all.
    #[must_use]
    pub fn part(&self, stack: usize) -> f64 {
        let (held, asked) = self.by_stack.get(&stack).copied().unwrap_or(self.all);
        if asked > 0.0 { (held / asked).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// By process, and by how much each grew.
struct Mappings<'a>(&'a HashMap<usize, Vec<Resident>>);

impl Mappings<'_> {
    fn of(&self, page: &Page) -> Option<Resident> {
        let mappings = self.0.get(&page.process)?;
        let after = mappings.partition_point(|mapping| mapping.start <= page.address);
        mappings.get(after.checked_sub(1)?).filter(|mapping| page.address < mapping.end).copied()
    }
}

/// Of the neighbourhood for which each fault speaks, the part that no later fault covers.
fn uncovered(faults: &[Kept], mappings: &Mappings<'_>, scale: f64) -> Vec<f64> {
    let mut latest_first: Vec<(usize, &Kept)> = faults.iter().enumerate().collect();
    latest_first.sort_by_key(|(_, kept)| std::cmp::Reverse(kept.order));
    let mut covered: HashMap<usize, Ranges> = HashMap::new();
    let mut parts = vec![0.0; faults.len()];
    for (at, kept) in latest_first {
        let reach = (kept.bytes as f64 * scale).max(1.0) as u64;
        let within = mappings.of(&kept.page).map_or((0, u64::MAX), |mapping| (mapping.start, mapping.end));
        let start = kept.page.address.saturating_sub(reach).max(within.0);
        let end = kept.page.address.saturating_add(reach).min(within.1);
        let fresh = covered.entry(kept.page.process).or_default().cover(start, end);
        if let Some(part) = parts.get_mut(at) {
            *part = (fresh as f64 / reach.min(end - start).max(1) as f64).min(1.0);
        }
    }
    parts
}

/// Ranges of addresses that do not touch: start and end.
#[derive(Default)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds one. Answers how much of it was not there yet.
    fn cover(&mut self, start: u64, end: u64) -> u64 {
        let (mut from, mut to) = (start, end);
        let mut fresh = end.saturating_sub(start);
        // Those that begin before its end, from the last: the first that ends before its start is the end of them.
        while let Some((&old_start, &old_end)) = self.0.range(..=end).next_back().filter(|(_, old)| **old >= start) {
            fresh = fresh.saturating_sub(old_end.min(end).saturating_sub(old_start.max(start)));
            (from, to) = (from.min(old_start), to.max(old_end));
            self.0.remove(&old_start);
        }
        self.0.insert(from, to);
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(address: u64) -> Page {
        Page { process: 0, address }
    }

    fn parts(reservoir: &Reservoir, is_there: impl Fn(&Kept) -> bool, grown: &[Resident]) -> [f64; 2] {
        let faults = reservoir.faults();
        let is_there: Vec<bool> = faults.iter().map(is_there).collect();
        let grown = if grown.is_empty() { HashMap::new() } else { HashMap::from([(0, grown.to_vec())]) };
        let held = Held::new(&faults, &is_there, &grown, reservoir.scale());
        [0, 1].map(|stack| (held.part(stack) * 1000.0).round() / 1000.0)
    }

    /// What is gone, and what was faulted in again by another, is not held.
    #[test]
    fn freed() {
        let mut reservoir = Reservoir::new(100);
        for n in 0..10 {
            reservoir.offer(page(1000 + n * 10), 0, 10);
        }
        for n in 5..10 {
            reservoir.offer(page(1000 + n * 10), 1, 10);
        }
        assert_eq!(parts(&reservoir, |_| true, &[]), [0.5, 1.0]);
        assert_eq!(parts(&reservoir, |kept| kept.page.address != 1000, &[]), [0.4, 1.0]);
    }

    /// Two functions fill the same stretch again and again and give it back, a third then keeps half of it: it is blamed, although its
    /// very pages were sampled with the others' faults as well.
    #[test]
    fn an_allocator_that_gives_back_and_takes_again() {
        const PERIOD: u64 = 7;
        let mut reservoir = Reservoir::new(100_000);
        let (mut base, mut faults) = (0, 0);
        for _ in 0..200 {
            for (stack, pages) in [(0, 300), (1, 300), (2, 150)] {
                for n in 0..pages {
                    faults += 1;
                    if faults % PERIOD == 0 {
                        reservoir.offer(page(base + n), stack, PERIOD);
                    }
                }
            }
            base += 150;
        }
        let faults = reservoir.faults();
        let is_there: Vec<bool> = faults.iter().map(|kept| kept.page.address < base).collect();
        let grown = HashMap::from([(0, vec![Resident { start: 0, end: base, bytes: base }])]);
        let held = Held::new(&faults, &is_there, &grown, reservoir.scale());
        let bytes = [0, 1, 2].map(|stack| {
            let of = faults.iter().filter(|kept| kept.stack == stack);
            of.map(|kept| kept.bytes).sum::<u64>() as f64 * held.part(stack) / base as f64
        });
        assert!(bytes[2] > 0.85 && bytes[0] < 0.1 && bytes[1] < 0.1, "{bytes:?}");
    }

    /// A mapping's growth is shared out, and none is blamed for one that did not grow.
    #[test]
    fn no_more_than_the_growth() {
        let mut reservoir = Reservoir::new(100);
        for n in 0..10 {
            reservoir.offer(page(n * 10), 0, 10);
            reservoir.offer(page(1000 + n * 10), 1, 10);
        }
        let grown = [Resident { start: 0, end: 500, bytes: 20 }, Resident { start: 1000, end: 1500, bytes: 1000 }];
        assert_eq!(parts(&reservoir, |_| true, &grown), [0.2, 1.0]);
        let grown = [Resident { start: 0, end: 2000, bytes: 0 }];
        assert_eq!(parts(&reservoir, |_| true, &grown), [0.0, 0.0]);
    }

    /// Of more faults than there is room for, the drawn ones tell the same parts.
    #[test]
    fn more_than_there_is_room_for() {
        let mut reservoir = Reservoir::new(1000);
        for n in 0..100_000 {
            reservoir.offer(page(n * 10), usize::from(n % 4 == 0), 10);
        }
        assert_eq!((reservoir.kept.len(), reservoir.at.len()), (1000, 1000));
        assert!((reservoir.scale() - 100.0).abs() < 1e-9);
        // Three quarters of half of it, and a quarter of all.
        let grown = [Resident { start: 0, end: 1_000_000, bytes: 625_000 }];
        let [half, all] = parts(&reservoir, |kept| kept.stack == 1 || kept.page.address < 500_000, &grown);
        assert!((half - 0.5).abs() < 0.08 && (all - 1.0).abs() < 0.12, "{half} {all}");
    }

    /// Of each range what was not covered before is fresh, whatever it touches, spans or lies in.
    #[test]
    fn ranges() {
        let mut ranges = Ranges::default();
        let fresh =
            [(10, 20), (30, 40), (12, 18), (15, 35), (0, 5), (0, 50), (60, 60)].map(|(a, b)| ranges.cover(a, b));
        assert_eq!(fresh, [10, 10, 0, 10, 5, 15, 0]);
    }

    /// A heap that grew at its end, one that grew downwards into its neighbour, and one that is new.
    #[test]
    fn growth_of_mappings() {
        let resident = |start, end, bytes| Resident { start, end, bytes };
        let before = [resident(0, 10, 10), resident(40, 50, 8), resident(50, 60, 8), resident(90, 100, 5)];
        let after = [resident(0, 30, 25), resident(35, 60, 20), resident(70, 80, 10), resident(95, 100, 5)];
        let grown: Vec<u64> = growth(&before, &after).iter().map(|mapping| mapping.bytes).collect();
        assert_eq!(grown, [15, 4, 10, 3]);
        // One mapping that was split keeps both its parts.
        let grown = growth(&[resident(0, 100, 100)], &[resident(0, 40, 40), resident(60, 100, 45)]);
        assert_eq!(grown.iter().map(|mapping| mapping.bytes).collect::<Vec<_>>(), [0, 5]);
    }
}
