//! One entry of the journal, whichever of its machine formats it came in: JSON, export or verbose text.
//!
//! Field names: systemd.journal-fields(7). journald strips printk's stamp and undoes /dev/kmsg's escapes before it stores
//! a message, so a kernel entry's `MESSAGE` is the kernel's text exactly.

use super::stamp;
use super::syslog::host_name;
use crate::formats::klog::record::Record;
use crate::time::{BootTime, When};

/// The fields that matter here.
#[derive(Debug, Default)]
pub(super) struct Entry {
    message: Option<Vec<u8>>,
    when: When,
    boottime: Option<BootTime>,
    level: Option<u8>,
    boot_id: Option<String>,
    host: Option<String>,
    kernel_transport: Option<bool>,
    kernel_identifier: Option<bool>,
    /// Facility 0. A program that writes to /dev/kmsg gets another one, and `_TRANSPORT=kernel` all the same.
    kernel_facility: Option<bool>,
}

/// What an entry turned out to be.
pub(super) enum Message {
    /// Its text is exact: journald read it from /dev/kmsg, or another program sent it.
    Exact(Record),
    /// Text that came over syslog in the kernel's name, perhaps with a printk stamp before it.
    Tagged(Record),
}

impl Entry {
    /// Takes in one field; those that do not matter are dropped at once.
    pub(super) fn set(&mut self, field: &[u8], value: &[u8]) {
        match field {
            b"MESSAGE" => self.add_message(value),
            b"__REALTIME_TIMESTAMP" => self.when.wall = integer(value).and_then(|us| stamp::epoch(i128::from(us))),
            b"_SOURCE_MONOTONIC_TIMESTAMP" => self.when.boot_us = integer(value).map(BootTime),
            b"_SOURCE_BOOTTIME_TIMESTAMP" => self.boottime = integer(value).map(BootTime),
            b"PRIORITY" => self.level = integer(value).and_then(|n| u8::try_from(n).ok()).filter(|level| *level < 8),
            b"_BOOT_ID" => self.boot_id = boot_id(value),
            b"_HOSTNAME" => self.host = host_name(value),
            b"_TRANSPORT" => self.kernel_transport = Some(value == b"kernel"),
            b"SYSLOG_IDENTIFIER" => self.kernel_identifier = Some(value == b"kernel"),
            b"SYSLOG_FACILITY" => self.kernel_facility = Some(integer(value) == Some(0)),
            _ => {}
        }
    }

    /// A field may occur several times; the kernel's does not.
    fn add_message(&mut self, value: &[u8]) {
        match &mut self.message {
            Some(message) => {
                message.push(b'\n');
                message.extend_from_slice(value);
            }
            None => self.message = Some(value.to_vec()),
        }
    }

    /// The instant that the entry's head line stated.
    pub(super) const fn set_wall(&mut self, when: When) {
        self.when = when;
    }

    /// Continues the message on a further line.
    pub(super) fn continue_message(&mut self, line: &[u8]) {
        self.add_message(line);
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        self.message.as_ref().map_or(0, Vec::len)
    }

    /// The entry's message; `None` if it has none.
    ///
    /// `complete`: all of its fields were there. Where some are missing, the one that tells another program's entry may be
    /// among them, and only what did name the kernel counts.
    pub(super) fn into_message(self, lines: (u64, u64), complete: bool) -> Option<Message> {
        let kernel = self.kernel_transport.unwrap_or(complete)
            && self.kernel_identifier.unwrap_or(true)
            && self.kernel_facility.unwrap_or(true);
        let named = self.kernel_transport.is_some() || self.kernel_identifier.is_some();
        let exact = !kernel || self.kernel_transport == Some(true);
        let mut when = self.when;
        when.boot_us = when.boot_us.or(self.boottime);
        let record = Record {
            text: self.message?,
            lines,
            when,
            level: self.level,
            framed: true,
            prefixed: kernel && named,
            foreign: !kernel,
            host: self.host,
            boot_id: self.boot_id,
            ..Record::default()
        };
        Some(if exact { Message::Exact(record) } else { Message::Tagged(record) })
    }
}

/// A boot id: 32 digits, perhaps with dashes. What is longer is none; every record and every key of a history holds it.
fn boot_id(value: &[u8]) -> Option<String> {
    const LONGEST: usize = 64;
    (value.len() <= LONGEST).then(|| String::from_utf8_lossy(value).into_owned())
}

fn integer(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}
