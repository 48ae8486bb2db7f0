//! A queue between two threads, bounded by the bytes of what waits in it: cases differ a hundredfold in size.
//!
//! Whoever puts something in never waits. What has no room comes back as a `false`, to be counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// The two ends of an empty queue.
pub(super) fn queue<T>() -> (Entry<T>, Exit<T>) {
    let (to, from) = mpsc::channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (Entry { to, waiting: Arc::clone(&waiting) }, Exit { from, waiting })
}

/// The only one: there is nobody else to fill the room between looking and putting.
#[derive(Debug)]
pub(super) struct Entry<T> {
    to: mpsc::Sender<(T, usize)>,
    waiting: Arc<AtomicUsize>,
}

impl<T> Entry<T> {
    /// Puts in something of about `bytes`, if no more than `most` wait then, or if it is alone. False when it is lost.
    pub(super) fn put(&self, what: T, bytes: usize, most: usize) -> bool {
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting > 0 && waiting.saturating_add(bytes) > most {
            return false;
        }
        self.waiting.fetch_add(bytes, Ordering::Relaxed);
        self.to.send((what, bytes)).is_ok()
    }
}

/// Where it is taken out.
#[derive(Debug)]
pub(super) struct Exit<T> {
    from: mpsc::Receiver<(T, usize)>,
    waiting: Arc<AtomicUsize>,
}

impl<T> Exit<T> {
    /// The next one, as soon as there is one.
    pub(super) fn take_within(&self, longest: Duration) -> Result<T, mpsc::RecvTimeoutError> {
        self.from.recv_timeout(longest).map(|taken| self.taken(taken))
    }

    /// All of them as they come, until the other end is closed.
    pub(super) fn take_all(&self) -> impl Iterator<Item = T> + '_ {
        self.from.iter().map(|taken| self.taken(taken))
    }

    fn taken(&self, (what, bytes): (T, usize)) -> T {
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        what
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What has no room is refused at once, what is taken out makes room, and one that is too large for any queue still passes alone.
    #[test]
    fn room() {
        let (entry, exit) = queue();
        assert!(entry.put("a", 6, 10) && entry.put("b", 4, 10));
        assert!(!entry.put("c", 1, 10));
        assert_eq!(exit.take_within(Duration::ZERO), Ok("a"));
        assert!(entry.put("d", 1, 5) && !entry.put("e", 1, 5));
        assert_eq!(exit.take_within(Duration::ZERO), Ok("b"));
        assert_eq!(exit.take_within(Duration::ZERO), Ok("d"));
        assert!(entry.put("large", 1_000, 10) && !entry.put("f", 1, 10));
        drop(entry);
        assert_eq!(exit.take_all().collect::<Vec<_>>(), ["large"]);
    }
}
