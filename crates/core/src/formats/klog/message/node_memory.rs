//! The lines of Mem-Info.
//!
//! Source: `show_free_areas()`, `show_mem()` in mm/show_mem.c (mm/page_alloc.c and lib/show_mem.c before 6.7, arch code
//! before 2.6.27). Counters come and go with every release, so names are an open set: whatever stands before a colon.

use bstr::ByteSlice;

use super::scan::{fields, kernel_text, number, split_at};

/// One line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeMemoryLine<'a> {
    /// `Mem-Info:`
    Title,
    /// `active_anon:590 inactive_anon:42957 …`: pages of the whole machine.
    Totals(Vec<(&'a str, u64)>),
    /// `Node 0 active_anon:2360kB …`: one memory node. Carries nothing that the zones and totals do not.
    Node,
    /// `Node 0 DMA32 free:1544kB boost:0kB min:1624kB …`
    Zone(ZoneLine<'a>),
    /// `lowmem_reserve[]: 0 175 175`
    LowmemReserve(Vec<u64>),
    /// `Node 0 DMA32: 14*4kB (UME) 15*8kB (UE) … = 1616kB`
    FreeList(FreeList),
    /// `1097 total pagecache pages`
    PagecachePages(u64),
    /// `Free swap  = 0kB`
    FreeSwap(u64),
    /// `Total swap = 0kB`
    TotalSwap(u64),
    /// `65394 pages RAM`
    RamPages(u64),
    /// `14166 pages reserved`
    ReservedPages(u64),
    /// `Node 0 hugepages_total=0 … hugepages_size=2048kB`: bytes set aside.
    Hugepages(u64),
    /// Known to belong here, and of no further use.
    Other,
}

/// A zone with its counters in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneLine<'a> {
    /// Memory node; 0 where the kernel has only one and does not say.
    pub node: u32,
    /// `DMA32`
    pub name: String,
    /// `free`, `min`, …
    pub counters: Vec<(&'a str, u64)>,
    /// `all_unreclaimable? yes`
    pub all_unreclaimable: Option<bool>,
}

/// Free blocks of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeList {
    /// Memory node.
    pub node: u32,
    /// Zone.
    pub name: String,
    /// `(count, KiB of one block, migrate types)`, smallest first.
    pub blocks: Vec<(u64, u64, Option<String>)>,
}

const ZONES: [&[u8]; 6] = [b"DMA", b"DMA32", b"Normal", b"HighMem", b"Movable", b"Device"];

pub(super) fn line(text: &[u8]) -> Option<NodeMemoryLine<'_>> {
    let text = text.trim_ascii();
    match text {
        b"Mem-Info:" | b"Mem-info:" => return Some(NodeMemoryLine::Title),
        _ if text.starts_with(b"lowmem_reserve[]:") => {
            let reserves = fields(&text[b"lowmem_reserve[]:".len()..]);
            return Some(NodeMemoryLine::LowmemReserve(
                reserves.filter_map(|n| number(n).map(|(n, _)| n)).take(16).collect(),
            ));
        }
        _ => {}
    }
    pages_line(text).or_else(|| swap_line(text)).or_else(|| of_a_node(text)).or_else(|| totals(text))
}

fn pages_line(text: &[u8]) -> Option<NodeMemoryLine<'_>> {
    let (pages, rest) = number(text)?;
    Some(match rest {
        b" total pagecache pages" => NodeMemoryLine::PagecachePages(pages),
        b" pages RAM" | b" pages of RAM" => NodeMemoryLine::RamPages(pages),
        b" pages reserved" | b" reserved pages" => NodeMemoryLine::ReservedPages(pages),
        b" pages in swap cache"
        | b" pages HighMem/MovableOnly"
        | b" pages HighMem"
        | b" pages of HIGHMEM"
        | b" pages cma reserved"
        | b" pages hwpoisoned"
        | b" pages shared"
        | b" pages non-shared"
        | b" pages in pagetable cache"
        | b" free pages"
        | b" slab pages"
        | b" pages swap cached" => NodeMemoryLine::Other,
        _ => return None,
    })
}

fn swap_line(text: &[u8]) -> Option<NodeMemoryLine<'_>> {
    let size = |rest: &[u8]| {
        let (kib, unit) = number(rest.trim_start_with(|c| c == ' ' || c == '=' || c == ':'))?;
        (unit == b"kB").then(|| kib.saturating_mul(1024))
    };
    if let Some(rest) = text.strip_prefix(b"Free swap") {
        return size(rest).map(NodeMemoryLine::FreeSwap);
    }
    if let Some(rest) = text.strip_prefix(b"Total swap") {
        return size(rest).map(NodeMemoryLine::TotalSwap);
    }
    text.starts_with(b"Swap cache stats: ").then_some(NodeMemoryLine::Other)
}

/// `Node 0 …`, or without it on kernels that know of one memory node only.
fn of_a_node(text: &[u8]) -> Option<NodeMemoryLine<'_>> {
    let (node, rest, named) = match text.strip_prefix(b"Node ") {
        Some(rest) => number(rest.trim_ascii_start())
            .and_then(|(n, rest)| Some((u32::try_from(n).ok()?, rest.trim_ascii_start(), true)))?,
        None => (0, text, false),
    };
    if named && rest.starts_with(b"hugepages_total=") {
        return hugepages(rest);
    }
    let zone = rest.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
    let (name, rest) = rest.split_at(zone);
    if ZONES.contains(&name) {
        if let Some(list) = rest.strip_prefix(b":") {
            return free_list(node, name, list);
        }
        let rest = rest.trim_ascii_start();
        return rest.starts_with(b"free:").then(|| {
            let all_unreclaimable =
                super::scan::after(rest, "all_unreclaimable? ").map(|answer| answer.starts_with(b"yes"));
            NodeMemoryLine::Zone(ZoneLine {
                node,
                name: kernel_text(name),
                counters: counters(rest, b"kB"),
                all_unreclaimable,
            })
        });
    }
    (named && counters(rest.get(..256).unwrap_or(rest), b"kB").len() + usize::from(name == b"active_anon") > 0)
        .then_some(NodeMemoryLine::Node)
}

fn hugepages(text: &[u8]) -> Option<NodeMemoryLine<'_>> {
    let field = |key: &str| super::scan::after(text, key).and_then(number);
    let (total, _) = field("hugepages_total=")?;
    let (size_kib, _) = field("hugepages_size=")?;
    Some(NodeMemoryLine::Hugepages(total.saturating_mul(size_kib).saturating_mul(1024)))
}

fn free_list<'a>(node: u32, name: &[u8], text: &'a [u8]) -> Option<NodeMemoryLine<'a>> {
    let mut blocks = Vec::new();
    for field in fields(text).take_while(|f| *f != b"=").take(64) {
        if let Some(types) = field.strip_prefix(b"(").and_then(|t| t.strip_suffix(b")")) {
            if let Some((_, _, of_last)) = blocks.last_mut() {
                *of_last = Some(kernel_text(types));
            }
        } else if let Some((count, size)) = split_at(field, "*") {
            let (count, _) = number(count)?;
            // A number without its unit was cut.
            let Some((kib, b"kB")) = number(size) else { break };
            blocks.push((count, kib, None));
        }
    }
    let empty = text.trim_ascii() == b"empty";
    (empty || !blocks.is_empty()).then(|| NodeMemoryLine::FreeList(FreeList { node, name: kernel_text(name), blocks }))
}

/// Totals of the machine: at least two `name:number` words and nothing else.
fn totals(text: &[u8]) -> Option<NodeMemoryLine<'_>> {
    if !fields(text).take(32).all(|field| {
        split_at(field, ":").is_some_and(|(key, value)| is_counter(key) && super::scan::whole_number(value).is_some())
    }) {
        return None;
    }
    let counters = counters(text, b"");
    let first = counters.first()?.0;
    let known = [
        "active_anon",
        "active_file",
        "unevictable",
        "slab_reclaimable",
        "mapped",
        "sec_pagetables",
        "kernel_misc_reclaimable",
        "free",
        "free_cma",
        "inactive_file",
        "Active",
        "Active_anon",
        "pagetables",
        "Balloon",
        "shmem",
    ];
    known.contains(&first).then_some(NodeMemoryLine::Totals(counters))
}

/// Every `name:NUMBERunit`, also with a blank behind the colon (4.8 to 6.3: `shmem_thp: 0kB`). With a unit, sizes are
/// turned from KiB into bytes.
fn counters<'a>(text: &'a [u8], unit: &[u8]) -> Vec<(&'a str, u64)> {
    let mut found = Vec::new();
    let mut waiting: Option<&[u8]> = None;
    for field in fields(text).take(64) {
        let (key, value) = match (waiting.take(), split_at(field, ":")) {
            (Some(key), None) => (key, field),
            (_, Some((key, b""))) => {
                waiting = Some(key);
                continue;
            }
            (_, Some((key, value))) => (key, value),
            (None, None) => continue,
        };
        let Some((n, rest)) = number(value) else { continue };
        if !is_counter(key) || !rest.eq_ignore_ascii_case(unit) {
            continue;
        }
        if let Ok(key) = std::str::from_utf8(key) {
            found.push((key, if unit.is_empty() { n } else { n.saturating_mul(1024) }));
        }
    }
    found
}

fn is_counter(key: &[u8]) -> bool {
    !key.is_empty()
        && key.len() <= 40
        && key.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'(' | b')'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A zone with its watermarks, whatever counters this release has.
    #[test]
    fn zones() {
        let Some(NodeMemoryLine::Zone(zone)) = line(b"Node 0 DMA32 free:1544kB boost:0kB min:1624kB reserved_highatomic:0KB shmem_thp: 4kB all_unreclaimable? yes") else { panic!() };
        assert_eq!((zone.node, zone.name.as_str(), zone.all_unreclaimable), (0, "DMA32", Some(true)));
        assert_eq!(
            zone.counters,
            [("free", 1544 << 10), ("boost", 0), ("min", 1624 << 10), ("reserved_highatomic", 0), ("shmem_thp", 4096)]
        );
        assert!(matches!(line(b"Normal free:6060kB min:352kB"), Some(NodeMemoryLine::Zone(_))));
    }

    /// Free lists tell the page size by their first block.
    #[test]
    fn free_lists() {
        let Some(NodeMemoryLine::FreeList(list)) = line(b"Node 1 Normal: 14*64kB (UME) 0*128kB = 896kB") else {
            panic!()
        };
        assert_eq!(list.blocks, [(14, 64, Some("UME".to_owned())), (0, 128, None)]);
    }

    /// Totals are pages; prose with colons is no total.
    #[test]
    fn totals_of_the_machine() {
        assert_eq!(
            line(b" active_file:10 inactive_file:4"),
            Some(NodeMemoryLine::Totals(vec![("active_file", 10), ("inactive_file", 4)]))
        );
        assert_eq!(line(b"mapped:x file:4"), None);
        assert_eq!(line(b"65394 pages RAM"), Some(NodeMemoryLine::RamPages(65394)));
        assert_eq!(line(b"Total swap = 98300kB"), Some(NodeMemoryLine::TotalSwap(98300 << 10)));
        assert_eq!(
            line(b"Node 0 hugepages_total=2 hugepages_free=0 hugepages_surp=0 hugepages_size=2048kB"),
            Some(NodeMemoryLine::Hugepages(4 << 20))
        );
    }
}
