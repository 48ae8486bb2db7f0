//! Which cgroups there are, as they come and go.
//!
//! Every folder is watched with inotify before it is listed: what is made in between is then in the list, in the queue, or in
//! both, and never in neither. A folder is told from another of the same name by its watch, which belongs to the inode.
//!
//! inotify(7) loses events when its queue is full, and refuses watches beyond `fs.inotify.max_user_watches`. After the first,
//! everything is listed again; in the second case too, every few seconds, and a gap says so. Depth and number are bounded:
//! whoever may make cgroups of his own (a delegated tree, a container) may not make this program grow without end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use oomscope_core::evidence::Gap;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::error::Error;
use super::place::Hierarchy;

/// Deeper ones are left out. Container runtimes in containers reach about 12.
const DEEPEST: usize = 64;
/// More are left out. The kernel itself has 65 535 memory cgroups (`MEM_CGROUP_ID_MAX`).
const MOST: usize = 1 << 14;
/// How often everything is listed again where not every folder could be watched.
const RESCAN_EVERY: Duration = Duration::from_secs(5);

/// A cgroup came or went. In order of time; a cgroup that went before it was looked at has come all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The folder is there, or was a moment ago.
    Appeared(PathBuf),
    /// It is not there any more, nor are those below it, which are told first.
    Vanished(PathBuf),
}

/// A cgroup and all below it, followed.
#[derive(Debug)]
pub struct Tree {
    top: PathBuf,
    inotify: OwnedFd,
    /// In order of path, so that those below a folder follow it. `None`: not watched.
    folders: BTreeMap<PathBuf, Option<i32>>,
    watches: HashMap<i32, PathBuf>,
    changes: Vec<Change>,
    missed: Missed,
    last_scan: Instant,
}

/// What is not seen.
#[derive(Clone, Copy, Debug, Default)]
struct Missed {
    out_of_watches: bool,
    too_many: bool,
    too_deep: bool,
    /// A folder that could not be watched or listed for another reason.
    refused: Option<Errno>,
}

impl Missed {
    const fn needs_rescans(self) -> bool {
        self.out_of_watches || self.refused.is_some()
    }
}

impl Tree {
    /// Finds `below` and every cgroup under it. `below` is [`Hierarchy::mount`] for all.
    ///
    /// # Errors
    /// [`Error::Notify`] where there can be no inotify instance (`fs.inotify.max_user_instances`, file descriptors);
    /// [`Error::Gone`] where there is no such folder; [`Error::File`] where it lies outside of the hierarchy.
    pub fn open(hierarchy: &Hierarchy, below: &Path) -> Result<Self, Error> {
        if !below.starts_with(hierarchy.mount()) {
            return Err(Error::file("following", below, std::io::ErrorKind::InvalidInput));
        }
        if !below.is_dir() {
            return Err(Error::Gone { folder: below.to_owned() });
        }
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(Error::notify("making an inotify instance"))?;
        let mut tree = Self {
            top: below.to_owned(),
            inotify,
            folders: BTreeMap::new(),
            watches: HashMap::new(),
            changes: Vec::new(),
            missed: Missed::default(),
            last_scan: Instant::now(),
        };
        tree.scan_all();
        Ok(tree)
    }

    /// What has changed since the last call; at first, all there is. Never waits. To be called whenever the descriptor is
    /// readable, and every few seconds in any case.
    ///
    /// # Errors
    /// [`Error::Notify`].
    pub fn changes(&mut self) -> Result<Vec<Change>, Error> {
        let lost = self.read_events()?;
        if lost || (self.missed.needs_rescans() && self.last_scan.elapsed() >= RESCAN_EVERY) {
            self.rescan();
        }
        Ok(std::mem::take(&mut self.changes))
    }

    /// Lists everything again. The differences are in the next [`Tree::changes`].
    pub fn rescan(&mut self) {
        let found = self.scan_all();
        let lost: Vec<_> = self.folders.keys().filter(|folder| !found.contains(*folder)).cloned().collect();
        for folder in lost {
            self.remove(&folder);
        }
    }

    /// What is not seen, and why.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let late = "cgroups that come and go within a few seconds";
        if self.missed.out_of_watches {
            gaps.push(Gap::new(late, "out of inotify watches (sysctl fs.inotify.max_user_watches)"));
        }
        if let Some(errno) = self.missed.refused {
            gaps.push(Gap::new(late, format!("watching or listing a cgroup's folder: {errno}")));
        }
        if self.missed.too_many {
            gaps.push(Gap::new("some cgroups", format!("there are more than {MOST}")));
        }
        if self.missed.too_deep {
            gaps.push(Gap::new("some cgroups", format!("they are nested more than {DEEPEST} deep")));
        }
        gaps
    }

    /// Takes every event off the queue; true where some were lost.
    fn read_events(&mut self) -> Result<bool, Error> {
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut overflow = false;
        loop {
            // An own reader each time round: the events of one read are copied before the tree, which holds the descriptor, changes.
            let events = match read_some(&self.inotify, &mut buffer) {
                Ok(events) if events.is_empty() => return Ok(overflow),
                Ok(events) => events,
                Err(errno) => return Err(Error::notify("reading inotify events of cgroups")(errno)),
            };
            for event in events {
                overflow |= event.what.contains(ReadFlags::QUEUE_OVERFLOW);
                self.apply(&event);
            }
        }
    }

    fn apply(&mut self, event: &Event) {
        let Some(parent) = self.watches.get(&event.watch) else { return };
        if event.what.contains(ReadFlags::IGNORED) {
            // The folder itself is gone. Its parent says so too, except for the topmost.
            let folder = parent.clone();
            return self.remove(&folder);
        }
        let Some(name) = event.name.as_deref().filter(|_| event.what.contains(ReadFlags::ISDIR)) else { return };
        let folder = parent.join(OsStr::from_bytes(name));
        if event.what.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
            self.remove(&folder);
        } else if event.what.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
            self.scan(folder, None);
        }
    }

    fn scan_all(&mut self) -> HashSet<PathBuf> {
        self.missed = Missed::default();
        self.last_scan = Instant::now();
        let mut found = HashSet::new();
        self.scan(self.top.clone(), Some(&mut found));
        found
    }

    /// Watches and lists a folder and all below it. With `found`, that is filled with all that is really there; without, a folder
    /// that is gone already is taken to have come, as its going is in the queue.
    fn scan(&mut self, from: PathBuf, mut found: Option<&mut HashSet<PathBuf>>) {
        let mut pending = vec![from];
        while let Some(folder) = pending.pop() {
            let watch = match self.watch(&folder) {
                Ok(watch) => watch,
                Err(Errno::NOENT | Errno::NOTDIR) if found.is_some() => continue,
                Err(_) => None,
            };
            if !self.insert(&folder, watch) {
                continue;
            }
            if self.depth(&folder) < DEEPEST {
                self.list(&folder, &mut pending);
            } else {
                self.missed.too_deep |= has_folders(&folder);
            }
            if let Some(found) = &mut found {
                found.insert(folder);
            }
        }
    }

    /// `None`: it is there and cannot be watched.
    fn watch(&mut self, folder: &Path) -> Result<Option<i32>, Errno> {
        let wanted = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::ONLYDIR
            | WatchFlags::DONT_FOLLOW;
        match inotify::add_watch(&self.inotify, folder, wanted) {
            Ok(watch) => Ok(Some(watch)),
            Err(errno @ (Errno::NOENT | Errno::NOTDIR)) => Err(errno),
            Err(Errno::NOSPC) => {
                self.missed.out_of_watches = true;
                Ok(None)
            }
            Err(errno) => {
                self.missed.refused = Some(errno);
                Ok(None)
            }
        }
    }

    /// False where there are too many. A known folder with another watch than before is another cgroup.
    fn insert(&mut self, folder: &Path, watch: Option<i32>) -> bool {
        match self.folders.get(folder) {
            Some(known) if *known == watch => return true,
            Some(Some(_)) if watch.is_some() => self.remove(folder),
            // Now watched, or not any more: the same cgroup, as far as can be told.
            Some(_) => {
                self.set_watch(folder, watch);
                return true;
            }
            None => {}
        }
        if self.folders.len() >= MOST {
            self.missed.too_many = true;
            if let Some(watch) = watch {
                self.unwatch(watch);
            }
            return false;
        }
        self.set_watch(folder, watch);
        self.changes.push(Change::Appeared(folder.to_owned()));
        true
    }

    fn set_watch(&mut self, folder: &Path, watch: Option<i32>) {
        if let Some(Some(old)) = self.folders.insert(folder.to_owned(), watch)
            && Some(old) != watch
        {
            self.unwatch(old);
        }
        if let Some(watch) = watch {
            self.watches.insert(watch, folder.to_owned());
        }
    }

    /// Forgets a folder and all below it.
    fn remove(&mut self, folder: &Path) {
        let lost: Vec<_> = self
            .folders
            .range(folder.to_owned()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(folder))
            .cloned()
            .collect();
        for path in lost.into_iter().rev() {
            if let Some(Some(watch)) = self.folders.remove(&path) {
                self.unwatch(watch);
            }
            self.changes.push(Change::Vanished(path));
        }
    }

    fn unwatch(&mut self, watch: i32) {
        self.watches.remove(&watch);
        // Of a removed folder the kernel has done so itself.
        let _ = inotify::remove_watch(&self.inotify, watch);
    }

    fn list(&mut self, folder: &Path, pending: &mut Vec<PathBuf>) {
        match std::fs::read_dir(folder) {
            Ok(entries) => pending.extend(entries.flatten().filter(is_folder).map(|entry| entry.path())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => self.missed.refused = Errno::from_io_error(&e).or(self.missed.refused),
        }
    }

    fn depth(&self, folder: &Path) -> usize {
        folder.strip_prefix(&self.top).map_or(0, |below| below.components().count())
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// An event that has left the buffer.
struct Event {
    watch: i32,
    what: ReadFlags,
    name: Option<Vec<u8>>,
}

/// The events of one read(2), or none.
fn read_some(inotify: &OwnedFd, buffer: &mut [MaybeUninit<u8>]) -> Result<Vec<Event>, Errno> {
    let mut reader = Reader::new(inotify, buffer);
    let mut events = Vec::new();
    loop {
        match reader.next() {
            Ok(event) => events.push(Event {
                watch: event.wd(),
                what: event.events(),
                name: event.file_name().map(|name| name.to_bytes().to_owned()),
            }),
            Err(Errno::AGAIN) => return Ok(events),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        if reader.is_buffer_empty() {
            return Ok(events);
        }
    }
}

fn is_folder(entry: &std::fs::DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_dir())
}

fn has_folders(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(|entry| is_folder(&entry)))
}
