//! The code that made memory resident before a kill, by sampled page faults.
//!
//! A page is made resident where it is first touched, which is where the program that holds it was, not where the limit happened to be
//! crossed. What was given back since is counted too: the samples tell who took memory, not who kept it.

use serde::{Deserialize, Serialize};

use super::Frame;
use super::kernel_report::{Comm, optional_comm};
use super::own_code::{OwnCode, own_code};
use crate::time::BootTime;
use crate::units::Bytes;

/// What was sampled in the domain of one kill, in the minutes before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HotStacks {
    /// The first instant that the samples are of, on the clock of the incident's own `at.boot_us`.
    pub from_us: BootTime,
    /// The last.
    pub to_us: BootTime,
    /// All that the samples stand for, those of stacks that are not listed too.
    pub sampled_bytes: Bytes,
    /// Most bytes first.
    pub stacks: Vec<HotStack>,
}

/// Memory that was made resident from one place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HotStack {
    /// Innermost first.
    pub frames: Vec<Frame>,
    /// What its samples stand for.
    pub bytes: Bytes,
    /// The process, where they are of one.
    pub pid: Option<u32>,
    /// Its name.
    #[serde(flatten, with = "optional_comm")]
    pub comm: Option<Comm>,
}

/// One of the program's own functions, with all that was made resident below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HotFunction<'a> {
    /// Its name.
    pub function: String,
    /// The stack that took most in it.
    pub own: OwnCode<'a>,
    /// Whose that stack is.
    pub comm: Option<&'a Comm>,
    /// As above.
    pub pid: Option<u32>,
    /// Of all stacks that end in this function.
    pub bytes: Bytes,
}

impl HotStacks {
    /// Stacks added up by the innermost function of the program's own, most bytes first; `pid`: of one process only.
    #[must_use]
    pub fn functions(&self, pid: Option<u32>) -> Vec<HotFunction<'_>> {
        let mut stacks: Vec<&HotStack> = self.stacks.iter().filter(|stack| pid.is_none() || stack.pid == pid).collect();
        stacks.sort_by_key(|stack| std::cmp::Reverse(stack.bytes));
        let mut functions = indexmap::IndexMap::<String, HotFunction<'_>>::new();
        for stack in stacks {
            let own = own_code(&stack.frames);
            let Some(function) = own.function() else { continue };
            let known = functions.entry(function.clone());
            let known = known.or_insert_with(|| HotFunction {
                function,
                own,
                comm: stack.comm.as_ref(),
                pid: stack.pid,
                bytes: Bytes(0),
            });
            known.bytes = Bytes(known.bytes.0.saturating_add(stack.bytes.0));
        }
        let mut functions: Vec<_> = functions.into_values().collect();
        functions.sort_by_key(|function| std::cmp::Reverse(function.bytes));
        functions
    }

    /// What the samples of one process stand for, as far as its stacks are listed.
    #[must_use]
    pub fn of_process(&self, pid: u32) -> Bytes {
        let own = self.stacks.iter().filter(|stack| stack.pid == Some(pid));
        Bytes(own.fold(0, |sum, stack| sum.saturating_add(stack.bytes.0)))
    }

    /// All that was sampled; never less than what is listed, whatever a stored case says.
    #[must_use]
    pub fn whole(&self) -> Bytes {
        let listed = self.stacks.iter().fold(0, |sum: u64, stack| sum.saturating_add(stack.bytes.0));
        self.sampled_bytes.max(Bytes(listed))
    }

    /// How long was sampled, microseconds.
    #[must_use]
    pub fn length_us(&self) -> u64 {
        self.to_us.0.saturating_sub(self.from_us.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(functions: &[&str], bytes: u64, pid: u32) -> HotStack {
        let frame = |name: &&str| Frame { function: Some((*name).to_owned()), ..Frame::default() };
        HotStack { frames: functions.iter().map(frame).collect(), bytes: Bytes(bytes), pid: Some(pid), comm: None }
    }

    /// Stacks that differ only in who called the function, or in the allocator below it, are one function.
    #[test]
    fn stacks_of_one_function_are_added_up() {
        let stacks = vec![
            stack(&["load", "main"], 50, 1),
            stack(&["malloc", "put", "a"], 30, 1),
            stack(&["memset", "put", "b"], 40, 2),
        ];
        let hot = HotStacks { stacks, sampled_bytes: Bytes(200), ..HotStacks::default() };
        let told = |pid| hot.functions(pid).iter().map(|f| (f.function.clone(), f.bytes.0)).collect::<Vec<_>>();
        assert_eq!(told(None), [("put".to_owned(), 70), ("load".to_owned(), 50)]);
        assert_eq!(told(Some(1)), [("load".to_owned(), 50), ("put".to_owned(), 30)]);
        assert_eq!(hot.functions(None).first().unwrap().own.sentence(), "`put` ← `b`", "the stack that took most");
        assert_eq!((hot.whole(), hot.of_process(1)), (Bytes(200), Bytes(80)));
        assert_eq!(HotStacks { sampled_bytes: Bytes(0), ..hot }.whole(), Bytes(120));
    }
}
