//! Names of the kernel's functions, from `/proc/kallsyms`.
//!
//! The list has some 200,000 lines and takes tens of milliseconds and megabytes: it is read once for each stack that holds an unknown
//! address, never kept, and the answers are. Kills happen in few places of the kernel, so that is once or twice.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::ops::Range;

use oomscope_core::evidence::{Gap, KernelStack};

use crate::host_root::HostRoot;

const LIST: &str = "/proc/kallsyms";

/// More distinct addresses are not remembered.
const REMEMBERED: usize = 4096;

/// Names addresses of the kernel.
#[derive(Debug)]
pub struct KernelSymbols {
    root: HostRoot,
    names: HashMap<u64, String>,
}

impl KernelSymbols {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(root: HostRoot) -> Self {
        Self { root, names: HashMap::new() }
    }

    /// Each as the kernel's log writes it, `try_charge_memcg+0x488/0x630`; an address that lies in no function as a number. Without the
    /// frames of the program that took the stack, and of what called that program.
    ///
    /// # Errors
    /// The list cannot be read, or has no addresses (`kernel.kptr_restrict`).
    pub fn name(&mut self, addresses: &[u64]) -> Result<KernelStack, Gap> {
        if self.names.len() > REMEMBERED {
            self.names.clear();
        }
        let mut unknown: Vec<u64> = addresses.iter().copied().filter(|a| !self.names.contains_key(a)).collect();
        if !unknown.is_empty() {
            unknown.sort_unstable();
            unknown.dedup();
            let found = self.look_up(&unknown).map_err(|why| Gap::new("names of the kernel's functions", why))?;
            self.names.extend(unknown.iter().zip(found).map(|(&address, around)| (address, around.name(address))));
        }
        let names: Vec<&String> = addresses.iter().filter_map(|address| self.names.get(address)).collect();
        let own = names.iter().rposition(|name| is_of_a_program(name)).map_or(0, |last| last + 1);
        Ok(names.into_iter().skip(own).cloned().collect())
    }

    /// Where functions of these names lie, by group: also those parts of them that the compiler split off (`name.part.0`).
    ///
    /// # Errors
    /// As [`name`](Self::name).
    #[cfg_attr(not(feature = "ebpf"), expect(dead_code, reason = "what the programs are told"))]
    pub(super) fn places<const N: usize>(&self, groups: [&[&str]; N]) -> Result<[Vec<Range<u64>>; N], Gap> {
        let gap = |why| Gap::new("where functions of the kernel lie", why);
        let mut places: [Vec<Range<u64>>; N] = std::array::from_fn(|_| Vec::new());
        // The kernel's own functions come in the order of their addresses: the next one is the end of the one before.
        let mut open: Option<(usize, u64)> = None;
        let mut any = false;
        let mut note = |address, name: &[u8]| {
            any |= address != 0;
            if let Some((group, start)) = open.filter(|&(_, start)| address > start) {
                places[group].push(start..address);
                open = None;
            }
            let base = name.split(|&b| b == b'.').next().unwrap_or_default();
            let of_group = |group: &&[&str]| group.iter().any(|wanted| wanted.as_bytes() == base);
            if let Some(group) = groups.iter().position(of_group) {
                open = Some((group, address));
            }
        };
        self.lines().and_then(|lines| each(lines, &mut note)).map_err(|e| gap(self.failed(&e)))?;
        if any { Ok(places) } else { Err(gap(format!("{LIST} hides addresses (kernel.kptr_restrict)"))) }
    }

    /// What lies around each of `wanted`, which is sorted.
    fn look_up(&self, wanted: &[u64]) -> Result<Vec<Around>, String> {
        let found = self.lines().and_then(|lines| search(lines, wanted)).map_err(|e| self.failed(&e))?;
        found.ok_or_else(|| format!("{LIST} hides addresses (kernel.kptr_restrict)"))
    }

    fn lines(&self) -> io::Result<BufReader<File>> {
        Ok(BufReader::with_capacity(1 << 16, File::open(self.root.path(LIST))?))
    }

    fn failed(&self, error: &io::Error) -> String {
        format!("reading {}: {error}", self.root.path(LIST).display())
    }
}

/// `bpf_prog_6deef7357e7b4530_on_kill`, what calls programs, and what calls that.
fn is_of_a_program(name: &str) -> bool {
    const PREFIXES: [&str; 9] = [
        "bpf_prog_",
        "bpf_trace_run",
        "__bpf_trace_",
        "__traceiter_",
        "bpf_trampoline_",
        "trace_call_bpf",
        "perf_trace_",
        "perf_call_bpf_enter",
        "bpf_get_stack",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The function that begins last at or before an address, and where the next one begins.
#[derive(Debug, Default, PartialEq, Eq)]
struct Around {
    start: u64,
    name: Vec<u8>,
    end: Option<u64>,
}

impl Around {
    fn name(&self, address: u64) -> String {
        if self.start == 0 {
            return format!("{address:#x}");
        }
        let size = self.end.map_or(String::new(), |end| format!("/{:#x}", end - self.start));
        format!("{}+{:#x}{size}", String::from_utf8_lossy(&self.name), address - self.start)
    }
}

/// In one pass, for each of the sorted `wanted`; the list is in no order. `None` where all its addresses are zero.
fn search(lines: impl BufRead, wanted: &[u64]) -> io::Result<Option<Vec<Around>>> {
    let mut around: Vec<Around> = wanted.iter().map(|_| Around::default()).collect();
    let mut any = false;
    each(lines, &mut |start, name| {
        any |= start != 0;
        // A function may be the one of all addresses behind its start, and the end of the one before.
        let (before, behind) = around.split_at_mut(wanted.partition_point(|&address| address < start));
        for found in behind.iter_mut().filter(|found| start > found.start) {
            found.start = start;
            found.name.clear();
            found.name.extend_from_slice(name);
        }
        for found in before.iter_mut().filter(|found| found.end.is_none_or(|end| start < end)) {
            found.end = Some(start);
        }
    })?;
    Ok(any.then_some(around))
}

/// Calls `on` with start and name of each function.
fn each(mut lines: impl BufRead, on: &mut dyn FnMut(u64, &[u8])) -> io::Result<()> {
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        if let Some((start, name)) = function(&line) {
            on(start, name);
        }
        line.clear();
    }
    Ok(())
}

/// `ffffffff81000000 T _text`, with the module in brackets after a tab.
fn function(line: &[u8]) -> Option<(u64, &[u8])> {
    let (address, rest) = line.split_at_checked(line.iter().position(|&b| b == b' ')?)?;
    let [b' ', b't' | b'T' | b'w' | b'W', b' ', name @ ..] = rest else { return None };
    let address = address.iter().try_fold(0u64, |sum, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(sum << 4 | u64::from(digit))
    })?;
    let end = name.iter().position(u8::is_ascii_whitespace).unwrap_or(name.len());
    Some((address, &name[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: &str = "ffffffff81000300 T out_of_memory\nffffffff81000100 t oom_kill_process\nffffffff81000200 D data\n\
                        ffffffffc0000000 t in_module\t[ext4]\n";

    /// Offset and size are as in the kernel's log, whatever the order of the list, and data is no function.
    #[test]
    fn as_in_the_log() {
        let wanted = [0x10, 0xffff_ffff_8100_0210, 0xffff_ffff_8100_0304];
        let found = search(SOME.as_bytes(), &wanted).unwrap().unwrap();
        let names: Vec<String> = wanted.iter().zip(&found).map(|(&address, around)| around.name(address)).collect();
        assert_eq!(names, ["0x10", "oom_kill_process+0x110/0x200", "out_of_memory+0x4/0x3efffd00"]);
    }

    /// Where the kernel hides its addresses that is said, not a wrong name.
    #[test]
    fn hidden_addresses() {
        assert_eq!(search(&b"0000000000000000 T out_of_memory\n"[..], &[5]).unwrap(), None);
    }

    /// The list of this machine: a function's own address is the function, at offset 0.
    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test must say so")]
    fn of_this_machine() {
        let list = std::fs::read("/proc/kallsyms").unwrap_or_default();
        let own = list.split(|&b| b == b'\n').filter_map(function).find(|(_, name)| *name == b"out_of_memory");
        let Some((start, _)) = own.filter(|(start, _)| *start != 0) else {
            eprintln!("SKIPPED: /proc/kallsyms has no addresses here");
            return;
        };
        let names = KernelSymbols::new(HostRoot::default()).name(&[start + 1, start + 1, 1]).unwrap();
        assert!(names[0].starts_with("out_of_memory+0x1/0x"), "{names:?}");
        assert_eq!(names[0], names[1]);
        assert_eq!(names[2], "0x1");
    }
}
