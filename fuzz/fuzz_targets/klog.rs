//! Any bytes as a log, in any transport, cut anywhere: the same events, and reports that hold what reports promise.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oomscope_fuzz::{events, judge_and_show};

fuzz_target!(|data: &[u8]| {
    let Some((&chunk, log)) = data.split_first() else { return };
    let whole = events(log, log.len());
    assert_eq!(whole, events(log, usize::from(chunk)), "how the bytes arrive changes what is read");
    judge_and_show(whole);
});
