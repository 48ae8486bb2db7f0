//! What the text of a document tells before it is parsed.

/// A path longer than this is none.
const LONGEST_PATH: usize = 4096;

/// `# Source: chart/templates/file.yaml`, which Helm writes before what it has rendered.
pub(super) fn helm_source(text: &str) -> Option<String> {
    let comments = text.lines().take_while(|line| is_no_content(line));
    let source = comments.filter_map(|line| line.trim_start().strip_prefix("# Source: ")).last()?.trim();
    (source.len() <= LONGEST_PATH).then(|| source.to_owned())
}

/// Nothing but comments and blanks.
pub(super) fn is_empty(text: &str) -> bool {
    text.lines().all(is_no_content)
}

/// How many lines stand before the first content.
pub(super) fn before_content(text: &str) -> u64 {
    text.lines().take_while(|line| is_no_content(line)).count() as u64
}

fn is_no_content(line: &str) -> bool {
    let line = line.trim_start_matches('\u{feff}').trim();
    line.is_empty() || line.starts_with('#') || line.starts_with('%')
}
