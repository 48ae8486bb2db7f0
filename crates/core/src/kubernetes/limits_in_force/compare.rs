//! Spec and files side by side.

use super::causes::causes;
use super::expected::{self, OfContainer};
use super::resize::Resize;
use super::{
    Expected, FoundLevel, InForce, LevelInForce, Number, Setting, Step, Surroundings, Value, Verdict, full_name,
};
use crate::evidence::Gap;
use crate::formats::cgroup::Version;
use crate::kubernetes::Pod;
use crate::units::{Bytes, Limit};

/// Compares. Without a pod the files alone are told, and the gap says why.
#[must_use]
pub fn in_force(pod: Option<&Pod>, levels: &[FoundLevel], around: Surroundings<'_>) -> InForce {
    let resize = pod.and_then(Resize::of);
    let context = Context { pod, around, resize: resize.as_ref() };
    let mut gaps = Vec::new();
    if pod.is_none() {
        let why = "nobody who knows the pod answered: the files are shown without what should be in them";
        gaps.push(Gap::new("the pod's spec", why));
    } else if around.kubelet.is_none() && around.version == Version::V2 {
        let why = "the kubelet's configuration is not known: memory.high, min, low and swap.max are not compared";
        gaps.push(Gap::new("MemoryQoS and swap", why));
    }
    let levels: Vec<_> = levels.iter().map(|level| context.level(level)).collect();
    gaps.extend(pod.map(|pod| missing_containers(pod, &levels)).unwrap_or_default());
    InForce { pod: pod.map(full_name), levels, resize, gaps }
}

/// Containers that should run and have no cgroup here.
fn missing_containers(pod: &Pod, levels: &[LevelInForce]) -> Vec<Gap> {
    let is_there =
        |name: &str| levels.iter().any(|level| matches!(&level.step, Step::Container(Some(found)) if found == name));
    let running = pod.statuses().filter(|status| status.state.running.is_some());
    running
        .filter(|status| !is_there(&status.name))
        .map(|status| {
            Gap::new(format!("limits of container {}", status.name), "its cgroup was not found below the pod's")
        })
        .collect()
}

pub(super) struct Context<'a> {
    pub(super) pod: Option<&'a Pod>,
    pub(super) around: Surroundings<'a>,
    pub(super) resize: Option<&'a Resize>,
}

impl Context<'_> {
    fn level(&self, found: &FoundLevel) -> LevelInForce {
        let settings = match &found.step {
            Step::Container(name) => self.container(found, name.as_deref()),
            Step::Pause => self.pause(found),
            Step::Pod => self.of_pod(found),
            Step::QosClass => vec![self.limit(found, self.pod.map(|_| expected::class_limit())), self.min(found, None)],
            Step::Kubepods => vec![self.limit(found, expected::kubepods_limit(self.around)), self.min(found, None)],
            Step::Above => vec![self.limit(found, None)],
        };
        let has_something = |setting: &Setting| setting.actual.is_some() || setting.expected.is_some();
        LevelInForce {
            step: found.step.clone(),
            cgroup: found.cgroup.clone(),
            usage_bytes: found.usage,
            settings: settings.into_iter().filter(has_something).collect(),
        }
    }

    fn container(&self, found: &FoundLevel, name: Option<&str>) -> Vec<Setting> {
        let container = self.pod.zip(name).and_then(|(pod, name)| Some((pod, pod.container(name)?)));
        let of = container.map(|(pod, container)| OfContainer { pod, container, around: self.around });
        let mut settings = vec![self.limit(found, of.as_ref().map(OfContainer::limit))];
        if self.around.version == Version::V2 {
            let limits = &found.limits;
            let group = of.as_ref().map(OfContainer::oom_group);
            settings.extend([
                self.amount(found, "memory.high", of.as_ref().and_then(OfContainer::high), limits.high_bytes),
                self.min(found, of.as_ref().and_then(OfContainer::min)),
                self.amount(found, "memory.low", of.as_ref().and_then(OfContainer::low), limits.low_bytes),
                self.amount(found, "memory.swap.max", of.as_ref().and_then(OfContainer::swap), limits.swap_max_bytes),
                self.setting(found, "memory.oom.group", group, limits.oom_group.map(Value::Flag)),
            ]);
        } else {
            settings.extend(self.v1_extras(found));
        }
        settings.extend(self.adjs(found, of.as_ref().and_then(OfContainer::oom_score_adj)));
        settings
    }

    fn pause(&self, found: &FoundLevel) -> Vec<Setting> {
        let mut settings = vec![self.limit(found, None)];
        settings.extend(self.adjs(found, self.pod.map(|_| expected::pause_adj())));
        settings
    }

    fn of_pod(&self, found: &FoundLevel) -> Vec<Setting> {
        let mut settings = vec![self.limit(found, self.pod.map(expected::pod_limit))];
        if self.around.version == Version::V2 {
            let limits = &found.limits;
            settings.extend([
                self.amount(found, "memory.high", None, limits.high_bytes),
                self.min(found, self.pod.and_then(|pod| expected::pod_min(pod, self.around))),
                self.amount(found, "memory.low", None, limits.low_bytes),
                self.amount(found, "memory.swap.max", None, limits.swap_max_bytes),
                self.setting(found, "memory.oom.group", None, limits.oom_group.map(Value::Flag)),
            ]);
        } else {
            settings.extend(self.v1_extras(found));
        }
        settings
    }

    fn limit(&self, found: &FoundLevel, expected: Option<Expected>) -> Setting {
        self.amount(found, expected::limit_file(self.around.version), expected, found.limits.max_bytes)
    }

    fn min(&self, found: &FoundLevel, expected: Option<Expected>) -> Setting {
        let expected = expected.filter(|_| self.around.version == Version::V2);
        self.amount(found, "memory.min", expected, found.limits.min_bytes)
    }

    fn v1_extras(&self, found: &FoundLevel) -> Vec<Setting> {
        let limits = &found.limits;
        vec![
            self.amount(found, "memory.memsw.limit_in_bytes", None, limits.memory_swap_max_bytes),
            self.amount(found, "memory.soft_limit_in_bytes", None, limits.low_bytes),
            self.setting(found, "oom_kill_disable", None, limits.oom_kill_disable.map(Value::Flag)),
        ]
    }

    /// A line for each value that its processes have.
    fn adjs(&self, found: &FoundLevel, expected: Option<Expected>) -> Vec<Setting> {
        let mut values: Vec<i32> = found.processes.iter().map(|(_, _, adj)| *adj).collect();
        values.sort_unstable();
        values.dedup();
        let setting =
            |number| self.setting(found, "oom_score_adj", expected.clone(), Some(Value::Number(Number { number })));
        values.into_iter().map(setting).collect()
    }

    fn amount(&self, found: &FoundLevel, file: &str, expected: Option<Expected>, actual: Option<Limit>) -> Setting {
        self.setting(found, file, expected, actual.map(Value::Amount))
    }

    fn setting(&self, found: &FoundLevel, file: &str, expected: Option<Expected>, actual: Option<Value>) -> Setting {
        let verdict = verdict(expected.as_ref(), actual, self.around.page_size);
        let mut setting = Setting {
            file: file.to_owned(),
            expected: expected.as_ref().map(|expected| expected.value),
            actual,
            verdict,
            from: expected.map(|expected| expected.from),
            causes: Vec::new(),
        };
        if verdict == Verdict::Differs {
            setting.causes = causes(self, found, &setting);
        }
        setting
    }
}

fn verdict(expected: Option<&Expected>, actual: Option<Value>, page_size: u64) -> Verdict {
    let Some((expected, actual)) = expected.zip(actual) else { return Verdict::NotCompared };
    if expected.value == actual {
        Verdict::Same
    } else if whole_pages(expected.value, page_size) == actual {
        Verdict::Rounded
    } else if expected.also.iter().any(|also| whole_pages(*also, page_size) == actual) {
        Verdict::AlsoRight
    } else {
        Verdict::Differs
    }
}

/// As the kernel keeps it (`page_counter_memparse()` in mm/page_counter.c divides by the page size).
fn whole_pages(value: Value, page_size: u64) -> Value {
    match value {
        Value::Amount(Limit::At(Bytes(bytes))) => Value::Amount(Limit::At(Bytes(bytes - bytes % page_size.max(1)))),
        other => other,
    }
}
