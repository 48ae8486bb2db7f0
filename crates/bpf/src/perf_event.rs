//! Counting page faults, which rustix has no call for.

use std::fs;
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};

use libbpf_rs::libbpf_sys::{PERF_COUNT_SW_PAGE_FAULTS, PERF_TYPE_SOFTWARE, perf_event_attr};

/// `include/uapi/linux/perf_event.h`.
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 1 << 3;

/// A counter that tells of one in `period` page faults on `cpu`, whoever has them.
///
/// # Errors
/// `EPERM`, `EACCES` without the privilege; `ENODEV` for a CPU that is offline.
pub(crate) fn page_faults(cpu: u32, period: u64) -> io::Result<OwnedFd> {
    let mut attributes = perf_event_attr {
        type_: PERF_TYPE_SOFTWARE,
        size: u32::try_from(size_of::<perf_event_attr>()).unwrap_or_default(),
        config: u64::from(PERF_COUNT_SW_PAGE_FAULTS),
        ..Default::default()
    };
    attributes.__bindgen_anon_1.sample_period = period;
    let (everybody, no_group) = (-1, -1);
    // SAFETY: the attributes are valid for the whole call, of the size that they say, and the kernel only reads them.
    let fd = unsafe {
        libc::syscall(libc::SYS_perf_event_open, &raw const attributes, everybody, cpu, no_group, PERF_FLAG_FD_CLOEXEC)
    };
    let fd = RawFd::try_from(fd).ok().filter(|&fd| fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just opened it for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Hands a counter over to libbpf, which closes it with the link.
pub(crate) fn hand_over(counter: OwnedFd) -> RawFd {
    counter.into_raw_fd()
}

/// Those that run now.
///
/// # Errors
/// The list cannot be read.
pub(crate) fn online_cpus() -> io::Result<Vec<u32>> {
    fs::read_to_string("/sys/devices/system/cpu/online").map(|list| cpus(&list))
}

/// `0-3,8`.
fn cpus(list: &str) -> Vec<u32> {
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    list.trim().split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    /// Ranges and single CPUs, as the kernel writes them.
    #[test]
    fn lists() {
        assert_eq!(super::cpus("0-2,8,10-11\n"), [0, 1, 2, 8, 10, 11]);
        assert_eq!(super::cpus("0\n"), [0]);
    }
}
