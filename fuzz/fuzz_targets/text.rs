//! Any lines behind the prefixes of dmesg, `dmesg -T`, syslog (RFC 3164, 5424), a serial console.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oomscope_fuzz::{events, judge_and_show, lines};

fuzz_target!(|data: &[u8]| {
    let Some((&form, messages)) = data.split_first() else { return };
    let mut log = Vec::new();
    for (number, message) in lines(messages).enumerate() {
        let (seconds, micros) = (number / 60 % 60, number);
        let prefix = match form % 6 {
            0 => format!("[{seconds:5}.{micros:06}] "),
            1 => format!("[Mon Mar  4 03:{seconds:02}:00 2024] "),
            2 => format!("Mar  4 03:{seconds:02}:00 node-1 kernel: [{seconds:5}.{micros:06}] "),
            3 => format!("<6>1 2024-03-04T03:{seconds:02}:00Z node-1 kernel - - - "),
            4 => format!("<6>[{seconds:5}.{micros:06}] "),
            _ => format!("kern  :info  : [{seconds:5}.{micros:06}] "),
        };
        log.extend_from_slice(prefix.as_bytes());
        log.extend_from_slice(message);
        log.extend_from_slice(if form < 128 { b"\n" } else { b"\r\n" });
    }
    judge_and_show(events(&log, log.len()));
});
