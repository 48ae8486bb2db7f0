//! Stacks as a tree of calls, from the process down to where the page was touched.
//!
//! Calls of the same function are one, wherever in it they are, and so are processes of the same name. Nodes stand in one table and name
//! each other by index: a stack may be a thousand frames deep, and nothing here recurses.

use std::collections::{HashMap, HashSet};

use super::{Measure, Profile, Stack};
use crate::evidence::Frame;
use crate::text::Untrusted;
use crate::units::Bytes;

/// The calls of a profile. The first node is the whole.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Node>,
}

/// A call, with all that was called from it.
#[derive(Clone, Debug)]
pub struct Node {
    /// Of what.
    pub call: Call,
    /// How much, with what was called from it.
    pub bytes: Bytes,
    /// Samples, with what was called from it.
    pub samples: u64,
    /// Indices of what was called from it, the largest first.
    pub children: Vec<usize>,
}

/// What a node stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Everything.
    All,
    /// Processes of one name.
    Process {
        /// Their name.
        comm: Untrusted,
        /// Which, the largest first.
        pids: Vec<u32>,
    },
    /// A frame of [`Profile::frames`]: the largest of those that are this function.
    Frame {
        /// Its index.
        frame: usize,
        /// The others are at other places in a file without names.
        several_places: bool,
    },
    /// Samples without a stack.
    NoStack,
}

/// What makes two calls from one place the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key<'a> {
    Process(&'a [u8]),
    Function(&'a str, Option<&'a [u8]>),
    /// Code without names is told apart by its file alone: addresses would tear one function into many.
    Module(Option<&'a [u8]>),
    NoStack,
}

impl Tree {
    /// Of all stacks that have any bytes.
    #[must_use]
    pub fn new(profile: &Profile, measure: Measure) -> Self {
        let mut grower = Grower { nodes: vec![Node::new(Call::All)], known: HashMap::new(), pids: HashSet::new() };
        // The largest come first, so the first of equal frames is the largest.
        let mut stacks: Vec<&Stack> = profile.stacks.iter().filter(|stack| stack.bytes(measure).0 > 0).collect();
        stacks.sort_by_key(|stack| std::cmp::Reverse(stack.bytes(measure)));
        for stack in stacks {
            grower.add(profile, stack, measure);
        }
        let mut nodes = grower.nodes;
        let order: Vec<(Bytes, u64)> = nodes.iter().map(|node| (node.bytes, node.samples)).collect();
        for node in &mut nodes {
            node.children.sort_by_key(|&child| (std::cmp::Reverse(order.get(child).copied()), child));
        }
        Self { nodes }
    }

    /// The whole.
    pub const ROOT: usize = 0;

    /// A node; `None` for an index that was not had from here.
    #[must_use]
    pub fn node(&self, at: usize) -> Option<&Node> {
        self.nodes.get(at)
    }

    /// All nodes, parents before their children.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// What was called from a node, the largest first.
    pub fn children(&self, at: usize) -> impl Iterator<Item = (usize, &Node)> {
        let children = self.nodes.get(at).map_or(&[][..], |node| &node.children);
        children.iter().filter_map(|&child| Some((child, self.nodes.get(child)?)))
    }
}

impl Node {
    fn new(call: Call) -> Self {
        Self { call, bytes: Bytes(0), samples: 0, children: Vec::new() }
    }
}

struct Grower<'a> {
    nodes: Vec<Node>,
    known: HashMap<(usize, Key<'a>), usize>,
    /// Of which node a process is.
    pids: HashSet<(usize, u32)>,
}

impl<'a> Grower<'a> {
    fn add(&mut self, profile: &'a Profile, stack: &'a Stack, measure: Measure) {
        self.count(Tree::ROOT, stack, measure);
        let mut at = self.enter_process(profile, stack);
        self.count(at, stack, measure);
        for &frame in stack.frames.iter().rev() {
            let Some(of) = profile.frames.get(frame) else { continue };
            at = self.enter(at, key(of), Call::Frame { frame, several_places: false });
            self.note_place(at, profile, of);
            self.count(at, stack, measure);
        }
        if stack.frames.is_empty() {
            let at = self.enter(at, Key::NoStack, Call::NoStack);
            self.count(at, stack, measure);
        }
    }

    fn enter_process(&mut self, profile: &'a Profile, stack: &Stack) -> usize {
        let Some(process) = profile.processes.get(stack.process) else { return Tree::ROOT };
        let call = Call::Process { comm: process.comm.clone(), pids: Vec::new() };
        let at = self.enter(Tree::ROOT, Key::Process(process.comm.as_bytes()), call);
        if self.pids.insert((at, process.pid))
            && let Some(Node { call: Call::Process { pids, .. }, .. }) = self.nodes.get_mut(at)
        {
            pids.push(process.pid);
        }
        at
    }

    fn enter(&mut self, from: usize, key: Key<'a>, call: Call) -> usize {
        let next = self.nodes.len();
        let at = *self.known.entry((from, key)).or_insert(next);
        if at == next {
            self.nodes.push(Node::new(call));
            if let Some(parent) = self.nodes.get_mut(from) {
                parent.children.push(at);
            }
        }
        at
    }

    fn note_place(&mut self, at: usize, profile: &Profile, of: &Frame) {
        if let Some(Node { call: Call::Frame { frame, several_places }, .. }) = self.nodes.get_mut(at) {
            let first = profile.frames.get(*frame);
            *several_places |= of.function.is_none() && first.is_some_and(|first| first.offset != of.offset);
        }
    }

    fn count(&mut self, at: usize, stack: &Stack, measure: Measure) {
        if let Some(node) = self.nodes.get_mut(at) {
            node.bytes = Bytes(node.bytes.0.saturating_add(stack.bytes(measure).0));
            node.samples = node.samples.saturating_add(stack.samples);
        }
    }
}

fn key(frame: &Frame) -> Key<'_> {
    let module = frame.module.as_ref().map(Untrusted::as_bytes);
    match &frame.function {
        Some(function) => Key::Function(function, module),
        None => Key::Module(module),
    }
}
