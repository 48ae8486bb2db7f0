//! The `oomscope` command.

fn main() {}
