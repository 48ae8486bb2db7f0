//! What unwinding costs: `cargo test -p oomscope-sources --lib stacks::cost -- --ignored --nocapture` prints it.
#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests say what they skip, and what helps them may fail like them"
)]

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::elf::{Bytes, Elf};
use super::module::Module;
use super::slim::Slim;
use super::symbols::Symbols;
use super::{RawStack, Registers, Space, Symboliser, Unwinder};
use crate::host_root::HostRoot;
use crate::process::Proc;

fn space(pid: u32) -> Space {
    Proc::new(&HostRoot::default()).space(pid).unwrap()
}

fn resident() -> u64 {
    let status = std::fs::read("/proc/self/status").unwrap();
    oomscope_core::formats::proc::Status::parse(&status).rss_anon.unwrap().0
}

/// The stack of a process that sleeps in the kernel: /proc tells its instruction and stack pointers, and has its memory.
fn stack_of_sleeping(pid: u32) -> RawStack {
    let deadline = Instant::now() + Duration::from_secs(20);
    let (sp, ip) = loop {
        let text = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap();
        let mut words =
            text.split_whitespace().rev().map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16));
        if let (Some(Ok(ip)), Some(Ok(sp))) = (words.next(), words.next()) {
            break (sp, ip);
        }
        assert!(Instant::now() < deadline);
    };
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut copy = vec![0; 16 << 10];
    let length = std::os::unix::fs::FileExt::read_at(&memory, &mut copy, sp).unwrap();
    copy.truncate(length);
    RawStack { pid, tid: pid, registers: Some(Registers { ip, sp, bp: 0, lr: 0 }), frame_pointers: vec![ip], copy }
}

#[test]
#[ignore = "prints what it costs"]
fn one_process() {
    let program = "import json, time\ndef load(n):\n  if n: return load(n - 1)\n  time.sleep(1000)\nload(5)";
    let Ok(mut python) = std::process::Command::new("/usr/bin/python3").args(["-c", program]).spawn() else { return };
    std::thread::sleep(Duration::from_millis(700));
    let started = Instant::now();
    let space = space(python.id());
    eprintln!("space: {:?}, {} bytes, {} mappings", started.elapsed(), space.memory(), space.mappings().len());
    let raw = stack_of_sleeping(python.id());
    let mut unwinder = Unwinder::new();
    let started = Instant::now();
    let unwound = unwinder.unwind(&space, &raw);
    eprintln!("first: {:?}, {} frames, truncated: {}", started.elapsed(), unwound.addresses.len(), unwound.truncated);
    let started = Instant::now();
    for _ in 0..10_000 {
        unwinder.unwind(&space, &raw);
    }
    eprintln!("next: {:?} each, {} bytes of tables", started.elapsed() / 10_000, unwinder.memory());
    let mut symboliser = Symboliser::new();
    for _ in 0..3 {
        let started = Instant::now();
        let frames = symboliser.frames(&space, &unwound.addresses);
        eprintln!("symbols: {:?}, {} frames, {} bytes", started.elapsed(), frames.len(), symboliser.memory());
    }
    let before = resident();
    let spaces: Vec<_> = (0..200).map(|_| self::space(python.id())).collect();
    eprintln!("200 spaces: {} KiB", (resident() - before) / 1024);
    drop(spaces);
    let _ = python.kill();
    let _ = python.wait();
}

/// The programs and libraries of this machine, largest first, as many as there may be processes.
#[test]
#[ignore = "prints what it costs"]
fn many_files() {
    let folders =
        ["/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/go-1.19/bin", "/usr/lib/go-1.19/pkg/tool/linux_amd64"];
    let mut files: Vec<_> = folders
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flatten()
        .filter_map(|entry| Some((entry.as_ref().ok()?.metadata().ok()?.len(), entry.ok()?.path())))
        .filter(|(_, path)| !path.is_symlink())
        .collect();
    files.sort();
    let files: Vec<_> = files.iter().rev().map(|(_, path)| Bytes::File(Arc::new(File::open(path).unwrap()))).collect();
    let (before, started) = (resident(), Instant::now());
    let modules: Vec<_> = files.iter().filter_map(Module::read).take(200).collect();
    let counted: usize = modules.iter().map(Module::memory).sum();
    let taken = resident() - before;
    eprintln!("unwind tables of {}: {:?}, counted {counted}, resident {taken}", modules.len(), started.elapsed());
    drop(modules);

    let (before, started) = (resident(), Instant::now());
    let mut symbols = Symbols::default();
    let (mut counted, mut opened) = (0, 0);
    for bytes in &files {
        let Some(elf) = Elf::read(bytes) else { continue };
        let Bytes::File(file) = bytes else { continue };
        let size = file.metadata().unwrap().len();
        let Some(slim) = Slim::copy(bytes, size, &elf, 48 << 20) else { continue };
        counted += slim.memory;
        let id = symbols.open(slim).unwrap();
        let text = elf.section(b".text").unwrap();
        for step in 1..20 {
            let _ = symbols.name(id, text.address + step * (text.range.end - text.range.start) / 20);
        }
        opened += 1;
        if opened == 200 {
            break;
        }
    }
    let taken = resident() - before;
    eprintln!("symbols of {opened}: {:?}, copied {counted}, resident besides {taken}", started.elapsed());
}
