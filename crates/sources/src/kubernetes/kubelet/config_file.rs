//! The kubelet's configuration where `/configz` may not be read: its config file, and the flags of its command line, which win.
//!
//! Drop-in folders (`--config-dir`) are read after the file, in the order of their names, as the kubelet does.
//!
//! Any process may call itself `kubelet`. Taken for it is one of root's that is in no pod; the files that it names are read below the
//! machine's root and only where they are ordinary files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oomscope_core::evidence::Gap;
use oomscope_core::kubernetes::KubeletConfig;
use rustix::fs::{OFlags, fstat};
use serde_json::{Map, Value, json};

use super::super::below::Below;
use crate::host_root::HostRoot;

/// Where installers put it, if no command line names it: kubeadm, EKS, AKS, GKE, k0s, Talos.
const FILES: [&str; 7] = [
    "/var/lib/kubelet/config.yaml",
    "/etc/kubernetes/kubelet/config.json",
    "/etc/kubernetes/kubelet/kubelet-config.json",
    "/etc/default/kubeletconfig.json",
    "/home/kubernetes/kubelet-config.yaml",
    "/var/lib/k0s/kubelet-config.yaml",
    "/etc/kubernetes/kubelet.yaml",
];
/// k3s and RKE2 run the kubelet inside their own process and hand it a folder.
const FOLDERS: [&str; 2] =
    ["/var/lib/rancher/k3s/agent/etc/kubelet.conf.d", "/var/lib/rancher/rke2/agent/etc/kubelet.conf.d"];
/// MicroK8s keeps the command line in a file.
const ARGUMENTS: &str = "/var/snap/microk8s/current/args/kubelet";
/// Larger than any configuration.
const LARGEST: u64 = 1 << 20;
/// More files than any drop-in folder has, more processes than a machine runs.
const MOST_FILES: usize = 256;
const MOST_PROCESSES: usize = 1 << 20;

/// What was read from disk.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigFile {
    /// The configuration. What is neither in a file nor in a flag has the kubelet's default.
    pub config: KubeletConfig,
    /// The files, as the machine names them, in the order in which they were read.
    pub files: Vec<PathBuf>,
    /// True where the kubelet's command line was seen as well.
    pub has_flags: bool,
    /// What could not be read.
    pub gaps: Vec<Gap>,
}

impl ConfigFile {
    /// Looks for it below a machine's root. `None`: there is neither a file nor a kubelet.
    #[must_use]
    pub fn find(root: &HostRoot) -> Option<Self> {
        let machine = Below::new(root).ok()?;
        let flags = command_line(&machine).or_else(|| arguments_file(&machine));
        let named = |flag: &str| flags.as_ref().and_then(|flags| flags.get(flag)).map(PathBuf::from);
        let exists = |path: &&&str| machine.is_there(path);
        let file = named("config").or_else(|| FILES.iter().find(exists).map(PathBuf::from));
        let folder = named("config-dir").or_else(|| FOLDERS.iter().find(exists).map(PathBuf::from));
        let mut files: Vec<PathBuf> = file.into_iter().collect();
        files.extend(folder.iter().flat_map(|folder| drop_ins(&machine, folder)));
        if files.is_empty() && flags.is_none() {
            return None;
        }
        let mut gaps = Vec::new();
        let mut merged = Value::Object(Map::new());
        files.retain(|path| match read(&machine, path) {
            Ok(value) => {
                merge(&mut merged, value);
                true
            }
            Err(why) => {
                gaps.push(Gap::new(format!("the kubelet's configuration in {}", path.display()), why));
                false
            }
        });
        // A flag of a map replaces the whole map (component-base, cli/flag/langle_separated_map_string_string.go).
        if let (Some(flags), Some(fields)) = (&flags, merged.as_object_mut()) {
            fields.extend(of_flags(flags));
        }
        let config = KubeletConfig::from_json(merged).unwrap_or_else(|error| {
            gaps.push(Gap::new("the kubelet's configuration", error.to_string()));
            KubeletConfig::default()
        });
        Some(Self { config, files, has_flags: flags.is_some(), gaps })
    }
}

/// `.conf` files of a drop-in folder in the order of their names (cmd/kubelet/app/server.go, `mergeKubeletConfigurations`).
fn drop_ins(machine: &Below, folder: &Path) -> Vec<PathBuf> {
    let Ok(names) = machine.names(folder, MOST_FILES) else { return Vec::new() };
    let names = names.names.into_iter().filter_map(|name| name.into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".conf")).collect();
    names.sort();
    names.iter().map(|name| folder.join(name)).collect()
}

fn read(machine: &Below, path: &Path) -> Result<Value, String> {
    let text = machine.read(path, LARGEST).map_err(|error| error.to_string())?;
    // The parser would quote the file.
    serde_saphyr::from_slice(&text).map_err(|_| "no valid YAML".to_owned())
}

/// Fields of the later one win; maps are merged.
fn merge(into: &mut Value, later: Value) {
    match (into, later) {
        (Value::Object(into), Value::Object(later)) => {
            for (key, value) in later {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, later) => *into = later,
    }
}

/// Flags of the running kubelet.
fn command_line(machine: &Below) -> Option<BTreeMap<String, String>> {
    let names = machine.names("/proc", MOST_PROCESSES).ok()?.names;
    let mut pids: Vec<u32> = names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    let kubelet = pids
        .into_iter()
        .map(|pid| PathBuf::from(format!("/proc/{pid}")))
        .find(|process| is_kubelet(machine, process))?;
    let text = machine.read(kubelet.join("cmdline"), LARGEST).ok()?;
    Some(flags(text.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned())))
}

fn is_kubelet(machine: &Below, process: &Path) -> bool {
    let file = |name: &str| machine.read(process.join(name), LARGEST);
    let is_roots = || machine.open(process, OFlags::PATH).and_then(|fd| Ok(fstat(fd)?.st_uid == 0)).unwrap_or(false);
    let in_a_pod = || file("cgroup").is_ok_and(|text| String::from_utf8_lossy(&text).contains("kubepods"));
    file("comm").is_ok_and(|comm| comm == b"kubelet\n") && is_roots() && !in_a_pod()
}

fn arguments_file(machine: &Below) -> Option<BTreeMap<String, String>> {
    let text = machine.read(ARGUMENTS, LARGEST).ok()?;
    let text = String::from_utf8_lossy(&text);
    Some(flags(text.split_whitespace().map(|word| word.trim_matches('"').to_owned())))
}

/// `--name=value`, `--name value`; a name alone is `true`.
fn flags(words: impl Iterator<Item = String>) -> BTreeMap<String, String> {
    let mut flags = BTreeMap::new();
    let mut open: Option<String> = None;
    for word in words.filter(|word| !word.is_empty()) {
        match (word.strip_prefix("--"), open.take()) {
            (Some(flag), before) => {
                flags.extend(before.map(|name| (name, "true".to_owned())));
                match flag.split_once('=') {
                    Some((name, value)) => drop(flags.insert(name.to_owned(), value.to_owned())),
                    None => open = Some(flag.to_owned()),
                }
            }
            (None, Some(name)) => drop(flags.insert(name, word)),
            (None, None) => {}
        }
    }
    flags.extend(open.map(|name| (name, "true".to_owned())));
    flags
}

/// The flags that the configuration has fields for (cmd/kubelet/app/options/options.go).
fn of_flags(flags: &BTreeMap<String, String>) -> Map<String, Value> {
    let mut fields = Map::new();
    for (flag, value) in flags {
        let (field, value) = match flag.as_str() {
            "eviction-hard" => ("evictionHard", pairs(value, '<')),
            "eviction-soft" => ("evictionSoft", pairs(value, '<')),
            "eviction-soft-grace-period" => ("evictionSoftGracePeriod", pairs(value, '=')),
            "eviction-minimum-reclaim" => ("evictionMinimumReclaim", pairs(value, '=')),
            "kube-reserved" => ("kubeReserved", pairs(value, '=')),
            "system-reserved" => ("systemReserved", pairs(value, '=')),
            "kube-reserved-cgroup" => ("kubeReservedCgroup", json!(value)),
            "system-reserved-cgroup" => ("systemReservedCgroup", json!(value)),
            "enforce-node-allocatable" => {
                ("enforceNodeAllocatable", value.split(',').filter(|word| !word.is_empty()).collect())
            }
            "cgroup-driver" => ("cgroupDriver", json!(value)),
            "cgroup-root" => ("cgroupRoot", json!(value)),
            "cgroups-per-qos" => ("cgroupsPerQOS", json!(value != "false")),
            "fail-swap-on" => ("failSwapOn", json!(value != "false")),
            "feature-gates" => ("featureGates", gates(value)),
            _ => continue,
        };
        fields.insert(field.to_owned(), value);
    }
    fields
}

fn pairs(text: &str, mark: char) -> Value {
    let pairs = text.split(',').filter_map(|pair| pair.split_once(mark));
    pairs.map(|(key, value)| (key.trim().to_owned(), json!(value.trim()))).collect::<Map<_, _>>().into()
}

fn gates(text: &str) -> Value {
    let gates = text.split(',').filter_map(|pair| pair.split_once('='));
    gates.map(|(key, value)| (key.trim().to_owned(), json!(value.trim() == "true"))).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use oomscope_core::kubernetes::Threshold;
    use oomscope_core::units::Bytes;

    fn write(root: &HostRoot, path: &str, text: &str) {
        let path = root.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    const FILE: &str = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nevictionHard:\n  memory.available: 5%\n\
                        kubeReserved: {memory: 1Gi}\ncgroupDriver: systemd\n";

    /// The file that kubeadm writes is found and read.
    #[test]
    fn a_file() {
        let folder = tempfile::tempdir().unwrap();
        let root = HostRoot::at(folder.path());
        assert_eq!(ConfigFile::find(&root), None);
        write(&root, "/var/lib/kubelet/config.yaml", FILE);
        let found = ConfigFile::find(&root).unwrap();
        assert_eq!(found.config.memory_thresholds().hard, Some(Threshold::Share(500)));
        assert_eq!((found.config.cgroup_driver.as_deref(), found.has_flags), (Some("systemd"), false));
        assert_eq!(found.files, [PathBuf::from("/var/lib/kubelet/config.yaml")]);
    }

    /// The command line names another file, and its flags win over it.
    #[test]
    fn flags_win() {
        let folder = tempfile::tempdir().unwrap();
        let root = HostRoot::at(folder.path());
        write(&root, "/etc/k/c.yaml", FILE);
        write(&root, "/proc/1/comm", "systemd\n");
        write(&root, "/proc/77/comm", "kubelet\n");
        let line = "/usr/bin/kubelet\0--config\0/etc/k/c.yaml\0--eviction-hard=memory.available<1Gi,nodefs.available<10%\0--v\0";
        write(&root, "/proc/77/cmdline", line);
        let found = ConfigFile::find(&root).unwrap();
        assert_eq!(found.config.memory_thresholds().hard, Some(Threshold::Bytes(Bytes(1 << 30))));
        assert_eq!(found.config.reserved().0.map(|reserved| reserved.bytes()), Some(Bytes(1 << 30)));
        assert!(found.has_flags && found.gaps.is_empty(), "{found:?}");
    }

    /// A pod's process that calls itself kubelet is not asked for its flags.
    #[test]
    fn an_impostor() {
        let folder = tempfile::tempdir().unwrap();
        let root = HostRoot::at(folder.path());
        write(&root, "/proc/9/comm", "kubelet\n");
        write(&root, "/proc/9/cgroup", "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podx.slice\n");
        write(&root, "/proc/9/cmdline", "kubelet\0--eviction-hard=memory.available<1Ti\0");
        assert_eq!(ConfigFile::find(&root), None);
    }

    /// k3s hands the kubelet a folder; later files win. One that is no YAML is a gap that does not quote it.
    #[test]
    fn a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = HostRoot::at(folder.path());
        let of = |name: &str| format!("/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/{name}");
        write(&root, &of("00-k3s-defaults.conf"), FILE);
        write(&root, &of("90-own.conf"), "evictionHard: {memory.available: 200Mi}\n");
        write(&root, &of("99-broken.conf"), "secret: [\n");
        let found = ConfigFile::find(&root).unwrap();
        assert_eq!(found.config.memory_thresholds().hard, Some(Threshold::Bytes(Bytes(200 << 20))));
        assert!(found.gaps.len() == 1 && !found.gaps[0].why.contains("secret"), "{:?}", found.gaps);
    }
}
