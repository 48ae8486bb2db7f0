//! A case against the truth of a kernel scenario.

use oomscope_core::case::Case;
use oomscope_core::evidence::{Constraint, Counter, KernelReport, Victim};
use oomscope_core::text::Untrusted;
use oomscope_core::units::Bytes;
use oomscope_testkit::corpus::{KernelReport as Truth, KernelScenario, KernelVictim};

use crate::score::Score;

/// Compares every event of one log of a scenario.
pub(crate) fn compare(score: &mut Score, scenario: &KernelScenario, file: &str, cases: &[Case]) {
    let place = format!("{}/{file}", scenario.id());
    score.same(&place, "events", scenario.truth.reports.len(), cases.len());
    for (at, (truth, case)) in scenario.truth.reports.iter().zip(cases).enumerate() {
        let report = case.incident.report();
        let mut fields = Fields { score, place: format!("{place}#{at}"), panicked: scenario.truth.panic };
        fields.event(truth, report);
        if !is_bare(truth) {
            fields.cgroups(truth, report);
        }
        fields.charge(truth, report);
        fields.victims(truth, report);
    }
}

/// Rate-limited: only the kill line is there, which names no cgroup.
fn is_bare(truth: &Truth) -> bool {
    truth.constraint_line_present == Some(false) && !truth.no_killable
}

struct Fields<'a> {
    score: &'a mut Score,
    place: String,
    /// Such a machine has no memory left to tell of itself, so the truth holds less than the log.
    panicked: bool,
}

impl Fields<'_> {
    fn compare<T: PartialEq + std::fmt::Debug>(&mut self, field: &'static str, want: Option<T>, got: Option<T>) {
        if want.is_none() && self.panicked {
            return;
        }
        self.score.compare(&self.place, field, want, got);
    }

    fn event(&mut self, truth: &Truth, report: &KernelReport) {
        let constraint = if truth.constraint == "mempolicy" { "memory_policy" } else { &truth.constraint };
        self.compare("constraint", Some(constraint), report.constraint.as_ref().map(Constraint::name));
        let (want, got) = (truth.trigger.as_ref(), report.trigger.as_ref());
        self.compare("trigger.pid", want.map(|t| t.pid), got.and_then(|t| t.pid).map(i64::from));
        let want_comm = want.map(|t| t.comm_hex.clone().unwrap_or_else(|| hex(t.comm.as_bytes())));
        self.compare("trigger.comm", want_comm, got.and_then(|t| t.comm.as_ref()).map(|c| hex(c.as_bytes())));
        self.compare("trigger.oom_score_adj", truth.trigger_oom_score_adj, got.and_then(|t| t.oom_score_adj));
        let mask = truth.gfp.as_ref().and_then(|g| g.split('(').next());
        self.compare("gfp_mask", mask, report.gfp_mask.as_deref());
        self.compare("order", truth.order, report.order);
        // The machine that panics over it kills nobody, so no kill line tells whether a group would have been killed.
        if !report.victims.is_empty() {
            self.compare("group_kill", Some(truth.oom_group), report.group_kill);
        }
        self.compare("no_killable_process", Some(truth.no_killable), Some(report.no_killable_process));
        self.compare("tasks", Some(truth.task_dump_rows.unwrap_or(0)), Some(report.tasks.len() as u64));
    }

    fn cgroups(&mut self, truth: &Truth, report: &KernelReport) {
        self.compare("limit_cgroup", truth.oom_cgroup.clone(), text(report.limit_cgroup.as_ref()));
        self.cgroup("victim_cgroup", truth.task_cgroup.as_ref(), report.victim_cgroup.as_ref());
        let (want, got) = (truth.victims.first(), report.victims.first());
        self.cgroup("victims.cgroup", want.and_then(|v| v.cgroup.as_ref()), got.and_then(|v| v.cgroup.as_ref()));
    }

    /// A process of none of the scenario's cgroups (the machine's own) is in the root cgroup, which its truth leaves out.
    fn cgroup(&mut self, field: &'static str, want: Option<&String>, got: Option<&Untrusted>) {
        let got = text(got);
        let root = want.is_none() && got.as_deref() == Some("/");
        self.compare(field, want.cloned(), got.filter(|_| !root));
    }

    fn charge(&mut self, truth: &Truth, report: &KernelReport) {
        // What was written to the limit file is known also where the line that says it was rate-limited or overwritten.
        let limit_is_said = truth.header_present != Some(false) || report.limit_bytes.is_some();
        let limit = truth.limit_bytes.filter(|_| limit_is_said);
        self.compare("limit_bytes", limit, bytes(report.limit_bytes));
        self.compare("usage_bytes", truth.usage_bytes_at_kill, bytes(report.usage_bytes));
        self.compare("failcnt", truth.failcnt, report.failcnt);
        self.compare("swap", truth.swap_usage_limit_kb, counter(report.swap));
        self.compare("memory_swap", truth.memory_swap_usage_limit_kb, counter(report.memory_swap));
        self.compare("kmem", truth.kmem_usage_limit_kb, counter(report.kmem));
    }

    fn victims(&mut self, truth: &Truth, report: &KernelReport) {
        // With a group kill the first victim has two kill lines.
        let mut want: Vec<&KernelVictim> = Vec::new();
        for victim in &truth.victims {
            if !want.iter().any(|v| v.pid == victim.pid) {
                want.push(victim);
            }
        }
        let pids: Vec<i64> = want.iter().map(|v| v.pid).collect();
        let got_pids = report.victims.iter().map(|v| i64::from(v.pid)).collect();
        self.compare("victims", Some(pids), Some(got_pids));
        for (want, got) in want.into_iter().zip(&report.victims) {
            self.victim(want, got);
        }
    }

    fn victim(&mut self, want: &KernelVictim, got: &Victim) {
        let comm = want.comm_hex.clone().unwrap_or_else(|| hex(want.comm.as_bytes()));
        self.compare("victims.comm", Some(comm), got.comm.as_ref().map(|c| hex(c.as_bytes())));
        self.compare("victims.uid", want.uid, got.uid);
        self.compare("victims.oom_score_adj", want.oom_score_adj, got.oom_score_adj);
        self.compare("victims.total_vm", want.total_vm_kb, kib(got.total_vm_bytes));
        self.compare("victims.anon", want.anon_kb, kib(got.anon_bytes));
        self.compare("victims.file", want.file_kb, kib(got.file_bytes));
        self.compare("victims.shmem", want.shmem_kb, kib(got.shmem_bytes));
        self.compare("victims.pgtables", want.pgtables_kb, kib(got.pgtables_bytes));
    }
}

pub(crate) fn bytes(size: Option<Bytes>) -> Option<u64> {
    size.map(|b| b.0)
}

pub(crate) fn kib(size: Option<Bytes>) -> Option<u64> {
    size.map(|b| b.0 / 1024)
}

pub(crate) fn text(untrusted: Option<&Untrusted>) -> Option<String> {
    untrusted.map(|u| u.to_lossy().into_owned())
}

fn counter(counter: Option<Counter>) -> Option<[u64; 2]> {
    counter.map(|c| [c.usage_bytes.0 / 1024, c.limit_bytes.0 / 1024])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
