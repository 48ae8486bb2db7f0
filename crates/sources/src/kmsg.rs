//! This machine's own kernel log, from /dev/kmsg.
//!
//! Each `read(2)` returns one record, as text: `prio,seq,usec,flags;message` and ` KEY=value` lines (the kernel's
//! Documentation/ABI/testing/dev-kmsg). Records keep that form, so that they and a saved kmsg file take the same way.
//!
//! The ring may overwrite records before they are read. The kernel then says `EPIPE` once and goes on with the oldest that
//! is left; that is reported as [`Next::Lost`], and the sequence numbers of the records show the hole as well.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use oomscope_core::time::BootTime;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::host_root::HostRoot;

const KMSG: &str = "/dev/kmsg";
const DMESG_RESTRICT: &str = "/proc/sys/kernel/dmesg_restrict";

/// Larger than any record of a mainline kernel: 8192 bytes to 6.x (`CONSOLE_EXT_LOG_MAX`), 2048 since (`PRINTK_MESSAGE_MAX`).
const BUFFER: usize = 16 << 10;
/// Where a kernel with larger records makes growing stop.
const LARGEST_BUFFER: usize = 1 << 20;

/// The kernel log could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No permission. syslog(2), the other door to the log, asks for the same one.
    #[error(
        "opening {}: {source}; run as root or give the program CAP_SYSLOG{} (in a container, /dev/kmsg itself too: privileged, or by a device plugin), or pass a log: `sudo dmesg | oomscope explain -`",
        path.display(),
        if *.restricted { " (this machine sets kernel.dmesg_restrict=1)" } else { "" }
    )]
    Denied {
        /// The device.
        path: PathBuf,
        /// `kernel.dmesg_restrict` is on.
        restricted: bool,
        /// Why.
        source: io::Error,
    },
    /// There is no such device.
    #[error("opening {}: {source}; in a container, run on the node or pass the device with --device /dev/kmsg", path.display())]
    Missing {
        /// The device.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It could not be opened for another reason.
    #[error("opening {}: {source}", path.display())]
    Open {
        /// The device.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Reading broke off.
    #[error("reading {} after record {}: {source}", path.display(), .after.map_or_else(|| "none".to_owned(), |seq| seq.to_string()))]
    Read {
        /// The device.
        path: PathBuf,
        /// Sequence number of the last record that was read.
        after: Option<u64>,
        /// Why.
        source: io::Error,
    },
}

/// What the log had next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// One record as the device gave it, with the newline at its end.
    Record(&'a [u8]),
    /// Records were overwritten before they were read. `None`: it is not known how many, since nothing was read before.
    Lost(Option<u64>),
    /// Nothing more for now.
    End,
}

/// The kernel log of the running machine, open at its oldest record.
#[derive(Debug)]
pub struct KernelLog {
    records: Records<File>,
    path: PathBuf,
}

impl KernelLog {
    /// Opens the log at the oldest record that the ring still holds.
    ///
    /// # Errors
    /// [`Error::Denied`] says what to do; [`Error::Missing`] is usual in containers.
    pub fn open(root: &HostRoot) -> Result<Self, Error> {
        let path = root.path(KMSG);
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        // Opening stands at the oldest record since boot, whatever `dmesg --clear` has hidden from others.
        match OpenOptions::new().read(true).custom_flags(nonblocking).open(&path) {
            Ok(file) => Ok(Self { records: Records::new(file), path }),
            Err(source) => Err(open_error(root, path, source)),
        }
    }

    /// Skips all that is in the log now, to follow only what comes.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn skip_to_end(&mut self) -> Result<(), Error> {
        rustix::fs::seek(&self.records.device, rustix::fs::SeekFrom::End(0)).map_err(|e| self.read_error(e))?;
        self.records.last_seq = None;
        self.records.pending = None;
        Ok(())
    }

    /// The next record; never waits.
    ///
    /// # Errors
    /// [`Error::Read`]. Loss of records is no error.
    // Not an iterator: records are lent from one buffer.
    #[expect(clippy::should_implement_trait, reason = "records are lent from one buffer, which an Iterator cannot do")]
    pub fn next(&mut self) -> Result<Next<'_>, Error> {
        let (path, after) = (&self.path, self.records.last_seq);
        self.records.next().map_err(|e| Error::Read { path: path.clone(), after, source: e.into() })
    }

    /// Waits until there is something to read; false when `timeout` passed first.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn wait(&self, timeout: Duration) -> Result<bool, Error> {
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let mut device = [PollFd::new(&self.records.device, PollFlags::IN)];
        match poll(&mut device, Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            // A signal: let the caller look at what it asked for.
            Err(Errno::INTR) => Ok(false),
            Err(e) => Err(self.read_error(e)),
        }
    }

    /// All that the log holds now, as one text that ends where the log does. Lost records show as holes in the sequence
    /// numbers.
    #[must_use]
    pub fn into_reader(self) -> WholeLog {
        WholeLog { log: self, unread: Vec::new(), at: 0 }
    }

    fn read_error(&self, errno: Errno) -> Error {
        Error::Read { path: self.path.clone(), after: self.records.last_seq, source: errno.into() }
    }
}

impl AsFd for KernelLog {
    /// For a poll of one's own.
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.records.device.as_fd()
    }
}

fn open_error(root: &HostRoot, path: PathBuf, source: io::Error) -> Error {
    match source.kind() {
        // dmesg_restrict and lockdown answer EPERM, the file's mode EACCES; both are this kind.
        io::ErrorKind::PermissionDenied => {
            let restricted = std::fs::read_to_string(root.path(DMESG_RESTRICT)).is_ok_and(|text| text.trim() == "1");
            Error::Denied { path, restricted, source }
        }
        io::ErrorKind::NotFound => Error::Missing { path, source },
        _ => Error::Open { path, source },
    }
}

/// The log as a text, see [`KernelLog::into_reader`]. Its errors hold an [`enum@Error`].
#[derive(Debug)]
pub struct WholeLog {
    log: KernelLog,
    unread: Vec<u8>,
    at: usize,
}

impl Read for WholeLog {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.unread.len() {
            match self.log.next().map_err(io::Error::other)? {
                Next::Record(record) => {
                    self.unread.clear();
                    self.unread.extend_from_slice(record);
                    self.at = 0;
                }
                Next::Lost(_) => {}
                Next::End => return Ok(0),
            }
        }
        let mut rest = self.unread.get(self.at..).unwrap_or_default();
        let n = rest.read(buffer)?;
        self.at += n;
        Ok(n)
    }
}

/// What reads one record at a time: the device, or a test.
trait Device {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Errno>;
}

impl Device for File {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
        rustix::io::read(self, buffer)
    }
}

/// Turns reads into records and losses.
#[derive(Debug)]
struct Records<D> {
    device: D,
    buffer: Vec<u8>,
    last_seq: Option<u64>,
    /// Length of a record in the buffer that comes after a loss which was told first.
    pending: Option<usize>,
}

impl<D: Device> Records<D> {
    fn new(device: D) -> Self {
        Self { device, buffer: vec![0; BUFFER], last_seq: None, pending: None }
    }

    fn next(&mut self) -> Result<Next<'_>, Errno> {
        if let Some(length) = self.pending.take() {
            return Ok(Next::Record(self.buffer.get(..length).unwrap_or_default()));
        }
        let mut overwritten = false;
        let length = loop {
            match self.device.read(&mut self.buffer) {
                Ok(0) => return Ok(Next::End),
                Ok(length) => break length,
                Err(Errno::INTR) => {}
                Err(Errno::PIPE) => overwritten = true,
                // The record is larger than the buffer; it is still there.
                Err(Errno::INVAL) if self.buffer.len() < LARGEST_BUFFER => self.buffer.resize(self.buffer.len() * 2, 0),
                Err(Errno::AGAIN) if overwritten => return Ok(Next::Lost(None)),
                Err(Errno::AGAIN) => return Ok(Next::End),
                Err(e) => return Err(e),
            }
        };
        let seq = self.buffer.get(..length).and_then(sequence_number);
        let skipped =
            seq.zip(self.last_seq).and_then(|(seq, last)| seq.checked_sub(last)?.checked_sub(1)).filter(|n| *n > 0);
        self.last_seq = seq.or(self.last_seq);
        if overwritten || skipped.is_some() {
            self.pending = Some(length);
            return Ok(Next::Lost(skipped));
        }
        Ok(Next::Record(self.buffer.get(..length).unwrap_or_default()))
    }
}

/// The second field of `prio,seq,usec,flags;…`.
fn sequence_number(record: &[u8]) -> Option<u64> {
    number(record, 1)
}

/// When printk stamped a record: the third field.
#[must_use]
pub fn stamp(record: &[u8]) -> Option<BootTime> {
    number(record, 2).map(BootTime)
}

fn number(record: &[u8], field: usize) -> Option<u64> {
    let field = record.split(|b| matches!(b, b',' | b';')).nth(field)?;
    std::str::from_utf8(field).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device that answers from a list, and then has nothing.
    struct Script(Vec<Result<Vec<u8>, Errno>>);

    impl Device for Script {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Errno> {
            match self.0.first() {
                None => return Err(Errno::AGAIN),
                Some(Ok(record)) if record.len() > buffer.len() => return Err(Errno::INVAL),
                Some(_) => {}
            }
            let record = self.0.remove(0)?;
            buffer[..record.len()].copy_from_slice(&record);
            Ok(record.len())
        }
    }

    fn told(script: Vec<Result<&[u8], Errno>>) -> Vec<String> {
        let mut records = Records::new(Script(script.into_iter().map(|r| r.map(<[u8]>::to_vec)).collect()));
        let mut told = Vec::new();
        loop {
            match records.next().unwrap() {
                Next::Record(record) => told.push(String::from_utf8_lossy(record).chars().take(40).collect()),
                Next::Lost(lost) => told.push(format!("lost {lost:?}")),
                Next::End => return told,
            }
        }
    }

    /// Overwritten records are counted where the numbers tell, told where they do not, and reading goes on.
    #[test]
    fn losses_are_told() {
        let told = told(vec![
            Err(Errno::PIPE),
            Ok(b"6,10,1,-;a\n"),
            Err(Errno::INTR),
            Ok(b"6,11,2,-;b\n"),
            Err(Errno::PIPE),
            Ok(b"6,15,3,-;c\n"),
            Ok(b"no record at all\n"),
            Ok(b"6,16,4,-;d\n"),
        ]);
        let expected = [
            "lost None",
            "6,10,1,-;a\n",
            "6,11,2,-;b\n",
            "lost Some(3)",
            "6,15,3,-;c\n",
            "no record at all\n",
            "6,16,4,-;d\n",
        ];
        assert_eq!(told, expected);
    }

    /// A record larger than any known kernel makes is read whole, and an endless one does not take all memory.
    #[test]
    fn large_records() {
        let large = [b"6,1,1,-;".as_slice(), &[b'x'; 100_000], b"\n"].concat();
        let mut records = Records::new(Script(vec![Ok(large.clone())]));
        assert_eq!(records.next().unwrap(), Next::Record(&large));
        let mut records = Records::new(Script(vec![Ok(vec![b'x'; LARGEST_BUFFER + 1])]));
        assert_eq!(records.next(), Err(Errno::INVAL));
    }

    /// Without the device the error says what to do in a container.
    #[test]
    fn a_missing_device() {
        let folder = tempfile::tempdir().unwrap();
        let error = KernelLog::open(&HostRoot::at(folder.path())).unwrap_err();
        assert!(matches!(error, Error::Missing { .. }) && error.to_string().contains("--device /dev/kmsg"), "{error}");
    }

    /// Without permission the error names the capability, and the setting that asks for it.
    #[test]
    fn a_denied_device() {
        let folder = tempfile::tempdir().unwrap();
        let root = HostRoot::at(folder.path());
        let setting = root.path(DMESG_RESTRICT);
        std::fs::create_dir_all(setting.parent().unwrap()).unwrap();
        std::fs::write(setting, "1\n").unwrap();
        let error = open_error(&root, PathBuf::from(KMSG), Errno::PERM.into()).to_string();
        assert!(error.contains("CAP_SYSLOG") && error.contains("kernel.dmesg_restrict=1"), "{error}");
    }

    /// The real log reads to its end in order, as records and as one text, and a waiting reader hears a new record.
    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test must say so")]
    fn the_real_log() {
        let mut log = match KernelLog::open(&HostRoot::default()) {
            Ok(log) => log,
            Err(e) => return eprintln!("SKIPPED the_real_log: {e}"),
        };
        let mut last = None;
        loop {
            match log.next().unwrap() {
                Next::Record(record) => {
                    let seq = sequence_number(record).unwrap();
                    assert!(last.is_none_or(|last| seq > last));
                    assert!(record.ends_with(b"\n"));
                    last = Some(seq);
                }
                Next::Lost(_) => {}
                Next::End => break,
            }
        }
        assert!(last.is_some());
        let mut text = Vec::new();
        KernelLog::open(&HostRoot::default()).unwrap().into_reader().read_to_end(&mut text).unwrap();
        assert!(text.iter().filter(|b| **b == b'\n').count() > 1);

        log.skip_to_end().unwrap();
        let mark = format!("oomscope test {}", std::process::id());
        if let Err(e) = std::fs::write(KMSG, format!("<7>{mark}\n")) {
            return eprintln!("SKIPPED the following part of the_real_log: {e}");
        }
        for _ in 0..100 {
            log.wait(Duration::from_millis(50)).unwrap();
            while let Next::Record(record) = log.next().unwrap() {
                if record.windows(mark.len()).any(|w| w == mark.as_bytes()) {
                    return;
                }
            }
        }
        panic!("the record that was written did not come");
    }
}
