//! What the kubelet says: its configuration always, its pods while the API server is away.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use oomscope_core::kubernetes::{KubeletConfig, Object, Source};
use tokio::sync::watch;

use super::super::kubelet::{Client, ConfigFile, KubeletAccess};
use super::api_tasks::{only_present, see_pod};
use super::news::News;
use super::pace::Pace;
use super::shared::Shared;
use crate::host_root::HostRoot;

const PODS: &str = "pods of the kubelet";
const CONFIG: &str = "configuration of the kubelet";

/// This node's kubelet.
pub(super) struct KubeletTask {
    pub(super) access: KubeletAccess,
    pub(super) root: HostRoot,
    pub(super) pace: Pace,
    pub(super) shared: Arc<Shared>,
}

impl KubeletTask {
    /// `api`: whether the API server tells of pods; `None` as long as that is not known.
    pub(super) async fn run(self, mut api: watch::Receiver<Option<bool>>) {
        let mut config_read: Option<Instant> = None;
        loop {
            // The address may become known from the Node object; certificates may be replaced.
            let client = Client::new(&self.access, self.node_address().as_deref(), self.pace.patience);
            if config_read.is_none_or(|at| at.elapsed() >= self.pace.kubelet_config) {
                config_read = Some(Instant::now());
                self.read_config(client.as_ref().ok()).await;
            }
            let is_away = *api.borrow_and_update() == Some(false);
            if is_away {
                match &client {
                    Ok(client) => self.read_pods(client, &api).await,
                    Err(error) => self.shared.gap_begins(PODS, error.to_string()),
                }
            } else {
                self.shared.gap_ends(PODS);
            }
            let pause = if is_away { self.pace.kubelet_pods } else { self.pace.kubelet_config };
            // An error: who sends this is no more, so nothing will change.
            if let Ok(Err(_)) = tokio::time::timeout(pause, api.changed()).await {
                tokio::time::sleep(pause).await;
            }
        }
    }

    fn node_address(&self) -> Option<String> {
        let directory = self.shared.directory();
        directory.node.as_ref().and_then(|node| node.internal_ip().map(str::to_owned))
    }

    async fn read_pods(&self, client: &Client, api: &watch::Receiver<Option<bool>>) {
        let document = match client.pods().await {
            Ok(document) => document,
            Err(error) => {
                self.shared.set_pods_from(None);
                return self.shared.gap_begins(PODS, format!("{}: {}", error.of, error.why));
            }
        };
        // The API server came back meanwhile: what it says is newer.
        if *api.borrow() == Some(true) {
            return;
        }
        let mut listed = HashSet::new();
        for (object, _) in document.objects {
            if let Object::Pod(pod) = object {
                listed.extend(pod.cgroup_uid().map(str::to_owned));
                see_pod(&self.shared, *pod, Source::Kubelet);
            }
        }
        if document.refused.is_empty() {
            only_present(&self.shared, &[Source::Kubelet], &listed);
        }
        self.shared.gap_ends(PODS);
        self.shared.set_pods_from(Some(Source::Kubelet));
    }

    async fn read_config(&self, client: Option<&Client>) {
        let refused = match client {
            Some(client) => match client.config().await {
                Ok(config) => return self.see_config(config),
                Err(error) => error.to_string(),
            },
            None => "there is no way to ask it".to_owned(),
        };
        match ConfigFile::find(&self.root) {
            Some(file) if !file.files.is_empty() || file.has_flags => {
                self.see_config(file.config);
                file.gaps.iter().for_each(|gap| self.shared.gap_begins(&gap.wanted, &*gap.why));
            }
            _ => self.shared.gap_begins(CONFIG, format!("{refused}; and no file of it was found")),
        }
    }

    fn see_config(&self, config: KubeletConfig) {
        self.shared.gap_ends(CONFIG);
        let is_new = {
            let mut directory = self.shared.directory();
            let is_new = directory.kubelet.as_ref() != Some(&config);
            directory.kubelet = Some(config);
            is_new
        };
        if is_new {
            self.shared.tell(News::KubeletConfig);
        }
    }
}
