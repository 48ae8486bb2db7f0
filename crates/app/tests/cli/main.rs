//! The built program, as people and scripts use it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic, also in its helpers")]

mod audit;
mod demo;
mod fake_node;
mod filters;
mod holder;
mod incidents;
mod inputs;
mod inspect;
mod kubernetes;
mod next;
mod node_of_a_cluster;
mod other_deaths;
mod output;
mod profile;
mod run;
mod streams;
mod watch;
