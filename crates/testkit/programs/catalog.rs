//! See README.md.

use std::hint::black_box;
use std::time::Duration;

const BLOCK: usize = 4096;
const MIB: usize = 1 << 20;
const ROUNDS_A_SECOND: usize = 100;

type Blocks = Vec<Vec<u8>>;

struct Work {
    bytes: usize,
    keeps: bool,
    pauses: bool,
}

impl Work {
    fn pause_after(&self, done: usize) {
        if self.pauses && done.is_multiple_of(MIB / 4) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn settle(&self, blocks: Blocks, kept: &mut Blocks) {
        if self.keeps {
            kept.extend(blocks);
        }
    }
}

// What each writes differs, or the compiler would make one of the three.

#[inline(never)]
fn parse_json(work: &Work, kept: &mut Blocks) {
    let mut blocks = Blocks::new();
    for done in (0..work.bytes).step_by(BLOCK) {
        blocks.push(black_box(vec![b'{'; BLOCK]));
        work.pause_after(done);
    }
    work.settle(blocks, kept);
}

#[inline(never)]
fn build_index(work: &Work, kept: &mut Blocks) {
    let mut blocks = Blocks::new();
    for done in (0..work.bytes).step_by(BLOCK) {
        blocks.push(black_box(vec![b'#'; BLOCK]));
        work.pause_after(done);
    }
    work.settle(blocks, kept);
}

#[inline(never)]
fn fill_cache(work: &Work, kept: &mut Blocks) {
    let mut blocks = Blocks::new();
    for done in (0..work.bytes).step_by(BLOCK) {
        blocks.push(black_box(vec![b'='; BLOCK]));
        work.pause_after(done);
    }
    work.settle(blocks, kept);
}

type Function = fn(&Work, &mut Blocks);

const FUNCTIONS: [(&str, Function); 3] =
    [("parse_json", parse_json), ("build_index", build_index), ("fill_cache", fill_cache)];

#[inline(never)]
fn load_catalog(name: &str, bytes: usize, leaks: bool, kept: &mut Blocks) -> bool {
    let mut found = false;
    for (called, run) in black_box(FUNCTIONS) {
        let chosen = name == called;
        if chosen || leaks {
            run(&Work { bytes: if chosen { bytes } else { 2 * bytes }, keeps: chosen, pauses: !leaks }, kept);
        }
        found |= chosen;
    }
    found
}

#[inline(never)]
fn serve(mode: &str, name: &str, mib: usize, seconds: usize) -> i32 {
    let mut kept = Blocks::new();
    if mode == "grow" {
        return if load_catalog(name, mib * MIB, false, &mut kept) { 3 } else { 2 };
    }
    for _ in 0..seconds * ROUNDS_A_SECOND {
        if !load_catalog(name, mib * MIB / ROUNDS_A_SECOND, true, &mut kept) {
            return 2;
        }
        std::thread::sleep(Duration::from_secs(1) / ROUNDS_A_SECOND as u32);
    }
    0
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, mode, name, mib, rest @ ..] = args.as_slice() else { std::process::exit(2) };
    println!("ready");
    let mut go = String::new();
    if !matches!(std::io::stdin().read_line(&mut go), Ok(1..)) || go != "go\n" {
        std::process::exit(2);
    }
    let seconds = rest.first().map_or(0, |seconds| seconds.parse().unwrap());
    std::process::exit(serve(mode, name, mib.parse().unwrap(), seconds));
}
