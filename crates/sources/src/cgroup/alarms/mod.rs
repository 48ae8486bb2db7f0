//! The kernel's own word that a cgroup is in trouble, without asking every few milliseconds.
//!
//! v1 rings an eventfd for every OOM, and whenever the charge crosses a threshold ([`eventfds`]). v2 has one file whose change is
//! told through inotify ([`event_files`]); which counter rose is for the reader to see. One thread registers as cgroups come
//! and go, another waits: registering works while the other waits.

mod event_files;
mod eventfds;

use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use oomscope_core::units::Bytes;
use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;

use self::event_files::EventFiles;
use self::eventfds::Eventfds;
use super::Version;
use super::error::Error;
use super::files::CgroupFiles;
use super::place::Hierarchy;

/// What epoll calls the descriptor that ends a wait.
const WAKE: u64 = 0;
/// How many descriptors are answered at once; the others at the next wait.
const AT_ONCE: usize = 64;

/// One cgroup rang.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Alarm {
    /// As it was registered.
    pub key: u64,
    /// What for.
    pub kind: AlarmKind,
}

/// What rang.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlarmKind {
    /// v1: the limit of this cgroup or of one above it was met and could not be kept by reclaim. Comes before the kill.
    Oom,
    /// v1: the charge crossed the threshold, upwards or downwards.
    Threshold,
    /// v2: a counter of `memory.events` rose, of this cgroup or of one below it. The kernel tells at most one change every 10 ms
    /// (`CGROUP_FILE_NOTIFY_MIN_INTV`), the first at once, the others late: `max` is told some ms before the kill, `oom_kill` about
    /// 10 ms after it.
    Events,
    /// v1: the cgroup was removed, which rings as an OOM does.
    Removed,
}

/// Alarms of many cgroups.
#[derive(Debug)]
pub struct Alarms {
    epoll: OwnedFd,
    wake: OwnedFd,
    registry: Mutex<Registry>,
}

#[derive(Debug)]
enum Registry {
    V1(Eventfds),
    V2(EventFiles),
}

impl Alarms {
    /// None registered yet.
    ///
    /// # Errors
    /// [`Error::Notify`], where the kernel refuses the descriptors.
    pub fn new(hierarchy: &Hierarchy) -> Result<Self, Error> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(Error::notify("making an epoll instance"))?;
        let wake =
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(Error::notify("making an eventfd"))?;
        add_to(&epoll, &wake, WAKE)?;
        let registry = match hierarchy.version() {
            Version::V1 => Registry::V1(Eventfds::default()),
            Version::V2 => Registry::V2(EventFiles::new(&epoll)?),
        };
        Ok(Self { epoll, wake, registry: Mutex::new(registry) })
    }

    /// Rings with `key` from now on. May be called again with another threshold, as when the limit has changed. `threshold` is for
    /// v1; v2 has nothing like it, and tells a charge that meets the limit instead.
    ///
    /// # Errors
    /// [`Error::Gone`] where the cgroup has been removed; [`Error::File`] where it may not be watched (read-only cgroups, as in
    /// most containers), or no further one may be (`fs.inotify.max_user_watches`, file descriptors).
    pub fn watch(&self, key: u64, cgroup: &CgroupFiles, threshold: Option<Bytes>) -> Result<(), Error> {
        match &mut *self.lock() {
            Registry::V1(eventfds) => eventfds.watch(&self.epoll, key, cgroup, threshold),
            Registry::V2(files) => files.watch(key, cgroup),
        }
    }

    /// Never rings with `key` again, except from a [`Alarms::wait`] that has begun to answer.
    pub fn forget(&self, key: u64) {
        match &mut *self.lock() {
            Registry::V1(eventfds) => eventfds.forget(key),
            Registry::V2(files) => files.forget(key),
        }
    }

    /// Waits until something rings, `timeout` has passed (`None`: for ever) or [`Alarms::wake`] was called. Each alarm is given
    /// once; none after a timeout or a wake.
    ///
    /// # Errors
    /// [`Error::Notify`].
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Vec<Alarm>, Error> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let mut events = Vec::with_capacity(AT_ONCE);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) => {}
            // A signal: the caller looks whether it is to end.
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(errno) => return Err(Error::notify("waiting for cgroups")(errno)),
        }
        let mut alarms = Vec::new();
        let mut registry = self.lock();
        for event in events {
            match (event.data.u64(), &mut *registry) {
                (WAKE, _) => drop(ring_count(&self.wake)),
                (token, Registry::V1(eventfds)) => eventfds.answer(token, &mut alarms),
                (_, Registry::V2(files)) => files.answer(&mut alarms)?,
            }
        }
        Ok(alarms)
    }

    /// Ends the wait of the other thread, or its next one.
    pub fn wake(&self) {
        // Fails only when it has been called 2^64 times without a wait.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// A thread that panicked in between has left nothing half done that matters here.
    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add_to(epoll: &OwnedFd, descriptor: &OwnedFd, token: u64) -> Result<(), Error> {
    epoll::add(epoll, descriptor, epoll::EventData::new_u64(token), epoll::EventFlags::IN)
        .map_err(Error::notify("adding a descriptor to an epoll instance"))
}

/// How often an eventfd rang since this was last asked.
fn ring_count(eventfd: &OwnedFd) -> u64 {
    let mut count = [0; 8];
    match rustix::io::read(eventfd, &mut count) {
        Ok(8) => u64::from_ne_bytes(count),
        _ => 0,
    }
}
