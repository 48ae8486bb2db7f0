//! A progress bar on standard error for what takes longer than a second.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

const APPEARS_AFTER: Duration = Duration::from_secs(1);

/// Shown only on a terminal, and only once it has taken a second.
pub(crate) struct Progress {
    name: String,
    /// How the numbers are shown.
    template: &'static str,
    size: u64,
    begun: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// For reading `size` bytes of something. Nothing is shown yet.
    pub(crate) fn new(name: &str, size: u64) -> Self {
        Self::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {eta}", name, size)
    }

    /// For waiting so many seconds.
    pub(crate) fn of_seconds(name: &str, seconds: u64) -> Self {
        Self::with_template("{msg} {wide_bar} {pos}/{len} s", name, seconds)
    }

    fn with_template(template: &'static str, name: &str, size: u64) -> Self {
        let name = oomscope_core::text::escape(name.as_bytes());
        Self { name, template, size, begun: Instant::now(), bar: None }
    }

    /// So many bytes are read, or seconds over.
    pub(crate) fn at(&mut self, position: u64) {
        match &self.bar {
            Some(bar) => bar.set_position(position),
            None if self.size > 0 && self.begun.elapsed() > APPEARS_AFTER && std::io::stderr().is_terminal() => {
                let style = ProgressStyle::with_template(self.template);
                let bar = ProgressBar::new(self.size).with_message(self.name.clone());
                self.bar = Some(style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style)));
            }
            None => {}
        }
    }

    /// Gets out of the way of other output; comes back by itself.
    pub(crate) fn pause(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.begun = Instant::now();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.pause();
    }
}
