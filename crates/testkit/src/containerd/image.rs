//! An image made by hand: a static busybox under the names of some of its tools, in the form that `docker save` writes.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

/// Its name.
pub(super) const IMAGE: &str = "localhost/workload:1";

const TOOLS: [&str; 10] = ["sh", "dd", "sleep", "cat", "head", "tail", "test", "echo", "true", "touch"];

/// A busybox that needs no libraries, where there is one.
pub(super) fn busybox() -> Option<PathBuf> {
    let own = crate::corpus::workspace_root().join("target/vm/busybox");
    [own, "/bin/busybox".into(), "/usr/bin/busybox".into()].into_iter().find(|path| is_static(path))
}

/// A program that needs libraries names its loader.
fn is_static(program: &Path) -> bool {
    fs::read(program).is_ok_and(|bytes| !bytes.windows(6).any(|window| window == b"/ld-li" || window == b"/ld-mu"))
}

/// Writes the archive, `image.tar`, into a folder of its own; answers where.
pub(super) fn write(busybox: &Path, folder: &Path) -> Result<PathBuf> {
    let rootfs = folder.join("rootfs");
    fs::create_dir_all(rootfs.join("bin"))?;
    fs::create_dir_all(rootfs.join("control"))?;
    fs::copy(busybox, rootfs.join("bin/busybox"))?;
    fs::set_permissions(rootfs.join("bin/busybox"), fs::Permissions::from_mode(0o755))?;
    for tool in TOOLS {
        symlink("busybox", rootfs.join("bin").join(tool))?;
    }
    let image = folder.join("image");
    fs::create_dir_all(&image)?;
    tar(&rootfs, &image.join("layer.tar"))?;
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        // What runs where the request names no command: as the pause container of a pod.
        "config": {"Cmd": ["/bin/sleep", "100000"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&image.join("layer.tar"))?)]},
        "history": [{"created_by": "by hand"}]
    });
    fs::write(image.join("config.json"), config.to_string())?;
    let manifest = json!([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]);
    fs::write(image.join("manifest.json"), manifest.to_string())?;
    let archive = folder.join("image.tar");
    tar(&image, &archive)?;
    Ok(archive)
}

fn tar(folder: &Path, archive: &Path) -> Result<()> {
    let status = Command::new("tar")
        .args(["--owner=0", "--group=0", "-cf"])
        .arg(archive)
        .arg("-C")
        .arg(folder)
        .arg(".")
        .status();
    ensure!(status.context("running tar")?.success(), "tar failed");
    Ok(())
}

fn sha256(file: &Path) -> Result<String> {
    let output = Command::new("sha256sum").arg(file).output().context("running sha256sum")?;
    ensure!(output.status.success(), "sha256sum failed");
    Ok(String::from_utf8(output.stdout)?.split_whitespace().next().unwrap_or_default().to_owned())
}
