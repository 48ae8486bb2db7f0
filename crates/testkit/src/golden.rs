//! Golden files: the whole output of something, kept as a file that a person has read.

use std::fmt::Write as _;
use std::path::Path;

/// Lines shown around a difference.
const CONTEXT: usize = 3;
/// Differing lines shown.
const SHOWN: usize = 40;

/// Compares `actual` with the file at `path`, or writes it there when the environment has `UPDATE_GOLDEN=1`.
///
/// # Panics
///
/// When they differ, with the lines around the first difference; when there is no such file; when it cannot be written.
#[track_caller]
pub fn compare(path: impl AsRef<Path>, actual: &str) {
    let path = path.as_ref();
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        return update(path, actual);
    }
    match std::fs::read_to_string(path) {
        Ok(expected) if expected == actual => {}
        Ok(expected) => panic!(
            "{} differs (- expected, + actual). If the new output is right: UPDATE_GOLDEN=1\n{}",
            path.display(),
            difference(&expected, actual)
        ),
        Err(error) => panic!("{}: {error}. To create it: UPDATE_GOLDEN=1\n{actual}", path.display()),
    }
}

#[track_caller]
fn update(path: &Path, actual: &str) {
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, actual));
    if let Err(error) = written {
        panic!("writing {}: {error}", path.display());
    }
}

/// The lines between the common beginning and the common end, with a little of both. Control characters are shown as
/// escapes, so that a difference in colour can be seen.
fn difference(expected: &str, actual: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.split('\n').collect(), actual.split('\n').collect());
    let same_before = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let most = old.len().min(new.len()) - same_before;
    let same_after = old.iter().rev().zip(new.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    let mut out = String::new();
    let mut show = |sign: char, line: &str| {
        let _ = writeln!(out, "{sign} {}", line.escape_debug());
    };
    for line in &old[same_before.saturating_sub(CONTEXT)..same_before] {
        show(' ', line);
    }
    for line in old[same_before..old.len() - same_after].iter().take(SHOWN) {
        show('-', line);
    }
    for line in new[same_before..new.len() - same_after].iter().take(SHOWN) {
        show('+', line);
    }
    for line in new[new.len() - same_after..].iter().take(CONTEXT) {
        show(' ', line);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The message shows what changed, with its surroundings and nothing else.
    #[test]
    fn difference_is_short_and_in_place() {
        let shown = difference("a\nb\nc\nd\ne\nf\n", "a\nb\nc\nD\x1b\ne\nf\n");
        assert_eq!(shown, "  a\n  b\n  c\n- d\n+ D\\u{1b}\n  e\n  f\n  \n");
    }
}
