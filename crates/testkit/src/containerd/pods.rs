//! Pods, run as the kubelet runs them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::image::IMAGE;
use super::messages::{
    ContainerConfig, ContainerMetadata, CreateContainerRequest, Id, ImageSpec, LinuxContainerConfig,
    LinuxContainerResources, LinuxContainerSecurityContext, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, Mount,
    NamespaceOption, Nothing, PodSandboxConfig, PodSandboxMetadata, RunPodSandboxRequest, StopContainerRequest,
};
use super::{ContainerSpec, Containerd, PodSpec, lock};

/// A pod that was started.
#[derive(Debug)]
pub struct RunningPod {
    /// As asked for.
    pub spec: PodSpec,
    /// Id of its sandbox.
    pub sandbox_id: String,
    /// Ids of the latest instance of its containers, by name.
    pub containers: BTreeMap<String, String>,
    /// Its cgroup in the memory hierarchy.
    pub cgroup: PathBuf,
    config: PodSandboxConfig,
    control: PathBuf,
}

impl RunningPod {
    /// The id of a container.
    ///
    /// # Panics
    /// Where it has no such container.
    #[must_use]
    pub fn id(&self, container: &str) -> &str {
        &self.containers[container]
    }

    /// Lets its containers that wait go on.
    ///
    /// # Panics
    /// Where the file cannot be written.
    pub fn go(&self) {
        fs::write(self.control.join("go"), "").expect("writing into the shared folder");
    }

    /// Makes containers that are started from now on wait again.
    ///
    /// # Panics
    /// Where it was not told to go.
    pub fn wait_again(&self) {
        fs::remove_file(self.control.join("go")).expect("the pod was told to go");
    }
}

impl Containerd {
    /// Runs a pod: cgroup, volumes, sandbox, containers, in the kubelet's order.
    ///
    /// # Errors
    /// In the words of containerd or runc.
    pub fn run_pod(&self, spec: PodSpec) -> Result<RunningPod> {
        self.cgroups.make(&spec.cgroup(), spec.memory_limit())?;
        let control = self.root().join("control").join(&spec.uid);
        fs::create_dir_all(&control)?;
        fs::create_dir_all(self.below_root(&spec.log_folder()))?;
        for (name, size) in &spec.memory_volumes {
            mount_tmpfs(&self.volume(&spec, name), size.0)?;
        }
        let config = self.sandbox_config(&spec);
        let sandbox: Id = self.client.call("RunPodSandbox", RunPodSandboxRequest { config: Some(config.clone()) })?;
        lock(&self.sandboxes).push(sandbox.clone());
        let containers = spec.containers.clone();
        let cgroup = self.cgroup().join(spec.cgroup());
        let mut pod = RunningPod { spec, sandbox_id: sandbox.id, containers: BTreeMap::new(), cgroup, config, control };
        for container in &containers {
            self.start_container(&mut pod, container)?;
        }
        Ok(pod)
    }

    /// Starts a container in a pod, or another instance of one: then `restarts` is to be higher.
    ///
    /// # Errors
    /// In the words of containerd or runc.
    pub fn start_container(&self, pod: &mut RunningPod, spec: &ContainerSpec) -> Result<()> {
        fs::create_dir_all(self.below_root(&pod.spec.log_folder()).join(&spec.name))?;
        let request = CreateContainerRequest {
            pod_sandbox_id: pod.sandbox_id.clone(),
            config: Some(self.container_config(pod, spec)),
            sandbox_config: Some(pod.config.clone()),
        };
        let container: Id = self.client.call("CreateContainer", request)?;
        let Nothing {} = self.client.call("StartContainer", container.clone())?;
        self.link_log(&pod.spec, spec, &container.id)?;
        pod.containers.insert(spec.name.clone(), container.id);
        Ok(())
    }

    /// Ends a container: SIGTERM, and SIGKILL after the grace period.
    ///
    /// # Errors
    /// In the words of containerd.
    pub fn stop_container(&self, id: &str, grace_seconds: i64) -> Result<()> {
        let request = StopContainerRequest { id: id.to_owned(), timeout_seconds: grace_seconds };
        self.client.call::<_, Nothing>("StopContainer", request).map(drop)
    }

    /// Removes what the runtime remembers of a container that has ended.
    ///
    /// # Errors
    /// In the words of containerd.
    pub fn remove_container(&self, id: &str) -> Result<()> {
        self.client.call::<_, Nothing>("RemoveContainer", Id { id: id.to_owned() }).map(drop)
    }

    fn below_root(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    fn volume(&self, pod: &PodSpec, name: &str) -> PathBuf {
        self.root().join("var/lib/kubelet/pods").join(&pod.uid).join("volumes/kubernetes.io~empty-dir").join(name)
    }

    fn sandbox_config(&self, spec: &PodSpec) -> PodSandboxConfig {
        let own = spec.labels.iter().map(|(name, value)| (name.clone(), value.clone()));
        PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: spec.name.clone(),
                uid: spec.uid.clone(),
                namespace: spec.namespace.clone(),
            }),
            log_directory: self.below_root(&spec.log_folder()).display().to_string(),
            labels: own.chain(kubelet_labels(spec)).collect(),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: self.cgroups.path(&spec.cgroup()),
                security_context: Some(LinuxSandboxSecurityContext { namespace_options: Some(NAMESPACES) }),
            }),
        }
    }

    fn container_config(&self, pod: &RunningPod, spec: &ContainerSpec) -> ContainerConfig {
        let name = ("io.kubernetes.container.name".to_owned(), spec.name.clone());
        let mut mounts = vec![mount(&pod.control, Path::new("/control"))];
        mounts.extend(spec.mounts.iter().map(|(name, at)| mount(&self.volume(&pod.spec, name), at)));
        let limit = spec.memory_limit.map_or(0, |limit| i64::try_from(limit.0).unwrap_or(i64::MAX));
        ContainerConfig {
            metadata: Some(ContainerMetadata { name: spec.name.clone(), attempt: spec.restarts }),
            image: Some(ImageSpec { image: IMAGE.to_owned() }),
            command: ["/bin/sh", "-c", &spec.script].map(str::to_owned).to_vec(),
            mounts,
            labels: kubelet_labels(&pod.spec).into_iter().chain([name]).collect(),
            annotations: HashMap::from([(
                "io.kubernetes.container.restartCount".to_owned(),
                spec.restarts.to_string(),
            )]),
            log_path: format!("{}/{}.log", spec.name, spec.restarts),
            linux: Some(LinuxContainerConfig {
                resources: Some(LinuxContainerResources {
                    memory_limit_in_bytes: limit,
                    oom_score_adj: i64::from(spec.oom_score_adj),
                }),
                security_context: Some(LinuxContainerSecurityContext { namespace_options: Some(NAMESPACES) }),
            }),
        }
    }

    /// The link by which log collectors find a container's log.
    fn link_log(&self, pod: &PodSpec, container: &ContainerSpec, id: &str) -> Result<()> {
        let link = format!("{}_{}_{}-{id}.log", pod.name, pod.namespace, container.name);
        let target = format!("{}/{}/{}.log", pod.log_folder(), container.name, container.restarts);
        Ok(symlink(target, self.root().join("var/log/containers").join(link))?)
    }
}

/// The machine's network, and a process namespace for each container.
const NAMESPACES: NamespaceOption = NamespaceOption { network: 2, pid: 1 };

fn kubelet_labels(spec: &PodSpec) -> [(String, String); 3] {
    [
        ("io.kubernetes.pod.name".to_owned(), spec.name.clone()),
        ("io.kubernetes.pod.namespace".to_owned(), spec.namespace.clone()),
        ("io.kubernetes.pod.uid".to_owned(), spec.uid.clone()),
    ]
}

fn mount(host: &Path, container: &Path) -> Mount {
    Mount { container_path: container.display().to_string(), host_path: host.display().to_string() }
}

fn mount_tmpfs(at: &Path, size: u64) -> Result<()> {
    fs::create_dir_all(at)?;
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at).output();
    let mount = mount.context("running mount")?;
    ensure!(mount.status.success(), "mounting a tmpfs: {}", String::from_utf8_lossy(&mount.stderr));
    Ok(())
}
