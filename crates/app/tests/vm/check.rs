use std::path::Path;
pub(crate) fn results(_: &Path) -> Result<Vec<String>, String> { Ok(vec![]) }
