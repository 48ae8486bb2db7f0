//! Any bytes as a cgroup path: whose it is, which level of the hierarchy it is, and how it is called.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oomscope_core::incident::{describe::describe, identity::identify, level::level_of};

fuzz_target!(|path: &[u8]| {
    let _ = identify(path);
    let _ = level_of(path);
    let _ = describe(path);
});
