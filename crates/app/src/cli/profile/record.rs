//! Samples, as they come: weighed, their stacks followed and added up.

use indexmap::IndexMap;
use oomscope_core::evidence::Gap;
use oomscope_core::profile::held::{Page, Reservoir};
use oomscope_core::profile::{Builder, Profile, Weigher, Weight};
use oomscope_core::units::Bytes;
use oomscope_sources::ebpf::FaultSample;
use oomscope_sources::process::{PageFlags, Proc};
use oomscope_sources::stacks::{Address, Symboliser};

use super::held::{self, Baseline};
use super::lives::Lives;

/// Different stacks that are kept; further ones are added up as unknown. Some 300 bytes each.
const MOST_STACKS: usize = 1 << 16;
/// Faults that are kept to be asked about at the end, of some 80 bytes each.
const MOST_PAGES: usize = 1 << 17;

/// What has been sampled so far.
pub(super) struct Recorder {
    proc: Proc,
    lives: Lives,
    weigher: Weigher,
    page_bytes: u64,
    flags: Option<PageFlags>,
    stacks: IndexMap<(usize, Box<[Address]>), Weight>,
    /// With `--held`.
    pages: Option<Reservoir>,
    samples: u64,
    /// Samples whose stack was one too many.
    too_many_stacks: u64,
}

impl Recorder {
    /// `processes`: those that run already.
    pub(super) fn new(proc: Proc, period: u64, held: bool, processes: &[u32]) -> Self {
        let page_bytes = rustix::param::page_size() as u64;
        let mut weigher = Weigher::new(period, page_bytes);
        for &pid in processes {
            let Ok(process) = proc.read_without_arguments(pid) else { continue };
            let parts = [process.anon_bytes, process.file_bytes, process.shmem_bytes];
            let resident = parts.into_iter().flatten().fold(0_u64, |sum, part| sum.saturating_add(part.0));
            weigher.begin(pid, resident / page_bytes);
        }
        Self {
            lives: Lives::new(proc.clone()),
            weigher,
            page_bytes,
            flags: proc.page_flags(),
            proc,
            stacks: IndexMap::new(),
            pages: held.then(|| Reservoir::new(MOST_PAGES)),
            samples: 0,
            too_many_stacks: 0,
        }
    }

    /// Takes one.
    pub(super) fn take(&mut self, sample: &FaultSample) {
        self.samples += 1;
        let found = self.lives.find(sample);
        if found.is_another {
            self.weigher.begin(sample.pid, sample.rss_pages);
        }
        let bytes = self.weigh(sample);
        let stack = self.stack_number(found.life, found.stack);
        if let Some((_, weight)) = self.stacks.get_index_mut(stack) {
            weight.samples += 1;
            weight.bytes = Bytes(weight.bytes.0.saturating_add(bytes.0));
        }
        if let Some(pages) = &mut self.pages {
            let address = sample.address / self.page_bytes * self.page_bytes;
            pages.offer(Page { process: found.life, address }, stack, bytes.0);
        }
    }

    fn weigh(&mut self, sample: &FaultSample) -> Bytes {
        let (proc, flags) = (&self.proc, self.flags.as_ref());
        let is_large = || proc.page_map(sample.pid).ok()?.is_large(sample.address, flags?);
        self.weigher.weigh(sample.pid, Some(sample.rss_pages), is_large)
    }

    fn stack_number(&mut self, life: usize, stack: Vec<Address>) -> usize {
        let mut key = (life, stack.into_boxed_slice());
        if self.stacks.len() >= MOST_STACKS && !self.stacks.contains_key(&key) {
            self.too_many_stacks += 1;
            key.1 = Box::default();
        }
        let entry = self.stacks.entry(key);
        let number = entry.index();
        entry.or_default();
        number
    }

    /// Asks what is held, names the functions, and writes all of it into `profile`.
    pub(super) fn finish(mut self, baseline: Option<&Baseline>, profile: &mut Profile) {
        let held =
            self.pages.take().map(|pages| held::ask(&self.proc, &self.lives, &pages, baseline, &mut profile.gaps));
        self.gaps(&mut profile.gaps);
        profile.sampling.samples = self.samples;
        profile.sampling.unattributed_bytes = self.weigher.unattributed();
        let mut symboliser = Symboliser::default();
        let mut builder = Builder::default();
        for (number, ((life, stack), weight)) in self.stacks.iter().enumerate() {
            let Some(of) = self.lives.get(*life) else { continue };
            let frames = self.lives.frames(*life, stack, &mut symboliser);
            let held_bytes = held.as_ref().map(|held| Bytes((weight.bytes.0 as f64 * held.part(number)) as u64));
            builder.add(&of.process, &frames, Weight { held_bytes, ..*weight });
        }
        builder.finish(profile);
        // Nothing was sampled, so nothing is held: that was asked too.
        if held.is_some() {
            profile.held_bytes.get_or_insert(Bytes(0));
        }
    }

    fn gaps(&self, gaps: &mut Vec<Gap>) {
        let mut lack = |count: u64, why: &str| {
            if count > 0 {
                let samples = crate::cli::counted(count, "sample");
                gaps.push(Gap::new(format!("stacks of {samples}"), why));
            }
        };
        lack(self.lives.without_space, "their process had ended before it could be looked into, or may not be");
        lack(self.too_many_stacks, "there were too many different ones");
        // Some are ordinary: stacks deeper than the copy, threads that were just begun.
        let half = self.samples / 2;
        lack(
            if self.lives.truncated > half { self.lives.truncated } else { 0 },
            "beyond a certain depth: there is more of them than was copied, or a file has no unwind tables",
        );
    }
}
