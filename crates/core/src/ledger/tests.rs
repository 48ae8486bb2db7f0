//! Made-up machines.

use proptest::prelude::*;

use super::*;
use crate::formats::cgroup::Version;
use crate::formats::proc::MemInfo;
use crate::kubernetes::{Directory, KubeletConfig, Pod, Source};
use crate::next::{Domain, Machine, Outlook, outlook};
use crate::units::Limit;

const MIB: u64 = 1 << 20;
const UID: &str = "0f1e2d3c-1111-2222-3333-444455556666";
const CONTAINER: &str = "3d4cccf9d78b3d4cccf9d78b3d4cccf9d78b3d4cccf9d78b3d4cccf9d78b3d4c";

fn nobody() -> Outlook {
    outlook(Domain::default(), Vec::new(), Machine { page_size: 4096, kernel_release: None }, 10)
}

fn settings(names: &Directory) -> Settings<'_> {
    Settings { names, at: None, host: Some("node-1") }
}

fn meminfo(mib: &[(&str, u64)]) -> MemInfo {
    MemInfo(mib.iter().map(|(name, mib)| ((*name).to_owned(), Bytes(mib * MIB))).collect())
}

fn cgroup(path: &str, mib: u64, charged: Charged, children: Vec<CgroupUse>) -> CgroupUse {
    CgroupUse {
        path: path.into(),
        usage: Some(Bytes(mib * MIB)),
        limit: Some(Limit::Unlimited),
        charged: Some(charged),
        children,
    }
}

fn charged(anon: u64, file: u64, shmem: u64) -> Charged {
    let of = |mib: u64| Some(mib * MIB);
    Charged {
        anon: of(anon),
        file: of(file),
        shmem: of(shmem),
        inactive_file: of((file - shmem) / 2),
        slab_reclaimable: of(0),
        ..Charged::default()
    }
}

/// A node of 1000 MiB with one pod whose container has died and left 30 MiB in a tmpfs volume, beside sshd and a session.
fn node() -> Observed {
    let pod = format!("/kubepods/burstable/pod{UID}");
    let container = cgroup(&format!("{pod}/{CONTAINER}"), 100, charged(90, 10, 0), vec![]);
    let pod = cgroup(&pod, 135, charged(90, 40, 30), vec![container]);
    let burstable = cgroup("/kubepods/burstable", 140, charged(90, 45, 30), vec![pod]);
    let kubepods = CgroupUse {
        limit: Some(Limit::At(Bytes(900 * MIB))),
        ..cgroup(
            "/kubepods",
            150,
            charged(95, 50, 30),
            vec![burstable, cgroup("/kubepods/besteffort", 0, charged(0, 0, 0), vec![])],
        )
    };
    let sshd = cgroup("/system.slice/ssh.service", 20, charged(10, 10, 0), vec![]);
    let system = cgroup("/system.slice", 60, charged(30, 30, 0), vec![sshd]);
    let user = cgroup("/user.slice", 15, charged(10, 5, 0), vec![]);
    let root = CgroupUse { path: "/".into(), children: vec![kubepods, system, user], ..CgroupUse::default() };
    Observed {
        meminfo: meminfo(&[
            ("MemTotal", 1000),
            ("MemFree", 500),
            ("AnonPages", 145),
            ("Cached", 175),
            ("Buffers", 10),
            ("Shmem", 40),
            ("SReclaimable", 40),
            ("SUnreclaim", 20),
            ("KernelStack", 5),
            ("PageTables", 5),
            ("Percpu", 5),
            ("VmallocUsed", 15),
            ("Hugetlb", 64),
            ("Inactive(file)", 60),
        ]),
        root: Some(root),
        is_whole_machine: true,
        version: Some(Version::V2),
        volumes: vec![MemoryVolume {
            pod_uid: UID.to_owned(),
            name: "cache".to_owned(),
            used: Bytes(30 * MIB),
            size: None,
        }],
        ..Observed::default()
    }
}

fn names() -> Directory {
    let pod: Pod = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "api", "namespace": "shop", "uid": UID},
        "spec": {"containers": [{"name": "main", "resources": {"requests": {"memory": "64Mi"}}}]},
        "status": {"containerStatuses": [{"name": "main", "containerID": format!("containerd://{CONTAINER}")}]},
    }))
    .unwrap();
    let mut names = Directory::default();
    names.see_pod(pod, Source::File, None);
    names
}

fn mib(ledger: &Ledger, name: &str) -> i64 {
    ledger.part(name).unwrap().bytes / (MIB as i64)
}

/// Every part of a node, with the pod by its name and what its dead container left in a volume.
#[test]
fn a_node() {
    let names = names();
    let ledger = settle(&node(), settings(&names), nobody()).unwrap();
    let parts: Vec<_> = ledger.parts.iter().map(|part| (part.name.as_str(), part.bytes / (MIB as i64))).collect();
    assert_eq!(
        parts,
        [
            ("kubepods", 150),
            ("system", 60),
            ("user", 15),
            ("other_cgroups", 0),
            ("outside_cgroups", 10),
            ("kernel", 85),
            ("shared_memory", 10),
            ("page_cache", 90),
            ("hugepages", 64),
            ("free", 500),
            ("remainder", 16),
        ]
    );
    let pod = &ledger.parts[0].parts[0].parts[0];
    assert_eq!((pod.name.as_str(), pod.parts[0].name.as_str()), ("shop/api", "main"));
    let outside = &pod.parts[1];
    assert_eq!((outside.name.as_str(), outside.bytes / (MIB as i64)), ("outside_containers", 35));
    assert_eq!((outside.parts[0].name.as_str(), outside.parts[0].bytes / (MIB as i64)), ("volume cache", 30));
    assert!(ledger.parts.iter().all(Part::adds_up));
    assert_eq!(ledger.eviction_order[0].why, "uses 66 MiB more than its request of 64 MiB");
}

/// Without a pod's object its uid and the container's id stand for it, and the gap says why nobody can be ranked.
#[test]
fn a_node_without_names() {
    let names = Directory::default();
    let ledger = settle(&node(), settings(&names), nobody()).unwrap();
    let pod = &ledger.parts[0].parts[0].parts[0];
    assert_eq!((pod.name.clone(), pod.parts[0].name.as_str()), (format!("pod {UID}"), "container 3d4cccf9d78b"));
    assert!(ledger.eviction_order.is_empty());
    assert!(ledger.gaps.iter().any(|gap| gap.wanted == "1 of 1 pods in the order of eviction"), "{:?}", ledger.gaps);
}

/// What CPUs keep to themselves is free too, though MemFree does not say so.
#[test]
fn lists_of_cpus_are_free() {
    let names = names();
    let observed = Observed { on_cpu_lists: Some(Bytes(12 * MIB)), ..node() };
    let ledger = settle(&observed, settings(&names), nobody()).unwrap();
    assert_eq!((mib(&ledger, "free"), mib(&ledger, "remainder")), (512, 4));
    assert!(ledger.part("free").is_some_and(Part::adds_up));
}

/// v1 tells kernel memory of cgroups as one number: it is taken off all kinds together.
#[test]
fn kernel_memory_of_v1() {
    let mut observed = node();
    observed.version = Some(Version::V1);
    for top in &mut observed.root.as_mut().unwrap().children {
        top.charged.as_mut().unwrap().kernel = Some(7 * MIB);
    }
    let names = names();
    let ledger = settle(&observed, settings(&names), nobody()).unwrap();
    assert_eq!(mib(&ledger, "kernel"), 85 - 21);
    let last = ledger.part("kernel").unwrap().parts.last().unwrap();
    assert_eq!((last.name.as_str(), last.bytes), ("charged_to_cgroups", -21 * (MIB as i64)));
}

/// Thresholds, as the kubelet computes its available memory; and what is outside of kubepods against what is kept for it.
#[test]
fn reservations() {
    let mut names = names();
    names.kubelet = Some(
        KubeletConfig::from_json(serde_json::json!({
            "evictionHard": {"memory.available": "10%"}, "evictionSoft": {"memory.available": "800Mi"},
            "kubeReserved": {"memory": "50Mi"}, "systemReserved": {"memory": "50Mi"},
        }))
        .unwrap(),
    );
    let ledger = settle(&node(), settings(&names), nobody()).unwrap();
    let pressure = ledger.pressure;
    // 145 anon + 185 file - 60 inactive.
    assert_eq!(
        (pressure.working_set_bytes, pressure.available_bytes),
        (Some(Bytes(270 * MIB)), Some(Bytes(730 * MIB)))
    );
    assert_eq!(pressure.hard.map(|hard| hard.left_bytes), Some(630 * (MIB as i64)));
    assert!(pressure.soft.is_some_and(|soft| soft.is_crossed()));
    // 900 limit - (150 - 10 inactive) - 90 threshold.
    assert_eq!(pressure.allocatable.map(|distance| distance.left_bytes), Some(670 * (MIB as i64)));
    let reservation = ledger.reservation;
    // 1000 less both reservations, the threshold and the huge pages.
    assert_eq!(reservation.allocatable_bytes, Some(Bytes(736 * MIB)));
    assert_eq!(reservation.outside_kubepods_bytes, Some(Bytes(350 * MIB)));
    // less (135 cache + 10 buffers + 40 slab - 20 of pods).
    assert_eq!(reservation.outside_kubepods_unreclaimable_bytes, Some(Bytes(185 * MIB)));
    assert_eq!(reservation.beyond_reservation_bytes, Some(-79 * (MIB as i64)));
}

/// No Kubernetes, no cgroups at all, and nothing but the total: the sum is the same, and what is missing is said.
#[test]
fn less_and_less() {
    let names = Directory::default();
    let mut observed = node();
    observed.root.as_mut().unwrap().children.remove(0);
    let ledger = settle(&observed, settings(&names), nobody()).unwrap();
    assert!(ledger.part("kubepods").is_none() && ledger.gaps.iter().any(|gap| gap.wanted == "kubepods"));
    assert_eq!(ledger.reservation.outside_kubepods_bytes, None);
    observed.root = None;
    let ledger = settle(&observed, settings(&names), nobody()).unwrap();
    assert_eq!((mib(&ledger, "outside_cgroups"), mib(&ledger, "page_cache")), (145, 145));
    observed.meminfo = meminfo(&[("MemTotal", 1000)]);
    assert_eq!(mib(&settle(&observed, settings(&names), nobody()).unwrap(), "remainder"), 1000);
    observed.meminfo = MemInfo::default();
    assert!(settle(&observed, settings(&names), nobody()).is_err());
}

/// A kubelet in a container (kind): its kubepods are pods, and not counted a second time as the container.
#[test]
fn kubepods_below_another_cgroup() {
    let mut observed = node();
    let top = observed.root.as_mut().unwrap();
    let mut kubepods = top.children.remove(0);
    rename(&mut kubepods, "/kubelet");
    top.children.push(cgroup("/kubelet", 155, charged(95, 50, 30), vec![kubepods]));
    let names = names();
    let ledger = settle(&observed, settings(&names), nobody()).unwrap();
    assert_eq!((mib(&ledger, "kubepods"), mib(&ledger, "other_cgroups")), (150, 5));
}

fn rename(cgroup: &mut CgroupUse, below: &str) {
    cgroup.path = format!("{below}{}", cgroup.path).as_str().into();
    cgroup.children.iter_mut().for_each(|child| rename(child, below));
}

fn any_charged() -> impl Strategy<Value = Charged> {
    let number = || proptest::option::of(prop_oneof![0..1_u64 << 34, any::<u64>()]);
    (number(), number(), number(), number(), number()).prop_map(|(anon, file, shmem, kernel, slab)| Charged {
        anon,
        file,
        shmem,
        inactive_file: file,
        kernel,
        slab_reclaimable: slab,
        ..Charged::default()
    })
}

fn any_cgroup() -> impl Strategy<Value = CgroupUse> {
    let name = prop_oneof![
        Just("kubepods".to_owned()),
        Just("burstable".to_owned()),
        Just("besteffort".to_owned()),
        Just(format!("pod{UID}")),
        Just(CONTAINER.to_owned()),
        Just("system.slice".to_owned()),
        Just("user.slice".to_owned()),
        Just("\u{1b}[31m".to_owned()),
    ];
    let usage = || proptest::option::of(prop_oneof![0..1_u64 << 35, any::<u64>()]);
    let make = |(name, usage, charged, children): (String, Option<u64>, Option<Charged>, Vec<CgroupUse>)| {
        let mut children = children;
        let path = format!("/{name}");
        children.iter_mut().for_each(|child| rename(child, &path));
        CgroupUse { path: path.as_str().into(), usage: usage.map(Bytes), limit: None, charged, children }
    };
    let leaf = (name.clone(), usage(), proptest::option::of(any_charged()), Just(Vec::new())).prop_map(make);
    leaf.prop_recursive(5, 40, 6, move |inner| {
        (name.clone(), usage(), proptest::option::of(any_charged()), proptest::collection::vec(inner, 0..6))
            .prop_map(make)
    })
}

fn any_meminfo() -> impl Strategy<Value = MemInfo> {
    let names = [
        "MemFree",
        "AnonPages",
        "Cached",
        "Buffers",
        "Shmem",
        "SReclaimable",
        "SUnreclaim",
        "KernelStack",
        "PageTables",
        "Percpu",
        "VmallocUsed",
        "Hugetlb",
        "Inactive(file)",
        "Zswap",
    ];
    let number = prop_oneof![0..1_u64 << 34, any::<u64>()];
    (1..1_u64 << 36, proptest::collection::vec(proptest::option::of(number), names.len())).prop_map(
        move |(total, values)| {
            let known = names.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), Bytes(value?))));
            MemInfo(std::iter::once(("MemTotal".to_owned(), Bytes(total))).chain(known).collect())
        },
    )
}

proptest! {
    /// Whatever is read, and however little it fits together: the parts add up to the total, and every part's own parts to it.
    #[test]
    fn it_always_adds_up(meminfo in any_meminfo(), root in proptest::option::of(any_cgroup()), whole: bool, v1: bool, held in any::<u64>()) {
        let version = Some(if v1 { Version::V1 } else { Version::V2 });
        let volumes = vec![MemoryVolume { pod_uid: UID.to_owned(), name: "v".to_owned(), used: Bytes(held), size: None }];
        let observed = Observed { meminfo, root, is_whole_machine: whole, version, volumes, ..Observed::default() };
        let names = names();
        let ledger = settle(&observed, settings(&names), nobody()).unwrap();
        let sum: i128 = ledger.parts.iter().map(|part| i128::from(part.bytes)).sum();
        prop_assert_eq!(sum, i128::from(ledger.total_bytes.0));
        prop_assert!(ledger.parts.iter().all(Part::adds_up));
        let fine = |part: &Part| part.bytes >= 0 || part.name == "remainder";
        prop_assert!(ledger.parts.iter().all(fine), "{:?}", ledger.parts);
    }
}
