//! Reads a cgroup path from the root down: each component changes what is known and how deep it is.
//!
//! The same names mean different things at different depths, and whole hierarchies nest: a kind node is a Docker container
//! that holds kubepods, a Proxmox container runs a systemd of its own. So where a new hierarchy begins below a container,
//! that container becomes the machine which the rest of the path is about ([`Identity::within`]).

use super::cgroup_name::{Id, Name, after, beginning_of_id, is_generated_id, is_uuid, names, number, unescape};
use super::identity::Identity;
use super::level::Level;
use crate::text::Untrusted;

/// A cgroup path, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CgroupPath {
    pub(super) level: Level,
    pub(super) owner: Identity,
}

impl CgroupPath {
    /// Reads any bytes; linear in their number.
    pub(super) fn read(path: &[u8]) -> Self {
        let mut walk = Self::default();
        let mut parent: &[u8] = b"";
        let mut components = path.split(|b| *b == b'/').filter(|c| !c.is_empty()).peekable();
        while let Some(component) = components.next() {
            let is_last = components.peek().is_none();
            if !walk.enter_by_parent(parent, component) {
                for name in names(component) {
                    walk.enter(name, component, parent, is_last);
                }
            }
            parent = component;
        }
        walk
    }

    /// Names that only the folder around them gives a meaning. False: not such a folder, or not such a name.
    fn enter_by_parent(&mut self, parent: &[u8], component: &[u8]) -> bool {
        if self.level.is_kubernetes() {
            return false;
        }
        match parent {
            b"lxc" | b"lxc.payload" | b"lxc.monitor" => self.enter_machine("lxc", component.into()),
            b"ecs" => self.enter_job("ecs", component),
            b"ecstasks.slice" => match after(component, b"ecstasks-").and_then(|c| c.strip_suffix(b".slice")) {
                Some(task) => self.enter_job("ecs", task),
                None => return false,
            },
            b"mesos" if is_uuid(component, b'-') => self.enter_job("mesos", component),
            b"buildkit" if is_generated_id(component) => self.enter_named_container("buildkit", component),
            b"garden" if is_generated_id(component) => self.enter_named_container("garden", component),
            b"good" | b"bad" if is_generated_id(component) && self.is_below_unit(b"garden.service") => {
                self.enter_named_container("garden", component);
            }
            b"user" if flynn_job(component).is_some() => self.enter_named_container("flynn", component),
            b"qemu.slice" => match component.strip_suffix(b".scope").filter(|id| number(id).is_some()) {
                Some(id) => self.enter_virtual_machine(unescape(id)),
                None => return false,
            },
            _ if self.is_in_slurm() => match after(component, b"job_") {
                Some(job) if number(job).is_some() => self.enter_job("slurm", job),
                _ => return false,
            },
            _ => return false,
        }
        true
    }

    fn enter(&mut self, name: Name<'_>, component: &[u8], parent: &[u8], is_last: bool) {
        match name {
            // Between kubepods and its containers there is no other kubepods: such a name was cut there.
            Name::Kubepods if !self.is_among_pods() => self.enter_kubepods(),
            Name::Qos(qos) if self.level == Level::Kubepods => self.enter_qos(qos),
            Name::Qos(qos) if component.ends_with(b".slice") && !self.is_among_pods() => self.enter_qos(qos),
            Name::Pod { uid, qos } => self.enter_pod(uid, qos, component, parent),
            Name::KubeletRoot if !self.level.is_kubernetes() => self.level = Level::AboveKubepods,
            Name::Container { runtime, id } => self.enter_container(runtime.or_else(|| runtime_of_folder(parent)), id),
            _ if self.level.is_kubernetes() => self.enter_unknown(component, is_last),
            Name::Machine { runtime, name } => self.enter_machine(runtime, name),
            Name::VirtualMachine { name } => self.enter_virtual_machine(name),
            Name::UserSlice(uid) => {
                self.owner.user_uid = Some(uid);
                self.enter_slice(component);
            }
            Name::Slice(slice) => self.enter_slice(slice),
            Name::UserManager(uid) => {
                self.owner.user_uid = Some(uid);
                self.enter_unit(component);
            }
            Name::Unit => self.enter_unit(component),
            Name::Slurm => {
                self.owner.scheduler = Some("slurm".to_owned());
                self.level = Level::Job;
            }
            Name::NomadTask(task) => self.enter_job("nomad", task.as_bytes()),
            Name::Uid(uid) if self.is_in_slurm() => self.owner.user_uid = Some(uid),
            Name::Uid(uid) if matches!(self.level, Level::Root | Level::Other) => {
                self.owner.user_uid = Some(uid);
                self.level = Level::App;
            }
            Name::Uid(_) | Name::Qos(_) | Name::Kubepods | Name::KubeletRoot | Name::Other => {
                match runtime_of_folder(parent).zip(beginning_of_id(component)).filter(|_| is_last) {
                    Some((runtime, id)) => self.enter_container(Some(runtime), Some(id)),
                    None => self.enter_unknown(component, is_last),
                }
            }
        }
    }

    fn enter_kubepods(&mut self) {
        self.begin_machine();
        self.level = Level::Kubepods;
    }

    fn enter_qos(&mut self, qos: &str) {
        if self.level != Level::Kubepods {
            self.begin_machine();
        }
        self.owner.qos = Some(qos.to_owned());
        self.level = Level::QosClass;
    }

    fn enter_pod(&mut self, uid: String, qos: Option<&'static str>, component: &[u8], parent: &[u8]) {
        match self.level {
            Level::Kubepods | Level::QosClass => {}
            // Below a QoS class whose name is damaged.
            Level::InKubepods if self.owner.pod_uid.is_none() => {}
            Level::Pod | Level::InKubepods => return self.enter_unknown(component, false),
            // Only the slice says by itself that it is kubelet's; `pod<uid>` inside a container is the container's word.
            Level::Container | Level::BelowContainer if qos.is_none() => return self.enter_unknown(component, false),
            _ => self.begin_machine(),
        }
        let by_place = match (self.level, parent) {
            (Level::Kubepods, _) => Some("guaranteed"),
            (_, b"burstable") => Some("burstable"),
            (_, b"besteffort") => Some("besteffort"),
            _ => None,
        };
        if let Some(qos) = qos.or(by_place) {
            self.owner.qos = Some(qos.to_owned());
        }
        self.owner.pod_uid = Some(uid);
        self.level = Level::Pod;
    }

    fn enter_container(&mut self, runtime: Option<String>, id: Option<Id>) {
        match self.level {
            Level::Container | Level::BelowContainer => {
                if self.owner.inner_container_id.is_none() {
                    self.owner.inner_container_id = id.map(|id| id.digits);
                }
                self.level = Level::BelowContainer;
                return;
            }
            Level::Pod | Level::QosClass | Level::Kubepods | Level::InKubepods => self.level = Level::Container,
            Level::PlainContainer | Level::BelowPlainContainer => {
                self.begin_machine();
                self.level = Level::PlainContainer;
            }
            _ => {
                // A container in LXC container 101: that one is the machine. A task of ECS is not.
                if self.owner.machine.is_some() {
                    self.begin_machine();
                }
                self.level = Level::PlainContainer;
            }
        }
        self.owner.runtime = runtime.or(self.owner.runtime.take());
        if let Some(id) = id {
            self.owner.container_id_cut = id.cut;
            self.owner.container_id = Some(id.digits);
        }
    }

    /// Runtimes whose ids are no 64 hex digits.
    fn enter_named_container(&mut self, runtime: &str, id: &[u8]) {
        let digits = String::from_utf8_lossy(id).into_owned();
        self.enter_container(Some(runtime.to_owned()), Some(Id { digits, cut: false }));
    }

    fn enter_machine(&mut self, runtime: &str, name: Untrusted) {
        self.begin_machine();
        self.owner.runtime = Some(runtime.to_owned());
        self.owner.machine = Some(name);
        self.level = Level::PlainContainer;
    }

    fn enter_virtual_machine(&mut self, name: Untrusted) {
        self.begin_machine();
        self.owner.machine = Some(name);
        self.level = Level::VirtualMachine;
    }

    fn enter_job(&mut self, scheduler: &str, job: &[u8]) {
        self.owner.scheduler = Some(scheduler.to_owned());
        self.owner.job = Some(job.into());
        self.level = Level::Job;
    }

    fn enter_slice(&mut self, component: &[u8]) {
        if self.has_systemd_inside() {
            self.owner.slice = Some(component.into());
            // `app.slice` inside `user@1000.service` belongs to that unit.
            if self.owner.unit.is_none() {
                self.level = Level::Slice;
            }
        } else {
            self.enter_unknown(component, false);
        }
    }

    fn enter_unit(&mut self, component: &[u8]) {
        if self.has_systemd_inside() {
            self.owner.unit = Some(component.into());
            self.level = Level::Service;
        } else {
            self.enter_unknown(component, false);
        }
    }

    /// A component that changes only the depth.
    fn enter_unknown(&mut self, component: &[u8], is_last: bool) {
        self.level = match self.level {
            Level::Pod | Level::InKubepods if is_last => match beginning_of_id(component) {
                Some(id) => return self.enter_container(None, Some(id)),
                None => Level::InKubepods,
            },
            Level::Kubepods | Level::QosClass | Level::Pod | Level::InKubepods => Level::InKubepods,
            Level::Container | Level::BelowContainer => Level::BelowContainer,
            Level::PlainContainer | Level::BelowPlainContainer => Level::BelowPlainContainer,
            depth @ (Level::VirtualMachine | Level::Job | Level::Service | Level::App) => depth,
            Level::Root | Level::AboveKubepods | Level::Slice | Level::Other => Level::Other,
        };
    }

    /// Forgets the unit and slice that the kubelet or runtime happened to run in, and turns a container into the machine
    /// that what follows is about.
    fn begin_machine(&mut self) {
        let outer = std::mem::take(&mut self.owner);
        // What an ordinary user runs (rootless Podman, kind in it) stays that user's, however deep.
        self.owner.user_uid = outer.user_uid;
        self.owner.within = match outer.within {
            Some(outermost) => Some(outermost),
            None => outer.is_somebody().then(|| Box::new(outer)),
        };
    }

    /// False inside an application container, whose systemd, if any, is its own affair.
    fn has_systemd_inside(&self) -> bool {
        match self.level {
            Level::PlainContainer | Level::BelowPlainContainer => self.owner.machine.is_some(),
            level => !matches!(level, Level::VirtualMachine | Level::Job | Level::App),
        }
    }

    /// Below kubepods and not in a container yet.
    const fn is_among_pods(&self) -> bool {
        matches!(self.level, Level::Kubepods | Level::QosClass | Level::Pod | Level::InKubepods)
    }

    fn is_in_slurm(&self) -> bool {
        self.level == Level::Job && self.owner.scheduler.as_deref() == Some("slurm")
    }

    fn is_below_unit(&self, unit: &[u8]) -> bool {
        self.owner.unit.as_ref().is_some_and(|u| u.as_bytes() == unit)
    }
}

/// Who puts bare ids into a folder of this name.
fn runtime_of_folder(folder: &[u8]) -> Option<String> {
    let runtime = match folder {
        b"docker" | b"actions_job" => "docker",
        b"libpod_parent" | b"libpod" => "podman",
        b"moby" => "docker",
        b"k8s.io" => "containerd",
        _ => return None,
    };
    Some(runtime.to_owned())
}

/// Flynn's `<host>-<uuid>`.
fn flynn_job(component: &[u8]) -> Option<&[u8]> {
    let uuid = component.get(component.len().checked_sub(36)?..)?;
    (component.len() > 36 && component.get(component.len() - 37) == Some(&b'-'))
        .then_some(uuid)
        .filter(|u| is_uuid(u, b'-'))
}
