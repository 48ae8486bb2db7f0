//! What Kubernetes says, for the cases of this watcher: names at once, the account when it comes, and cases for the ends that only
//! Kubernetes tells.
//!
//! The kernel's evidence comes first and waits for nobody. The pod's status follows 0.1 to 0.9 s after a kill, the runtime's word some
//! milliseconds after it, or neither: then the case is told again without, after [`PATIENCE`], because that Kubernetes shows nothing
//! is what many a reader wants to know.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use oomscope_core::case::Case;
use oomscope_core::evidence::Gap;
use oomscope_core::incident::Incident;
use oomscope_core::kubernetes::{Account, Directory, KillWitness, LogRead, Reconciler, Source};
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::kubernetes::disk::container_on_disk;
use oomscope_sources::kubernetes::feed::{Feed, News, Options};

use super::names::Names;
use crate::accounts;
use crate::cli::complain;

/// How long the account of a kill is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// An end that Kubernetes tells waits for the kernel's word: a lost report is told by the counters after 4 s.
const HOLD: Duration = Duration::from_secs(6);
/// After this the pod's events are asked for: a kill of the kernel is known by then, and explains most ends.
const ASK: Duration = Duration::from_secs(2);
/// After this nothing is held back any more.
pub(super) const LONGEST_HOLD: Duration = HOLD;
/// How long a case is told again when its container ends.
const FOLLOWED: Duration = Duration::from_secs(120);
/// Cases that are followed, in bytes of their incidents.
const FOLLOWED_BYTES: usize = 16 << 20;
/// Kills that accounts may cite.
const WITNESSES: usize = 512;
/// Ends that were told.
const TOLD: usize = 4096;
/// How often the news are looked at.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// Where accounts come from.
#[derive(Clone, Debug)]
pub(crate) struct Witnesses {
    /// The machine whose runtime and files are asked.
    pub(crate) root: HostRoot,
    /// The API server and the kubelet; `None`: they are not asked.
    pub(crate) cluster: Option<Options>,
    /// Labels of pods that accounts repeat.
    pub(crate) labels: Vec<String>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Accounts {
    directory: Arc<Mutex<Directory>>,
    root: HostRoot,
    feed: Option<Feed>,
    names: Option<Names>,
    since: Timestamp,
    /// The kernel's log was followed without a loss since then.
    log_whole_since: Timestamp,
    kills: Vec<KillWitness>,
    followed: VecDeque<Followed>,
    past: VecDeque<Past>,
    /// Pods whose ends are to be looked at, and when.
    changed: HashMap<String, Changed>,
    told: VecDeque<(String, Option<Timestamp>)>,
    /// Ends up to then were looked at long ago. Kills and tellings from before it are forgotten, so that an end that they explain would
    /// look like one that nobody has told.
    settled: Option<Timestamp>,
}

/// A case that was told and may be told again.
#[derive(Debug)]
struct Followed {
    id: String,
    incident: Incident,
    bytes: usize,
    revision: u32,
    /// When it is told again, whatever is known by then.
    due: Option<Instant>,
    until: Instant,
}

/// A pod of which there was news.
#[derive(Clone, Copy, Debug)]
struct Changed {
    at: Instant,
    /// Its events were asked for, or it has no end to tell that they could explain.
    asked: bool,
}

/// A case from before watching began, which nobody has stored yet. At the start nobody is known by name: it waits until the API server
/// and the runtime have said who is who. It keeps its revision, because what a watcher has stored of it at the time is worth more.
#[derive(Debug)]
struct Past {
    id: String,
    incident: Incident,
    bytes: usize,
    revision: u32,
    due: Instant,
}

/// A case to tell.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) incident: Incident,
    pub(super) revision: u32,
    /// It happened before watching began.
    pub(super) past: bool,
}

impl Accounts {
    /// Starts asking. What cannot be started is said and done without.
    pub(super) fn start(witnesses: Witnesses) -> Self {
        let directory = Arc::new(Mutex::new(Directory::with_labels(witnesses.labels)));
        let names = Names::start(witnesses.root.clone(), Arc::clone(&directory));
        let names = names.inspect_err(|error| complain(&format!("the container runtime is not asked: {error}"))).ok();
        let feed = witnesses.cluster.and_then(|options| {
            let feed = Feed::start(options, Arc::clone(&directory), || {});
            feed.inspect_err(|error| complain(&format!("Kubernetes is not asked: {error}"))).ok()
        });
        Self {
            directory,
            root: witnesses.root,
            feed,
            names,
            since: Timestamp::now(),
            log_whole_since: Timestamp::now(),
            kills: Vec::new(),
            followed: VecDeque::new(),
            past: VecDeque::new(),
            changed: HashMap::new(),
            told: VecDeque::new(),
            settled: None,
        }
    }

    /// Records of the kernel's log were lost: what is not in it may have happened all the same.
    pub(super) fn log_was_lost(&mut self) {
        self.log_whole_since = Timestamp::now();
    }

    /// Adds the names to an incident that is to be told, and the account of an earlier telling.
    pub(super) fn prepare(&mut self, incident: &mut Incident, revision: u32) -> u32 {
        let id = Case::id_of(incident);
        self.name(incident);
        let Some(followed) = self.followed.iter_mut().find(|followed| followed.id == id) else { return revision };
        if let Some(account) = followed.incident.kubernetes.take() {
            incident.add_kubernetes(*account);
        }
        revision.max(followed.revision + 1)
    }

    fn name(&self, incident: &mut Incident) {
        let id = incident.identity.as_ref().and_then(|identity| identity.container_id.clone());
        if let Some(id) = id.filter(|id| locked(&self.directory).runtime_container(id).is_none())
            && let Some(container) = container_on_disk(&self.root, &id)
        {
            locked(&self.directory).see_container(container, Source::Disk);
        }
        accounts::name(incident, &locked(&self.directory));
    }

    /// A case was told.
    pub(super) fn told(&mut self, case: &Case, bytes: usize, past: bool) {
        if let Some(witness) = KillWitness::of(case) {
            self.kills.retain(|known| known.case != witness.case);
            self.kills.push(witness);
            let forgotten = self.kills.drain(..self.kills.len().saturating_sub(WITNESSES));
            self.settled = settled(self.settled, forgotten.filter_map(|kill| kill.at.wall));
        }
        let Some(identity) = case.incident.identity.as_ref().filter(|_| !past && !case.incident.kills.is_empty())
        else {
            return;
        };
        if let (Some(names), Some(id)) = (&self.names, &identity.container_id) {
            names.ask(id);
        }
        if let (Some(feed), Some(uid)) = (&self.feed, &identity.pod_uid) {
            feed.want_events(uid);
        }
        let now = Instant::now();
        let due = Some(now + PATIENCE).filter(|_| case.incident.kubernetes.is_none());
        self.followed.retain(|followed| followed.id != case.id && followed.until > now);
        self.followed.push_back(Followed {
            id: case.id.clone(),
            incident: case.incident.clone(),
            bytes,
            revision: case.revision,
            due,
            until: now + FOLLOWED,
        });
        while self.followed.iter().map(|followed| followed.bytes).sum::<usize>() > FOLLOWED_BYTES
            && self.followed.len() > 1
        {
            self.followed.pop_front();
        }
    }

    /// Takes a case from before watching began; [`Self::turn`] gives it back with names.
    pub(super) fn hold(&mut self, case: &Case, bytes: usize) {
        let (now, incident) = (Instant::now(), case.incident.clone());
        let (id, revision) = (case.id.clone(), case.revision);
        self.past.push_back(Past { id, incident, bytes, revision, due: now + PATIENCE });
        let too_many = self.past.iter().map(|past| past.bytes).sum::<usize>() > FOLLOWED_BYTES;
        // What is due goes at the next turn, which comes after each case.
        if let Some(oldest) = self.past.front_mut().filter(|_| too_many) {
            oldest.due = now;
        }
    }

    /// What there is to tell now.
    pub(super) fn turn(&mut self, now: Instant) -> Vec<Again> {
        self.hear(now);
        let mut again = self.accounts_that_came(now);
        again.extend(self.past_that_waited(now));
        again.extend(self.untold(now));
        again
    }

    fn past_that_waited(&mut self, now: Instant) -> Vec<Again> {
        let is_due = |past: &Past| past.due <= now;
        if !self.past.iter().any(is_due) {
            return Vec::new();
        }
        let (due, waiting) = std::mem::take(&mut self.past).into_iter().partition::<VecDeque<Past>, _>(is_due);
        self.past = waiting;
        let directory = locked(&self.directory);
        let reconciler = Reconciler::new(&directory, &self.kills, LogRead::Since(self.log_whole_since));
        let told = |mut past: Past| {
            accounts::name(&mut past.incident, &directory);
            if let Some(account) = reconciler.account_of(&past.id, &past.incident) {
                past.incident.add_kubernetes(account);
            }
            Again { incident: past.incident, revision: past.revision, past: true }
        };
        due.into_iter().map(told).collect()
    }

    fn hear(&mut self, now: Instant) {
        let Some(feed) = &self.feed else { return };
        for news in feed.news() {
            match news {
                News::Pod { uid } | News::PodEvents { uid } => {
                    self.changed.entry(uid).or_insert(Changed { at: now, asked: false });
                }
                News::Everything => {
                    // What waits already keeps its time: an API server that comes and goes must not put it off for ever.
                    for (uid, _) in locked(&self.directory).pods() {
                        self.changed.entry(uid.to_owned()).or_insert(Changed { at: now, asked: false });
                    }
                }
                News::GapBegins(gap) => complain(&format!("not known for now: {}: {}", gap.wanted, gap.why)),
                News::GapEnds { gap, lasted } => {
                    let lasted = oomscope_core::time::span(u64::try_from(lasted.as_micros()).unwrap_or(u64::MAX));
                    complain(&format!("known again, after {lasted}: {}", gap.wanted));
                }
                _ => {}
            }
        }
    }

    /// Followed cases of which more is known than when they were told.
    fn accounts_that_came(&mut self, now: Instant) -> Vec<Again> {
        if self.followed.is_empty() {
            return Vec::new();
        }
        let mut gaps = self.feed.as_ref().map(Feed::gaps).unwrap_or_default();
        // What the kubelet was configured to do is no part of a kill's story.
        gaps.retain(|gap| !gap.wanted.starts_with("configuration"));
        let directory = locked(&self.directory);
        let reconciler = Reconciler::new(&directory, &self.kills, LogRead::Since(self.log_whole_since));
        let mut again = Vec::new();
        for followed in self.followed.iter_mut().filter(|followed| followed.until > now) {
            let is_due = followed.due.is_some_and(|due| due <= now);
            let account = reconciler.account_of(&followed.id, &followed.incident);
            let known = followed.incident.kubernetes.as_deref();
            let is_late = is_due && known.is_none();
            if !is_late && !is_news(known, account.as_ref()) {
                continue;
            }
            followed.due = None;
            if account.is_none() && gaps.is_empty() {
                continue;
            }
            followed.revision += 1;
            accounts::name(&mut followed.incident, &directory);
            add(&mut followed.incident, account, &gaps);
            again.push(Again { incident: followed.incident.clone(), revision: followed.revision, past: false });
        }
        again
    }

    /// What of these pods Kubernetes alone tells, and was not told before.
    fn untold_of(&self, uids: &[String]) -> Vec<Incident> {
        if uids.is_empty() {
            return Vec::new();
        }
        let directory = locked(&self.directory);
        let reconciler = Reconciler::new(&directory, &self.kills, LogRead::Since(self.log_whole_since));
        let all = uids.iter().filter_map(|uid| Some(reconciler.untold_of(uid, directory.pod(uid)?))).flatten();
        let is_settled =
            |incident: &Incident| incident.at.wall.zip(self.settled).is_some_and(|(at, until)| at <= until);
        let mut found: Vec<Incident> =
            all.filter(|incident| !is_settled(incident) && !self.was_told(incident)).collect();
        found.sort_by_key(|incident| incident.at.wall);
        found
    }

    fn was_told(&self, incident: &Incident) -> bool {
        let id = Case::id_of(incident);
        self.told.iter().any(|(told, _)| *told == id)
    }

    /// Why a container got a SIGKILL that was not the kernel's, a failed probe say, only events tell, and those are not watched.
    fn ask_for_events(&mut self, now: Instant) {
        let fresh = self.changed.iter_mut().filter(|(_, changed)| !changed.asked && changed.at + ASK <= now);
        let fresh: Vec<String> = fresh
            .map(|(uid, changed)| {
                changed.asked = true;
                uid.clone()
            })
            .collect();
        for incident in self.untold_of(&fresh) {
            let uid = incident.identity.as_ref().and_then(|identity| identity.pod_uid.as_ref());
            if let Some((feed, uid)) = self.feed.as_ref().zip(uid) {
                feed.want_events(uid);
            }
        }
    }

    /// Ends that only Kubernetes tells.
    fn untold(&mut self, now: Instant) -> Vec<Again> {
        self.ask_for_events(now);
        let is_due = |_: &String, changed: &mut Changed| changed.asked && changed.at + HOLD <= now;
        let due: Vec<String> = self.changed.extract_if(is_due).map(|(uid, _)| uid).collect();
        let mut again = Vec::new();
        for mut incident in self.untold_of(&due) {
            // Of two ends with one id the first is told.
            if self.was_told(&incident) {
                continue;
            }
            self.told.push_back((Case::id_of(&incident), incident.at.wall));
            let forgotten = self.told.drain(..self.told.len().saturating_sub(TOLD));
            self.settled = settled(self.settled, forgotten.filter_map(|(_, at)| at));
            let past = incident.at.wall.is_none_or(|at| at < self.since);
            if past {
                incident.gaps.push(Gap::new(
                    "what happened at the time",
                    "it happened before watching began; Kubernetes still tells of it",
                ));
            }
            again.push(Again { incident, revision: 1, past });
        }
        again
    }
}

/// The latest of the times that were forgotten. One that is yet to come is of a clock that was set back since.
fn settled(known: Option<Timestamp>, forgotten: impl Iterator<Item = Timestamp>) -> Option<Timestamp> {
    let now = Timestamp::now();
    forgotten.filter(|at| *at <= now).chain(known).max()
}

/// The end of the container is told once; a change of state beside it is not worth another telling.
fn is_news(known: Option<&Account>, account: Option<&Account>) -> bool {
    let has_end = |account: Option<&Account>| account.is_some_and(|account| account.ending.is_some());
    has_end(account) && !has_end(known)
}

fn add(incident: &mut Incident, account: Option<Account>, gaps: &[Gap]) {
    for gap in gaps {
        if !incident.gaps.contains(gap) {
            incident.gaps.push(gap.clone());
        }
    }
    if let Some(account) = account {
        incident.add_kubernetes(account);
    }
}

/// A thread that panicked in the middle of a change has left a directory that is still worth reading.
pub(super) fn locked(directory: &Mutex<Directory>) -> MutexGuard<'_, Directory> {
    directory.lock().unwrap_or_else(PoisonError::into_inner)
}
