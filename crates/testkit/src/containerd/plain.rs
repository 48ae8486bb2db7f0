//! Containers outside of Kubernetes, run with containerd's own client.

use anyhow::Result;

use super::image::IMAGE;
use super::{ContainerSpec, Containerd, lock};

impl Containerd {
    /// Runs a container as `ctr`, `nerdctl` or Docker do, in a namespace of containerd's (`default`, `moby`); its id is the spec's name.
    /// There is no shared folder to wait at: its script begins at once.
    ///
    /// # Errors
    /// In the words of containerd or runc.
    pub fn run_plain(&self, namespace: &str, spec: &ContainerSpec) -> Result<()> {
        self.import_image(&self.root().join("image/image.tar"), namespace)?;
        self.cgroups.make(namespace, None)?;
        let cgroup = self.cgroups.path(&format!("{namespace}/{}", spec.name));
        let limit = spec.memory_limit.map(|limit| limit.0.to_string());
        // By default these two are the machine's.
        let [runc, fifos] = ["run/runc", "run/fifo"].map(|folder| self.root().join(folder).display().to_string());
        let mut arguments =
            vec!["run", "--detach", "--snapshotter", "native", "--runc-root", &runc, "--fifo-dir", &fifos];
        arguments.extend(["--cgroup", &cgroup]);
        if let Some(limit) = &limit {
            arguments.extend(["--memory-limit", limit]);
        }
        arguments.extend([IMAGE, &spec.name, "/bin/sh", "-c", &spec.script]);
        lock(&self.plain).push((namespace.to_owned(), spec.name.clone()));
        self.ctr(namespace, arguments).map(drop)
    }

    /// Ends and removes them all.
    pub(super) fn remove_plain(&self) {
        for (namespace, id) in std::mem::take(&mut *lock(&self.plain)) {
            for arguments in [["task", "rm", "--force", &id], ["container", "rm", "--keep-snapshot", &id]] {
                let _ = self.ctr(&namespace, arguments);
            }
        }
    }
}
