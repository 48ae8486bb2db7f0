//! Open files of a process, by kind.

use std::ffi::CStr;

use bstr::ByteSlice as _;
use indexmap::IndexMap;
use rustix::fd::OwnedFd;
use rustix::fs::{Dir, OFlags, readlinkat};
use rustix::io::Errno;

use super::folder::Folder;

/// At most so many are looked at: one `readlink` each, about a microsecond.
pub(super) const MAX_FDS: usize = 65_536;
/// At most so many kinds are told apart: a driver may name its anonymous inodes as it likes.
const MAX_KINDS: usize = 256;

/// How many there are of each kind, most first, and whether there were more than [`MAX_FDS`].
pub(super) struct Fds {
    pub(super) kinds: IndexMap<String, u64>,
    pub(super) cut: bool,
}

/// Counts them; `None` where they may not be looked at.
pub(super) fn count(folder: &Folder) -> Option<Fds> {
    let dir = folder.open_file("fd", OFlags::RDONLY | OFlags::DIRECTORY).ok()?;
    let mut kinds = IndexMap::<String, u64>::new();
    let mut looked_at = 0;
    let mut cut = false;
    for entry in Dir::read_from(&dir).ok()? {
        // The process ended in the middle: half a count would look like a whole one.
        let entry = entry.ok()?;
        let name = entry.file_name();
        if name.to_bytes().first().is_none_or(|b| !b.is_ascii_digit()) {
            continue;
        }
        if looked_at == MAX_FDS {
            cut = true;
            break;
        }
        looked_at += 1;
        let kind = match kind(&dir, name) {
            Ok(kind) => kind,
            // Closed meanwhile.
            Err(Errno::NOENT) => continue,
            // The folder of another user's process, or of one that may not be traced, can be listed all the same.
            Err(_) => return None,
        };
        let kind = if kinds.len() < MAX_KINDS || kinds.contains_key(&kind) { kind } else { "other".to_owned() };
        *kinds.entry(kind).or_default() += 1;
    }
    kinds.sort_by(|name_a, a, name_b, b| b.cmp(a).then_with(|| name_a.cmp(name_b)));
    Some(Fds { kinds, cut })
}

/// From the text of the link alone. To ask the file system (`stat` through the link) could hang on a dead network mount.
fn kind(dir: &OwnedFd, name: &CStr) -> Result<String, Errno> {
    let target = readlinkat(dir, name, Vec::new())?;
    Ok(kind_of(target.as_bytes()))
}

fn kind_of(target: &[u8]) -> String {
    // Not a path, so from the kernel: `socket:[123]`, `pipe:[123]`, `anon_inode:[eventpoll]`, `net:[4026531840]`.
    if !target.starts_with(b"/") {
        return match target.split_once_str(b":") {
            Some((b"anon_inode", which)) => format!("anon_inode:{}", which.to_str_lossy()),
            Some((b"socket", _)) => "socket".to_owned(),
            Some((b"pipe", _)) => "pipe".to_owned(),
            Some(_) => "namespace".to_owned(),
            None => "other".to_owned(),
        };
    }
    let deleted = target.ends_with(b" (deleted)");
    match target {
        _ if target.starts_with(b"/memfd:") && deleted => "memfd",
        // A mount like any other, but this is where POSIX shared memory is (shm_overview(7)).
        _ if target.starts_with(b"/dev/shm/") => "tmpfs",
        _ if target.starts_with(b"/dev/") => "device",
        _ if deleted => "deleted file",
        _ => "file",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kinds that the kernel names, and those that a path tells.
    #[test]
    fn kinds() {
        let expected = [
            (&b"socket:[12]"[..], "socket"),
            (b"pipe:[12]", "pipe"),
            (b"anon_inode:[eventpoll]", "anon_inode:[eventpoll]"),
            (b"anon_inode:inotify", "anon_inode:inotify"),
            (b"net:[4026531840]", "namespace"),
            (b"/memfd:x (deleted)", "memfd"),
            (b"/memfd:x", "file"),
            (b"/dev/shm/ring", "tmpfs"),
            (b"/dev/null", "device"),
            (b"/tmp/x (deleted)", "deleted file"),
            (b"/tmp/\xff\n", "file"),
            (b"", "other"),
        ];
        for (target, kind) in expected {
            assert_eq!(kind_of(target), kind, "{}", target.as_bstr());
        }
    }
}
