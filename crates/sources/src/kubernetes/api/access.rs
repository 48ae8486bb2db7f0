//! Where the API server is and as whom to ask: a kubeconfig, or the service account of the pod that this runs in.

use std::path::PathBuf;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

use super::super::{Error, Why};

/// What says where the API server is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// A kubeconfig; `None`: that of `KUBECONFIG`, else the pod's service account, else `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig; `None`: its current one.
    pub context: Option<String>,
}

impl Access {
    /// A kubeconfig and a context, each where given.
    #[must_use]
    pub fn new(kubeconfig: Option<&std::path::Path>, context: Option<&str>) -> Self {
        Self { kubeconfig: kubeconfig.map(PathBuf::from), context: context.map(str::to_owned) }
    }

    /// True in a pod that has a service account.
    #[must_use]
    pub fn in_cluster() -> bool {
        std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
    }

    /// True where somebody has said which cluster is meant, or this runs in one. Otherwise only `~/.kube/config` may say.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some() || named_by_environment() || Self::in_cluster()
    }

    /// Asking for a context means a kubeconfig, also inside a pod.
    fn wants_kubeconfig(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some() || named_by_environment() || !Self::in_cluster()
    }

    pub(crate) async fn config(&self) -> Result<Config, Error> {
        if !self.wants_kubeconfig() {
            return Config::incluster().map_err(|error| not_configured(format!("this pod's service account: {error}")));
        }
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let config = match &self.kubeconfig {
            Some(path) => {
                let kubeconfig = Kubeconfig::read_from(path).map_err(|error| self.refused(&error))?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await
            }
            None => Config::from_kubeconfig(&options).await,
        };
        config.map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &KubeconfigError) -> Error {
        let nowhere = self.kubeconfig.is_none() && !named_by_environment();
        not_configured(match error {
            // The parser quotes what it could not read, which may be a key.
            KubeconfigError::Parse(_) => "the kubeconfig is no valid YAML, or a field of it is wrong".to_owned(),
            KubeconfigError::FindPath | KubeconfigError::ReadConfig(..) if nowhere => {
                "no kubeconfig (--kubeconfig, KUBECONFIG, ~/.kube/config) and no pod's service account".to_owned()
            }
            KubeconfigError::ReadConfig(error, path) => format!("reading {}: {error}", path.display()),
            KubeconfigError::LoadContext(name) => format!("the kubeconfig has no context {name}"),
            KubeconfigError::LoadClusterOfContext(name) => format!("the kubeconfig has no cluster {name}"),
            KubeconfigError::CurrentContextNotSet => {
                "the kubeconfig has no current context; name one with --context".to_owned()
            }
            other => chain(other),
        })
    }
}

fn named_by_environment() -> bool {
    std::env::var_os("KUBECONFIG").is_some_and(|path| !path.is_empty())
}

fn not_configured(why: String) -> Error {
    Error::new("where the API server is", "", Why::NotConfigured(why))
}

/// An error with its causes, each once: outer ones often repeat inner ones.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    // Nobody nests deeper; a source that returns itself would not end.
    for _ in 0..8 {
        let Some(inner) = cause else { break };
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
