//! Who asked, beside who grew: the code that wanted the page which was not there.
//!
//! Taken in the kernel at the instant of the kill, so it is exact, and it is easily misread: with a leak elsewhere, whoever asks next crosses
//! the limit. It is the last straw, and the culprit only where the same code also made most of the memory resident: that is said where
//! page faults were sampled (a function with at least half of what was sampled), and left open where they were not.

use super::trigger_victim::is_kernel_thread;
use super::{Answer, Found, Rule};
use crate::diagnosis::facts::Facts;
use crate::diagnosis::words::{self, duration, percent};
use crate::evidence::own_code::{OwnCode, own_code};
use crate::evidence::{Gap, HotStacks, Part};
use crate::incident::LIVE;

pub(super) const RULE: Rule = Rule {
    name: "who_asked",
    about: "Which code asked for the page that crossed the limit, and whether it is also the code that took the memory.",
    check,
};

const PARTS: &[Part] = &[Part::UserStack, Part::KillContext];
const WITH_HOT: &[Part] = &[Part::UserStack, Part::KillContext, Part::HotStacks];

fn check(facts: &Facts<'_>) -> Answer {
    if facts.is_sysrq() {
        return Answer::Absent;
    }
    let stacks = facts.report.stacks.as_ref();
    let Some(user) = stacks.map(|stacks| &stacks.user).filter(|user| !user.is_empty()) else {
        return without_stack(facts);
    };
    let own = own_code(user);
    let asked =
        facts.trigger().map_or_else(|| "Somebody".to_owned(), |trigger| words::trigger(trigger, &facts.report.tasks));
    let whole = if facts.is_cgroup_kill() { "crossed the limit" } else { "found no memory left" };
    let stack = format!("{asked} {whole} in {}.", own.sentence());
    match facts.incident.hot_stacks.as_ref().and_then(|hot| compare(&own, hot)) {
        Some(compared) => compared.found(&stack),
        None => Found::that(
            "The code that asked for the page",
            format!("{stack} It asked last, which makes it the last straw and not the culprit: with a leak elsewhere, whoever asks next crosses the limit."),
            PARTS,
        )
        .named("asked"),
    }
    .into()
}

fn without_stack(facts: &Facts<'_>) -> Answer {
    let has_trace = facts.report.stacks.as_ref().is_some_and(|stacks| !stacks.kernel.is_empty());
    if has_trace && facts.trigger().is_some_and(|trigger| is_kernel_thread(facts, trigger)) {
        return Answer::Absent;
    }
    let why = if !facts.incident.contexts.is_empty() {
        "the stack could not be read at the kill, or has not been worked out yet"
    } else if facts.incident.origin.source == LIVE {
        "no eBPF program was there to see the kill"
    } else {
        "a kernel log has no stack of the program; `oomscope watch` takes it where the kernel lets it load eBPF programs"
    };
    Answer::CannotTell(Gap::new("the code that asked for the page", why))
}

/// Who asked against who took most.
struct Compared {
    is_same: bool,
    /// It took at least half.
    is_most: bool,
    hottest: String,
    share: String,
    over: String,
}

fn compare(own: &OwnCode<'_>, hot: &HotStacks) -> Option<Compared> {
    let functions = hot.functions(None);
    let first = functions.first()?;
    let whole = hot.whole();
    Some(Compared {
        is_same: own.function().as_ref() == Some(&first.function),
        is_most: first.bytes.0.saturating_mul(2) >= whole.0,
        hottest: first.own.sentence(),
        share: percent(first.bytes, whole),
        over: duration(hot.length_us()),
    })
}

impl Compared {
    fn found(&self, stack: &str) -> Found {
        let Self { hottest, share, over, .. } = self;
        let sampled = format!("of the memory that was made resident in the last {over}");
        match (self.is_same, self.is_most) {
            (true, true) => Found::that(
                "The code that asked also took most of the memory",
                format!("{stack} The same function accounts for {share} {sampled}."),
                WITH_HOT,
            )
            .named("asked_and_took"),
            (true, false) => Found::that(
                "The code that asked took more than any other",
                format!("{stack} The same function accounts for {share} {sampled}; the rest is spread over others."),
                WITH_HOT,
            )
            .named("asked_and_took"),
            (false, true) => Found::that(
                "The code that asked is not the code that took the memory",
                format!("{stack} That was the last straw: {share} {sampled} is by {hottest}."),
                WITH_HOT,
            )
            .named("last_straw"),
            (false, false) => Found::that(
                "The code that asked for the page",
                format!("{stack} It asked last, which proves no guilt; most by any one function, {share} {sampled}, is by {hottest}."),
                WITH_HOT,
            )
            .named("asked"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::{Diagnosis, diagnose};
    use crate::evidence::{Frame, HotStack, KernelReport, Scope, Stacks, Trigger, Victim};
    use crate::incident::Incident;
    use crate::time::BootTime;
    use crate::units::Bytes;

    fn frames(functions: &[&str]) -> Vec<Frame> {
        let frame = |name: &&str| Frame { function: Some((*name).to_owned()), ..Frame::default() };
        functions.iter().map(frame).collect()
    }

    fn killed(user: &[&str]) -> Incident {
        let report = KernelReport {
            scope: Some(Scope::Memcg),
            limit_cgroup: Some("/a".into()),
            trigger: Some(Trigger { pid: Some(5), comm: Some("app".into()), ..Trigger::default() }),
            victims: vec![Victim { pid: 5, ..Victim::default() }],
            ..KernelReport::default()
        };
        let mut incident = Incident { kills: vec![report], ..Incident::default() };
        if !user.is_empty() {
            incident.add_stacks(Stacks { user: frames(user), ..Stacks::default() });
        }
        incident
    }

    fn sampled(mut incident: Incident, stacks: &[(&[&str], u64)]) -> Diagnosis {
        let stack = |(functions, bytes): &(&[&str], u64)| HotStack {
            frames: frames(functions),
            bytes: Bytes(*bytes),
            ..HotStack::default()
        };
        let to_us = BootTime(60_000_000);
        let stacks = stacks.iter().map(stack).collect();
        incident.add_hot_stacks(HotStacks { to_us, stacks, ..HotStacks::default() });
        diagnose(&incident)
    }

    fn kind(diagnosis: &Diagnosis) -> Option<String> {
        diagnosis.findings.iter().find(|finding| finding.rule == RULE.name)?.kind.clone()
    }

    /// Without samples nobody knows who took the memory, and the finding says that asking proves nothing.
    #[test]
    fn the_asker_is_not_blamed() {
        let diagnosis = diagnose(&killed(&["malloc", "load", "main"]));
        let finding = diagnosis.findings.iter().find(|finding| finding.rule == RULE.name).unwrap();
        assert_eq!(finding.kind.as_deref(), Some("asked"));
        assert!(
            finding.detail.starts_with("app (thread 5) crossed the limit in `load` ← `main`."),
            "{}",
            finding.detail
        );
        assert!(finding.detail.contains("not the culprit"));
        assert_eq!(finding.evidence, [Part::UserStack.into()]);
    }

    /// With samples: the same function, another that took most, or many of which none did.
    #[test]
    fn the_samples_decide() {
        let asked = || killed(&["load", "main"]);
        assert_eq!(
            kind(&sampled(asked(), &[(&["memset", "load"], 60), (&["put"], 40)])).as_deref(),
            Some("asked_and_took")
        );
        assert_eq!(kind(&sampled(asked(), &[(&["load"], 40), (&["put"], 60)])).as_deref(), Some("last_straw"));
        assert_eq!(kind(&sampled(asked(), &[(&["a"], 30), (&["b"], 35), (&["c"], 35)])).as_deref(), Some("asked"));
    }

    /// A log has no stack of a program: the rule cannot tell, and never says that nobody asked.
    #[test]
    fn no_stack_is_a_gap() {
        let told = |incident: &Incident| {
            diagnose(incident).gaps.iter().any(|gap| gap.wanted == "the code that asked for the page")
        };
        assert!(told(&killed(&[])));
        let mut live = killed(&[]);
        LIVE.clone_into(&mut live.origin.source);
        assert!(told(&live));
    }
}
