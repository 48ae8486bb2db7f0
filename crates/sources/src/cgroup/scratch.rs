//! A memory cgroup to cause an OOM kill in, and nothing outside of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use oomscope_core::units::{Bytes, Limit};

use super::Version;
use super::error::{Error, read, write};
use super::place::{Hierarchy, passes_memory_on};
use crate::host_root::HostRoot;

/// How long removal waits for killed processes to leave.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(3);

/// A cgroup of one's own with a memory limit and no swap. Dropping it removes it; processes in it are never killed, except
/// by the kernel for want of memory.
#[derive(Debug)]
pub struct Scratch {
    version: Version,
    folder: PathBuf,
    kernel_path: PathBuf,
    /// Where this process was when it made the cgroup.
    home: PathBuf,
    /// This process has gone in.
    inside: bool,
    /// The parent did not pass memory on before.
    enabled_in: Option<PathBuf>,
    removed: bool,
}

impl Scratch {
    /// Makes a cgroup under this process's own (v1) or beside it (v2), limited to `limit` of memory and no swap.
    ///
    /// # Errors
    /// [`Error::NoController`]; [`Error::NoPlace`] with every attempt: no permission, a read-only file system (as in most
    /// containers), a parent that may not pass the controller on.
    pub fn create(root: &HostRoot, limit: Bytes) -> Result<Self, Error> {
        let hierarchy = Hierarchy::of_this_machine(root)?;
        let name = unique_name();
        let mut attempts = Vec::new();
        for parent in hierarchy.parents() {
            match Self::create_in(&hierarchy, &parent, &name, limit) {
                Ok(scratch) => return Ok(scratch),
                Err(e) => attempts.push(e),
            }
        }
        Err(Error::NoPlace { attempts })
    }

    fn create_in(hierarchy: &Hierarchy, parent: &Path, name: &str, limit: Bytes) -> Result<Self, Error> {
        let folder = parent.join(name);
        fs::create_dir(&folder).map_err(|source| Error::File {
            doing: "creating".to_owned(),
            path: folder.clone(),
            source,
        })?;
        // From here on dropping it cleans up, also after an error.
        let mut scratch = Self {
            version: hierarchy.version,
            kernel_path: hierarchy.kernel_path(&folder),
            folder,
            home: hierarchy.own.clone(),
            inside: false,
            enabled_in: None,
            removed: false,
        };
        if scratch.version == Version::V2 && !passes_memory_on(parent) {
            write(&parent.join("cgroup.subtree_control"), "+memory")?;
            scratch.enabled_in = Some(parent.to_owned());
        }
        scratch.set_limit(limit)?;
        Ok(scratch)
    }

    fn set_limit(&self, limit: Bytes) -> Result<(), Error> {
        let limit = limit.0.to_string();
        match self.version {
            Version::V1 => {
                write(&self.folder.join("memory.limit_in_bytes"), &limit)?;
                // The file is there only where swap accounting is on; without it, asking not to swap is all one can do.
                let with_swap = self.folder.join("memory.memsw.limit_in_bytes");
                if with_swap.exists() {
                    write(&with_swap, &limit)
                } else {
                    write(&self.folder.join("memory.swappiness"), "0")
                }
            }
            Version::V2 => {
                write(&self.folder.join("memory.max"), &limit)?;
                let swap = self.folder.join("memory.swap.max");
                if swap.exists() { write(&swap, "0") } else { Ok(()) }
            }
        }
    }

    /// Which interface the cgroup has.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path by which the kernel's log calls it; inside a cgroup namespace only the end of that path.
    #[must_use]
    pub fn kernel_path(&self) -> &Path {
        &self.kernel_path
    }

    /// Moves this process in. It leaves again when the cgroup is removed.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn add_self(&mut self) -> Result<(), Error> {
        self.add(std::process::id())?;
        self.inside = true;
        Ok(())
    }

    /// Moves a process in.
    ///
    /// # Errors
    /// [`Error::File`]: no such process, or not one's own.
    pub fn add(&self, pid: u32) -> Result<(), Error> {
        write(&self.folder.join("cgroup.procs"), &pid.to_string())
    }

    /// What is charged to it now.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::NotANumber`].
    pub fn usage(&self) -> Result<Bytes, Error> {
        self.number(match self.version {
            Version::V1 => "memory.usage_in_bytes",
            Version::V2 => "memory.current",
        })
    }

    /// The most that was ever charged to it; `None` on cgroup v2 before Linux 5.19.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::NotANumber`].
    pub fn peak(&self) -> Result<Option<Bytes>, Error> {
        let file = match self.version {
            Version::V1 => "memory.max_usage_in_bytes",
            Version::V2 => "memory.peak",
        };
        if self.folder.join(file).exists() { self.number(file).map(Some) } else { Ok(None) }
    }

    /// The limit in force, which the kernel has rounded down to a page.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::NotANumber`].
    pub fn limit(&self) -> Result<Limit, Error> {
        match self.version {
            Version::V1 => self.number("memory.limit_in_bytes").map(Limit::from_printed),
            Version::V2 => {
                let file = self.folder.join("memory.max");
                if read(&file)?.trim() == "max" {
                    Ok(Limit::Unlimited)
                } else {
                    self.number("memory.max").map(Limit::At)
                }
            }
        }
    }

    /// How many processes the kernel has killed in it; `None` on cgroup v1 before Linux 4.13.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn oom_kills(&self) -> Result<Option<u64>, Error> {
        let file = self.folder.join(match self.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        });
        Ok(read(&file)?.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()))
    }

    /// Removes it, waiting a little for killed processes to be gone.
    ///
    /// # Errors
    /// [`Error::File`], when processes that somebody put there stay.
    pub fn remove(mut self) -> Result<(), Error> {
        self.clean_up()
    }

    fn clean_up(&mut self) -> Result<(), Error> {
        if self.removed {
            return Ok(());
        }
        // Once only: what fails now is not tried again by the drop that follows.
        self.removed = true;
        if self.inside {
            write(&self.home.join("cgroup.procs"), &std::process::id().to_string())?;
        }
        self.remove_folder()?;
        match self.enabled_in.take() {
            // Others may have begun to rely on it: taking it back would take away their limits.
            Some(parent) if has_children(&parent) => Ok(()),
            Some(parent) => write(&parent.join("cgroup.subtree_control"), "-memory"),
            None => Ok(()),
        }
    }

    /// A killed process stays in its cgroup until it has given back its memory; until then the kernel says `EBUSY`.
    fn remove_folder(&self) -> Result<(), Error> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            match fs::remove_dir(&self.folder) {
                Ok(()) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::ResourceBusy && started.elapsed() < REMOVAL_PATIENCE => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(100));
                }
                Err(source) => {
                    return Err(Error::File { doing: "removing".to_owned(), path: self.folder.clone(), source });
                }
            }
        }
    }

    fn number(&self, file: &str) -> Result<Bytes, Error> {
        let path = self.folder.join(file);
        let text = read(&path)?;
        text.trim().parse().map(Bytes).map_err(|_| Error::NotANumber { path, text })
    }
}

impl Drop for Scratch {
    /// As [`Scratch::remove`], except that there is nobody to tell of a failure.
    fn drop(&mut self) {
        let _ = self.clean_up();
    }
}

/// True also where that cannot be seen.
fn has_children(cgroup: &Path) -> bool {
    let is_folder = |entry: io::Result<fs::DirEntry>| entry.and_then(|entry| entry.file_type()).map(|t| t.is_dir());
    fs::read_dir(cgroup).map_or(true, |mut entries| entries.any(|entry| is_folder(entry).unwrap_or(true)))
}

/// Two runs at the same time must not meet.
fn unique_name() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
    format!("oomscope-{}-{since:x}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Bytes = Bytes(32 << 20);

    /// A scratch cgroup where this machine allows one.
    #[expect(clippy::print_stderr, reason = "a skipped test must say so")]
    fn scratch() -> Option<Scratch> {
        match Scratch::create(&HostRoot::default(), LIMIT) {
            Ok(scratch) => Some(scratch),
            Err(e) => {
                eprintln!("SKIPPED: {e}");
                None
            }
        }
    }

    /// The real thing: a limit in force, a process whose memory is charged to it, and nothing left afterwards.
    #[test]
    fn a_real_cgroup() {
        let Some(scratch) = scratch() else { return };
        let folder = scratch.folder().to_owned();
        assert_eq!(scratch.limit().unwrap(), Limit::At(LIMIT));
        assert_eq!(scratch.oom_kills().unwrap().unwrap_or(0), 0);

        // Waits for its standard input, then holds memory, then waits again.
        let mut child = std::process::Command::new("sh")
            .args(["-c", "read go; data=$(head -c 4000000 /dev/zero | tr '\\0' x); echo ${#data}; read go"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        scratch.add(child.id()).unwrap();
        let mut stdin = child.stdin.take().unwrap();
        io::Write::write_all(&mut stdin, b"go\n").unwrap();
        let mut answer = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(child.stdout.take().unwrap()), &mut answer).unwrap();
        assert_eq!(answer.trim(), "4000000");
        assert!(scratch.usage().unwrap() >= Bytes(4_000_000));
        if let Some(peak) = scratch.peak().unwrap() {
            assert!(peak >= scratch.usage().unwrap() || scratch.version() == Version::V2);
        }
        let proc_cgroup = fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap();
        assert!(proc_cgroup.contains(scratch.kernel_path().to_str().unwrap()), "{proc_cgroup}");
        drop(stdin);
        child.wait().unwrap();
        scratch.remove().unwrap();
        assert!(!folder.exists());
    }

    /// Dropping is enough, and a process that is still inside when the removal gives up is left alone.
    #[test]
    fn removal_kills_nobody() {
        let Some(first) = scratch() else { return };
        let folder = first.folder().to_owned();
        drop(first);
        assert!(!folder.exists());

        let Some(second) = scratch() else { return };
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        second.add(child.id()).unwrap();
        let folder = second.folder().to_owned();
        let error = second.remove().unwrap_err().to_string();
        assert!(error.starts_with("removing ") && error.contains("busy"), "{error}");
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_dir(&folder).unwrap();
    }

    /// A parent that was made to pass memory on stops doing so afterwards, unless somebody else's cgroup lives there by then.
    #[test]
    fn a_shared_parent_is_left_alone() {
        let left_in_parent = |neighbour: bool| {
            let tree = tempfile::tempdir().unwrap();
            let parent = tree.path().to_owned();
            fs::write(parent.join("cgroup.subtree_control"), "+memory").unwrap();
            let folder = parent.join("scratch");
            fs::create_dir(&folder).unwrap();
            if neighbour {
                fs::create_dir(parent.join("neighbour")).unwrap();
            }
            let scratch = Scratch {
                version: Version::V2,
                kernel_path: PathBuf::from("/scratch"),
                home: parent.clone(),
                inside: false,
                enabled_in: Some(parent.clone()),
                removed: false,
                folder,
            };
            scratch.remove().unwrap();
            fs::read_to_string(parent.join("cgroup.subtree_control")).unwrap()
        };
        assert_eq!(left_in_parent(false), "-memory");
        assert_eq!(left_in_parent(true), "+memory");
    }

    /// A made-up v2 machine whose controller files cannot be written: every attempt is in the error, and nothing is left.
    #[test]
    fn every_attempt_is_told() {
        let tree = tempfile::tempdir().unwrap();
        let root = HostRoot::at(tree.path());
        let cgroups = root.path("/sys/fs/cgroup");
        fs::create_dir_all(cgroups.join("a/b")).unwrap();
        fs::create_dir_all(root.path("/proc/self")).unwrap();
        fs::write(root.path("/proc/self/mountinfo"), "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n").unwrap();
        fs::write(root.path("/proc/self/cgroup"), "0::/a/b\n").unwrap();
        let none = Scratch::create(&root, LIMIT).unwrap_err();
        assert!(matches!(none, Error::NoController { .. }), "{none}");
        for folder in [cgroups.clone(), cgroups.join("a")] {
            fs::write(folder.join("cgroup.controllers"), "memory\n").unwrap();
            fs::write(folder.join("cgroup.subtree_control"), "memory\n").unwrap();
        }
        let error = Scratch::create(&root, LIMIT).unwrap_err();
        assert!(matches!(&error, Error::NoPlace { attempts } if attempts.len() == 2), "{error}");
        assert!(error.to_string().contains("memory.max: No such file"), "{error}");
        assert_eq!(fs::read_dir(cgroups.join("a")).unwrap().count(), 3);
    }
}
