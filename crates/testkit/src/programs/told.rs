//! What a case says of the code that asked.

use serde_json::Value;

use super::kind::{Function, Language};

/// The functions of the trigger's stack, innermost first; empty for a frame without a name.
#[must_use]
pub fn functions(case: &Value) -> Vec<String> {
    let kills = case.pointer("/incident/kills").and_then(Value::as_array).into_iter().flatten();
    let frames = kills.filter_map(|kill| kill.pointer("/stacks/user")?.as_array()).flatten();
    frames.map(|frame| frame["function"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Those of the program's own source, by their plain names: `shop::Catalog<char>::parse_json(shop::Work const&)` is `parse_json`.
#[must_use]
pub fn own(functions: &[String], language: Language) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Function::ALL.iter().map(|function| function.name(language)).collect();
    names.extend(&language.chain(Function::ParseJson)[1..]);
    let plain = |function: &String| {
        let is_word_end = |c: char| !c.is_alphanumeric() && c != '_';
        names.iter().copied().find(|name| function.split(is_word_end).any(|word| word == *name))
    };
    functions.iter().filter_map(plain).collect()
}
