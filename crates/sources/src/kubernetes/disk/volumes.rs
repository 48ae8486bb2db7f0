//! Volumes of pods that are memory: each is a tmpfs that the kubelet has mounted, and its pages stay charged to whoever wrote them, also
//! after that container has ended.
//!
//! The mounts are those of the machine's first process, because the kubelet mounts in its namespace. Seen from a container, a mount
//! that was made after the container started may be missing below its root: what lies there is then the disk below, which is said.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use bstr::ByteSlice as _;
use oomscope_core::evidence::Gap;
use oomscope_core::text::escape;
use oomscope_core::units::Bytes;
use rustix::fs::{OFlags, fstatfs};

use crate::host_root::HostRoot;
use crate::kubernetes::below::Below;

/// `TMPFS_MAGIC` (include/uapi/linux/magic.h).
const TMPFS: u64 = 0x0102_1994;
/// A mountinfo of a node with a thousand pods has some megabytes.
const LARGEST_MOUNTINFO: u64 = 32 << 20;

/// A volume that is a tmpfs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryVolume {
    /// The pod's uid, as its cgroup carries it.
    pub pod_uid: String,
    /// Name of the volume in the pod's spec.
    pub name: String,
    /// The plugin: `empty-dir`, `secret`, `projected`, …
    pub plugin: String,
    /// The mount point, a path on the machine.
    pub mount: PathBuf,
    /// What its files hold; `None` where the mount cannot be seen from here.
    pub used: Option<Bytes>,
    /// The most that it may hold; `None` where it has no size of its own or cannot be seen.
    pub size: Option<Bytes>,
}

/// The volumes in memory of one pod, or of every pod on the machine, and what could not be read.
#[must_use]
pub fn memory_volumes(root: &HostRoot, pod_uid: Option<&str>) -> (Vec<MemoryVolume>, Vec<Gap>) {
    let mounts = match mountinfo(root) {
        Ok(mounts) => mounts,
        Err(gap) => return (Vec::new(), vec![gap]),
    };
    let mut volumes: Vec<MemoryVolume> = mounts
        .lines()
        .filter_map(tmpfs_mount)
        .filter_map(|mount| volume(below_root(root, mount)))
        .filter(|volume| pod_uid.is_none_or(|uid| volume.pod_uid == uid))
        .collect();
    // The same volume is mounted again wherever a container has it.
    volumes.sort_by(|a, b| a.mount.cmp(&b.mount));
    volumes.dedup_by(|a, b| a.mount == b.mount);
    let gaps = measure(root, &mut volumes);
    (volumes, gaps)
}

fn mountinfo(root: &HostRoot) -> Result<Vec<u8>, Gap> {
    let mut failures = Vec::new();
    for process in ["1", "self"] {
        let path = root.path(format!("/proc/{process}/mountinfo"));
        // procfs makes the file up: its size is not known before.
        let read = fs::File::open(&path).and_then(|file| {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut std::io::Read::take(file, LARGEST_MOUNTINFO), &mut bytes)?;
            Ok(bytes)
        });
        match read {
            Ok(bytes) => return Ok(bytes),
            Err(error) => failures.push(format!("reading {}: {error}", path.display())),
        }
    }
    Err(Gap::new("volumes in memory", failures.join("; ")))
}

/// The mount point of a line of mountinfo, where that is a tmpfs (proc_pid_mountinfo(5)).
fn tmpfs_mount(line: &[u8]) -> Option<PathBuf> {
    let (mount, rest) = line.split_once_str(b" - ")?;
    let mut fields = mount.split(|byte| *byte == b' ');
    let point = fields.nth(4)?;
    (rest.split(|byte| *byte == b' ').next()? == b"tmpfs").then(|| unescape(point))
}

/// Spaces and the like are written as `\040`.
fn unescape(text: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| digits.to_str().ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                path.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                path.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&path))
}

/// The path as it is on the machine: of a tree that this process sees from outside, the mounts are told from outside as well.
fn below_root(root: &HostRoot, mount: PathBuf) -> PathBuf {
    let root = root.path("/");
    match mount.strip_prefix(&root) {
        Ok(rest) if root != Path::new("/") => Path::new("/").join(rest),
        _ => mount,
    }
}

/// `…/pods/<uid>/volumes/kubernetes.io~<plugin>/<name>`, wherever the kubelet's folder is (`pkg/kubelet/kubelet_getters.go`).
fn volume(mount: PathBuf) -> Option<MemoryVolume> {
    let (pod_uid, name, plugin) = {
        let mut parts = mount.iter().rev().map(|part| part.to_str());
        let mut next = || parts.next().flatten();
        let (name, plugin, volumes, uid, pods) = (next()?, next()?, next()?, next()?, next()?);
        let plugin = plugin.strip_prefix("kubernetes.io~")?;
        if volumes != "volumes" || pods != "pods" {
            return None;
        }
        (uid.to_owned(), name.to_owned(), plugin.to_owned())
    };
    Some(MemoryVolume { pod_uid, name, plugin, mount, used: None, size: None })
}

fn measure(root: &HostRoot, volumes: &mut [MemoryVolume]) -> Vec<Gap> {
    if volumes.is_empty() {
        return Vec::new();
    }
    let below = match Below::new(root) {
        Ok(below) => below,
        Err(error) => {
            return vec![Gap::new("sizes of volumes in memory", format!("opening the machine's root: {error}"))];
        }
    };
    volumes.iter_mut().filter_map(|volume| measure_one(&below, volume).err()).collect()
}

fn measure_one(below: &Below, volume: &mut MemoryVolume) -> Result<(), Gap> {
    let wanted = || {
        format!("size of the volume {} of pod {}", escape(volume.name.as_bytes()), escape(volume.pod_uid.as_bytes()))
    };
    let opened = below.open(&volume.mount, OFlags::PATH);
    let stat = opened.and_then(|fd| Ok(fstatfs(fd)?)).map_err(|error| Gap::new(wanted(), error.to_string()))?;
    if u64::try_from(stat.f_type).ok() != Some(TMPFS) {
        let why =
            "the mount cannot be seen from here: mount the kubelet's folder with mountPropagation: HostToContainer";
        return Err(Gap::new(wanted(), why));
    }
    let block = u64::try_from(stat.f_bsize).unwrap_or(0);
    let bytes = |blocks: u64| Bytes(blocks.saturating_mul(block));
    // A tmpfs with size=0 has no blocks to count, free ones neither.
    if stat.f_blocks > 0 {
        volume.size = Some(bytes(stat.f_blocks));
        volume.used = Some(bytes(stat.f_blocks.saturating_sub(stat.f_bfree)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree with such mounts told in its /proc, none of which is really there.
    fn told(mountinfo: &str) -> (Vec<MemoryVolume>, Vec<Gap>) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("proc/1")).unwrap();
        fs::create_dir_all(folder.path().join("var/lib/kubelet/pods/u-1/volumes/kubernetes.io~empty-dir/scratch"))
            .unwrap();
        fs::write(folder.path().join("proc/1/mountinfo"), mountinfo).unwrap();
        memory_volumes(&HostRoot::at(folder.path()), None)
    }

    /// Only a tmpfs at a volume's place is one, and each counts once. The disk below a mount that cannot be seen is not measured.
    #[test]
    fn mounts_told() {
        let (volumes, gaps) = told(
            "36 25 0:31 / /var/lib/kubelet/pods/u-1/volumes/kubernetes.io~empty-dir/scratch rw shared:1 - tmpfs tmpfs rw,size=64k\n\
             37 25 0:31 / /var/lib/kubelet/pods/u-1/volumes/kubernetes.io~empty-dir/scratch rw - tmpfs tmpfs rw\n\
             38 25 0:32 / /data/kubelet/pods/u-2/volumes/kubernetes.io~secret/a\\040b rw - tmpfs tmpfs rw\n\
             39 25 0:33 / /var/lib/kubelet/pods/u-3/volumes/kubernetes.io~csi/c rw - ext4 /dev/sdb rw\n\
             40 25 0:34 / /run rw - tmpfs tmpfs rw\n\
             \\0 - tmpfs\n - \n\n",
        );
        let found: Vec<_> = volumes.iter().map(|volume| (&*volume.pod_uid, &*volume.plugin, &*volume.name)).collect();
        assert_eq!(found, [("u-2", "secret", "a b"), ("u-1", "empty-dir", "scratch")]);
        assert!(volumes.iter().all(|volume| volume.used.is_none() && volume.size.is_none()));
        assert_eq!(gaps.len(), 2, "{gaps:?}");
        assert!(gaps.iter().any(|gap| gap.why.contains("mountPropagation")), "{gaps:?}");
    }

    /// Without a mountinfo there is a gap, not an empty answer.
    #[test]
    fn no_mountinfo() {
        let folder = tempfile::tempdir().unwrap();
        let (volumes, gaps) = memory_volumes(&HostRoot::at(folder.path()), Some("u"));
        assert!(volumes.is_empty());
        assert_eq!(gaps.len(), 1);
    }

    proptest::proptest! {
        /// Any mount point is read back as it was, however the kernel has to write it; any other line is no mount, and no panic.
        #[test]
        fn any_mount_point(point in "[^\u{0}]{1,40}", junk in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            let mut line = b"36 25 0:31 / ".to_vec();
            for byte in point.bytes() {
                // seq_path() escapes these (fs/proc_namespace.c, show_mountinfo()).
                if b" \t\n\\#".contains(&byte) {
                    line.extend(format!("\\{byte:03o}").bytes());
                } else {
                    line.push(byte);
                }
            }
            line.extend(b" rw shared:1 - tmpfs tmpfs rw");
            proptest::prop_assert_eq!(tmpfs_mount(&line), Some(PathBuf::from(point)));
            let _ = tmpfs_mount(&junk).and_then(volume);
        }
    }
}
