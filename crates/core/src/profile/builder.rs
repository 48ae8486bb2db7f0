//! From weighed stacks to a [`Profile`](super::Profile)'s tables: equal frames and equal stacks stand once, in an order that does not
//! depend on the order in which they came.

use std::cmp::Reverse;

use indexmap::{IndexMap, IndexSet};

use super::{Process, Profile, Stack};
use crate::evidence::Frame;
use crate::units::Bytes;

/// Deeper stacks lose their outer frames. eBPF keeps 127; interpreters' own frames come on top.
const DEEPEST: usize = 1024;

/// What stands behind a stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Samples.
    pub samples: u64,
    /// Made resident.
    pub bytes: Bytes,
    /// Of it still resident; `None` where that was not asked.
    pub held_bytes: Option<Bytes>,
}

impl Weight {
    fn add(&mut self, other: Self) {
        let sum = |a: Bytes, b: Bytes| Bytes(a.0.saturating_add(b.0));
        self.samples = self.samples.saturating_add(other.samples);
        self.bytes = sum(self.bytes, other.bytes);
        self.held_bytes = match (self.held_bytes, other.held_bytes) {
            (Some(a), Some(b)) => Some(sum(a, b)),
            (a, b) => a.or(b),
        };
    }
}

/// Takes stacks, adds equal ones up.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    processes: IndexSet<Process>,
    frames: IndexSet<Frame>,
    stacks: IndexMap<(usize, Box<[usize]>), Weight>,
}

impl Builder {
    /// A stack, innermost frame first.
    pub fn add(&mut self, process: &Process, frames: &[Frame], weight: Weight) {
        let process = intern(&mut self.processes, process);
        let frames = frames.iter().take(DEEPEST).map(|frame| intern(&mut self.frames, frame)).collect();
        self.stacks.entry((process, frames)).or_default().add(weight);
    }

    /// Puts the tables and their sums into `profile`.
    pub fn finish(self, profile: &mut Profile) {
        let mut total = Weight::default();
        let mut stacks: Vec<_> = self.stacks.into_iter().collect();
        for (_, weight) in &stacks {
            total.add(*weight);
        }
        let frames_of = |frames: &[usize]| -> Vec<_> {
            frames.iter().filter_map(|&at| self.frames.get_index(at)).map(sort_key).collect()
        };
        let pid_of = |process: usize| self.processes.get_index(process).map(|process| process.pid);
        stacks.sort_by_cached_key(|((process, frames), weight)| {
            (Reverse((weight.held_bytes, weight.bytes)), pid_of(*process), frames_of(frames))
        });
        let mut frames = Renumbered::new(&self.frames);
        let mut processes = Renumbered::new(&self.processes);
        profile.stacks = stacks
            .into_iter()
            .map(|((process, stack), weight)| Stack {
                process: processes.number(process),
                frames: stack.iter().map(|&at| frames.number(at)).collect(),
                samples: weight.samples,
                bytes: weight.bytes,
                held_bytes: weight.held_bytes,
            })
            .collect();
        profile.processes = processes.taken;
        profile.frames = frames.taken;
        profile.bytes = total.bytes;
        profile.held_bytes = total.held_bytes;
    }
}

fn intern<T: Clone + Eq + std::hash::Hash>(set: &mut IndexSet<T>, item: &T) -> usize {
    set.get_index_of(item).unwrap_or_else(|| set.insert_full(item.clone()).0)
}

/// What tells frames apart, without the addresses that are others in every run.
fn sort_key(frame: &Frame) -> (Option<String>, Option<Vec<u8>>, Option<u64>, Option<u32>) {
    (frame.function.clone(), frame.module.as_ref().map(|module| module.as_bytes().to_vec()), frame.offset, frame.line)
}

/// The items of a set, numbered in the order in which they are first asked for.
struct Renumbered<'a, T> {
    from: &'a IndexSet<T>,
    numbers: Vec<Option<usize>>,
    taken: Vec<T>,
}

impl<'a, T: Clone> Renumbered<'a, T> {
    fn new(from: &'a IndexSet<T>) -> Self {
        Self { from, numbers: vec![None; from.len()], taken: Vec::new() }
    }

    fn number(&mut self, at: usize) -> usize {
        let next = self.taken.len();
        match (self.numbers.get_mut(at), self.from.get_index(at)) {
            (Some(Some(number)), _) => *number,
            (Some(number), Some(item)) => {
                self.taken.push(item.clone());
                *number = Some(next);
                next
            }
            _ => next,
        }
    }
}
