//! Who knows the names of a node's pods: saved objects, the API server, the kubelet, the container runtime, files on disk. Asked once, by
//! verbs that look at one moment.

use std::path::PathBuf;

use oomscope_core::evidence::Gap;
use oomscope_core::kubernetes::{Directory, Source};
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::kubernetes::api::{Access, Cluster};
use oomscope_sources::kubernetes::cri::{Cri, CriError};
use oomscope_sources::kubernetes::disk::containers_on_disk;
use oomscope_sources::kubernetes::kubelet::{ConfigFile, Kubelet, KubeletAccess};
use oomscope_sources::kubernetes::saved::read_saved;

/// Where to read what Kubernetes wants and says.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Witnesses {
    /// Saved Kubernetes objects (kubectl get -o json or yaml, a recorded watch): a file, or a folder of them; then nobody else is
    /// asked for pods
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    kubernetes: Vec<PathBuf>,

    /// The kubelet's configuration (YAML or JSON, also as /configz serves it), if it is not where kubelets keep it
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    kubelet_config: Option<PathBuf>,

    /// How to reach the API server, if not as KUBECONFIG or this pod's service account say
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    kubeconfig: Option<PathBuf>,
}

impl Witnesses {
    /// Asks them. `is_node`: there are pods here; without any, nobody is asked who was not named.
    pub(crate) fn ask(&self, root: &HostRoot, is_node: bool, gaps: &mut Vec<Gap>) -> Directory {
        let mut names = Directory::default();
        for path in &self.kubernetes {
            gaps.extend(read_saved(path, &mut names));
        }
        if self.kubernetes.is_empty() && (is_node || self.kubeconfig.is_some()) {
            self.ask_the_living(root, &mut names, gaps);
        }
        self.add_kubelet_config(root, &mut names, gaps);
        names
    }

    fn ask_the_living(&self, root: &HostRoot, names: &mut Directory, gaps: &mut Vec<Gap>) {
        add_containers(root, names, gaps);
        let by_api = self.knows_the_api().then(|| self.ask_api(root, names));
        match by_api {
            Some(Ok(missing)) => return gaps.extend(missing),
            Some(Err(gap)) => gaps.push(gap),
            None => {}
        }
        let pods = Kubelet::connect(&KubeletAccess::default(), None).and_then(|kubelet| kubelet.pods());
        match pods {
            Ok(pods) => names.see_document(pods, Source::Kubelet, None),
            Err(error) => gaps.push(Gap::new("pods, from the kubelet", error.to_string())),
        }
    }

    fn knows_the_api(&self) -> bool {
        let has_own = || std::env::home_dir().is_some_and(|home| home.join(".kube/config").exists());
        Access::new(self.kubeconfig.as_deref(), None).is_given() || has_own()
    }

    fn ask_api(&self, root: &HostRoot, names: &mut Directory) -> Result<Vec<Gap>, Gap> {
        let refused =
            |error: oomscope_sources::kubernetes::Error| Gap::new("pods, from the API server", error.to_string());
        let cluster = Cluster::connect(&Access::new(self.kubeconfig.as_deref(), None)).map_err(refused)?;
        let node = node_name(root)
            .ok_or_else(|| Gap::new("pods, from the API server", "this node's name is not known (NODE_NAME)"))?;
        let mut gaps = cluster.pods_on(&node, |pod| names.see_pod(pod, Source::Api, None)).map_err(refused)?;
        match cluster.node(&node) {
            Ok(Some(node)) => names.see_node(node),
            Ok(None) => {
                gaps.push(Gap::new(format!("the node {node}"), "the API server knows none of this name (NODE_NAME)"));
            }
            Err(error) => gaps.push(refused(error)),
        }
        if self.kubelet_config.is_none() {
            // The config file on disk does as well.
            names.kubelet = cluster.kubelet_config(&node).ok();
        }
        Ok(gaps)
    }

    fn add_kubelet_config(&self, root: &HostRoot, names: &mut Directory, gaps: &mut Vec<Gap>) {
        if let Some(path) = &self.kubelet_config {
            let mut read = Directory::default();
            gaps.extend(read_saved(path, &mut read));
            match read.kubelet {
                Some(config) => names.kubelet = Some(config),
                None => gaps.push(Gap::new(path.display().to_string(), "no configuration of a kubelet is in it")),
            }
        } else if names.kubelet.is_none()
            && let Some(found) = ConfigFile::find(root)
        {
            gaps.extend(found.gaps);
            names.kubelet = Some(found.config);
        }
    }
}

fn add_containers(root: &HostRoot, names: &mut Directory, gaps: &mut Vec<Gap>) {
    let (missing, runtime) = see_containers(root, names);
    match runtime {
        Ok(()) => {}
        Err(CriError::NoRuntime { tried }) if tried.is_empty() => gaps.extend(missing),
        Err(error) => {
            gaps.extend(missing);
            gaps.push(Gap::new("containers, from the runtime", error.to_string()));
        }
    }
}

/// The containers of the node's files and of its runtime; what of the files could not be read, and whether the runtime answered.
pub(in crate::cli) fn see_containers(root: &HostRoot, names: &mut Directory) -> (Vec<Gap>, Result<(), CriError>) {
    let (containers, missing) = containers_on_disk(root);
    containers.into_iter().for_each(|container| names.see_container(container, Source::Disk));
    let by_runtime = Cri::connect(root, None).and_then(|runtime| runtime.containers());
    let runtime = by_runtime.map(|containers| {
        containers.into_iter().for_each(|container| names.see_container(container, Source::Cri));
    });
    (missing, runtime)
}

/// As the downward API tells a pod, else the machine's own, which is what kubelets take.
fn node_name(root: &HostRoot) -> Option<String> {
    let given = std::env::var("NODE_NAME").ok().filter(|name| !name.is_empty());
    given.or_else(|| host_name(root).map(|name| name.to_lowercase()))
}

/// The machine's own name.
pub(crate) fn host_name(root: &HostRoot) -> Option<String> {
    let name = std::fs::read_to_string(root.path("/proc/sys/kernel/hostname")).ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}
