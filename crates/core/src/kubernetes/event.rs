//! An Event: what a component found worth telling about an object.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Meta, null_is_empty};

/// An Event of `v1` or `events.k8s.io/v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    /// Its own name and namespace.
    pub metadata: Meta,
    /// What it is about.
    #[serde(alias = "regarding", deserialize_with = "null_is_empty")]
    pub involved_object: About,
    /// `Evicted`, `BackOff`, `SystemOOM`, …
    #[serde(deserialize_with = "null_is_empty")]
    pub reason: String,
    /// The sentence.
    #[serde(alias = "note", deserialize_with = "null_is_empty")]
    pub message: String,
    /// `Normal` or `Warning`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Of the first of a series. Whole seconds.
    #[serde(alias = "deprecatedFirstTimestamp")]
    pub first_timestamp: Option<Timestamp>,
    /// Of the last of a series. Whole seconds.
    #[serde(alias = "deprecatedLastTimestamp")]
    pub last_timestamp: Option<Timestamp>,
    /// Newer reporters set this instead, in microseconds.
    pub event_time: Option<Timestamp>,
    /// How many like it.
    #[serde(alias = "deprecatedCount")]
    pub count: Option<u32>,
}

/// The object that an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct About {
    /// `Pod`, `Node`, …
    pub kind: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its uid; of a Node often its name.
    pub uid: Option<String>,
    /// `spec.containers{api}`.
    pub field_path: Option<String>,
}

impl Event {
    /// When it last happened.
    #[must_use]
    pub fn last(&self) -> Option<Timestamp> {
        self.last_timestamp.or(self.event_time).or(self.first_timestamp).or(self.metadata.creation_timestamp)
    }

    /// When it first happened.
    #[must_use]
    pub fn first(&self) -> Option<Timestamp> {
        self.first_timestamp.or(self.event_time).or(self.last_timestamp).or(self.metadata.creation_timestamp)
    }

    /// The container that it is about.
    #[must_use]
    pub fn container(&self) -> Option<&str> {
        let path = self.involved_object.field_path.as_deref()?;
        let (_, name) = path.split_once('{')?;
        name.strip_suffix('}')
    }

    /// True for one about this kind of object.
    #[must_use]
    pub fn is_about(&self, kind: &str) -> bool {
        self.involved_object.kind.as_deref() == Some(kind)
    }
}
