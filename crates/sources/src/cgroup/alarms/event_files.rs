//! cgroup v2: `memory.events` of each cgroup, watched through one inotify instance.
//!
//! Not `memory.events.local`, which kernels before 5.2 do not have, and which would not tell that something below was killed
//! whose own alarm came too late to be registered.

use std::collections::{BTreeSet, HashMap};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::{Alarm, AlarmKind, add_to};
use crate::cgroup::error::Error;
use crate::cgroup::files::CgroupFiles;

/// What epoll calls the inotify instance.
const EVENTS: u64 = 1;

/// All that are registered.
#[derive(Debug)]
pub(super) struct EventFiles {
    inotify: OwnedFd,
    /// inotify's name of a watch to the caller's name of the cgroup. inotify never uses a name again.
    keys: HashMap<i32, u64>,
    watches: HashMap<u64, i32>,
}

impl EventFiles {
    pub(super) fn new(epoll: &OwnedFd) -> Result<Self, Error> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(Error::notify("making an inotify instance"))?;
        add_to(epoll, &inotify, EVENTS)?;
        Ok(Self { inotify, keys: HashMap::new(), watches: HashMap::new() })
    }

    pub(super) fn watch(&mut self, key: u64, cgroup: &CgroupFiles) -> Result<(), Error> {
        let file = cgroup.folder().join("memory.events");
        let watch = match inotify::add_watch(&self.inotify, &file, WatchFlags::MODIFY) {
            Ok(watch) => watch,
            Err(Errno::NOENT | Errno::NODEV) if !cgroup.folder().exists() => {
                return Err(Error::Gone { folder: cgroup.folder().to_owned() });
            }
            Err(errno) => return Err(Error::file("watching", file, errno)),
        };
        if self.watches.get(&key) != Some(&watch) {
            self.forget(key);
        }
        self.keys.insert(watch, key);
        self.watches.insert(key, watch);
        Ok(())
    }

    pub(super) fn forget(&mut self, key: u64) {
        if let Some(watch) = self.watches.remove(&key) {
            self.keys.remove(&watch);
            // Of a removed cgroup the kernel may have done so itself.
            let _ = inotify::remove_watch(&self.inotify, watch);
        }
    }

    /// Says what has changed; everything that is registered, where the kernel lost events.
    pub(super) fn answer(&mut self, alarms: &mut Vec<Alarm>) -> Result<(), Error> {
        let mut buffer = [MaybeUninit::uninit(); 4 << 10];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut rang = BTreeSet::new();
        let ended = loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(errno) => break errno,
            };
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                rang.extend(self.watches.keys());
            } else if event.events().contains(ReadFlags::MODIFY) {
                rang.extend(self.keys.get(&event.wd()));
            }
        };
        alarms.extend(rang.into_iter().map(|key| Alarm { key, kind: AlarmKind::Events }));
        match ended {
            Errno::AGAIN | Errno::INTR => Ok(()),
            errno => Err(Error::notify("reading inotify events of memory.events")(errno)),
        }
    }
}
