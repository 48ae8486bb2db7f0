//! What happened before in the same input: the memory that makes "again" and "the fourth time" possible.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::identity::identify;
use super::{Incident, Origin};
use crate::evidence::{Comm, Scope};
use crate::time::{BootTime, When};

/// Earlier OOM events of the same limit cgroup (or of the machine), in the same input, oldest forgotten first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recurrence {
    /// How many earlier events hit the very same cgroup's limit.
    pub same_cgroup: u32,
    /// How many earlier events hit the same pod (container ids differ from restart to restart), this cgroup included.
    pub same_pod: u32,
    /// How many of those had a victim of the same name.
    pub same_victim_name: u32,
    /// How many events of any cgroup stood in the input within the 60 s before this one.
    pub any_within_minute: u32,
    /// Of the first event counted in `same_pod` or `same_cgroup`; `None` where that was in another boot, whose clock does not compare.
    pub first_at: Option<BootTime>,
    /// Of the latest event before this one, counted in the same way; `None` likewise.
    pub previous_at: Option<BootTime>,
    /// Microseconds from that latest event to this one, by a clock that both have; `None` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_previous_us: Option<u64>,
    /// The limit in force at that latest event, to tell whether somebody raised it since.
    pub previous_limit_bytes: Option<u64>,
}

/// How many cgroups, and as many pods, are remembered. A log of nothing but kills of ever new cgroups must not grow memory.
const MAX_REMEMBERED: usize = 4096;
/// How many victims' names are told apart for each.
const MAX_NAMES: usize = 16;
/// Longest path that is kept as it is; the kernel's own bound on a path is 4096 bytes, and a log may claim more.
const MAX_PATH: usize = 4096;
/// Longest name of a host, boot or file that is kept; host names end at 64 bytes on Linux, and a log may claim more.
const MAX_MACHINE: usize = 255;
const MINUTE_US: i128 = 60_000_000;

/// What an input has shown so far, oldest forgotten first.
#[derive(Debug, Default)]
pub struct History {
    cgroups: Memory,
    pods: Memory,
    /// Instants of the latest events of one boot of one machine, in order of reading.
    recent: VecDeque<Instant>,
    recent_of: Option<(Machine, Option<String>)>,
}

impl History {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What happened before `incident`, which is then remembered too; `None` where nothing did.
    pub fn observe(&mut self, incident: &Incident) -> Option<Recurrence> {
        let report = incident.report();
        let machine = Machine::of(&incident.origin);
        let boot = incident.origin.boot_id.as_deref().map(shortened);
        let name = report.victims.first().and_then(|v| v.comm.clone());
        let seen = Seen { at: incident.at, boot: boot.clone(), limit_bytes: report.limit_bytes.map(|b| b.0) };
        let cgroup = cgroup_of(incident).filter(|path| path.len() <= MAX_PATH);
        let pod = cgroup.as_deref().and_then(|path| identify(path.as_bytes())).and_then(|owner| owner.pod_uid);

        let any_within_minute = self.count_recent((machine.clone(), boot), &incident.at);
        let by_cgroup = cgroup.and_then(|path| self.cgroups.remember((machine.clone(), path), name.as_ref(), &seen));
        let by_pod = pod.and_then(|path| self.pods.remember((machine, path), name.as_ref(), &seen));

        let same_cgroup = by_cgroup.as_ref().map_or(0, |e| e.count);
        let same_pod = by_pod.as_ref().map_or(0, |e| e.count);
        if same_cgroup == 0 && same_pod == 0 && any_within_minute == 0 {
            return None;
        }
        let earlier = by_pod.or(by_cgroup).unwrap_or_default();
        Some(Recurrence {
            same_cgroup,
            same_pod,
            same_victim_name: name.and_then(|n| earlier.names.get(&n).copied()).unwrap_or(0),
            any_within_minute,
            first_at: earlier.first.at.boot_us.filter(|_| earlier.first.boot == seen.boot),
            previous_at: earlier.previous.at.boot_us.filter(|_| earlier.previous.boot == seen.boot),
            since_previous_us: earlier.previous.until(&seen),
            previous_limit_bytes: earlier.previous.limit_bytes,
        })
    }

    /// Counts events of the last minute and adds this one. Events without a time cannot be counted, and clocks of different machines
    /// and boots do not compare, so a change from one to another begins anew.
    fn count_recent(&mut self, of: (Machine, Option<String>), at: &When) -> u32 {
        if self.recent_of.as_ref() != Some(&of) {
            self.recent.clear();
            self.recent_of = Some(of);
        }
        let Some(now) = Instant::of(at) else { return 0 };
        // After a boot time starts again at zero: what was before is then not within the minute *before*.
        while self.recent.front().is_some_and(|then| !then.within_minute_before(now)) {
            self.recent.pop_front();
        }
        // What is left begins within the minute, and lines of a log are in order of time.
        let count = self.recent.len();
        if self.recent.len() == MAX_REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

/// The limit's cgroup; for an OOM of the machine a name that no path has; `None` where a cgroup's limit was hit and it is not known which.
fn cgroup_of(incident: &Incident) -> Option<String> {
    let report = incident.report();
    match (&report.limit_cgroup, report.scope) {
        (Some(path), _) => Some(path.to_lossy().into_owned()),
        (None, Some(Scope::Global)) => Some(String::new()),
        (None, _) => None,
    }
}

/// A point on one of the clocks that a log may have; different clocks do not compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instant {
    Boot(i128),
    Wall(i128),
    Local(jiff::civil::DateTime),
}

impl Instant {
    fn of(at: &When) -> Option<Self> {
        let boot = at.boot_us.map(|us| Self::Boot(i128::from(us.0)));
        let wall = || at.wall.map(|t| Self::Wall(i128::from(t.as_microsecond())));
        boot.or_else(wall).or_else(|| at.wall_local.map(Self::Local))
    }

    fn within_minute_before(self, now: Self) -> bool {
        match (self, now) {
            (Self::Boot(a), Self::Boot(b)) | (Self::Wall(a), Self::Wall(b)) => (0..=MINUTE_US).contains(&(b - a)),
            (Self::Local(a), Self::Local(b)) => {
                let ahead = b.duration_since(a);
                !ahead.is_negative() && ahead.as_micros() <= MINUTE_US
            }
            _ => false,
        }
    }
}

/// Which machine a log is of, as well as it says. Without a host's name two boots, or two files, may be of two machines, so what they
/// have in common is not counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Machine {
    Host(String),
    Boot(String),
    File(String),
}

impl Machine {
    fn of(origin: &Origin) -> Self {
        match (&origin.host, &origin.boot_id, &origin.file) {
            (Some(host), _, _) => Self::Host(shortened(host)),
            (None, Some(boot), _) => Self::Boot(shortened(boot)),
            (None, None, file) => Self::File(file.as_deref().map(shortened).unwrap_or_default()),
        }
    }
}

/// The last bytes, in which paths of files differ most.
fn shortened(name: &str) -> String {
    let from = (name.len().saturating_sub(MAX_MACHINE)..=name.len()).find(|at| name.is_char_boundary(*at));
    from.and_then(|at| name.get(at..)).unwrap_or_default().to_owned()
}

/// One event of a cgroup or pod.
#[derive(Clone, Debug, Default)]
struct Seen {
    at: When,
    boot: Option<String>,
    limit_bytes: Option<u64>,
}

impl Seen {
    /// Microseconds until a later event, by the clock of the boot where it is the same boot, else by the wall's.
    fn until(&self, later: &Self) -> Option<u64> {
        let (then, now) = (&self.at, &later.at);
        let by_wall = || {
            let (then, now) = then.wall.zip(now.wall)?;
            u64::try_from(now.as_microsecond().checked_sub(then.as_microsecond())?).ok()
        };
        let by_boot = || then.boot_us.zip(now.boot_us).and_then(|(then, now)| now.0.checked_sub(then.0));
        if self.boot != later.boot {
            return by_wall();
        }
        // Where no boot is named, a wall clock tells better than clocks of boots that may be two.
        if self.boot.is_none() { by_wall().or_else(by_boot) } else { by_boot().or_else(by_wall) }
    }
}

/// All events of a cgroup or pod.
#[derive(Clone, Debug, Default)]
struct Entry {
    count: u32,
    names: HashMap<Comm, u32>,
    first: Seen,
    previous: Seen,
    /// Key of this entry in [`Memory::by_age`].
    age: u64,
}

/// Machine, and path or pod uid.
type Key = (Machine, String);

/// A bounded map that forgets what was not seen for longest.
#[derive(Debug, Default)]
struct Memory {
    entries: HashMap<Key, Entry>,
    by_age: BTreeMap<u64, Key>,
    clock: u64,
}

impl Memory {
    /// What was known of `key`, after adding this event to it.
    fn remember(&mut self, key: Key, name: Option<&Comm>, seen: &Seen) -> Option<Entry> {
        self.clock += 1;
        let entry = self.entries.entry(key.clone()).or_default();
        let before = (entry.count > 0).then(|| entry.clone());
        if before.is_some() {
            self.by_age.remove(&entry.age);
        } else {
            entry.first = seen.clone();
        }
        entry.count = entry.count.saturating_add(1);
        entry.previous = seen.clone();
        entry.age = self.clock;
        if let Some(name) = name
            && (entry.names.len() < MAX_NAMES || entry.names.contains_key(name))
        {
            *entry.names.entry(name.clone()).or_default() += 1;
        }
        self.by_age.insert(self.clock, key);
        if self.entries.len() > MAX_REMEMBERED
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.entries.remove(&oldest);
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{KernelReport, Victim};
    use crate::units::Bytes;

    const POD: &str = "/kubepods/burstable/pod0890e4ec-26c7-4b33-a1da-e364a1f444fc";

    fn event(path: Option<&str>, second: u64, limit: u64) -> Incident {
        let report = KernelReport {
            scope: Some(if path.is_some() { Scope::Memcg } else { Scope::Global }),
            limit_cgroup: path.map(Into::into),
            limit_bytes: Some(Bytes(limit)),
            victims: vec![Victim { pid: 1, comm: Some("java".into()), ..Victim::default() }],
            ..KernelReport::default()
        };
        Incident {
            at: When { boot_us: Some(BootTime(second * 1_000_000)), ..When::default() },
            kills: vec![report],
            ..Incident::default()
        }
    }

    /// A restarted container has a new cgroup; its pod is still the same one.
    #[test]
    fn a_crash_loop_is_one_pod() {
        let mut history = History::new();
        assert_eq!(history.observe(&event(Some(&format!("{POD}/a")), 100, 10)), None);
        let again = history.observe(&event(Some(&format!("{POD}/b")), 300, 20)).unwrap();
        assert_eq!((again.same_cgroup, again.same_pod, again.same_victim_name, again.any_within_minute), (0, 1, 1, 0));
        assert_eq!((again.first_at, again.previous_limit_bytes), (Some(BootTime(100_000_000)), Some(10)));
        let third = history.observe(&event(Some(&format!("{POD}/b")), 330, 20)).unwrap();
        assert_eq!((third.same_cgroup, third.same_pod, third.any_within_minute), (1, 2, 1));
        assert_eq!(third.previous_at, Some(BootTime(300_000_000)));
    }

    /// OOMs of the machine are counted among themselves.
    #[test]
    fn the_machine_is_not_a_cgroup() {
        let mut history = History::new();
        history.observe(&event(Some("/a"), 0, 1));
        assert_eq!(history.observe(&event(None, 100, 1)), None);
        assert_eq!(history.observe(&event(None, 200, 1)).unwrap().same_cgroup, 1);
    }

    /// Logs of different files that name no host are not taken for one machine, nor are long names kept whole.
    #[test]
    fn machines_are_told_apart() {
        let of = |host: Option<&str>, file: &str| {
            let mut incident = event(None, 100, 1);
            (incident.origin.host, incident.origin.file) = (host.map(str::to_owned), Some(file.to_owned()));
            incident
        };
        let mut history = History::new();
        assert_eq!(history.observe(&of(None, "a.log")), None);
        assert_eq!(history.observe(&of(None, "b.log")), None);
        assert_eq!(history.observe(&of(Some("n"), "b.log")), None);
        assert_eq!(history.observe(&of(Some("n"), "c.log")).unwrap().same_cgroup, 1);
        assert_eq!(shortened(&"ä".repeat(5000)).len(), 254);
    }

    /// Clocks of two boots are not subtracted; the wall's is where both events have it.
    #[test]
    fn boots_do_not_compare() {
        let of = |boot: &str, second: u64, wall: Option<i64>| {
            let mut incident = event(None, second, 1);
            (incident.origin.host, incident.origin.boot_id) = (Some("n".to_owned()), Some(boot.to_owned()));
            incident.at.wall = wall.map(|s| jiff::Timestamp::from_second(s).unwrap());
            incident
        };
        let mut history = History::new();
        history.observe(&of("a", 100, Some(1_700_000_000)));
        let told = |again: Recurrence| {
            (again.same_cgroup, again.any_within_minute, again.previous_at, again.since_previous_us)
        };
        let again = told(history.observe(&of("b", 130, Some(1_709_000_000))).unwrap());
        assert_eq!(again, (1, 0, None, Some(9_000_000_000_000)));
        let without_wall = told(history.observe(&of("c", 140, None)).unwrap());
        assert_eq!(without_wall, (2, 0, None, None));
        let same_boot = told(history.observe(&of("c", 150, None)).unwrap());
        assert_eq!(same_boot, (3, 1, Some(BootTime(140_000_000)), Some(10_000_000)));
    }

    /// Ever new cgroups do not grow the memory, and what keeps happening is not forgotten for them.
    #[test]
    fn bounded() {
        let mut history = History::new();
        for i in 0..3 * MAX_REMEMBERED as u64 {
            history.observe(&event(Some(&format!("/c{i}")), 0, 1));
            history.observe(&event(Some("/loop"), 0, 1));
        }
        assert!(history.cgroups.entries.len() <= MAX_REMEMBERED && history.cgroups.by_age.len() <= MAX_REMEMBERED);
        assert!(history.recent.len() <= MAX_REMEMBERED);
        let again = history.observe(&event(Some("/loop"), 0, 1)).unwrap();
        assert_eq!(again.same_cgroup, 3 * MAX_REMEMBERED as u32);
    }
}
