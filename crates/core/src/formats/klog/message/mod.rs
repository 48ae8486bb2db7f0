//! One kernel message: every wording of an OOM report since 2.6.
//!
//! A parser here sees one message without any prefix and answers what it says, borrowing from it. It knows nothing of the
//! report around it: which messages belong together is the assembler's business.
//!
//! Process names are arbitrary bytes of at most 15 (`TASK_COMM_LEN` − 1), cgroup paths arbitrary bytes of any length, so
//! every parser anchors on the kernel's own words at the end of the line and takes what is left as the name. A message
//! that breaks off (a damaged log) yields the fields that were whole.

use std::sync::LazyLock;

use aho_corasick::packed;

mod charge;
mod kill;
mod node_memory;
mod notice;
mod scan;
mod table;
mod trigger;

pub use charge::{StatsFor, TaskInCgroup, Usage, UsageOf};
pub use kill::{Chosen, Killed, OomKill, Reap};
pub use node_memory::{FreeList, NodeMemoryLine, ZoneLine};
pub use notice::Notice;
pub use table::{Column, Columns, Row};
pub use trigger::{Cpu, Cpuset, Invoked};

/// Longest process name: `TASK_COMM_LEN` (include/linux/sched.h) less its NUL.
pub const COMM_MAX: usize = 15;

/// Longest process name as some transport may write it, each byte as `\xNN`. What is longer is no name.
const COMM_WRITTEN_MAX: usize = 4 * COMM_MAX;

/// What one message of an OOM report says.
#[derive(Clone, Debug, PartialEq)]
pub enum Message<'a> {
    /// `java invoked oom-killer: gfp_mask=…`
    Invoked(Invoked<'a>),
    /// `java cpuset=… mems_allowed=0`
    Cpuset(Cpuset<'a>),
    /// `CPU: 0 PID: 138 Comm: java Not tainted …`
    Cpu(Cpu<'a>),
    /// `Call Trace:`, `<TASK>`, or a frame of it.
    Stack(Option<&'a [u8]>),
    /// `Task in … killed as a result of limit of …`
    TaskInCgroup(TaskInCgroup<'a>),
    /// `memory: usage …kB, limit …kB, failcnt …`
    Usage(Usage),
    /// `Memory cgroup stats for …:`
    StatsFor(StatsFor<'a>),
    /// A line of Mem-Info.
    NodeMemory(NodeMemoryLine<'a>),
    /// `[ pid ]   uid  tgid …`
    TableHeader(Columns),
    /// `oom-kill:constraint=…`
    OomKill(OomKill<'a>),
    /// `Kill process 123 (java) score 900 or sacrifice child`
    Chosen(Chosen<'a>),
    /// `Kill process 123 (java) sharing same memory`
    SharesMemory(Chosen<'a>),
    /// `Killed process 123 (java) total-vm:…`
    Killed(Killed<'a>),
    /// `Tasks in … are going to be killed due to memory.oom.group set`
    GroupKill(&'a [u8]),
    /// `oom_reaper: …`
    Reap(Reap),
    /// Everything else that matters: see [`Notice`].
    Notice(Notice),
}

/// What the messages other than frames and Mem-Info contain. Most lines of a report are frames, rows and statistics: one
/// search over the line spares them sixteen.
const ANCHORS: [&str; 23] = [
    "illed process ",
    "ill process ",
    "oom-killer",
    " invoked oom: ",
    "oom-kill:",
    ": usage ",
    "Task in",
    "Tasks in ",
    "Tasks state",
    "Memory limit reached",
    "Memory cgroup ",
    "oom_reaper: ",
    " total_vm",
    " uid ",
    "CPU: ",
    "Pid: ",
    " cpuset=",
    "no killable",
    "Manual OOM",
    "Kernel panic",
    "callbacks suppressed",
    "messages dropped",
    "page allocation ",
];

fn has_anchor(text: &[u8]) -> bool {
    static SEARCHER: LazyLock<Option<packed::Searcher>> = LazyLock::new(|| packed::Searcher::new(ANCHORS));
    SEARCHER.as_ref().is_none_or(|searcher| searcher.find(text).is_some())
}

/// Reads one message. `None` for what is no part of an OOM report, and for the two kinds that mean something only in
/// their place: table rows ([`table_row`]) and statistics ([`statistic`]).
#[must_use]
pub fn parse(text: &[u8]) -> Option<Message<'_>> {
    if !has_anchor(text) {
        return trigger::stack(text).map(Message::Stack).or_else(|| node_memory::line(text).map(Message::NodeMemory));
    }
    // Those that begin with the kernel's own words come first: their paths may quote the others.
    None.or_else(|| kill::oom_kill(text).map(Message::OomKill))
        .or_else(|| charge::stats_for(text).map(Message::StatsFor))
        .or_else(|| charge::task_in_cgroup(text).map(Message::TaskInCgroup))
        .or_else(|| kill::group_kill(text).map(Message::GroupKill))
        .or_else(|| kill::killed(text).map(Message::Killed))
        .or_else(|| kill::shares_memory(text).map(Message::SharesMemory))
        .or_else(|| kill::chosen(text).map(Message::Chosen))
        .or_else(|| trigger::invoked(text).map(Message::Invoked))
        .or_else(|| charge::usage(text).map(Message::Usage))
        .or_else(|| kill::reap(text).map(Message::Reap))
        .or_else(|| table::header(text).map(Message::TableHeader))
        .or_else(|| trigger::cpu(text).map(Message::Cpu))
        .or_else(|| trigger::cpuset(text).map(Message::Cpuset))
        .or_else(|| notice::notice(text).map(Message::Notice))
        .or_else(|| trigger::stack(text).map(Message::Stack))
        .or_else(|| node_memory::line(text).map(Message::NodeMemory))
}

/// Where a message may begin in text of unknown origin, behind something that is not known as a prefix (`Warning
/// OOMKilling  node/a  Memory cgroup out of memory: …`). `None` where it begins at the beginning, or nowhere.
///
/// Not for text that a transport delivered as the kernel's: there it would let a path in the middle of a message pass for
/// another message.
#[must_use]
pub fn begins_within(text: &[u8]) -> Option<usize> {
    if parse(text).is_some() || !has_anchor(text) {
        return None;
    }
    kill::begins_within(text).or_else(|| trigger::header_begins_within(text))
}

/// Reads a row of the task table, whose columns the header named or the row's own shape must tell.
#[must_use]
pub fn table_row<'a>(text: &'a [u8], columns: Option<&Columns>) -> Option<Row<'a>> {
    table::row(text, columns)
}

/// Reads a statistic of a cgroup: `anon 50221056`.
#[must_use]
pub fn statistic(text: &[u8]) -> Option<(&str, u64)> {
    charge::statistic(text)
}

/// Reads statistics of the inline form: `cache:32KB rss:524188KB …`, sizes turned into bytes.
pub fn inline_statistics(text: &[u8]) -> impl Iterator<Item = (&str, u64)> {
    charge::inline_statistics(text)
}
