//! Asks the container runtime and the node's files who is who, on a thread of its own: a runtime that hangs holds up nobody.
//!
//! A container's files and its cgroup are gone within moments of a kill, so everybody is asked for at the start and every few seconds:
//! the directory then knows the dead by what they were called when they lived.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use oomscope_core::kubernetes::{Directory, Source};
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::kubernetes::cri::Cri;
use oomscope_sources::kubernetes::disk::{container_on_disk, containers_on_disk};

use crate::watch::accounts::locked;

/// How often the runtime is asked for everybody.
const ROUND: Duration = Duration::from_secs(10);
/// The runtime learns of an end some milliseconds after the kill, and writes it down a little later.
const AFTER_A_KILL: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(3)];

/// Ends that are looked up by themselves.
const MOST_WAITING: usize = 256;

/// Whoever wants to know.
#[derive(Debug)]
pub(super) struct Names {
    ask: Sender<String>,
}

impl Names {
    /// Starts the thread. It ends when this is dropped.
    pub(super) fn start(root: HostRoot, directory: Arc<Mutex<Directory>>) -> std::io::Result<Self> {
        let (ask, asked) = channel();
        std::thread::Builder::new().name("names".into()).spawn(move || follow(&root, &directory, &asked))?;
        Ok(Self { ask })
    }

    /// A process of this container was killed: how it ended is looked up when the runtime knows.
    pub(super) fn ask(&self, container_id: &str) {
        // Without the thread the names stay as they are.
        let _ = self.ask.send(container_id.to_owned());
    }
}

fn follow(root: &HostRoot, directory: &Mutex<Directory>, asked: &Receiver<String>) {
    let (containers, _) = containers_on_disk(root);
    let mut known = locked(directory);
    containers.into_iter().for_each(|container| known.see_container(container, Source::Disk));
    drop(known);
    let mut runtime = None;
    let mut waiting: Vec<(Instant, String)> = Vec::new();
    let mut round = Instant::now();
    loop {
        let now = Instant::now();
        if now >= round {
            everybody(root, &mut runtime, directory);
            round = now + ROUND;
        }
        for (_, id) in waiting.extract_if(.., |(due, _)| *due <= now).collect::<Vec<_>>() {
            one(root, runtime.as_ref(), &id, directory);
        }
        let due = waiting.iter().map(|(due, _)| *due).chain([round]).min().unwrap_or(round);
        match asked.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(id) if waiting.len() < MOST_WAITING => {
                waiting.extend(AFTER_A_KILL.map(|later| (Instant::now() + later, id.clone())));
            }
            // The next round asks for everybody.
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// A runtime that was not there, or went away, is looked for again each round.
fn everybody(root: &HostRoot, runtime: &mut Option<Cri>, directory: &Mutex<Directory>) {
    if runtime.is_none() {
        *runtime = Cri::connect(root, None).ok();
    }
    match runtime.as_ref().map(Cri::containers) {
        Some(Ok(containers)) => {
            let mut known = locked(directory);
            containers.into_iter().for_each(|container| known.see_container(container, Source::Cri));
        }
        Some(Err(_)) => *runtime = None,
        None => {}
    }
}

fn one(root: &HostRoot, runtime: Option<&Cri>, id: &str, directory: &Mutex<Directory>) {
    let by_runtime = runtime.and_then(|runtime| runtime.container(id).ok().flatten()).map(|found| (found, Source::Cri));
    let found = by_runtime.or_else(|| container_on_disk(root, id).map(|found| (found, Source::Disk)));
    if let Some((container, source)) = found {
        locked(directory).see_container(container, source);
    }
}
