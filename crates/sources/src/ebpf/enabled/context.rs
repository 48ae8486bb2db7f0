//! From a record of a kill to [`KillContext`].

use oomscope_bpf::{KillHook, name, wire};
use oomscope_core::evidence::{ChainLevel, Comm, Hook, KillContext, Party, Task, VictimMemory};
use oomscope_core::time::BootTime;
use oomscope_core::units::Bytes;

use super::stack::known;

/// What the kernel writes for "no limit" is LONG_MAX in whole pages (`PAGE_COUNTER_MAX`); only the unit differs.
const NO_LIMIT: u64 = i64::MAX as u64;

pub(super) fn hook(hook: KillHook) -> Hook {
    match hook {
        KillHook::OomKillProcess => Hook::OomKillProcess,
        KillHook::MarkVictimBtf => Hook::MarkVictimBtf,
        KillHook::MarkVictim => Hook::MarkVictim,
    }
}

/// All of it but the tasks.
pub(super) fn context(kill: &wire::kill, units: Units) -> KillContext {
    let has_oom_control = kill.has_oom_control != 0;
    KillContext {
        at: boot_time(kill.at_ns),
        hook: match wire::kill_hook(kill.hook) {
            wire::kill_hook::HOOK_OOM_KILL_PROCESS => Hook::OomKillProcess,
            wire::kill_hook::HOOK_MARK_VICTIM_BTF => Hook::MarkVictimBtf,
            _ => Hook::MarkVictim,
        },
        trigger: party(&kill.trigger),
        victim: party(&kill.victim),
        gfp_mask: has_oom_control.then_some(kill.gfp_mask),
        order: has_oom_control.then_some(kill.order),
        global: match wire::kill_scope(kill.scope) {
            wire::kill_scope::SCOPE_CGROUP => Some(false),
            wire::kill_scope::SCOPE_GLOBAL => Some(true),
            _ => None,
        },
        limit_cgroup_id: known(kill.limit_cgroup_id),
        chain: kill.levels().iter().map(|level| units.level(level, kill.hierarchy_id == 0)).collect(),
        victim_memory: if kill.has_memory == 0 { VictimMemory::default() } else { units.memory(&kill.memory) },
        tasks: Vec::new(),
        tasks_complete: false,
    }
}

pub(super) fn boot_time(ns: u64) -> BootTime {
    BootTime(ns / 1000)
}

fn party(party: &wire::party) -> Party {
    Party {
        tid: party.tid,
        // Where the kernel named only a number and the process was not found, the number is all there is.
        pid: if party.pid == 0 { party.tid } else { party.pid },
        comm: Comm::from(name(&party.comm)),
        uid: party.uid,
        oom_score_adj: i16::try_from(party.oom_score_adj).unwrap_or_default(),
        cgroup_id: party.cgroup_id,
    }
}

/// Turns pages into bytes.
#[derive(Clone, Copy)]
pub(super) struct Units {
    pub(super) page_size: u64,
}

impl Units {
    /// Counters go below zero for a moment; what they count does not.
    fn pages(self, pages: i64) -> Bytes {
        Bytes::from_pages(u64::try_from(pages).unwrap_or(0), self.page_size)
    }

    fn limit(self, pages: u64) -> Option<Bytes> {
        (pages < NO_LIMIT / self.page_size).then(|| Bytes::from_pages(pages, self.page_size))
    }

    fn level(self, level: &wire::level, is_v2: bool) -> ChainLevel {
        let usage_bytes = self.pages(level.usage);
        let swap_usage_bytes = self.pages(level.swap_usage);
        // v1 counts memory in both, unless it was told at boot not to count swap: then this counter stands still.
        let counts_swap = is_v2 || swap_usage_bytes >= usage_bytes;
        ChainLevel {
            cgroup_id: level.cgroup_id,
            usage_bytes,
            limit_bytes: self.limit(level.limit),
            peak_bytes: Some(Bytes::from_pages(level.peak, self.page_size)),
            swap_usage_bytes: counts_swap.then_some(swap_usage_bytes),
            swap_limit_bytes: if counts_swap { self.limit(level.swap_limit) } else { None },
            failcnt: (level.has_failcnt != 0).then_some(level.failcnt),
        }
    }

    fn memory(self, memory: &wire::memory) -> VictimMemory {
        VictimMemory {
            total_vm_bytes: Some(self.pages(memory.total_vm)),
            anon_bytes: Some(self.pages(memory.anon)),
            file_bytes: Some(self.pages(memory.file)),
            shmem_bytes: Some(self.pages(memory.shmem)),
            swap_bytes: Some(self.pages(memory.swap)),
            pgtables_bytes: Some(Bytes(u64::try_from(memory.pgtables_bytes).unwrap_or(0))),
        }
    }

    pub(super) fn task(self, row: &wire::task_row) -> Task {
        let memory = self.memory(&row.memory);
        let rss = [memory.anon_bytes, memory.file_bytes, memory.shmem_bytes].into_iter().flatten();
        Task {
            pid: row.pid,
            tgid: Some(row.pid),
            uid: Some(row.uid),
            comm: Comm::from(name(&row.comm)),
            total_vm_bytes: memory.total_vm_bytes,
            rss_bytes: Some(Bytes(rss.map(|bytes| bytes.0).sum())),
            anon_bytes: memory.anon_bytes,
            file_bytes: memory.file_bytes,
            shmem_bytes: memory.shmem_bytes,
            pgtables_bytes: memory.pgtables_bytes,
            swap_bytes: memory.swap_bytes,
            oom_score_adj: Some(row.oom_score_adj),
            oom_adj: None,
        }
    }
}
