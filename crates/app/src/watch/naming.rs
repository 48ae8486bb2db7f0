//! Names the frames of stacks, on a thread of its own: reading the symbols of a large program takes a second.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::JoinHandle;

use oomscope_core::evidence::{Comm, FoundBy, Frame, Gap, HotStack, HotStacks, KernelStack, VictimStack};
use oomscope_core::text::Untrusted;
use oomscope_core::time::BootTime;
use oomscope_sources::ebpf::{KernelSymbols, KillId, UserStack};
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::process::after_others;
use oomscope_sources::stacks::interpreters::python::Layout;
use oomscope_sources::stacks::{Space, Symboliser, Unwinder};

use super::contexts::KillNews;
use super::hot_stacks::{self, Hot, Hottest};
use super::pythons::Copies;
use super::reader::Seen;
use super::spaces::Spaces;
use super::wake::Waker;

/// Symbols that are kept, bytes; debug information of one file up to half of that. The agent's container has 256 MiB.
const SYMBOLS: usize = 64 << 20;

/// Whose stack it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// Of the task that asked.
    Trigger,
    /// Of a victim that did not.
    Victim,
}

/// What is to be named.
#[derive(Debug)]
pub(super) enum Job {
    /// A stack of a kill.
    Stack(Box<StackJob>),
    /// The code that made memory resident in these cgroups (by inode) before it.
    Hot { id: KillId, cgroups: HashSet<u64>, until: BootTime },
}

/// One stack.
#[derive(Debug)]
pub(super) struct StackJob {
    pub(super) id: KillId,
    pub(super) of: Of,
    pub(super) user: UserStack,
    /// Innermost first; empty for a victim.
    pub(super) kernel: Vec<u64>,
    /// `None` where the process had ended before it could be looked at.
    pub(super) space: Option<Arc<Space>>,
    /// Of a Python program.
    pub(super) python: Option<Layout>,
}

/// Innermost first.
#[derive(Clone, Debug)]
pub(super) enum NamedStack {
    Trigger { user: Vec<Frame>, kernel: KernelStack },
    Victim(VictimStack),
}

/// What it works with.
pub(super) struct Means {
    pub(super) root: HostRoot,
    pub(super) pythons: Copies,
    pub(super) spaces: Spaces,
    /// `None` where nothing is sampled.
    pub(super) hot: Option<hot_stacks::HotStacks>,
}

/// Names until nobody sends any more.
pub(super) fn start(
    means: Means,
    jobs: Receiver<Job>,
    to: Sender<Seen>,
    waker: Waker,
) -> std::io::Result<JoinHandle<()>> {
    let mut namer = Namer {
        kernel: KernelSymbols::new(means.root.clone()),
        unwinder: Unwinder::default(),
        symboliser: Symboliser::with_limit(SYMBOLS),
        means,
    };
    std::thread::Builder::new().name("naming".into()).spawn(move || {
        let _ = after_others();
        for job in jobs {
            let (id, news) = match job {
                Job::Stack(job) => (job.id, namer.name(*job)),
                Job::Hot { id, cgroups, until } => (id, KillNews::Hot(namer.hottest(&cgroups, until))),
            };
            let _ = to.send(Seen::OfKill { id, news });
            waker.wake();
        }
    })
}

struct Namer {
    kernel: KernelSymbols,
    unwinder: Unwinder,
    symboliser: Symboliser,
    means: Means,
}

impl Namer {
    fn name(&mut self, job: StackJob) -> KillNews {
        let mut gaps = Vec::new();
        let user = self.user(&job, &mut gaps);
        let stack = match job.of {
            Of::Trigger => NamedStack::Trigger { user, kernel: self.kernel(&job.kernel, &mut gaps) },
            Of::Victim => NamedStack::Victim(VictimStack { pid: job.user.raw.pid, tid: job.user.raw.tid, user }),
        };
        KillNews::Named { stack, gaps }
    }

    fn hottest(&mut self, cgroups: &HashSet<u64>, until: BootTime) -> Option<HotStacks> {
        let Hottest { span, sampled, stacks } =
            self.means.hot.as_ref()?.hottest(|cgroup| cgroups.contains(&cgroup), until);
        let (from_us, to_us) = span?;
        let stacks = stacks.into_iter().filter_map(|hot| self.hot(hot)).collect();
        Some(HotStacks { from_us, to_us, sampled_bytes: sampled, stacks })
    }

    fn hot(&mut self, hot: Hot) -> Option<HotStack> {
        let space = self.means.spaces.known(hot.pid)?;
        let frames = self.symboliser.frames(&space, &hot.stack);
        Some(HotStack {
            frames,
            bytes: hot.bytes,
            pid: Some(hot.pid),
            comm: Some(Comm(Untrusted::from(hot.comm.as_slice()))),
        })
    }

    fn kernel(&mut self, addresses: &[u64], gaps: &mut Vec<Gap>) -> KernelStack {
        self.kernel.name(addresses).unwrap_or_else(|gap| {
            gaps.push(gap);
            addresses.iter().map(|address| format!("{address:#x}")).collect()
        })
    }

    fn user(&mut self, job: &StackJob, gaps: &mut Vec<Gap>) -> Vec<Frame> {
        let Some(space) = &job.space else {
            let what = format!("the functions of process {}'s stack", job.user.raw.pid);
            gaps.push(Gap::new(what, "it had ended before its memory map could be read"));
            return unnamed(&job.user);
        };
        let unwound = self.unwinder.unwind(space, &job.user.raw);
        let native = self.symboliser.frames(space, &unwound.addresses);
        match &job.python {
            // Only those of whoever asked are copied.
            Some(layout) if job.of == Of::Trigger => {
                self.means.pythons.put_into(native, (job.id, job.user.raw.tid), layout, gaps)
            }
            _ => native,
        }
    }
}

/// What the kernel itself knew of the files: enough to name them later, elsewhere.
fn unnamed(stack: &UserStack) -> Vec<Frame> {
    let addresses = stack.raw.frame_pointers.iter().enumerate();
    let frame = |(depth, address): (usize, &u64)| {
        let file = stack.files.get(depth).and_then(Option::as_ref);
        Frame {
            address: Some(if depth == 0 { *address } else { address.saturating_sub(1) }),
            offset: file.map(|file| file.offset),
            build_id: file.map(|file| file.build_id.clone()),
            found_by: if depth == 0 { FoundBy::Registers } else { FoundBy::FramePointer },
            ..Frame::default()
        }
    };
    addresses.map(frame).collect()
}
