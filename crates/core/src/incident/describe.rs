//! A cgroup in a few words: `container 3d4cccf9d78b of pod 966f455a`, `service nginx.service`.

use super::cgroup_path::CgroupPath;
use super::identity::Identity;
use super::level::Level;
use crate::text::{Untrusted, escape};

/// As many digits of a container id as `docker ps` and `crictl ps` show.
const SHORT_CONTAINER_ID: usize = 12;
/// The first group of a uuid.
const SHORT_POD_UID: usize = 8;
/// Names that somebody chose are cut to this many bytes.
const LONGEST_NAME: usize = 80;

/// Names the cgroup for a sentence. Safe to print: whatever the path holds is escaped and cut.
#[must_use]
pub fn describe(path: &[u8]) -> String {
    let CgroupPath { level, owner } = CgroupPath::read(path);
    let what = in_its_machine(level, &owner, path);
    match &owner.within {
        Some(outer) => format!("{what}, inside {}", somebody(outer)),
        None => what,
    }
}

fn in_its_machine(level: Level, owner: &Identity, path: &[u8]) -> String {
    match level {
        Level::Root => "the root cgroup".to_owned(),
        Level::Container | Level::Pod | Level::PlainContainer => somebody(owner),
        Level::BelowContainer => match &owner.inner_container_id {
            Some(inner) => format!("container {} inside {}", start(inner, SHORT_CONTAINER_ID), somebody(owner)),
            None => format!("a cgroup inside {}", somebody(owner)),
        },
        Level::BelowPlainContainer => format!("a cgroup inside {}", somebody(owner)),
        Level::QosClass => format!("QoS class {}", owner.qos.as_deref().unwrap_or("unknown")),
        Level::Kubepods => "all pods (kubepods)".to_owned(),
        Level::InKubepods => match &owner.pod_uid {
            Some(_) => format!("a part of {}", pod(owner)),
            None => format!("a part of kubepods, {}", shown(last_component(path))),
        },
        Level::AboveKubepods => format!("the kubelet's own root, {}", shown(last_component(path))),
        Level::VirtualMachine => format!("virtual machine {}", named(&owner.machine)),
        Level::Job => job(owner),
        Level::Service => in_machine(service(owner), owner),
        Level::Slice => in_machine(slice(owner), owner),
        Level::App => format!("app of uid {}", number(owner.user_uid)),
        Level::Other => format!("cgroup {}", shown(path)),
    }
}

/// The container, pod or machine itself, without what stands below it.
fn somebody(owner: &Identity) -> String {
    match (&owner.container_id, &owner.machine) {
        _ if owner.pod_uid.is_some() && owner.container_id.is_none() && owner.runtime.is_none() => pod(owner),
        (None, Some(_)) => machine(owner),
        (id, _) => {
            let id = id.as_deref().map(|id| start(id, SHORT_CONTAINER_ID));
            let of = match (&owner.pod_uid, owner.user_uid) {
                (Some(_), _) => format!(" of {}", pod(owner)),
                (None, Some(uid)) => format!(" of user {uid}"),
                (None, None) if owner.job.is_some() => format!(" of {}", job(owner)),
                (None, None) => String::new(),
            };
            // In a pod the runtime is everybody's and says nothing.
            let runtime = owner.runtime.as_deref().filter(|_| owner.pod_uid.is_none()).map(|r| format!("{r} "));
            match id {
                Some(id) => format!("{}container {id}{of}", runtime.unwrap_or_default()),
                None => format!("a {}container{of}", runtime.unwrap_or_default()),
            }
        }
    }
}

fn pod(owner: &Identity) -> String {
    let uid = owner.pod_uid.as_deref().map_or("unknown", |uid| start(uid, SHORT_POD_UID));
    if owner.is_static_pod() { format!("static pod {uid}") } else { format!("pod {uid}") }
}

fn machine(owner: &Identity) -> String {
    let name = named(&owner.machine);
    match owner.runtime.as_deref() {
        Some("lxc") => format!("LXC container {name}"),
        Some(runtime) => format!("{runtime} container {name}"),
        None => format!("virtual machine {name}"),
    }
}

fn in_machine(what: String, owner: &Identity) -> String {
    if owner.machine.is_some() { format!("{what} in {}", machine(owner)) } else { what }
}

fn service(owner: &Identity) -> String {
    let unit = owner.unit.as_ref().map(Untrusted::as_bytes).unwrap_or_default();
    let name = named(&owner.unit);
    match owner.user_uid {
        Some(uid) if unit.starts_with(b"session-") => format!("user {uid}'s session"),
        Some(uid) if unit.starts_with(b"user@") => format!("user {uid}'s services ({name})"),
        Some(uid) => format!("{name} of user {uid}"),
        None if unit == b"init.scope" => "the init process (init.scope)".to_owned(),
        None if unit.ends_with(b".service") => format!("service {name}"),
        None => format!("unit {name}"),
    }
}

fn slice(owner: &Identity) -> String {
    let name = named(&owner.slice);
    match (name.as_str(), owner.user_uid) {
        (_, Some(uid)) => format!("everything of user {uid} ({name})"),
        ("system.slice", None) => format!("all system services ({name})"),
        ("user.slice", None) => format!("all users ({name})"),
        ("machine.slice", None) => format!("all machines and containers ({name})"),
        _ => format!("slice {name}"),
    }
}

fn job(owner: &Identity) -> String {
    let scheduler = match owner.scheduler.as_deref() {
        Some("ecs") => "ECS task",
        Some("slurm") => "Slurm job",
        Some("nomad") => "Nomad task",
        Some("mesos") => "Mesos container",
        _ => "job",
    };
    match &owner.job {
        Some(_) => format!("{scheduler} {}", named(&owner.job)),
        None => format!("a {scheduler}"),
    }
}

fn named(name: &Option<Untrusted>) -> String {
    name.as_ref().map_or_else(|| "unknown".to_owned(), |name| shown(name.as_bytes()))
}

/// systemd's escapes undone, terminal's escapes made harmless.
fn shown(name: &[u8]) -> String {
    let name = super::cgroup_name::unescape(name);
    match name.as_bytes().get(..LONGEST_NAME) {
        Some(start) if name.as_bytes().len() > LONGEST_NAME => format!("{}…", escape(start)),
        _ => escape(name.as_bytes()),
    }
}

fn last_component(path: &[u8]) -> &[u8] {
    path.split(|b| *b == b'/').rfind(|c| !c.is_empty()).unwrap_or_default()
}

fn number(uid: Option<u32>) -> String {
    uid.map_or_else(|| "unknown".to_owned(), |uid| uid.to_string())
}

fn start(id: &str, digits: usize) -> &str {
    id.get(..digits).unwrap_or(id)
}
