//! cgroup v1: an eventfd each for `memory.oom_control` and for a threshold of the charge, registered by writing to
//! `cgroup.event_control` (Documentation/admin-guide/cgroup-v1/memory.rst, sections 9 and 10).
//!
//! The kernel rings every cgroup below the one whose limit was met, before it chooses whom to kill. It looks at thresholds
//! about every 128 pages that are charged. When a cgroup is removed all its eventfds ring once more (`memcg_event_remove` in
//! mm/memcontrol-v1.c).

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use oomscope_core::units::Bytes;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::{Alarm, AlarmKind, add_to, ring_count};
use crate::cgroup::error::Error;
use crate::cgroup::files::CgroupFiles;

/// All that are registered.
#[derive(Debug, Default)]
pub(super) struct Eventfds {
    /// The last one given to epoll; never used twice, so that an answer that comes late meets nobody else.
    token: u64,
    bells: HashMap<u64, Bell>,
    cgroups: HashMap<u64, Registered>,
}

/// The bells of one cgroup.
#[derive(Debug)]
struct Registered {
    folder: PathBuf,
    inode: u64,
    oom: u64,
    threshold: Option<(Bytes, u64)>,
}

/// Closing the eventfd unregisters it, in the kernel and in epoll.
#[derive(Debug)]
struct Bell {
    key: u64,
    kind: AlarmKind,
    eventfd: OwnedFd,
}

impl Eventfds {
    pub(super) fn watch(
        &mut self,
        epoll: &OwnedFd,
        key: u64,
        cgroup: &CgroupFiles,
        threshold: Option<Bytes>,
    ) -> Result<(), Error> {
        if self.cgroups.get(&key).is_some_and(|known| known.inode != cgroup.inode()) {
            self.forget(key);
        }
        if !self.cgroups.contains_key(&key) {
            let oom = self.hang(epoll, key, AlarmKind::Oom, cgroup.folder(), "memory.oom_control", "")?;
            let (folder, inode) = (cgroup.folder().to_owned(), cgroup.inode());
            self.cgroups.insert(key, Registered { folder, inode, oom, threshold: None });
        }
        let before = self.cgroups.get(&key).and_then(|known| known.threshold);
        if before.map(|(bytes, _)| bytes) == threshold {
            return Ok(());
        }
        let new = match threshold {
            Some(bytes) => {
                let argument = bytes.0.to_string();
                let file = "memory.usage_in_bytes";
                Some((bytes, self.hang(epoll, key, AlarmKind::Threshold, cgroup.folder(), file, &argument)?))
            }
            None => None,
        };
        if let Some(known) = self.cgroups.get_mut(&key) {
            known.threshold = new;
        }
        if let Some((_, token)) = before {
            self.bells.remove(&token);
        }
        Ok(())
    }

    /// Registers an eventfd for a file of the cgroup.
    fn hang(
        &mut self,
        epoll: &OwnedFd,
        key: u64,
        kind: AlarmKind,
        folder: &Path,
        file: &str,
        argument: &str,
    ) -> Result<u64, Error> {
        let eventfd =
            eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(Error::notify("making an eventfd"))?;
        let refused = |errno: Errno| match errno {
            Errno::NOENT | Errno::NODEV => Error::Gone { folder: folder.to_owned() },
            _ => Error::file(format!("asking for notifications of {file} in"), folder, errno),
        };
        // The kernel needs the file only while it registers.
        let watched = open(folder.join(file), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(refused)?;
        let control = open(folder.join("cgroup.event_control"), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(refused)?;
        let request = format!("{} {} {argument}", eventfd.as_raw_fd(), watched.as_raw_fd());
        rustix::io::write(&control, request.as_bytes()).map_err(refused)?;
        self.token += 1;
        add_to(epoll, &eventfd, self.token)?;
        self.bells.insert(self.token, Bell { key, kind, eventfd });
        Ok(self.token)
    }

    pub(super) fn forget(&mut self, key: u64) {
        if let Some(known) = self.cgroups.remove(&key) {
            self.bells.remove(&known.oom);
            if let Some((_, token)) = known.threshold {
                self.bells.remove(&token);
            }
        }
    }

    /// Says what rang. Of a cgroup that is gone, the ring of its removal is told as such, the rings before it as what they were.
    pub(super) fn answer(&mut self, token: u64, alarms: &mut Vec<Alarm>) {
        let Some(bell) = self.bells.get(&token) else { return };
        let rings = ring_count(&bell.eventfd);
        let Some(known) = self.cgroups.get(&bell.key).filter(|_| rings > 0) else { return };
        let removed = !still_there(known);
        if rings > u64::from(removed) {
            alarms.push(Alarm { key: bell.key, kind: bell.kind });
        }
        let told = Alarm { key: bell.key, kind: AlarmKind::Removed };
        if removed && !alarms.contains(&told) {
            alarms.push(told);
        }
    }
}

fn still_there(known: &Registered) -> bool {
    std::fs::metadata(&known.folder).is_ok_and(|folder| folder.ino() == known.inode)
}
