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
    let why = if facts.incident.contexts.is_empty() {
        "a kernel log has no stack of the program; `oomscope watch` takes it where the kernel lets it load eBPF programs"
    } else {
        "the stack could not be read at the kill, or has not been worked out yet"
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
