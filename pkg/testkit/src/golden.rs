//! Golden files: compare text with a file of the repository, or rewrite it when asked.

use std::path::Path;

/// Compares `actual` with the golden file at `path`. With `UPDATE_GOLDENS=1` in the environment the file is
/// written instead, to be reviewed in the commit.
///
/// # Panics
/// When the texts differ or the file is missing.
pub fn assert_golden(path: impl AsRef<Path>, actual: &str) {
    let path = path.as_ref();
    if std::env::var_os("UPDATE_GOLDENS").is_some_and(|v| v == "1") {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).expect("make the golden's folder");
        }
        std::fs::write(path, actual).expect("write the golden");
        return;
    }
    let expected = std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("golden {}: {error}; run with UPDATE_GOLDENS=1 to make it", path.display()));
    assert!(
        expected == actual,
        "{} differs; run with UPDATE_GOLDENS=1 and review.\n--- expected\n{expected}\n--- actual\n{actual}",
        path.display()
    );
}
