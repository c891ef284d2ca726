//! The page of promises stays honest: the tests and commands that it names exist, and its numbers are those of the code.

use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../../host/book/promises.md");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Rust code of the repository's own folders, one text.
fn code() -> String {
    let mut text = String::new();
    let mut open: Vec<PathBuf> = ["host", "plugins", "tests"].iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    text
}

/// What stands between backticks, outside of code blocks.
fn ticked() -> Vec<&'static str> {
    let prose = PAGE.split("```").step_by(2);
    prose.flat_map(|text| text.split('`').skip(1).step_by(2)).collect()
}

/// The commands of all code blocks.
fn commands() -> Vec<&'static str> {
    PAGE.split("```").skip(1).step_by(2).flat_map(|block| block.lines().skip(1)).collect()
}

/// A test's name has more words than any other name on the page.
fn is_test_name(text: &str) -> bool {
    let is_snake = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    is_snake && text.matches('_').count() >= 3 && !text.ends_with("_max")
}

#[test]
fn the_tests_on_the_page_exist() {
    let code = code();
    let names: Vec<&str> = ticked().into_iter().filter(|text| is_test_name(text)).collect();
    assert!(names.len() > 30, "{names:?}");
    let missing: Vec<&str> = names.into_iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

#[test]
fn the_commands_on_the_page_exist() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let (tests, simulator) = (read("tests/src/main.rs"), read("tests/sim/src/main.rs"));
    let options = ["tests/src/kills/mod.rs", "tests/src/first_sync/mod.rs", "tests/src/office.rs"].map(read).concat();
    let mut checked = 0;
    for command in commands().into_iter().filter(|command| command.starts_with("cargo run")) {
        let (package, arguments) = command.trim_start_matches("cargo run -p ").split_once(" -- ").unwrap();
        let mut words = arguments.split(' ');
        let declared = match package {
            "crmsync-sim" => simulator.clone(),
            "crmsync-tests" => {
                let name = words.next().unwrap();
                let variant: String = name.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
                assert!(tests.contains(&format!("    {variant}(")), "there is no `{name}`: {command}");
                options.clone()
            }
            _ => panic!("{command}"),
        };
        for option in words.filter_map(|word| word.strip_prefix("--")) {
            assert!(
                declared.contains(&format!(" {}: ", option.replace('-', "_"))),
                "there is no `--{option}`: {command}"
            );
        }
        checked += 1;
    }
    assert!(checked >= 8, "{checked}");
}

#[test]
fn the_numbers_on_the_page_are_those_of_the_code() {
    let table = PAGE.split("### The numbers").nth(1).unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ") && line.contains('`')).collect();
    assert!(rows.len() >= 15, "{rows:?}");
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, number, place] = cells[..] else { panic!("three cells: {row}") };
        let number = number.split(' ').next().unwrap();
        let names: Vec<&str> = place.split('`').skip(1).step_by(2).collect();
        let [file, name] = names[..] else { panic!("a file and a name: {row}") };
        let text = std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let is_said = text.lines().any(|line| {
            let mut words = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            line.contains(name) && words.any(|word| word == name) && {
                let mut words = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
                words.any(|word| word == number)
            }
        });
        assert!(is_said, "{file} does not say that `{name}` is {number}");
    }
}

#[test]
fn every_invariant_has_its_row() {
    for number in 1..=15 {
        assert!(PAGE.contains(&format!("\n| I{number} | ")), "I{number}");
    }
}
