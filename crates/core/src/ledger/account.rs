//! The identity, put into numbers.

use super::charged::Charged;
use super::kubepods;
use super::observed::{CgroupUse, Observed};
use super::part::{Part, sum};
use crate::evidence::Gap;
use crate::formats::cgroup::Version;
use crate::incident::level::Level;
use crate::kubernetes::Directory;
use crate::units::Bytes;

/// No machine has more; sums of as many numbers as there can be cgroups stay exact below it.
const LARGEST: u64 = 1 << 48;
/// Cgroups of cgroups are taken this deep.
const DEEPEST: usize = 64;

/// All of it.
pub(super) struct Account<'a> {
    pub(super) total: Bytes,
    pub(super) parts: Vec<Part>,
    pub(super) kubepods: Vec<&'a CgroupUse>,
    /// Page cache and reclaimable slab outside of kubepods.
    pub(super) reclaimable_outside: u64,
    pub(super) gaps: Vec<Gap>,
}

/// A cgroup with the larger of its charge and its children's.
pub(super) struct Weighed<'a> {
    pub(super) cgroup: &'a CgroupUse,
    pub(super) bytes: i64,
    pub(super) children: Vec<Weighed<'a>>,
}

impl<'a> Weighed<'a> {
    fn new(cgroup: &'a CgroupUse, total: Bytes, depth: usize) -> Self {
        let children: Vec<_> = cgroup
            .children
            .iter()
            .filter(|_| depth < DEEPEST)
            .map(|child| Weighed::new(child, total, depth + 1))
            .collect();
        let below: i64 = children.iter().map(|child| child.bytes).sum();
        // More than there is, is damage.
        let own = cgroup.usage.filter(|usage| *usage <= total).map_or(0, signed);
        Self { cgroup, bytes: own.max(below), children }
    }

    pub(super) fn part(&self, name: impl Into<String>) -> Part {
        Part { cgroup: Some(self.cgroup.path.clone()), limit_bytes: self.cgroup.limit, ..Part::new(name, self.bytes) }
    }
}

/// `Err`: the machine's memory is not known, so there is nothing to account for.
pub(super) fn account<'a>(observed: &'a Observed, names: &Directory) -> Result<Account<'a>, Gap> {
    let total = observed.meminfo.total().filter(|total| total.0 > 0 && total.0 <= LARGEST);
    let Some(total) = total else {
        return Err(Gap::new("the machine's memory", "/proc/meminfo does not tell MemTotal"));
    };
    let mut gaps = Vec::new();
    let topmost = topmost(observed, &mut gaps);
    let weighed: Vec<_> = topmost.iter().map(|cgroup| Weighed::new(cgroup, total, 0)).collect();
    let mut found = Vec::new();
    let mut groups = Groups::default();
    for cgroup in &weighed {
        groups.add(cgroup, &mut found);
    }
    let mut parts = Vec::new();
    if !found.is_empty() {
        parts.push(kubepods::part(&found, names, &observed.volumes));
    }
    parts.extend(groups.finish());
    let charged = Sums::of(&topmost, observed.version, &mut gaps);
    let uncharged = Uncharged::of(observed, &charged);
    parts.extend(uncharged.within(total, sum(&parts)));
    let kubepods: Vec<_> = found.iter().map(|found| found.cgroup).collect();
    let reclaimable_outside = reclaimable_outside(observed, &kubepods);
    Ok(Account { total, parts, kubepods, reclaimable_outside, gaps })
}

/// The cgroups that everything which is charged is charged to.
fn topmost<'a>(observed: &'a Observed, gaps: &mut Vec<Gap>) -> Vec<&'a CgroupUse> {
    let Some(root) = &observed.root else { return Vec::new() };
    if observed.is_whole_machine {
        return root.children.iter().collect();
    }
    gaps.push(Gap::new(
        "cgroups of the rest of the machine",
        "only a part of the hierarchy is mounted here, as in a container: their memory is among outside_cgroups, kernel and page_cache",
    ));
    vec![root]
}

/// Everything that is no pod, by who manages it.
#[derive(Default)]
struct Groups {
    system: Vec<Part>,
    user: Vec<Part>,
    other: Vec<Part>,
}

impl Groups {
    fn add<'w, 'a>(&mut self, top: &'w Weighed<'a>, kubepods: &mut Vec<&'w Weighed<'a>>) {
        if top.cgroup.level() == Level::Kubepods {
            return kubepods.push(top);
        }
        let part = without_kubepods(top, kubepods);
        let name = top.cgroup.last_name();
        let is_of_systemd = [".slice", ".scope", ".service"].iter().any(|suffix| name.ends_with(suffix));
        match name.as_str() {
            "user.slice" => self.user.push(part),
            _ if is_of_systemd => self.system.push(part),
            _ => self.other.push(part),
        }
    }

    fn finish(self) -> [Part; 3] {
        let part = |name: &str, parts: Vec<Part>| Part::of(name, parts).filled("", "");
        [part("system", self.system), part("user", self.user), part("other_cgroups", self.other)]
    }
}

/// A cgroup without what of it is kubepods.
fn without_kubepods<'w, 'a>(cgroup: &'w Weighed<'a>, kubepods: &mut Vec<&'w Weighed<'a>>) -> Part {
    let mut part = cgroup.part(cgroup.cgroup.last_name());
    for child in &cgroup.children {
        if child.cgroup.level() == Level::Kubepods {
            part.bytes -= child.bytes;
            kubepods.push(child);
        } else {
            let inner = without_kubepods(child, kubepods);
            part.bytes -= child.bytes - inner.bytes;
            if inner.bytes != 0 {
                part.parts.push(inner);
            }
        }
    }
    part.filled("itself", "its own processes, and what cgroups that are gone have left behind")
}

/// Sums over the topmost cgroups.
#[derive(Default)]
struct Sums {
    charged: Charged,
    is_v1: bool,
}

impl Sums {
    fn of(topmost: &[&CgroupUse], version: Option<Version>, gaps: &mut Vec<Gap>) -> Self {
        let mut sums = Charged::default();
        let mut unknown = 0_u64;
        for cgroup in topmost {
            match &cgroup.charged {
                Some(charged) => add(&mut sums, charged),
                None => unknown += u64::from(cgroup.usage.is_some()),
            }
        }
        if unknown > 0 {
            gaps.push(Gap::new(
                format!("kinds of memory of {unknown} of the topmost cgroups"),
                "memory.stat could not be read: what is charged to them may be counted again among the machine's own",
            ));
        }
        Self { charged: sums, is_v1: version == Some(Version::V1) }
    }
}

fn add(sums: &mut Charged, more: &Charged) {
    let plus = |sum: &mut Option<u64>, more: Option<u64>| {
        if let Some(more) = more {
            *sum = Some(sum.unwrap_or(0).saturating_add(more));
        }
    };
    plus(&mut sums.anon, more.anon);
    plus(&mut sums.file, more.file);
    plus(&mut sums.shmem, more.shmem);
    plus(&mut sums.kernel, more.kernel);
    plus(&mut sums.slab_reclaimable, more.slab_reclaimable);
    plus(&mut sums.slab_unreclaimable, more.slab_unreclaimable);
    plus(&mut sums.kernel_stack, more.kernel_stack);
    plus(&mut sums.page_tables, more.page_tables);
    plus(&mut sums.sec_page_tables, more.sec_page_tables);
    plus(&mut sums.percpu, more.percpu);
    plus(&mut sums.vmalloc, more.vmalloc);
    plus(&mut sums.zswap, more.zswap);
    plus(&mut sums.hugetlb, more.hugetlb);
}

/// What the kernel counts and no cgroup is charged with.
struct Uncharged {
    outside_cgroups: Part,
    kernel: Part,
    shared_memory: Part,
    page_cache: Part,
    hugepages: Part,
    free: Part,
}

impl Uncharged {
    fn of(observed: &Observed, sums: &Sums) -> Self {
        let get = |name: &str| observed.meminfo.get(name).map_or(0, |bytes| bytes.0.min(LARGEST));
        let charged = &sums.charged;
        let cached = get("Cached").saturating_sub(get("Shmem")).saturating_add(get("Buffers"));
        Self {
            outside_cgroups: less("outside_cgroups", get("AnonPages"), charged.anon)
                .noted("anonymous memory of processes in no cgroup but the root, or in none that can be seen"),
            kernel: kernel(observed, sums),
            shared_memory: less("shared_memory", get("Shmem"), charged.shmem)
                .noted("tmpfs and shared memory charged to no cgroup"),
            page_cache: less("page_cache", cached, charged.cache())
                .noted("files charged to no cgroup; the kernel takes them back when it needs memory"),
            hugepages: less("hugepages", hugepages(observed), charged.hugetlb)
                .noted("the pool of huge pages, used or not; in no memory cgroup"),
            free: free(get("MemFree"), observed.on_cpu_lists),
        }
    }

    /// In the order in which they are shown, with the remainder. Free memory and huge pages are exact; of the others the kernel's is
    /// the least estimated, what processes hold the most.
    fn within(self, total: Bytes, taken: i64) -> Vec<Part> {
        let mut left = signed(total) - taken - self.free.bytes - self.hugepages.bytes;
        let mut cut = |part: Part| {
            let part = part.at_most(left);
            left -= part.bytes;
            part
        };
        let kernel = cut(self.kernel);
        let shared_memory = cut(self.shared_memory);
        let page_cache = cut(self.page_cache);
        let outside_cgroups = cut(self.outside_cgroups);
        let remainder = Part::new("remainder", left).noted(if left < 0 {
            "counted twice: charges and free memory exceed the machine's memory, as they are of different instants or network buffers are charged by estimate"
        } else {
            "in no count of the kernel's: buffers of drivers, balloons, what was taken at boot; and the inexactness of all other counts"
        });
        vec![outside_cgroups, kernel, shared_memory, page_cache, self.hugepages, self.free, remainder]
    }
}

/// `MemFree`, and what CPUs keep at hand to give it out without a lock: pages that nobody uses, and that no counter of meminfo has.
fn free(in_zones: u64, on_cpu_lists: Option<Bytes>) -> Part {
    match on_cpu_lists {
        Some(lists) => {
            Part::of("free", vec![Part::new("in_zones", as_signed(in_zones)), Part::new("on_cpu_lists", signed(lists))])
        }
        None => Part::new("free", as_signed(in_zones)),
    }
}

/// `Hugetlb` is of all sizes (4.19 and newer); before, the pool of the default size is all that is told.
fn hugepages(observed: &Observed) -> u64 {
    observed.meminfo.get("Hugetlb").map_or(0, |bytes| bytes.0.min(LARGEST))
}

fn less(name: &str, all: u64, charged: Option<u64>) -> Part {
    Part::new(name, as_signed(all.saturating_sub(charged.unwrap_or(0))))
}

fn kernel(observed: &Observed, sums: &Sums) -> Part {
    let get = |name: &str| observed.meminfo.get(name).map(|bytes| bytes.0.min(LARGEST));
    let charged = if sums.is_v1 { Charged::default() } else { sums.charged };
    let vmalloc = get("VmallocUsed").map(|all| all.saturating_sub(get("KernelStack").unwrap_or(0)));
    let compressed = observed.compressed.map(|bytes| bytes.0.min(LARGEST)).or_else(|| get("Zswap"));
    let kinds = [
        ("slab_reclaimable", get("SReclaimable"), charged.slab_reclaimable),
        ("slab_unreclaimable", get("SUnreclaim"), charged.slab_unreclaimable),
        ("page_tables", get("PageTables"), charged.page_tables),
        ("secondary_page_tables", get("SecPageTables"), charged.sec_page_tables),
        ("kernel_stacks", get("KernelStack"), charged.kernel_stack),
        ("percpu", get("Percpu"), charged.percpu),
        ("vmalloc", vmalloc, charged.vmalloc),
        ("compressed_swap", compressed, charged.zswap),
    ];
    let kinds = kinds.into_iter().filter_map(|(name, all, charged)| Some(less(name, all?, charged)));
    let mut parts: Vec<_> = kinds.filter(|kind| kind.bytes != 0).collect();
    let all = sum(&parts);
    let in_cgroups = if sums.is_v1 { as_signed(sums.charged.kernel.unwrap_or(0)).min(all) } else { 0 };
    if in_cgroups > 0 {
        parts.push(
            Part::new("charged_to_cgroups", -in_cgroups)
                .noted("of the above, what is in the cgroups' parts: cgroup v1 does not tell the kinds"),
        );
    }
    Part::of("kernel", parts).noted("kernel memory charged to no cgroup")
}

/// What could be had back of all that is not kubepods.
fn reclaimable_outside(observed: &Observed, kubepods: &[&CgroupUse]) -> u64 {
    let get = |name: &str| observed.meminfo.get(name).map_or(0, |bytes| bytes.0.min(LARGEST));
    let all = get("Cached").saturating_sub(get("Shmem")) + get("Buffers") + get("SReclaimable");
    let of_pods = |pods: &&CgroupUse| {
        let charged = pods.charged.unwrap_or_default();
        charged.cache().unwrap_or(0).saturating_add(charged.slab_reclaimable.unwrap_or(0))
    };
    kubepods.iter().map(of_pods).fold(all, u64::saturating_sub)
}

pub(super) fn signed(bytes: Bytes) -> i64 {
    as_signed(bytes.0)
}

fn as_signed(bytes: u64) -> i64 {
    i64::try_from(bytes.min(LARGEST)).unwrap_or(i64::MAX)
}
