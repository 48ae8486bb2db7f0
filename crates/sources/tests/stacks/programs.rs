//! Programs that are compiled here, started, and hand out their own registers and stack: what a program in the kernel would have
//! copied.

use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use oomscope_sources::host_root::HostRoot;
use oomscope_sources::process::Proc;
use oomscope_sources::stacks::{RawStack, Registers, Space};

/// A compiled program, in a folder of its own.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    _folder: tempfile::TempDir,
}

/// A program that has handed out its stack and waits.
pub(crate) struct Captured {
    pub(crate) raw: RawStack,
    pub(crate) space: Space,
    child: Child,
}

impl Program {
    /// `None`, loudly, where the compiler is missing or refuses.
    pub(crate) fn build(compiler: &str, source: &str, arguments: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stacks/programs").join(source);
        let mut command = Command::new(compiler);
        if compiler == "go" {
            command
                .current_dir(&source)
                .env("GOCACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/go"))
                .env("GOFLAGS", "-mod=mod");
            command.arg("build").args(arguments).arg("-o").arg(&path);
        } else {
            command.args(arguments).arg(&source).arg("-o").arg(&path);
        }
        match command.output() {
            Ok(output) if output.status.success() => Some(Self { path, _folder: folder }),
            Ok(output) => {
                eprintln!("SKIPPED: {command:?}: {}", String::from_utf8_lossy(&output.stderr));
                None
            }
            Err(e) => {
                eprintln!("SKIPPED: {compiler}: {e}");
                None
            }
        }
    }

    pub(crate) fn strip(self) -> Self {
        assert!(Command::new("strip").arg(&self.path).status().unwrap().success());
        self
    }

    /// Runs it until it has handed out its stack.
    pub(crate) fn capture(&self) -> Captured {
        Self::capture_command(&mut Command::new(&self.path))
    }

    /// The same of a program that another one becomes.
    pub(crate) fn capture_command(command: &mut Command) -> Captured {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let mut registers = [[0; 8]; 3];
        registers.iter_mut().for_each(|register| out.read_exact(register).unwrap());
        let [ip, sp, bp] = registers.map(u64::from_le_bytes);
        // In one piece: a pipe holds that much.
        let mut copy = vec![0; 1 << 16];
        let length = out.read(&mut copy).unwrap();
        copy.truncate(length);
        assert!(length > 100);
        let space = proc().space(child.id()).unwrap();
        let registers = Some(Registers { ip, sp, bp, lr: 0 });
        let frame_pointers = frame_pointers(child.id(), ip, bp);
        let raw = RawStack { pid: child.id(), tid: child.id(), registers, frame_pointers, copy };
        Captured { raw, space, child }
    }
}

/// As the kernel follows them (`perf_callchain_user()`): wherever they lead, up to 127.
fn frame_pointers(pid: u32, ip: u64, mut bp: u64) -> Vec<u64> {
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut found = vec![ip];
    let mut frame = [0; 16];
    while found.len() < 127 && memory.read_exact_at(&mut frame, bp).is_ok() {
        let (words, _) = frame.as_chunks::<8>();
        bp = u64::from_le_bytes(words[0]);
        found.push(u64::from_le_bytes(words[1]));
    }
    found
}

impl Captured {
    /// Ends it and waits until nothing of it is left.
    pub(crate) fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Captured {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn proc() -> Proc {
    Proc::new(&HostRoot::default())
}
