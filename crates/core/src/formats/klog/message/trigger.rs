//! Who asked for the page: the header, the cpuset line, the `CPU:` line and the call trace.
//!
//! Source: `dump_header()` in mm/oom_kill.c, `cpuset_print_current_mems_allowed()` in kernel/cgroup/cpuset.c,
//! `dump_stack_print_info()` in lib/dump_stack.c (kernel/printk before 4.20, arch code before 3.9).

use bstr::ByteSlice;

use super::scan::{after, fields, kernel_text, narrow, rsplit_at, signed, split_at, word};
use super::{COMM_MAX, COMM_WRITTEN_MAX};

/// `java invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), nodemask=(null), order=0, oom_score_adj=996`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoked<'a> {
    /// The thread's name. `None` for kernels before 2.6.19, which printed none.
    pub comm: Option<&'a [u8]>,
    /// `0xcc0`
    pub gfp_mask: Option<&'a [u8]>,
    /// `GFP_KERNEL|__GFP_ZERO` (kernel ≥ 4.6).
    pub gfp_flags: Option<&'a [u8]>,
    /// Memory nodes asked for.
    pub nodemask: Option<&'a [u8]>,
    /// −1 is sysrq-f.
    pub order: Option<i32>,
    /// Kernel ≥ 2.6.36.
    pub oom_score_adj: Option<i32>,
    /// Kernels before that: `oom_adj=`, `oomkilladj=` (−17…15).
    pub oom_adj: Option<i32>,
    /// The last field was read, so the message is whole.
    pub complete: bool,
}

pub(super) fn invoked(text: &[u8]) -> Option<Invoked<'_>> {
    let (before, fields) = rsplit_at(text, "oom-killer:")
        // Huawei Cloud EulerOS; and a header that somebody cut behind its verb.
        .or_else(|| rsplit_at(text, "oom: ").filter(|(_, fields)| fields.starts_with(b"gfp_mask=")))
        .or_else(|| {
            text.trim_ascii_end()
                .strip_suffix(b"oom-killer")
                .filter(|before| before.len() <= COMM_MAX + 9)
                .map(|b| (b, &b""[..]))
        })?;
    let comm = if !before.ends_with(b" ") {
        // 2.6.10 … 2.6.18 print no name. No name can be as long as what must follow here.
        fields.trim_ascii_start().starts_with(b"gfp_mask=").then_some(None)?
    } else {
        // OpenVZ 6: `2946 (npm) invoked loc oom-killer: gfp 0x200d2 order 0 oomkilladj=0`
        let before = [" invoked ", " invoked loc ", " invoked glob ", " invoked PF "]
            .iter()
            .find_map(|verb| before.strip_suffix(verb.as_bytes()))?;
        Some(whole_name(before)?)
    };
    let gfp = after(fields, "gfp_mask=").or_else(|| after(fields, "gfp "));
    let gfp_mask = gfp.and_then(|g| {
        let digits = g.strip_prefix(b"0x")?.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        (digits > 0).then(|| &g[..2 + digits])
    });
    let gfp_flags = gfp_mask.zip(gfp).and_then(|(mask, g)| {
        let inside = g[mask.len()..].strip_prefix(b"(")?;
        inside.find_byte(b')').map(|end| &inside[..end])
    });
    let field = |key: &str| after(fields, key).and_then(signed).and_then(|(n, _)| i32::try_from(n).ok());
    let oom_score_adj = field("oom_score_adj=");
    let oom_adj = if oom_score_adj.is_some() { None } else { field("oom_adj=").or_else(|| field("oomkilladj=")) };
    Some(Invoked {
        comm,
        gfp_mask,
        gfp_flags,
        nodemask: after(fields, "nodemask=")
            .and_then(|n| n.find_byte(b',').map(|end| n[..end].trim_ascii()))
            .filter(|n| *n != b"(null)"),
        order: field("order=").or_else(|| field("order ")),
        oom_score_adj,
        oom_adj,
        complete: oom_score_adj.is_some() || oom_adj.is_some(),
    })
}

/// What stands before the verb, if it can be a name: 15 bytes, or more where a transport wrote them as `\xNN`; OpenVZ puts
/// it behind the pid.
fn whole_name(text: &[u8]) -> Option<&[u8]> {
    let behind_pid = text.strip_suffix(b")").and_then(|text| split_at(text, " ("));
    if let Some((_, name)) = behind_pid.filter(|(pid, _)| !pid.is_empty() && pid.iter().all(u8::is_ascii_digit)) {
        return Some(name);
    }
    let escaped = text.contains_str("\\x") && text.len() <= COMM_WRITTEN_MAX;
    (text.len() <= COMM_MAX || escaped).then_some(text)
}

/// Where in a line of text, behind something that nobody told us of, a header may begin.
pub(super) fn header_begins_within(text: &[u8]) -> Option<usize> {
    let end = text.rfind(" invoked oom-killer:")?;
    let name = name_at_end(&text[..end]);
    Some(end - name.len()).filter(|at| *at > 0)
}

/// The process name that a text ends with. Behind an unknown prefix the name has no left edge; then it is at most what a
/// name can hold, from the last place where a prefix could have ended.
fn name_at_end(text: &[u8]) -> &[u8] {
    if text.len() <= COMM_MAX {
        return text;
    }
    let longest = &text[text.len() - COMM_MAX..];
    // An unknown prefix: it ends in ": ", "] " or "> ", or the name is the last word.
    for edge in [": ", "] ", "> ", "| "] {
        if let Some(at) = longest.rfind(edge) {
            return &longest[at + edge.len()..];
        }
    }
    longest.rfind_byte(b' ').map_or(longest, |at| &longest[at + 1..])
}

/// `java cpuset=3d4c… mems_allowed=0-1`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpuset<'a> {
    /// The thread's name.
    pub comm: &'a [u8],
    /// Last component of its cpuset.
    pub cpuset: &'a [u8],
    /// Memory nodes it may use.
    pub mems_allowed: &'a [u8],
}

pub(super) fn cpuset(text: &[u8]) -> Option<Cpuset<'_>> {
    let (comm, rest) = split_at(text, " cpuset=")?;
    let (cpuset, mems) = rsplit_at(rest, " mems_allowed=")?;
    (comm.len() <= COMM_MAX).then(|| Cpuset { comm, cpuset, mems_allowed: word(mems) })
}

/// `CPU: 0 UID: 33 PID: 181 Comm: php-fpm Not tainted 6.12.107+deb13-cloud-amd64 #1  Debian 6.12.107-1`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu<'a> {
    /// Absent in `Pid: 2345, comm: httpd …` (before 3.9).
    pub cpu: Option<u32>,
    /// Kernel ≥ 6.11.
    pub uid: Option<u32>,
    /// Thread id.
    pub pid: u32,
    /// The thread's name; `None` where the line broke off before its end could be told.
    pub comm: Option<&'a [u8]>,
    /// `6.12.107+deb13-cloud-amd64`
    pub release: Option<String>,
}

impl Cpu<'_> {
    /// The words behind the name were read, so the name is whole.
    #[must_use]
    pub const fn complete(&self) -> bool {
        self.comm.is_some()
    }
}

pub(super) fn cpu(text: &[u8]) -> Option<Cpu<'_>> {
    let trimmed = text.trim_ascii_start();
    let (cpu, uid, pid, rest) = if let Some(rest) = trimmed.strip_prefix(b"CPU: ") {
        let (cpu, rest) = narrow(rest.trim_ascii_start())?;
        let rest = rest.trim_ascii_start();
        let (uid, rest) = match rest.strip_prefix(b"UID: ") {
            Some(rest) => {
                narrow::<u32>(rest.trim_ascii_start()).map(|(uid, rest)| (Some(uid), rest.trim_ascii_start()))?
            }
            None => (None, rest),
        };
        let (pid, rest) = narrow(rest.strip_prefix(b"PID: ")?.trim_ascii_start())?;
        (Some(cpu), uid, pid, rest.strip_prefix(b" Comm: ")?)
    } else {
        let (pid, rest) = narrow(trimmed.strip_prefix(b"Pid: ")?.trim_ascii_start())?;
        (None, None, pid, rest.strip_prefix(b", comm: ")?)
    };
    let end = [" Not tainted", " Tainted: ", " Kdump: "].iter().filter_map(|mark| rest.rfind(mark)).min();
    let comm = end.map(|end| {
        // Before 3.9 the name was padded to 20 columns.
        if cpu.is_none() { rest[..end].trim_ascii_end() } else { &rest[..end] }
    });
    let release = end.and_then(|end| release(&rest[end..]));
    Some(Cpu { cpu, uid, pid, comm, release })
}

/// The first word that looks like a version, behind taint flags of any layout.
fn release(text: &[u8]) -> Option<String> {
    fields(text)
        .find(|w| w.first().is_some_and(u8::is_ascii_digit) && w.find_byte(b'.').is_some())
        .map(|w| kernel_text(w.trim_with(|c| c == '(' || c == ')')))
}

/// A line of the call trace; `Some(None)` for the lines around the frames and for guessed (`?`) frames.
pub(super) fn stack(text: &[u8]) -> Option<Option<&[u8]>> {
    let line = text.trim_ascii();
    if matches!(
        line,
        b"Call Trace:"
            | b"Call trace:"
            | b"<TASK>"
            | b"</TASK>"
            | b"<IRQ>"
            | b"</IRQ>"
            | b"Backtrace:"
            | b"Call Trace: "
    ) {
        return Some(None);
    }
    // `[<ffffffff81130ac0>] ? oom_kill_process+0x90/0x2a0`, `[c000…] [c00…] dump_stack+0xb0/0xf0 (unreliable)`
    let mut frame = line;
    while let Some((address, rest)) = frame.strip_prefix(b"[").and_then(|f| split_at(f, "]")) {
        let hex = address.trim_with(|c| c == '<' || c == '>');
        if hex.is_empty() || !hex.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        frame = rest.trim_ascii_start();
    }
    let guessed = frame.starts_with(b"? ");
    let symbol = word(frame.strip_prefix(b"? ").unwrap_or(frame)).trim_with(|c| c == '(' || c == ')');
    let plus = symbol.find_byte(b'+')?;
    let (name, offset) = (&symbol[..plus], symbol[plus..].strip_prefix(b"+0x")?);
    let well_formed = !name.is_empty()
        && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'$'))
        && offset.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b'/' | b'x'));
    well_formed.then_some(if guessed { None } else { Some(symbol) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers of three decades.
    #[test]
    fn headers() {
        let new = invoked(b"CPU 0/KVM invoked oom-killer: gfp_mask=0x15000c0(GFP_KERNEL_ACCOUNT), nodemask=(null), order=-1, oom_score_adj=-998").unwrap();
        assert_eq!(
            (new.comm, new.gfp_mask, new.gfp_flags),
            (Some(&b"CPU 0/KVM"[..]), Some(&b"0x15000c0"[..]), Some(&b"GFP_KERNEL_ACCOUNT"[..]))
        );
        assert_eq!((new.nodemask, new.order, new.oom_score_adj, new.complete), (None, Some(-1), Some(-998), true));
        let el5 = invoked(b"httpd invoked oom-killer: gfp_mask=0x201d2, order=0, oomkilladj=-17").unwrap();
        assert_eq!((el5.oom_score_adj, el5.oom_adj), (None, Some(-17)));
        let old = invoked(b"oom-killer: gfp_mask=0x1d2, order=0").unwrap();
        assert_eq!((old.comm, old.order, old.complete), (None, Some(0), false));
    }

    /// A name may quote the header; behind an unknown prefix the name is what can be told.
    #[test]
    fn odd_header_names() {
        assert_eq!(invoked(b" invoked oom-killer: order=0").unwrap().comm, Some(&b""[..]));
        let behind_something = b"some-node-7 kern.warn: java invoked oom-killer: order=0";
        assert_eq!(invoked(behind_something), None, "no name is that long");
        assert_eq!(header_begins_within(behind_something), Some(23));
    }

    /// The `CPU:` line of old and new kernels; names that contain the words behind the name.
    #[test]
    fn cpu_lines() {
        let new =
            cpu(b"CPU: 0 UID: 33 PID: 181 Comm: php-fpm Not tainted 6.12.107+deb13-cloud-amd64 #1  Debian 6.12.107-1")
                .unwrap();
        assert_eq!((new.cpu, new.uid, new.pid, new.comm), (Some(0), Some(33), 181, Some(&b"php-fpm"[..])));
        assert_eq!(new.release.as_deref(), Some("6.12.107+deb13-cloud-amd64"));
        let tainted =
            cpu(b"CPU: 9 PID: 40135 Comm: java Tainted: G    B          ------------ T 3.10.0-327.4.5.el7.x86_64 #1")
                .unwrap();
        assert_eq!((tainted.comm, tainted.release.as_deref()), (Some(&b"java"[..]), Some("3.10.0-327.4.5.el7.x86_64")));
        let old = cpu(b"Pid: 2345, comm: httpd            Not tainted 2.6.32-431.el6.x86_64 #1").unwrap();
        assert_eq!((old.cpu, old.pid, old.comm), (None, 2345, Some(&b"httpd"[..])));
        assert!(!cpu(b"CPU: 0 PID: 232 Comm: x").unwrap().complete());
    }

    /// Frames of every layout; guesses are known for what they are; a table row is no frame.
    #[test]
    fn frames() {
        assert_eq!(stack(b" try_charge_memcg+0x488/0x630"), Some(Some(&b"try_charge_memcg+0x488/0x630"[..])));
        assert_eq!(stack(b" ? __pte_offset_map+0x1b/0x180"), Some(None));
        assert_eq!(
            stack(b" [<ffffffff81130ac0>] oom_kill_process+0x90/0x2a0"),
            Some(Some(&b"oom_kill_process+0x90/0x2a0"[..]))
        );
        assert_eq!(stack(b"[   12]     0    12 1 1 x+0x1"), None);
    }
}
