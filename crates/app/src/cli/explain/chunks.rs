//! Reading ahead: a thread fills buffers while the scanner works on the one before.
//!
//! Copying a file out of the page cache takes as long as searching it, so the two are done side by side; and a thread that
//! may block is the only way to notice that a pipe has gone quiet. A handful of buffers goes round, so memory is flat.

use std::io::{ErrorKind, Read as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::Context as _;
use oomscope_sources::log_file::LogInput;

/// Fits the second-level cache beside what is searched.
const SIZE: usize = 256 << 10;

const BUFFERS: usize = 3;

/// A filled buffer.
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    /// How far the file itself was read by then; behind `bytes` where it is compressed.
    pub(super) file_offset: u64,
}

/// What the input did next.
pub(super) enum Next {
    Chunk(Chunk),
    /// Nothing came for as long as was asked.
    Pause,
    Failed(std::io::Error),
    End,
}

/// The reading end.
pub(super) struct Chunks {
    filled: Receiver<std::io::Result<Chunk>>,
    empty: SyncSender<Vec<u8>>,
}

impl Chunks {
    /// Begins to read. The thread ends with the input, or when this is dropped.
    pub(super) fn of(mut input: LogInput) -> anyhow::Result<Self> {
        let (filled_in, filled) = sync_channel(BUFFERS);
        let (empty, empty_out) = sync_channel::<Vec<u8>>(BUFFERS);
        for _ in 0..BUFFERS {
            empty.send(Vec::new()).context("preparing to read")?;
        }
        std::thread::Builder::new()
            .name("read-ahead".to_owned())
            .spawn(move || {
                while let Ok(buffer) = empty_out.recv() {
                    let message = match fill(&mut input, buffer) {
                        Ok(bytes) if bytes.is_empty() => return,
                        Ok(bytes) => Ok(Chunk { bytes, file_offset: input.file_offset() }),
                        Err(error) => Err(error),
                    };
                    let last = message.is_err();
                    if filled_in.send(message).is_err() || last {
                        return;
                    }
                }
            })
            .context("starting a thread to read with")?;
        Ok(Self { filled, empty })
    }

    /// Waits for the next buffer, for ever or as long as `patience`.
    pub(super) fn next(&mut self, patience: Option<Duration>) -> Next {
        let received = match patience {
            None => self.filled.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(patience) => self.filled.recv_timeout(patience),
        };
        match received {
            Ok(Ok(chunk)) => Next::Chunk(chunk),
            Ok(Err(error)) => Next::Failed(error),
            Err(RecvTimeoutError::Timeout) => Next::Pause,
            Err(RecvTimeoutError::Disconnected) => Next::End,
        }
    }

    /// Hands a buffer back to be filled again.
    pub(super) fn give_back(&mut self, chunk: Chunk) {
        // The reader may have ended; then the buffer is not needed.
        let _ = self.empty.send(chunk.bytes);
    }
}

/// What the input has at the moment, up to a buffer full: a live input must not wait for more. Empty at the end.
fn fill(input: &mut LogInput, mut buffer: Vec<u8>) -> std::io::Result<Vec<u8>> {
    buffer.resize(SIZE, 0);
    loop {
        match input.read(&mut buffer) {
            Ok(count) => {
                buffer.truncate(count);
                return Ok(buffer);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
