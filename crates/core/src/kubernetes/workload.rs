//! Whatever makes pods: Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob, and the Pod that stands for itself.
//!
//! What a controller has in common with the others is a pod template at one of three places, so any kind that has one there is read,
//! those of operators too (an Argo `Rollout`, an OpenKruise `CloneSet`).

use serde::Deserialize;
use serde_json::Value;

use super::{Meta, NotAnObject, Object, Pod};

/// An object that makes pods, with the pod that it makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// `Deployment`, …; `Pod` for one that nothing makes.
    pub kind: String,
    /// Its own name, labels and namespace, not those of its pods.
    pub metadata: Meta,
    /// The pod that it makes; a template has no name and no status.
    pub template: Pod,
    /// How many pods it makes; `None` where that is not its to say (a DaemonSet makes one for each node).
    pub replicas: Option<u64>,
}

/// Where a kind keeps its pod template, the longest path first: a CronJob's would otherwise be read as a Job's.
const TEMPLATES: [&[&str]; 3] = [&["spec", "jobTemplate", "spec", "template"], &["spec", "template"], &["template"]];

impl Workload {
    /// Reads it; `None` for an object that makes no pods.
    ///
    /// # Errors
    /// [`NotAnObject::Malformed`] where a field has another type than the API gives it, as an amount that is none.
    #[must_use]
    pub fn of(object: &Object) -> Option<Result<Self, NotAnObject>> {
        match object {
            Object::Pod(pod) => Some(Ok(Self::of_pod(pod))),
            Object::Other { kind, value } => {
                let path = template_path(value)?;
                Some(
                    Self::read(kind, value, path)
                        .map_err(|error| NotAnObject::Malformed { kind: kind.clone(), why: error.to_string() }),
                )
            }
            Object::Node(_) | Object::Event(_) => None,
        }
    }

    fn of_pod(pod: &Pod) -> Self {
        let metadata = pod.metadata.clone();
        Self { kind: "Pod".to_owned(), metadata, template: pod.clone(), replicas: Some(1) }
    }

    fn read(kind: &str, value: &Value, path: &[&str]) -> Result<Self, serde_json::Error> {
        let template = at(value, path).unwrap_or(&Value::Null);
        let metadata = value.get("metadata").filter(|meta| !meta.is_null());
        Ok(Self {
            kind: kind.to_owned(),
            metadata: metadata.map(Meta::deserialize).transpose()?.unwrap_or_default(),
            template: Pod::deserialize(template)?,
            replicas: replicas(kind, value),
        })
    }

    /// The keys from the object down to the pod's `spec`, for a patch of a kind: `spec`, `template`, `spec`.
    #[must_use]
    pub fn path_to_pod_spec(kind: &str) -> &'static [&'static str] {
        match kind {
            "Pod" => &["spec"],
            "CronJob" => &["spec", "jobTemplate", "spec", "template", "spec"],
            "PodTemplate" => &["template", "spec"],
            _ => &["spec", "template", "spec"],
        }
    }
}

/// Where this object has a pod template: one with a list of containers.
fn template_path(value: &Value) -> Option<&'static [&'static str]> {
    let has_containers = |path: &&&[&str]| {
        let containers = at(value, path).and_then(|template| at(template, &["spec", "containers"]));
        containers.is_some_and(Value::is_array)
    };
    TEMPLATES.iter().find(has_containers).copied()
}

fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

/// One where the API's default is one.
fn replicas(kind: &str, value: &Value) -> Option<u64> {
    let stated = match kind {
        "DaemonSet" | "PodTemplate" => return None,
        "Job" => at(value, &["spec", "parallelism"]),
        "CronJob" => at(value, &["spec", "jobTemplate", "spec", "parallelism"]),
        _ => at(value, &["spec", "replicas"]),
    };
    Some(stated.and_then(Value::as_u64).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::Document;
    use serde_json::json;

    fn read(value: Value) -> Option<Result<Workload, NotAnObject>> {
        let document = Document::read(value);
        Workload::of(&document.objects.first().expect("an object").0)
    }

    fn pod_spec() -> Value {
        json!({"containers": [{"name": "a", "resources": {"limits": {"memory": "1Gi"}}}]})
    }

    /// Every kind's pods are found, with how many there are of them.
    #[test]
    fn kinds() {
        let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": pod_spec()});
        let with = |kind: &str, spec: Value| {
            let read = read(json!({"kind": kind, "metadata": {"name": "x", "namespace": "n"}, "spec": spec}));
            let workload = read.expect("makes pods").unwrap();
            assert_eq!(workload.metadata.full_name(), "n/x");
            assert_eq!(workload.template.spec.containers.len(), 1, "{kind}");
            workload.replicas
        };
        assert_eq!(with("Deployment", json!({"replicas": 3, "template": template})), Some(3));
        assert_eq!(with("StatefulSet", json!({"template": template})), Some(1));
        assert_eq!(with("DaemonSet", json!({"template": template})), None);
        assert_eq!(with("Job", json!({"parallelism": 4, "template": template})), Some(4));
        assert_eq!(with("CronJob", json!({"jobTemplate": {"spec": {"template": template}}})), Some(1));
        assert_eq!(with("Rollout", json!({"replicas": 2, "template": template})), Some(2));
        assert_eq!(with("Pod", pod_spec()), Some(1));
    }

    /// What makes no pods is none, and a pod template with an amount that is none says so.
    #[test]
    fn others() {
        assert_eq!(read(json!({"kind": "Service", "spec": {"ports": []}})), None);
        assert_eq!(read(json!({"kind": "Deployment", "spec": {"template": null}})), None);
        let wrong = json!({"containers": [{"name": "a", "resources": {"limits": {"memory": "1GB"}}}]});
        let error = read(json!({"kind": "Deployment", "spec": {"template": {"spec": wrong}}}));
        let error = error.expect("makes pods").unwrap_err().to_string();
        assert!(error.contains("Deployment") && error.contains("1GB"), "{error}");
    }
}
