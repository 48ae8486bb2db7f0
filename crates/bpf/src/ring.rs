//! A ring buffer's records, taken out without waiting.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

use libbpf_rs::{MapHandle, RingBuffer, RingBufferBuilder};

/// Records taken out at once: a flood must not keep the reader in here.
const AT_ONCE: usize = 1024;

/// The reading end of a ring buffer of records `T`.
pub(crate) struct Ring<T> {
    ring: RingBuffer<'static>,
    read: Arc<Mutex<Vec<T>>>,
    map: MapHandle,
}

impl<T: Send + 'static> Ring<T> {
    /// What `decode` does not know is passed over.
    pub(crate) fn new(map: MapHandle, decode: fn(&[u8]) -> Option<T>) -> libbpf_rs::Result<Self> {
        let read = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&read);
        let mut builder = RingBufferBuilder::new();
        builder.add(&map, move |bytes| {
            into.lock().unwrap_or_else(PoisonError::into_inner).extend(decode(bytes));
            0
        })?;
        let ring = builder.build()?;
        Ok(Self { ring, read, map })
    }

    /// Calls `on` for each record that waits, oldest first; how many there were.
    pub(crate) fn drain(&mut self, on: &mut dyn FnMut(T)) -> usize {
        self.ring.consume_raw_n(AT_ONCE);
        let read = std::mem::take(&mut *self.read.lock().unwrap_or_else(PoisonError::into_inner));
        let count = read.len();
        read.into_iter().for_each(on);
        count
    }

    /// Readable when the programs say that it is time to look.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

/// The counters of one of the programs, a structure of `N` eight-byte numbers that is all of its `.bss`. Zeros where they cannot be read.
pub(crate) fn counters<const N: usize>(bss: &MapHandle) -> [u64; N] {
    use libbpf_rs::{MapCore as _, MapFlags};
    let value = bss.lookup(&0u32.to_ne_bytes(), MapFlags::ANY).ok().flatten().unwrap_or_default();
    let mut counters = [0; N];
    for (counter, bytes) in counters.iter_mut().zip(value.as_chunks::<8>().0) {
        *counter = u64::from_ne_bytes(*bytes);
    }
    counters
}
