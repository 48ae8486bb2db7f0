//! A question to the API server: its path and query, and in words what it asks for and which permission that takes.

use std::fmt::Write as _;

/// A kind of object, and where the API serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// `Deployment`.
    pub kind: &'static str,
    /// `apps`; empty for the core group.
    pub group: &'static str,
    /// `v1`.
    pub version: &'static str,
    /// `deployments`.
    pub plural: &'static str,
    /// False for what is in no namespace.
    pub namespaced: bool,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident: $kind:literal, $group:literal, $plural:literal, $namespaced:literal;)*) => {
        $( $(#[$doc])* pub const $name: Kind =
            Kind { kind: $kind, group: $group, version: "v1", plural: $plural, namespaced: $namespaced }; )*
    };
}

kinds! {
    /// Pod.
    POD: "Pod", "", "pods", true;
    /// Node.
    NODE: "Node", "", "nodes", false;
    /// Event, of the core group: its field selectors know `involvedObject`.
    EVENT: "Event", "", "events", true;
    /// Namespace.
    NAMESPACE: "Namespace", "", "namespaces", false;
    /// LimitRange.
    LIMIT_RANGE: "LimitRange", "", "limitranges", true;
    /// ResourceQuota.
    RESOURCE_QUOTA: "ResourceQuota", "", "resourcequotas", true;
    /// Deployment.
    DEPLOYMENT: "Deployment", "apps", "deployments", true;
    /// StatefulSet.
    STATEFUL_SET: "StatefulSet", "apps", "statefulsets", true;
    /// DaemonSet.
    DAEMON_SET: "DaemonSet", "apps", "daemonsets", true;
    /// Job.
    JOB: "Job", "batch", "jobs", true;
    /// CronJob (1.21 and newer in this version).
    CRON_JOB: "CronJob", "batch", "cronjobs", true;
    /// PriorityClass.
    PRIORITY_CLASS: "PriorityClass", "scheduling.k8s.io", "priorityclasses", false;
}

/// One question.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    /// `pods of node worker-3`.
    pub(crate) what: String,
    /// `pods`, `nodes/proxy`: the resource of an RBAC rule.
    resource: String,
    path: String,
    query: Vec<(&'static str, String)>,
}

impl Ask {
    /// All objects of a kind, in a namespace or everywhere.
    pub(crate) fn list(kind: &Kind, namespace: Option<&str>) -> Self {
        let what = match namespace {
            Some(namespace) => format!("{} in namespace {namespace}", kind.plural),
            None => kind.plural.to_owned(),
        };
        let path = collection(kind, namespace);
        Self { what, resource: resource(kind, ""), path, query: Vec::new() }
    }

    /// One object, or something below it (`proxy/configz`).
    pub(crate) fn get(kind: &Kind, namespace: Option<&str>, name: &str, below: &str) -> Self {
        let full_name = namespace.map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"));
        let mut path = format!("{}/{}", collection(kind, namespace), encode(name));
        let mut what = format!("{} {full_name}", kind.kind.to_lowercase());
        if !below.is_empty() {
            path = format!("{path}/{below}");
            what = format!("/{} of {what}", below.strip_prefix("proxy/").unwrap_or(below));
        }
        let sub = below.split('/').next().unwrap_or_default();
        Self { what, resource: resource(kind, sub), path, query: Vec::new() }
    }

    /// A path of a server that is no API server.
    pub(crate) fn path(what: impl Into<String>, path: &str, resource: &str) -> Self {
        Self { what: what.into(), resource: resource.to_owned(), path: path.to_owned(), query: Vec::new() }
    }

    /// Only objects whose fields have these values.
    pub(crate) fn fields(mut self, fields: &[(&str, &str)]) -> Self {
        let terms: Vec<String> = fields.iter().map(|(field, value)| format!("{field}={}", selector(value))).collect();
        self.query.push(("fieldSelector", terms.join(",")));
        self
    }

    /// Only objects with this label.
    pub(crate) fn label(mut self, label: &str, value: &str) -> Self {
        self.query.push(("labelSelector", format!("{label}={value}")));
        self
    }

    /// Says in other words what is asked for.
    pub(crate) fn named(mut self, what: impl Into<String>) -> Self {
        self.what = what.into();
        self
    }

    /// The permission that it takes, with a verb of RBAC.
    pub(crate) fn needs(&self, verb: &str) -> String {
        format!("{verb} {}", self.resource)
    }

    /// Path and query, with some more parameters.
    pub(crate) fn uri(&self, more: &[(&'static str, String)]) -> String {
        let mut uri = self.path.clone();
        for (at, (key, value)) in self.query.iter().chain(more).enumerate() {
            let mark = if at == 0 { '?' } else { '&' };
            // Writing to a string cannot fail.
            let _ = write!(uri, "{mark}{key}={}", encode(value));
        }
        uri
    }
}

fn collection(kind: &Kind, namespace: Option<&str>) -> String {
    let root = if kind.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", kind.group) };
    let namespace = namespace.filter(|_| kind.namespaced);
    let namespace = namespace.map(|namespace| format!("/namespaces/{}", encode(namespace))).unwrap_or_default();
    format!("{root}/{}{namespace}/{}", kind.version, kind.plural)
}

fn resource(kind: &Kind, sub: &str) -> String {
    let group = if kind.group.is_empty() { String::new() } else { format!(".{}", kind.group) };
    let sub = if sub.is_empty() { String::new() } else { format!("/{sub}") };
    format!("{}{group}{sub}", kind.plural)
}

/// Source: apimachinery, pkg/fields/selector.go, `EscapeValue`.
fn selector(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '=') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Percent-encoding of all but the unreserved characters (RFC 3986): a name given by a person is never a path.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    // A segment of dots alone would be taken for a step in the path.
    if encoded.bytes().all(|byte| byte == b'.') { encoded.replace('.', "%2E") } else { encoded }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Paths and selectors as the API server reads them, and the rule that a refusal would name.
    #[test]
    fn uris() {
        let pods = Ask::list(&POD, None).fields(&[("spec.nodeName", "node-1")]);
        assert_eq!(pods.uri(&[("limit", "5".to_owned())]), "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1&limit=5");
        assert_eq!((pods.needs("list"), pods.what.as_str()), ("list pods".to_owned(), "pods"));
        let configz = Ask::get(&NODE, None, "node-1", "proxy/configz");
        assert_eq!(configz.uri(&[]), "/api/v1/nodes/node-1/proxy/configz");
        assert_eq!(
            (configz.needs("get"), configz.what.as_str()),
            ("get nodes/proxy".to_owned(), "/configz of node node-1")
        );
        let jobs = Ask::list(&JOB, Some("shop"));
        assert_eq!(
            (jobs.uri(&[]).as_str(), jobs.needs("list").as_str()),
            ("/apis/batch/v1/namespaces/shop/jobs", "list jobs.batch")
        );
    }

    /// A name from the command line stays one segment and one value.
    #[test]
    fn hostile_names() {
        let pod = Ask::get(&POD, Some("../x"), "a/../../secrets?x=1", "");
        assert_eq!(pod.uri(&[]), "/api/v1/namespaces/..%2Fx/pods/a%2F..%2F..%2Fsecrets%3Fx%3D1");
        assert_eq!(Ask::get(&POD, Some(".."), "..", "").uri(&[]), "/api/v1/namespaces/%2E%2E/pods/%2E%2E");
        let events = Ask::list(&EVENT, Some("a")).fields(&[("involvedObject.uid", "u,type=Normal")]);
        assert!(events.uri(&[]).ends_with("involvedObject.uid%3Du%5C%2Ctype%5C%3DNormal"));
    }
}
