//! Kernel logs in files: opened, uncompressed and turned into UTF-8 while they are read.
//!
//! What a file is, is asked of its first bytes, never of its name: logrotate, sosreport and people rename. Memory stays
//! flat at any size, since logs are attacker-influenced and a small compressed file can hold terabytes.

mod compression;
mod error;
mod expand;
mod rotation;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use encoding_rs_io::DecodeReaderBytesBuilder;

pub use compression::Compression;
pub use error::Error;
pub use expand::expand;
pub use rotation::continues;

use compression::Contents;

/// How decoders are asked for text: a decoder that meets damage drops what it produced in that call, so little is asked
/// at a time.
const DECODER_STEP: usize = 4096;

/// Between two looks at a pipe that will not wait by itself.
const PAUSE: Duration = Duration::from_millis(20);

/// A log that is open for reading: its text without compression and without UTF-16.
///
/// After an error that says [`Error::Damaged`] or [`Error::Read`] (inside the [`io::Error`], see [`Error::inside`])
/// everything that could be read has been delivered, and the input is at its end.
pub struct LogInput {
    name: Option<String>,
    compression: Option<Compression>,
    text: Box<dyn Read + Send>,
    /// The file, where its bytes are the text.
    plain: Option<File>,
    is_plain: bool,
    read_from_file: Arc<AtomicU64>,
    delivered: u64,
    finished: bool,
}

/// Opens a log file, a FIFO, or standard input for `-`.
///
/// # Errors
/// [`Error::Open`], [`Error::Directory`], [`Error::Unsupported`] for formats that are known and not read, and
/// [`Error::Read`] where not even the first bytes could be read.
pub fn open(path: &Path) -> Result<LogInput, Error> {
    if path == Path::new("-") {
        return match stdin_as_file() {
            Some(file) => LogInput::from_file(None, file),
            None => LogInput::from_reader(None, io::stdin()),
        };
    }
    let name = path.to_string_lossy().into_owned();
    if path.is_dir() {
        return Err(expand::directory_error(path));
    }
    let file = File::open(path).map_err(|source| Error::Open { name: name.clone(), source })?;
    // Only a hint to read ahead; pipes have no use for it and say so.
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
    LogInput::from_file(Some(name), file)
}

/// Standard input where it is a file that nobody has read from (`< kern.log`).
fn stdin_as_file() -> Option<File> {
    let mut file = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    let untouched = file.metadata().ok()?.is_file() && file.stream_position().ok()? == 0;
    untouched.then_some(file)
}

impl LogInput {
    fn from_file(name: Option<String>, file: File) -> Result<Self, Error> {
        let again = file.metadata().is_ok_and(|metadata| metadata.is_file()).then(|| file.try_clone().ok()).flatten();
        let mut input = Self::from_reader(name, file)?;
        input.plain = again.filter(|_| input.is_plain);
        Ok(input)
    }

    /// Reads a log from anything. `name` is what errors call it; `None` stands for standard input.
    ///
    /// # Errors
    /// As [`open`].
    pub fn from_reader(name: Option<String>, reader: impl Read + Send + 'static) -> Result<Self, Error> {
        let read_from_file = Arc::new(AtomicU64::new(0));
        let counted = Counted { inner: reader, count: Arc::clone(&read_from_file) };
        let failed_at_start = |source| Error::Read { name: error::name_of(name.as_deref()), offset: 0, source };

        let (start, whole) = peek(counted, compression::LONGEST_MAGIC).map_err(failed_at_start)?;
        let (compression, text): (_, Box<dyn Read + Send>) = match Contents::recognise(&start) {
            Contents::Plain => (None, decode_utf16(&start, whole)),
            Contents::Unsupported { what, instead } => {
                return Err(Error::Unsupported { name: error::name_of(name.as_deref()), what, instead });
            }
            Contents::Compressed(compression) => {
                let uncompressed = compression.decoder(whole).map_err(failed_at_start)?;
                // A decoder that cannot begin says so again, with a position, when the text is read.
                (Some(compression), Box::new(LazyUtf16::Unread(uncompressed)))
            }
        };
        let is_plain = compression.is_none() && !has_byte_order_mark(&start);
        Ok(Self { name, compression, text, plain: None, is_plain, read_from_file, delivered: 0, finished: false })
    }

    /// As given to [`open`], lossy where the path is not UTF-8; `None` for standard input.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What the file was compressed with.
    #[must_use]
    pub const fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// The file itself, where its text is its bytes: a regular file, neither compressed nor UTF-16. For readers that want to
    /// read it in several places at once.
    #[must_use]
    pub fn plain_file(&self) -> Option<File> {
        self.plain.as_ref().and_then(|file| file.try_clone().ok())
    }

    /// Bytes read from the file itself so far, compressed where it is compressed; some of them may still be buffered.
    #[must_use]
    pub fn file_offset(&self) -> u64 {
        self.read_from_file.load(Ordering::Relaxed)
    }

    /// Bytes of text delivered so far.
    #[must_use]
    pub const fn text_offset(&self) -> u64 {
        self.delivered
    }

    fn explain(&self, source: io::Error) -> Error {
        let (name, offset) = (error::name_of(self.name()), self.file_offset());
        match self.compression {
            Some(compression) if compression::is_damage(&source) => {
                Error::Damaged { name, compression, offset, text_bytes: self.delivered, source }
            }
            _ => Error::Read { name, offset, source },
        }
    }
}

impl Read for LogInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.finished {
            return Ok(0);
        }
        let step = if self.compression.is_some() { buffer.len().min(DECODER_STEP) } else { buffer.len() };
        match self.text.read(buffer.get_mut(..step).unwrap_or_default()) {
            Ok(n) => {
                self.delivered += n as u64;
                Ok(n)
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(e),
            Err(e) => {
                self.finished = true;
                Err(io::Error::new(e.kind(), self.explain(e)))
            }
        }
    }
}

impl std::fmt::Debug for LogInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogInput")
            .field("name", &self.name)
            .field("compression", &self.compression)
            .field("file_offset", &self.file_offset())
            .field("text_offset", &self.delivered)
            .finish_non_exhaustive()
    }
}

/// Counts what is taken from the file, for the position in errors and progress, and waits where the file would not.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.inner.read(buffer) {
                Ok(n) => {
                    self.count.fetch_add(n as u64, Ordering::Relaxed);
                    return Ok(n);
                }
                // A pipe that the shell or ssh shares with a program which made it non-blocking: an ordinary pause.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
                Err(e) => return Err(e),
            }
        }
    }
}

type Peeked<R> = io::Chain<io::Cursor<Vec<u8>>, R>;

/// Reads the first bytes (fewer where the input is shorter) and puts them back in front.
fn peek<R: Read>(mut reader: R, bytes: usize) -> io::Result<(Vec<u8>, Peeked<R>)> {
    let mut start = Vec::with_capacity(bytes);
    reader.by_ref().take(bytes as u64).read_to_end(&mut start)?;
    Ok((start.clone(), io::Cursor::new(start).chain(reader)))
}

/// Windows PowerShell's `>` writes UTF-16 with a byte order mark, and some editors put a mark before UTF-8.
fn decode_utf16<R: Read + Send + 'static>(start: &[u8], whole: R) -> Box<dyn Read + Send> {
    if has_byte_order_mark(start) {
        let mut builder = DecodeReaderBytesBuilder::new();
        builder.bom_sniffing(true).strip_bom(true).utf8_passthru(true);
        return Box::new(builder.build(whole));
    }
    Box::new(whole)
}

fn has_byte_order_mark(start: &[u8]) -> bool {
    [&b"\xff\xfe"[..], b"\xfe\xff", b"\xef\xbb\xbf"].iter().any(|mark| start.starts_with(mark))
}

/// Looks for a byte order mark in uncompressed text when that is first read, so that damage at its beginning surfaces as
/// a read error with a position.
enum LazyUtf16 {
    Unread(Box<dyn Read + Send>),
    Text(Box<dyn Read + Send>),
}

impl Read for LazyUtf16 {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Self::Unread(raw) = self {
            let raw = std::mem::replace(raw, Box::new(io::empty()));
            let (start, whole) = peek(raw, 3)?;
            *self = Self::Text(decode_utf16(&start, whole));
        }
        match self {
            Self::Unread(reader) | Self::Text(reader) => reader.read(buffer),
        }
    }
}
