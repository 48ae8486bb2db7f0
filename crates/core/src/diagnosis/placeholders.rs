//! Real names in what is to be pasted, where the incident knows them.
//!
//! Only names that the API server would accept: what a stranger has put into a saved object must not reach a shell.

use super::Remedy;
use crate::incident::Incident;

/// Fills in what is known; what is not stays a placeholder.
pub(super) fn fill_in(remedy: &mut Remedy, incident: &Incident) {
    let Some(patch) = &mut remedy.patch else { return };
    if patch.starts_with("kubectl ") {
        if let Some(pod) = pod(incident) {
            *patch = patch.replace("<pod>", &pod);
        }
        let node = incident.identity.as_ref().and_then(|identity| identity.node.as_deref());
        if let Some(node) = node.filter(|name| is_plain(name)) {
            *patch = patch.replace("<node>", node);
        }
    } else if patch.starts_with("volumes:") {
        let pod = incident.kubernetes.as_ref().and_then(|account| account.pod.as_ref());
        if let Some([volume]) =
            pod.map(|pod| pod.memory_volumes.as_slice()).filter(|volumes| volumes.iter().all(|name| is_plain(name)))
        {
            *patch = patch.replace("<volume>", volume);
        }
    }
}

/// `checkout-api-7f9c -n shop`
fn pod(incident: &Incident) -> Option<String> {
    let identity = incident.identity.as_ref()?;
    let (namespace, pod) = (identity.namespace.as_deref()?, identity.pod.as_deref()?);
    (is_plain(namespace) && is_plain(pod)).then(|| format!("{pod} -n {namespace}"))
}

/// A DNS subdomain (RFC 1123), which names of pods, nodes and volumes are.
pub(crate) fn is_plain(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    (1..=253).contains(&name.len()) && name.bytes().all(allowed) && !name.starts_with(['-', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::identity::Identity;

    fn filled(patch: &str, pod: &str) -> String {
        let identity =
            Identity { namespace: Some("shop".to_owned()), pod: Some(pod.to_owned()), ..Identity::default() };
        let incident = Incident { identity: Some(identity), ..Incident::default() };
        let mut remedy = Remedy { title: String::new(), detail: String::new(), patch: Some(patch.to_owned()) };
        fill_in(&mut remedy, &incident);
        remedy.patch.unwrap()
    }

    /// A known pod is named; a name that is none reaches no shell; what means something else stays.
    #[test]
    fn names() {
        assert_eq!(filled("kubectl delete pod <pod>", "api-1"), "kubectl delete pod api-1 -n shop");
        assert_eq!(filled("kubectl delete pod <pod>", "x; reboot"), "kubectl delete pod <pod>");
        assert_eq!(filled("numactl --preferred=<node>", "api-1"), "numactl --preferred=<node>");
    }
}
