//! One line of /proc/PID/maps (`show_map_vma()`, fs/proc/task_mmu.c).

use bstr::ByteSlice;

/// A stretch of a process's address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapsLine<'a> {
    /// First address.
    pub start: u64,
    /// The address behind the last; larger than `start`.
    pub end: u64,
    /// `r-xp`.
    pub permissions: [u8; 4],
    /// Where in the file it begins, bytes.
    pub offset: u64,
    /// Major and minor number of the file system; 0:0 for memory without a file. Overlay and btrfs may give others to stat().
    pub device: (u32, u32),
    /// The file; 0 for memory without one.
    pub inode: u64,
    /// Path, `[heap]`, `[vdso]`, `[anon:NAME]`; empty for nameless memory. A path cannot hold a newline, the kernel writes it as
    /// `\012`; ` (deleted)` stands behind one that was unlinked.
    pub path: &'a [u8],
}

impl<'a> MapsLine<'a> {
    /// Reads a line without its newline; `None` where it is none, as with the fields of smaps.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let (range, rest) = line.split_once_str(b" ")?;
        let (start, end) = range.split_once_str(b"-")?;
        let (permissions, rest) = word(rest)?;
        let (offset, rest) = word(rest)?;
        let (device, rest) = word(rest)?;
        let (inode, path) = word(rest)?;
        let (major, minor) = device.split_once_str(b":")?;
        let parsed = Self {
            start: hex(start)?,
            end: hex(end)?,
            permissions: permissions.try_into().ok()?,
            offset: hex(offset)?,
            device: (hex(major)?.try_into().ok()?, hex(minor)?.try_into().ok()?),
            inode: inode.to_str().ok()?.parse().ok()?,
            path: path.trim_ascii_start(),
        };
        (parsed.start < parsed.end).then_some(parsed)
    }

    /// Code may run here.
    #[must_use]
    pub const fn is_executable(&self) -> bool {
        matches!(self.permissions, [_, _, b'x', _])
    }
}

/// Up to the next blank, and what is behind; the path's own blanks are left alone.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start();
    let end = text.find_byte(b' ').unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn hex(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(digits.to_str().ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every field is found; a path keeps its blanks and bytes that are no UTF-8.
    #[test]
    fn fields_of_a_line() {
        let line = b"7f0c8e600000-7f0c8e628000 r-xp 0001f000 fe:1a 1234                    /opt/a b\xff (deleted)";
        let parsed = MapsLine::parse(line).unwrap();
        assert_eq!((parsed.start, parsed.end, parsed.offset), (0x7f0c_8e60_0000, 0x7f0c_8e62_8000, 0x1_f000));
        assert_eq!((parsed.device, parsed.inode, parsed.is_executable()), ((0xfe, 0x1a), 1234, true));
        assert_eq!(parsed.path, b"/opt/a b\xff (deleted)");
        let nameless = MapsLine::parse(b"7000-9000 rw-p 00000000 00:00 0").unwrap();
        assert_eq!((nameless.path, nameless.inode, nameless.is_executable()), (&b""[..], 0, false));
    }

    /// Fields of smaps, ranges that end before they begin and numbers that are too large are no lines.
    #[test]
    fn damage() {
        for line in [
            &b"Rss:                4 kB"[..],
            b"",
            b"9000-7000 rw-p 0 0:0 0 x",
            b"7000-7000 rw-p 0 0:0 0 x",
            b"1ffffffffffffffff-2ffffffffffffffff r-xp 0 0:0 0 x",
            b"7000-8000 rw-p 0 0:0",
            b"7000-8000 r-x-p 0 0:0 0",
            b"7000-8000",
        ] {
            assert_eq!(MapsLine::parse(line), None, "{}", line.as_bstr());
        }
    }
}
