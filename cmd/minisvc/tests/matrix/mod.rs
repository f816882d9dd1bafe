//! The client matrix: runs scripts of `testdata/kubectl` with every kubectl against one lab and compares what each
//! prints with the goldens beside them; tells the compatibility table what was compared.

#![allow(dead_code, unreachable_pub)] // each test binary uses its own part of this bench

pub mod client;
pub mod normal;
pub mod script;

use std::path::{Path, PathBuf};

/// Clients of one program, oldest first, and the folder of `testdata` with their scripts.
pub struct Family {
    pub program: &'static str,
    pub versions: &'static [&'static str],
}

/// Every kubectl of the matrix.
pub const KUBECTL: Family = Family { program: "kubectl", versions: &["1.20", "1.33", "1.34", "1.35", "1.36", "1.37"] };
/// Every helm of the matrix.
pub const HELM: Family = Family { program: "helm", versions: &["4.1", "4.3"] };
/// Nothing but curl: the version is the name of the way in.
pub const CURL: Family = Family { program: "curl", versions: &["0"] };

/// A file or folder of the repository's `testdata`.
pub fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(path)
}

/// Tells the compatibility table that `client` passed `row` with `checks` checks. Without `MINISVC_COMPAT_DIR` (set by
/// the workshop) nobody asks, and nothing is written.
pub fn passed(client: &str, row: &str, checks: usize) {
    if let Some(folder) = std::env::var_os("MINISVC_COMPAT_DIR") {
        let folder = Path::new(&folder).join(client);
        std::fs::create_dir_all(&folder).expect("the folder of results");
        std::fs::write(folder.join(row), format!("{checks}\n")).expect("a result");
    }
}
