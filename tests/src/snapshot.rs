//! Texts that people read, compared with what was agreed: `UPDATE_SNAPSHOTS=1 cargo test` rewrites them, a reader checks the diff.

use std::path::Path;

/// Holds a text against the file.
///
/// # Panics
/// They differ, or the file cannot be read or rewritten.
pub fn check(file: &Path, text: &str) {
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(file, text).unwrap_or_else(|error| panic!("failed to write {}: {error}", file.display()));
        return;
    }
    let agreed =
        std::fs::read_to_string(file).unwrap_or_else(|error| panic!("failed to read {}: {error}", file.display()));
    assert_eq!(text, agreed, "{} says otherwise; UPDATE_SNAPSHOTS=1 rewrites it", file.display());
}
