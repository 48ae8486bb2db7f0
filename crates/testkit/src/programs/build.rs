//! Compiles the programs, with what is here.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::kind::{Kind, Language};

/// Ready to run.
#[derive(Clone, Debug)]
pub struct Program {
    /// What it is.
    pub kind: Kind,
    /// The file that is executed: its own, or the interpreter's.
    pub executable: PathBuf,
    /// Arguments that come before its own.
    pub first: Vec<OsString>,
    /// Files that it reads besides.
    pub files: Vec<PathBuf>,
}

impl Program {
    /// The folder that it was built in.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.files.first().unwrap_or(&self.executable).parent()
    }
}

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub enum Unbuilt {
    /// A compiler or interpreter is not here: a test that needs it is skipped.
    #[error("{tool} is not here")]
    Missing {
        /// Which.
        tool: &'static str,
    },
    /// It is, and failed.
    #[error("building {kind}: {why}")]
    Failed {
        /// Which program.
        kind: &'static str,
        /// What the compiler said.
        why: String,
    },
}

/// Compiles a program into a folder. No network is used, and nothing is written anywhere else.
///
/// # Errors
/// [`Unbuilt`].
pub fn build(kind: Kind, into: &Path) -> Result<Program, Unbuilt> {
    let source = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("programs").join(name);
    let out = into.join(kind.name);
    let compiled = |first: Command, source: &Path| -> Result<Program, Unbuilt> {
        let mut command = first;
        run(kind, command.args(kind.flags).arg("-o").arg(&out).arg(source))?;
        Ok(Program { kind, executable: out.clone(), first: Vec::new(), files: Vec::new() })
    };
    // Interpreted programs get a file of their own too, so that what a test does to it harms nobody.
    let interpreted = |interpreter: PathBuf, name: &str| -> Result<Program, Unbuilt> {
        let script = into.join(name);
        std::fs::copy(source(name), &script).map_err(|error| failed(kind, &error))?;
        let first = kind.flags.iter().map(OsString::from).chain([script.clone().into()]).collect();
        Ok(Program { kind, executable: interpreter, first, files: vec![script] })
    };
    match kind.language {
        Language::C => compiled(Command::new(tool("cc")?), &source("catalog.c")),
        Language::Cpp => {
            let mut command = Command::new(tool("c++")?);
            command.arg("-std=c++17");
            compiled(command, &source("catalog.cpp"))
        }
        Language::Rust => {
            let mut command = Command::new(tool("rustc")?);
            command.args(["--edition", "2024"]);
            compiled(command, &source("catalog.rs"))
        }
        Language::Go => {
            let mut command = Command::new(tool("go")?);
            command.arg("build").env("GO111MODULE", "off").env("GOFLAGS", "").env("GOCACHE", into.join("go-cache"));
            compiled(command, &source("catalog.go"))
        }
        Language::Python => interpreted(python()?, "catalog.py"),
        Language::Javascript => interpreted(tool("node")?, "catalog.js"),
        Language::Java => java(kind, &source("Catalog.java"), into),
    }
}

fn java(kind: Kind, source: &Path, into: &Path) -> Result<Program, Unbuilt> {
    let executable = tool("java")?;
    run(kind, Command::new(tool("javac")?).arg("-d").arg(into).arg(source))?;
    let first = kind.flags.iter().map(OsString::from).chain(["-cp".into(), into.into(), "Catalog".into()]).collect();
    Ok(Program { kind, executable, first, files: Vec::new() })
}

/// pyenv's `python3` is a script that chooses one: what it chooses is asked for.
fn python() -> Result<PathBuf, Unbuilt> {
    const ASK: &str = "import os, sys; print(os.path.realpath(sys.executable))";
    let output = Command::new(tool("python3")?).args(["-c", ASK]).output();
    match output {
        Ok(Output { status, stdout, .. }) if status.success() => {
            Ok(PathBuf::from(String::from_utf8_lossy(&stdout).trim_end()))
        }
        _ => Err(Unbuilt::Missing { tool: "python3" }),
    }
}

/// Its place in the search path, links followed.
fn tool(name: &'static str) -> Result<PathBuf, Unbuilt> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = std::env::split_paths(&path).map(|folder| folder.join(name));
    // rustup's stand-ins go by the name that they are called by: their links are not followed.
    let found = candidates.into_iter().find(|candidate| candidate.is_file()).ok_or(Unbuilt::Missing { tool: name })?;
    if matches!(name, "java" | "node") {
        found.canonicalize().map_err(|_| Unbuilt::Missing { tool: name })
    } else {
        Ok(found)
    }
}

fn run(kind: Kind, command: &mut Command) -> Result<(), Unbuilt> {
    let output = command.output().map_err(|error| failed(kind, &error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(kind, &String::from_utf8_lossy(&output.stderr)))
}

fn failed(kind: Kind, why: &dyn std::fmt::Display) -> Unbuilt {
    Unbuilt::Failed { kind: kind.name, why: why.to_string() }
}
