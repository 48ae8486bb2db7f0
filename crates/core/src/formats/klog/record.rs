//! One printk record, whatever it was wrapped in.

use crate::time::When;

/// One message of the kernel as a transport delivered it: its text without any prefix, and what the prefixes said.
///
/// A record is one `printk`, not one line: `text` holds newlines where the kernel's did (cgroup statistics of kernels
/// 5.3–6.x; a process name with a newline in it).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The kernel's text.
    pub text: Vec<u8>,
    /// First and last line of the input that it stood on, counted from 1.
    pub lines: (u64, u64),
    /// Columns that its last line took in the input, everything before the text included; 0 where lines mean nothing
    /// (JSON). Lines of the same width that break off were cut there by a terminal.
    pub width: usize,
    /// When.
    pub when: When,
    /// printk sequence number (/dev/kmsg, journal `_SOURCE…`, netconsole extended).
    pub seq: Option<u64>,
    /// printk severity 0…7.
    pub level: Option<u8>,
    /// The transport marked it as the continuation of an earlier record (/dev/kmsg flag `c`).
    pub continuation: bool,
    /// The transport states where records begin and end (kmsg, journal, JSON): the text is whole and exact. False where
    /// lines of text had to be guessed together.
    pub framed: bool,
    /// A prefix that says "this is the kernel's" was there (a printk time stamp, a `kernel:` tag).
    pub prefixed: bool,
    /// A prefix said that another program wrote this: the text cannot be an OOM report, only quote one.
    pub foreign: bool,
    /// printk's caller (`T123`: thread 123, `C0`: CPU 0), with CONFIG_PRINTK_CALLER.
    pub caller: Option<String>,
    /// Host name.
    pub host: Option<String>,
    /// Boot id.
    pub boot_id: Option<String>,
}
