//! The `oomscope` command: one match, each arm one verb.

mod accounts;
mod cases;
mod cli;
mod progress;
mod signals;
mod store;
mod watch;

use std::process::ExitCode;

use cli::Verb;

fn main() -> ExitCode {
    let cli = cli::parse();
    let done = match cli.verb {
        Verb::Explain(args) => cli::explain::run(&args),
        Verb::Watch(args) => cli::watch::run(args),
        Verb::Incidents(args) => cli::incidents::run(&args),
        Verb::Show(args) => cli::show::run(&args),
        Verb::Export(args) => cli::export::run(&args),
        Verb::Demo(args) => cli::demo::run(&args),
        Verb::Inspect(args) => cli::inspect::run(&args),
        Verb::Profile(args) => cli::profile::run(&args),
        Verb::Next(args) => cli::next::run(&args),
        Verb::Pod(args) => cli::pod::run(&args),
        Verb::Node(args) => cli::node::run(&args),
        Verb::Audit(args) => cli::audit::run(&args),
        Verb::Rules => cli::rules::run(),
        Verb::Completions { shell } => cli::completions(shell),
        Verb::DemoHog { bytes } => cli::demo::hog(bytes),
    };
    match done {
        Ok(outcome) => outcome.into(),
        Err(error) if cli::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            cli::complain(&cli::in_words(&error));
            cli::Outcome::CannotRead.into()
        }
    }
}
