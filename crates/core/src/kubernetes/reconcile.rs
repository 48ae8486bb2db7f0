//! Puts the two accounts side by side: to each kill of the kernel what Kubernetes says of its container, and to each end of a container
//! that Kubernetes tells of, the kills of the kernel in that pod, which may be none.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::account::{Account, ContainerAccount, Coverage, EndedBy, Eviction, KernelSide, KillSeen, NodeAccount};
use super::clock_tie::{Bound, ClockTie, Span};
use super::shown::{container_account, eviction, node_account, of_runtime, pod_account, runtime_account, told};
use super::witness::{KillWitness, LogClock, end_of_second, is_side_by_side};
use super::{Directory, Ending, Event, PodRecord, RuntimeContainer, Source};
use crate::case::Case;
use crate::incident::identity::Identity;
use crate::incident::{Incident, Origin};
use crate::time::When;

/// A container that ends this long after a kill was not ended by it: the first process of a container that dies takes the others with
/// it within milliseconds, and the API keeps whole seconds.
const AT_ONCE_S: i64 = 3;
/// Kills of a pod that an account cites, the latest ones.
const KILLS: usize = 16;
/// `origin.source` of a case that Kubernetes tells and no kernel.
pub const KUBERNETES: &str = "kubernetes";

/// What of the kernel's log was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogRead {
    /// Nothing.
    #[default]
    Nothing,
    /// Logs, which cover what they cover.
    Logs,
    /// A watcher has followed it without a loss since then.
    Since(Timestamp),
}

/// The two accounts of one node, ready to be compared.
#[derive(Debug)]
pub struct Reconciler<'a> {
    directory: &'a Directory,
    kills: &'a [KillWitness],
    log: LogRead,
    boot: Option<ClockTie>,
    local: Option<ClockTie>,
    /// Nodes of the pods that the kills are of: whose log it is. Empty where no pod of a kill is known.
    nodes: BTreeSet<&'a str>,
}

impl<'a> Reconciler<'a> {
    /// `kills`: every kill known, in any order.
    #[must_use]
    pub fn new(directory: &'a Directory, kills: &'a [KillWitness], log: LogRead) -> Self {
        let of_kill = |kill: &KillWitness| {
            let uid = kill.pod_uid.as_deref().or(kill.limit_pod_uid.as_deref())?;
            directory.pod(uid)?.pod.spec.node_name.as_deref()
        };
        let nodes = kills.iter().filter_map(of_kill).collect();
        let mut reconciler = Self { directory, kills, log, boot: None, local: None, nodes };
        reconciler.boot = reconciler.tie(LogClock::Boot);
        reconciler.local = reconciler.tie(LogClock::Local);
        reconciler
    }

    /// What Kubernetes says beside a kill; `None` where nobody knows its pod or container.
    #[must_use]
    pub fn account(&self, case: &Case) -> Option<Account> {
        self.account_of(&case.id, &case.incident)
    }

    /// The same for an incident, by the id of its case.
    #[must_use]
    pub fn account_of(&self, id_of_case: &str, incident: &Incident) -> Option<Account> {
        let witness = self.kills.iter().find(|kill| kill.case == id_of_case);
        let nobody = Identity::default();
        let identity = incident.identity.as_ref().unwrap_or(&nobody);
        let id = identity.container_id.as_deref();
        let record = identity.pod_uid.as_deref().and_then(|uid| self.directory.pod(uid));
        let runtime = id.and_then(|id| self.directory.runtime_container(id));
        let mut account = match (record, runtime) {
            (Some(record), _) => self.of_pod(record),
            (None, Some(container)) => of_runtime(container, self.directory)?,
            (None, None) => self.of_node(witness?)?,
        };
        let pod = record.map(PodRecord::with_statuses);
        let name = identity.container.as_deref();
        let by_status = pod.zip(name).map(|(pod, name)| container_account(pod, name, account.source));
        account.container = by_status.or(account.container);
        account.ending = id.and_then(|id| self.ending_of(record, id));
        account.ended_by = witness.and_then(|kill| match &account.ending {
            Some(ending) => Some(self.ended_by(kill, ending, record)),
            // Whatever a status shows that is older.
            None => (self.hit_first_process(kill, record) == Some(true)).then_some(EndedBy::Kill),
        });
        account.kernel = self.kernel_side(identity, account.ending.as_ref(), Some(id_of_case), incident.at.wall);
        account.node = account.node.or_else(|| self.of_node(witness?)?.node);
        if let (Some(node), Some(kill)) = (&mut account.node, witness) {
            self.add_system_oom_events(node, kill);
        }
        Some(account)
    }

    /// Every end that Kubernetes tells as an OOM kill, a SIGKILL or an eviction, and that no kill of the kernel explains; in no order.
    #[must_use]
    pub fn untold(&self) -> Vec<Incident> {
        let by_pods = self.directory.pods().flat_map(|(uid, record)| self.untold_of(uid, record));
        by_pods.chain(self.untold_by_the_runtime()).collect()
    }

    /// The same, of containers whose pod nobody but the runtime knows.
    fn untold_by_the_runtime(&self) -> impl Iterator<Item = Incident> + '_ {
        let of_pod = |container: &RuntimeContainer| {
            container.pod_uid.as_deref().is_some_and(|uid| self.directory.pod(uid).is_some())
        };
        let alone = self
            .directory
            .containers()
            .filter(move |(container, _)| container.container.is_some() && !of_pod(container));
        alone.filter_map(|(container, source)| {
            let ending = Ending::of_runtime(container, source).filter(is_worth_a_case)?;
            let is_explained =
                self.kills_in(&ending).any(|kill| self.ended_by(kill, &ending, None) != EndedBy::Otherwise);
            let account = of_runtime(container, self.directory).filter(|_| !is_explained)?;
            let mut identity = Identity { container_id: Some(container.id.clone()), ..Identity::default() };
            self.directory.complete(&mut identity);
            Some(self.incident(identity, Account { ending: Some(ending), ..account }))
        })
    }

    /// The same, of one pod.
    #[must_use]
    pub fn untold_of(&self, uid: &str, record: &PodRecord) -> Vec<Incident> {
        let eviction = eviction(record);
        let mut found = Vec::new();
        let is_of_eviction = |ending: &Ending| {
            let Some(eviction) = &eviction else { return false };
            eviction
                .at
                .zip(ending.finished)
                .is_none_or(|(evicted, ended)| ended.as_second() + AT_ONCE_S >= evicted.as_second())
        };
        let runtime = self.directory.containers().filter(|(container, _)| container.pod_uid.as_deref() == Some(uid));
        let by_runtime = runtime.filter_map(|(container, source)| Ending::of_runtime(container, source));
        let known = |ending: &Ending| record.endings.iter().any(|known| known.is_same(ending));
        let endings = record.endings.iter().cloned().chain(by_runtime.filter(|ending| !known(ending)));
        for ending in endings.filter(is_worth_a_case).filter(|ending| !is_of_eviction(ending)) {
            if !self.is_explained(&ending, record) {
                found.push(self.incident_of(uid, record, Some(ending), None));
            }
        }
        found.extend(eviction.map(|eviction| self.incident_of(uid, record, None, Some(eviction))));
        found
    }

    fn incident_of(
        &self,
        uid: &str,
        record: &PodRecord,
        ending: Option<Ending>,
        eviction: Option<Eviction>,
    ) -> Incident {
        let mut identity = Identity {
            pod_uid: Some(uid.to_owned()),
            container_id: ending.as_ref().and_then(|ending| ending.container_id.clone()),
            container: ending.as_ref().and_then(|ending| ending.container.clone()),
            container_kind: ending.as_ref().and_then(|ending| ending.kind),
            ..Identity::default()
        };
        self.directory.complete(&mut identity);
        if ending.is_none() {
            (identity.container, identity.container_kind, identity.image) = (None, None, None);
        }
        let mut account = self.of_pod(record);
        let name = ending.as_ref().and_then(|ending| ending.container.as_deref());
        account.container = name.map(|name| container_account(record.with_statuses(), name, account.source));
        account.ending = ending;
        account.eviction = eviction;
        self.incident(identity, account)
    }

    /// An end as a case of its own, with what the kernel's side has beside it.
    fn incident(&self, identity: Identity, mut account: Account) -> Incident {
        let ended = account.ending.as_ref().and_then(|ending| ending.finished);
        let wall =
            if account.ending.is_some() { ended } else { account.eviction.as_ref().and_then(|eviction| eviction.at) };
        account.kernel = self.kernel_side(&identity, account.ending.as_ref(), None, wall);
        let mut incident = Incident {
            at: When { wall, ..When::default() },
            origin: Origin { source: KUBERNETES.to_owned(), host: identity.node.clone(), ..Origin::default() },
            identity: Some(identity),
            ..Incident::default()
        };
        incident.add_kubernetes(account);
        incident
    }

    /// What Kubernetes says of a pod, with the pods' own events.
    #[must_use]
    pub fn account_of_pod(&self, record: &PodRecord) -> Account {
        self.of_pod(record)
    }

    /// Every container of a pod, by its latest status that has them.
    #[must_use]
    pub fn containers_of(record: &PodRecord) -> Vec<ContainerAccount> {
        let pod = record.with_statuses();
        let is_lost = record.pod.statuses().next().is_none();
        let account = |name: &str| {
            let account = container_account(pod, name, record.source);
            // How they were before the status lost them is not how they are.
            if is_lost { ContainerAccount { state: None, ready: None, ..account } } else { account }
        };
        pod.containers().map(|(_, container)| account(&container.name)).collect()
    }

    /// Every container of a pod that only the runtime knows, each by its latest instance.
    #[must_use]
    pub fn containers_of_runtime(directory: &Directory, uid: &str) -> Vec<ContainerAccount> {
        let mut latest: indexmap::IndexMap<&str, &RuntimeContainer> = indexmap::IndexMap::new();
        for (container, _) in directory.containers().filter(|(container, _)| container.pod_uid.as_deref() == Some(uid))
        {
            let Some(name) = container.container.as_deref() else { continue };
            let known = latest.entry(name).or_insert(container);
            if known.started < container.started {
                *known = container;
            }
        }
        latest.into_values().filter_map(runtime_account).collect()
    }

    fn of_pod(&self, record: &PodRecord) -> Account {
        Account {
            source: record.source,
            as_of: record.seen,
            pod: Some(pod_account(record, self.directory.labels())),
            container: None,
            ending: None,
            ended_by: None,
            eviction: eviction(record),
            events: record.events.iter().map(told).collect(),
            node: node_account(self.directory, record.pod.spec.node_name.as_deref()),
            kernel: KernelSide::default(),
        }
    }

    /// How an instance ended, by the best witness.
    fn ending_of(&self, record: Option<&PodRecord>, id: &str) -> Option<Ending> {
        let is_it = |ending: &&Ending| ending.container_id.as_deref().is_some_and(|full| full.starts_with(id));
        let by_status = record.and_then(|record| record.endings.iter().find(is_it).cloned());
        by_status.or_else(|| {
            let container = self.directory.runtime_container(id)?;
            let source =
                self.directory.containers().find(|(known, _)| known.id == container.id).map(|(_, source)| source);
            Ending::of_runtime(container, source.unwrap_or(Source::Cri))
        })
    }

    /// Whether some kill ended this instance.
    fn is_explained(&self, ending: &Ending, record: &PodRecord) -> bool {
        self.kills_in(ending).any(|kill| {
            matches!(
                self.ended_by(kill, ending, Some(record)),
                EndedBy::Kill | EndedBy::ChildsStatus | EndedBy::Unknown
            )
        })
    }

    fn kills_in(&self, ending: &Ending) -> impl Iterator<Item = &'a KillWitness> {
        let id = ending.container_id.clone();
        self.kills.iter().filter(move |kill| id.is_some() && kill.container_id == id)
    }

    fn ended_by(&self, kill: &KillWitness, ending: &Ending, record: Option<&PodRecord>) -> EndedBy {
        // A first process that the kernel kills leaves 137, or nothing where the runtime's own had not become it yet; any other code is
        // its own word.
        if !ending.is_sigkill() && !ending.failed_to_start() {
            return EndedBy::Otherwise;
        }
        let before = self.seconds_before(kill, ending);
        if before.is_some_and(|(least, most)| least > AT_ONCE_S || most < -AT_ONCE_S) {
            return EndedBy::Otherwise;
        }
        let at_once = before.is_some_and(|(_, most)| most <= AT_ONCE_S + 2);
        match (self.hit_first_process(kill, record), at_once) {
            (Some(true), _) => EndedBy::Kill,
            // Another kill, right after this one, may have hit it.
            (Some(false), true)
                if self.kills_in(ending).any(|kill| self.hit_first_process(kill, record) == Some(true)) =>
            {
                EndedBy::Otherwise
            }
            (Some(false), true) => EndedBy::ChildsStatus,
            (Some(false), false) => EndedBy::Otherwise,
            (None, true) => EndedBy::Kill,
            (None, false) => EndedBy::Unknown,
        }
    }

    fn hit_first_process(&self, kill: &KillWitness, record: Option<&PodRecord>) -> Option<bool> {
        let alone = record
            .is_some_and(|record| record.pod.containers().filter(|(kind, _)| is_side_by_side(*kind)).count() == 1);
        let init = kill.container_id.as_deref().and_then(|id| self.directory.runtime_container(id)?.init_pid);
        kill.hit_first_process(init, alone)
    }

    /// Seconds from a kill to an end, at least and at most.
    fn seconds_before(&self, kill: &KillWitness, ending: &Ending) -> Option<(i64, i64)> {
        let (span, end) = (self.span(kill)?, ending.finished?);
        let seconds = |from: Timestamp, to: Timestamp| to.as_second() - from.as_second();
        Some((seconds(span.to, end), seconds(span.from, end_of_second(end))))
    }

    /// Whether a kill was in another container while this instance was running. A restarted container is not another one.
    fn is_beside(&self, kill: &KillWitness, ending: &Ending) -> Option<bool> {
        let name = kill.container_id.as_deref().and_then(|id| self.directory.container_name(id));
        if name.is_some() && name == ending.container.as_deref() {
            return Some(false);
        }
        let (span, started, finished) = (self.span(kill)?, ending.started?, ending.finished?);
        Some(span.to >= started && span.from <= end_of_second(finished))
    }

    /// When a kill was, on the wall.
    fn span(&self, kill: &KillWitness) -> Option<Span> {
        kill.wall().or_else(|| {
            let (clock, us) = kill.log_us()?;
            let tie = if clock == LogClock::Boot { self.boot } else { self.local };
            tie?.span_of(us)
        })
    }

    /// Ties the clock of a log without dates to the wall.
    fn tie(&self, clock: LogClock) -> Option<ClockTie> {
        let bounds = self.kills.iter().filter(|kill| kill.wall().is_none()).filter_map(|kill| {
            let (of, log_us) = kill.log_us()?;
            let id = kill.container_id.as_deref()?;
            let record = kill.pod_uid.as_deref().and_then(|uid| self.directory.pod(uid));
            let ending = self.ending_of(record, id);
            let running = record.and_then(|record| {
                let status = record.with_statuses().statuses().find(|status| status.id() == Some(id))?;
                status.state.running.as_ref()?.started_at
            });
            let not_before = ending.as_ref().and_then(|ending| ending.started).or(running);
            let not_after = ending.and_then(|ending| ending.finished).map(end_of_second);
            let told = self.first_system_oom(kill).map(end_of_second);
            let not_after = [not_after, told].into_iter().flatten().min();
            (of == clock).then_some(Bound { log_us, not_before, not_after })
        });
        ClockTie::of(&bounds.collect::<Vec<_>>())
    }

    fn kernel_side(
        &self,
        identity: &Identity,
        ending: Option<&Ending>,
        own: Option<&str>,
        at: Option<Timestamp>,
    ) -> KernelSide {
        let pod = identity.pod_uid.as_ref();
        let record = pod.and_then(|uid| self.directory.pod(uid));
        let of_pod = |kill: &&KillWitness| {
            Some(kill.case.as_str()) != own
                && pod.is_some()
                && (kill.pod_uid.as_ref() == pod || kill.limit_pod_uid.as_ref() == pod)
        };
        let seen = |kill: &KillWitness| -> KillSeen {
            let same = identity.container_id.is_some() && kill.container_id == identity.container_id;
            let ended = |ending: &Ending| self.ended_by(kill, ending, record) == EndedBy::Kill;
            KillSeen {
                same_instance: same,
                ended_instance: same && ending.is_some_and(ended),
                beside_instance: ending.and_then(|ending| self.is_beside(kill, ending)),
                seconds_before_end: ending.and_then(|ending| self.seconds_before(kill, ending)).map(|(least, _)| least),
                ..kill.seen()
            }
        };
        let mut kills: Vec<KillSeen> = self.kills.iter().filter(of_pod).map(seen).collect();
        kills.drain(..kills.len().saturating_sub(KILLS));
        KernelSide { log: self.coverage(identity.node.as_deref(), at), kills }
    }

    fn coverage(&self, node: Option<&str>, at: Option<Timestamp>) -> Coverage {
        match (self.log, at) {
            (LogRead::Nothing, _) => Coverage::None,
            (LogRead::Logs, _) if self.is_of_another_node(node) => Coverage::None,
            (LogRead::Since(since), Some(at)) if at >= since => Coverage::Whole,
            (LogRead::Since(_), _) => Coverage::Uncertain,
            (LogRead::Logs, at) => {
                let spans: Vec<Span> = self.kills.iter().filter_map(|kill| self.span(kill)).collect();
                let within =
                    at.is_some_and(|at| spans.iter().any(|s| s.to <= at) && spans.iter().any(|s| s.from >= at));
                if within { Coverage::Whole } else { Coverage::Uncertain }
            }
        }
    }

    /// Objects are often of a whole cluster, and a log is of one machine: that it has no kill says nothing about another one's pods.
    fn is_of_another_node(&self, node: Option<&str>) -> bool {
        !self.nodes.is_empty() && node.is_some_and(|node| !self.nodes.contains(node))
    }

    /// Where only the node speaks of a kill.
    fn of_node(&self, kill: &KillWitness) -> Option<Account> {
        let event = self.directory.node_events.iter().find(|event| names_victim(event, kill))?;
        let name = event.involved_object.name.clone()?;
        Some(Account {
            source: Source::File,
            as_of: None,
            pod: None,
            container: None,
            ending: None,
            ended_by: None,
            eviction: None,
            events: Vec::new(),
            node: Some(NodeAccount { name, ..NodeAccount::default() }),
            kernel: KernelSide::default(),
        })
    }

    /// `SystemOOM` events that name a victim of this kill, and when the kubelet that sent them was started.
    fn add_system_oom_events(&self, node: &mut NodeAccount, kill: &KillWitness) {
        let events = || self.directory.node_events.iter();
        node.events = events().filter(|event| names_victim(event, kill)).map(told).collect();
        let told = node.events.iter().filter_map(|event| event.first).min();
        let starts = events()
            .filter(|event| event.reason == "Starting" && event.message.contains("kubelet"))
            .filter_map(Event::last);
        node.kubelet_started = starts.filter(|started| told.is_some_and(|told| *started <= told)).max();
    }

    /// `SystemOOM` events that name a process of which no kill is known.
    pub fn unmatched_system_oom(&self) -> impl Iterator<Item = &'a Event> {
        let is_known = |event: &Event| self.kills.iter().any(|kill| names_victim(event, kill));
        self.directory.node_events.iter().filter(move |event| event.reason == "SystemOOM" && !is_known(event))
    }

    fn first_system_oom(&self, kill: &KillWitness) -> Option<Timestamp> {
        self.directory.node_events.iter().filter(|event| names_victim(event, kill)).filter_map(Event::first).min()
    }
}

/// `System OOM encountered, victim process: python3, pid: 10556` (pkg/kubelet/oom/oom_watcher_linux.go).
fn names_victim(event: &Event, kill: &KillWitness) -> bool {
    if event.reason != "SystemOOM" {
        return false;
    }
    let Some((before, pid)) = event.message.rsplit_once("pid: ") else { return false };
    let name = before.split_once("victim process: ").map(|(_, name)| name.trim().trim_end_matches(','));
    pid.trim().parse().is_ok_and(|pid| kill.killed(pid, name.filter(|name| !name.is_empty())))
}

/// Ends that somebody may take for an OOM kill.
fn is_worth_a_case(ending: &Ending) -> bool {
    ending.says_oom() || ending.is_sigkill() || ending.reason.as_deref() == Some("ContainerStatusUnknown")
}
