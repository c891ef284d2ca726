//! The rooms of the host and the arrows between them: nothing points back up.

use std::path::{Path, PathBuf};

/// Each room with the rooms that it may name, and of those with a `::`, the one item.
const ARROWS: &[(&str, &[&str])] = &[
    ("cli", &["app", "service", "engine", "flow", "store"]),
    ("service", &["app", "scheduler", "engine", "flow", "runtime", "store", "egress"]),
    ("scheduler", &[]),
    ("app", &["engine", "flow", "runtime", "store", "egress"]),
    ("engine", &["store", "egress::Admissions"]),
    ("flow", &[]),
    ("runtime", &["egress"]),
    ("store", &[]),
    ("egress", &[]),
    ("main", &[]),
    ("lib", &[]),
];

/// Parts that are about the two simulated CRMs by their names.
const MAY_NAME_VENDORS: &[&str] = &["cli/demo/", "cli/sandbox.rs", "cli/args.rs"];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All Rust files under a folder, by their path in it.
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(inner) = open.pop() {
        for entry in std::fs::read_dir(&inner).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn room(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

/// What a line of code names behind `crate::`, without its comment.
fn named(line: &str) -> Vec<&str> {
    let code = line.split("//").next().unwrap_or_default();
    let parts = code.split("crate::").skip(1);
    parts
        .map(|part| {
            part.split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != ':').next().unwrap()
        })
        .collect()
}

#[test]
fn no_arrow_points_the_wrong_way() {
    let mut wrong = Vec::new();
    for (file, text) in files(&source()) {
        let from = room(&file);
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == from) else {
            wrong.push(format!("{file}: `{from}` is a new room; say in ARROWS what it may use"));
            continue;
        };
        for (index, line) in text.lines().enumerate() {
            for path in named(line) {
                let is_allowed =
                    path.split("::").next() == Some(from) || allowed.iter().any(|known| starts_with(path, known));
                if !is_allowed {
                    wrong.push(format!("{file}:{}: `{from}` may not use `crate::{path}`", index + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Whether a path is this item or lies in it.
fn starts_with(path: &str, known: &str) -> bool {
    path.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[test]
fn wrong_arrows_would_be_seen() {
    assert_eq!(named("use crate::engine::run; // not crate::cli"), ["engine::run"]);
    assert_eq!(named("    let x: crate::egress::Gate = crate::store::open();"), ["egress::Gate", "store::open"]);
    assert!(
        starts_with("egress::Admissions", "egress::Admissions") && !starts_with("egress::Gate", "egress::Admissions")
    );
    assert!(starts_with("store", "store") && !starts_with("storeroom", "store"));
}

#[test]
fn only_the_demo_and_the_sandbox_name_a_vendor() {
    let names_one = |line: &&str| ["zoho", "vtiger"].iter().any(|vendor| line.to_lowercase().contains(vendor));
    let mut wrong = Vec::new();
    for (file, text) in files(&source()) {
        if !MAY_NAME_VENDORS.iter().any(|part| file.starts_with(part)) {
            wrong.extend(text.lines().filter(names_one).map(|line| format!("{file}: {}", line.trim())));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
