//! The newest samples of one cgroup, in a fixed number of bytes.

use std::collections::VecDeque;

use super::Sample;
use super::block::{Block, State};

/// Bytes of a block: some dozen rows of a busy cgroup, some hundred of a quiet one. What is given up is given up by the block.
const BLOCK: usize = 1024;

/// Blocks in order of time; the last one is being written.
#[derive(Debug, Default)]
pub(super) struct Ring {
    blocks: VecDeque<Block>,
    state: State,
    /// Bytes of all blocks: of each it is settled when it is made.
    memory: usize,
}

impl Ring {
    /// Adds a sample, and gives up the oldest blocks where there would be more than `budget` bytes.
    pub(super) fn push(&mut self, sample: &Sample, budget: usize) {
        if self.blocks.back().is_none_or(|block| !block.has_room()) {
            // Before a new one is taken, so that the budget is never exceeded.
            while !self.blocks.is_empty() && self.memory() + BLOCK + size_of::<Block>() > budget {
                self.drop_oldest();
            }
            let block = Block::with_capacity(BLOCK);
            self.memory += block.memory();
            self.blocks.push_back(block);
            self.state = State::default();
        }
        if let Some(block) = self.blocks.back_mut() {
            block.push(sample, &mut self.state);
        }
    }

    /// Bytes in memory, apart from this struct itself.
    pub(super) const fn memory(&self) -> usize {
        self.memory
    }

    /// The lowest charge since `ms`, with what else is in the block that reaches back beyond that.
    pub(super) fn lowest(&self, ms: u64) -> Option<u64> {
        self.blocks.iter().filter(|block| block.last_ms() >= ms).filter_map(Block::lowest).min()
    }

    /// Bytes and values written.
    pub(super) fn written(&self) -> (usize, u64) {
        self.blocks.iter().fold((0, 0), |(bytes, values), b| (bytes + b.len(), values + u64::from(b.values())))
    }

    /// Milliseconds since boot of the oldest row.
    pub(super) fn oldest_ms(&self) -> Option<u64> {
        self.blocks.front().map(Block::first_ms)
    }

    /// Gives up the oldest block.
    pub(super) fn drop_oldest(&mut self) {
        if let Some(block) = self.blocks.pop_front() {
            self.memory -= block.memory();
        }
    }

    /// Gives up the blocks that end before `ms`.
    pub(super) fn drop_before(&mut self, ms: u64) {
        while self.blocks.front().is_some_and(|block| block.last_ms() < ms) {
            self.drop_oldest();
        }
    }

    /// The samples of the blocks that reach into the time from `from_ms` to `to_ms`.
    pub(super) fn samples(&self, from_ms: u64, to_ms: u64) -> impl Iterator<Item = Sample> + '_ {
        let reaches = move |block: &&Block| block.last_ms() >= from_ms && block.first_ms() <= to_ms;
        self.blocks.iter().filter(reaches).flat_map(Block::samples)
    }
}
