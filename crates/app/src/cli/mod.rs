//! The command line: what can be asked, and how answers look. One file a verb.

pub(crate) mod audit;
pub(crate) mod demo;
pub(crate) mod explain;
pub(crate) mod export;
mod filter;
pub(crate) mod incidents;
pub(crate) mod inspect;
mod kept;
pub(crate) mod next;
pub(crate) mod node;
mod output;
pub(crate) mod pod;
pub(crate) mod profile;
pub(crate) mod rules;
mod saved;
pub(crate) mod show;
mod target;
pub(crate) mod watch;
mod witnesses;

use std::io::Write as _;
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Style, Styles};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

pub(crate) use output::{Colour, Format, Printer};

const STYLES: Styles = Styles::styled()
    .header(Style::new().bold())
    .usage(Style::new().bold())
    .literal(AnsiColor::Cyan.on_default())
    .placeholder(AnsiColor::Green.on_default());

/// Why was this container killed, when every graph says there was memory left?
///
/// oomscope answers from the kernel's own evidence: which killer at which level, who asked for the memory, who was killed and
/// why that one, where the memory went, and what stops it tomorrow.
#[derive(Debug, Parser)]
#[command(version, styles = STYLES, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    #[command(after_help = EXIT_CODES, after_long_help = explain::AFTER_LONG_HELP)]
    Explain(explain::Args),
    #[command(after_help = watch::EXIT_CODES, after_long_help = watch::AFTER_LONG_HELP)]
    Watch(watch::Args),
    #[command(after_help = incidents::EXIT_CODES)]
    Incidents(incidents::Args),
    #[command(after_help = show::EXIT_CODES)]
    Show(show::Args),
    #[command(after_help = export::EXIT_CODES)]
    Export(export::Args),
    #[command(after_help = demo::EXIT_CODES)]
    Demo(demo::Args),
    #[command(after_help = inspect::EXIT_CODES, after_long_help = inspect::AFTER_LONG_HELP)]
    Inspect(inspect::Args),
    #[command(after_help = profile::EXIT_CODES, after_long_help = profile::AFTER_LONG_HELP)]
    Profile(profile::Args),
    #[command(after_help = next::EXIT_CODES)]
    Next(next::Args),
    #[command(after_help = pod::EXIT_CODES, after_long_help = pod::AFTER_LONG_HELP)]
    Pod(pod::Args),
    #[command(after_help = node::EXIT_CODES, after_long_help = node::AFTER_LONG_HELP)]
    Node(node::Args),
    #[command(after_help = audit::EXIT_CODES, after_long_help = audit::AFTER_LONG_HELP)]
    Audit(audit::Args),
    /// List the diagnosis rules and what each one looks at
    #[command(after_help = PLAIN_EXIT_CODES)]
    Rules,
    /// Print a completion script for a shell
    ///
    /// bash: `oomscope completions bash > /etc/bash_completion.d/oomscope`; zsh: into a folder of $fpath as `_oomscope`; fish:
    /// `~/.config/fish/completions/oomscope.fish`.
    #[command(after_help = PLAIN_EXIT_CODES)]
    Completions {
        /// The shell to print it for
        shell: clap_complete::Shell,
    },
    /// Grows until it is killed (what `demo` runs in the scratch cgroup)
    #[command(hide = true)]
    DemoHog {
        /// How much to allocate, in bytes
        bytes: u64,
    },
}

/// Reads the command line. As a plugin of kubectl the help names the command as it was typed: `kubectl oomscope`.
pub(crate) fn parse() -> Cli {
    let name = std::env::args_os().next().map(std::path::PathBuf::from);
    let is_plugin = name.as_ref().and_then(|path| path.file_name()).is_some_and(|name| name == "kubectl-oomscope");
    let command = if is_plugin { Cli::command().bin_name("kubectl oomscope") } else { Cli::command() };
    Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// 0: at least one OOM event was explained.
    Explained,
    /// 1: everything could be read, and no OOM event was in it.
    NothingFound,
    /// 1: what was audited has a risk that was to be failed on.
    AtRisk,
    /// 2: something could not be read.
    CannotRead,
    /// 128 + the number of the signal that ended it, as shells count it.
    Interrupted(u8),
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Explained => Self::SUCCESS,
            Outcome::NothingFound | Outcome::AtRisk => Self::from(1),
            Outcome::CannotRead => Self::from(2),
            Outcome::Interrupted(signal) => Self::from(128_u8.saturating_add(signal)),
        }
    }
}

pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  at least one OOM event was explained
  1  no OOM event was found (what was read is said on standard error)
  2  an input could not be read, or the command line was wrong";

/// Of the verbs that read nothing.
pub(crate) const PLAIN_EXIT_CODES: &str = "\
Exit codes:
  0  done
  2  the command line was wrong, or standard output could not be written";

/// `--color`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Also into pipes and files
    Always,
    /// Never
    Never,
}

/// Prints the completion script of the whole command line.
pub(crate) fn completions(shell: clap_complete::Shell) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "oomscope", &mut script);
    std::io::stdout().lock().write_all(&script)?;
    Ok(Outcome::Explained)
}

/// Tells the user of a problem, on standard error. The text may hold file names: it is escaped.
pub(crate) fn complain(message: &str) {
    for line in message.lines() {
        let _ = writeln!(std::io::stderr().lock(), "oomscope: {}", oomscope_core::text::escape(line.as_bytes()));
    }
}

/// An error with its causes, each said once: some already name the one below them.
pub(crate) fn in_words(error: &anyhow::Error) -> String {
    let mut words = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if words.is_empty() {
            words = cause;
        } else if !words.contains(&cause) {
            words.push_str(": ");
            words.push_str(&cause);
        }
    }
    words
}

/// `1 case`, `2 cases`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The reader of our output went away (`| head`): nothing to complain about.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe))
}
