//! Who was chosen, who was killed, and what was said of it.
//!
//! Source: `oom_kill_process()`, `__oom_kill_process()`, `dump_oom_summary()`, `oom_reap_task()` in mm/oom_kill.c,
//! `mem_cgroup_print_oom_group()` in mm/memcontrol.c.

use bstr::ByteSlice;

use super::COMM_WRITTEN_MAX;
use super::scan::{after, kib_field, narrow, rsplit_at, signed};
use crate::evidence::Scope;
use crate::units::Bytes;

/// `oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/b,task=java,pid=1,uid=0`
///
/// Assembled by the kernel from up to nine continuations, so it may break off anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OomKill<'a> {
    /// `CONSTRAINT_MEMCG`
    pub constraint: Option<&'a [u8]>,
    /// Memory nodes asked for, unless `(null)`.
    pub nodemask: Option<&'a [u8]>,
    /// Last component of the trigger's cpuset.
    pub cpuset: Option<&'a [u8]>,
    /// Memory nodes the trigger may use.
    pub mems_allowed: Option<&'a [u8]>,
    /// `,global_oom` was there: the machine.
    pub global_oom: bool,
    /// The cgroup whose limit was hit.
    pub oom_memcg: Option<&'a [u8]>,
    /// The victim's cgroup.
    pub task_memcg: Option<&'a [u8]>,
    /// The victim (in 5.0 possibly its parent).
    pub task: Option<&'a [u8]>,
    /// Its process id.
    pub pid: Option<u32>,
    /// Its owner.
    pub uid: Option<u32>,
}

impl OomKill<'_> {
    /// The last field was read, so the line is whole.
    #[must_use]
    pub const fn complete(&self) -> bool {
        self.uid.is_some()
    }
}

pub(super) fn oom_kill(text: &[u8]) -> Option<OomKill<'_>> {
    let rest = text.strip_prefix(b"oom-kill:")?.trim_ascii_start();
    let mut kill = OomKill::default();
    let (rest, last) = victim_at_end(rest, &mut kill);
    // `task_memcg=` ends at the name; `oom_memcg=` at `,task_memcg=`; what is cut off at the end of the line is not taken.
    let take = |key: &str, end: &str| {
        let value = after(rest, key)?;
        match value.find(end) {
            Some(at) => Some(&value[..at]),
            None => (last && end == ",task=").then_some(value),
        }
    };
    kill.constraint = take("constraint=", ",");
    kill.nodemask = take("nodemask=", ",cpuset=").filter(|n| *n != b"(null)");
    kill.cpuset = take(",cpuset=", ",mems_allowed=");
    kill.mems_allowed = take(",mems_allowed=", ",oom_memcg=")
        .or_else(|| take(",mems_allowed=", ",global_oom"))
        .or_else(|| take(",mems_allowed=", ",task_memcg="))
        .or_else(|| take(",mems_allowed=", ",task="));
    kill.global_oom = rest.find(",global_oom").is_some_and(|at| !rest[..at].contains_str(",oom_memcg="));
    // A shortened copy leaves the victim's cgroup out.
    kill.oom_memcg = take(",oom_memcg=", ",task_memcg=").or_else(|| take(",oom_memcg=", ",task="));
    kill.task_memcg = take(",task_memcg=", ",task=");
    Some(kill)
}

/// Reads `,task=NAME,pid=N,uid=N` from the right-hand end, since the name may hold anything. Answers what stands before it
/// and whether it was there.
fn victim_at_end<'a>(text: &'a [u8], kill: &mut OomKill<'a>) -> (&'a [u8], bool) {
    let text = text.trim_ascii_end();
    let parts = rsplit_at(text, ",uid=").and_then(|(rest, uid)| {
        let (rest, pid) = rsplit_at(rest, ",pid=")?;
        let (pid, after_pid) = narrow(pid)?;
        let (uid, after_uid) = signed(uid)?;
        // -2 (nobody) is printed signed by some kernels.
        let uid = u32::try_from(uid).or_else(|_| i32::try_from(uid).map(i32::cast_unsigned)).ok()?;
        let (before, task) = task_at_end(rest)?;
        (after_pid.is_empty() && after_uid.is_empty()).then_some((before, task, pid, uid))
    });
    match parts {
        Some((before, task, pid, uid)) => {
            (kill.task, kill.pid, kill.uid) = (Some(task), Some(pid), Some(uid));
            (before, true)
        }
        None => (text, false),
    }
}

/// The name behind `,task=`: the leftmost one that leaves a name of possible length.
fn task_at_end(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let key = b",task=";
    let from = text.len().saturating_sub(super::COMM_MAX + key.len());
    let at = text[from..].find(key).map(|at| from + at).or_else(|| text.rfind(key))?;
    Some((&text[..at], &text[at + key.len()..]))
}

/// `Out of memory: Kill process 123 (java) score 900 or sacrifice child`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen<'a> {
    /// From the words before it.
    pub scope: Option<Scope>,
    /// The process chosen; one of its children may have died in its place.
    pub pid: u32,
    /// Its name; `None` where the line broke off inside it.
    pub comm: Option<&'a [u8]>,
    /// `score N`
    pub score: Option<i64>,
    /// `(oom_kill_allocating_task)`
    pub allocating_task: bool,
}

pub(super) fn chosen(text: &[u8]) -> Option<Chosen<'_>> {
    let (prefix, rest) = announced(text, "Kill process ").or_else(|| announced(text, "kill process "))?;
    let (pid, rest) = narrow(rest)?;
    let end = last_within(rest, ") score ").or_else(|| last_within(rest, ") or a child"));
    let comm = rest
        .trim_ascii_start()
        .strip_prefix(b"(")
        .and_then(|r| end.map(|end| &r[..end.saturating_sub(rest.len() - r.len())]));
    let score = last_within(rest, ") score ").and_then(|at| signed(&rest[at + ") score ".len()..])).map(|(n, _)| n);
    // Without `out of memory` before or `score` behind, this is any program's sentence.
    (prefix.scope.is_some() || end.is_some()).then_some(Chosen {
        scope: prefix.scope,
        pid,
        comm,
        score,
        allocating_task: prefix.allocating_task,
    })
}

pub(super) fn shares_memory(text: &[u8]) -> Option<Chosen<'_>> {
    let rest = text.strip_prefix(b"Kill process ")?;
    let (pid, rest) = narrow(rest)?;
    let comm = rest.strip_prefix(b" (")?.strip_suffix(b" sharing same memory")?;
    let comm = comm.strip_suffix(b")").or_else(|| rsplit_at(comm, ") in VE ").map(|(c, _)| c))?;
    Some(Chosen { scope: None, pid, comm: Some(comm), score: None, allocating_task: false })
}

/// `Memory cgroup out of memory: Killed process 181 (php-fpm) total-vm:4207572kB, anon-rss:32512kB, file-rss:712kB,
/// shmem-rss:0kB, UID:33 pgtables:108kB oom_score_adj:-997`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Killed<'a> {
    /// From the words before it (kernel ≥ 5.1 and some before 2.6.23).
    pub scope: Option<Scope>,
    /// `(oom_kill_allocating_task)`
    pub allocating_task: bool,
    /// The victim.
    pub pid: u32,
    /// Its name; `None` where the line broke off inside it.
    pub comm: Option<&'a [u8]>,
    /// Its owner.
    pub uid: Option<u32>,
    /// Virtual size.
    pub total_vm: Option<Bytes>,
    /// Resident anonymous memory.
    pub anon: Option<Bytes>,
    /// Resident file pages.
    pub file: Option<Bytes>,
    /// Resident shared memory.
    pub shmem: Option<Bytes>,
    /// Page tables.
    pub pgtables: Option<Bytes>,
    /// −1000…1000.
    pub oom_score_adj: Option<i32>,
    /// OpenVZ 6 prints it here.
    pub score: Option<i64>,
}

impl Killed<'_> {
    /// The name was read to its end.
    #[must_use]
    pub const fn complete(&self) -> bool {
        self.comm.is_some()
    }
}

pub(super) fn killed(text: &[u8]) -> Option<Killed<'_>> {
    let (prefix, rest) = announced(text, "Killed process ")
        .or_else(|| announced(text, "OOM killed process "))
        .filter(|(_, rest)| !rest.contains_str(", ve="))?;
    let (pid, rest) = narrow(rest)?;
    // RHEL 6: `8525, UID 48, (httpd) total-vm:…`; Linux-VServer: `8525:#7, UID 48, (httpd)`
    let opening = match rest {
        [b' ', b'(', ..] => 2,
        [b'(', ..] => 1,
        _ => {
            let at = rest.find(",").filter(|at| *at < 32)?;
            at + rest[at..].find_byte(b'(').filter(|to| *to < 32)? + 1
        }
    };
    let (uid_before_name, named) = rest.split_at(opening);
    let end = tail_of_name(named);
    let (comm, tail) = match end {
        Some(end) => (Some(&named[..end]), &named[end + 1..]),
        None => (None, &named[named.len()..]),
    };
    let uid = after(tail, "UID:").or_else(|| after(tail, ", UID ")).or_else(|| after(uid_before_name, ", UID "));
    Some(Killed {
        scope: prefix.scope,
        allocating_task: prefix.allocating_task,
        pid,
        comm,
        uid: uid.and_then(|u| narrow(u.trim_ascii_start())).map(|(uid, _)| uid),
        total_vm: kib_field(tail, "total-vm:").or_else(|| kib_field(tail, "vsz:")).or_else(|| kib_field(tail, " vm:")),
        anon: kib_field(tail, "anon-rss:"),
        file: kib_field(tail, "file-rss:"),
        shmem: kib_field(tail, "shmem-rss:"),
        pgtables: kib_field(tail, "pgtables:"),
        oom_score_adj: after(tail, "oom_score_adj:").and_then(signed).and_then(|(n, _)| i32::try_from(n).ok()),
        score: tail.strip_prefix(b" score ").and_then(signed).map(|(n, _)| n),
    })
}

/// Where the name ends: at the last closing parenthesis that the kernel's own words follow.
fn tail_of_name(named: &[u8]) -> Option<usize> {
    [") total-vm:", "), UID ", ") vsz:", ") vm:", ") in VE ", ") score "]
        .iter()
        .filter_map(|mark| last_within(named, mark))
        .max()
        .or_else(|| {
            let line = named.trim_ascii_end();
            let line = line.strip_suffix(b".").unwrap_or(line);
            let at_the_end = line.strip_suffix(b")").map(<[u8]>::len).filter(|len| *len <= COMM_WRITTEN_MAX);
            at_the_end.or_else(|| last_within(named, ") ")).or_else(|| last_within(named, "),"))
        })
}

/// Where the last `mark` stands that leaves a name of possible length before it.
fn last_within(named: &[u8], mark: &str) -> Option<usize> {
    named[..named.len().min(COMM_WRITTEN_MAX + mark.len())].rfind(mark)
}

/// What the kernel says before `Killed process` and the like.
struct Prefix {
    scope: Option<Scope>,
    allocating_task: bool,
}

/// The kernel's words before the verb, from the beginning of the message: a path or a name further on may quote them. The
/// verb is followed by a pid.
fn announced<'a>(text: &'a [u8], verb: &str) -> Option<(Prefix, &'a [u8])> {
    let (prefix, rest) = oom_prefix(text);
    let rest = rest.strip_prefix(verb.as_bytes()).filter(|rest| rest.first().is_some_and(u8::is_ascii_digit))?;
    Some((prefix, rest))
}

/// `Memory cgroup out of memory: `, `Out of memory (oom_kill_allocating_task): `, `Out of memory in UB 317592: `, or nothing.
fn oom_prefix(text: &[u8]) -> (Prefix, &[u8]) {
    const WORDS: [(&[u8], Scope); 4] = [
        (b"Memory cgroup out of memory", Scope::Memcg),
        (b"Out of memory", Scope::Global),
        (b"Out of Memory", Scope::Global),
        (b"No available memory", Scope::Global),
    ];
    let nothing = (Prefix { scope: None, allocating_task: false }, text);
    let Some((words, scope)) = WORDS.into_iter().find(|(words, _)| text.starts_with(words)) else { return nothing };
    let rest = &text[words.len()..];
    // `(oom_kill_allocating_task)`, `(MPOL_BIND)`, `in cpuset`, `in UB 317592`
    let Some(colon) = rest.iter().take(40).position(|b| *b == b':') else { return nothing };
    let detail = &rest[..colon];
    let known = detail.is_empty() || detail.starts_with(b" (") && detail.ends_with(b")") || detail.starts_with(b" in ");
    if !known {
        return nothing;
    }
    let prefix = Prefix { scope: Some(scope), allocating_task: detail == b" (oom_kill_allocating_task)" };
    (prefix, rest[colon + 1..].trim_ascii_start())
}

/// Where in a line of text, behind something that nobody told us of, a kill line may begin: at the kernel's words, or at
/// the verb with sizes behind it.
pub(super) fn begins_within(text: &[u8]) -> Option<usize> {
    let words = ["emory cgroup out of memory", "Out of memory", "Out of Memory"].iter().filter_map(|words| {
        let at = text.find(words)?;
        // `Memory` may have lost its beginning; then so have we the certainty that it is the kernel's.
        Some(if words.starts_with('e') { at.checked_sub(1)? } else { at })
    });
    let verb = || {
        let at = text.find("Killed process ").or_else(|| text.find("Kill process "))?;
        [" total-vm:", " vsz:", " or sacrifice child"].iter().any(|sizes| text[at..].contains_str(sizes)).then_some(at)
    };
    words.min().or_else(verb).filter(|at| *at > 0)
}

/// `Tasks in /path are going to be killed due to memory.oom.group set`
pub(super) fn group_kill(text: &[u8]) -> Option<&[u8]> {
    let (path, _) = rsplit_at(text.strip_prefix(b"Tasks in ")?, " are going to be killed due to memory.oom.group set")?;
    Some(path)
}

/// A line of the reaper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reap {
    /// The victim.
    pub pid: u32,
    /// Its name, where the line gives one.
    pub comm: Option<crate::evidence::Comm>,
    /// It could not be reaped.
    pub failed: bool,
    /// Left after reaping.
    pub anon: Option<Bytes>,
    /// Left after reaping.
    pub file: Option<Bytes>,
    /// Left after reaping.
    pub shmem: Option<Bytes>,
}

pub(super) fn reap(text: &[u8]) -> Option<Reap> {
    let rest = text.strip_prefix(b"oom_reaper: ")?;
    let (failed, rest) = match rest.strip_prefix(b"reaped process ") {
        Some(rest) => (false, rest.strip_prefix(b":").unwrap_or(rest)),
        None => (true, rest.strip_prefix(b"unable to reap pid:")?),
    };
    let (pid, tail) = narrow(rest)?;
    let named = tail.strip_prefix(b" (").unwrap_or_default();
    let end = ["), now ", ") anon-rss:", ")"].iter().find_map(|mark| last_within(named, mark));
    Some(Reap {
        pid,
        comm: end.map(|end| named[..end].into()),
        failed,
        anon: kib_field(tail, "anon-rss:"),
        file: kib_field(tail, "file-rss:"),
        shmem: kib_field(tail, "shmem-rss:"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kill line of each era.
    #[test]
    fn kill_lines() {
        let new = killed(b"Memory cgroup out of memory: Killed process 181 (php-fpm) total-vm:4207572kB, anon-rss:32512kB, file-rss:712kB, shmem-rss:0kB, UID:33 pgtables:108kB oom_score_adj:-997").unwrap();
        assert_eq!((new.scope, new.pid, new.comm, new.uid), (Some(Scope::Memcg), 181, Some(&b"php-fpm"[..]), Some(33)));
        assert_eq!(
            (new.anon, new.shmem, new.pgtables, new.oom_score_adj),
            (Some(Bytes(32512 << 10)), Some(Bytes(0)), Some(Bytes(108 << 10)), Some(-997))
        );
        let el6 = killed(b"Killed process 8525, UID 48, (httpd) total-vm:1234kB, anon-rss:5kB, file-rss:6kB").unwrap();
        assert_eq!(
            (el6.pid, el6.uid, el6.comm, el6.total_vm),
            (8525, Some(48), Some(&b"httpd"[..]), Some(Bytes(1234 << 10)))
        );
        let el7 =
            killed(b"Killed process 16711 (stress), UID 0, total-vm:7kB, anon-rss:5kB, file-rss:6kB, shmem-rss:0kB")
                .unwrap();
        assert_eq!((el7.uid, el7.comm), (Some(0), Some(&b"stress"[..])));
        let old = killed(b"Out of Memory: Killed process 2592 (oracle).").unwrap();
        assert_eq!((old.scope, old.comm, old.anon), (Some(Scope::Global), Some(&b"oracle"[..]), None));
        let mid = killed(b"Killed process 2592 (x) vsz:1kB, anon-rss:2kB, file-rss:3kB").unwrap();
        assert_eq!((mid.total_vm, mid.anon), (Some(Bytes(1024)), Some(Bytes(2048))));
        let vz = killed(b"Out of memory in UB 317592: OOM killed process 2946 (npm) score 0 vm:1506164kB, rss:237752kB, swap:120052kB").unwrap();
        assert_eq!((vz.comm, vz.total_vm), (Some(&b"npm"[..]), Some(Bytes(1_506_164 << 10))));
    }

    /// Names that quote the kernel are only names; sentences that look alike are no kills.
    #[test]
    fn odd_names_in_kill_lines() {
        assert_eq!(
            killed(b"Memory cgroup out of memory: Killed process 212 (a) b, c=(d) total-vm:1kB, anon-rss:1kB")
                .unwrap()
                .comm,
            Some(&b"a) b, c=(d"[..])
        );
        assert_eq!(
            killed(b"Memory cgroup out of memory: Killed process 292 () total-vm:1kB").unwrap().comm,
            Some(&b""[..])
        );
        assert_eq!(
            killed(b"Memory cgroup out of memory: Killed process 282 ((sd-pam)) total-vm:1kB").unwrap().comm,
            Some(&b"(sd-pam)"[..])
        );
        assert_eq!(
            killed(b"[    122]     0   122      417      315    40960        0          1000 Killed process "),
            None
        );
        assert_eq!(killed(b"Would have killed process 12 (x). But continuing instead."), None);
        assert_eq!(killed(b"supervisor said: Killed process 12 (worker)"), None);
        assert_eq!(killed(b"OOM killed process npm (pid=12, ve=3) exited, free=1."), None);
        assert!(!killed(b"Memory cgroup out of memory: Killed process 232 (x").unwrap().complete());
    }

    /// The chosen one, in each wording.
    #[test]
    fn chosen_lines() {
        let c = chosen(b"Memory cgroup out of memory: Kill process 40780 (java) score 0 or sacrifice child").unwrap();
        assert_eq!((c.scope, c.pid, c.comm, c.score), (Some(Scope::Memcg), 40780, Some(&b"java"[..]), Some(0)));
        let c = chosen(b"Out of Memory: Kill process 2423 (a) score (x) score 123 and children.").unwrap();
        assert_eq!((c.comm, c.score), (Some(&b"a) score (x"[..]), Some(123)));
        assert_eq!(chosen(b"Out of memory: kill process 9 (x) or a child").unwrap().score, None);
        assert_eq!(shares_memory(b"Kill process 9 (x) sharing same memory").unwrap().comm, Some(&b"x"[..]));
    }

    /// The summary line, read from its end; and as much of it as is there.
    #[test]
    fn summary_lines() {
        let k = oom_kill(b"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=c,mems_allowed=0,oom_memcg=/a,task_memcg=/b,task=x,pid=1,uid=0,pid=286,uid=4294967294").unwrap();
        assert_eq!((k.task, k.pid, k.uid), (Some(&b"x,pid=1,uid=0"[..]), Some(286), Some(4_294_967_294)));
        assert_eq!((k.oom_memcg, k.task_memcg, k.mems_allowed), (Some(&b"/a"[..]), Some(&b"/b"[..]), Some(&b"0"[..])));
        let g = oom_kill(b"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/,task=s,pid=116,uid=0").unwrap();
        assert!(g.global_oom && g.oom_memcg.is_none() && g.complete());
        let cut = oom_kill(
            b"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/kubepods/bur",
        )
        .unwrap();
        assert_eq!((cut.oom_memcg, cut.mems_allowed, cut.complete()), (None, Some(&b"0"[..]), false));
    }

    /// The reaper of 4.6 and of today.
    #[test]
    fn reaper_lines() {
        let r =
            reap(b"oom_reaper: reaped process 7166 (python3), now anon-rss:0kB, file-rss:4kB, shmem-rss:0kB").unwrap();
        assert_eq!((r.pid, r.file, r.failed), (7166, Some(Bytes(4096)), false));
        assert!(reap(b"oom_reaper: unable to reap pid:12 (x)").unwrap().failed);
    }
}
