//! Any lines as the texts of /dev/kmsg records: `prio,seq,usec,flags;text`, some of them continuations.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oomscope_fuzz::{events, judge_and_show, lines};

fuzz_target!(|data: &[u8]| {
    let mut log = Vec::new();
    for (number, text) in lines(data).enumerate() {
        // A line that begins with a blank is a `KEY=value` line of the record before.
        if text.first() != Some(&b' ') {
            let flag = if number % 7 == 6 { 'c' } else { '-' };
            log.extend_from_slice(format!("6,{number},{},{flag};", number * 1000).as_bytes());
        }
        log.extend_from_slice(text);
        log.push(b'\n');
    }
    judge_and_show(events(&log, log.len()));
});
