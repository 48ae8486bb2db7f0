//! The OCI runtime spec of a container (`config.json` of its bundle; `runtimeSpec` in the verbose answers of CRI), and what the
//! runtimes have written into its annotations.
//!
//! Annotations are where containerd and CRI-O put the names that the kubelet gave them, so that a spec alone names its pod:
//! containerd's `pkg/cri/annotations/annotations.go`, CRI-O's `pkg/annotations/internal.go`.

use std::collections::BTreeMap;

use oomscope_core::incident::identity::identify;
use oomscope_core::kubernetes::{ContainerKind, RuntimeContainer};
use oomscope_core::units::Bytes;
use serde::{Deserialize, Deserializer};

/// Labels that the kubelet gives every sandbox and container (`pkg/kubelet/types/labels.go`).
pub(super) const POD_NAME: &str = "io.kubernetes.pod.name";
pub(super) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub(super) const POD_UID: &str = "io.kubernetes.pod.uid";
pub(super) const CONTAINER_NAME: &str = "io.kubernetes.container.name";
/// An annotation of the kubelet's (`pkg/kubelet/kuberuntime/labels.go`).
pub(super) const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";

/// What the kubelet added to a pod's own labels.
pub(super) fn is_kubelets(label: &str) -> bool {
    label.starts_with("io.kubernetes.") || label.starts_with("annotation.io.kubernetes.")
}

/// As much of a spec as is about who it is and what memory it may have.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Spec {
    #[serde(deserialize_with = "null_is_default")]
    annotations: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_is_default")]
    linux: Linux,
    #[serde(deserialize_with = "null_is_default")]
    process: Process,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Linux {
    #[serde(rename = "cgroupsPath")]
    cgroups_path: Option<String>,
    #[serde(deserialize_with = "null_is_default")]
    resources: Resources,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Resources {
    #[serde(deserialize_with = "null_is_default")]
    memory: Memory,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Memory {
    limit: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Process {
    #[serde(rename = "oomScoreAdj")]
    oom_score_adj: Option<i32>,
}

/// Go writes an empty struct or map as `null` as often as not.
pub(super) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

impl Spec {
    /// What it tells of the container with this id.
    pub(super) fn container(&self, id: &str) -> RuntimeContainer {
        let annotation = |names: &[&str]| names.iter().find_map(|name| self.annotations.get(*name)).cloned();
        let kind = annotation(&["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"]);
        let is_sandbox = kind.as_deref() == Some("sandbox");
        let cgroup = self.linux.cgroups_path.clone().filter(|path| !path.is_empty());
        let by_path = cgroup.as_deref().and_then(|path| identify(plain_path(path).as_bytes())).unwrap_or_default();
        let pod = annotation(&["io.kubernetes.cri.sandbox-name", POD_NAME]).or_else(|| {
            // CRI-O's own name for the sandbox's pod.
            annotation(&["io.kubernetes.cri-o.KubeName"]).filter(|_| is_sandbox)
        });
        RuntimeContainer {
            id: id.to_owned(),
            runtime: self.runtime().map(str::to_owned).or(by_path.runtime),
            pod_uid: annotation(&["io.kubernetes.cri.sandbox-uid", POD_UID]).or(by_path.pod_uid),
            namespace: annotation(&[
                "io.kubernetes.cri.sandbox-namespace",
                POD_NAMESPACE,
                "io.kubernetes.cri-o.Namespace",
            ]),
            pod,
            container: annotation(&["io.kubernetes.cri.container-name", CONTAINER_NAME, "nerdctl/name"])
                .filter(|name| !is_sandbox && name != "POD"),
            kind: is_sandbox.then_some(ContainerKind::Pause),
            sandbox_id: annotation(&["io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID"]),
            restart_count: annotation(&[RESTART_COUNT]).and_then(|count| count.parse().ok()),
            image: annotation(&[
                "io.kubernetes.cri.image-name",
                "io.kubernetes.cri-o.UserRequestedImage",
                "io.kubernetes.cri-o.ImageName",
            ]),
            cgroup,
            memory_limit: self.memory_limit(),
            oom_score_adj: self.process.oom_score_adj,
            labels: self.labels(is_sandbox),
            ..RuntimeContainer::default()
        }
    }

    /// Runtimes put -1 or 0 for none.
    fn memory_limit(&self) -> Option<Bytes> {
        let limit = self.linux.resources.memory.limit?;
        u64::try_from(limit).ok().filter(|limit| *limit > 0).map(Bytes)
    }

    fn runtime(&self) -> Option<&'static str> {
        let has = |prefix: &str| {
            let next = self.annotations.range(prefix.to_owned()..).next();
            next.is_some_and(|(name, _)| name.starts_with(prefix))
        };
        let manager = self.annotations.get("io.container.manager").map(String::as_str);
        match manager {
            Some("cri-o") => Some("cri-o"),
            Some("libpod") => Some("podman"),
            _ if has("io.kubernetes.cri-o.") => Some("cri-o"),
            _ if has("io.kubernetes.cri.") || has("nerdctl/") => Some("containerd"),
            _ => None,
        }
    }

    /// CRI-O keeps a sandbox's labels, which are the pod's, as JSON in one annotation.
    fn labels(&self, is_sandbox: bool) -> BTreeMap<String, String> {
        let json = self.annotations.get("io.kubernetes.cri-o.Labels").filter(|_| is_sandbox);
        let labels = json.and_then(|json| serde_json::from_str::<BTreeMap<String, String>>(json).ok());
        labels.unwrap_or_default().into_iter().filter(|(name, _)| !is_kubelets(name)).collect()
    }
}

/// The systemd driver's `slice:prefix:name` as the path that it becomes, as far as names go: systemd nests the slices.
pub(super) fn plain_path(cgroups_path: &str) -> String {
    let mut parts = cgroups_path.split(':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(slice), Some(prefix), Some(name), None) => format!("/{slice}/{prefix}-{name}.scope"),
        _ => cgroups_path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn container(spec: serde_json::Value) -> RuntimeContainer {
        serde_json::from_value::<Spec>(spec).unwrap().container("c1")
    }

    /// A container of containerd's: names, cgroup and limit.
    #[test]
    fn containerd() {
        let container = container(json!({
            "annotations": {
                "io.kubernetes.cri.container-name": "api", "io.kubernetes.cri.container-type": "container",
                "io.kubernetes.cri.image-name": "localhost/workload:1", "io.kubernetes.cri.sandbox-id": "s1",
                "io.kubernetes.cri.sandbox-name": "checkout-1", "io.kubernetes.cri.sandbox-namespace": "shop",
                "io.kubernetes.cri.sandbox-uid": "5cd4824c-a82e-4eea-a2f6-7b07bcda1ac2"
            },
            "linux": {"cgroupsPath": "/kubepods/burstable/pod5cd4824c-a82e-4eea-a2f6-7b07bcda1ac2/c1",
                      "resources": {"memory": {"limit": 52_428_800, "swap": 52_428_800}}},
            "process": {"oomScoreAdj": 999}
        }));
        assert_eq!(container.runtime.as_deref(), Some("containerd"));
        assert_eq!((container.namespace.as_deref(), container.pod.as_deref()), (Some("shop"), Some("checkout-1")));
        assert_eq!(container.container.as_deref(), Some("api"));
        assert_eq!((container.kind, container.memory_limit), (None, Some(Bytes(52_428_800))));
        assert_eq!((container.oom_score_adj, container.sandbox_id.as_deref()), (Some(999), Some("s1")));
    }

    /// Before containerd 1.6 the pod's uid stands in the cgroup path only, which with the systemd driver is no path.
    #[test]
    fn the_uid_of_a_systemd_slice() {
        let container = container(json!({
            "annotations": {"io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-name": "p"},
            "linux": {"cgroupsPath":
                "kubepods-burstable-pod5cd4824c_a82e_4eea_a2f6_7b07bcda1ac2.slice:cri-containerd:c1"},
            "process": null
        }));
        assert_eq!(container.pod_uid.as_deref(), Some("5cd4824c-a82e-4eea-a2f6-7b07bcda1ac2"));
        assert_eq!((container.kind, container.container), (Some(ContainerKind::Pause), None));
    }

    /// CRI-O repeats the kubelet's labels and has a sandbox's labels as JSON; its sandbox is called POD.
    #[test]
    fn cri_o() {
        let sandbox = container(json!({"annotations": {
            "io.container.manager": "cri-o", "io.kubernetes.cri-o.ContainerType": "sandbox",
            "io.kubernetes.container.name": "POD", "io.kubernetes.pod.name": "p", "io.kubernetes.pod.namespace": "n",
            "io.kubernetes.cri-o.Labels": "{\"app\":\"web\",\"io.kubernetes.pod.uid\":\"u\"}",
            "io.kubernetes.container.restartCount": "x"
        }}));
        assert_eq!((sandbox.runtime.as_deref(), sandbox.container), (Some("cri-o"), None));
        assert_eq!(sandbox.labels.into_iter().collect::<Vec<_>>(), [("app".to_owned(), "web".to_owned())]);
        assert_eq!(sandbox.restart_count, None);
    }

    /// No limit is no limit, however it is written.
    #[test]
    fn no_limit() {
        for limit in [json!(-1), json!(0), json!(null)] {
            let container = container(json!({"linux": {"resources": {"memory": {"limit": limit}}}}));
            assert_eq!(container.memory_limit, None);
        }
    }

    proptest::proptest! {
        /// Whatever a spec holds, names in it are never made up: without annotations and cgroup nobody is named.
        #[test]
        fn any_spec(path in ".{0,60}", name in ".{0,20}", value in ".{0,20}") {
            let spec = json!({"annotations": {name: value}, "linux": {"cgroupsPath": path.clone()}});
            let container = container(spec);
            proptest::prop_assert!(container.container.is_none() && container.namespace.is_none());
            proptest::prop_assert_eq!(container.cgroup, Some(path).filter(|path| !path.is_empty()));
        }
    }
}
