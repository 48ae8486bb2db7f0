//! The page; that of a real node is a golden file of the program.

use super::*;
use crate::kubernetes::Directory;
use crate::ledger::{CgroupUse, Observed, Settings, settle};
use crate::next::{Domain, Machine, outlook};

const MIB: u64 = 1 << 20;

fn ledger(name: &str) -> Ledger {
    let top =
        CgroupUse { path: format!("/{name}").as_str().into(), usage: Some(Bytes(40 * MIB)), ..CgroupUse::default() };
    let root = CgroupUse { path: "/".into(), children: vec![top], ..CgroupUse::default() };
    let meminfo = [("MemTotal", 100), ("MemFree", 30), ("AnonPages", 5), ("Hugetlb", 8)];
    let observed = Observed {
        meminfo: crate::formats::proc::MemInfo(meminfo.map(|(name, mib)| (name.to_owned(), Bytes(mib * MIB))).into()),
        root: Some(root),
        is_whole_machine: true,
        ..Observed::default()
    };
    let names = Directory::default();
    let killing = outlook(Domain::default(), Vec::new(), Machine { page_size: 4096, kernel_release: None }, 1);
    settle(&observed, Settings { names: &names, at: None, host: Some("h") }, killing).unwrap()
}

fn page(ledger: &Ledger) -> String {
    render(ledger, 10, &TextOptions { unicode: false, ..TextOptions::default() })
}

/// A machine without Kubernetes has the account alone; names of cgroups cannot colour the terminal.
#[test]
fn without_kubernetes() {
    let page = page(&ledger("a\u{1b}[31mb.service"));
    let start = r#"h: 100 MiB of memory, 30 MiB free

WHERE THE MEMORY IS  adds up to 100 MiB
                           bytes   share
  system services         40 MiB  40.0 %
  processes in no cgroup   5 MiB   5.0 %
  kernel                     0 B     0 %  in no cgroup
  huge pages               8 MiB   8.0 %  the pool, used or not
  free                    30 MiB  30.0 %
  in no count             17 MiB  17.0 %  drivers, boot
"#;
    assert!(page.starts_with(start), "{page}");
    assert!(!page.contains('\u{1b}') && page.contains("kubepods: no cgroup of a kubelet is here"), "{page}");
}

/// A threshold that is crossed is the first thing that is said; a reservation that does not suffice is said with what to do.
#[test]
fn under_pressure() {
    let mut ledger = ledger("kubepods");
    let crossed =
        Distance { threshold_bytes: Bytes(20 * MIB), available_bytes: Bytes(15 * MIB), left_bytes: -5 * (MIB as i64) };
    ledger.pressure.hard = Some(crossed);
    ledger.pressure.available_bytes = Some(Bytes(15 * MIB));
    ledger.pressure.working_set_bytes = Some(Bytes(85 * MIB));
    ledger.reservation.beyond_reservation_bytes = Some(7 * (MIB as i64));
    let page = page(&ledger);
    assert!(page.contains("The hard eviction threshold is crossed by 5 MiB: the kubelet evicts pods."), "{page}");
    assert!(page.contains("7 MiB more than is kept from pods"), "{page}");
}
