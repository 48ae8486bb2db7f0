//! Paths of the field, mostly from real logs, with what they say.

use super::describe::describe;
use super::identity::{Identity, identify};
use super::level::{Level, level_of};
use crate::text::Untrusted;

const CID: &str = "3d4cccf9d78bbef65e4ccda2178ffa2459378f12b1d2dc9d9c699a7805265dd9";
const UID: &str = "966f455a-5021-48bc-a77b-3f1d9448d0c0";
const NODE: &str = "965151fddefd728dd7d9bd08030c529dd0b219fa02fb3c306734a9e3bacc2e32";

/// Writes the long ids into a path: `CID`, `UID`, `U_ID` (underscores), `NODE`.
fn path(template: &str) -> Vec<u8> {
    template
        .replace("U_ID", &UID.replace('-', "_"))
        .replace("UID", UID)
        .replace("CID", CID)
        .replace("NODE", NODE)
        .into_bytes()
}

fn owner(template: &str) -> Identity {
    identify(&path(template)).unwrap_or_default()
}

fn name(text: &str) -> Option<Untrusted> {
    Some(text.into())
}

/// Every way in which a kubelet and a runtime together name a pod's container: all of it is read from the path.
#[test]
fn containers_of_pods() {
    let slices = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_ID.slice";
    for (template, qos, runtime) in [
        ("/kubepods/burstable/podUID/CID", "burstable", None),
        ("/kubepods/besteffort/podUID/CID", "besteffort", None),
        ("/kubepods/podUID/CID", "guaranteed", None),
        ("/kubepods/burstable/podUID/crio-CID", "burstable", Some("cri-o")),
        (&format!("{slices}/cri-containerd-CID.scope"), "burstable", Some("containerd")),
        (&format!("{slices}/crio-CID.scope"), "burstable", Some("cri-o")),
        (&format!("{slices}/docker-CID.scope"), "burstable", Some("docker")),
        (&format!("{slices}/youki-CID.scope"), "burstable", Some("youki")),
        (&format!("{slices}/kata_CID"), "burstable", Some("kata")),
        ("/kubepods.slice/kubepods-podU_ID.slice/docker-CID.scope", "guaranteed", Some("docker")),
        ("/kubepods.slice/kubepods-burstable-podU_ID.slice:cri-containerd:CID", "burstable", Some("containerd")),
        ("/kubepods-besteffort-podU_ID.slice:cri-containerd:CID", "besteffort", Some("containerd")),
        (
            "/system.slice/containerd.service/kubepods-burstable-podU_ID.slice:cri-containerd:CID",
            "burstable",
            Some("containerd"),
        ),
        (
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/\
             kubelet-kubepods-burstable-podU_ID.slice/cri-containerd-CID.scope",
            "burstable",
            Some("containerd"),
        ),
        ("/k3s/kubepods/burstable/podUID/CID", "burstable", None),
        ("/system.slice/k3s.service/kubepods/burstable/podUID/CID", "burstable", None),
        ("/sys/fs/cgroup/memory/kubepods/burstable/podUID/CID", "burstable", None),
        ("/../../burstable/podUID/CID", "burstable", None),
    ] {
        let expected = Identity {
            pod_uid: Some(UID.to_owned()),
            container_id: Some(CID.to_owned()),
            runtime: runtime.map(str::to_owned),
            qos: Some(qos.to_owned()),
            ..Identity::default()
        };
        assert_eq!(owner(template), expected, "{template}");
        assert_eq!(level_of(&path(template)), Level::Container, "{template}");
        assert_eq!(describe(&path(template)), "container 3d4cccf9d78b of pod 966f455a", "{template}");
    }
}

/// Above the container every level has its own name, which is what tells a container's limit from a pod's or a node's.
#[test]
fn levels_of_kubernetes() {
    for (template, level, words) in [
        ("/kubepods/burstable/podUID", Level::Pod, "pod 966f455a"),
        ("/kubepods.slice/kubepods-podU_ID.slice", Level::Pod, "pod 966f455a"),
        ("/kubepods/burstable/pod0123456789abcdef0123456789abcdef", Level::Pod, "static pod 01234567"),
        ("/kubepods/burstable", Level::QosClass, "QoS class burstable"),
        ("/kubepods.slice/kubepods-besteffort.slice", Level::QosClass, "QoS class besteffort"),
        ("/kubelet/kubepods/besteffort", Level::QosClass, "QoS class besteffort"),
        ("/kubepods", Level::Kubepods, "all pods (kubepods)"),
        ("/kubepods.slice", Level::Kubepods, "all pods (kubepods)"),
        ("/kubelet.slice/kubelet-kubepods.slice", Level::Kubepods, "all pods (kubepods)"),
        ("/kubelet.slice", Level::AboveKubepods, "the kubelet's own root, kubelet.slice"),
        ("/kubepods/kata_CID", Level::Container, "kata container 3d4cccf9d78b"),
        (
            "/kubepods.slice/kubepods-podU_ID.slice/crio-CID.scope/container",
            Level::BelowContainer,
            "a cgroup inside container 3d4cccf9d78b of pod 966f455a",
        ),
        (
            "/kubepods/burstable/podUID/CID/docker/NODE",
            Level::BelowContainer,
            "container 965151fddefd inside container 3d4cccf9d78b of pod 966f455a",
        ),
        (
            "/kubepods/burstable/podUID/CID/init.scope",
            Level::BelowContainer,
            "a cgroup inside container 3d4cccf9d78b of pod 966f455a",
        ),
        ("/podruntime.slice/kubelet.service", Level::Service, "service kubelet.service"),
    ] {
        assert_eq!(level_of(&path(template)), level, "{template}");
        assert_eq!(describe(&path(template)), words, "{template}");
    }
    assert_eq!(owner("/kubepods/kata_CID").runtime.as_deref(), Some("kata"));
    assert_eq!(owner("/kubepods/burstable").qos.as_deref(), Some("burstable"));
    assert_eq!(identify(b"/kubepods"), None);
    assert!(owner("/kubepods/burstable/pod0123456789abcdef0123456789abcdef").is_static_pod());
    assert_eq!(owner("/kubepods/burstable/podUID/CID/docker/NODE").inner_container_id.as_deref(), Some(NODE));
}

/// On a node that is itself a container the innermost kubepods counts, and the outermost container stays known.
#[test]
fn nodes_inside_containers() {
    for template in [
        "/docker/NODE/kubelet/kubepods/burstable/podUID/CID",
        "/docker/NODE/kubepods/burstable/podUID/CID",
        "/docker/NODE/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/\
         kubelet-kubepods-burstable-podU_ID.slice/cri-containerd-CID.scope",
        "/system.slice/docker-NODE.scope/kubelet/kubepods/burstable/podUID/CID",
    ] {
        let found = owner(template);
        assert_eq!(found.pod_uid.as_deref(), Some(UID), "{template}");
        assert_eq!(found.container_id.as_deref(), Some(CID), "{template}");
        let node = found.within.unwrap();
        assert_eq!((node.container_id.as_deref(), node.runtime.as_deref()), (Some(NODE), Some("docker")), "{template}");
        let words = describe(&path(template));
        assert_eq!(words, "container 3d4cccf9d78b of pod 966f455a, inside docker container 965151fddefd", "{template}");
    }
    let in_lxc = owner("/lxc.payload.wq4d8s1zz6-lxc/kubepods.slice/kubepods-podU_ID.slice/cri-containerd-CID.scope");
    assert_eq!(in_lxc.within.unwrap().machine, name("wq4d8s1zz6-lxc"));
    // kind in a pod: the pod that a reader of this kernel's log can look up is the outer one.
    let outer_uid = "00c1c819-0a32-4e0f-a698-1efa53bf0440";
    let in_pod = owner(&format!(
        "/kubepods/burstable/pod{outer_uid}/NODE/docker/NODE/kubelet.slice/kubelet-kubepods.slice/\
         kubelet-kubepods-podU_ID.slice/cri-containerd-CID.scope"
    ));
    assert_eq!(in_pod.pod_uid.as_deref(), Some(UID));
    assert_eq!(in_pod.within.unwrap().pod_uid.as_deref(), Some(outer_uid));
}

/// Machines without Kubernetes: containers, virtual machines, jobs, services, users.
#[test]
fn outside_of_kubernetes() {
    let job = "0b49c0acdb4f90bdd53150beb47d4948";
    for (template, level, words) in [
        ("/docker/CID", Level::PlainContainer, "docker container 3d4cccf9d78b"),
        ("/system.slice/docker-CID.scope", Level::PlainContainer, "docker container 3d4cccf9d78b"),
        ("/system.slice:docker:CID", Level::PlainContainer, "docker container 3d4cccf9d78b"),
        ("/my-parent/CID", Level::PlainContainer, "container 3d4cccf9d78b"),
        ("/docker/CID/workers", Level::BelowPlainContainer, "a cgroup inside docker container 3d4cccf9d78b"),
        ("/docker/buildkit/9z1pvb6nc0d9mz5zmjzyn4ww7", Level::PlainContainer, "buildkit container 9z1pvb6nc0d9"),
        ("/machine.slice/libpod-CID.scope", Level::PlainContainer, "podman container 3d4cccf9d78b"),
        (
            "/machine.slice/libpod-CID.scope/container",
            Level::BelowPlainContainer,
            "a cgroup inside podman container 3d4cccf9d78b",
        ),
        ("/libpod_parent/libpod-CID", Level::PlainContainer, "podman container 3d4cccf9d78b"),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-CID.scope",
            Level::PlainContainer,
            "podman container 3d4cccf9d78b of user 1000",
        ),
        ("/lxc/101", Level::PlainContainer, "LXC container 101"),
        ("/lxc/101/ns", Level::BelowPlainContainer, "a cgroup inside LXC container 101"),
        ("/lxc.payload.foo", Level::PlainContainer, "LXC container foo"),
        ("/lxc.payload/foo", Level::PlainContainer, "LXC container foo"),
        ("/lxc/418/ns/system.slice/pulse.service", Level::Service, "service pulse.service in LXC container 418"),
        (
            "/lxc/418/ns/system.slice/docker-CID.scope",
            Level::PlainContainer,
            "docker container 3d4cccf9d78b, inside LXC container 418",
        ),
        ("/machine.slice/machine-web.scope", Level::PlainContainer, "systemd-nspawn container web"),
        ("/machine.slice/systemd-nspawn@web.service", Level::PlainContainer, "systemd-nspawn container web"),
        (
            r"/machine.slice/machine-qemu\x2d1\x2dbuild\x2dhost.scope/libvirt/emulator",
            Level::VirtualMachine,
            "virtual machine build-host",
        ),
        ("/qemu.slice/104.scope", Level::VirtualMachine, "virtual machine 104"),
        (&format!("/ecs/{job}"), Level::Job, &format!("ECS task {job}")),
        (&format!("/ecs/{job}/CID"), Level::PlainContainer, &format!("container 3d4cccf9d78b of ECS task {job}")),
        ("/slurm/uid_1000/job_123/step_0", Level::Job, "Slurm job 123"),
        ("/system.slice/slurmstepd.scope/job_123/step_0/user/task_0", Level::Job, "Slurm job 123"),
        ("/nomad.slice/share.slice/UID.web.scope", Level::Job, &format!("Nomad task {UID}.web")),
        ("/mesos/UID", Level::Job, &format!("Mesos container {UID}")),
        ("/garden/UID", Level::PlainContainer, "garden container 966f455a-502"),
        ("/flynn/user/host1-UID", Level::PlainContainer, "flynn container host1-966f45"),
        ("/system.slice/nginx.service", Level::Service, "service nginx.service"),
        (
            "/system.slice/system-postgresql.slice/postgresql@15-main.service",
            Level::Service,
            "service postgresql@15-main.service",
        ),
        (r"/system.slice/my\x2dapp.service/workers", Level::Service, "service my-app.service"),
        ("/user.slice/user-0.slice/session-4.scope", Level::Service, "user 0's session"),
        ("/user.slice/user-1000.slice/user@1000.service", Level::Service, "user 1000's services (user@1000.service)"),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox.scope",
            Level::Service,
            "app-firefox.scope of user 1000",
        ),
        ("/user.slice/user-1000.slice", Level::Slice, "everything of user 1000 (user-1000.slice)"),
        ("/system.slice", Level::Slice, "all system services (system.slice)"),
        ("/podruntime.slice", Level::Slice, "slice podruntime.slice"),
        ("/init.scope", Level::Service, "the init process (init.scope)"),
        ("/uid_10123/pid_77", Level::App, "app of uid 10123"),
        ("/", Level::Root, "the root cgroup"),
        ("", Level::Root, "the root cgroup"),
        ("/leaker", Level::Other, "cgroup /leaker"),
    ] {
        assert_eq!(level_of(&path(template)), level, "{template}");
        assert_eq!(describe(&path(template)), words, "{template}");
    }
    for nobody in ["/", "", "/leaker", "/kubepods", "/kubelet"] {
        assert_eq!(identify(nobody.as_bytes()), None, "{nobody}");
    }
    assert_eq!(owner("/system.slice/nginx.service").unit, name("nginx.service"));
}

/// A pod uid, container id or user number of another shape than its maker gives it is not taken for one.
#[test]
fn shapes_are_checked() {
    for template in [
        "/kubepods/burstable/pod-evil/x",
        "/kubepods/burstable/pod966f455a-5021-48bc-a77b",
        "/kubepods.slice/kubepods-burstable.slice/kubepods",
        "/kubepods/burstable/pod966F455A-5021-48BC-A77B-3F1D9448D0C0",
        "/kubepods/burstable/pod966f455a_5021-48bc-a77b-3f1d9448d0c0",
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod\u{1b}[31m.slice",
    ] {
        assert_eq!(owner(template).pod_uid, None, "{template}");
        assert_eq!(level_of(&path(template)), Level::InKubepods, "{template}");
        assert!(!describe(&path(template)).contains('\u{1b}'));
    }
    assert_eq!(owner("/notkubepods.slice/podx").pod_uid, None);
    assert_eq!(owner("/user.slice/user-99999999999.slice").user_uid, None);
    // Inside a container, `pod<uid>` is the container's own invention.
    assert_eq!(level_of(&path("/kubepods/burstable/podUID/CID/podUID/NODE")), Level::BelowContainer);
    assert_eq!(owner("/kubepods/burstable/podUID/CID/podUID/NODE").container_id.as_deref(), Some(CID));
}

/// A path that the end of the log cut inside the container id still leads to the container, and says that it is cut.
#[test]
fn cut_container_ids() {
    for template in [
        "/kubepods/burstable/podUID/3d4cccf9d78bbef65e4c",
        "/system.slice/docker-3d4cccf9d78bbef65e4c",
        "/docker/3d4cccf9d78bbef65e4c",
        "/kubepods-podU_ID.slice:cri-containerd:3d4cccf9d78bbef65e4c",
    ] {
        let found = owner(template);
        assert_eq!(found.container_id.as_deref(), Some("3d4cccf9d78bbef65e4c"), "{template}");
        assert!(found.container_id_cut, "{template}");
    }
    assert_eq!(owner("/kubepods/burstable/podUID/3d4cccf").container_id, None);
    // Anonymised by hand: the scope still says that it is a container.
    let anonymised = "/kubepods.slice/kubepods-podU_ID.slice/cri-containerd-cabbede.scope";
    assert_eq!((level_of(&path(anonymised)), owner(anonymised).container_id), (Level::Container, None));
    assert_eq!(describe(&path(anonymised)), "a container of pod 966f455a");
}

/// A damaged letter in the name of the QoS class does not lose the pod below it.
#[test]
fn damage_above_the_pod() {
    for template in [
        "/kubepods.slice/kubepods-urstable.slice/kubepods-burstable-podU_ID.slice/cri-containerd-CID.scope",
        "/kubepods/urstable/podUID/CID",
    ] {
        assert_eq!(level_of(&path(template)), Level::Container, "{template}");
        assert_eq!(describe(&path(template)), "container 3d4cccf9d78b of pod 966f455a", "{template}");
    }
}

/// However deep a path nests machine into machine, what is kept of the outer ones stays one identity.
#[test]
fn nesting_is_bounded() {
    let deep = "/docker/NODE/kubepods/podUID/CID".repeat(10_000);
    let found = owner(&deep);
    assert_eq!(found.within.and_then(|outer| outer.within), None);
}

proptest::proptest! {
    /// No bytes make the reading panic or put a control character into the words.
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = identify(&bytes);
        proptest::prop_assert!(!describe(&bytes).chars().any(char::is_control));
    }

    /// Nor do pieces of real names in any order.
    #[test]
    fn any_names(parts in proptest::collection::vec(proptest::sample::select(vec![
        "/", "kubepods", "kubepods.slice", "-burstable", "burstable", "pod", UID, CID, ".slice", ".scope", ":", "lxc", "docker-",
        "machine-qemu\\x2d1\\x2d", "user-1000", "user@", "ecs", "slurm", "job_1", "uid_7", "\\x", "garden", "\u{9b}", "é",
    ]), 0..24)) {
        let path = parts.concat();
        let _ = identify(path.as_bytes());
        proptest::prop_assert!(!describe(path.as_bytes()).chars().any(char::is_control));
    }
}
