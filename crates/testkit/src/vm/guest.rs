//! One boot.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::initramfs::Archive;
use super::kernel::{Kernel, root};

/// Which version of cgroups the guest mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cgroups {
    /// Separate hierarchies for memory and cpuset.
    V1,
    /// The unified hierarchy.
    V2,
}

/// A machine to boot.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Its kernel.
    pub kernel: Kernel,
    /// Its cgroups.
    pub cgroups: Cgroups,
    /// The scenarios to run, all where empty.
    pub scenarios: Vec<String>,
    /// The statically linked oomscope.
    pub oomscope: PathBuf,
}

/// Node 0 holds the machine, node 1 is small enough to be filled by the scenarios of cpusets and memory policies.
const NODES_MIB: [u32; 2] = [416, 80];
/// For the log of all scenarios, and still small enough to be overwritten on purpose.
const LOG_BYTES: &str = "2M";
const RESULTS_BYTES: u64 = 64 << 20;
const SWAP_BYTES: u64 = 64 << 20;
/// A boot takes 3 to 10 s on an idle machine.
const BOOT: Duration = Duration::from_secs(60);
const WHOLE_RUN: Duration = Duration::from_secs(300);
/// How often a guest may fail to boot, and how often it may crash or hang later on, which costs minutes.
const BOOTS: u32 = 8;
const RUNS: u32 = 3;

enum End {
    Finished,
    NotBooted(&'static str),
    Crashed(&'static str),
}

impl Guest {
    /// Boots, runs the scenarios, and leaves the guest's results and `console.txt` in `into`, a folder that this makes anew.
    ///
    /// # Errors
    ///
    /// Something to boot is missing, or the guest crashed or hung each time; `console.txt` then tells more.
    #[expect(clippy::print_stderr, reason = "a test says why it takes longer")]
    pub fn run(&self, into: &Path) -> Result<()> {
        if into.exists() {
            fs::remove_dir_all(into).with_context(|| format!("emptying {}", into.display()))?;
        }
        fs::create_dir_all(into)?;
        fs::write(into.join("initramfs"), self.initramfs(into)?)?;
        let (mut boots, mut runs) = (0, 0);
        while boots < BOOTS && runs < RUNS {
            let how = match self.boot(into)? {
                End::Finished => {
                    fs::remove_file(into.join("initramfs"))?;
                    return unpack(into);
                }
                End::NotBooted(how) => {
                    boots += 1;
                    how
                }
                End::Crashed(how) => {
                    runs += 1;
                    how
                }
            };
            let kept = format!("console-{}.txt", boots + runs);
            eprintln!("{}: {how}, see {kept}; once more", into.display());
            fs::rename(into.join("console.txt"), into.join(kept))?;
        }
        bail!("the guest never came to its end, see {}", into.display());
    }

    fn initramfs(&self, scratch: &Path) -> Result<Vec<u8>> {
        let mut archive = Archive::new();
        archive.directory("bin");
        archive.copy("bin/busybox", &root().join("busybox"))?;
        archive.copy("load", &load_generator(scratch)?)?;
        archive.copy("oomscope", &self.oomscope)?;
        archive.file("init", include_bytes!("guest/init"));
        archive.file("library.sh", include_bytes!("guest/library.sh"));
        archive.file("scenarios.sh", include_bytes!("guest/scenarios.sh"));
        archive.directory("modules");
        for module in self.kernel.modules()? {
            let name = module.file_name().and_then(|name| name.to_str()).context("a module without a name")?;
            archive.copy(&format!("modules/{name}"), &module)?;
        }
        Ok(archive.finish())
    }

    fn boot(&self, into: &Path) -> Result<End> {
        for (disk, bytes) in [("results.img", RESULTS_BYTES), ("swap.img", SWAP_BYTES)] {
            File::create(into.join(disk))?.set_len(bytes)?;
        }
        let console = into.join("console.txt");
        File::create(&console)?;
        let mut qemu = Running(self.command(into).spawn().context("starting qemu-system-x86_64")?);
        let started = Instant::now();
        loop {
            let ended = qemu.0.try_wait()?.is_some();
            let text = String::from_utf8_lossy(&fs::read(&console).unwrap_or_default()).into_owned();
            if text.contains("guest: done") {
                return Ok(End::Finished);
            }
            let is_up = text.contains("guest: up");
            let waited = started.elapsed();
            let trouble = if CRASHES.iter().any(|crash| text.contains(crash)) {
                "the guest's kernel crashed"
            } else if ended {
                "the guest ended early"
            } else if waited > WHOLE_RUN || (waited > BOOT && !is_up) {
                "the guest hangs"
            } else {
                ""
            };
            if !trouble.is_empty() {
                return Ok(if is_up { End::Crashed(trouble) } else { End::NotBooted(trouble) });
            }
            sleep(Duration::from_millis(100));
        }
    }

    fn command(&self, into: &Path) -> Command {
        let cgroups = match self.cgroups {
            Cgroups::V1 => "v1",
            Cgroups::V2 => "v2",
        };
        let arguments = format!(
            "console=ttyS0 loglevel=1 psi=1 panic=-1 oops=panic swapaccount=1 printk.devkmsg=on log_buf_len={LOG_BYTES} \
             cgroups={cgroups} {}",
            if self.scenarios.is_empty() { String::new() } else { format!("scenarios={}", self.scenarios.join(",")) }
        );
        let mut command = Command::new("qemu-system-x86_64");
        // Without cx16: the emulation of cmpxchg16b broke the allocator of 6.12.
        command.args(["-accel", "tcg,thread=multi", "-cpu", "max,-cx16", "-smp", "2"]);
        command.args(["-m", &NODES_MIB.iter().sum::<u32>().to_string()]);
        for (node, mib) in NODES_MIB.into_iter().enumerate() {
            command.args(["-object", &format!("memory-backend-ram,id=m{node},size={mib}M")]);
            command.args(["-numa", &format!("node,nodeid={node},cpus={node},memdev=m{node}")]);
        }
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        command.arg("-serial").arg(format!("file:{}", into.join("console.txt").display()));
        for disk in ["results.img", "swap.img"] {
            let file = into.join(disk);
            command.arg("-drive").arg(format!("file={},if=virtio,format=raw,cache=unsafe", file.display()));
        }
        command.arg("-kernel").arg(self.kernel.image()).arg("-initrd").arg(into.join("initramfs"));
        command.args(["-append", &arguments]).stdin(Stdio::null());
        command
    }
}

/// What a kernel prints that cannot go on. An out-of-memory panic would be one too: the scenarios cause none.
const CRASHES: [&str; 5] =
    ["Kernel panic", "double fault", "general protection fault", "BUG: unable to handle", "kernel BUG at"];

/// Ends with the test, also when that fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Compiles what the processes of the scenarios run.
fn load_generator(scratch: &Path) -> Result<PathBuf> {
    let program = scratch.join("load");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/vm/guest/load.c");
    let status = Command::new("cc")
        .args(["-O1", "-fno-inline", "-static", "-pthread", "-o"])
        .arg(&program)
        .arg(source)
        .status()?;
    ensure!(status.success(), "cc could not compile the load generator (a static libc is needed)");
    Ok(program)
}

fn unpack(into: &Path) -> Result<()> {
    let image = into.join("results.img");
    let status = Command::new("tar").arg("-xf").arg(&image).arg("-C").arg(into).status()?;
    ensure!(status.success(), "unpacking {}", image.display());
    fs::remove_file(&image)?;
    fs::remove_file(into.join("swap.img"))?;
    fs::remove_file(into.join("load"))?;
    Ok(())
}
