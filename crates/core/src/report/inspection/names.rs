//! What cgroups, containers and open files are called.

use crate::incident::describe::describe;
use crate::incident::level::{Level, level_of};
use crate::inspect::Target;
use crate::report::page::Page;
use crate::report::style::Role;
use crate::report::words;
use crate::text::{Untrusted, escape};

/// `container 3d4cccf9d78b of pod 0f1e2d3c`, `service nginx.service`, `cgroup /a/b`: whose cgroup it is, in the fewest words.
pub(super) fn cgroup(target: &Target) -> String {
    describe(target.cgroup.as_bytes())
}

/// The cgroup, and in full what is told of its owner.
pub(super) fn write(page: &mut Page, target: &Target) {
    page.path("cgroup", &target.cgroup.to_string());
    let Some(identity) = &target.identity else { return };
    let qos = identity.qos.as_ref().map(|qos| format!("QoS {qos}"));
    let pod: Vec<String> = words::pod(identity).into_iter().chain(qos).collect();
    page.facts("pod", Role::Plain, &pod);
    let id = identity.container_id.as_deref().map(|id| words::clean(id).into_owned());
    let container: Vec<String> = identity.container.iter().cloned().chain(id).chain(identity.runtime.clone()).collect();
    page.facts("container", Role::Plain, &container);
}

/// What a level is: `container 3d4cccf9d78b`, `pod 0f1e2d3c`, `kubepods.slice`; a path that tells no owner by its last name.
pub(super) fn level(cgroup: &Untrusted) -> String {
    let path = cgroup.as_bytes();
    match level_of(path) {
        Level::Root => "/ (root)".to_owned(),
        // The pod is a level of its own.
        Level::Container => {
            let name = describe(path);
            name.split_once(" of pod").map_or_else(|| name.clone(), |(container, _)| container.to_owned())
        }
        Level::Pod | Level::PlainContainer | Level::VirtualMachine | Level::Job | Level::App => describe(path),
        _ => {
            let last = path.rsplit(|b| *b == b'/').find(|part| !part.is_empty()).unwrap_or(path);
            Untrusted::from(last).to_string()
        }
    }
}

/// `anon_inode:[eventpoll]` is an `eventpoll`.
pub(super) fn fd_kind(kind: &str) -> String {
    let inner = kind.strip_prefix("anon_inode:").unwrap_or(kind);
    let inner = inner.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(inner);
    escape(inner.as_bytes())
}
