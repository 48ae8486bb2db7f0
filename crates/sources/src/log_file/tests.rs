//! Files as logrotate, PowerShell and broken disks leave them.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::{Compression, Error, LogInput, continues, expand, open};

/// Enough text to fill several decoder blocks, compressible but not trivially.
fn text() -> Vec<u8> {
    let line =
        |i: u32| format!("[{i:8}.{:06}] Killed process {} (java)\n", i.wrapping_mul(2_654_435_761) % 1_000_000, i * 7);
    (0..20_000).flat_map(|i| line(i).into_bytes()).collect()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(data).unwrap();
    out.finish().unwrap()
}

fn xz(data: &[u8]) -> Vec<u8> {
    let mut out = liblzma::write::XzEncoder::new(Vec::new(), 6);
    out.write_all(data).unwrap();
    out.finish().unwrap()
}

fn zstd_of(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 3).unwrap()
}

fn bzip2_of(data: &[u8]) -> Vec<u8> {
    let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    out.write_all(data).unwrap();
    out.finish().unwrap()
}

type Encoder = fn(&[u8]) -> Vec<u8>;
const ENCODERS: [(Compression, Encoder); 4] =
    [(Compression::Gzip, gzip), (Compression::Xz, xz), (Compression::Zstd, zstd_of), (Compression::Bzip2, bzip2_of)];

fn input(bytes: Vec<u8>) -> Result<LogInput, Error> {
    LogInput::from_reader(Some("kern.log.2".to_owned()), io::Cursor::new(bytes))
}

/// Reads to the end or the error, keeping what came before it.
fn read_all(mut log: LogInput) -> (Vec<u8>, Option<io::Error>) {
    let mut out = Vec::new();
    let error = log.read_to_end(&mut out).err();
    (out, error)
}

/// Each format is recognised by its bytes under a name that tells nothing, members joined by `cat` included.
#[test]
fn compressed_files() {
    let text = text();
    for (compression, encode) in ENCODERS {
        let (first, second) = text.split_at(text.len() / 3);
        for bytes in [encode(&text), [encode(first), encode(second)].concat()] {
            let log = input(bytes).unwrap();
            assert_eq!(log.compression(), Some(compression));
            let (read, error) = read_all(log);
            assert!(error.is_none(), "{compression}: {error:?}");
            assert!(read == text, "{compression}");
        }
        let empty = input(encode(b"")).map(read_all);
        assert_eq!(empty.unwrap().0, b"", "{compression}");
    }
}

/// A file that a full disk cut short gives all that it holds, then an error that names file, format and place.
#[test]
fn cut_compressed_files() {
    let text = text();
    for (compression, encode) in ENCODERS {
        let mut bytes = encode(&text);
        bytes.truncate(bytes.len() * 2 / 3);
        let size = bytes.len() as u64;
        let (read, error) = read_all(input(bytes).unwrap());
        let error = error.unwrap();
        assert!(text.starts_with(&read), "{compression}");
        // bzip2 and zstd work in blocks: less than a block may be missing.
        assert!(read.len() > text.len() / 4, "{compression}: {} of {}", read.len(), text.len());
        match Error::inside(&error).unwrap() {
            Error::Damaged { name, compression: found, offset, text_bytes, .. } => {
                assert_eq!((name.as_str(), *found), ("kern.log.2", compression));
                assert_eq!((*offset, *text_bytes), (size, read.len() as u64));
            }
            other => panic!("{other:?}"),
        }
        assert!(
            error.to_string().starts_with(&format!("reading kern.log.2: the {compression} data is cut or damaged"))
        );
    }
}

/// A flipped bit in the middle costs what depends on it, and not what came before; afterwards the input is at its end.
#[test]
fn corrupt_compressed_files() {
    let text = text();
    for (compression, encode) in ENCODERS {
        let mut bytes = encode(&text);
        let middle = bytes.len() / 2;
        for byte in &mut bytes[middle..middle + 64] {
            *byte ^= 0x5a;
        }
        let mut log = input(bytes).unwrap();
        let mut read = Vec::new();
        let error = log.read_to_end(&mut read).unwrap_err();
        assert!(matches!(Error::inside(&error), Some(Error::Damaged { .. })), "{compression}: {error}");
        assert_eq!(log.read(&mut [0; 16]).unwrap(), 0);
        assert!(!read.is_empty() || compression == Compression::Bzip2, "{compression}");
    }
}

/// A header that asks for gigabytes of dictionary is refused instead of obeyed.
#[test]
fn dictionaries_are_bounded() {
    // The dictionary size stands in the block header: patch a small file's, for the encoder would allocate it.
    let mut small = xz(b"x");
    let at = small.windows(2).position(|w| w == [0x21, 0x01]).unwrap() + 2;
    small[at] = 40; // 4 GiB - 1, and the header's CRC32 to match.
    let header = &small[12..12 + (usize::from(small[12]) + 1) * 4 - 4];
    let mut crc = flate2::Crc::new();
    crc.update(header);
    let end = 12 + header.len();
    small[end..end + 4].copy_from_slice(&crc.sum().to_le_bytes());
    let (_, error) = read_all(input(small).unwrap());
    assert!(error.unwrap().to_string().contains("memory"), "xz");

    // Frame header with window descriptor 0xf8: exponent 31, that is 2 TiB.
    let frame = b"\x28\xb5\x2f\xfd\x00\xf8\x01\x00\x00".to_vec();
    let (_, error) = read_all(input(frame).unwrap());
    assert!(error.unwrap().to_string().contains("memory"), "zstd");
}

/// PowerShell's UTF-16, either way round, and a mark before UTF-8 read as plain UTF-8, also inside gzip.
#[test]
fn utf16() {
    let words = "[ 1.5] Killed process 7 (é)\r\n";
    let little: Vec<u8> = [0xfeff].into_iter().chain(words.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = [0xfeff].into_iter().chain(words.encode_utf16()).flat_map(u16::to_be_bytes).collect();
    let marked = [b"\xef\xbb\xbf", words.as_bytes()].concat();
    for bytes in [little.clone(), big, marked, gzip(&little), words.as_bytes().to_vec()] {
        let (read, error) = read_all(input(bytes).unwrap());
        assert!(error.is_none());
        assert_eq!(String::from_utf8(read).unwrap(), words);
    }
}

/// Bytes that are no UTF-8 are delivered as they are: process names are arbitrary.
#[test]
fn arbitrary_bytes_pass() {
    for bytes in [&b""[..], b"x", b"\xff", b"\x1f", b"BZh9 is a name\n", b"\x80\xff\xfe\0 text \xc3"] {
        let (read, error) = read_all(input(bytes.to_vec()).unwrap());
        assert!(error.is_none());
        assert_eq!(read, bytes);
    }
}

/// Formats that would read as noise are named, with the way to their text.
#[test]
fn unsupported_formats() {
    let error = input(b"LPKSHHRH\0\0\0\0".to_vec()).unwrap_err().to_string();
    assert!(error.contains("journalctl") && error.contains("kern.log.2"), "{error}");
    assert!(matches!(input(b"PK\x03\x04....".to_vec()), Err(Error::Unsupported { .. })));
}

/// What cannot be opened is said with its name, and a hostile name cannot act on the terminal.
#[test]
fn names_in_errors() {
    let error = open(Path::new("/nonexistent/\u{1b}[2Jkern.log")).unwrap_err().to_string();
    assert!(error.starts_with(r"opening /nonexistent/\x1b[2Jkern.log: No such file"), "{error}");
}

fn names(folder: &Path, arguments: &[&str]) -> Vec<String> {
    let arguments: Vec<_> = arguments.iter().map(|a| folder.join(a).into_os_string()).collect();
    expand(&arguments)
        .into_iter()
        .map(|file| match file {
            Ok(path) => path.file_name().unwrap().to_string_lossy().into_owned(),
            Err(e) => format!("error: {e}"),
        })
        .collect()
}

/// Patterns are expanded, pieces of one log come oldest first in one place, and nothing is read twice.
#[test]
fn rotated_sets_are_ordered() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "kern.log",
        "kern.log.1",
        "kern.log.2.gz",
        "kern.log.10.gz",
        "messages",
        "messages-20240101.xz",
        "messages-20231224",
        "a[1].log",
    ] {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    let kern = ["kern.log.10.gz", "kern.log.2.gz", "kern.log.1", "kern.log"];
    assert_eq!(names(folder.path(), &["kern.log*", "kern.log"]), kern);
    assert_eq!(names(folder.path(), &["messages*"]), ["messages-20231224", "messages-20240101.xz", "messages"]);
    assert_eq!(names(folder.path(), &["kern.log", "messages", "kern.log.1"]), ["kern.log.1", "kern.log", "messages"]);
    assert_eq!(names(folder.path(), &["a[1].log"]), ["a[1].log"]);
    let missing = names(folder.path(), &["nothing*", "messages"]);
    assert!(missing[0].starts_with("error: no file matches ") && missing[1] == "messages", "{missing:?}");
    assert_eq!(expand(&["-".into()])[0].as_ref().unwrap(), &PathBuf::from("-"));
    let directory = names(folder.path(), &["."]);
    assert!(directory[0].contains("is a directory; pass the log files in it, for example"), "{directory:?}");
    assert!(directory[0].contains("kern.log"), "{directory:?}");
}

/// Only what follows directly on a piece of the same log goes on where that ended.
#[test]
fn continuation() {
    for (previous, next, expected) in [
        ("/var/log/kern.log.2.gz", "/var/log/kern.log.1", true),
        ("/var/log/kern.log.1", "/var/log/kern.log", true),
        ("/var/log/kern.log.0", "/var/log/kern.log", true),
        ("/var/log/messages-20231224.xz", "/var/log/messages-20240101", true),
        ("/var/log/messages-20240101", "/var/log/messages", true),
        ("/var/log/messages-20240101-1704067200", "/var/log/messages", true),
        ("/var/log/kern-2024-01-01.log.gz", "/var/log/kern.log", true),
        ("/var/log/kern.log.3", "/var/log/kern.log.1", false),
        ("/var/log/kern.log.2", "/var/log/kern.log", false),
        ("/var/log/kern.log", "/var/log/kern.log.1", false),
        ("/var/log/kern.log.1", "/srv/kern.log", false),
        ("/var/log/messages-20240101", "/var/log/messages-20231224", false),
        ("/var/log/dmesg.1.gz", "/var/log/dmesg.0", false),
        ("node-1.log", "node-2.log", false),
        ("-", "-", false),
    ] {
        assert_eq!(continues(Path::new(previous), Path::new(next)), expected, "{previous} {next}");
    }
}

/// A pipe's text arrives as it is written, not when the pipe closes.
#[test]
fn pipes_are_read_as_they_flow() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
        .unwrap();
    let (written, wait) = std::sync::mpsc::channel::<()>();
    let path = fifo.clone();
    let writer = std::thread::spawn(move || {
        let mut pipe = fs::OpenOptions::new().write(true).open(path).unwrap();
        pipe.write_all(b"first line\n").unwrap();
        wait.recv().unwrap();
        pipe.write_all(b"second line\n").unwrap();
    });
    let mut log = open(&fifo).unwrap();
    let mut line = [0; 11];
    log.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"first line\n");
    written.send(()).unwrap();
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "second line\n");
    writer.join().unwrap();
}

/// A pipe that somebody made non-blocking is waited for, and an interrupted read is no error.
#[test]
fn pipes_that_do_not_block() {
    struct Hesitant(u8);
    impl Read for Hesitant {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 | 4 => Err(io::ErrorKind::WouldBlock.into()),
                2 => Err(io::ErrorKind::Interrupted.into()),
                3 | 5 => (&b"word "[..]).read(buffer),
                _ => Ok(0),
            }
        }
    }
    let (read, error) = read_all(LogInput::from_reader(None, Hesitant(0)).unwrap());
    assert!(error.is_none());
    assert_eq!(read, b"word word ");
}

/// A disk error is told as such, not as damage, with what came before it delivered.
#[test]
fn read_errors() {
    struct BadSector;
    impl Read for BadSector {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(rustix::io::Errno::IO.into())
        }
    }
    let cut = gzip(&text());
    let bytes = io::Cursor::new(cut[..cut.len() / 2].to_vec()).chain(BadSector);
    let (read, error) = read_all(LogInput::from_reader(None, bytes).unwrap());
    assert!(text().starts_with(&read) && !read.is_empty());
    let message = error.unwrap().to_string();
    assert!(message.starts_with("reading standard input at byte ") && message.contains("Input/output"), "{message}");
}

proptest::proptest! {
    /// No bytes behind any magic make reading panic or run on without end.
    #[test]
    fn any_bytes(magic in proptest::sample::select(vec![
        &b""[..], b"\x1f\x8b\x08\0", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"BZh91AY&SY", b"\xff\xfe", b"\xfe\xff",
    ]), bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        if let Ok(log) = input([magic, &bytes].concat()) {
            let mut read = Vec::new();
            let _ = log.take(1 << 20).read_to_end(&mut read);
        }
    }
}
