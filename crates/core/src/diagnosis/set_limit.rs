//! What to paste in order to change a cgroup's memory limit.
//!
//! Paths are attacker-influenced, and these lines are meant for a root shell: an id is taken only as the hex digits that it is, a unit
//! name only when it holds nothing but the characters that systemd allows unescaped, else a placeholder stands there.

use crate::incident::identity::identify;
use crate::incident::level::{Level, level_of};
use crate::text::Untrusted;
use crate::units::Bytes;

/// The lines for the owner of `cgroup`, with as much `swap` beside the limit as it has now, which is left alone where unknown; `None` where nobody sets that limit by hand, or the path does not say who.
#[must_use]
pub(super) fn set_limit(cgroup: &Untrusted, limit: Bytes, swap: Option<Bytes>) -> Option<String> {
    let owner = identify(cgroup.as_bytes()).unwrap_or_default();
    let mib = limit.0.div_ceil(1 << 20).max(1);
    // A total below the present one would take swap away, or be refused.
    let both = swap.map(|swap| limit.0.saturating_add(swap.0).div_ceil(1 << 20).max(1));
    let total = both.map_or_else(String::new, |both| format!(" --memory-swap {both}m"));
    let id = owner
        .container_id
        .as_deref()
        .filter(|id| id.bytes().all(|b| b.is_ascii_hexdigit()))
        .and_then(|id| id.get(..12));
    match level_of(cgroup.as_bytes()) {
        Level::Container | Level::BelowContainer | Level::Pod => {
            Some(format!("resources:\n  limits:\n    memory: \"{}\"", limit.manifest_quantity()))
        }
        Level::PlainContainer | Level::BelowPlainContainer => match owner.runtime.as_deref() {
            Some("docker") => Some(format!("docker update --memory {mib}m{total} {}", id.unwrap_or("<container>"))),
            Some("podman") => Some(format!("podman update --memory {mib}m{total} {}", id.unwrap_or("<container>"))),
            Some("lxc") => Some(format!(
                "lxc config set <container> limits.memory {mib}MiB    # Proxmox: pct set <id> -memory {mib}"
            )),
            _ => None,
        },
        Level::Service => Some(set_property(owner.unit.as_ref(), mib)),
        Level::Slice => Some(set_property(owner.slice.as_ref(), mib)),
        _ => None,
    }
}

fn set_property(unit: Option<&Untrusted>, mib: u64) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"@:._-".contains(b);
    let unit = unit.map(Untrusted::to_lossy).filter(|u| u.as_bytes().iter().all(plain) && !u.starts_with('-'));
    format!("systemctl set-property {} MemoryMax={mib}M", unit.as_deref().unwrap_or("<unit>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each owner gets its own command, with the short id that its tools show.
    #[test]
    fn owners() {
        let id = "172e30fe200e6484f603f731aa2b2990aaea8dc6363e772d02cde59500cb438f";
        let patch = |path: &str| set_limit(&path.into(), Bytes(72 << 20), None);
        assert_eq!(
            patch(&format!("/system.slice/docker-{id}.scope")).as_deref(),
            Some("docker update --memory 72m 172e30fe200e")
        );
        assert_eq!(
            set_limit(
                &format!("/system.slice/docker-{id}.scope").as_str().into(),
                Bytes(72 << 20),
                Some(Bytes(16 << 20))
            )
            .as_deref(),
            Some("docker update --memory 72m --memory-swap 88m 172e30fe200e")
        );
        assert_eq!(
            patch(&format!("/machine.slice/libpod-{id}.scope")).as_deref(),
            Some("podman update --memory 72m 172e30fe200e")
        );
        assert_eq!(
            patch("/system.slice/nginx.service").as_deref(),
            Some("systemctl set-property nginx.service MemoryMax=72M")
        );
        assert!(
            patch(&format!("/kubepods/pod0890e4ec-26c7-4b33-a1da-e364a1f444fc/{id}"))
                .is_some_and(|p| p.contains("memory: \"72Mi\""))
        );
        assert_eq!(patch("/kubepods"), None);
        assert_eq!(patch("/"), None);
    }

    /// A hostile unit name reaches no shell.
    #[test]
    fn hostile_names() {
        for unit in ["$(reboot).service", "a;b.service", "-x.service", "a\u{202e}b.service"] {
            let patch = set_limit(&format!("/system.slice/{unit}").as_str().into(), Bytes(1 << 30), None);
            assert!(patch.is_none_or(|p| p == "systemctl set-property <unit> MemoryMax=1024M"), "{unit}");
        }
    }
}
