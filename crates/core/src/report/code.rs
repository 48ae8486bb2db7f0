//! WHICH CODE: where the page was asked for, where the victims were, and which code took the memory.

use super::page::Page;
use super::style::Role;
use super::words;
use crate::case::Case;
use crate::evidence::own_code::{OwnCode, Places, own_code};
use crate::evidence::{Frame, HotFunction, HotStacks, Stacks, VictimStack};
use crate::units::Bytes;

/// Frames of the stack that asked.
pub(super) const FRAMES: usize = 8;
/// Frames of the others.
pub(super) const FEW_FRAMES: usize = 4;
/// Hot functions shown.
pub(super) const HOT: usize = 3;
/// Victims whose place is shown.
pub(super) const VICTIMS: usize = 3;

/// One stack that is shown.
pub(super) struct Shown<'a> {
    /// `asked in`.
    pub(super) label: &'static str,
    /// Whose, where it is not the trigger's.
    pub(super) whose: Option<String>,
    pub(super) own: OwnCode<'a>,
    pub(super) most: usize,
}

/// The stacks at the kill: of the trigger, and of victims that were not the trigger.
pub(super) fn at_kill(case: &Case) -> Vec<Shown<'_>> {
    let report = case.incident.report();
    let Some(stacks) = &report.stacks else { return Vec::new() };
    let asked = (!stacks.user.is_empty()).then(|| Shown {
        label: "asked in",
        whose: None,
        own: own_code(&stacks.user),
        most: FRAMES,
    });
    let victim =
        |stack| Shown { label: "victim", whose: Some(name(case, stack)), own: own_code(&stack.user), most: FEW_FRAMES };
    asked.into_iter().chain(victims(stacks).take(VICTIMS).map(victim)).collect()
}

fn victims(stacks: &Stacks) -> impl Iterator<Item = &VictimStack> {
    stacks.victims.iter().filter(|victim| !victim.user.is_empty())
}

fn name(case: &Case, stack: &VictimStack) -> String {
    let victim = case.incident.report().victims.iter().find(|victim| victim.pid == stack.pid);
    victim.map_or_else(|| format!("pid {}", stack.pid), words::victim)
}

/// What of a stack is not shown: `left out: 3 of the allocator`.
pub(super) fn left_out(own: &OwnCode<'_>) -> Option<String> {
    own.left_out_in_words().map(|words| format!("left out: {words}"))
}

/// `of what was made resident in the last 5 min`.
pub(super) fn hot_title(hot: &HotStacks) -> String {
    format!("of what was made resident in the last {}", words::span(hot.length_us()))
}

/// The hottest functions with their shares.
pub(super) fn hottest(hot: &HotStacks) -> Vec<(String, HotFunction<'_>)> {
    let whole = hot.whole();
    hot.functions(None).into_iter().take(HOT).map(|function| (share(function.bytes, whole), function)).collect()
}

fn share(bytes: Bytes, whole: Bytes) -> String {
    words::percent(bytes.share_of(whole))
}

/// Where frames are without names: how to name them later.
pub(super) fn unnamed(case: &Case) -> Option<String> {
    let stacks = case.incident.report().stacks.as_ref()?;
    let is_unnamed = |frame: &&Frame| frame.function.is_none();
    let shown = own_code(&stacks.user).frames.into_iter().take(FRAMES).filter(is_unnamed).count();
    (shown > 0).then(|| {
        let frames = words::count(shown, "frame", "frames");
        format!("{frames} without a name; the JSON has what it takes to name them where the symbols are")
    })
}

pub(super) fn write(page: &mut Page, case: &Case) {
    let shown = at_kill(case);
    let hot = case.incident.hot_stacks.as_ref().filter(|hot| !hot.stacks.is_empty());
    if shown.is_empty() && hot.is_none() {
        return;
    }
    page.heading("WHICH CODE", "who asks last is not always who took the memory");
    for stack in &shown {
        if let Some(whose) = &stack.whose {
            let mut pieces = vec![format!("{whose} in")];
            pieces.extend(stack.own.pieces(stack.most, Places::First));
            page.chain(stack.label, Role::Plain, &pieces);
        } else {
            page.chain(stack.label, Role::Strong, &stack.own.pieces(stack.most, Places::All));
            page.facts("", Role::Dim, &left_out(&stack.own).into_iter().chain(unnamed(case)).collect::<Vec<_>>());
        }
    }
    if let Some(hot) = hot {
        hot_stacks(page, hot);
    }
}

fn hot_stacks(page: &mut Page, hot: &HotStacks) {
    page.fact("took most", Role::Plain, &format!("{}:", hot_title(hot)));
    let hottest = hottest(hot);
    let widest = hottest.iter().map(|(share, _)| share.len()).max().unwrap_or(0);
    for (share, function) in &hottest {
        let share = format!("{share:>widest$} ");
        let mut pieces = function.own.pieces(FEW_FRAMES, Places::First);
        if let Some(first) = pieces.first_mut() {
            first.insert_str(0, &share);
        }
        page.chain("", Role::Plain, &pieces);
    }
}

/// The code in one line, for whoever has read the case already and gets the stack only now:
/// ``oom-…: Which code: asked in `parse_json` (loader.rs:42) ← `main` · took most: 61 % `cache_put` ``. `None` where neither is known.
#[must_use]
pub fn line(case: &Case) -> Option<String> {
    let stacks = case.incident.report().stacks.as_ref();
    let asked = stacks.map(|stacks| own_code(&stacks.user)).filter(|own| !own.frames.is_empty());
    let asked = asked.map(|own| format!("asked in {}", own.sentence()));
    let hottest = case.incident.hot_stacks.as_ref().and_then(|hot| hottest(hot).into_iter().next());
    let took = hottest.map(|(share, function)| format!("took most: {share} {}", function.own.sentence()));
    let said: Vec<String> = asked.into_iter().chain(took).collect();
    (!said.is_empty()).then(|| format!("{}: Which code: {}", case.id, words::clean(&said.join(" · "))))
}
