//! The real-time reader of what programs in the kernel say of kills.
//!
//! It hands each on at once, and then looks at the address spaces of whom it is about, while they are still there. It names nothing:
//! that takes long, and is done by [`super::naming`].

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use oomscope_core::evidence::{Gap, Hook};
use oomscope_sources::clock::since_boot;
use oomscope_sources::ebpf::{KillLosses, Killed, Kills, Part};
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::process::{Proc, real_time};
use rustix::event::{PollFd, PollFlags, poll};

use super::Ebpf;
use super::contexts::KillNews;
use super::hot_stacks::HotStacks;
use super::naming::{self, Job, Means, Of, StackJob};
use super::pythons::Copies;
use super::reader::{PRIORITY, Seen};
use super::spaces::Spaces;
use super::wake::Waker;

/// The thread.
#[derive(Debug)]
pub(super) struct KillReader {
    stopped: Arc<AtomicBool>,
    bell: Waker,
    hook: Hook,
    gaps: Vec<Gap>,
    thread: Option<JoinHandle<()>>,
}

/// Where what it reads goes.
#[derive(Debug)]
struct Outlets {
    /// The evidence loop.
    to: Sender<Seen>,
    waker: Waker,
    /// Whoever names stacks.
    jobs: Sender<Job>,
}

/// What runs once the programs are loaded.
#[derive(Debug)]
pub(super) struct Eyes {
    pub(super) reader: KillReader,
    pub(super) spaces: Spaces,
    /// For whoever names stacks.
    pub(super) jobs: Sender<Job>,
    /// What could not be had beside.
    pub(super) gaps: Vec<Gap>,
}

/// Loads the programs and starts the threads. The inner error is why there are none; the outer one, that no thread can be started.
/// `cgroup`: memory is sampled in this one (inode) and below, else everywhere.
pub(super) fn start(
    ebpf: Ebpf,
    root: &HostRoot,
    cgroup: Option<u64>,
    to: Sender<Seen>,
    waker: &Waker,
) -> std::io::Result<Result<Eyes, Gap>> {
    if ebpf == Ebpf::Off {
        return Ok(Err(Gap::new("what programs in the kernel see", "they were switched off (--ebpf off)")));
    }
    let kills = match Kills::start() {
        Ok(kills) => kills,
        Err(gap) => return Ok(Err(gap)),
    };
    let proc = Proc::new(root);
    let pythons = Copies::start();
    let spaces = Spaces::new(proc.clone(), pythons.layouts());
    let mut gaps = Vec::new();
    let hot = (ebpf == Ebpf::Auto).then(|| HotStacks::start(cgroup, proc, spaces.clone()));
    let hot = hot.and_then(|hot| hot.map_err(|gap| gaps.push(gap)).ok());
    let (jobs, to_name) = channel();
    let means = Means { root: root.clone(), pythons, spaces: spaces.clone(), hot };
    naming::start(means, to_name, to.clone(), waker.clone())?;
    let outlets = Outlets { to, waker: waker.clone(), jobs: jobs.clone() };
    let reader = KillReader::start(kills, spaces.clone(), outlets)?;
    Ok(Ok(Eyes { reader, spaces, jobs, gaps }))
}

impl KillReader {
    /// What it does not see, and the log, where there is one, does not tell either.
    pub(super) fn gaps(&self, has_log: bool) -> &[Gap] {
        // What a later hook does not see stands in the log.
        if has_log && self.hook != Hook::OomKillProcess { &[] } else { &self.gaps }
    }

    /// Starts it.
    fn start(kills: Kills, spaces: Spaces, outlets: Outlets) -> std::io::Result<Self> {
        let (hook, gaps) = (kills.hook(), kills.gaps().to_vec());
        let (stopped, bell) = (Arc::new(AtomicBool::new(false)), Waker::new()?);
        let work = Work {
            kills,
            spaces,
            outlets,
            bell: bell.clone(),
            stopped: Arc::clone(&stopped),
            lost: KillLosses::default(),
        };
        let thread = std::thread::Builder::new().name("kills".into()).spawn(move || work.run())?;
        Ok(Self { stopped, bell, hook, gaps, thread: Some(thread) })
    }
}

impl Drop for KillReader {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        self.bell.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Work {
    kills: Kills,
    spaces: Spaces,
    outlets: Outlets,
    bell: Waker,
    stopped: Arc<AtomicBool>,
    lost: KillLosses,
}

impl Work {
    fn run(mut self) {
        // The other reader says what is lost without it.
        let _ = real_time(PRIORITY);
        while !self.stopped.load(Ordering::Acquire) {
            let mut fds = [
                PollFd::from_borrowed_fd(self.kills.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.bell.as_fd(), PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    let why = format!("waiting for them failed: {error}");
                    self.tell(Seen::Gap(Gap::new("kills as the kernel sees them, from then on", why)));
                    return;
                }
            }
            self.drain();
            self.tell_losses();
        }
    }

    fn drain(&mut self) {
        let Self { kills, spaces, outlets, .. } = self;
        kills.drain(&mut |killed, part| outlets.hear(killed, part, spaces));
    }

    fn tell_losses(&mut self) {
        let lost = self.kills.lost();
        if lost != std::mem::replace(&mut self.lost, lost)
            && let Some(gap) = lost.gap()
        {
            self.tell(Seen::Gap(gap));
        }
    }

    fn tell(&self, seen: Seen) {
        let _ = self.outlets.to.send(seen);
        self.outlets.waker.wake();
    }
}

impl Outlets {
    fn hear(&self, killed: &Killed, part: Part, spaces: &Spaces) {
        let now = since_boot();
        match part {
            Part::Context => {
                self.tell(Seen::Killed { id: killed.id, context: Box::new(killed.context.clone()) });
                // Now, while they are there.
                for pid in parties(killed) {
                    spaces.at_kill(pid, now);
                }
            }
            Part::Tasks => {
                let (tasks, are_all) = (killed.context.tasks.clone(), killed.context.tasks_complete);
                self.tell(Seen::OfKill { id: killed.id, news: KillNews::Tasks { tasks, are_all } });
            }
            Part::TriggerStack => self.name(killed, Of::Trigger, spaces),
            Part::VictimStack => self.name(killed, Of::Victim, spaces),
        }
    }

    fn name(&self, killed: &Killed, of: Of, spaces: &Spaces) {
        let (pid, stack) = match of {
            Of::Trigger => (killed.context.trigger.pid, &killed.trigger_stack),
            Of::Victim => (killed.context.victim.pid, &killed.victim_stack),
        };
        let Some(user) = stack.clone() else { return };
        let kernel = if of == Of::Trigger { killed.kernel.clone() } else { Vec::new() };
        // Said first: the answer must not come before the question.
        self.tell(Seen::OfKill { id: killed.id, news: KillNews::Naming });
        let job = StackJob { id: killed.id, of, user, kernel, space: spaces.known(pid), python: spaces.python(pid) };
        let _ = self.jobs.send(Job::Stack(Box::new(job)));
    }

    fn tell(&self, seen: Seen) {
        let _ = self.to.send(seen);
        self.waker.wake();
    }
}

/// The processes of a kill, each once.
fn parties(killed: &Killed) -> impl Iterator<Item = u32> {
    let (trigger, victim) = (killed.context.trigger.pid, killed.context.victim.pid);
    [Some(victim), (trigger != victim).then_some(trigger)].into_iter().flatten()
}
