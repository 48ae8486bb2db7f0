//! Names of the kernel's functions, from `/proc/kallsyms`.
//!
//! The list has some 200,000 lines and takes tens of milliseconds and megabytes: it is read once for each stack that holds an unknown
//! address, never kept, and the answers are. Kills happen in few places of the kernel, so that is once or twice.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};

use oomscope_core::evidence::{Gap, KernelStack};

use crate::host_root::HostRoot;

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

    /// Each as the kernel's log writes it, `try_charge_memcg+0x488/0x630`; an address that lies in no function as a number.
    ///
    /// # Errors
    /// The list cannot be read, or has no addresses (`kernel.kptr_restrict`).
    pub fn name(&mut self, addresses: &[u64]) -> Result<KernelStack, Gap> {
        let mut unknown: Vec<u64> = addresses.iter().copied().filter(|a| !self.names.contains_key(a)).collect();
        if !unknown.is_empty() {
            unknown.sort_unstable();
            unknown.dedup();
            if self.names.len() + unknown.len() > REMEMBERED {
                self.names.clear();
                unknown = addresses.to_vec();
                unknown.sort_unstable();
                unknown.dedup();
            }
            let found = self.look_up(&unknown).map_err(|why| Gap::new("names of the kernel's functions", why))?;
            self.names.extend(found);
        }
        Ok(addresses.iter().map(|a| self.names.get(a).cloned().unwrap_or_else(|| format!("{a:#x}"))).collect())
    }

    /// `wanted` is sorted.
    fn look_up(&self, wanted: &[u64]) -> Result<Vec<(u64, String)>, String> {
        let path = self.root.path("/proc/kallsyms");
        let failed = |e: std::io::Error| format!("reading {}: {e}", path.display());
        let lines = BufReader::with_capacity(1 << 16, File::open(&path).map_err(failed)?);
        search(lines, wanted).map_err(failed)?.ok_or_else(|| format!("{} hides addresses (kptr_restrict)", path.display()))
    }
}

/// The function that begins last at or before an address, and where the next one begins.
#[derive(Default)]
struct Around {
    start: u64,
    name: Vec<u8>,
    end: Option<u64>,
}

/// One pass; lines come in no order. `None` where all addresses are zero.
fn search(mut lines: impl BufRead, wanted: &[u64]) -> std::io::Result<Option<Vec<(u64, String)>>> {
    let mut around: Vec<Around> = wanted.iter().map(|_| Around::default()).collect();
    let mut any = false;
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        if let Some((start, name)) = text_symbol(&line) {
            any |= start != 0;
            // Each symbol is the best so far for those at or after it, and the end of those before it.
            let after = wanted.partition_point(|&address| address < start);
            let (before, at_or_after) = around.split_at_mut(after.min(wanted.len()));
            for found in at_or_after.iter_mut().filter(|found| start > found.start) {
                found.start = start;
                found.name.clear();
                found.name.extend_from_slice(name);
            }
            for found in before.iter_mut().filter(|found| found.end.is_none_or(|end| start < end)) {
                found.end = Some(start);
            }
        }
        line.clear();
    }
    let named = wanted.iter().zip(around).filter(|(_, found)| found.start != 0).map(|(&address, found)| {
        let name = String::from_utf8_lossy(&found.name);
        let size = found.end.map_or(String::new(), |end| format!("/{:#x}", end - found.start));
        (address, format!("{name}+{:#x}{size}", address - found.start))
    });
    Ok(any.then(|| named.collect()))
}

/// `ffffffff81000000 T _text`, with the module in brackets after a tab; only code.
fn text_symbol(line: &[u8]) -> Option<(u64, &[u8])> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let start = u64::from_str_radix(std::str::from_utf8(words.next()?).ok()?, 16).ok()?;
    let is_code = matches!(words.next()?, b"t" | b"T" | b"w" | b"W");
    is_code.then_some((start, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "ffffffff81000300 T out_of_memory\nffffffff81000100 t oom_kill_process\nffffffff81000200 D data\n\
                        ffffffffc0000000 t in_module\t[ext4]\n";

    /// Offset and size are as in the kernel's log, whatever the order of the list, and data is no function.
    #[test]
    fn as_in_the_log() {
        let found = search(LIST.as_bytes(), &[0x10, 0xffff_ffff_8100_0210, 0xffff_ffff_8100_0304]).unwrap().unwrap();
        let names: Vec<&str> = found.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["oom_kill_process+0x110/0x200", "out_of_memory+0x4/0x3efffd00"]);
    }

    /// Where the kernel hides its addresses that is said, not a wrong name.
    #[test]
    fn hidden_addresses() {
        assert_eq!(search(&b"0000000000000000 T out_of_memory\n"[..], &[5]).unwrap(), None);
    }

    /// The list of this machine: a function's own address is the function, at offset 0.
    #[test]
    fn of_this_machine() {
        let list = std::fs::read("/proc/kallsyms").unwrap_or_default();
        let own = list.split(|&b| b == b'\n').filter_map(text_symbol).find(|(_, name)| *name == b"out_of_memory");
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
