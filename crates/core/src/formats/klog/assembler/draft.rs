//! A report while it is being read.

use std::collections::HashSet;

use bstr::ByteSlice;
use indexmap::IndexMap;

use super::order::stage_of;
use super::recent::Recent;
use crate::evidence::{
    Constraint, Counter, Evidence, FreeBlocks, KernelReport, NodeMemory, Panic, Part, Reaped, Scope, Stacks, Swap,
    Trigger, Victim, Zone,
};
use crate::formats::klog::message::{
    self, Chosen, Column, Columns, Cpu, FreeList, Invoked, Killed, Message, NodeMemoryLine, Notice, OomKill, Reap, Row,
    StatsFor, TaskInCgroup, Usage, UsageOf, ZoneLine, inline_statistics,
};
use crate::formats::klog::record::Record;
use crate::text::Untrusted;
use crate::time::When;
use crate::units::Bytes;

/// Rows kept of one table. A table can be as long as the machine has processes; a hostile log has no such bound.
const MOST_ROWS: usize = 1 << 16;

/// Lines of text kept of one part, for `--evidence`. The line numbers are exact all the same.
const MOST_LINES_OF_A_PART: usize = 400;

/// Functions that only an OOM kill has in its trace.
const OOM_FUNCTIONS: [&[u8]; 5] =
    [b"oom_kill_process", b"out_of_memory", b"mem_cgroup_out_of_memory", b"pagefault_out_of_memory", b"moom_callback"];

/// Bytes kept of one line.
const LONGEST_LINE_KEPT: usize = 16 << 10;

/// Statistics, frames, zones, victims: far more than any kernel prints.
const MOST_ITEMS: usize = 4096;

/// A row as it stood in the table: in pages, until the page size is known.
#[derive(Clone, Debug)]
pub(super) struct RawRow {
    pub(super) pid: u32,
    pub(super) comm: Untrusted,
    pub(super) cells: Vec<(Column, i64)>,
}

/// Where statistics lines go.
#[derive(Debug, Default)]
enum Statistics {
    #[default]
    NotExpected,
    OfLimitCgroup,
}

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) report: KernelReport,
    pub(super) columns: Option<Columns>,
    pub(super) rows: Vec<RawRow>,
    /// Of all rows, to recognise a kill of somebody who is not among them.
    pub(super) row_pids: HashSet<u32>,
    pub(super) rows_left_out: u64,
    pub(super) evidence: Vec<Evidence>,
    pub(super) killed_at: Option<When>,
    pub(super) last_at: When,
    pub(super) lines: (u64, u64),
    pub(super) host: Option<String>,
    pub(super) boot_id: Option<String>,
    /// Frames and a `CPU:` line of somebody else stand between the parts of this report.
    pub(super) foreign_trace: bool,
    /// And Mem-Info, behind somebody's failed allocation.
    pub(super) foreign_mem_info: bool,
    /// From Mem-Info, in pages until the page size is known.
    pub(super) total_pages: IndexMap<String, u64>,
    pub(super) other_pages: OtherPages,
    pub(super) summary: Option<SummaryVictim>,
    pub(super) stage: u8,
    statistics: Statistics,
    pub(super) event: bool,
    pub(super) table_ended: bool,
    pub(super) title_seen: bool,
    memory_usage_read: bool,
}

/// Mem-Info counts that are printed in pages.
#[derive(Debug, Default)]
pub(super) struct OtherPages {
    pub(super) pagecache: Option<u64>,
    pub(super) ram: Option<u64>,
    pub(super) reserved: Option<u64>,
}

/// The victim that the `oom-kill:` line names.
#[derive(Clone, Debug)]
pub(super) struct SummaryVictim {
    pub(super) pid: u32,
    pub(super) comm: Untrusted,
    pub(super) uid: Option<u32>,
}

/// Which part of a report a message is.
pub(super) fn part_of(message: &Message<'_>) -> Part {
    match message {
        Message::Invoked(_) => Part::Header,
        Message::Cpuset(_) => Part::Cpuset,
        Message::Cpu(_) => Part::Cpu,
        Message::Stack(_) => Part::Stack,
        Message::TaskInCgroup(_) => Part::TaskInCgroup,
        Message::Usage(usage) if usage.of == UsageOf::Memory => Part::Usage,
        Message::Usage(_) => Part::OtherUsage,
        Message::StatsFor(_) => Part::MemoryStat,
        Message::NodeMemory(_) => Part::NodeMemory,
        Message::TableHeader(_) => Part::TaskTable,
        Message::OomKill(_) => Part::OomKill,
        Message::Chosen(_) => Part::Chosen,
        Message::SharesMemory(_) | Message::Killed(_) => Part::Kill,
        Message::GroupKill(_) => Part::GroupKill,
        Message::Reap(_) => Part::Reaper,
        Message::Notice(notice) => match notice {
            Notice::Sysrq => Part::Sysrq,
            Notice::NoKillable => Part::NoKillable,
            Notice::TableTitle => Part::TaskTable,
            Notice::Panic(_) => Part::Panic,
            Notice::Suppressed(_) | Notice::Dropped(_) | Notice::Protection => Part::Lost,
            Notice::AllocationFailure => Part::Stack,
        },
    }
}

impl Draft {
    pub(super) fn new(record: &Record) -> Self {
        Self {
            last_at: record.when,
            lines: record.lines,
            host: record.host.clone(),
            boot_id: record.boot_id.clone(),
            ..Self::default()
        }
    }

    /// A report of which only the reaper's line is left.
    pub(super) fn of_reaper(reap: &Reap, text: &[u8], record: &Record, recent: &mut Recent) -> Self {
        let mut draft = Self::new(record);
        draft.event = true;
        draft.stage = stage_of(Part::Reaper);
        draft.report.victims.push(Victim { pid: reap.pid, comm: reap.comm.clone(), ..Victim::default() });
        draft.killed_at = Some(record.when);
        draft.reaped(reap, text, record);
        recent.victim();
        draft
    }

    /// True when the messages read so far can only come from an OOM event (a CPU line, a stack or Mem-Info alone can not).
    pub(super) fn is_event(&self) -> bool {
        self.event
    }

    /// True when the kernel has said what became of it.
    pub(super) fn is_over(&self) -> bool {
        self.killed_at.is_some() || self.report.no_killable_process || self.report.panic.is_some()
    }

    pub(super) fn expects_statistics(&self) -> bool {
        matches!(self.statistics, Statistics::OfLimitCgroup) && self.stage <= stage_of(Part::MemoryStat)
    }

    /// Remembers where a part stood.
    pub(super) fn cite(&mut self, part: Part, text: &[u8], record: &Record) {
        self.last_at = record.when;
        self.lines = (self.lines.0.min(record.lines.0), self.lines.1.max(record.lines.1));
        self.host = self.host.take().or_else(|| record.host.clone());
        self.boot_id = self.boot_id.take().or_else(|| record.boot_id.clone());
        self.stage = self.stage.max(stage_of(part));
        match self.evidence.iter_mut().rev().find(|e| e.part == part) {
            Some(evidence) => {
                evidence.lines = evidence.lines.map(|(first, last)| (first, last.max(record.lines.1)));
                if evidence.text.len() < MOST_LINES_OF_A_PART {
                    evidence.text.push(shortened(text));
                }
            }
            None => {
                self.evidence.push(Evidence {
                    id: part.into(),
                    part,
                    lines: Some(record.lines),
                    text: vec![shortened(text)],
                });
            }
        }
    }

    /// Takes a kill line that waited, of which it is known that it is one.
    pub(super) fn take_kill_line(&mut self, record: &Record, recent: &mut Recent) {
        if let Some(message) = message::parse(&record.text) {
            self.cite(Part::Kill, &record.text, record);
            self.absorb(&message, record, recent);
        }
    }

    /// Takes over what a message says.
    pub(super) fn absorb(&mut self, message: &Message<'_>, record: &Record, recent: &mut Recent) {
        if !matches!(
            message,
            Message::Stack(_)
                | Message::Cpu(_)
                | Message::Cpuset(_)
                | Message::NodeMemory(_)
                | Message::Notice(Notice::Sysrq)
        ) {
            self.event = true;
        }
        match message {
            Message::Invoked(invoked) => {
                recent.header(record.when.boot_us);
                self.invoked(invoked);
            }
            Message::Cpuset(cpuset) => {
                self.report.cpuset = Some(cpuset.cpuset.into());
                self.report.mems_allowed = Some(cpuset.mems_allowed.to_str_lossy().into_owned());
            }
            Message::Cpu(cpu) => self.cpu(cpu),
            Message::Stack(frame) => self.frame(*frame),
            Message::TaskInCgroup(task) => self.task_in_cgroup(task),
            Message::Usage(usage) => self.usage(usage),
            Message::StatsFor(stats) => self.stats_for(stats),
            Message::NodeMemory(line) => self.node_memory(line),
            Message::TableHeader(columns) => {
                self.columns = Some(columns.clone());
                self.report.task_table.header_seen = true;
            }
            Message::OomKill(kill) => self.oom_kill(kill),
            Message::Chosen(chosen) => self.chosen(chosen),
            Message::SharesMemory(chosen) => {
                if self.report.killed_sharing_memory.len() < MOST_ITEMS {
                    self.report.killed_sharing_memory.push(victim_of(chosen));
                }
            }
            Message::Killed(killed) => self.killed(killed, record, recent),
            Message::GroupKill(_) => self.report.group_kill = Some(true),
            Message::Notice(notice) => self.notice(notice),
            Message::Reap(_) => {}
        }
    }

    fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::Sysrq => self.report.sysrq = true,
            Notice::NoKillable => self.report.no_killable_process = true,
            Notice::TableTitle => self.title_seen = true,
            Notice::Panic(message) => self.report.panic = Some(Panic { message: message.clone() }),
            Notice::Suppressed(_) | Notice::Dropped(_) | Notice::AllocationFailure | Notice::Protection => {}
        }
    }

    fn invoked(&mut self, invoked: &Invoked<'_>) {
        self.report.extent.header = true;
        let trigger = self.report.trigger.get_or_insert_with(Trigger::default);
        trigger.comm = invoked.comm.map(Into::into);
        trigger.oom_score_adj = invoked.oom_score_adj;
        trigger.oom_adj = invoked.oom_adj;
        self.report.gfp_mask = invoked.gfp_mask.map(lossy);
        self.report.gfp_flags = invoked.gfp_flags.map(lossy);
        self.report.nodemask = invoked.nodemask.map(lossy);
        self.report.order = invoked.order;
        self.report.sysrq |= invoked.order == Some(-1);
    }

    fn cpu(&mut self, cpu: &Cpu<'_>) {
        let trigger = self.report.trigger.get_or_insert_with(Trigger::default);
        trigger.pid = Some(cpu.pid);
        trigger.cpu = cpu.cpu;
        trigger.uid = cpu.uid;
        // Behind an unknown prefix the header's name may have lost its left edge; this one has not.
        if let Some(comm) = cpu.comm {
            trigger.comm = Some(comm.into());
        }
        self.report.kernel_release = cpu.release.clone();
    }

    fn frame(&mut self, frame: Option<&[u8]>) {
        let Some(frame) = frame else { return };
        // Without its header a report may still begin with the `CPU:` line: then the trace tells what it is.
        let name = frame.split(|b| matches!(b, b'+' | b'.')).next().unwrap_or_default();
        self.event |= OOM_FUNCTIONS.contains(&name) && self.report.trigger.as_ref().is_some_and(|t| t.pid.is_some());
        if name == b"mem_cgroup_out_of_memory" && self.report.scope.is_none() && !self.report.extent.header {
            self.report.scope = Some(Scope::Memcg);
        }
        let kernel = &mut self.report.stacks.get_or_insert_with(Stacks::default).kernel;
        if kernel.len() < MOST_ITEMS {
            kernel.push(lossy(frame));
        }
    }

    fn task_in_cgroup(&mut self, task: &TaskInCgroup<'_>) {
        self.report.scope = Some(Scope::Memcg);
        self.report.victim_cgroup = task.task.map(Into::into);
        self.report.limit_cgroup = task.limit.map(|limit| uncut(limit, task.task).into());
    }

    fn usage(&mut self, usage: &Usage) {
        let Counter { usage_bytes, limit_bytes, failcnt } = usage.counter;
        self.report.scope = Some(Scope::Memcg);
        match usage.of {
            UsageOf::Memory if !self.memory_usage_read => {
                self.memory_usage_read = true;
                self.report.extent.usage = true;
                self.report.usage_bytes = Some(usage_bytes);
                self.report.limit_bytes = Some(limit_bytes);
                self.report.failcnt = failcnt;
            }
            UsageOf::Memory => {}
            UsageOf::Swap => {
                self.report.swap = Some(usage.counter);
                self.report.cgroup_version = Some(2);
            }
            UsageOf::MemorySwap => self.report.memory_swap = Some(usage.counter),
            UsageOf::Kmem => {
                self.report.kmem = Some(usage.counter);
                self.report.cgroup_version = Some(1);
            }
        }
    }

    fn stats_for(&mut self, stats: &StatsFor<'_>) {
        self.report.scope = Some(Scope::Memcg);
        match (stats.inline, stats.cgroup) {
            (Some(inline), cgroup) => {
                // One line for each cgroup of the subtree; the first is the one at its limit if a line before named it.
                let values: IndexMap<String, u64> =
                    inline_statistics(inline).take(256).map(|(k, v)| (k.to_owned(), v)).collect();
                let of_limit =
                    cgroup.is_none() || self.report.limit_cgroup.as_ref().is_none_or(|l| Some(l.as_bytes()) == cgroup);
                if of_limit && self.report.memory_stat.is_none() {
                    self.report.memory_stat = Some(values);
                } else if self.report.subtree_stat.len() < MOST_ITEMS {
                    let name = cgroup.map(|c| c.to_str_lossy().into_owned()).unwrap_or_default();
                    self.report.subtree_stat.insert(name, values);
                }
            }
            (None, Some(cgroup)) => {
                self.statistics = Statistics::OfLimitCgroup;
                // Since 5.3 only the cgroup at its limit is printed, so the line names it.
                if stats.complete && self.report.limit_cgroup.is_none() && !cgroup.is_empty() {
                    self.report.limit_cgroup = Some(cgroup.into());
                }
            }
            (None, None) => {}
        }
    }

    pub(super) fn statistic(&mut self, key: &str, value: u64) {
        let stats = self.report.memory_stat.get_or_insert_with(IndexMap::new);
        if stats.len() < MOST_ITEMS {
            stats.entry(key.to_owned()).or_insert(value);
        }
    }

    pub(super) fn row(&mut self, row: &Row<'_>) {
        let Some(comm) = row.comm else {
            self.report.task_table.rows_damaged = self.report.task_table.rows_damaged.saturating_add(1);
            return;
        };
        self.event = true;
        // A log that begins inside the table: all its rows are like the first whole one.
        self.columns.get_or_insert_with(|| Columns(row.cells.iter().map(|(column, _)| *column).collect()));
        if self.rows.len() >= MOST_ROWS {
            self.rows_left_out += 1;
            return;
        }
        self.row_pids.insert(row.pid);
        self.rows.push(RawRow { pid: row.pid, comm: comm.into(), cells: row.cells.clone() });
    }

    fn oom_kill(&mut self, kill: &OomKill<'_>) {
        self.table_ended = true;
        let report = &mut self.report;
        report.extent.oom_kill_line = kill.complete();
        let constraint = kill.constraint.map(|c| Constraint::from_name(&c.to_str_lossy()));
        // 5.0 to 5.2 print CONSTRAINT_NONE for a cgroup's limit; the cgroup named there tells.
        let memcg = constraint == Some(Constraint::Memcg) || kill.oom_memcg.is_some();
        if memcg {
            report.scope = Some(Scope::Memcg);
        } else if constraint.is_some() {
            report.scope = Some(report.scope.unwrap_or(Scope::Global));
        }
        report.constraint = constraint;
        if let Some(limit) = kill.oom_memcg {
            report.limit_cgroup = Some(limit.into());
        }
        if let Some(task) = kill.task_memcg {
            report.victim_cgroup = Some(task.into());
        }
        report.cpuset = kill.cpuset.map(Into::into).or(report.cpuset.take());
        report.mems_allowed = kill.mems_allowed.map(lossy).or(report.mems_allowed.take());
        report.nodemask = kill.nodemask.map(lossy).or(report.nodemask.take());
        if let (Some(pid), Some(task)) = (kill.pid, kill.task) {
            self.summary = Some(SummaryVictim { pid, comm: task.into(), uid: kill.uid });
        }
    }

    fn chosen(&mut self, chosen: &Chosen<'_>) {
        self.table_ended = true;
        self.report.scope = self.report.scope.or(chosen.scope);
        self.report.allocating_task_killed |= chosen.allocating_task;
        self.report.chosen = Some(victim_of(chosen));
    }

    fn killed(&mut self, killed: &Killed<'_>, record: &Record, recent: &mut Recent) {
        self.report.scope = self.report.scope.or(killed.scope);
        self.report.allocating_task_killed |= killed.allocating_task;
        self.report.extent.kill_line = true;
        self.report.group_kill.get_or_insert(false);
        self.killed_at.get_or_insert(record.when);
        recent.victim();
        if self.report.victims.len() >= MOST_ITEMS || self.report.victims.iter().any(|v| v.pid == killed.pid) {
            return;
        }
        self.report.victims.push(Victim {
            pid: killed.pid,
            comm: killed.comm.map(Into::into),
            uid: killed.uid,
            total_vm_bytes: killed.total_vm,
            anon_bytes: killed.anon,
            file_bytes: killed.file,
            shmem_bytes: killed.shmem,
            pgtables_bytes: killed.pgtables,
            oom_score_adj: killed.oom_score_adj,
            score: killed.score,
            ..Victim::default()
        });
    }

    /// Takes a line of the reaper if it is about one of its victims.
    pub(super) fn reaped(&mut self, reap: &Reap, text: &[u8], record: &Record) -> bool {
        let in_table = self.rows.iter().find(|row| row.pid == reap.pid);
        if let Some(row) = in_table.filter(|_| !self.is_over()) {
            // Its kill line was lost or filtered (it has another log level); the reaper names it all the same.
            let comm = reap.comm.clone().unwrap_or_else(|| crate::evidence::Comm(row.comm.clone()));
            self.report.victims.push(Victim { pid: reap.pid, comm: Some(comm), ..Victim::default() });
            self.killed_at = Some(record.when);
        }
        let mine = self.report.victims.iter().any(|v| v.pid == reap.pid);
        if mine && self.report.reaped.len() < MOST_ITEMS {
            self.cite(Part::Reaper, text, record);
            self.report.reaped.push(Reaped {
                pid: reap.pid,
                anon_bytes: reap.anon,
                file_bytes: reap.file,
                shmem_bytes: reap.shmem,
            });
        }
        mine
    }

    fn node_memory(&mut self, line: &NodeMemoryLine<'_>) {
        if self.event
            && self.report.scope.is_none()
            && matches!(line, NodeMemoryLine::Title)
            && self.report.extent.usage
        {
            return;
        }
        let memory = self.report.node_memory.get_or_insert_with(NodeMemory::default);
        match line {
            NodeMemoryLine::Title | NodeMemoryLine::Node | NodeMemoryLine::Other => {}
            NodeMemoryLine::Totals(totals) => {
                for (key, pages) in totals {
                    if self.total_pages.len() < MOST_ITEMS {
                        self.total_pages.insert((*key).to_owned(), *pages);
                    }
                }
            }
            NodeMemoryLine::Zone(zone) if memory.zones.len() < MOST_ITEMS => memory.zones.push(zone_of(zone)),
            NodeMemoryLine::Zone(_) => {}
            NodeMemoryLine::LowmemReserve(pages) => {
                if let Some(zone) = memory.zones.last_mut() {
                    zone.lowmem_reserve_pages.clone_from(pages);
                }
            }
            NodeMemoryLine::FreeList(list) => free_list(memory, list),
            NodeMemoryLine::PagecachePages(pages) => self.other_pages.pagecache = Some(*pages),
            NodeMemoryLine::RamPages(pages) => self.other_pages.ram = Some(*pages),
            NodeMemoryLine::ReservedPages(pages) => self.other_pages.reserved = Some(*pages),
            NodeMemoryLine::FreeSwap(bytes) => {
                memory.swap.get_or_insert_with(Swap::default).free_bytes = Some(Bytes(*bytes));
            }
            NodeMemoryLine::TotalSwap(bytes) => {
                memory.swap.get_or_insert_with(Swap::default).total_bytes = Some(Bytes(*bytes));
            }
            NodeMemoryLine::Hugepages(bytes) => {
                let so_far = memory.hugetlb_bytes.map_or(0, |b| b.0);
                memory.hugetlb_bytes = Some(Bytes(so_far.saturating_add(*bytes)));
            }
        }
    }
}

/// The limit's cgroup is the victim's or one above it. So a path that a pager cut inside the last component of the victim's
/// path was that path.
fn uncut<'a>(limit: &'a [u8], task: Option<&'a [u8]>) -> &'a [u8] {
    let cut = |task: &&[u8]| {
        let last = task.rfind_byte(b'/').map_or(0, |at| at + 1);
        limit.len() > last && limit.len() < task.len() && task.starts_with(limit)
    };
    task.filter(cut).unwrap_or(limit)
}

/// A line for `--evidence`. No line of a report is this long: two cgroup paths of 4 KiB and what stands between.
fn shortened(text: &[u8]) -> Untrusted {
    text[..text.len().min(LONGEST_LINE_KEPT)].into()
}

fn zone_of(line: &ZoneLine<'_>) -> Zone {
    let counter = |name: &str| line.counters.iter().find(|(key, _)| *key == name).map(|(_, bytes)| Bytes(*bytes));
    Zone {
        node: line.node,
        name: line.name.clone(),
        free_bytes: counter("free"),
        min_bytes: counter("min"),
        low_bytes: counter("low"),
        high_bytes: counter("high"),
        managed_bytes: counter("managed"),
        counters_bytes: line.counters.iter().map(|(key, bytes)| ((*key).to_owned(), *bytes)).collect(),
        all_unreclaimable: line.all_unreclaimable,
        lowmem_reserve_pages: Vec::new(),
        free_blocks: Vec::new(),
    }
}

fn free_list(memory: &mut NodeMemory, list: &FreeList) {
    let blocks: Vec<FreeBlocks> = list
        .blocks
        .iter()
        .map(|(count, kib, types)| FreeBlocks {
            block_bytes: Bytes::from_kib(*kib),
            count: *count,
            types: types.clone(),
        })
        .collect();
    if let Some(zone) = memory.zones.iter_mut().find(|z| z.node == list.node && z.name == list.name) {
        zone.free_blocks = blocks;
    } else if memory.zones.len() < MOST_ITEMS {
        memory.zones.push(Zone { node: list.node, name: list.name.clone(), free_blocks: blocks, ..Zone::default() });
    }
}

fn victim_of(chosen: &Chosen<'_>) -> Victim {
    Victim { pid: chosen.pid, comm: chosen.comm.map(Into::into), score: chosen.score, ..Victim::default() }
}

fn lossy(text: &[u8]) -> String {
    text.to_str_lossy().into_owned()
}
