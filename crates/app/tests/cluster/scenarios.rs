//! Pods that die, each in one way.

/// A pod and what is to be told of it.
pub(crate) struct Scenario {
    /// Of the pod.
    pub(crate) name: &'static str,
    /// Below `spec`, four columns in; `IMAGE` stands for the image.
    spec: &'static str,
    /// One of these, by the API alone.
    pub(crate) killers: &'static [&'static str],
    /// One of these, where oomscope runs on the node.
    pub(crate) killers_with_node: &'static [&'static str],
}

impl Scenario {
    pub(crate) fn manifest(&self, image: &str) -> String {
        let spec = self.spec.replace("IMAGE", image);
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {}}}\nspec:\n{spec}\n", self.name)
    }
}

const OF_A_LIMIT: &[&str] = &["container_limit", "pod_limit"];

/// `dd` with a block larger than the limit is one process that asks for it at once. With `memory.oom.group` (cgroup v2, the default since 1.28)
/// a child takes the whole container with it, so that the first process's own end is not seen.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "crashloop",
        spec: "  containers:
  - {name: api, image: IMAGE, resources: {limits: {memory: 50Mi}}, command: [sh, -c, 'sleep 5; exec dd if=/dev/zero of=/dev/null bs=200M count=1']}",
        killers: &["unknown", "container_limit", "pod_limit"],
        killers_with_node: OF_A_LIMIT,
    },
    Scenario {
        name: "child-then-exit-0",
        spec: "  restartPolicy: Never
  containers:
  - {name: worker, image: IMAGE, resources: {limits: {memory: 64Mi}}, command: [sh, -c, 'dd if=/dev/zero of=/dev/null bs=200M count=1; sleep 5; exit 0']}",
        killers: &["not_oom", "unknown", "container_limit", "pod_limit"],
        killers_with_node: OF_A_LIMIT,
    },
    Scenario {
        name: "init-container",
        spec: "  restartPolicy: Never
  initContainers:
  - {name: migrate, image: IMAGE, resources: {limits: {memory: 32Mi}}, command: [sh, -c, 'exec dd if=/dev/zero of=/dev/null bs=200M count=1']}
  containers:
  - {name: app, image: IMAGE, command: [sleep, '600']}",
        killers: &["unknown", "container_limit", "pod_limit"],
        killers_with_node: OF_A_LIMIT,
    },
    Scenario {
        name: "failed-probe",
        spec: "  terminationGracePeriodSeconds: 2
  containers:
  - name: gateway
    image: IMAGE
    resources: {limits: {memory: 64Mi}}
    command: [sh, -c, \"trap '' TERM; while true; do sleep 1; done\"]
    livenessProbe: {exec: {command: ['false']}, periodSeconds: 2, failureThreshold: 1}",
        killers: &["other_sigkill"],
        killers_with_node: &["other_sigkill"],
    },
    Scenario {
        name: "volume-limit",
        spec: "  containers:
  - name: writer
    image: IMAGE
    resources: {limits: {memory: 128Mi}}
    command: [sh, -c, 'dd if=/dev/zero of=/scratch/file bs=1M count=40; sleep 600']
    volumeMounts: [{name: scratch, mountPath: /scratch}]
  volumes: [{name: scratch, emptyDir: {sizeLimit: 16Mi}}]",
        killers: &["kubelet_eviction"],
        killers_with_node: &["kubelet_eviction"],
    },
];
