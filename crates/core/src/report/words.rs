//! The words that every form of report shares: what killed, who, when, how much.

use std::borrow::Cow;
use std::fmt::Write as _;

use jiff::Timestamp;

use crate::case::Case;
use crate::diagnosis::{Confidence, Killer};
use crate::evidence::{Comm, KernelReport, Part, Scope, Victim};
use crate::incident::identity::Identity;
use crate::kubernetes::Ending;
use crate::text::{Untrusted, acts_on_its_surroundings, name_in_text};
use crate::time::{BootTime, When};
pub(super) use crate::time::{duration, span};
use crate::units::{Bytes, Limit};

/// What happened, in capitals: the first word of a report.
pub(super) fn event(case: &Case) -> &'static str {
    let report = case.incident.report();
    match case.diagnosis.killer {
        Killer::NotOom => "NOT AN OOM KILL",
        Killer::KubeletEviction => "EVICTED",
        Killer::UserspaceOom | Killer::OtherSigkill => "KILLED",
        _ if case.incident.kills.is_empty() => ended(case),
        _ if report.panic.is_some() => "OUT OF MEMORY, KERNEL PANIC",
        _ if report.no_killable_process => "OUT OF MEMORY, NOTHING TO KILL",
        _ if report.victims.len() > 1 => "OOM KILLS",
        _ => "OOM KILL",
    }
}

/// An end that only Kubernetes tells, and of which nobody knows the killer.
fn ended(case: &Case) -> &'static str {
    let ending = case.incident.kubernetes.as_ref().and_then(|account| account.ending.as_ref());
    if ending.is_some_and(Ending::says_oom) { "OOM KILL, SAYS KUBERNETES" } else { "ENDED" }
}

/// What killed, as one would say it.
pub(super) fn cause(case: &Case) -> &'static str {
    match case.diagnosis.killer {
        Killer::ContainerLimit => "the container reached its own memory limit",
        Killer::PodLimit => "the pod reached its memory limit",
        Killer::AncestorLimit => "a memory limit above the pod was reached",
        Killer::CgroupLimit => "the cgroup reached its memory limit",
        Killer::Node if is_by_hand(case.incident.report()) => "somebody asked for it (sysrq-f)",
        Killer::Node => "the machine ran out of memory",
        Killer::Cpuset => "the memory nodes of the cpuset were full",
        Killer::MemoryPolicy => "the memory nodes of the memory policy were full",
        Killer::KubeletEviction => "by the kubelet, to free memory on the node",
        Killer::UserspaceOom => "by an out-of-memory daemon, not by the kernel",
        Killer::OtherSigkill => "by somebody's SIGKILL, not for memory",
        Killer::NotOom => "memory was not the reason",
        Killer::Unknown if case.incident.report().scope == Some(Scope::Memcg) => "a cgroup's limit, not known which",
        Killer::Unknown if case.incident.kills.is_empty() => "the kernel's word for it is missing",
        Killer::Unknown => "what ran out of memory is not known",
    }
}

/// True for sysrq-f, which kills whether or not memory is short. Its order is −1 (drivers/tty/sysrq.c, `moom_callback()`).
pub(super) fn is_by_hand(report: &KernelReport) -> bool {
    report.sysrq || report.order == Some(-1)
}

/// What killed, in two words for a column.
pub(super) const fn killer(killer: Killer) -> &'static str {
    match killer {
        Killer::ContainerLimit => "container limit",
        Killer::PodLimit => "pod limit",
        Killer::AncestorLimit => "ancestor limit",
        Killer::CgroupLimit => "cgroup limit",
        Killer::Node => "node",
        Killer::Cpuset => "cpuset",
        Killer::MemoryPolicy => "memory policy",
        Killer::KubeletEviction => "eviction",
        Killer::UserspaceOom => "OOM daemon",
        Killer::OtherSigkill => "SIGKILL",
        Killer::NotOom => "not OOM",
        Killer::Unknown => "unknown",
    }
}

/// How sure.
pub(super) const fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Certain => "certain",
        Confidence::Likely => "likely",
        Confidence::Possible => "possible",
    }
}

/// What a record of a watcher is called; the lines of a log go by their numbers.
pub(super) const fn part(part: Part) -> &'static str {
    match part {
        Part::FlightRecord => "flight record",
        Part::KillContext => "seen in the kernel",
        Part::UserStack => "stack",
        Part::HotStacks => "hot stacks",
        other => other.name(),
    }
}

/// A process name, in quotes where it could be mistaken for the text around it.
pub(super) fn name(comm: &Comm) -> String {
    name_in_text(comm.as_bytes())
}

/// `java (pid 4711)`, as far as known.
pub(super) fn process(comm: Option<&Comm>, kind: &str, id: Option<u32>) -> String {
    match (comm, id) {
        (Some(comm), Some(id)) => format!("{} ({kind} {id})", name(comm)),
        (Some(comm), None) => name(comm),
        (None, Some(id)) => format!("{kind} {id}"),
        (None, None) => "unknown".to_owned(),
    }
}

/// `java (pid 4711)`.
pub(super) fn victim(victim: &Victim) -> String {
    process(victim.comm.as_ref(), "pid", Some(victim.pid))
}

/// A limit, or that there is none.
pub(super) fn limit(printed: Bytes) -> String {
    Limit::from_printed(printed).bytes().map_or_else(|| "no limit".to_owned(), |bytes| bytes.to_string())
}

/// A size for a cell, empty where it is not known.
pub(super) fn size(bytes: Option<Bytes>) -> String {
    bytes.map_or_else(String::new, |bytes| bytes.to_string())
}

/// An `oom_score_adj` for a cell, empty where it is not known.
pub(super) fn adj(adj: Option<i32>) -> String {
    adj.map_or_else(String::new, |adj| adj.to_string())
}

/// `94.5 %`, without a decimal from 99.95 on up and below 0.05 as `< 0.1 %`.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent >= 99.95 || percent == 0.0 {
        format!("{percent:.0} %")
    } else if percent < 0.05 {
        "< 0.1 %".to_owned()
    } else {
        format!("{percent:.1} %")
    }
}

/// `1 process`, `40 processes`.
pub(super) fn count(n: usize, one: &str, many: &str) -> String {
    format!("{} {}", grouped(n as i128), if n == 1 { one } else { many })
}

/// A number with its thousands apart: `12 345`.
pub(super) fn grouped(number: i128) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3 + 1);
    if number < 0 {
        out.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// The instant with its zone, or with the remark that the zone is not known.
pub(super) fn wall(when: &When) -> Option<String> {
    let utc = when.wall.map(|at| format!("{} UTC", utc(at)));
    utc.or_else(|| when.wall_local.map(|at| format!("{} (zone not stated)", at.strftime("%Y-%m-%d %H:%M:%S"))))
}

/// `2026-04-04 03:41:03`.
pub(super) fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `185.574805 s after boot`, with what that is in hours or days.
pub(super) fn boot(at: BootTime) -> String {
    let exact = format!("{}.{:06} s after boot", at.0 / 1_000_000, at.0 % 1_000_000);
    if at.0 < 600 * 1_000_000 { exact } else { format!("{exact} ({})", duration(at.0)) }
}

/// The shortest statement of when: for a column.
pub(super) fn instant(when: &When) -> Option<String> {
    let local = || when.wall_local.map(|at| at.strftime("%Y-%m-%d %H:%M:%S").to_string());
    let boot = || when.boot_us.map(|at| format!("{}.{:03} s", at.0 / 1_000_000, at.0 / 1000 % 1000));
    when.wall.map(|at| format!("{}Z", utc(at))).or_else(local).or_else(boot)
}

/// A text of the diagnosis, the transport or another source, made safe to show. Unlike [`crate::text::escape`] it leaves backslashes
/// alone: the rules have escaped what they quote, and a second time would show `\\\\x1b`.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts_on_its_surroundings) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' | '\t' | '\r' => out.push(' '),
            c if acts_on_its_surroundings(c) => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// The same for a block of lines, with its line breaks kept.
pub(super) fn clean_lines(text: &str) -> impl Iterator<Item = String> + '_ {
    text.trim_end_matches('\n').split('\n').map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line).replace('\t', "    ");
        clean(&line).into_owned()
    })
}

/// The cgroup that the case is about: whose limit was reached, else the victim's.
pub(super) fn cgroup(report: &KernelReport) -> Option<&Untrusted> {
    report.limit_cgroup.as_ref().or(report.victim_cgroup.as_ref())
}

/// `shop/cart-7f9c`, `pod 9f3c0a12-…`, as far as known.
pub(super) fn pod(identity: &Identity) -> Option<String> {
    match (&identity.namespace, &identity.pod, &identity.pod_uid) {
        (Some(namespace), Some(pod), _) => Some(format!("{}/{}", clean(namespace), clean(pod))),
        (None, Some(pod), _) => Some(clean(pod).into_owned()),
        (_, None, Some(uid)) => Some(clean(uid).into_owned()),
        (_, None, None) => None,
    }
}

/// A container id as people write it: the first twelve digits.
pub(super) fn container_id(id: &str) -> String {
    clean(id).chars().take(12).collect()
}

/// Whose kill it was, in the fewest words: pod, container or the last part of the cgroup path.
pub(super) fn owner(case: &Case) -> Option<String> {
    let identity = case.incident.identity.as_ref();
    let pod = identity.and_then(|i| pod(i).map(|pod| format!("pod {pod}")));
    let container =
        || identity.and_then(|i| i.container_id.as_deref()).map(|id| format!("container {}", container_id(id)));
    let path = || cgroup(case.incident.report()).map(ToString::to_string);
    pod.or_else(container).or_else(path)
}

/// The names of the victims with how many of each, first come first: `node ×38, sh ×2`.
pub(super) fn victim_names(victims: &[Victim], most: usize, times: &str) -> String {
    let mut counts = indexmap::IndexMap::<String, usize>::new();
    for victim in victims {
        *counts.entry(victim.comm.as_ref().map_or_else(|| format!("pid {}", victim.pid), name)).or_default() += 1;
    }
    counted_names(&counts, most, times)
}

/// `node ×38, sh ×2, 5 more names`.
pub(super) fn counted_names(counts: &indexmap::IndexMap<String, usize>, most: usize, times: &str) -> String {
    let one = |(name, n): (&String, &usize)| if *n > 1 { format!("{name} {times}{n}") } else { name.clone() };
    let mut names: Vec<String> = counts.iter().take(most).map(one).collect();
    if counts.len() > most {
        names.push(format!("{} more", counts.len() - most));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers read as people write them, and no share is rounded to nothing or to everything.
    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(grouped(-999), "-999");
        assert_eq!(percent(0.9449), "94.5 %");
        assert_eq!(percent(0.9999), "100 %");
        assert_eq!(percent(0.000_1), "< 0.1 %");
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(duration(14_200), "14 ms");
        assert_eq!(duration(2_300_000), "2.3 s");
        assert_eq!(duration(200_000_000), "3 min 20 s");
        assert_eq!(duration(187_200_000_000), "2 d 4 h");
    }

    /// A name that imitates the text around it stands in quotes.
    #[test]
    fn odd_names_are_quoted() {
        assert_eq!(name(&Comm::from("java")), "java");
        assert_eq!(name(&Comm::from("a) b, c=(d")), "\"a) b, c=(d\"");
        assert_eq!(name(&Comm::from("")), "\"\"");
        assert_eq!(name(&Comm::from(&b"\x1b[31m"[..])), "\"\\x1b[31m\"");
    }

    /// Text of the rules stays as they wrote it, except for what would act on the terminal.
    #[test]
    fn clean_does_not_escape_twice() {
        assert_eq!(clean("task \\x1b[31m died"), "task \\x1b[31m died");
        assert_eq!(clean("a\u{1b}b\nc\u{202e}"), "a\\u{1b}b c\\u{202e}");
        assert_eq!(clean_lines("a:\r\n\tb\n").collect::<Vec<_>>(), ["a:", "    b"]);
    }
}
