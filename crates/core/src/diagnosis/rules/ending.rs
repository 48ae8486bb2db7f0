//! How a container ended that the kernel did not kill.
//!
//! Only for ends that Kubernetes tells and no report of the kernel explains; see [`super::super::kubernetes`], which judges.

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::facts::Facts;
use crate::diagnosis::kubernetes::{Cause, Judged};
use crate::evidence::Part;
use crate::kubernetes::Eviction;
use crate::kubernetes::eviction::EvictionCause;
use crate::text::name_in_text;

pub(super) const RULE: Rule = Rule {
    name: "ending",
    about: "What ended a container that the kernel did not kill: a probe, a deletion, an eviction, a shutdown, somebody's SIGKILL, or itself.",
    check,
};

const PARTS: &[Part] = &[Part::PodStatus, Part::PodEvents];

fn check(facts: &Facts<'_>) -> Answer {
    let Some(judged) = &facts.ending else { return Answer::Absent };
    let found = observation(judged);
    match &judged.gap {
        Some(gap) => found.lacking(gap.clone()).into(),
        None => found.into(),
    }
}

fn observation(judged: &Judged<'_>) -> Found {
    match judged.cause {
        Cause::Evicted(eviction) => evicted(eviction),
        Cause::Probe { event, .. } => Found::that(
            "A probe failed",
            format!(
                "The event says {}: the kubelet sends SIGTERM and, when the grace period is over, SIGKILL.",
                name_in_text(event.message.trim().as_bytes())
            ),
            PARTS,
        )
        .advise(
            Rank::Cause,
            "Find out why the probe failed, and give it more time where the answer is slowness",
            "A process that waits for memory (memory.high, reclaim, swap) answers late: look at its memory.pressure before you look at its code.",
            Some("livenessProbe:\n  timeoutSeconds: 5\n  failureThreshold: 6".to_owned()),
        ),
        Cause::GraceOver { .. } => Found::that(
            "The grace period was over",
            "The pod was told to stop (SIGTERM) and was still running when its grace period ended; the kubelet then sends SIGKILL.".to_owned(),
            PARTS,
        )
        .advise(
            Rank::Fit,
            "Handle SIGTERM, or give the pod more time to stop",
            "A first process without a handler ignores SIGTERM: a shell as the first process does not pass it on.",
            Some("terminationGracePeriodSeconds: 60".to_owned()),
        ),
        Cause::Pod { reason } => Found::that(
            "The whole pod was ended",
            format!("The status of the pod gives the reason {}.", name_in_text(reason.as_bytes())),
            PARTS,
        ),
        Cause::StatusLost => Found::that(
            "The kubelet had lost the container",
            "ContainerStatusUnknown means that the runtime no longer knew the container when the kubelet asked; the exit code 137 beside it \
             is the kubelet's own."
                .to_owned(),
            PARTS,
        ),
        Cause::AfterChild { kill, .. } | Cause::AfterSibling { kill, .. } => Found::that(
            "The kill that OOMKilled stands for is another case",
            format!("See case {}.", kill.case),
            PARTS,
        ),
        Cause::FalseOom => Found::that(
            "No SIGKILL ended the first process",
            "Its exit code says so. Look in the container's log for what it said at its end, and for a worker that died before.".to_owned(),
            PARTS,
        ),
        Cause::OomUnseen => Found::that(
            "Only Kubernetes tells of this kill",
            "OOMKilled with 137 is most often what it says; the kernel's log of the node would tell the limit, the victim and where the \
             memory went."
                .to_owned(),
            PARTS,
        )
        .advise(
            Rank::Learn,
            "Read the kernel's log of the node",
            "It may hold only seconds on a node that kills often: `oomscope watch` keeps the evidence.",
            Some("kubectl debug node/<node> -it --image=busybox -- dmesg | oomscope explain".to_owned()),
        ),
        Cause::Stranger => Found::that(
            "Nobody says who sent it",
            "There is neither a kill of the kernel, nor a failed probe, nor a deletion: a person, a program on the node (an agent, a \
             userspace OOM daemon), or a process of the container itself sent it."
                .to_owned(),
            PARTS,
        )
        .advise(
            Rank::Learn,
            "Record who sends signals",
            "The audit system names the sender of a kill.",
            Some("auditctl -a always,exit -F arch=b64 -S kill -F a1=9 -k sigkill    # then: ausearch -k sigkill -i".to_owned()),
        ),
    }
}

fn evicted(eviction: &Eviction) -> Found {
    let message = eviction.message.trim();
    match eviction.cause {
        Some(EvictionCause::LowOnResource(_)) | None => ranked(message),
        // Nobody ranks: the pod broke a rule of its own.
        _ => Found::that(
            "The kubelet's reason",
            format!("It says {}. No other pod was weighed against it.", name_in_text(message.as_bytes())),
            PARTS,
        ),
    }
}

fn ranked(message: &str) -> Found {
    Found::that(
        "The kubelet made room",
        format!(
            "It says {}. It ranks pods by whether they use more than they request, then by priority, then by how much more: the pod that \
             uses most above its request goes first, whatever its QoS class is called.",
            name_in_text(message.as_bytes())
        ),
        PARTS,
    )
    .advise(
        Rank::Cause,
        "Request what the pod needs",
        "A pod that stays within its request is evicted after all that do not. `oomscope node` shows the order for the present moment.",
        None,
    )
}
