//! /proc/PID/status.

use super::fields::{fields, first_number, kib, last_number, number};
use crate::units::Bytes;

/// The fields that matter for memory. A kernel thread, and a process that has given up its memory, has no sizes.
///
/// Its name is not taken from here, where the kernel escapes newlines and backslashes (fs/proc/array.c, `proc_task_name()`), but from
/// /proc/PID/comm, which has the exact bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Thread group: the process.
    pub tgid: Option<u32>,
    /// Its pid as it sees itself: in the innermost of its pid namespaces (≥ 4.1).
    pub namespace_pid: Option<u32>,
    /// Parent.
    pub ppid: Option<u32>,
    /// Real user id.
    pub uid: Option<u32>,
    /// Threads.
    pub threads: Option<u32>,
    /// A kernel thread (≥ 6.8).
    pub kernel_thread: Option<bool>,
    /// Resident memory of every kind (`VmRSS`).
    pub rss: Option<Bytes>,
    /// Resident anonymous memory (≥ 4.5).
    pub rss_anon: Option<Bytes>,
    /// Resident file pages (≥ 4.5).
    pub rss_file: Option<Bytes>,
    /// Resident shared memory (≥ 4.5).
    pub rss_shmem: Option<Bytes>,
    /// Swapped out.
    pub swap: Option<Bytes>,
    /// Page tables of every level (since 4.15; before, the lowest alone).
    pub page_tables: Option<Bytes>,
}

impl Status {
    /// Reads the file. A field that occurs twice counts once, the first: the name comes before all others, and cannot hold a newline.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut status = Self::default();
        for (name, value) in fields(bytes) {
            match name {
                b"Tgid" => status.tgid = number(value),
                b"NStgid" => status.namespace_pid = last_number(value),
                b"PPid" => status.ppid = number(value),
                b"Uid" => status.uid = first_number(value),
                b"Threads" => status.threads = number(value),
                b"Kthread" => status.kernel_thread = number::<u8>(value).map(|flag| flag != 0),
                b"VmRSS" => status.rss = kib(value),
                b"RssAnon" => status.rss_anon = kib(value),
                b"RssFile" => status.rss_file = kib(value),
                b"RssShmem" => status.rss_shmem = kib(value),
                b"VmSwap" => status.swap = kib(value),
                b"VmPTE" => status.page_tables = kib(value),
                _ => {}
            }
        }
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: &[u8] = b"Name:\tev\\nTgid:\\t7\\nil\nUmask:\t0022\nTgid:\t15782\nPPid:\t15771\nNStgid:\t15782\t7\t1\nUid:\t1000\t0\t0\t0\nKthread:\t0\n\
        VmRSS:\t    1616 kB\nRssAnon:\t     112 kB\nRssFile:\t    1504 kB\nRssShmem:\t       0 kB\nVmPTE:\t      44 kB\n\
        VmSwap:\t       8 kB\nThreads:\t3\n";

    /// Every field is found, and a name that looks like a field changes none.
    #[test]
    fn fields_of_a_process() {
        let status = Status::parse(SHELL);
        assert_eq!(
            (status.tgid, status.ppid, status.uid, status.threads),
            (Some(15782), Some(15771), Some(1000), Some(3))
        );
        assert_eq!(status.namespace_pid, Some(1));
        assert_eq!((status.rss_anon, status.rss_shmem), (Some(Bytes::from_kib(112)), Some(Bytes(0))));
        assert_eq!((status.swap, status.page_tables), (Some(Bytes::from_kib(8)), Some(Bytes::from_kib(44))));
        assert_eq!(status.kernel_thread, Some(false));
    }

    /// A kernel thread has no memory of its own: that is not known to be zero.
    #[test]
    fn kernel_thread() {
        let status = Status::parse(b"Name:\tkthreadd\nTgid:\t2\nPPid:\t0\nUid:\t0\t0\t0\t0\nThreads:\t1\n");
        assert_eq!((status.tgid, status.rss), (Some(2), None));
    }

    /// Damage makes a field unknown, and nothing else.
    #[test]
    fn damage() {
        let status = Status::parse(b"\xff\xff:\nVmRSS: 12\nTgid:\t99999999999\nThreads: 2");
        assert_eq!((status.rss, status.tgid, status.threads), (None, None, Some(2)));
    }
}
