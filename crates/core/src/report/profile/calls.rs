//! The tree of calls on a page: the largest first, a chain of calls without branches on one line, what is small in one sum.

use std::collections::BinaryHeap;

use super::super::layout::{self, Align};
use super::super::page::Page;
use super::super::style::Role;
use super::super::words;
use super::{in_words, label};
use crate::profile::blame::serves_others;
use crate::profile::tree::{Call, Node, Tree};
use crate::profile::{Measure, Profile};
use crate::text::name_in_text;
use crate::units::Bytes;

/// Columns of the numbers left of the tree.
const BYTES: usize = 10;
const SHARE: usize = 12;
/// Pids named of processes of one name.
const PIDS: usize = 3;

/// Writes at most about `rows` calls, the largest, into the page's current section.
pub(super) fn write(page: &mut Page, profile: &Profile, tree: &Tree, measure: Measure, rows: usize) {
    let whole = profile.total(measure);
    let mut writer = Writer { page, profile, tree, whole, floor: Bytes((whole.0 / 100).max(1)) };
    writer.floor = writer.floor_for(rows);
    writer.write();
}

struct Writer<'a> {
    page: &'a mut Page,
    profile: &'a Profile,
    tree: &'a Tree,
    whole: Bytes,
    /// Calls with less are summed up.
    floor: Bytes,
}

/// A line that is still to be written.
struct Pending {
    /// What stands before its branch: the lines of those that go on beside it.
    margin: String,
    is_last: bool,
    what: Line,
}

enum Line {
    Call(usize),
    /// The function's own, beside what it calls.
    Itself(Bytes),
    /// Calls that are too small.
    Rest(usize, Bytes),
}

impl Writer<'_> {
    /// So that the largest `rows` are shown; never less than a hundredth of the whole.
    fn floor_for(&self, rows: usize) -> Bytes {
        let mut largest: BinaryHeap<(Bytes, usize)> = self.visible(Tree::ROOT).map(|at| (self.bytes(at), at)).collect();
        let mut floor = self.floor;
        for _ in 0..rows.max(1) {
            let Some((bytes, at)) = largest.pop() else { return self.floor };
            floor = bytes;
            let end = self.chain(at).last().copied().unwrap_or(at);
            largest.extend(self.visible(end).map(|at| (self.bytes(at), at)));
        }
        floor.max(self.floor)
    }

    fn bytes(&self, at: usize) -> Bytes {
        self.tree.node(at).map_or(Bytes(0), |node| node.bytes)
    }

    fn visible(&self, at: usize) -> impl Iterator<Item = usize> {
        self.tree.children(at).filter(|(_, node)| node.bytes >= self.floor).map(|(at, _)| at)
    }

    /// A call, and those that follow without a branch that is worth showing.
    fn chain(&self, at: usize) -> Vec<usize> {
        let mut chain = vec![at];
        let is_frame = |at: usize| matches!(self.tree.node(at), Some(Node { call: Call::Frame { .. }, .. }));
        let mut end = at;
        while is_frame(end) {
            let mut visible = self.visible(end);
            let (Some(only), None) = (visible.next(), visible.next()) else { break };
            if self.bytes(end).0.saturating_sub(self.bytes(only).0) >= self.floor.0 || !is_frame(only) {
                break;
            }
            end = only;
            chain.push(end);
        }
        chain
    }

    fn write(&mut self) {
        let mut waiting = self.below(Tree::ROOT, "");
        waiting.reverse();
        while let Some(line) = waiting.pop() {
            let is_top = line.margin.is_empty() && matches!(&line.what, Line::Call(at) if self.is_process(*at));
            let (branch, beside) = match (is_top, line.is_last, self.page.is_unicode()) {
                (true, ..) => ("", ""),
                (_, true, true) => ("└ ", "  "),
                (_, false, true) => ("├ ", "│ "),
                (_, true, false) => ("` ", "  "),
                (_, false, false) => ("|-", "| "),
            };
            let margin = self.fitting(&line.margin);
            match line.what {
                Line::Call(at) => {
                    let chain = self.chain(at);
                    let end = chain.last().copied().unwrap_or(at);
                    self.call(&format!("{margin}{branch}"), &chain);
                    let mut below = self.below(end, &format!("{}{beside}", line.margin));
                    below.reverse();
                    waiting.extend(below);
                }
                Line::Itself(bytes) => self.dim(&format!("{margin}{branch}"), bytes, "(itself)"),
                Line::Rest(count, bytes) => {
                    let text = format!("{} {} more", self.page.glyphs.ellipsis, words::grouped(count as i128));
                    self.dim(&format!("{margin}{branch}"), bytes, &text);
                }
            }
        }
    }

    fn is_process(&self, at: usize) -> bool {
        matches!(self.tree.node(at), Some(Node { call: Call::Process { .. }, .. }))
    }

    /// The lines below a call, in order.
    fn below(&self, at: usize, margin: &str) -> Vec<Pending> {
        let mut lines: Vec<Line> = self.visible(at).map(Line::Call).collect();
        let small = || self.tree.children(at).filter(|(_, node)| node.bytes < self.floor);
        let called = self.tree.children(at).fold(0_u64, |sum, (_, node)| sum.saturating_add(node.bytes.0));
        let itself = self.bytes(at).0.saturating_sub(called);
        if itself >= self.floor.0 && !lines.is_empty() {
            lines.push(Line::Itself(Bytes(itself)));
        }
        let rest = small().fold(0_u64, |sum, (_, node)| sum.saturating_add(node.bytes.0));
        // What is left over below a leaf of the picture is in that leaf's own number.
        if rest >= self.floor.0 || (rest > 0 && !lines.is_empty()) {
            lines.push(Line::Rest(small().count(), Bytes(rest)));
        }
        let last = lines.len();
        let pending = |(at, what)| Pending { margin: margin.to_owned(), is_last: at + 1 == last, what };
        lines.into_iter().enumerate().map(pending).collect()
    }

    /// Deep branches keep the end of their margin.
    fn fitting(&self, margin: &str) -> String {
        let room = self.page.inner_width() / 3;
        layout::shorten_front(margin, room, self.page.glyphs.ellipsis)
    }

    fn numbers(&self, bytes: Bytes) -> String {
        let share = in_words(self.profile.share(bytes, self.whole), self.page);
        let share = layout::pad(&share, SHARE, Align::Right);
        format!("{}{share}  ", layout::pad(&bytes.to_string(), BYTES, Align::Right))
    }

    fn call(&mut self, branch: &str, chain: &[usize]) {
        let end = chain.last().and_then(|&at| self.tree.node(at));
        let Some(end) = end else { return };
        let numbers = self.numbers(end.bytes);
        let room = self.page.inner_width().saturating_sub(layout::width_of(&numbers) + layout::width_of(branch));
        let names: Vec<String> = chain.iter().filter_map(|&at| Some(self.name(&self.tree.node(at)?.call))).collect();
        let text = self.joined(&names, room);
        let place = self.place(chain).filter(|place| layout::width_of(&text) + 2 + layout::width_of(place) <= room);
        let is_hot = end.bytes.0 > self.whole.0 / 2;
        let text = self.page.paint(if is_hot { Role::Strong } else { Role::Plain }, &text);
        let place = place.map_or_else(String::new, |place| format!("  {}", self.page.paint(Role::Dim, &place)));
        let line = format!("{numbers}{}{text}{place}", self.page.paint(Role::Dim, branch));
        self.page.line(&line);
    }

    fn dim(&mut self, branch: &str, bytes: Bytes, text: &str) {
        let line = format!("{}{branch}{text}", self.numbers(bytes));
        let line = self.page.paint(Role::Dim, &line);
        self.page.line(&line);
    }

    fn name(&self, call: &Call) -> String {
        let name = match call {
            Call::All => String::new(),
            Call::NoStack => label::NO_STACK.to_owned(),
            Call::Process { comm, pids } => {
                let named: Vec<String> = pids.iter().take(PIDS).map(u32::to_string).collect();
                let more = pids.len().saturating_sub(PIDS);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let pid = if pids.len() == 1 { "pid" } else { "pids" };
                format!("{} ({pid} {}{more})", name_in_text(comm.as_bytes()), named.join(", "))
            }
            Call::Frame { frame, several_places } => match self.profile.frames.get(*frame) {
                Some(frame) if *several_places => label::module(frame),
                Some(frame) => label::name(frame),
                None => "?".to_owned(),
            },
        };
        self.page.text(&name)
    }

    /// Of the last call of a chain that is the program's own: `memset`'s would say nothing.
    fn place(&self, chain: &[usize]) -> Option<String> {
        let frames = chain.iter().rev().filter_map(|&at| match self.tree.node(at)?.call {
            Call::Frame { frame, .. } => self.profile.frames.get(frame),
            _ => None,
        });
        let own = frames.clone().find(|frame| !serves_others(frame));
        let place = label::place(own.or_else(|| frames.clone().next())?)?;
        Some(self.page.text(&place))
    }

    /// A chain of calls in `room` columns. Its last calls matter most, then its first.
    fn joined(&self, names: &[String], room: usize) -> String {
        let arrow = if self.page.is_unicode() { " › " } else { " > " };
        let ellipsis = self.page.glyphs.ellipsis;
        let names = without_repeats(names, self.page.glyphs.times);
        let whole = names.join(arrow);
        if layout::width_of(&whole) <= room {
            return whole;
        }
        let Some((last, before)) = names.split_last() else { return String::new() };
        let lead = layout::width_of(ellipsis) + layout::width_of(arrow);
        let mut text = layout::shorten_middle(last, room.saturating_sub(lead), ellipsis);
        for name in before.iter().rev() {
            if layout::width_of(name) + layout::width_of(arrow) + layout::width_of(&text) + lead > room {
                break;
            }
            text = format!("{name}{arrow}{text}");
        }
        if names.len() == 1 { layout::shorten_middle(last, room, ellipsis) } else { format!("{ellipsis}{arrow}{text}") }
    }
}

/// `f ×12` for a function that calls itself twelve times.
fn without_repeats(names: &[String], times: &str) -> Vec<String> {
    names
        .chunk_by(|a, b| a == b)
        .filter_map(|same| {
            let name = same.first()?;
            Some(if same.len() > 1 { format!("{name} {times}{}", same.len()) } else { name.clone() })
        })
        .collect()
}
