//! What one component of a cgroup path says by itself.
//!
//! Anybody with a delegated cgroup chooses names below it. A pod uid or container id therefore counts only in the exact
//! shape that the kubelet or a runtime gives it; everything else is [`Name::Other`].

use bstr::ByteSlice;

use crate::text::Untrusted;

/// Length of the ids that containerd, CRI-O, Docker and Podman make.
const CONTAINER_ID_DIGITS: usize = 64;
/// What their command lines show; a shorter piece says nothing.
const SHORT_ID_DIGITS: usize = 12;

/// The meaning of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name<'a> {
    /// `kubepods`, `kubepods.slice`, `kubelet-kubepods.slice`.
    Kubepods,
    /// `kubepods-burstable.slice`; also `burstable`, which means this only below kubepods.
    Qos(&'static str),
    /// `pod<uid>`, `kubepods-burstable-pod<uid>.slice`. The slice's name tells the QoS class too.
    Pod { uid: String, qos: Option<&'static str> },
    /// `kubelet`, `kubelet.slice`.
    KubeletRoot,
    /// A container by id. The id is `None` where a scope has a runtime's prefix and no id of a known shape.
    Container { runtime: Option<String>, id: Option<Id> },
    /// A container by name: `lxc.payload.NAME`, `machine-NAME.scope`.
    Machine { runtime: &'static str, name: Untrusted },
    /// `machine-qemu\x2d1\x2dNAME.scope`.
    VirtualMachine { name: Untrusted },
    /// `user-1000.slice`.
    UserSlice(u32),
    /// `user@1000.service`.
    UserManager(u32),
    /// Any other slice.
    Slice(&'a [u8]),
    /// Any other unit.
    Unit,
    /// Nomad's `<allocation>.<task>.scope`.
    NomadTask(Untrusted),
    /// `slurm`, `slurmstepd.scope`.
    Slurm,
    /// `uid_1000`.
    Uid(u32),
    /// None of these.
    Other,
}

/// A container id, or the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Id {
    pub(super) digits: String,
    pub(super) cut: bool,
}

/// Splits a component into its meanings: one, or two where runc was given systemd's `slice:prefix:name` with the cgroupfs
/// driver and took it for a folder name (`kubepods-burstable-pod<uid>.slice:cri-containerd:<id>`).
pub(super) fn names(component: &[u8]) -> impl Iterator<Item = Name<'_>> {
    let mut parts = component.splitn(3, |b| *b == b':');
    let (slice, prefix, id) = (parts.next(), parts.next(), parts.next());
    match (slice, prefix, id) {
        (Some(slice), Some(prefix), Some(id)) if slice.ends_with(b".slice") => [
            Some(read(slice)),
            Some(Name::Container {
                runtime: runtime_of_prefix(prefix),
                id: whole_id(id).or_else(|| beginning_of_id(id)),
            }),
        ],
        _ => [Some(read(component)), None],
    }
    .into_iter()
    .flatten()
}

fn read(component: &[u8]) -> Name<'_> {
    kubernetes(component)
        .or_else(|| container(component))
        .or_else(|| machine(component))
        .or_else(|| unit(component))
        .or_else(|| after(component, b"uid_").and_then(number).map(Name::Uid))
        .or_else(|| is_slurm(component).then_some(Name::Slurm))
        .unwrap_or(Name::Other)
}

/// Kubelet's names: `pkg/kubelet/cm/cgroup_manager_linux.go`, `CgroupName.ToSystemd` and `ToCgroupfs`.
fn kubernetes(component: &[u8]) -> Option<Name<'_>> {
    match component {
        b"kubepods" => return Some(Name::Kubepods),
        b"burstable" => return Some(Name::Qos("burstable")),
        b"besteffort" => return Some(Name::Qos("besteffort")),
        b"kubelet" | b"kubelet.slice" => return Some(Name::KubeletRoot),
        _ => {}
    }
    if let Some(uid) = after(component, b"pod").and_then(pod_uid) {
        return Some(Name::Pod { uid, qos: None });
    }
    let slice = component.strip_suffix(b".slice")?;
    // With --cgroup-root the slices carry that root's name in front: kubelet-kubepods-burstable.slice.
    let at = slice.find(b"kubepods")?;
    if at > 0 && slice.get(at - 1) != Some(&b'-') {
        return None;
    }
    let (qos, rest) = match slice.get(at + b"kubepods".len()..)? {
        b"" => return Some(Name::Kubepods),
        b"-burstable" => return Some(Name::Qos("burstable")),
        b"-besteffort" => return Some(Name::Qos("besteffort")),
        rest => after(rest, b"-burstable")
            .map(|r| ("burstable", r))
            .or_else(|| after(rest, b"-besteffort").map(|r| ("besteffort", r)))
            .unwrap_or(("guaranteed", rest)),
    };
    let uid = pod_uid(after(rest, b"-pod")?)?;
    Some(Name::Pod { uid, qos: Some(qos) })
}

/// A pod's uid with dashes. The API server makes uuids, systemd's driver turns their dashes into underscores; the uid of
/// a static pod is an MD5 in hex.
fn pod_uid(text: &[u8]) -> Option<String> {
    if is_uuid(text, b'-') || is_uuid(text, b'_') {
        return Some(ascii(text).replace('_', "-"));
    }
    (text.len() == 32 && is_hex(text)).then(|| ascii(text))
}

fn container(component: &[u8]) -> Option<Name<'_>> {
    let scope = component.strip_suffix(b".scope");
    let name = scope.unwrap_or(component);
    if let Some(id) = whole_id(name) {
        return scope.is_none().then_some(Name::Container { runtime: None, id: Some(id) });
    }
    if let Some(id) = after(name, b"kata_").and_then(whole_id) {
        return Some(Name::Container { runtime: Some("kata".to_owned()), id: Some(id) });
    }
    let (prefix, digits) = split_last(name, b'-')?;
    if let Some(id) = whole_id(digits) {
        return Some(Name::Container { runtime: runtime_of_prefix(prefix), id: Some(id) });
    }
    // Ids shortened by hand or by the end of the log, where the prefix leaves no doubt.
    let runtime = known_runtime(prefix)?;
    let id = beginning_of_id(digits);
    (id.is_some() || scope.is_some()).then(|| Name::Container { runtime: Some(runtime.to_owned()), id })
}

/// The runtime of `<prefix>-<id>.scope`; a prefix in words nobody here knows is the runtime's own name for itself.
fn runtime_of_prefix(prefix: &[u8]) -> Option<String> {
    let plain = !prefix.is_empty()
        && prefix.len() <= 32
        && prefix.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
    known_runtime(prefix).map(str::to_owned).or_else(|| plain.then(|| ascii(prefix)))
}

fn known_runtime(prefix: &[u8]) -> Option<&'static str> {
    Some(match prefix {
        b"cri-containerd" | b"containerd" | b"nerdctl" => "containerd",
        b"crio" | b"crio-conmon" | b"cri-o" => "cri-o",
        b"docker" => "docker",
        b"libpod" | b"libpod-conmon" | b"libpod-payload" => "podman",
        b"buildkit" => "buildkit",
        _ => return None,
    })
}

/// Containers and virtual machines that go by a name.
fn machine(component: &[u8]) -> Option<Name<'_>> {
    for prefix in [&b"lxc.payload."[..], b"lxc.monitor."] {
        if let Some(name) = after(component, prefix) {
            return Some(Name::Machine { runtime: "lxc", name: name.into() });
        }
    }
    if let Some(name) = component.strip_suffix(b".libvirt-qemu") {
        return Some(Name::VirtualMachine { name: name.into() });
    }
    if let Some(name) = after(component, b"systemd-nspawn@").and_then(|n| n.strip_suffix(b".service")) {
        return Some(Name::Machine { runtime: "systemd-nspawn", name: unescape(name) });
    }
    let name = unescape(after(component, b"machine-")?.strip_suffix(b".scope")?);
    // systemd-machined's names for libvirt's domains: `qemu-<number>-<name>`, `lxc-<number>-<name>`.
    for (driver, is_vm) in [(&b"qemu-"[..], true), (b"lxc-", false)] {
        let Some((id, domain)) = after(name.as_bytes(), driver).and_then(|rest| split_first(rest, b'-')) else {
            continue;
        };
        if number(id).is_some() {
            let domain = domain.into();
            return Some(match is_vm {
                true => Name::VirtualMachine { name: domain },
                false => Name::Machine { runtime: "libvirt-lxc", name: domain },
            });
        }
    }
    Some(Name::Machine { runtime: "systemd-nspawn", name })
}

fn unit(component: &[u8]) -> Option<Name<'_>> {
    if is_slurm(component) {
        return Some(Name::Slurm);
    }
    let (name, kind) = split_last(component, b'.')?;
    match kind {
        b"slice" => Some(after(name, b"user-").and_then(number).map_or(Name::Slice(component), Name::UserSlice)),
        b"service" => Some(after(name, b"user@").and_then(number).map_or(Name::Unit, Name::UserManager)),
        b"scope" => Some(nomad_task(name).map_or(Name::Unit, Name::NomadTask)),
        b"socket" | b"mount" | b"swap" => Some(Name::Unit),
        _ => nomad_task(component).map(Name::NomadTask),
    }
}

/// `<allocation uuid>.<task>`.
fn nomad_task(name: &[u8]) -> Option<Untrusted> {
    let allocation = name.get(..36)?;
    let task = name.get(37..)?;
    (is_uuid(allocation, b'-') && name.get(36) == Some(&b'.') && !task.is_empty()).then(|| name.into())
}

/// `slurm`, `slurm_<node>`, `slurmstepd.scope`, `<node>_slurmstepd.scope`.
fn is_slurm(component: &[u8]) -> bool {
    component == b"slurm" || component.starts_with(b"slurm_") || component.ends_with(b"slurmstepd.scope")
}

fn whole_id(text: &[u8]) -> Option<Id> {
    (text.len() == CONTAINER_ID_DIGITS && is_hex(text)).then(|| Id { digits: ascii(text), cut: false })
}

/// The beginning of a container id that something cut off.
pub(super) fn beginning_of_id(text: &[u8]) -> Option<Id> {
    let plausible = (SHORT_ID_DIGITS..CONTAINER_ID_DIGITS).contains(&text.len()) && is_hex(text);
    plausible.then(|| Id { digits: ascii(text), cut: true })
}

/// `8-4-4-4-12` lower-case hex digits.
pub(super) fn is_uuid(text: &[u8], separator: u8) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => *b == separator,
            _ => is_hex_digit(*b),
        })
}

/// Letters, digits and dashes only, as generated ids are.
pub(super) fn is_generated_id(text: &[u8]) -> bool {
    (SHORT_ID_DIGITS..=128).contains(&text.len()) && text.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}

pub(super) fn number(text: &[u8]) -> Option<u32> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    text.to_str().ok()?.parse().ok()
}

/// Undoes systemd's `\xNN` (systemd.unit(5), "string escaping for inclusion in unit names").
pub(super) fn unescape(name: &[u8]) -> Untrusted {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, tail)) = rest.split_first() {
        match escaped_byte(rest) {
            Some(byte) => {
                out.push(byte);
                rest = rest.get(4..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out.as_slice().into()
}

fn escaped_byte(text: &[u8]) -> Option<u8> {
    let digits = after(text, b"\\x")?.get(..2)?;
    if !is_hex(digits) {
        return None;
    }
    u8::from_str_radix(digits.to_str().ok()?, 16).ok()
}

/// What follows `prefix`, unless nothing does.
pub(super) fn after<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    text.strip_prefix(prefix).filter(|rest| !rest.is_empty())
}

fn is_hex(text: &[u8]) -> bool {
    text.iter().all(|b| is_hex_digit(*b))
}

/// Lower case only: nothing that makes these ids writes capitals.
const fn is_hex_digit(b: u8) -> bool {
    matches!(b, b'0'..=b'9' | b'a'..=b'f')
}

/// For text that was checked to be ASCII.
fn ascii(text: &[u8]) -> String {
    text.to_str_lossy().into_owned()
}

fn split_first(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.find_byte(separator)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

fn split_last(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.rfind_byte(separator)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}
