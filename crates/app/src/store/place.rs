//! Where the store is.

use std::ffi::OsString;
use std::path::PathBuf;

/// Of the machine's own watcher.
const OF_THE_MACHINE: &str = "/var/lib/oomscope/incidents.db";

/// In the state folder of a user.
const OF_A_USER: &str = "oomscope/incidents.db";

/// `--store`, else `OOMSCOPE_STORE`, else `/var/lib/oomscope/incidents.db` for root, else `oomscope/incidents.db` in
/// `XDG_STATE_HOME` or `~/.local/state`.
pub(crate) fn place(given: Option<PathBuf>) -> PathBuf {
    choose(given, rustix::process::geteuid().is_root(), |name| std::env::var_os(name))
}

fn choose(given: Option<PathBuf>, root: bool, variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let variable = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = given.or_else(|| variable("OOMSCOPE_STORE")) {
        return path;
    }
    // A relative path is to be ignored, says the XDG base directory specification.
    let state = variable("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let home = || variable("HOME").map(|home| home.join(".local/state"));
    match state.or_else(home) {
        Some(state) if !root => state.join(OF_A_USER),
        _ => PathBuf::from(OF_THE_MACHINE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nearest word counts: the flag, the variable, then who asks.
    #[test]
    fn the_nearest_word_counts() {
        let at = |given: Option<&str>, root: bool, set: &[(&str, &str)]| {
            let variable = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
            choose(given.map(PathBuf::from), root, variable).into_os_string().into_string().unwrap()
        };
        let all = [("OOMSCOPE_STORE", "/a.db"), ("XDG_STATE_HOME", "/state"), ("HOME", "/people/u")];
        assert_eq!(at(Some("x.db"), true, &all), "x.db");
        assert_eq!(at(None, false, &all), "/a.db");
        assert_eq!(at(None, true, &all[1..]), "/var/lib/oomscope/incidents.db");
        assert_eq!(at(None, false, &all[1..]), "/state/oomscope/incidents.db");
        assert_eq!(at(None, false, &all[2..]), "/people/u/.local/state/oomscope/incidents.db");
        assert_eq!(
            at(None, false, &[("XDG_STATE_HOME", "here"), ("HOME", "/h")]),
            "/h/.local/state/oomscope/incidents.db"
        );
        assert_eq!(at(None, false, &[]), "/var/lib/oomscope/incidents.db");
    }
}
