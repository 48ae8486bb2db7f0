//! `oomscope watch` on one cgroup, and what it tells of each kill.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long it may take to begin.
const STARTS: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);

/// The running program; ended when dropped.
#[derive(Debug)]
pub struct Watch {
    process: Child,
    cases: Arc<Mutex<HashMap<u32, Value>>>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Watch {
    /// Starts it and waits until it watches.
    ///
    /// # Errors
    /// It could not be started, or ended at once: what it said.
    pub fn start(oomscope: &Path, cgroup: &Path) -> io::Result<Self> {
        let mut process = Command::new(oomscope)
            .args(["watch", "--no-store", "-o", "json", "--kubernetes", "off", "--cgroup"])
            .arg(cgroup)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (cases, said) = (Arc::<Mutex<HashMap<u32, Value>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        if let (Some(stdout), Some(stderr)) = (process.stdout.take(), process.stderr.take()) {
            let (cases, said) = (Arc::clone(&cases), Arc::clone(&said));
            std::thread::spawn(move || each_line(stdout, |line| keep_case(&cases, &line)));
            std::thread::spawn(move || each_line(stderr, |line| lock(&said).push(line)));
        }
        let mut watch = Self { process, cases, said };
        watch.wait_until_it_watches()?;
        Ok(watch)
    }

    fn wait_until_it_watches(&mut self) -> io::Result<()> {
        let until = Instant::now() + STARTS;
        while !self.said().iter().any(|line| line.contains("watching ")) {
            if self.process.try_wait()?.is_some() || Instant::now() > until {
                return Err(io::Error::other(format!("oomscope watch does not watch: {}", self.said().join("; "))));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Lines of its standard error.
    #[must_use]
    pub fn said(&self) -> Vec<String> {
        lock(&self.said).clone()
    }

    /// Why no stacks can be told here; `None` where they can.
    #[must_use]
    pub fn lacks_stacks(&self) -> Option<String> {
        self.said().into_iter().find(|line| line.contains("kills as the kernel sees them"))
    }

    /// Waits for a case of a victim that is good enough: it comes again when more is known. The last one, after `patience`.
    #[must_use]
    pub fn case_of(&self, victim: u32, patience: Duration, enough: impl Fn(&Value) -> bool) -> Option<Value> {
        let until = Instant::now() + patience;
        loop {
            let case = lock(&self.cases).get(&victim).cloned();
            if case.as_ref().is_some_and(&enough) || Instant::now() > until {
                return case;
            }
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // As a service manager ends it, so that nothing of it stays in the kernel; it ends by itself.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.process),
            rustix::process::Signal::TERM,
        );
        let _ = self.process.wait();
    }
}

fn each_line(output: impl io::Read, mut on: impl FnMut(String)) {
    BufReader::new(output).lines().map_while(Result::ok).for_each(&mut on);
}

/// A case that comes again is a later revision of the same.
fn keep_case(cases: &Mutex<HashMap<u32, Value>>, line: &str) {
    let Ok(case) = serde_json::from_str::<Value>(line) else { return };
    for pid in victims(&case) {
        lock(cases).insert(pid, case.clone());
    }
}

fn victims(case: &Value) -> Vec<u32> {
    let kills = case.pointer("/incident/kills").and_then(Value::as_array).into_iter().flatten();
    let victims = kills.filter_map(|kill| kill.get("victims")?.as_array()).flatten();
    victims.filter_map(|victim| u32::try_from(victim.get("pid")?.as_u64()?).ok()).collect()
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
