//! Station 6 of the path: incident + diagnosis + version of the rules, the unit that is stored, shown and shared.

use serde::{Deserialize, Serialize};

use crate::diagnosis::{Diagnosis, RULESET};
use crate::incident::Incident;
use crate::kubernetes::Ending;
use crate::units::Bytes;

/// Name and version of the JSON form.
pub const SCHEMA: &str = "oomscope.case/v1";

/// One OOM event, explained. Serialises to the public JSON of `oomscope.case/v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// [`SCHEMA`].
    pub schema: String,
    /// Names the kill itself, see [`Case::id_of`].
    pub id: String,
    /// Raised when the same case is printed again with more evidence.
    pub revision: u32,
    /// Version of the rules: [`RULESET`].
    pub ruleset: String,
    /// What is known.
    pub incident: Incident,
    /// What it means.
    pub diagnosis: Diagnosis,
}

impl Case {
    /// Puts the two together.
    #[must_use]
    pub fn new(incident: Incident, diagnosis: Diagnosis) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            id: Self::id_of(&incident),
            revision: 1,
            ruleset: RULESET.to_owned(),
            incident,
            diagnosis,
        }
    }

    /// `oom-<boot>-<instant>-<victim>`: the first eight digits of the boot id (`x` where unknown), the microseconds since
    /// boot of the kill line (else `w` + the wall clock, else `l` + the line number), and the victim's pid (else the
    /// trigger's with a `t`, else `0`).
    ///
    /// An end that only Kubernetes tells is `end-<pod>-<instant>-<container>`.
    ///
    /// Two readers of the same kill, through different transports, arrive at the same id where both know these.
    #[must_use]
    pub fn id_of(incident: &Incident) -> String {
        if let Some(id) = id_by_kubernetes(incident) {
            return id;
        }
        let boot = incident
            .origin
            .boot_id
            .as_deref()
            .map_or_else(|| "x".to_owned(), |b| b.chars().filter(char::is_ascii_hexdigit).take(8).collect());
        let at = &incident.at;
        let instant = match (at.boot_us, at.wall, at.wall_local) {
            (Some(us), _, _) => us.0.to_string(),
            (None, Some(wall), _) => format!("w{}", wall.as_microsecond()),
            (None, None, Some(local)) => format!("w{}", local.strftime("%Y%m%dT%H%M%S%.f")),
            (None, None, None) => format!("l{}", incident.origin.lines.map_or(0, |l| l.0)),
        };
        let report = incident.report();
        let who = match (report.victims.first(), report.trigger.as_ref().and_then(|t| t.pid)) {
            (Some(victim), _) => victim.pid.to_string(),
            (None, Some(pid)) => format!("t{pid}"),
            (None, None) => "0".to_owned(),
        };
        format!("oom-{boot}-{instant}-{who}")
    }
}

/// What a container's name may have, and no more: an id becomes part of a file's name.
fn label(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(63).collect()
}

/// Of an end that only Kubernetes tells: `end-<pod uid>-<instant>-<container id>`, the first eight digits of each; `evicted` stands for
/// the container of a whole pod, its name for one whose id is not known.
fn id_by_kubernetes(incident: &Incident) -> Option<String> {
    let account = incident.kubernetes.as_ref().filter(|_| incident.kills.is_empty())?;
    let short = |id: Option<&String>| {
        id.map_or_else(|| "x".to_owned(), |id| id.chars().filter(char::is_ascii_hexdigit).take(8).collect())
    };
    let instant = match incident.at.wall {
        // A pod is evicted once, and when is known only as long as the event is.
        Some(at) if account.ending.is_some() => at.as_second().to_string(),
        _ => "x".to_owned(),
    };
    let what = match (&account.eviction, &account.ending) {
        (Some(_), None) => "evicted".to_owned(),
        // Of a container that the kubelet has lost, only the name is left.
        (_, Some(Ending { container_id: None, container: Some(name), .. })) => label(name),
        (_, ending) => short(ending.as_ref().and_then(|ending| ending.container_id.as_ref())),
    };
    Some(format!("end-{}-{instant}-{what}", short(account.pod.as_ref().and_then(|pod| pod.uid.as_ref()))))
}

/// What else a log says of a kill: enough to tell two apart that have the same id by chance, as on two machines of a fleet
/// that boot in step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    host: Option<String>,
    victim: Option<String>,
    total_vm: Option<Bytes>,
    anon: Option<Bytes>,
}

impl Marks {
    /// Longer names are compared by their beginnings (Linux: `HOST_NAME_MAX`; a process name has 15).
    const LONGEST_NAME: usize = 64;

    /// Those of the first victim.
    #[must_use]
    pub fn of(incident: &Incident) -> Self {
        let name = |name: &str| name.chars().take(Self::LONGEST_NAME).collect();
        let victim = incident.report().victims.first();
        Self {
            host: incident.origin.host.as_deref().map(name),
            victim: victim.and_then(|v| v.comm.as_ref()).map(|comm| name(&comm.0.to_lossy())),
            total_vm: victim.and_then(|v| v.total_vm_bytes),
            anon: victim.and_then(|v| v.anon_bytes),
        }
    }

    /// Takes over what `other`, of the same kill, knows and `self` does not.
    pub fn fill_from(&mut self, other: Self) {
        self.host = self.host.take().or(other.host);
        self.victim = self.victim.take().or(other.victim);
        self.total_vm = self.total_vm.or(other.total_vm);
        self.anon = self.anon.or(other.anon);
    }

    /// True unless both know something in which they differ.
    #[must_use]
    pub fn agree(&self, other: &Self) -> bool {
        fn both<T>(one: Option<&T>, other: Option<&T>, same: impl Fn(&T, &T) -> bool) -> bool {
            one.zip(other).is_none_or(|(one, other)| same(one, other))
        }
        both(self.host.as_ref(), other.host.as_ref(), |a, b| is_same_host(a, b))
            && both(self.victim.as_ref(), other.victim.as_ref(), |a, b| a == b)
            && both(self.total_vm.as_ref(), other.total_vm.as_ref(), |a, b| a == b)
            && both(self.anon.as_ref(), other.anon.as_ref(), |a, b| a == b)
    }
}

/// syslog often writes `web-1` where the journal of the same machine writes `web-1.example.org`.
fn is_same_host(one: &str, other: &str) -> bool {
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    let begins = long.as_bytes().get(..short.len()).is_some_and(|start| start.eq_ignore_ascii_case(short.as_bytes()));
    begins && matches!(long.as_bytes().get(short.len()), None | Some(b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(host: Option<&str>, victim: Option<&str>, anon: Option<u64>) -> Marks {
        Marks {
            host: host.map(str::to_owned),
            victim: victim.map(str::to_owned),
            total_vm: None,
            anon: anon.map(Bytes),
        }
    }

    /// Only what both sides know can tell kills apart, and a host may go by its short name.
    #[test]
    fn marks_tell_kills_apart() {
        let one = marks(Some("web-1"), Some("java"), Some(4096));
        assert!(one.agree(&one));
        assert!(one.agree(&marks(None, None, None)));
        assert!(one.agree(&marks(Some("WEB-1.example.org"), Some("java"), None)));
        assert!(!one.agree(&marks(Some("web-10"), Some("java"), Some(4096))));
        assert!(!one.agree(&marks(None, Some("redis"), Some(4096))));
        assert!(!one.agree(&marks(None, None, Some(8192))));
    }
}
