//! Any lines as messages of the journal: JSON with text, JSON with an array of bytes, export with a binary field.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oomscope_fuzz::{events, judge_and_show, lines};

fuzz_target!(|data: &[u8]| {
    let Some((&form, messages)) = data.split_first() else { return };
    let mut log = Vec::new();
    for (number, message) in lines(messages).enumerate() {
        match form % 3 {
            0 => json(&mut log, number, &serde_json::json!(String::from_utf8_lossy(message))),
            1 => json(&mut log, number, &serde_json::json!(message)),
            _ => export(&mut log, number, message),
        }
    }
    judge_and_show(events(&log, log.len()));
});

fn json(log: &mut Vec<u8>, number: usize, message: &serde_json::Value) {
    let entry = serde_json::json!({
        "_TRANSPORT": "kernel", "_SOURCE_MONOTONIC_TIMESTAMP": (number * 1000).to_string(), "PRIORITY": "6", "MESSAGE": message,
    });
    log.extend_from_slice(entry.to_string().as_bytes());
    log.push(b'\n');
}

fn export(log: &mut Vec<u8>, number: usize, message: &[u8]) {
    log.extend_from_slice(format!("__CURSOR=s=1;i={number}\n_TRANSPORT=kernel\nPRIORITY=6\nMESSAGE\n").as_bytes());
    log.extend_from_slice(&(message.len() as u64).to_le_bytes());
    log.extend_from_slice(message);
    log.extend_from_slice(b"\n\n");
}
