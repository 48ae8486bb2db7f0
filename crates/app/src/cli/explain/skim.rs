//! Looking over a large file on every core, so that only the stretches with something in them are read by the scanner.
//!
//! A kernel log of gigabytes is, but for a few kilobytes, about other things, and to look a stretch over for a handful of
//! literals takes little longer than copying it out of the page cache. Both are done by a few threads, each with one buffer
//! that stays in its core's cache; the scanner then passes over the stretches in which nothing was found.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Result};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use memchr::memmem;
use oomscope_core::formats::klog::{LONGEST_LITERAL, Scanner, has_literal, newlines};

use crate::cli::saved;

/// Handed out to a thread at a time.
pub(super) const STRETCH: u64 = 4 << 20;

/// Read at a time: a small part of a second-level cache.
pub(super) const PIECE: usize = 64 << 10;

/// More threads than this wait for memory and not for each other.
const MOST_THREADS: usize = 4;

/// Stretches looked over while the scanner reads one that has something in it: their tails take 1 MiB.
const AHEAD: usize = 64;

/// What a stretch holds.
#[derive(Clone, Copy)]
pub(super) struct Look {
    pub(super) newlines: u64,
    pub(super) has_literal: bool,
}

/// A stretch that was looked over.
pub(super) struct Stretch {
    pub(super) offset: u64,
    pub(super) length: u64,
    /// `None` where it could not be read to its end, for an error or because the file has shrunk: then the stretch is to be
    /// read once more, and that reading tells why.
    pub(super) look: Option<Look>,
    /// Its end, as long as the scanner wants to look back.
    pub(super) tail: Vec<u8>,
}

/// The stretches of a file, in order.
pub(super) struct Skim {
    done: Receiver<Stretch>,
    early: BTreeMap<u64, Stretch>,
    next: u64,
    size: u64,
}

impl Skim {
    /// Begins to look over the first `size` bytes.
    pub(super) fn begin(file: &Arc<File>, size: u64) -> Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        let (send, done) = sync_channel(AHEAD);
        let next = Arc::new(AtomicU64::new(0));
        for _ in 0..threads {
            let worker = Worker { file: Arc::clone(file), size, next: Arc::clone(&next), send: send.clone() };
            std::thread::Builder::new().name("skim".to_owned()).spawn(move || worker.run())?;
        }
        Ok(Self { done, early: BTreeMap::new(), next: 0, size })
    }
}

impl Iterator for Skim {
    type Item = Stretch;

    fn next(&mut self) -> Option<Stretch> {
        if self.next >= self.size {
            return None;
        }
        while !self.early.contains_key(&self.next) {
            let stretch = self.done.recv().ok()?;
            self.early.insert(stretch.offset, stretch);
        }
        let stretch = self.early.remove(&self.next)?;
        self.next += stretch.length;
        Some(stretch)
    }
}

struct Worker {
    file: Arc<File>,
    size: u64,
    next: Arc<AtomicU64>,
    send: SyncSender<Stretch>,
}

impl Worker {
    fn run(self) {
        let mut buffer = vec![0; PIECE + 2 * LONGEST_LITERAL];
        loop {
            let offset = self.next.fetch_add(STRETCH, Ordering::Relaxed);
            if offset >= self.size {
                return;
            }
            let length = STRETCH.min(self.size - offset);
            let mut tail = Vec::new();
            let look = look_over(&self.file, offset, length, &mut buffer, &mut tail).ok();
            if self.send.send(Stretch { offset, length, look, tail }).is_err() {
                return;
            }
        }
    }
}

/// Looks over a stretch piece by piece, each with a little of what stands before and behind it, where a literal may begin or
/// end.
fn look_over(file: &File, offset: u64, length: u64, buffer: &mut [u8], tail: &mut Vec<u8>) -> Result<Look> {
    let mut whole = Look { newlines: 0, has_literal: false };
    let end = offset + length;
    let mut at = offset;
    while at < end {
        let before = at.min(LONGEST_LITERAL as u64);
        let piece = (end - at).min(PIECE as u64);
        // Never longer than the buffer.
        let wanted = usize::try_from(before + piece).unwrap_or(0) + LONGEST_LITERAL;
        let read = read_full(file, at - before, &mut buffer[..wanted])?;
        let (from, to) = (usize::try_from(before).unwrap_or(0), usize::try_from(before + piece).unwrap_or(0));
        if read < to {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        whole.newlines += newlines(&buffer[from..to]);
        whole.has_literal |= has_literal(&buffer[..read]) || memmem::find(&buffer[..read], saved::NEEDLE).is_some();
        at += piece;
        if at == end {
            tail.extend_from_slice(&buffer[to.saturating_sub(Scanner::TAIL).max(from)..to]);
        }
    }
    Ok(whole)
}

/// Reads until the buffer is full or the file ends.
pub(super) fn read_full(file: &File, offset: u64, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
