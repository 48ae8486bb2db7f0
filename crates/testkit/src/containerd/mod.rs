//! A real containerd, private to one test, and pods run in it as the kubelet runs them: sandboxes and containers over CRI with its
//! labels, its cgroups, its folders of logs and volumes.
//!
//! The node's files are in a temporary folder ([`Containerd::root`]), with links to the machine's `/proc`, `/sys` and `/dev`, so that a
//! program that is told its root sees a node. All of its cgroups are below one of the test's own. Pods have the machine's
//! network, so that no CNI is needed.
//!
//! Needs root, containerd, runc, ctr and a static busybox. Where one is missing, a test says so and is skipped
//! ([`Containerd::or_skip`]), unless `OOMSCOPE_CONTAINERD=required`.

mod cgroups;
mod client;
mod image;
mod messages;
mod plain;
mod pods;
mod spec;
mod teardown;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use oomscope_sources::host_root::HostRoot;
use tempfile::TempDir;

pub use pods::RunningPod;
pub use spec::{ContainerSpec, PodSpec};

use cgroups::Cgroups;
use client::Client;
use messages::Id;

/// How long containerd may take to listen, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Its state, below the root.
const STATE: &str = "run/containerd";

/// A containerd of one's own. Dropping it ends and removes everything that it ran.
#[derive(Debug)]
pub struct Containerd {
    folder: Option<TempDir>,
    daemon: Option<Child>,
    client: Client,
    cgroups: Cgroups,
    sandboxes: Mutex<Vec<Id>>,
    /// Namespaces and ids of containers that no kubelet would know.
    plain: Mutex<Vec<(String, String)>>,
    /// Held while it lives: runs beside each other would only be slow, and see each other's half-made cgroups.
    _turn: File,
}

impl Containerd {
    /// Starts one, or says why the test is skipped.
    ///
    /// # Panics
    /// When it does not start and `OOMSCOPE_CONTAINERD=required`.
    #[must_use]
    #[expect(clippy::print_stderr, reason = "a skipped test must say so")]
    pub fn or_skip(test: &str) -> Option<Self> {
        match Self::start() {
            Ok(containerd) => Some(containerd),
            Err(error) if std::env::var("OOMSCOPE_CONTAINERD").is_ok_and(|value| value == "required") => {
                panic!("{test}: {error:#}")
            }
            Err(error) => {
                eprintln!("SKIPPED {test}: {error:#}");
                None
            }
        }
    }

    /// Starts one.
    ///
    /// # Errors
    /// Without root, or one of the programs; when containerd does not come up.
    pub fn start() -> Result<Self> {
        ensure!(std::env::var_os("OOMSCOPE_NO_CONTAINERD").is_none(), "OOMSCOPE_NO_CONTAINERD is set");
        ensure!(rustix::process::geteuid().is_root(), "only root can run containers");
        for program in ["containerd", "ctr", "runc"] {
            ensure!(is_installed(program), "no {program} here (scripts/need containerd)");
        }
        let busybox = image::busybox().context("no static busybox here (scripts/need busybox)")?;
        let turn = wait_for_turn()?;
        let folder = tempfile::Builder::new().prefix("oomscope-node-").tempdir()?;
        lay_out(folder.path())?;
        let client = Client::new(&folder.path().join(STATE).join("containerd.sock"))?;
        let mut containerd = Self {
            folder: Some(folder),
            daemon: None,
            client,
            cgroups: Cgroups::new()?,
            sandboxes: Mutex::default(),
            plain: Mutex::default(),
            _turn: turn,
        };
        containerd.start_daemon()?;
        let archive = image::write(&busybox, &containerd.root().join("image"))?;
        containerd.import_image(&archive, "k8s.io")?;
        Ok(containerd)
    }

    /// The folder that is the node's `/`.
    ///
    /// # Panics
    /// Never: it is there until the drop.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.folder.as_ref().expect("there until the drop").path()
    }

    /// The same for the sources.
    #[must_use]
    pub fn host_root(&self) -> HostRoot {
        HostRoot::at(self.root())
    }

    /// The socket, on the machine that the test runs on.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.root().join(STATE).join("containerd.sock")
    }

    /// The cgroup that `kubepods` is in, of the memory hierarchy.
    #[must_use]
    pub fn cgroup(&self) -> &Path {
        self.cgroups.folder()
    }

    /// The same as the kernel calls it: a path in the hierarchy.
    #[must_use]
    pub fn cgroup_path(&self) -> String {
        self.cgroups.path("").trim_end_matches('/').to_owned()
    }

    /// Ends the daemon, as an upgrade does. Containers run on; nobody reaps what ends meanwhile.
    pub fn stop_daemon(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        let pid = rustix::process::Pid::from_child(&daemon);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if daemon.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = daemon.kill();
        let _ = daemon.wait();
    }

    /// Starts the daemon (again), and waits until it answers.
    ///
    /// # Errors
    /// With the end of its log, when it does not.
    pub fn start_daemon(&mut self) -> Result<()> {
        let log = File::create(self.root().join("containerd.log"))?;
        let daemon = Command::new("containerd")
            .arg("--config")
            .arg(self.root().join("containerd.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting containerd")?;
        let daemon = self.daemon.insert(daemon);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.client.call::<_, messages::Nothing>("Version", messages::Nothing {}) {
                Ok(_) => return Ok(()),
                Err(error) if daemon.try_wait()?.is_some() || Instant::now() > deadline => {
                    let log = fs::read_to_string(self.root().join("containerd.log")).unwrap_or_default();
                    let end: Vec<&str> = log.lines().rev().take(5).collect();
                    bail!("containerd does not answer ({error:#}); the end of its log: {end:#?}");
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn import_image(&self, archive: &Path, namespace: &str) -> Result<()> {
        let arguments = ["images", "import", "--snapshotter", "native"];
        self.ctr(namespace, arguments.iter().map(AsRef::<OsStr>::as_ref).chain([archive.as_os_str()])).map(drop)
    }

    /// Runs containerd's own client; answers what it printed.
    fn ctr<S: AsRef<OsStr>>(&self, namespace: &str, arguments: impl IntoIterator<Item = S>) -> Result<String> {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(self.socket()).args(["--namespace", namespace]).args(arguments);
        let output = ctr.stdin(Stdio::null()).output().context("running ctr")?;
        ensure!(output.status.success(), "{ctr:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// A list is as good after a panic as before.
fn lock<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(program).is_file())
}

/// One at a time on the whole machine, whichever test program asks.
fn wait_for_turn() -> Result<File> {
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(std::env::temp_dir().join("oomscope-containerd.lock"))?;
    lock.lock()?;
    Ok(lock)
}

/// The folders of a node, and containerd's configuration.
fn lay_out(root: &Path) -> Result<()> {
    for folder in [STATE, "var/lib/containerd", "var/log/pods", "var/log/containers", "var/lib/kubelet/pods", "control"]
    {
        fs::create_dir_all(root.join(folder))?;
    }
    for machines in ["proc", "sys", "dev"] {
        symlink(Path::new("/").join(machines), root.join(machines))?;
    }
    fs::write(root.join("containerd.toml"), configuration(root))?;
    Ok(())
}

/// `restrict_oom_score_adj`, because a machine may not let even root lower it; the native snapshotter works on every file system.
fn configuration(root: &Path) -> String {
    let root = root.display();
    let image = image::IMAGE;
    format!(
        r#"version = 2
root = "{root}/var/lib/containerd"
state = "{root}/{STATE}"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt",
]
[grpc]
  address = "{root}/{STATE}/containerd.sock"
[ttrpc]
  address = "{root}/{STATE}/containerd.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{image}"
  restrict_oom_score_adj = true
  disable_tcp_service = true
  stream_server_port = "0"
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{root}/cni/bin"
    conf_dir = "{root}/cni/conf"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{root}/run/runc"
"#
    )
}
