//! What counts as right.

use std::fmt;

use oomscope_testkit::programs::{Kind, functions, own};

use crate::kills::Told;

/// Of so many kills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Score {
    pub(crate) kills: usize,
    /// There is a case with frames of the program.
    pub(crate) with_stack: usize,
    /// The innermost function of the program's own source is the one that grew.
    pub(crate) on_top: usize,
    /// It is somewhere in the stack.
    pub(crate) anywhere: usize,
    /// And all of its callers up to `serve`, in order.
    pub(crate) whole: usize,
}

impl Score {
    pub(crate) fn of(kind: Kind, told: &[Told]) -> Self {
        let mut score = Self { kills: told.len(), ..Self::default() };
        for told in told {
            let functions = told.case.as_ref().map(functions).unwrap_or_default();
            score.with_stack += usize::from(!functions.is_empty());
            let own = own(&functions, kind.language);
            let chain = kind.language.chain(told.function);
            if own.first() != chain.first() {
                // What was told instead is worth a look.
                eprintln!("{}: {} was not named, but {functions:?}", kind.name, chain[0]);
            }
            score.on_top += usize::from(own.first() == chain.first());
            score.anywhere += usize::from(own.contains(&chain[0]));
            score.whole += usize::from(own.starts_with(&chain));
        }
        score
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, with_stack, on_top, anywhere, whole } = self;
        write!(
            f,
            "on top {on_top:>3}  anywhere {anywhere:>3}  whole {whole:>3}  with a stack {with_stack:>3}  of {kills}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oomscope_testkit::programs::Function;
    use serde_json::{Value, json};

    fn told(functions: &[&str]) -> Told {
        let user: Vec<Value> = functions.iter().map(|name| json!({"function": name})).collect();
        Told { function: Function::ParseJson, case: Some(json!({"incident": {"kills": [{"stacks": {"user": user}}]}})) }
    }

    /// Another of the program's functions on top is wrong, although the right one follows; a library's is no matter.
    #[test]
    fn what_is_right() {
        let kind = Kind::named("cpp").unwrap();
        let kills = [
            told(&[
                "memset",
                "void shop::Catalog<char>::parse_json(shop::Work const&)",
                "load_catalog",
                "serve",
                "main",
            ]),
            told(&["shop::fill_cache", "shop::parse_json"]),
            told(&["memset", "parse_json_fast"]),
            Told { function: Function::ParseJson, case: None },
        ];
        let score = Score::of(kind, &kills);
        assert_eq!(score, Score { kills: 4, with_stack: 3, on_top: 1, anywhere: 2, whole: 1 });
    }
}
