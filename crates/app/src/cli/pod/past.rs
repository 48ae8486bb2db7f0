//! What happened to the pod: the stored incidents, else the kernel's log, and the ends that only Kubernetes tells.

use oomscope_core::case::Case;
use oomscope_core::evidence::Gap;
use oomscope_core::kubernetes::{Directory, LogRead};

use super::{Args, is_root_of_this_machine};
use crate::accounts::{SideBySide, side_by_side};
use crate::cases::diagnosed_again;
use crate::cli::explain::cases_of;
use crate::cli::{complain, in_words};
use crate::store::Wanted;

/// Cases on the page, whole; more are counted.
const CASES: usize = 16;

/// The past of a pod.
pub(super) struct Past {
    /// The latest first.
    pub(super) cases: Vec<Case>,
    pub(super) omitted: u64,
    pub(super) log: LogRead,
}

pub(super) fn cases(
    args: &Args,
    uid: &str,
    directory: &Directory,
    is_its_node: bool,
    gaps: &mut Vec<Gap>,
) -> anyhow::Result<Past> {
    let mut cases = Vec::new();
    let mut log = LogRead::Nothing;
    if !args.log.is_empty() {
        log = LogRead::Logs;
        let files: Vec<_> = args.log.iter().map(|path| path.as_os_str().to_owned()).collect();
        cases.extend(cases_of(&files)?);
    } else if args.kubernetes.is_empty() {
        cases.extend(stored(args, uid, gaps));
        if is_its_node && is_root_of_this_machine(&args.root) {
            match cases_of(&["/dev/kmsg".into()]) {
                Ok(own) => {
                    log = LogRead::Logs;
                    cases.extend(
                        own.into_iter()
                            .filter(|case| !cases.iter().any(|known: &Case| known.id == case.id))
                            .collect::<Vec<_>>(),
                    );
                }
                Err(error) => gaps.push(Gap::new("the kernel's log", in_words(&error))),
            }
        }
    }
    let SideBySide { cases, .. } = side_by_side(cases, directory, log);
    let mut cases: Vec<Case> = cases.into_iter().filter(|case| is_of(case, uid)).collect();
    cases.sort_by_key(|case| std::cmp::Reverse((case.incident.at.wall, case.incident.at.boot_us)));
    let omitted = cases.len().saturating_sub(CASES) as u64;
    cases.truncate(CASES);
    Ok(Past { cases, omitted, log })
}

fn is_of(case: &Case, uid: &str) -> bool {
    case.incident.identity.as_ref().and_then(|identity| identity.pod_uid.as_deref()) == Some(uid)
}

/// What the watcher has kept of it. That there is no store is no news to whoever never watched.
fn stored(args: &Args, uid: &str, gaps: &mut Vec<Gap>) -> Vec<Case> {
    if !args.kept.path().exists() {
        gaps.push(Gap::new("the minutes before each kill", "nothing recorded them: `oomscope watch` does"));
        return Vec::new();
    }
    let read = || -> anyhow::Result<Vec<Case>> {
        let Some(store) = args.kept.open()? else { return Ok(Vec::new()) };
        let wanted = Wanted { pod: Some(uid.to_owned()), ..Wanted::default() };
        let entries = store.list(&wanted)?;
        let mut cases = Vec::new();
        for entry in entries.iter().rev().take(CASES) {
            match store.read(entry) {
                Ok(case) => cases.push(diagnosed_again(case)),
                Err(error) => complain(&format!("{}: {}", entry.id, in_words(&error.into()))),
            }
        }
        Ok(cases)
    };
    read().unwrap_or_else(|error| {
        gaps.push(Gap::new("the stored incidents", in_words(&error)));
        Vec::new()
    })
}
