//! /proc/PID/cgroup.

use bstr::ByteSlice;

/// The path of the process's memory cgroup, as the reader's cgroup namespace sees it (`/../x` lies outside of it): of the v1 hierarchy
/// that has the memory controller, else of the unified one. `None` where there is neither.
///
/// A v2 cgroup that was removed while the process was ending has ` (deleted)` behind its path (kernel/cgroup/cgroup.c,
/// `proc_cgroup_show()`); that is taken off.
#[must_use]
pub fn memory_cgroup(bytes: &[u8]) -> Option<&[u8]> {
    let lines = || bytes.split(|b| *b == b'\n').filter_map(line);
    let v1 = lines().find(|(controllers, _)| controllers.split(|b| *b == b',').any(|name| name == b"memory"));
    let v2 = || lines().find(|(controllers, _)| controllers.is_empty());
    match v1 {
        Some((_, path)) => Some(path),
        None => v2().map(|(_, path)| path.strip_suffix(b" (deleted)").unwrap_or(path)),
    }
}

/// `4:memory:/a/b`: controllers and path. A path may hold colons, but no newline: `cgroup_mkdir()` refuses that.
fn line(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, rest) = line.split_once_str(b":")?;
    rest.split_once_str(b":")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where v1 has the memory controller it is asked, on a pure v2 system the unified hierarchy.
    #[test]
    fn hierarchies() {
        assert_eq!(memory_cgroup(b"9:name=systemd:/s\n4:cpu,memory:/a:b\n0::/u\n"), Some(&b"/a:b"[..]));
        assert_eq!(memory_cgroup(b"9:name=memory:/s\n0::/\xff (deleted)\n"), Some(&b"/\xff"[..]));
        assert_eq!(memory_cgroup(b"9:name=systemd:/s\n"), None);
        assert_eq!(memory_cgroup(b"\n:\n::\n"), Some(&b""[..]));
    }
}
