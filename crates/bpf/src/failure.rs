//! Why something of the kernel cannot be had, told from what trying it gave.

use std::fs;
use std::io;

/// Lines of the verifier's log that are kept: its verdict stands at the end.
const LOG_LINES: usize = 6;

/// What was tried, and why it does not work here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{tried}: {reason}")]
pub struct Failure {
    /// What was tried: the program and where it was to be attached.
    pub tried: String,
    /// Why it did not work.
    pub reason: Reason,
}

/// Why a program cannot be loaded or attached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The kernel does not describe its types.
    #[error("the kernel has no BTF (CONFIG_DEBUG_INFO_BTF; /sys/kernel/btf/vmlinux)")]
    NoBtf,
    /// A privilege is missing.
    #[error("not permitted: this process lacks {0}")]
    MissingCapability(&'static str),
    /// The kernel was told at boot to refuse it.
    #[error("not permitted: the kernel is locked down ({0})")]
    Lockdown(String),
    /// The process has all it needs, and the kernel refuses nevertheless, without a reason.
    #[error("not permitted, and the kernel does not say why")]
    Refused,
    /// The verifier does not accept the program.
    #[error("rejected by the kernel's verifier: {0}")]
    Rejected(String),
    /// What it was to be attached to is not in this kernel, or its kind of program is not.
    #[error("not in this kernel ({0})")]
    NotThere(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Reason {
    /// From an error of libbpf and what it printed meanwhile.
    pub(crate) fn of(error: &io::Error, log: &str) -> Self {
        if log.contains("failed to find valid kernel BTF") || log.contains("vmlinux BTF is not found") {
            return Self::NoBtf;
        }
        if let Some(verdict) = verdict(log) {
            return Self::Rejected(verdict);
        }
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => not_permitted(),
            Some(libc::ENOENT | libc::ESRCH | libc::ENOSYS | libc::EOPNOTSUPP | libc::ENODEV) => {
                Self::NotThere(last_line(log).unwrap_or_else(|| error.to_string()))
            }
            _ => Self::Other(last_line(log).map_or_else(|| error.to_string(), |line| format!("{error} ({line})"))),
        }
    }

    /// A simpler form of the same program may be accepted.
    pub(crate) fn may_be_the_program(&self) -> bool {
        matches!(self, Self::Rejected(_) | Self::NotThere(_) | Self::Other(_))
    }
}

/// The end of the verifier's log; `None` where it had nothing to say.
fn verdict(log: &str) -> Option<String> {
    let (_, rest) = log.split_once("-- BEGIN PROG LOAD LOG --")?;
    let (said, _) = rest.split_once("-- END PROG LOAD LOG --").unwrap_or((rest, ""));
    let lines: Vec<&str> =
        said.lines().map(str::trim).filter(|line| !line.is_empty() && !is_statistics(line)).collect();
    let end = lines.get(lines.len().saturating_sub(LOG_LINES)..)?;
    (!end.is_empty()).then(|| end.join("; "))
}

fn is_statistics(line: &str) -> bool {
    line.starts_with("processed ") || line.starts_with("verification time") || line.starts_with("stack depth")
}

fn last_line(log: &str) -> Option<String> {
    let line = log.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.strip_prefix("libbpf: ").unwrap_or(line).to_owned())
}

fn not_permitted() -> Reason {
    if let Some(missing) = missing_capability() {
        return Reason::MissingCapability(missing);
    }
    // `none [integrity] confidentiality`: the one in force is in brackets. Only the last forbids reading the kernel's memory.
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    match lockdown.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']')) {
        Some(mode) if mode != "none" => Reason::Lockdown(mode.to_owned()),
        _ => Reason::Refused,
    }
}

/// `include/uapi/linux/capability.h`. CAP_SYS_ADMIN stands for the other two; those are there from 5.8 on.
fn missing_capability() -> Option<&'static str> {
    const SYS_ADMIN: u64 = 1 << 21;
    const PERFMON: u64 = 1 << 38;
    const BPF: u64 = 1 << 39;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let has = u64::from_str_radix(line.trim(), 16).ok()?;
    match (has & SYS_ADMIN != 0, has & BPF != 0, has & PERFMON != 0) {
        (true, ..) | (_, true, true) => None,
        (_, false, false) => Some("CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN)"),
        (_, false, true) => Some("CAP_BPF (or CAP_SYS_ADMIN)"),
        (_, true, false) => Some("CAP_PERFMON (or CAP_SYS_ADMIN)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verifier's verdict is kept, without its statistics and without the program's listing before it.
    #[test]
    fn the_verdict() {
        let log = "libbpf: prog 'x': BPF program load failed: Invalid argument\nlibbpf: prog 'x': -- BEGIN PROG LOAD LOG --\n\
                   1: (85) call unknown#181\ninvalid func unknown#181\nprocessed 2 insns (limit 1000000)\n-- END PROG LOAD LOG --\n";
        let reason = Reason::of(&io::Error::from_raw_os_error(libc::EINVAL), log);
        assert_eq!(reason, Reason::Rejected("1: (85) call unknown#181; invalid func unknown#181".to_owned()));
    }

    /// Without a word from the verifier, what is not there is said with libbpf's words.
    #[test]
    fn not_there() {
        let log =
            "libbpf: prog 'on_oom_kill_process': failed to find kernel BTF type ID of 'oom_kill_process': -ESRCH\n";
        let reason = Reason::of(&io::Error::from_raw_os_error(libc::ESRCH), log).to_string();
        assert!(reason.starts_with("not in this kernel (prog 'on_oom_kill_process': failed to find"), "{reason}");
    }

    /// No BTF is said as such, whatever the number of the error.
    #[test]
    fn no_btf() {
        let log =
            "libbpf: kernel BTF is missing at '/sys/kernel/btf/vmlinux'\nlibbpf: failed to find valid kernel BTF\n";
        assert_eq!(Reason::of(&io::Error::from_raw_os_error(libc::ESRCH), log), Reason::NoBtf);
    }
}
