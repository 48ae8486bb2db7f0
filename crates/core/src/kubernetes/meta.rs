//! `metadata` of any object.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::null_is_empty;

/// Who an object is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Empty in a pod template.
    pub name: String,
    /// `None` for what is in no namespace, and in manifests that leave it to the command line.
    pub namespace: Option<String>,
    /// `None` in manifests.
    pub uid: Option<String>,
    /// Labels.
    #[serde(deserialize_with = "null_is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(deserialize_with = "null_is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Who made it.
    #[serde(deserialize_with = "null_is_empty")]
    pub owner_references: Vec<Owner>,
    /// When it was made.
    pub creation_timestamp: Option<Timestamp>,
    /// When its grace period ends; set once it is being deleted.
    pub deletion_timestamp: Option<Timestamp>,
    /// Seconds of grace that it was given when it was deleted.
    pub deletion_grace_period_seconds: Option<i64>,
    /// The API server's version of the object.
    pub resource_version: Option<String>,
}

/// One of the owners of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Owner {
    /// `ReplicaSet`, `Job`, …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// True for the one that manages the object.
    pub controller: Option<bool>,
}

impl Meta {
    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        self.namespace.as_ref().map_or_else(|| self.name.clone(), |namespace| format!("{namespace}/{}", self.name))
    }

    /// Who manages it.
    #[must_use]
    pub fn controller(&self) -> Option<&Owner> {
        self.owner_references
            .iter()
            .find(|owner| owner.controller == Some(true))
            .or_else(|| self.owner_references.first())
    }

    /// Who people would name as its owner: `Deployment/checkout-api`. Of a pod's `ReplicaSet` the Deployment is known from the
    /// hash that it puts both into the name and into a label; a Job's `CronJob` puts the minute of its schedule behind its name.
    #[must_use]
    pub fn workload(&self) -> Option<String> {
        let owner = self.controller()?;
        let named_by_hash = |label: &str| {
            let hash = self.labels.get(label)?;
            owner.name.strip_suffix(hash.as_str())?.strip_suffix('-').filter(|name| !name.is_empty())
        };
        let above = match owner.kind.as_str() {
            "ReplicaSet" => named_by_hash("pod-template-hash")
                .map(|name| ("Deployment", name))
                .or_else(|| named_by_hash("rollouts-pod-template-hash").map(|name| ("Rollout", name))),
            "Job" => cron_job(&owner.name).map(|name| ("CronJob", name)),
            _ => None,
        };
        let (kind, name) = above.unwrap_or((&owner.kind, &owner.name));
        Some(format!("{kind}/{name}"))
    }
}

/// `<cronjob>-<minutes since the epoch>` (pkg/controller/cronjob/utils.go, `getJobName`): eight digits until the year 2160.
fn cron_job(job: &str) -> Option<&str> {
    let (name, minute) = job.rsplit_once('-')?;
    let is_minute = minute.len() == 8 && minute.starts_with(['2', '3']) && minute.bytes().all(|b| b.is_ascii_digit());
    (is_minute && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(kind: &str, name: &str, hash: Option<&str>) -> Meta {
        Meta {
            labels: hash.map(|hash| ("pod-template-hash".to_owned(), hash.to_owned())).into_iter().collect(),
            owner_references: vec![Owner { kind: kind.to_owned(), name: name.to_owned(), controller: Some(true) }],
            ..Meta::default()
        }
    }

    /// The owner that people know, where the name proves it; otherwise the one that the object states.
    #[test]
    fn workloads() {
        let workload = |kind, name, hash| owned(kind, name, hash).workload();
        assert_eq!(workload("ReplicaSet", "api-775874766", Some("775874766")).as_deref(), Some("Deployment/api"));
        assert_eq!(workload("ReplicaSet", "api-775874766", None).as_deref(), Some("ReplicaSet/api-775874766"));
        assert_eq!(workload("Job", "report-29392320", None).as_deref(), Some("CronJob/report"));
        assert_eq!(workload("Job", "import-7", None).as_deref(), Some("Job/import-7"));
        assert_eq!(workload("StatefulSet", "orders", None).as_deref(), Some("StatefulSet/orders"));
        assert_eq!(Meta::default().workload(), None);
    }
}
