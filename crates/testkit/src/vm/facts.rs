//! What the scenarios of a guest know by themselves (the file `facts`; its lines are described in `guest/library.sh`).

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context as _, Result};

/// The `key=value` words of one fact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, String>);

impl Fields {
    /// One value as it was written.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// One value as a number; `None` where it is absent or none.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }

    /// A list of pids, empty where absent.
    #[must_use]
    pub fn pids(&self, key: &str) -> Vec<u64> {
        self.get(key).unwrap_or_default().split(',').filter_map(|pid| pid.parse().ok()).collect()
    }
}

/// A kill that must be a case. Its fields: `victims` (pids, first the chosen one), `trigger` (pid), `trigger_comm`, `killer` (as in the JSON), `limit_cgroup`,
/// `limit_bytes`, `victim_cgroup`; `group=1`, `no_killable=1`, `swap=1`; `report=maybe` (only the last line may be in the
/// log); `lost` (its pid: the log was overwritten); `wall_s`; `store` (full, freed); `watcher` (before, while, after).
#[derive(Clone, Debug)]
pub struct Expected {
    /// Of which scenario.
    pub scenario: String,
    /// What is known of it.
    pub fields: Fields,
}

/// Memory that was held for some milliseconds.
#[derive(Clone, Debug)]
pub struct Spike {
    /// In which cgroup.
    pub cgroup: String,
    /// From the first touched page, in microseconds of `CLOCK_MONOTONIC`.
    pub from_us: u64,
    /// To when it had been given back.
    pub to_us: u64,
    /// What its process held at the highest, without its code and stack.
    pub bytes: u64,
}

/// All that one guest knew.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// In the order in which they were expected.
    pub expected: Vec<Expected>,
    /// Name, and span in microseconds of `CLOCK_MONOTONIC`.
    pub scenarios: BTreeMap<String, (u64, u64)>,
    /// Exit code of every process that was started by name; 137 after SIGKILL, 0 while it lived.
    pub fates: HashMap<u64, u64>,
    /// In which cgroup of which scenario a process was.
    pub processes: HashMap<u64, (String, String)>,
    /// The spikes.
    pub spikes: Vec<Spike>,
    /// Cgroups that were stalled at `memory.high`.
    pub stalls: Vec<String>,
    /// Runs of the watcher: how each ended.
    pub watches: Vec<Fields>,
    /// When `explain` read the log.
    pub explained_us: Option<u64>,
    /// What went otherwise than planned: scenario and text.
    pub notes: Vec<(String, String)>,
    /// What could not be run: scenario and reason.
    pub skipped: Vec<(String, String)>,
    /// The last fact; absent where the guest did not come to its end.
    pub end: Option<Fields>,
}

impl Facts {
    /// Reads the file that a guest left.
    ///
    /// # Errors
    ///
    /// It is not there, or a line is not what `library.sh` writes.
    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let mut facts = Self::default();
        for line in text.lines() {
            facts.add(line).with_context(|| format!("the fact {line:?}"))?;
        }
        Ok(facts)
    }

    fn add(&mut self, line: &str) -> Result<()> {
        let mut words = line.split('\t');
        let (kind, scenario) = (words.next().context("no kind")?, words.next().context("no scenario")?.to_owned());
        let pairs = words.filter_map(|word| word.split_once('='));
        let fields = Fields(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect());
        let number = |key: &str| fields.number(key).with_context(|| format!("no {key}"));
        let text = |key: &str| fields.get(key).map(str::to_owned).with_context(|| format!("no {key}"));
        match kind {
            "expect" => self.expected.push(Expected { scenario, fields }),
            "scenario" => {
                self.scenarios.insert(scenario, (number("from_us")?, number("to_us")?));
            }
            "process" => {
                self.processes.insert(number("pid")?, (scenario, text("cgroup")?));
            }
            "fate" => {
                self.fates.insert(number("pid")?, number("code")?);
            }
            "spike" => self.spikes.push(Spike {
                cgroup: text("cgroup")?,
                from_us: number("from_us")?,
                to_us: number("to_us")?,
                bytes: number("bytes")?,
            }),
            "stall" => self.stalls.push(text("cgroup")?),
            "watch" => self.watches.push(fields),
            "explained" => self.explained_us = Some(number("at_us")?),
            "note" => self.notes.push((scenario, text("text")?)),
            "skip" => self.skipped.push((scenario, text("why")?)),
            "end" => self.end = Some(fields),
            other => anyhow::bail!("no fact is called {other:?}"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a scenario come back as what they say.
    #[test]
    fn facts_are_read() {
        let mut facts = Facts::default();
        for line in [
            "process\tpods\tpid=7\trole=victim\tcgroup=/kubepods/x",
            "expect\tpods\tvictims=7,8\tkiller=pod_limit\tlimit_bytes=4096",
            "fate\tpods\tpid=7\tcode=137",
            "scenario\tpods\tfrom_us=1\tto_us=2",
        ] {
            facts.add(line).unwrap();
        }
        assert_eq!(facts.expected[0].fields.pids("victims"), [7, 8]);
        assert_eq!(facts.expected[0].fields.number("limit_bytes"), Some(4096));
        assert_eq!(facts.fates[&7], 137);
        assert!(facts.add("rumour\tpods").is_err());
    }
}
