//! Objects out of whatever holds them: one object, a list, a watch event, a folder's worth of them one after another.

use serde_json::Value;

use super::{Event, Node, Pod};

/// An object of a kind that is read here.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// A Pod.
    Pod(Box<Pod>),
    /// A Node.
    Node(Box<Node>),
    /// An Event.
    Event(Box<Event>),
    /// Any other, as it was written.
    Other {
        /// Its kind.
        kind: String,
        /// All of it.
        value: Value,
    },
}

/// What a document says, in its order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// The objects; of a watch event with whether the object was deleted.
    pub objects: Vec<(Object, Change)>,
    /// What looked like an object and is none.
    pub refused: Vec<NotAnObject>,
}

/// What a watch says of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Change {
    /// It is so.
    #[default]
    Present,
    /// This was its last state.
    Deleted,
}

/// Why a value is not taken as an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnObject {
    /// No `kind`.
    #[error("no Kubernetes object: it has no kind")]
    NoKind,
    /// The API server's word for an error.
    #[error("an error of the API server: {0}")]
    Status(String),
    /// A field has another type than the API gives it.
    #[error("a {kind} that cannot be read: {why}")]
    Malformed {
        /// Its kind.
        kind: String,
        /// The parser's words.
        why: String,
    },
}

impl Document {
    /// Reads one JSON value.
    #[must_use]
    pub fn read(value: Value) -> Self {
        let mut document = Self::default();
        document.add(value, None, Change::Present);
        document
    }

    /// `kind`: that of a list's items, which often do not say it themselves.
    fn add(&mut self, value: Value, kind: Option<&str>, change: Change) {
        match value {
            Value::Array(items) => items.into_iter().for_each(|item| self.add(item, kind, change)),
            Value::Object(mut map) => {
                if let Some(change) = watch_change(&map)
                    && let Some(object) = map.remove("object")
                {
                    return self.add(object, kind, change);
                }
                let own = map.get("kind").and_then(Value::as_str).map(str::to_owned);
                let Some(kind) = own.or_else(|| kind.map(str::to_owned)) else {
                    return self.refused.push(NotAnObject::NoKind);
                };
                match (kind.strip_suffix("List"), map.remove("items")) {
                    (Some(of), Some(Value::Array(items))) => {
                        let of = Some(of).filter(|of| !of.is_empty());
                        items.into_iter().for_each(|item| self.add(item, of, change));
                    }
                    (Some(_), Some(Value::Null)) => {}
                    (_, items) => {
                        map.extend(items.map(|items| ("items".to_owned(), items)));
                        self.add_object(kind, Value::Object(map), change);
                    }
                }
            }
            _ => self.refused.push(NotAnObject::NoKind),
        }
    }

    fn add_object(&mut self, kind: String, value: Value, change: Change) {
        let object = match kind.as_str() {
            "Pod" => serde_json::from_value(value).map(|pod| Object::Pod(Box::new(pod))),
            "Node" => serde_json::from_value(value).map(|node| Object::Node(Box::new(node))),
            "Event" => serde_json::from_value(value).map(|event| Object::Event(Box::new(event))),
            "Status" => {
                let message = value.get("message").and_then(Value::as_str).unwrap_or("no message");
                return self.refused.push(NotAnObject::Status(message.to_owned()));
            }
            _ => Ok(Object::Other { kind: kind.clone(), value }),
        };
        match object {
            Ok(object) => self.objects.push((object, change)),
            Err(error) => self.refused.push(NotAnObject::Malformed { kind, why: error.to_string() }),
        }
    }
}

/// `{"type": "MODIFIED", "object": {…}}`
fn watch_change(map: &serde_json::Map<String, Value>) -> Option<Change> {
    match map.get("type")?.as_str()? {
        "ADDED" | "MODIFIED" | "BOOKMARK" | "ERROR" => Some(Change::Present),
        "DELETED" => Some(Change::Deleted),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(value: Value) -> Vec<(String, Change)> {
        let name = |object: &Object| match object {
            Object::Pod(pod) => format!("Pod {}", pod.metadata.name),
            Object::Node(node) => format!("Node {}", node.metadata.name),
            Object::Event(event) => format!("Event {}", event.reason),
            Object::Other { kind, .. } => kind.clone(),
        };
        Document::read(value).objects.iter().map(|(object, change)| (name(object), *change)).collect()
    }

    /// One object, lists with and without kinds of their items, watch events.
    #[test]
    fn shapes() {
        use Change::{Deleted, Present};
        let pod = |name: &str| json!({"kind": "Pod", "metadata": {"name": name}});
        assert_eq!(names(pod("a")), [("Pod a".to_owned(), Present)]);
        let kubelet = json!({"kind": "PodList", "items": [{"metadata": {"name": "b"}}]});
        assert_eq!(names(kubelet), [("Pod b".to_owned(), Present)]);
        let list = json!({"kind": "List", "items": [pod("c"), {"kind": "Event", "reason": "Evicted"}]});
        assert_eq!(names(list), [("Pod c".to_owned(), Present), ("Event Evicted".to_owned(), Present)]);
        assert_eq!(names(json!({"type": "DELETED", "object": pod("d")})), [("Pod d".to_owned(), Deleted)]);
        assert_eq!(names(json!({"kind": "EventList", "items": null})), []);
    }

    /// What is no object is said, and nothing else is lost.
    #[test]
    fn damage() {
        let document = Document::read(
            json!([{"kind": "Pod", "spec": 7}, 3, {"kind": "Node"}, {"kind": "Status", "message": "no"}]),
        );
        assert_eq!(document.objects.len(), 1);
        assert_eq!(document.refused.len(), 3);
        assert!(document.refused[0].to_string().contains("Pod"));
    }
}
