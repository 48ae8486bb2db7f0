//! The messages of CRI that are exchanged here, with the tags of their fields.
//!
//! Source: kubernetes/cri-api, `pkg/apis/runtime/v1/api.proto`. `v1alpha2` has the same tags for these. What is not declared
//! is skipped by the decoder, so a newer runtime is understood as far as these go.

use std::collections::HashMap;

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct VersionRequest {
    #[prost(string, tag = "1")]
    pub(super) version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct VersionResponse {
    #[prost(string, tag = "2")]
    pub(super) runtime_name: String,
    #[prost(string, tag = "3")]
    pub(super) runtime_version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandboxMetadata {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) uid: String,
    #[prost(string, tag = "3")]
    pub(super) namespace: String,
    #[prost(uint32, tag = "4")]
    pub(super) attempt: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandboxFilter {
    #[prost(string, tag = "1")]
    pub(super) id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListPodSandboxRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) filter: Option<PodSandboxFilter>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandbox {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<PodSandboxMetadata>,
    /// 0 ready, 1 not.
    #[prost(int32, tag = "3")]
    pub(super) state: i32,
    /// Nanoseconds.
    #[prost(int64, tag = "4")]
    pub(super) created_at: i64,
    #[prost(map = "string, string", tag = "5")]
    pub(super) labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListPodSandboxResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) items: Vec<PodSandbox>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandboxStatusRequest {
    #[prost(string, tag = "1")]
    pub(super) pod_sandbox_id: String,
    #[prost(bool, tag = "2")]
    pub(super) verbose: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandboxStatus {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<PodSandboxMetadata>,
    /// 0 ready, 1 not.
    #[prost(int32, tag = "3")]
    pub(super) state: i32,
    /// Nanoseconds.
    #[prost(int64, tag = "4")]
    pub(super) created_at: i64,
    #[prost(map = "string, string", tag = "7")]
    pub(super) labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandboxStatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<PodSandboxStatus>,
    /// JSON by name, in a form that is the runtime's own.
    #[prost(map = "string, string", tag = "2")]
    pub(super) info: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ContainerMetadata {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(uint32, tag = "2")]
    pub(super) attempt: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ImageSpec {
    #[prost(string, tag = "1")]
    pub(super) image: String,
    /// As the manifest has it (1.29 and newer).
    #[prost(string, tag = "18")]
    pub(super) user_specified_image: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListContainersRequest {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Container {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) pod_sandbox_id: String,
    #[prost(message, optional, tag = "3")]
    pub(super) metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "4")]
    pub(super) image: Option<ImageSpec>,
    #[prost(map = "string, string", tag = "8")]
    pub(super) labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListContainersResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) containers: Vec<Container>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ContainerStatusRequest {
    #[prost(string, tag = "1")]
    pub(super) container_id: String,
    #[prost(bool, tag = "2")]
    pub(super) verbose: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LinuxContainerResources {
    #[prost(int64, tag = "4")]
    pub(super) memory_limit_in_bytes: i64,
    #[prost(int64, tag = "5")]
    pub(super) oom_score_adj: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ContainerResources {
    #[prost(message, optional, tag = "1")]
    pub(super) linux: Option<LinuxContainerResources>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ContainerStatus {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<ContainerMetadata>,
    /// 0 created, 1 running, 2 exited, 3 unknown.
    #[prost(int32, tag = "3")]
    pub(super) state: i32,
    /// Nanoseconds; 0 before it was started.
    #[prost(int64, tag = "5")]
    pub(super) started_at: i64,
    /// Nanoseconds; 0 before it has ended.
    #[prost(int64, tag = "6")]
    pub(super) finished_at: i64,
    #[prost(int32, tag = "7")]
    pub(super) exit_code: i32,
    #[prost(message, optional, tag = "8")]
    pub(super) image: Option<ImageSpec>,
    #[prost(string, tag = "10")]
    pub(super) reason: String,
    #[prost(map = "string, string", tag = "12")]
    pub(super) labels: HashMap<String, String>,
    /// 1.25 and newer.
    #[prost(message, optional, tag = "16")]
    pub(super) resources: Option<ContainerResources>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ContainerStatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<ContainerStatus>,
    /// JSON by name, in a form that is the runtime's own.
    #[prost(map = "string, string", tag = "2")]
    pub(super) info: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RuntimeConfigRequest {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LinuxRuntimeConfiguration {
    /// 0 systemd, 1 cgroupfs.
    #[prost(int32, tag = "1")]
    pub(super) cgroup_driver: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RuntimeConfigResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) linux: Option<LinuxRuntimeConfiguration>,
}
