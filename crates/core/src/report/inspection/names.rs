//! How cgroups, containers and open files are called.

use crate::incident::identity::Identity;
use crate::inspect::Target;
use crate::report::page::Page;
use crate::report::style::Role;
use crate::report::words;
use crate::text::{Untrusted, name_in_text};

/// `container 3f2a… of pod 9f3c…`, `nginx.service`, `cgroup /a/b`: whose cgroup it is, in the fewest words.
pub(super) fn cgroup(target: &Target) -> String {
    let owner = target.identity.as_ref().and_then(owner);
    owner.unwrap_or_else(|| format!("cgroup {}", name_in_text(target.cgroup.as_bytes())))
}

fn owner(identity: &Identity) -> Option<String> {
    let pod = words::pod(identity).map(|pod| format!("pod {pod}"));
    let container = identity
        .container
        .as_deref()
        .map(|name| words::clean(name).into_owned())
        .or_else(|| identity.container_id.as_deref().map(words::container_id));
    let machine = |name: &Untrusted| name_in_text(name.as_bytes());
    match (container, pod) {
        (Some(container), Some(pod)) => Some(format!("container {container} of {pod}")),
        (Some(container), None) => Some(format!("container {container}")),
        (None, Some(pod)) => Some(pod),
        (None, None) => identity.machine.as_ref().or(identity.unit.as_ref()).map(machine),
    }
}

/// The cgroup, and what else its path tells.
pub(super) fn write(page: &mut Page, target: &Target) {
    page.path("cgroup", &super::path(&target.cgroup));
    let Some(identity) = &target.identity else { return };
    let unit = identity.unit.as_ref().map(|unit| name_in_text(unit.as_bytes()));
    let qos = identity.qos.as_ref().map(|qos| format!("QoS {qos}"));
    let facts: Vec<String> = [identity.runtime.clone(), qos, unit].into_iter().flatten().collect();
    page.facts("run by", Role::Plain, &facts);
}

/// The last component of a path; long ids lose their middle in the table.
pub(super) fn level(cgroup: &Untrusted) -> String {
    let path = cgroup.as_bytes();
    let last = path.rsplit(|b| *b == b'/').find(|part| !part.is_empty());
    match last {
        Some(last) => Untrusted::from(last).to_string(),
        None => "/ (root)".to_owned(),
    }
}

/// `anon_inode:[eventpoll]` is an `eventpoll`.
pub(super) fn fd_kind(kind: &str) -> String {
    let inner = kind.strip_prefix("anon_inode:").unwrap_or(kind);
    let inner = inner.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(inner);
    name_in_text(inner.as_bytes()).replace('"', "")
}
