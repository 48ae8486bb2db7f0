//! A case against what a person read in an excerpt of a public thread.

use oomscope_core::case::Case;
use oomscope_core::evidence::{Constraint, Scope, Victim};
use oomscope_testkit::corpus::{PublicLog, PublicReport, PublicVictim};

use crate::kernel::{kib, text};
use crate::score::{Exception, Score};

/// Every field that is read otherwise than its truth says, because the text allows both readings.
pub(crate) const EXCEPTIONS: &[Exception] = &[
    both(
        "027-rpi-armv7-mem-info-continuation-fragment",
        &["events"],
        "a piece out of the middle, without any line that only an OOM report has",
    ),
    both(
        "062-sparc64-8k-pages-mem-info-fragment",
        &["events"],
        "a piece out of the middle, without any line that only an OOM report has",
    ),
    both("056-grep-H-mangled-rows-ssm", &["events"], "three rows of one or two tables, three minutes apart"),
    both("056-grep-H-mangled-rows-ssm", &["tasks"], "a row with a stray number in its middle"),
    both(
        "058-el9-podman-cpu-line-github-autolink",
        &["trigger.comm"],
        "the header is missing; the CPU line names the same thread",
    ),
    both(
        "058-el9-podman-cpu-line-github-autolink",
        &["scope"],
        "the header is missing; the call trace shows a charge to a cgroup",
    ),
    both(
        "066-openvz-ub-npm-four-kills",
        &["scope"],
        "OpenVZ: the limit of a container, counted by a beancounter, not by a memory cgroup",
    ),
    both(
        "067-openvz-ub-mysqld-egrep",
        &["scope"],
        "OpenVZ: the limit of a container, counted by a beancounter, not by a memory cgroup",
    ),
    both(
        "008-k0s-kill-line-before-oom-kill-elided",
        &["constraint"],
        "the summary, elided, stands behind the kill line and a word of its constraint may be of another kill",
    ),
    both(
        "010-developerworks-2618-sysrq-inline-code-one-line",
        &["trigger.comm", "gfp_mask", "order"],
        "the whole event on one line, so that nothing tells where the trigger's name begins",
    ),
    both(
        "011-comment-hash-prefix-54-sysrq-then-hog",
        &["victims.shmem"],
        "somebody's comment sign in the middle of the field",
    ),
    both(
        "025-vim-line-numbers-no-host-ubuntu1404-docker",
        &["limit_cgroup"],
        "blanks inside the id, as they stand in the text",
    ),
    both(
        "048-podman-pod-elided-wrapped-usage-after-kill",
        &["limit", "usage", "victims"],
        "elided and reflowed by hand, the usage behind the kill",
    ),
];

const fn both(file: &'static str, fields: &'static [&'static str], why: &'static str) -> Exception {
    Exception { file, fields, why }
}

/// Compares every event of one excerpt.
pub(crate) fn compare(score: &mut Score, log: &PublicLog, cases: &[Case]) {
    let truth = &log.truth;
    let (want, got) = (truth.reports.len(), cases.len());
    let allowed = want..=want + truth.extra_reports_ok as usize;
    score.same(&log.name, "events", want, if allowed.contains(&got) { want } else { got });
    for (at, (want, case)) in truth.reports.iter().zip(cases).enumerate() {
        report(score, &format!("{}#{at}", log.name), want, case, truth.extra_victims_ok);
    }
}

fn report(score: &mut Score, place: &str, want: &PublicReport, case: &Case, extra_victims_ok: bool) {
    let got = case.incident.report();
    let trigger = got.trigger.as_ref();
    let scope = got.scope.map(|s| if s == Scope::Memcg { "memcg" } else { "global" });
    score.compare(place, "scope", want.scope.as_deref(), scope);
    if let Some(constraint) = &want.constraint {
        let want = constraint.trim_start_matches("CONSTRAINT_").to_ascii_lowercase();
        let got = got.constraint.as_ref().map(Constraint::name);
        score.compare(place, "constraint", Some(want.as_str()), got);
    }
    let comm = trigger.and_then(|t| t.comm.as_ref()).map(|c| c.0.to_lossy().into_owned());
    score.compare(place, "trigger.comm", want.trigger_comm.clone(), comm);
    score.compare(place, "trigger.pid", want.trigger_pid, trigger.and_then(|t| t.pid).map(i64::from));
    score.compare(place, "trigger.oom_score_adj", want.oom_score_adj, trigger.and_then(|t| t.oom_score_adj));
    score.compare(place, "gfp_mask", want.gfp_mask.as_deref(), got.gfp_mask.as_deref());
    score.compare(place, "order", want.order, got.order);
    score.compare(place, "limit", want.limit_kb, kib(got.limit_bytes));
    score.compare(place, "usage", want.usage_kb, kib(got.usage_bytes));
    score.compare(place, "failcnt", want.failcnt, got.failcnt);
    score.compare(place, "limit_cgroup", want.oom_cgroup.clone(), text(got.limit_cgroup.as_ref()));
    score.compare(place, "victim_cgroup", want.task_cgroup.clone(), text(got.victim_cgroup.as_ref()));
    score.same(place, "tasks", want.task_rows, got.tasks.len() as u64);
    if !(extra_victims_ok && want.victims.is_empty()) {
        let mut pids: Vec<i64> = want.victims.iter().map(|v| v.pid).collect();
        let mut got_pids: Vec<i64> = got.victims.iter().map(|v| i64::from(v.pid)).collect();
        pids.sort_unstable();
        pids.dedup();
        got_pids.sort_unstable();
        score.same(place, "victims", pids, got_pids);
    }
    for want in &want.victims {
        if let Some(got) = got.victims.iter().find(|v| i64::from(v.pid) == want.pid) {
            victim(score, place, want, got);
        }
    }
}

fn victim(score: &mut Score, place: &str, want: &PublicVictim, got: &Victim) {
    let comm = got.comm.as_ref().map(|c| c.0.to_lossy().into_owned());
    score.compare(place, "victims.comm", Some(want.comm.clone()), comm);
    score.compare(place, "victims.uid", want.uid, got.uid);
    score.compare(place, "victims.oom_score_adj", want.oom_score_adj, got.oom_score_adj);
    score.compare(place, "victims.score", want.score, got.score.and_then(|s| u64::try_from(s).ok()));
    score.compare(place, "victims.total_vm", want.total_vm_kb, kib(got.total_vm_bytes));
    score.compare(place, "victims.anon", want.anon_rss_kb, kib(got.anon_bytes));
    score.compare(place, "victims.file", want.file_rss_kb, kib(got.file_bytes));
    score.compare(place, "victims.shmem", want.shmem_rss_kb, kib(got.shmem_bytes));
    score.compare(place, "victims.pgtables", want.pgtables_kb, kib(got.pgtables_bytes));
}
