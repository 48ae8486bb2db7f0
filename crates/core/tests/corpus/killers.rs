//! Which killer, at which level: worked out from what each scenario did, never from what the program says.
//!
//! A limit was written to one cgroup, and its place decides: the container's own, the pod's, kubepods, or a cgroup that no
//! kubelet made. Where a scenario ran in another hierarchy (Docker, Podman) its level is `cgroup_limit`.

use oomscope_core::diagnosis::{Confidence, Killer};
use oomscope_testkit::corpus::KernelReport;
use oomscope_testkit::explain;

use super::{all_scenarios, logs_of};

/// What a scenario did, and so what killed.
fn expected(scenario: &str) -> Killer {
    match scenario {
        // A limit on `/kubepods/<qos>/pod<uid>/<id>` and its systemd forms; f, f2 fill a tmpfs, h pipe buffers, i and i2 have
        // nobody to kill, in j swap counts too, x panics over it.
        "a" | "b" | "d" | "f" | "f2" | "h" | "i" | "i2" | "j" | "o" | "p" | "p2" | "q" | "r" | "u" | "x" => {
            Killer::ContainerLimit
        }
        // A container of a pod of a kubelet that itself runs in a container of a pod: the limit is on the innermost.
        "z" => Killer::ContainerLimit,
        "c" => Killer::PodLimit,
        // The limit is that of `/kubepods`.
        "y" => Killer::AncestorLimit,
        // `/docker/<id>`, `/system.slice/docker-<id>.scope`, `/machine.slice/libpod-<id>.scope`: no Kubernetes.
        "g" | "h2" | "n" | "s" | "w" => Killer::CgroupLimit,
        // No limit anywhere: l kills whoever asks, m is sysrq-f, which looks at the whole machine.
        "e" | "l" | "m" => Killer::Node,
        "k1" => Killer::Cpuset,
        "k2" => Killer::MemoryPolicy,
        other => panic!("scenario {other} has no expected killer: work it out from what it does"),
    }
}

/// A rate-limited kill leaves one line, which says that a cgroup's limit was hit and not which.
fn is_told(report: &KernelReport) -> bool {
    report.header_present != Some(false) || report.constraint_line_present != Some(false)
}

/// The killer and its level are right, and certain where the log says them, on every kernel.
#[test]
fn killer_and_level_are_right() {
    let mut wrong = Vec::new();
    for scenario in all_scenarios("killer_and_level_are_right") {
        for (file, log) in logs_of(&scenario) {
            for (at, (case, report)) in explain(&log).iter().zip(&scenario.truth.reports).enumerate() {
                let want = if is_told(report) {
                    (expected(&scenario.name), Confidence::Certain)
                } else {
                    (Killer::Unknown, Confidence::Possible)
                };
                let got = (case.diagnosis.killer, case.diagnosis.confidence);
                if got != want {
                    wrong.push(format!("{}/{file}#{at}: expected {want:?}, got {got:?}", scenario.id()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
