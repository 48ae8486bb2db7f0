//! What a request asks for, and the answer to it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::select::Selection;
use super::store::{Store, plural};

/// An answer, or a watch to be served.
pub(super) enum Answer {
    Json(u16, Value),
    Watch(Selection, u64),
}

/// Kinds that discovery tells of: group, kind, in a namespace.
const KINDS: [(&str, &str, bool); 12] = [
    ("", "Pod", true),
    ("", "Node", false),
    ("", "Event", true),
    ("", "Namespace", false),
    ("", "LimitRange", true),
    ("", "ResourceQuota", true),
    ("apps", "Deployment", true),
    ("apps", "StatefulSet", true),
    ("apps", "DaemonSet", true),
    ("batch", "Job", true),
    ("batch", "CronJob", true),
    ("scheduling.k8s.io", "PriorityClass", false),
];

/// A path with its query, decoded.
pub(super) fn answer(
    path: &str,
    query: &BTreeMap<String, String>,
    store: &Store,
    kubelet: &[(String, Value)],
) -> Answer {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        ["version"] => {
            Answer::Json(200, json!({"major": "1", "minor": "34", "gitVersion": "v1.34.1", "platform": "linux/amd64"}))
        }
        ["api"] => Answer::Json(200, json!({"kind": "APIVersions", "versions": ["v1"]})),
        ["apis"] => Answer::Json(200, groups()),
        ["api", version] => Answer::Json(200, resources("", version)),
        ["apis", group, version] => Answer::Json(200, resources(group, version)),
        ["api", "v1", "nodes", _, "proxy", below @ ..] => kubelet_answer(&format!("/{}", below.join("/")), kubelet),
        ["api", "v1", rest @ ..] | ["apis", _, "v1", rest @ ..] => match rest {
            ["namespaces", namespace, plural] => list(plural, Some(namespace), query, store),
            ["namespaces", namespace, plural, name] => get(plural, namespace, name, store),
            [plural] => list(plural, None, query, store),
            [plural, name] => get(plural, "", name, store),
            _ => status(404, "the server could not find the requested resource", None),
        },
        _ => status(404, "the server could not find the requested resource", None),
    }
}

/// What the kubelet says at a path.
pub(super) fn kubelet_answer(path: &str, kubelet: &[(String, Value)]) -> Answer {
    let known = kubelet.iter().find(|(known, _)| known == path);
    known.map_or_else(|| status(404, "404 page not found", None), |(_, value)| Answer::Json(200, value.clone()))
}

pub(super) fn status(code: u16, message: &str, retry_after: Option<u64>) -> Answer {
    let reason = match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        410 => "Expired",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let details = retry_after.map_or(json!({}), |after| json!({"retryAfterSeconds": after}));
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason,
        "code": code, "details": details, "metadata": {}});
    Answer::Json(code, status)
}

fn get(plural: &str, namespace: &str, name: &str, store: &Store) -> Answer {
    let missing = || status(404, &format!("{plural} \"{name}\" not found"), None);
    store.get(plural, namespace, name).map_or_else(missing, |object| Answer::Json(200, object.clone()))
}

fn list(plural: &str, namespace: Option<&str>, query: &BTreeMap<String, String>, store: &Store) -> Answer {
    let parameter = |name: &str| query.get(name).map_or("", String::as_str);
    let selection = Selection::new(plural, namespace, parameter("fieldSelector"), parameter("labelSelector"));
    if matches!(parameter("watch"), "true" | "1") {
        let version = parameter("resourceVersion").parse().unwrap_or_else(|_| store.version());
        return Answer::Watch(selection, version);
    }
    let limit = parameter("limit").parse().ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let start = parameter("continue").strip_prefix("from-").and_then(|start| start.parse().ok()).unwrap_or(0);
    let all: Vec<&Value> = store.list(&selection).collect();
    // Items of a list do not say their kind.
    let items: Vec<Value> = all.iter().skip(start).take(limit).map(|object| without_kind(object)).collect();
    let end = start + items.len();
    let next = if end < all.len() { format!("from-{end}") } else { String::new() };
    let kind = KINDS.iter().find(|(_, kind, _)| super::store::plural(kind) == plural).map_or("", |(_, kind, _)| kind);
    let metadata = json!({"resourceVersion": store.version().to_string(), "continue": next});
    Answer::Json(200, json!({"kind": format!("{kind}List"), "apiVersion": "v1", "metadata": metadata, "items": items}))
}

fn without_kind(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    object
}

fn groups() -> Value {
    let of = |group: &str| {
        let version = json!({"groupVersion": format!("{group}/v1"), "version": "v1"});
        json!({"name": group, "versions": [version], "preferredVersion": version})
    };
    let groups = ["apps", "batch", "scheduling.k8s.io"].map(of);
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn resources(group: &str, version: &str) -> Value {
    let of = |(_, kind, namespaced): &(&str, &str, bool)| {
        json!({"name": plural(kind), "singularName": kind.to_lowercase(), "namespaced": namespaced, "kind": kind,
            "verbs": ["get", "list", "watch"]})
    };
    let resources: Vec<Value> = KINDS.iter().filter(|(of_group, ..)| *of_group == group).map(of).collect();
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources})
}
