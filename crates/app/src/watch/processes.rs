//! The processes of the watched cgroups: who they are, read once in a while, and what they hold, read often.
//!
//! Names, arguments and scores are five files; what a process holds is one, kept open. Looking at three processes of each of
//! a hundred containers costs a few thousandths of what a core can do.

use std::cmp::Reverse;
use std::collections::HashMap;

use oomscope_core::evidence::Process;
use oomscope_core::text::Untrusted;
use oomscope_core::time::BootTime;
use oomscope_sources::process::{Error, Meter, Proc};

/// Names and scores are read again after this: a process may be given another score.
const IDENTITY_US: u64 = 60_000_000;
/// Where a process was is known this long: its death may be told late, and the next that gets its pid lives elsewhere.
const KEPT_US: u64 = 60_000_000;
/// Files that are kept open, in all. Processes beyond that are read anew each time.
const METERS: usize = 4096;
/// Processes of which is known where they were, ended ones included: some storms of short-lived ones.
const HOMES: usize = 16_384;

/// Whether the command line of a process may be read. Reading it waits for the lock of the process's memory map, which may be
/// held for seconds while memory is reclaimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arguments {
    Read,
    /// Those that are known already stay known.
    Spare,
}

/// A live process that is followed.
#[derive(Debug)]
struct Followed {
    meter: Meter,
    process: Process,
    /// As its meter had it when it was identified.
    name: Vec<u8>,
    identified: BootTime,
}

/// Where a process was.
#[derive(Clone, Copy, Debug)]
struct Home {
    key: u64,
    /// `None` where it was only seen in a list.
    started_ticks: Option<u64>,
    seen: BootTime,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Processes {
    proc: Proc,
    /// Those that each cgroup had when it was last looked at, by pid.
    followed: HashMap<u64, HashMap<u32, Followed>>,
    /// How many are followed.
    open: usize,
    /// By pid, also of those that were only seen at an alarm, and of those that have ended.
    homes: HashMap<u32, Home>,
}

impl Processes {
    pub(super) fn new(proc: Proc) -> Self {
        Self { proc, followed: HashMap::new(), open: 0, homes: HashMap::new() }
    }

    /// What the processes of a cgroup hold now, largest first. Those that have ended meanwhile are left out; those that are not
    /// among `pids` any more are let go.
    pub(super) fn look(&mut self, key: u64, pids: &[u32], arguments: Arguments, now: BootTime) -> Vec<Process> {
        let mut before = self.leave(key);
        let mut followed = HashMap::with_capacity(pids.len().min(METERS));
        let mut processes = Vec::with_capacity(pids.len());
        for &pid in pids {
            let known = before.remove(&pid);
            let Ok((process, still)) = self.one(pid, known, arguments, now) else { continue };
            if let Some(still) = still.filter(|_| self.open + followed.len() < METERS) {
                followed.insert(pid, still);
            }
            self.homes.insert(pid, Home { key, started_ticks: process.started_ticks, seen: now });
            processes.push(process);
        }
        self.open += followed.len();
        self.followed.insert(key, followed);
        self.bound_homes();
        processes.sort_by_key(|process| Reverse(process.rss()));
        processes
    }

    /// The cgroup is gone: its processes are not followed any more.
    pub(super) fn gone(&mut self, key: u64) {
        self.leave(key);
    }

    fn leave(&mut self, key: u64) -> HashMap<u32, Followed> {
        let followed = self.followed.remove(&key).unwrap_or_default();
        self.open -= followed.len();
        followed
    }

    /// One process, and how to follow it, where that can be done.
    fn one(
        &self,
        pid: u32,
        known: Option<Followed>,
        arguments: Arguments,
        now: BootTime,
    ) -> Result<(Process, Option<Followed>), Error> {
        let mut spared = None;
        if let Some(mut known) = known
            && let Ok(is_itself) = known.read(now)
        {
            let is_recent = now.0.saturating_sub(known.identified.0) < IDENTITY_US;
            // They are empty for a moment while it becomes another program.
            let has_arguments = known.process.cmdline.as_ref().is_some_and(|line| !line.as_bytes().is_empty());
            let is_whole = has_arguments || arguments == Arguments::Spare;
            if is_itself && is_recent && is_whole {
                return Ok((known.process.clone(), Some(known)));
            }
            spared = known.process.cmdline.filter(|_| is_itself);
        }
        let meter = self.proc.meter(pid);
        let mut process = match arguments {
            Arguments::Read => self.proc.read(pid)?,
            Arguments::Spare => self.proc.read_without_arguments(pid)?,
        };
        process.cmdline = process.cmdline.or(spared);
        Ok((process.clone(), meter.ok().and_then(|meter| Followed::new(meter, process, now))))
    }

    /// These were in the cgroup at an alarm.
    pub(super) fn live_in(&mut self, key: u64, pids: &[u32], at: BootTime) {
        self.homes.extend(pids.iter().map(|pid| (*pid, Home { key, started_ticks: None, seen: at })));
        self.bound_homes();
    }

    /// The cgroup in which a process was seen last, alive or not; `None` where that was long ago, and where the pid is
    /// another's now.
    pub(super) fn home_of(&self, pid: u32, now: BootTime) -> Option<u64> {
        let home = self.homes.get(&pid).filter(|home| home.is_recent(now))?;
        let is_another = |(then, now)| then != now;
        let is_reused = home.started_ticks.zip(self.proc.started_ticks(pid)).is_some_and(is_another);
        (!is_reused).then_some(home.key)
    }

    /// The memory cgroup of a process that may still be there.
    pub(super) fn cgroup_now(&self, pid: u32) -> Option<Untrusted> {
        self.proc.memory_cgroup(pid)
    }

    /// Forgets those that were not seen for long.
    pub(super) fn tidy(&mut self, now: BootTime) {
        self.homes.retain(|_, home| home.is_recent(now));
    }

    /// Gives up the oldest quarter where there are too many: one at a time would mean to look for the oldest each time.
    fn bound_homes(&mut self) {
        if self.homes.len() <= HOMES {
            return;
        }
        let mut seen: Vec<BootTime> = self.homes.values().map(|home| home.seen).collect();
        let (_, oldest_kept, _) = seen.select_nth_unstable(HOMES / 4);
        let oldest_kept = *oldest_kept;
        self.homes.retain(|_, home| home.seen > oldest_kept);
    }
}

impl Home {
    const fn is_recent(&self, now: BootTime) -> bool {
        now.0.saturating_sub(self.seen.0) <= KEPT_US
    }
}

impl Followed {
    /// `None` where it ended before it could be read.
    fn new(meter: Meter, process: Process, now: BootTime) -> Option<Self> {
        let name = meter.reading(now).ok()?.name;
        Some(Self { meter, process, name, identified: now })
    }

    /// Reads what it holds. False where it goes by another name now: it has become another program.
    fn read(&mut self, now: BootTime) -> Result<bool, Error> {
        let reading = self.meter.reading(now)?;
        self.process.anon_bytes = Some(reading.point.anon_bytes);
        self.process.file_bytes = Some(reading.point.file_bytes);
        self.process.shmem_bytes = Some(reading.point.shmem_bytes);
        self.process.swap_bytes = Some(reading.point.swap_bytes);
        Ok(reading.name == self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use oomscope_sources::host_root::HostRoot;

    use super::*;

    /// A shell that waits for a line, and becomes `sleep` then.
    struct Shell(Child);

    impl Shell {
        fn start() -> Self {
            let mut command = Command::new("sh");
            let child = command.args(["-c", "read line; exec sleep 1000"]).stdin(Stdio::piped()).spawn().unwrap();
            let shell = Self(child);
            shell.wait_for("sh");
            shell
        }

        fn pid(&self) -> u32 {
            self.0.id()
        }

        fn go_on(&mut self) {
            self.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
            self.wait_for("sleep");
        }

        /// The kernel sets the arguments last.
        fn wait_for(&self, program: &str) {
            let began = Instant::now();
            let path = format!("/proc/{}/cmdline", self.pid());
            while std::fs::read_to_string(&path).unwrap().split('\0').next() != Some(program) {
                assert!(began.elapsed() < Duration::from_secs(60), "it never became {program}");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    impl Drop for Shell {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn processes() -> Processes {
        Processes::new(Proc::new(&HostRoot::default()))
    }

    const NOW: BootTime = BootTime(1_000_000_000);

    fn later(us: u64) -> BootTime {
        BootTime(NOW.0 + us)
    }

    /// No file of a process is kept open that is not in its cgroup any more, nor any of a cgroup that is gone.
    #[test]
    fn nothing_is_kept_open_of_the_dead() {
        let mut processes = processes();
        let shells = [Shell::start(), Shell::start(), Shell::start()];
        let pids = shells.each_ref().map(Shell::pid);
        assert_eq!(processes.look(7, &pids[..2], Arguments::Read, NOW).len(), 2);
        assert_eq!(processes.look(8, &pids[2..], Arguments::Read, NOW).len(), 1);
        assert_eq!(processes.open, 3);
        processes.look(7, &pids[1..2], Arguments::Read, later(1));
        assert_eq!(processes.open, 2);
        processes.gone(8);
        assert_eq!((processes.open, processes.followed.len()), (1, 1));
        // Where they were is still known.
        assert_eq!(pids.map(|pid| processes.home_of(pid, later(2))), [Some(7), Some(7), Some(8)]);
    }

    /// A process that becomes another program is told by its new name and arguments at the next look; under pressure by the new
    /// name alone, never by the old arguments.
    #[test]
    fn another_program() {
        let (mut calm, mut pressed) = (processes(), processes());
        let mut shell = Shell::start();
        let pids = [shell.pid()];
        let told = |looked: Vec<Process>| {
            looked.into_iter().map(|p| (p.comm.to_string(), p.cmdline.map(|line| line.to_string()))).collect::<Vec<_>>()
        };
        let sh = vec![("sh".to_owned(), Some("sh -c read line; exec sleep 1000".to_owned()))];
        let sleep = vec![("sleep".to_owned(), Some("sleep 1000".to_owned()))];
        for processes in [&mut calm, &mut pressed] {
            assert_eq!(told(processes.look(7, &pids, Arguments::Read, NOW)), sh);
            // Nor does pressure make it forget.
            assert_eq!(told(processes.look(7, &pids, Arguments::Spare, later(IDENTITY_US))), sh);
        }
        shell.go_on();
        let now = later(IDENTITY_US + 1);
        assert_eq!(told(calm.look(7, &pids, Arguments::Read, now)), sleep);
        assert_eq!(told(pressed.look(7, &pids, Arguments::Spare, now)), [("sleep".to_owned(), None)]);
        assert_eq!(told(pressed.look(7, &pids, Arguments::Read, now)), sleep);
    }

    /// Where a process was is not believed of another one that has its pid, nor for ever; and a storm of processes is bounded.
    #[test]
    fn homes_are_doubted() {
        let mut processes = processes();
        let shell = Shell::start();
        let pid = shell.pid();
        processes.look(7, &[pid], Arguments::Read, NOW);
        assert_eq!(processes.home_of(pid, later(KEPT_US)), Some(7));
        assert_eq!(processes.home_of(pid, later(KEPT_US + 1)), None);
        processes.homes.insert(pid, Home { key: 7, started_ticks: Some(1), seen: NOW });
        assert_eq!(processes.home_of(pid, NOW), None);

        for at in 0..50_000 {
            processes.live_in(9, &[u32::MAX - at], later(u64::from(at)));
            assert!(processes.homes.len() <= HOMES);
        }
        assert_eq!(processes.home_of(u32::MAX - 49_999, later(50_000)), Some(9));
        processes.tidy(later(50_000 + KEPT_US));
        assert_eq!(processes.homes.len(), 0);
    }
}
