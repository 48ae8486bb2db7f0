//! What the watcher has stored of earlier kills, as evidence.

use std::path::Path;

use oomscope_core::audit::{Inventory, Sight};
use oomscope_core::evidence::Gap;
use oomscope_core::kubernetes::Directory;

use crate::cli::kept::At;
use crate::store::{Opened, Store, Wanted};

/// The latest kills that are looked at: each is unpacked with its recording.
const MOST: u64 = 2000;

/// Adds every stored kill at a container's or a pod's limit to whom it befell. `directory` knows names that a case may lack. No store is
/// no gap: nobody has watched, which is ordinary.
pub(super) fn observe(at: &At, directory: Option<&Directory>, inventory: &mut Inventory) {
    if let Err(gap) = try_observe(&at.path(), directory, inventory) {
        inventory.gaps.push(gap);
    }
}

fn try_observe(path: &Path, directory: Option<&Directory>, inventory: &mut Inventory) -> Result<(), Gap> {
    let gap = |error: crate::store::Error| Gap::new("earlier kills", error.to_string());
    let Some(Opened { store, notices }) = Store::open_to_read(path).map_err(gap)? else { return Ok(()) };
    inventory.gaps.extend(notices.into_iter().map(|notice| Gap::new("some earlier kills", notice)));
    let entries = store.list(&Wanted { most: Some(MOST), ..Wanted::default() }).map_err(gap)?;
    let mut damaged = 0_u64;
    for entry in &entries {
        match store.read(entry) {
            Ok(case) => {
                if let Some(mut sight) = Sight::of_case(&case) {
                    if let Some(directory) = directory {
                        directory.complete(&mut sight.identity);
                    }
                    inventory.observe(&sight);
                }
            }
            Err(_) => damaged += 1,
        }
    }
    if damaged > 0 {
        let why = format!("{damaged} of {} are damaged in {}", entries.len(), path.display());
        inventory.gaps.push(Gap::new("some earlier kills", why));
    }
    Ok(())
}
