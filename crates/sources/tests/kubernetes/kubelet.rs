//! The kubelet, asked directly.

use oomscope_sources::kubernetes::Why;
use oomscope_sources::kubernetes::kubelet::{Kubelet, KubeletAccess};
use oomscope_testkit::kubernetes::{FakeCluster, Misbehaviour, Scenario, TOKEN, Who};

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

fn secure(fake: &FakeCluster) -> KubeletAccess {
    let token = fake.folder().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    KubeletAccess {
        secure_port: Some(fake.secure_kubelet_port()),
        read_only_port: None,
        token_file: Some(token),
        ca_file: Some(FakeCluster::kubelet_ca()),
        ..kubelet_access(fake)
    }
}

/// Over a certificate that the cluster's CA signed, the token is shown and everything is told.
#[test]
fn the_secure_port() {
    let fake = FakeCluster::start();
    fake.load(&Scenario::own("02-sidecar-killed"));
    let kubelet = Kubelet::connect(&secure(&fake), None).unwrap();
    assert!(kubelet.config().unwrap().memory_thresholds().hard.is_some());
    assert_eq!(kubelet.pods().unwrap().objects.len(), 1);
}

/// The token is not shown to whoever has another certificate, unless it was said that any will do.
#[test]
fn an_unknown_certificate() {
    let fake = FakeCluster::start();
    fake.load(&Scenario::own("02-sidecar-killed"));
    let mut access = KubeletAccess { ca_file: None, ..secure(&fake) };
    let error = Kubelet::connect(&access, None).unwrap().config().unwrap_err();
    assert!(matches!(error.why, Why::Unreachable(_)) && error.to_string().contains("certificate"), "{error}");
    assert!(fake.requests().is_empty());
    access.insecure = true;
    assert!(Kubelet::connect(&access, None).unwrap().config().is_ok());
}

/// A token that the kubelet does not take is said to be the reason, without the token.
#[test]
fn a_wrong_token() {
    let fake = FakeCluster::start();
    let access = secure(&fake);
    std::fs::write(access.token_file.as_ref().unwrap(), "0ther").unwrap();
    let error = Kubelet::connect(&access, None).unwrap().pods().unwrap_err();
    assert!(matches!(error.why, Why::NotLoggedIn(_)) && !error.to_string().contains("0ther"), "{error}");
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
