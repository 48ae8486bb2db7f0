//! Runs a program until it is killed, or done.

use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use oomscope_sources::cgroup::Scratch;

use super::build::Program;
use super::kind::Function;

/// What it is to do.
#[derive(Clone, Copy, Debug)]
pub enum Task {
    /// Keep so many MiB, or be killed.
    Grow {
        /// How many.
        mib: u64,
    },
    /// Leak at a pace, beside others that allocate more and free it.
    Leak {
        /// MiB a second.
        mib_per_second: u64,
        /// For so long.
        seconds: u64,
    },
}

/// Where its files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where it was built.
    Here,
    /// In a mount namespace of its own, whose root has nothing but it and its libraries, in memory: this machine's paths say nothing
    /// there. Compiled programs only.
    Alone,
    /// Where it was built, and deleted before it begins. Compiled programs only.
    Deleted,
}

/// A running program, which has not begun. Ended when dropped.
#[derive(Debug)]
pub struct Hog {
    child: Child,
    stdin: Option<ChildStdin>,
}

/// Makes a root in memory from the program and its libraries ($3…), and goes there as container runtimes do. The process keeps its pid.
/// What was the root before stays mounted in a folder there, to which no path leads that the program uses.
const GO_ALONE: &str = r#"
set -e
root=$1 program=$2 wanted=$3; shift 3
mount -t tmpfs alone "$root"
for file in $wanted; do mkdir -p "$root${file%/*}"; cp -L "$file" "$root$file"; done
mkdir -p "$root/proc" "$root/before"
cd "$root"
pivot_root . before
exec "$program" "$@"
"#;

impl Hog {
    /// Starts it and waits until it says that it is ready.
    ///
    /// # Errors
    /// It could not be started, or ended at once.
    pub fn start(program: &Program, function: Function, task: Task, place: Place) -> io::Result<Self> {
        let mut command = match place {
            Place::Here | Place::Deleted => Command::new(&program.executable),
            Place::Alone => alone(&program.executable)?,
        };
        command.args(&program.first).args(arguments(program, function, task));
        // V8 leaves a log in the folder that it is started in.
        if let Some(folder) = program.folder() {
            command.current_dir(folder);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let hog = Self { child, stdin };
        let mut line = String::new();
        if let Some(stdout) = stdout {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        if line != "ready\n" {
            return Err(io::Error::other(format!(
                "{} said {line:?} where it says that it is ready",
                program.kind.name
            )));
        }
        if program.kind.asks_for_perf_map() {
            write_perf_map(hog.pid())?;
        }
        if place == Place::Deleted {
            std::fs::remove_file(&program.executable)?;
        }
        Ok(hog)
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Puts it into a cgroup.
    ///
    /// # Errors
    /// As of [`Scratch::add`].
    pub fn enter(&self, scratch: &Scratch) -> Result<(), oomscope_sources::cgroup::Error> {
        scratch.add(self.pid())
    }

    /// Lets it begin.
    ///
    /// # Errors
    /// It has ended.
    pub fn begin(&mut self) -> io::Result<()> {
        match &mut self.stdin {
            Some(stdin) => stdin.write_all(b"go\n"),
            None => Ok(()),
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(perf_map(self.pid()));
    }
}

fn arguments(program: &Program, function: Function, task: Task) -> Vec<String> {
    let name = function.name(program.kind.language).to_owned();
    match task {
        Task::Grow { mib } => vec!["grow".to_owned(), name, mib.to_string()],
        Task::Leak { mib_per_second, seconds } => {
            vec!["leak".to_owned(), name, mib_per_second.to_string(), seconds.to_string()]
        }
    }
}

/// The command up to the program's own arguments. The mount vanishes with the process; the folder below it is the program's.
fn alone(executable: &Path) -> io::Result<Command> {
    let root = executable.with_extension("root");
    std::fs::create_dir_all(&root)?;
    let files: Vec<String> = std::iter::once(executable.to_owned())
        .chain(libraries(executable)?)
        .map(|path| path.display().to_string())
        .collect();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", GO_ALONE, "sh"]).arg(root).arg(executable).arg(files.join(" "));
    Ok(command)
}

/// None for a static program, of which `ldd` says so and fails.
fn libraries(executable: &Path) -> io::Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(executable).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.split_ascii_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

/// HotSpot writes one on request (JDK 17): `-XX:+DumpPerfMapAtExit` would at an orderly end only.
fn write_perf_map(pid: u32) -> io::Result<()> {
    let status = Command::new("jcmd")
        .args([OsStr::new(&pid.to_string()), OsStr::new("Compiler.perfmap")])
        .stdout(Stdio::null())
        .status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("jcmd Compiler.perfmap failed")) }
}

fn perf_map(pid: u32) -> PathBuf {
    PathBuf::from(format!("/tmp/perf-{pid}.map"))
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, Unbuilt, build};
    use super::*;

    /// Every kind that this machine can build runs to its end: exit code 3 says that it grew and was not killed.
    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test must say so")]
    fn every_kind_runs() {
        for kind in Kind::ALL.into_iter().chain([Kind::NAMELESS]) {
            let folder = tempfile::tempdir().unwrap();
            let program = match build(kind, folder.path()) {
                Ok(program) => program,
                Err(Unbuilt::Missing { tool }) => {
                    eprintln!("SKIPPED: {}: no {tool}", kind.name);
                    continue;
                }
                Err(error) => panic!("{error}"),
            };
            let mut hog = Hog::start(&program, Function::BuildIndex, Task::Grow { mib: 3 }, Place::Here).unwrap();
            hog.begin().unwrap();
            assert_eq!(hog.wait().unwrap().code(), Some(3), "{}", kind.name);
        }
    }

    /// In a root of its own the program sees nothing of this machine, and deleted it still runs.
    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test must say so")]
    fn out_of_sight() {
        for place in [Place::Alone, Place::Deleted] {
            let folder = tempfile::tempdir().unwrap();
            let Ok(program) = build(Kind::ALL[0], folder.path()) else {
                eprintln!("SKIPPED: no C compiler");
                return;
            };
            let started = Hog::start(&program, Function::FillCache, Task::Grow { mib: 3 }, place);
            let mut hog = match started {
                Ok(hog) => hog,
                Err(error) if place == Place::Alone => {
                    eprintln!("SKIPPED: a root of its own: {error}");
                    continue;
                }
                Err(error) => panic!("{error}"),
            };
            let exe = std::fs::read_link(format!("/proc/{}/exe", hog.pid())).unwrap();
            let root = std::fs::read_dir(format!("/proc/{}/root", hog.pid())).unwrap();
            match place {
                Place::Alone => assert!(root.flatten().all(|entry| entry.file_name() != "etc")),
                _ => assert!(exe.to_string_lossy().ends_with(" (deleted)")),
            }
            hog.begin().unwrap();
            assert_eq!(hog.wait().unwrap().code(), Some(3));
        }
    }
}
