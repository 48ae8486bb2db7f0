//! Whose cgroup a path names, in words for a sentence and in commands to paste.
//!
//! Paths are attacker-influenced. A name reaches a sentence escaped and cut; it reaches a *command* only when it holds
//! nothing but the characters of unit names and ids, else a placeholder stands there.

use super::level::{Level, level_of};
use crate::text::{Untrusted, escape};
use crate::units::Bytes;

/// Who manages the cgroup, and under which name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A container of a pod.
    Container,
    /// A pod.
    Pod,
    /// `kubepods` or a QoS class, by its last component.
    KubeAncestor(String),
    /// A container that `docker` runs, by the first digits of its id.
    Docker(String),
    /// A container that `podman` runs, likewise.
    Podman(String),
    /// A systemd unit.
    Unit(String),
    /// The root.
    Root,
    /// Any other cgroup, by its last component.
    Other(String),
}

/// The longest name in a sentence; a component of a path may have 255 bytes.
const MAX_NAME: usize = 48;

impl Owner {
    /// Reads a path.
    #[must_use]
    pub fn of(path: &Untrusted) -> Self {
        let text = path.to_lossy();
        let text = text.trim_end_matches('/');
        let last = text.rsplit('/').next().unwrap_or_default();
        match level_of(text) {
            Level::Container => return Self::Container,
            Level::Pod => return Self::Pod,
            Level::KubeAncestor => return Self::KubeAncestor(name(last)),
            Level::Outside => {}
        }
        // The innermost component that is somebody's: containers and services make cgroups of their own below.
        for part in text.rsplit('/') {
            if let Some(id) =
                scope_id(part, &["docker-", ""]).filter(|_| part.starts_with("docker-") || text.contains("/docker/"))
            {
                return Self::Docker(id);
            }
            if let Some(id) = scope_id(part, &["libpod-", "libpod-payload-"]) {
                return Self::Podman(id);
            }
            if [".service", ".socket", ".mount", ".scope"].iter().any(|suffix| part.ends_with(suffix))
                && part != "init.scope"
            {
                return Self::Unit(name(part));
            }
        }
        match last {
            "" => Self::Root,
            slice if slice.ends_with(".slice") => Self::Unit(name(slice)),
            other => Self::Other(name(other)),
        }
    }

    /// In a sentence: `Docker container 172e30fe200e`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Container => "the container".into(),
            Self::Pod => "the pod".into(),
            Self::KubeAncestor(name) => format!("{name}, above all pods in it,"),
            Self::Docker(id) => format!("Docker container {id}"),
            Self::Podman(id) => format!("Podman container {id}"),
            Self::Unit(unit) => unit.clone(),
            Self::Root => "the root cgroup".into(),
            Self::Other(name) => format!("cgroup {name}"),
        }
    }

    /// What to paste in order to set the memory limit to `limit`; `None` where the kubelet sets it or nobody is known.
    #[must_use]
    pub fn set_limit(&self, limit: Bytes) -> Option<String> {
        let mib = limit.0.div_ceil(1 << 20).max(1);
        match self {
            Self::Container | Self::Pod => {
                Some(format!("resources:\n  limits:\n    memory: \"{}\"", limit.manifest_quantity()))
            }
            Self::Docker(id) => Some(format!("docker update --memory {mib}m --memory-swap {mib}m {id}")),
            Self::Podman(id) => Some(format!("podman update --memory {mib}m {id}")),
            Self::Unit(unit) => Some(format!("systemctl set-property {} MemoryMax={mib}M", pasteable(unit, "<unit>"))),
            Self::KubeAncestor(_) | Self::Root | Self::Other(_) => None,
        }
    }
}

fn name(component: &str) -> String {
    let shown = escape(component.as_bytes());
    if shown.chars().count() <= MAX_NAME { shown } else { shown.chars().take(MAX_NAME - 1).chain(['…']).collect() }
}

/// The first 12 of the 64 hex digits of a container id after one of the prefixes, with or without `.scope`.
fn scope_id(component: &str, prefixes: &[&str]) -> Option<String> {
    let bare = component.strip_suffix(".scope").unwrap_or(component);
    prefixes.iter().find_map(|prefix| {
        let id = bare.strip_prefix(prefix)?;
        (id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit())).then(|| id.chars().take(12).collect())
    })
}

fn pasteable<'a>(unit: &'a str, placeholder: &'a str) -> &'a str {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"@:._-".contains(&b);
    if unit.bytes().all(plain) && !unit.starts_with('-') { unit } else { placeholder }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The usual owners are recognised.
    #[test]
    fn owners() {
        let id = "172e30fe200e6484f603f731aa2b2990aaea8dc6363e772d02cde59500cb438f";
        for (path, owner) in [
            (format!("/system.slice/docker-{id}.scope"), Owner::Docker("172e30fe200e".into())),
            (format!("/docker/{id}"), Owner::Docker("172e30fe200e".into())),
            (format!("/docker/{id}/init.scope"), Owner::Docker("172e30fe200e".into())),
            (format!("/machine.slice/libpod-{id}.scope"), Owner::Podman("172e30fe200e".into())),
            (format!("/machine.slice/libpod-{id}.scope/container"), Owner::Podman("172e30fe200e".into())),
            ("/system.slice/nginx.service".into(), Owner::Unit("nginx.service".into())),
            ("/user.slice/user-1000.slice".into(), Owner::Unit("user-1000.slice".into())),
            ("/".into(), Owner::Root),
            ("/lxc/web".into(), Owner::Other("web".into())),
        ] {
            assert_eq!(Owner::of(&Untrusted::from(path.as_str())), owner, "{path}");
        }
    }

    /// A hostile unit name reaches no shell and no terminal.
    #[test]
    fn hostile_names() {
        let owner = Owner::of(&"/system.slice/$(reboot)\x1b[2J.service".into());
        let patch = owner.set_limit(Bytes(1 << 30)).unwrap();
        assert_eq!(patch, "systemctl set-property <unit> MemoryMax=1024M");
        assert!(!owner.describe().contains('\x1b'));
        let long = Owner::of(&format!("/{}", "a".repeat(255)).as_str().into());
        assert!(long.describe().chars().count() < 60);
    }
}
