//! Keeps the invariants of ARCHITECTURE.md: heads, arrows, doors, sizes, names, paths, scenarios. Reads the tree as it
//! stands; must need no network and no privilege.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Which rooms a room may use; `testkit` and other rooms in `[dev-dependencies]` are the tests' business.
const ARROWS: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("kernel", &[]),
    ("images", &[]),
    ("testkit", &[]),
    ("store", &["api"]),
    ("apiserver", &["api", "store"]),
    ("control", &["api"]),
    ("dns", &["api"]),
    ("node", &["api", "kernel", "images"]),
    ("proxy", &["api", "kernel"]),
    ("edge", &["api", "kernel"]),
    ("lab", &["api", "apiserver", "store", "edge", "kernel"]),
];

/// Words that only one room may write, in product code.
const DOORS: &[(&str, &[&str])] = &[
    ("sled::", &["store"]),
    ("axum::", &["apiserver"]),
    ("hickory_server::", &["dns"]),
    ("hickory_proto::", &["dns"]),
    ("nix::", &["kernel"]),
    ("rtnetlink::", &["kernel"]),
    ("netlink_", &["kernel"]),
    ("unsafe {", &["kernel"]),
    ("unsafe fn", &["kernel"]),
    ("unsafe impl", &["kernel"]),
    ("setns(", &["kernel"]),
    ("unshare(", &["kernel"]),
];

/// Programs that product code must not call.
const BANNED_PROGRAMS: &[&str] = &["ip", "nft", "iptables", "conntrack", "tc", "sysctl"];

const MAX_LINES: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace's root")
}

/// Every file below `folder` with this extension, sorted.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                if !path.ends_with("target") && !path.ends_with(".git") && !path.ends_with("node_modules") {
                    todo.push(path);
                }
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no .{extension} below {}", folder.display());
    found
}

fn rust_files() -> Vec<(PathBuf, String)> {
    let root = root();
    let mut all = files(&root.join("pkg"), "rs");
    all.extend(files(&root.join("cmd"), "rs"));
    all.into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("read source");
            (path.strip_prefix(&root).expect("below the root").to_owned(), text)
        })
        .collect()
}

/// The room of a path such as `pkg/api/src/lib.rs`.
fn room(path: &Path) -> &str {
    path.components().nth(1).and_then(|part| part.as_os_str().to_str()).unwrap_or("")
}

fn is_test(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.contains("/tests/") || text.ends_with("tests.rs") || text.contains("/benches/") || text.contains("/examples/")
}

/// The part of a file before its inline test module.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap_or(text)
}

/// Whether the code holds the word, not as the end of a longer one (`unix::` is not `nix::`).
fn writes(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

fn report(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let faults: Vec<String> = rust_files()
        .iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| format!("{} does not open with //!", path.display()))
        .collect();
    report(&faults);
}

#[test]
fn arrows_equal_the_manifests() {
    let mut faults = Vec::new();
    let table: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    for manifest in files(&root().join("pkg"), "toml") {
        let name = manifest.parent().and_then(Path::file_name).and_then(|n| n.to_str()).expect("room").to_owned();
        let Some(allowed) = table.get(name.as_str()) else {
            faults.push(format!("pkg/{name} is not in the table of arrows"));
            continue;
        };
        let text = std::fs::read_to_string(&manifest).expect("read manifest");
        let mut section = "";
        for line in text.lines() {
            if line.starts_with('[') {
                section = line;
            } else if section == "[dependencies]"
                && let Some(rest) = line.strip_prefix("minisvc-")
            {
                let other = rest.split(['.', ' ', '=']).next().unwrap_or("");
                if !allowed.contains(&other) {
                    faults.push(format!("pkg/{name} uses {other}"));
                }
            }
        }
    }
    report(&faults);
}

#[test]
fn doors_are_used_by_their_rooms_only() {
    let mut faults = Vec::new();
    for (path, text) in rust_files() {
        if is_test(&path) || path.starts_with("cmd/xtask") {
            continue;
        }
        for (number, line) in product(&text).lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            for (word, rooms) in DOORS {
                if writes(code, word) && !rooms.contains(&room(&path)) {
                    faults.push(format!("{}:{} writes {word}", path.display(), number + 1));
                }
            }
            for program in BANNED_PROGRAMS {
                if code.contains(&format!("Command::new(\"{program}\")")) && room(&path) != "testkit" {
                    faults.push(format!("{}:{} calls {program}", path.display(), number + 1));
                }
            }
        }
    }
    report(&faults);
}

#[test]
fn unsafe_blocks_say_why_they_are_sound() {
    let mut faults = Vec::new();
    for (path, text) in rust_files() {
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            if !code.contains("unsafe {") || path.starts_with("cmd/xtask") {
                continue;
            }
            let start = index.saturating_sub(6);
            if !lines[start..=index].iter().any(|l| l.contains("SAFETY:")) {
                faults.push(format!("{}:{} has no SAFETY: line", path.display(), index + 1));
            }
        }
    }
    report(&faults);
}

#[test]
fn files_stay_small_or_give_a_reason() {
    let mut faults = Vec::new();
    for (path, text) in rust_files() {
        let lines = product(&text).lines().count();
        let head: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        if lines > MAX_LINES && !head.contains("Long because") {
            faults.push(format!("{}: {lines} lines and no `Long because` in its head", path.display()));
        }
    }
    report(&faults);
}

#[test]
fn names_say_what_things_are() {
    let mut faults = Vec::new();
    for (path, _) in rust_files() {
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or("");
        for word in stem.split('_') {
            if ["util", "utils", "helper", "helpers", "common", "manager", "misc"].contains(&word) {
                faults.push(format!("{} is named {word}", path.display()));
            }
        }
    }
    report(&faults);
}

#[test]
fn paths_of_the_architecture_page_exist() {
    let root = root();
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let mut seen = 0;
    let mut faults = Vec::new();
    for word in text.split('`').skip(1).step_by(2) {
        let starts = ["cmd/", "pkg/", "web/", "testdata/", ".ci/"];
        if starts.iter().any(|start| word.starts_with(start)) && !word.contains(['<', '*', ' ']) {
            seen += 1;
            if !root.join(word).exists() {
                faults.push(format!("ARCHITECTURE.md names {word}, which is not there"));
            }
        }
    }
    assert!(seen >= 10, "ARCHITECTURE.md names only {seen} paths");
    report(&faults);
}

#[test]
fn every_scenario_has_its_goldens() {
    let folder = root().join("testdata/scenarios");
    let mut count = 0;
    let mut faults = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("testdata/scenarios") {
        let path = entry.expect("entry").path();
        if !path.is_dir() {
            continue;
        }
        count += 1;
        for file in ["objects.yaml", "packets.txt", "rules-node1.nft", "rules-node2.nft", "rules-node3.nft"] {
            if !path.join(file).exists() {
                faults.push(format!("{} has no {file}", path.display()));
            }
        }
    }
    assert!(count >= 10, "only {count} scenarios");
    report(&faults);
}
