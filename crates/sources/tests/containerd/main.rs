//! A real containerd with real pods, some of whose containers are killed for want of memory: what it says over CRI, and what is on disk.

use std::time::{Duration, Instant};

use oomscope_core::kubernetes::{ContainerKind, RuntimeContainer};
use oomscope_core::units::Bytes;
use oomscope_sources::kubernetes::cri::Cri;
use oomscope_sources::kubernetes::disk::{container_on_disk, containers_on_disk};
use oomscope_testkit::containerd::{ContainerSpec, Containerd, PodSpec};

const LIMIT: Bytes = Bytes(24 << 20);
const UID: &str = "5cd4824c-a82e-4eea-a2f6-7b07bcda1ac2";

#[test]
fn killed() {
    let t = Instant::now();
    let Some(containerd) = Containerd::or_skip("killed") else { return };
    println!("up {:?}", t.elapsed());
    let pod = PodSpec::new(
        "shop",
        "checkout-1",
        UID,
        vec![ContainerSpec::hog("api", LIMIT), ContainerSpec::idle("log", None)],
    );
    let pod = containerd.run_pod(pod).unwrap();
    println!("pod {:?}", t.elapsed());
    let cri = Cri::connect(&containerd.host_root(), None).unwrap();
    println!("{} {} {} {:?}", cri.name(), cri.version(), cri.api(), cri.cgroup_driver());
    for c in cri.containers().unwrap() {
        println!("{c:#?}");
    }
    println!("{:#?}", container_on_disk(&containerd.host_root(), pod.id("api")));
    println!(
        "{}",
        String::from_utf8_lossy(
            &std::process::Command::new("find")
                .arg(containerd.root())
                .args([
                    "-path",
                    "*snapshots*",
                    "-prune",
                    "-o",
                    "-path",
                    "*/blobs/*",
                    "-prune",
                    "-o",
                    "-path",
                    "*/rootfs/*",
                    "-prune",
                    "-o",
                    "-print"
                ])
                .output()
                .unwrap()
                .stdout
        )
    );
    pod.go();
    std::thread::sleep(Duration::from_secs(2));
    println!("{:#?}", cri.container(pod.id("api")));
    println!(
        "{}",
        String::from_utf8_lossy(
            &std::process::Command::new("find")
                .arg(containerd.root())
                .args([
                    "-path",
                    "*snapshots*",
                    "-prune",
                    "-o",
                    "-path",
                    "*/blobs/*",
                    "-prune",
                    "-o",
                    "-path",
                    "*/rootfs/*",
                    "-prune",
                    "-o",
                    "-print"
                ])
                .output()
                .unwrap()
                .stdout
        )
    );
    println!("{}", String::from_utf8_lossy(&std::process::Command::new("sh").arg("-c").arg(format!("cd {}; cat var/lib/containerd/io.containerd.grpc.v1.cri/containers/*/status; cat proc/self/cgroup; ls run/containerd; cat containerd.log | tail -20", containerd.root().display())).output().unwrap().stdout));
    drop(pod);
    let t = Instant::now();
    drop(containerd);
    println!("down {:?}", t.elapsed());
}
