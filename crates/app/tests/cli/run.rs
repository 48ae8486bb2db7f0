//! Runs the program, and the logs that it is given.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use oomscope_testkit::corpus::own_kernel_scenarios;
use serde_json::Value;
use tempfile::TempDir;

/// What a run came to.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// The objects of `-o json`.
    pub(crate) fn cases(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// The pid of the first victim of every case.
    #[track_caller]
    pub(crate) fn victims(&self) -> Vec<u64> {
        self.cases().iter().map(|case| case["incident"]["kills"][0]["victims"][0]["pid"].as_u64().unwrap()).collect()
    }

    #[track_caller]
    pub(crate) fn assert_code(&self, code: i32) {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.out, self.err);
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The program, in an environment that says nothing about terminals and languages.
pub(crate) fn oomscope(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oomscope"));
    for name in ["NO_COLOR", "COLUMNS", "LC_ALL", "LC_CTYPE", "LANG", "TERM"] {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn run(arguments: &[&str]) -> Ran {
    oomscope(arguments).output().unwrap().into()
}

/// With bytes on standard input.
pub(crate) fn run_with_input(arguments: &[&str], input: &[u8]) -> Ran {
    let mut child = oomscope(arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // The program may end before it has read everything.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.into()
}

/// The dmesg of a scenario of the repository: `6.12-v2/f`.
pub(crate) fn dmesg(id: &str) -> Vec<u8> {
    scenario(id).dmesg().unwrap()
}

/// Its records of /dev/kmsg.
pub(crate) fn kmsg(id: &str) -> Vec<u8> {
    scenario(id).kmsg().unwrap()
}

fn scenario(id: &str) -> oomscope_testkit::corpus::KernelScenario {
    own_kernel_scenarios().into_iter().find(|s| s.id() == id).unwrap_or_else(|| panic!("no scenario {id}"))
}

/// One kill, pid 188 of a container.
pub(crate) const ONE_KILL: &str = "6.12-v2/f";

/// Two kills of one machine, pids 182 and 183 of two pods.
pub(crate) const TWO_KILLS: &str = "6.1-v2/e";

/// A kernel's log without any kill.
pub(crate) const NO_KILL: &[u8] = b"[    1.0] Linux version 6.1.0\n[    2.0] EXT4-fs (vda): mounted filesystem\n";

/// A folder for the files of one test.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file and answers its path, for the command line.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path: PathBuf = self.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.into_os_string().into_string().unwrap()
    }
}
