//! File pages in the victim's size that its cgroup was not charged for.
//!
//! A file page is charged to the cgroup that read it first: the program text in `file-rss` may be on somebody else's account, so
//! process sizes can add up to more than the limit. Said only where it would mislead: when the victim's file pages exceed all file
//! memory of the cgroup by more than 1 MiB and a tenth of the victim.

use super::{Answer, Found, Rule};
use crate::diagnosis::facts::Facts;
use crate::diagnosis::words;
use crate::evidence::Part;
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "file_rss",
    about: "The victim's size contains file pages that were charged to another cgroup.",
    check,
};

fn check(facts: &Facts<'_>) -> Answer {
    if !facts.is_cgroup_kill() {
        return Answer::Absent;
    }
    let Some((victim, file)) = facts.victim().and_then(|v| v.file_bytes.map(|f| (v, f))) else { return Answer::Absent };
    let Some(memory) = &facts.memory else {
        return Answer::CannotTell(facts.missing("statistics of the cgroup", Part::MemoryStat));
    };
    let charged = Bytes(memory.cache().0.saturating_add(memory.shmem().0));
    let excess = file.0.saturating_sub(charged.0);
    let size = file.0.saturating_add(facts.held_by(victim).unwrap_or_default().0);
    if excess < 1 << 20 || excess < size / 10 {
        return Answer::Absent;
    }
    Found::that(
        "Not all of the victim's size counts here",
        format!(
            "{} maps {file} of files, but the cgroup was charged for {charged} of file memory only: the rest is on the account of whoever read \
             those files first.",
            words::victim(victim)
        ),
        &[Part::Kill, Part::MemoryStat],
    )
    .into()
}
