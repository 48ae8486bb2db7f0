//! Signals that ask the program to end, noticed where something has to be cleaned up first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Context as _;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;

/// What a terminal, a service manager or a closing session send.
const ENDING: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];

/// While this is held, such a signal is only noted; once it is dropped, signals end the program as ever.
#[derive(Debug)]
pub(crate) struct Held {
    /// The number of the last one, 0 for none.
    caught: Arc<AtomicUsize>,
    let_go: Arc<AtomicBool>,
}

impl Held {
    /// Holds them from now on.
    ///
    /// # Errors
    /// Where the system refuses a handler.
    pub(crate) fn begin() -> anyhow::Result<Self> {
        let held = Self { caught: Arc::default(), let_go: Arc::default() };
        for signal in ENDING {
            let number = usize::try_from(signal).context("a signal's number")?;
            flag::register_conditional_default(signal, Arc::clone(&held.let_go))
                .and_then(|_| flag::register_usize(signal, Arc::clone(&held.caught), number))
                .context("preparing to be interrupted")?;
        }
        Ok(held)
    }

    /// The signal that came, if any did.
    pub(crate) fn caught(&self) -> Option<u8> {
        u8::try_from(self.caught.load(Ordering::SeqCst)).ok().filter(|&signal| signal != 0)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.let_go.store(true, Ordering::SeqCst);
    }
}
