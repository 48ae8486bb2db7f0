//! Compressed formats, told apart by their first bytes.
//!
//! All of them stream, follow concatenated members (`cat a.gz b.gz`), and refuse a dictionary that would take more memory
//! than the strongest ordinary setting of their own tool needs.

use std::fmt;
use std::io::{self, BufReader, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

/// `xz -9` needs 65 MiB to uncompress.
const XZ_MEMORY_LIMIT: u64 = 80 << 20;
/// `zstd -22 --ultra` uses 2^27; zstd(1) itself refuses more unless told otherwise.
const ZSTD_WINDOW_LOG_LIMIT: u32 = 27;
/// Compressed bytes read at a time.
const READ_AHEAD: usize = 32 * 1024;

/// What a log file is compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// The .xz file format.
    Xz,
    /// RFC 8878.
    Zstd,
    /// bzip2.
    Bzip2,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
        })
    }
}

/// What a file's first bytes say it is.
pub(super) enum Contents {
    Plain,
    Compressed(Compression),
    Unsupported { what: &'static str, instead: &'static str },
}

/// bzip2: `BZh9` could begin a line of text, so the mark of a block, or of the end, is asked for too.
pub(super) const LONGEST_MAGIC: usize = 10;

/// Formats that would read as noise, with what to do about them.
const UNSUPPORTED: [(&[u8], &str, &str); 5] = [
    (b"LPKSHHRH", "a binary systemd journal", "pass the output of `journalctl -k -o export --file <it>`"),
    (b"\x04\x22\x4d\x18", "lz4-compressed", "uncompress it with `lz4 -dc <it> | oomscope explain`"),
    (b"\x1f\x9d", "compressed with compress(1)", "uncompress it with `zcat <it> | oomscope explain`"),
    (b"PK\x03\x04", "a zip archive", "unpack it and pass the logs in it"),
    (b"KDUMP   ", "a crash dump of a kernel", "pass the output of `makedumpfile --dump-dmesg <it>`"),
];

impl Contents {
    pub(super) fn recognise(start: &[u8]) -> Self {
        // A zstd file may begin with skippable frames, 184D2A50 to 184D2A5F.
        let skippable = matches!(start, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
        if start.starts_with(b"\x1f\x8b") {
            Self::Compressed(Compression::Gzip)
        } else if start.starts_with(b"\xfd7zXZ\0") {
            Self::Compressed(Compression::Xz)
        } else if start.starts_with(b"\x28\xb5\x2f\xfd") || skippable {
            Self::Compressed(Compression::Zstd)
        } else if is_bzip2(start) {
            Self::Compressed(Compression::Bzip2)
        } else {
            UNSUPPORTED
                .iter()
                .find(|(magic, _, _)| start.starts_with(magic))
                .map_or(Self::Plain, |(_, what, instead)| Self::Unsupported { what, instead })
        }
    }
}

fn is_bzip2(start: &[u8]) -> bool {
    let Some((head, mark)) = start.split_at_checked(4) else { return false };
    let (block, end) = (b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90");
    matches!(head, [b'B', b'Z', b'h', b'1'..=b'9']) && (mark.starts_with(block) || mark.starts_with(end))
}

impl Compression {
    /// A reader of the text.
    pub(super) fn decoder(self, compressed: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        let input = BufReader::with_capacity(READ_AHEAD, compressed);
        Ok(match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(input)),
            Self::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY_LIMIT, CONCATENATED).map_err(io::Error::other)?;
                Box::new(XzDecoder::new_stream(input, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_LIMIT)?;
                Box::new(decoder)
            }
            Self::Bzip2 => Box::new(MultiBzDecoder::new(input)),
        })
    }
}

/// True when a decoder complains of its data; an error number is the operating system's.
pub(super) fn is_damage(error: &io::Error) -> bool {
    error.raw_os_error().is_none()
}
