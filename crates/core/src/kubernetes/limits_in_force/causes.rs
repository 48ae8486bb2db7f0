//! Why a cgroup's file says something else than the spec: what is known to do that, the likeliest first.

use super::compare::Context;
use super::{FoundLevel, Setting, Step, Value};
use crate::kubernetes::Pod;
use crate::units::Limit;

const BY_HAND: &str =
    "somebody or an agent wrote to the file; the kubelet does not write a container's limit again until it restarts";
const NRI: &str = "an NRI plugin or the runtime's own configuration changed it when the container was made";
const OTHER_TIME: &str =
    "the object is of another moment than the container: compare the resourceVersion, or ask the API again";
const RELOAD: &str =
    "systemd set it anew from its own unit (daemon-reload, set-property), where the cgroup was changed behind its back";

/// Of a setting that differs.
pub(super) fn causes(context: &Context<'_>, found: &FoundLevel, setting: &Setting) -> Vec<String> {
    let told = |causes: &[&str]| causes.iter().map(|cause| (*cause).to_owned()).collect::<Vec<_>>();
    let is_of_systemd = found.cgroup.to_lossy().contains(".slice");
    let mut causes = match (setting.file.as_str(), &found.step) {
        ("memory.max" | "memory.limit_in_bytes", step) => limit_causes(context, step, setting),
        ("memory.high" | "memory.min" | "memory.low", _) => told(&[
            "MemoryQoS was switched on or off after the container was started: it is applied when a container is made",
            NRI,
            BY_HAND,
        ]),
        ("memory.swap.max", _) => {
            told(&["memorySwap of the kubelet was changed after the container was started", NRI, BY_HAND])
        }
        ("memory.oom.group", _) => told(&[
            "the kubelet is older than 1.28, or the container was made by one",
            "singleProcessOOMKill was changed after the container was started",
            "the runtime does not pass on what it does not know (runc before 1.1, Kata)",
            BY_HAND,
        ]),
        ("oom_score_adj", _) => adj_causes(setting),
        _ => told(&[BY_HAND]),
    };
    if is_of_systemd && setting.file.starts_with("memory.") {
        causes.push(RELOAD.to_owned());
    }
    causes
}

fn limit_causes(context: &Context<'_>, step: &Step, setting: &Setting) -> Vec<String> {
    let mut causes = Vec::new();
    let actual = match setting.actual {
        Some(Value::Amount(limit)) => Some(limit),
        _ => None,
    };
    match step {
        Step::Container(Some(name)) => {
            let pod = context.pod;
            causes.extend(pod.and_then(|pod| of_status(pod, name, actual)));
            causes.extend(resize_cause(context));
            if setting.expected == Some(Value::Amount(Limit::Unlimited)) {
                let admission = "a LimitRange or a webhook put the limit in when the pod was made, and the object here is its manifest";
                causes.push(admission.to_owned());
            }
            causes.extend([BY_HAND, NRI, OTHER_TIME].map(str::to_owned));
        }
        Step::Pod => {
            causes.extend(resize_cause(context));
            let init = "kubelets before 1.29 do not ask init containers whether each has a limit";
            causes.extend([init, BY_HAND, OTHER_TIME].map(str::to_owned));
        }
        Step::Kubepods => causes.extend(
            [
                "kubeReserved or systemReserved were changed, and the kubelet has not been restarted since",
                "the node's memory was changed while it ran (hotplug, balloon)",
                "two kubelets, or the kubelet of another cgroup root, share the machine",
                BY_HAND,
            ]
            .map(str::to_owned),
        ),
        _ => causes.extend(["the feature gate QOSReserved limits classes", BY_HAND].map(str::to_owned)),
    }
    causes
}

/// The kubelet's own word for what the container runs with.
fn of_status(pod: &Pod, name: &str, actual: Option<Limit>) -> Option<String> {
    let running_with = pod.status_of(name)?.resources.as_ref()?.memory_limit()?;
    let is_it = actual == Some(Limit::At(running_with.bytes()));
    is_it.then(|| {
        format!("the kubelet knows it (status.resources: {running_with}): the spec was changed later, by a resize or an autoscaler (VPA)")
    })
}

fn resize_cause(context: &Context<'_>) -> Option<String> {
    let resize = context.resize?;
    let why = resize.message.as_ref().or(resize.reason.as_ref());
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    Some(format!("a resize is {}{why}", resize.state))
}

fn adj_causes(setting: &Setting) -> Vec<String> {
    let mut causes = Vec::new();
    let number = |value: Option<Value>| match value {
        Some(Value::Number(number)) => Some(number.number),
        _ => None,
    };
    if let Some((wanted, actual)) = number(setting.expected).zip(number(setting.actual)) {
        if wanted < 0 && actual >= 0 {
            let restricted = "the runtime may not go below its own oom_score_adj (containerd's restrict_oom_score_adj, rootless, or without CAP_SYS_RESOURCE)";
            causes.push(restricted.to_owned());
        } else if actual > wanted {
            causes.push("the process raised it itself, or was started by one that did: any process may".to_owned());
        }
    }
    let others = [
        "the request was changed in place: oom_score_adj stays as it was when the container was made",
        "the kubelet computed it with another capacity of the node, or by the rules of another version",
        NRI,
    ];
    causes.extend(others.map(str::to_owned));
    causes
}
