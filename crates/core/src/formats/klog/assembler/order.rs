//! What can follow what: the kernel's order, and what other CPUs print in between.
//!
//! `oom_lock` keeps reports apart from one another, but not from the rest of the kernel: a soft lockup, a stalled RCU grace
//! period or another task's failed allocation prints its own `CPU:` line, trace and Mem-Info into the middle of a report. A
//! report with a header is therefore ended only by its kill line or by what only another report can have; a trace that is
//! not its own passes by.

use bstr::ByteSlice;

use super::LONGEST_PAUSE_US;
use super::draft::Draft;
use crate::evidence::Part;
use crate::formats::klog::message::{self, Killed, Message};
use crate::formats::klog::record::Record;

/// Between the kill lines of one group, from the first.
const GROUP_PAUSE_US: u64 = 1_000_000;

/// What a part means for the report that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is the next of its parts.
    Mine,
    /// It belongs to another report, which begins here.
    Next,
    /// It belongs to no report.
    Foreign,
    /// A kill line without a report, right behind this one's: a member of its group, or a kill of its own whose report was
    /// rate-limited. What comes will tell.
    PerhapsMember,
    /// The victim is named a second time: the kill lines between were those of its group (`mem_cgroup_scan_tasks()` walks
    /// over the victim as well).
    ProvesGroup,
}

/// The kernel's order. Mem-Info stands where usage and statistics stand, or behind them (before 3.9).
pub(super) const fn stage_of(part: Part) -> u8 {
    match part {
        Part::Sysrq => 0,
        Part::Header => 1,
        Part::Cpuset => 2,
        Part::Cpu => 3,
        Part::Stack => 4,
        Part::TaskInCgroup => 5,
        Part::Usage => 6,
        Part::OtherUsage => 7,
        Part::MemoryStat => 8,
        Part::NodeMemory => 9,
        Part::TaskTable => 10,
        Part::OomKill => 11,
        Part::Chosen => 12,
        Part::NoKillable | Part::Kill => 13,
        Part::GroupKill => 14,
        Part::Lost | Part::Reaper | Part::Panic => 15,
        // No line of a log is one of these.
        Part::FlightRecord
        | Part::Counters
        | Part::Processes
        | Part::KillContext
        | Part::UserStack
        | Part::HotStacks
        | Part::PodStatus
        | Part::PodEvents
        | Part::NodeStatus => 15,
    }
}

impl Draft {
    /// Whether the kernel can have printed this part after what was read.
    pub(super) fn fit(&mut self, part: Part, text: &[u8], record: &Record) -> Fit {
        if self.too_long_ago(record) {
            // Thousands of processes that share the victim's memory take minutes to name on a slow console.
            let more_of_it = part == Part::Kill && self.is_over() && text.ends_with(b" sharing same memory");
            return if more_of_it { Fit::Mine } else { Fit::Next };
        }
        let mine_if = |mine: bool| if mine { Fit::Mine } else { Fit::Next };
        let stage = stage_of(part);
        match part {
            Part::Header | Part::Sysrq => mine_if(self.stage == 0),
            Part::Kill => self.fit_kill(text, record),
            Part::GroupKill | Part::Reaper | Part::Lost => Fit::Mine,
            Part::Panic => mine_if(self.report.panic.is_none()),
            Part::OomKill if self.is_over() => mine_if(self.is_late_summary(text)),
            _ if self.is_over() => Fit::Next,
            Part::NoKillable => Fit::Mine,
            Part::Cpu | Part::Stack | Part::Cpuset | Part::NodeMemory if self.is_event() => self.fit_trace(part, text),
            // The same once more is the next report, except for what has many lines.
            Part::Usage | Part::TaskInCgroup | Part::Chosen | Part::OomKill if stage == self.stage => {
                mine_if(self.is_first_of_its_kind(part))
            }
            Part::TaskTable if stage == self.stage => {
                let second_title = self.title_seen && text.ends_with(b"pages):");
                let second_header = self.columns.is_some() && text.contains_str(" total_vm ");
                mine_if(!(self.table_ended || second_title || second_header))
            }
            _ => {
                self.foreign_trace = false;
                self.foreign_mem_info = false;
                mine_if(stage >= self.stage)
            }
        }
    }

    /// Somebody else's trace begins, with Mem-Info behind it: `page allocation failure` and the like.
    pub(super) fn foreign_trace_begins(&mut self) {
        self.foreign_trace = true;
        self.foreign_mem_info = true;
    }

    /// The parts that other reports of the kernel have too.
    fn fit_trace(&mut self, part: Part, text: &[u8]) -> Fit {
        let in_order = stage_of(part) >= self.stage;
        let mine = match part {
            Part::Cpu => {
                let own = in_order && self.is_first_of_its_kind(Part::Cpu) && self.is_of_trigger(text);
                self.foreign_trace = !own;
                // Without a header this may be the first line that is left of the next report.
                if !own && !self.report.extent.header {
                    return Fit::Next;
                }
                own
            }
            Part::NodeMemory => in_order && !self.foreign_mem_info,
            _ => in_order && !self.foreign_trace,
        };
        if mine { Fit::Mine } else { Fit::Foreign }
    }

    /// A `CPU:` line that can be the trigger's: the header printed the same name. Behind an unknown prefix the header's
    /// name may have lost its beginning.
    fn is_of_trigger(&self, text: &[u8]) -> bool {
        let Some(Message::Cpu(cpu)) = message::parse(text) else { return true };
        let header = self.report.trigger.as_ref().and_then(|trigger| trigger.comm.as_ref());
        header.zip(cpu.comm).is_none_or(|(header, comm)| comm.ends_with(header.as_bytes()))
    }

    /// The summary of the victim whose kill line was just read: a log with the newest line first, or lines that somebody
    /// put in another order.
    fn is_late_summary(&self, text: &[u8]) -> bool {
        let Some(Message::OomKill(kill)) = message::parse(text) else { return false };
        let [victim] = self.report.victims.as_slice() else { return false };
        let same_name = kill.task.is_some() && kill.task == victim.comm.as_ref().map(|comm| comm.as_bytes());
        let alone = !self.report.extent.header && self.is_first_of_its_kind(Part::OomKill) && self.rows.is_empty();
        alone && (kill.pid == Some(victim.pid) || (kill.pid.is_none() && same_name))
    }

    fn is_first_of_its_kind(&self, part: Part) -> bool {
        !self.evidence.iter().any(|e| e.part == part)
    }

    fn fit_kill(&self, text: &[u8], record: &Record) -> Fit {
        let Some(Message::Killed(killed)) = message::parse(text) else { return Fit::Mine };
        let scopes_agree = killed.scope.is_none() || self.report.scope.is_none() || killed.scope == self.report.scope;
        let stranger = !self.rows.is_empty() && self.rows_left_out == 0 && !self.row_pids.contains(&killed.pid);
        if self.killed_at.is_none() {
            let announced = self.summary.as_ref().map(|s| s.pid).or_else(|| self.report.chosen.as_ref().map(|c| c.pid));
            let another = announced.is_some_and(|pid| pid != killed.pid);
            // A child that is sacrificed may be absent from a table that was cut, never from a whole one.
            let mine = scopes_agree
                && !self.report.no_killable_process
                && !(another && stranger && self.report.chosen.is_none());
            return if mine { Fit::Mine } else { Fit::Next };
        }
        if !scopes_agree || stranger {
            return Fit::Next;
        }
        match self.report.group_kill {
            Some(true) => Fit::Mine,
            _ if !self.is_soon_after(record) => Fit::Next,
            _ if self.is_first_victim(&killed) => Fit::ProvesGroup,
            _ => Fit::PerhapsMember,
        }
    }

    fn is_first_victim(&self, killed: &Killed<'_>) -> bool {
        let size = killed.total_vm;
        size.is_some() && self.report.victims.first().is_some_and(|v| v.pid == killed.pid && v.total_vm_bytes == size)
    }

    fn is_soon_after(&self, record: &Record) -> bool {
        match (self.last_at.boot_us, record.when.boot_us) {
            (Some(last), Some(now)) => now.0.abs_diff(last.0) < GROUP_PAUSE_US,
            _ => {
                self.last_at == record.when
                    || record.when.is_unknown()
                    || self.wall_pause_us(record).is_some_and(|us| us < GROUP_PAUSE_US)
            }
        }
    }

    /// Microseconds of wall-clock time since the last part, where both have it.
    fn wall_pause_us(&self, record: &Record) -> Option<u64> {
        let wall = self
            .last_at
            .wall
            .zip(record.when.wall)
            .map(|(last, now)| now.as_microsecond().abs_diff(last.as_microsecond()));
        let local = || {
            let (last, now) = self.last_at.wall_local.zip(record.when.wall_local)?;
            u64::try_from(last.duration_until(now).abs().as_micros()).ok()
        };
        wall.or_else(local)
    }

    fn too_long_ago(&self, record: &Record) -> bool {
        match (self.last_at.boot_us, record.when.boot_us) {
            (Some(last), Some(now)) => {
                now.0 > last.0.saturating_add(LONGEST_PAUSE_US) || now.0.saturating_add(1_000_000) < last.0
            }
            // Syslog stamps lines when they arrive, and in whole seconds.
            _ => self.wall_pause_us(record).is_some_and(|us| us > 2 * LONGEST_PAUSE_US),
        }
    }
}
