//! The program that is killed in the demonstration: a shop that reads a catalogue too large for its container.
//!
//! Its functions have names of their own, and are not inlined, because the case names the one that asked for the page.

use std::io::{BufRead as _, Read as _};
use std::time::Duration;

use anyhow::{Context as _, bail};
use oomscope_core::units::Bytes;

use super::Outcome;

/// What it waits for: it must be in its cgroup before it grows.
pub(super) const GO: &str = "go\n";

/// Pages are touched in steps of this, with a pause between, so that the growth can be watched.
const STEP: usize = 1 << 20;
const SLOWLY: Duration = Duration::from_millis(40);
const QUICKLY: Duration = Duration::from_millis(5);

/// What it ordinarily holds, what it rises to without being killed, and how long each lasts.
const BASE: usize = 18 << 20;
const SPIKE: usize = 44 << 20;
const REST: Duration = Duration::from_millis(2500);
const MOMENT: Duration = Duration::from_millis(60);

/// What runs in the scratch cgroup: waits for [`GO`] on standard input, then grows until it is killed. Without that word
/// nobody has put it into a cgroup, and it does not grow.
pub(crate) fn hog(bytes: u64) -> anyhow::Result<Outcome> {
    let mut go = String::new();
    std::io::stdin().lock().take(GO.len() as u64).read_line(&mut go).context("waiting for the word to begin")?;
    if go != GO {
        bail!("this is what `oomscope demo` runs in its scratch cgroup; it does not run by itself");
    }
    let bytes = usize::try_from(bytes).context("more than this machine can address")?;
    run_shop(bytes);
    bail!("{} allocated and not killed: the limit is not in force", Bytes(bytes as u64))
}

#[inline(never)]
fn run_shop(bytes: usize) {
    let mut memory = Memory::default();
    serve_customers(&mut memory);
    std::thread::sleep(REST);
    answer_search(&mut memory);
    std::thread::sleep(REST);
    load_catalogue(&mut memory, bytes);
}

#[inline(never)]
fn serve_customers(memory: &mut Memory) {
    memory.grow_to(BASE, SLOWLY);
    stay(memory);
}

/// The spike that no dashboard sees: almost the limit, for a moment.
#[inline(never)]
fn answer_search(memory: &mut Memory) {
    memory.grow_to(SPIKE, QUICKLY);
    std::thread::sleep(MOMENT);
    memory.shrink_to(BASE);
}

#[inline(never)]
fn load_catalogue(memory: &mut Memory, bytes: usize) {
    memory.grow_to(bytes, QUICKLY);
    stay(memory);
}

/// Something left to do, so that the call before it is no jump: whoever jumps is not on the stack any more.
fn stay(memory: &Memory) {
    std::hint::black_box(memory);
}

/// Memory in use.
#[derive(Debug, Default)]
struct Memory(Vec<Vec<u8>>);

impl Memory {
    #[inline(never)]
    fn grow_to(&mut self, bytes: usize, pause: Duration) {
        while self.0.len() * STEP < bytes {
            // Not zero: zeroed memory would not be touched.
            self.0.push(std::hint::black_box(vec![0xA5; STEP]));
            std::thread::sleep(pause);
        }
    }

    /// Blocks of this size go back to the kernel at once.
    fn shrink_to(&mut self, bytes: usize) {
        self.0.truncate(bytes / STEP);
    }
}
