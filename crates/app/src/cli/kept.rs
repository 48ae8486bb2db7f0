//! The store as the verbs that read it see it: where it is, and that there may be none.

use std::path::PathBuf;

use super::complain;
use crate::store::{self, Opened, Retention, Store};

/// `--store`
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct At {
    /// The store of incidents [default: $OOMSCOPE_STORE, else /var/lib/oomscope/incidents.db for root, else
    /// oomscope/incidents.db in $XDG_STATE_HOME or ~/.local/state]
    #[arg(long = "store", value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    store: Option<PathBuf>,
}

impl At {
    /// As told by the flag, the environment, or who the user is.
    pub(crate) fn path(&self) -> PathBuf {
        store::place(self.store.clone())
    }

    /// Opens the store to read it. Where there is none, says so and answers `None`.
    pub(crate) fn open(&self) -> anyhow::Result<Option<Store>> {
        let path = self.path();
        let Some(Opened { store, notices }) = Store::open_to_read(&path)? else {
            complain(&format!("no incident is stored: there is no {} yet (`oomscope watch` makes it)", path.display()));
            return Ok(None);
        };
        notices.iter().for_each(|notice| complain(notice));
        Ok(Some(store))
    }

    /// Opens the store to write to it, and makes it where there is none.
    pub(crate) fn open_to_write(&self, retention: Retention) -> anyhow::Result<Store> {
        let Opened { store, notices } = Store::open(&self.path(), retention)?;
        notices.iter().for_each(|notice| complain(notice));
        Ok(store)
    }
}
