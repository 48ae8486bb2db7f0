//! The kubelet, asked directly.

use oomscope_sources::kubernetes::Why;
use oomscope_sources::kubernetes::kubelet::{Kubelet, KubeletAccess};
use oomscope_testkit::kubernetes::{FakeCluster, Misbehaviour, Scenario, Who};

use crate::support::{Followed, kubelet_access, options, wait};

/// The read-only port tells pods and statistics, but no configuration; no token is shown to it.
#[test]
fn the_read_only_port() {
    let fake = FakeCluster::start();
    fake.load(&Scenario::own("02-sidecar-killed"));
    let kubelet = Kubelet::connect(&kubelet_access(&fake), None).unwrap();
    let pods = kubelet.pods().unwrap();
    assert_eq!((pods.objects.len(), pods.refused.len()), (1, 0));
    assert!(kubelet.stats_summary().unwrap()["node"].is_object());
    assert!(matches!(kubelet.config().unwrap_err().why, Why::NotConfigured(_)));
    assert!(fake.requests().iter().all(|request| request.authorization.is_none()));
    fake.misbehave(Who::Kubelet, "/pods", Misbehaviour::Status(500));
    let error = kubelet.pods().unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("the kubelet's /pods from http://127.0.0.1:{}", fake.kubelet_port())),
        "{error}"
    );
}

/// Who may ask nobody says so.
#[test]
fn nobody_to_ask() {
    let access = KubeletAccess { read_only_port: None, token_file: None, ..KubeletAccess::default() };
    let error = Kubelet::connect(&access, None).unwrap().pods().unwrap_err();
    assert!(matches!(error.why, Why::NotConfigured(_)), "{error}");
}

/// Where `/configz` may not be read, the feed takes the kubelet's file; where there is none either, that is a gap.
#[test]
fn the_configuration() {
    const CONFIG: &str = "configuration of the kubelet";
    let fake = FakeCluster::start();
    let followed = Followed::of(&fake);
    wait(|| followed.gaps_told(CONFIG) == (1, 0), || format!("a gap; {:?}", followed.told()));
    drop(followed);
    std::fs::create_dir_all(fake.folder().join("var/lib/kubelet")).unwrap();
    std::fs::write(fake.folder().join("var/lib/kubelet/config.yaml"), "evictionHard: {memory.available: 300Mi}\n")
        .unwrap();
    let followed = Followed::start(options(&fake));
    wait(|| followed.directory(|directory| directory.kubelet.is_some()), || "the configuration".to_owned());
    assert_eq!(followed.gaps_told(CONFIG), (0, 0));
}
