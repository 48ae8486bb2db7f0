//! Objects one by one, so that one of them that cannot be read costs nothing but itself.
//!
//! Who it is is read from whatever is there; the rest is a `Result`. What nobody here asks for is gone once the object is read
//! (`managedFields` is half of a pod, `last-applied-configuration` a copy of its manifest), and never more than one object is held as a whole.

use std::fmt;

use oomscope_core::kubernetes::mirrored_uid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The longest value of an annotation that is kept. Longer ones are documents for other programs.
const LONGEST_ANNOTATION: usize = 1 << 10;

/// An object, or why it cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct Lenient<T> {
    /// Namespace and name, as far as they can be told.
    pub(crate) full_name: String,
    /// The uid that the cgroups of a pod carry (see `Pod::cgroup_uid`).
    pub(crate) uid: Option<String>,
    /// The server's version of it.
    pub(crate) resource_version: Option<String>,
    /// All that is wanted of it.
    pub(crate) object: Result<T, String>,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = Value::deserialize(deserializer)?;
        if let Some(annotations) = value.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
            annotations.retain(|_, value| value.as_str().is_none_or(|text| text.len() <= LONGEST_ANNOTATION));
        }
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let name = text("/metadata/name").unwrap_or_else(|| "without a name".to_owned());
        let annotations = value.pointer("/metadata/annotations");
        let hash = mirrored_uid(|name| annotations?.get(name)?.as_str()).map(str::to_owned);
        Ok(Self {
            full_name: text("/metadata/namespace")
                .map_or_else(|| name.clone(), |namespace| format!("{namespace}/{name}")),
            uid: hash.or_else(|| text("/metadata/uid")),
            resource_version: text("/metadata/resourceVersion"),
            object: serde_json::from_value(value).map_err(|error| error.to_string()),
        })
    }
}

/// One page of a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(bound(deserialize = "T: DeserializeOwned"))]
pub(crate) struct Page<T> {
    #[serde(default)]
    pub(crate) metadata: ListMeta,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) items: Vec<Lenient<T>>,
}

/// `metadata` of a list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ListMeta {
    pub(crate) resource_version: Option<String>,
    #[serde(rename = "continue")]
    pub(crate) next: Option<String>,
}

fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl<T> fmt::Display for Lenient<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oomscope_core::kubernetes::Pod;

    /// Documents in annotations are not kept, short values are.
    #[test]
    fn long_annotations() {
        let long = "x".repeat(LONGEST_ANNOTATION + 1);
        let text = format!(r#"{{"metadata":{{"name":"a","annotations":{{"long":"{long}","short":"y"}}}}}}"#);
        let pod = serde_json::from_str::<Lenient<Pod>>(&text).unwrap().object.unwrap();
        assert_eq!(pod.metadata.annotations.keys().collect::<Vec<_>>(), ["short"]);
    }

    /// The pods beside a malformed one are read, and that one still says who it is.
    #[test]
    fn one_bad_pod() {
        let text = r#"{"metadata":{"resourceVersion":"7","continue":""},"items":[
            {"metadata":{"name":"a","namespace":"x","uid":"1","resourceVersion":"5","managedFields":[{}]}},
            {"metadata":{"name":"b","namespace":"x","uid":"2"},"spec":{"containers":"none"}},
            {"metadata":{"annotations":{"kubernetes.io/config.hash":"5eed","kubernetes.io/config.mirror":"5eed"},"uid":"3"}}, 7]}"#;
        let page: Page<Pod> = serde_json::from_str(text).unwrap();
        let read: Vec<_> =
            page.items.iter().map(|item| (item.full_name.as_str(), item.uid.as_deref(), item.object.is_ok())).collect();
        let expected = [
            ("x/a", Some("1"), true),
            ("x/b", Some("2"), false),
            ("without a name", Some("5eed"), true),
            ("without a name", None, false),
        ];
        assert_eq!(read, expected);
        assert!(serde_json::from_str::<Page<Pod>>(r#"{"items":null}"#).unwrap().items.is_empty());
    }
}
