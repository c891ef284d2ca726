//! Flow files that nobody would write: none stops the program, each mistake has its line, and what is edited or exported reads as before.
//!
//! `PROPTEST_CASES=100000 cargo test -p crmsync --lib flow::properties` hunts further.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::document::Document;
use super::edit::set;
use super::filter::{self, Fields};
use super::fixture::{SALES, functions, left, right};
use super::problem::{Placed, Problem, Spot};
use super::resolve::resolve;
use super::rows::Misfit;
use super::template::Template;

/// Pieces of flow files, good and bad.
const PIECES: [&str; 44] = [
    "[[module]]\n",
    "[[module.field]]\n",
    "[owners]\n",
    "[owners.table]\n",
    "east = \"Contacts\"\n",
    "west = \"Leads\"\n",
    "east",
    "west = 1\n",
    "fields = \"default\"\n",
    "fields = \"none\"\n",
    "skip = [\"Fax\", 7]\n",
    "match = [\"email + \"]\n",
    "= ",
    "\n",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "\"\"\"",
    "#",
    "winner = \"ask\"\n",
    "winner = [\"east\"]\n",
    "every = \"0 seconds\"\n",
    "every = \"99999999999999999999 days\"\n",
    "records_from = 2024-02-30\n",
    "records_from = \"2024-01-31\"\n",
    "values = { A = \"\", \"\" = \"A\" }\n",
    "back = \"keep\"\n",
    "same = \"phone\"\n",
    "filter = { east = 'not (Title is empty)' }\n",
    "filter = { west = '((((' }\n",
    "deletes = \"mark\"\n",
    "mark = { east = \"Title\", value = \"x\" }\n",
    "safety_stop = { records = 0, percent = -1 }\n",
    "direction = \"to-\"\n",
    "transform = \"join\"\n",
    "to-west = [\"trim\", 1]\n",
    "\u{0}",
    "é漢😀",
    "\r",
    "1e999",
    "constant = \"\"\n",
];

/// The tests' flow with a few things taken out, put in or replaced.
fn file() -> impl Strategy<Value = String> {
    let piece = prop_oneof![6 => select(PIECES.to_vec()).prop_map(str::to_owned), 1 => "\\PC{0,6}"];
    let changed = vec((any::<Index>(), 0_usize..30, piece), 0..6).prop_map(|changes| {
        let mut text = SALES.to_owned();
        for (at, length, piece) in changes {
            let mut start = at.index(text.len() + 1);
            while !text.is_char_boundary(start) {
                start -= 1;
            }
            let mut end = (start + length).min(text.len());
            while !text.is_char_boundary(end) {
                end += 1;
            }
            text.replace_range(start..end, &piece);
        }
        text
    });
    let lines =
        (vec(any::<Index>(), 0..3), vec((any::<Index>(), select(PIECES.to_vec())), 0..4)).prop_map(|(gone, come)| {
            let mut lines: Vec<&str> = SALES.split_inclusive('\n').collect();
            for at in gone {
                let _gone = lines.remove(at.index(lines.len()));
            }
            come.iter().for_each(|(at, piece)| lines.insert(at.index(lines.len() + 1), piece));
            lines.concat()
        });
    let heap = vec(select(PIECES.to_vec()), 0..30).prop_map(|pieces| pieces.concat());
    prop_oneof![4 => changed, 4 => lines, 1 => heap, 1 => "\\PC{0,60}"]
}

/// Each problem says what is wrong, at a place that the file has.
fn are_told(text: &str, problems: &[Problem]) -> Result<(), TestCaseError> {
    let lines = text.split('\n').count();
    for problem in problems {
        let Problem { line, column, message, .. } = problem;
        prop_assert!(*line >= 1 && *line as usize <= lines && *column >= 1, "{} of {} lines", problem, lines);
        prop_assert!(!message.trim().is_empty());
    }
    Ok(())
}

/// A filter made of its words, mostly in an order that makes sense.
fn filter_text() -> impl Strategy<Value = String> {
    let field =
        select(vec!["Title", "`Last Name`", "Email", "Date_of_Birth", "Email_Opt_Out", "Titel", "``", "\"Title\""]);
    let value =
        select(vec!["\"CEO\"", "'Mc  Arthur'", "\" a\tb \"", "yes", "1970-01-02", "\"\"", "'", "-1e9", "\"é漢\""]);
    let test =
        (field, select(vec!["=", "!=", "contains", "starts with", "not contains", "<", ">=", "is", "in ("]), value);
    let test = (test, select(vec!["", " ", "  ", "\n"])).prop_map(|((field, test, value), blank)| match test {
        "is" => format!("{field} is{blank} empty"),
        "in (" => format!("{field} in ({value},{blank}{value})"),
        test => format!("{field} {test} {blank}{value}"),
    });
    let tree = test.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone(), select(vec![" and ", " or ", "\nand  ", " "]))
                .prop_map(|(left, right, join)| format!("{left}{join}{right}")),
            inner.clone().prop_map(|inner| format!("not ({inner})")),
            inner.prop_map(|inner| format!("( {inner} )")),
        ]
    });
    let words = select(vec![
        "not ",
        "(",
        ")",
        "and ",
        "or ",
        "in ",
        "=",
        "\"",
        "'",
        "`",
        "Title ",
        ",",
        "!",
        "is empty ",
        "😀",
    ]);
    prop_oneof![5 => tree, 1 => vec(words, 0..40).prop_map(|words| words.concat()), 1 => "\\PC{0,20}"]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_file_is_read_or_its_mistakes_have_lines(text in file()) {
        let _sides = Document::sides(&text);
        match Document::parse(&text) {
            Err(problems) => {
                prop_assert!(!problems.is_empty(), "it is refused without a word:\n{}", text);
                are_told(&text, &problems)?;
            }
            Ok(document) => {
                are_told(&text, &document.notes)?;
                let known = document.between == ["east", "west"];
                for misfit in [Misfit::Refuse, Misfit::Pause].into_iter().filter(|_| known) {
                    if let Err(problems) = resolve(&document, [&left(), &right()], &functions(), misfit) {
                        prop_assert!(!problems.is_empty(), "it is refused without a word:\n{}", text);
                        are_told(&text, &problems)?;
                    }
                }
            }
        }
    }

    #[test]
    fn one_setting_changes_and_no_other(
        text in file(),
        key in prop_oneof![
            6 => select(vec![
                "winner", "every", "safety_stop.records", "owners.fallback.east", "owners.table.\"a@b.example\"", "Contacts.direction",
                "Contacts.field.Loyalty_Level.winner", "Accounts.match", "Leads.filter.east", "Organizations.fields", "new.table.key",
            ]).prop_map(str::to_owned),
            1 => "[a-zA-Z.\" _]{0,16}",
        ],
        value in prop_oneof![
            4 => select(vec!["east", "10 minutes", "[\"email\"]", "7", "", "\"a\" # b", "1 }", "{ a = 1 }", "a\"b", "x\ny = 1", "'", "\\"])
                .prop_map(str::to_owned),
            1 => "\\PC{0,10}",
        ],
    ) {
        let Ok(new) = set(&text, &key, &value) else { return Ok(()) };
        let table = |text: &str| text.parse::<toml::Table>().map_err(|error| TestCaseError::fail(format!("{error}\n{new}")));
        let (before, mut after) = (table(&text)?, table(&new)?);
        // What was changed is put back, as far as tables and lists go alike: then both must be the same.
        undo(&before, &mut after);
        prop_assert_eq!(before, after, "{} = {}\n{}", key, value, new);
    }

    #[test]
    fn a_filter_means_what_an_approval_covers(text in filter_text()) {
        let spot = Spot { line: 3, column: 10 };
        let read = |text: &str| filter::parse(&Placed { value: text.to_owned(), spot });
        match read(&text) {
            Err(problem) => prop_assert!(problem.line >= 1 && problem.column >= 1 && !problem.message.is_empty()),
            Ok(written) => {
                let again = read(&written.text);
                prop_assert!(again.is_ok(), "{:?} became {:?}", text, written.text);
                let fields = left().fields["Contacts"].clone();
                let of = Fields { connection: "east", fields: &fields };
                let meant = |written: &filter::Written| written.resolve(&of).map(|(filter, _)| filter).ok();
                let (first, second) = (meant(&written), again.ok().and_then(|again| meant(&again)));
                prop_assert_eq!(format!("{first:?}"), format!("{second:?}"), "{:?} became {:?}", text, written.text);
            }
        }
    }

    #[test]
    fn what_a_template_writes_reads_as_it_was_meant(
        name in prop_oneof!["[a-z][a-z0-9_-]{0,12}", "\\PC{0,10}"],
        sides in prop_oneof![Just(["east".to_owned(), "west".to_owned()]), ["\\PC{0,8}", "\\PC{0,8}"]],
        modules in vec(["\\PC{0,8}", "\\PC{0,8}"], 0..3),
        owner in prop_oneof![Just(None), "\\PC{0,8}".prop_map(Some), Just(Some("a@b.example".to_owned()))],
    ) {
        let between = sides.each_ref().map(String::as_str);
        let owner_fallback = [owner.as_deref(), owner.as_deref()];
        let text = Document::template(&Template { name: &name, between, modules: &modules, owner_fallback });
        // Equal names make keys that are there twice; nobody gets that far with them.
        if sides[0] != sides[1] && !sides.iter().any(|side| ["fields", "direction", "match"].contains(&side.as_str())) {
            let table = text.parse::<toml::Table>();
            prop_assert!(table.is_ok(), "{:?}\n{}", table, text);
            prop_assert_eq!(table.ok().and_then(|table| table["name"].as_str().map(str::to_owned)), Some(name));
        }
        if let Err(problems) = Document::parse(&text) {
            are_told(&text, &problems)?;
        }
    }
}

/// Takes back one difference, on the way from the root to it.
fn undo(before: &toml::Table, after: &mut toml::Table) {
    let keys: Vec<String> = before.keys().chain(after.keys()).cloned().collect();
    let Some(key) = keys.into_iter().find(|key| before.get(key) != after.get(key)) else { return };
    match (before.get(&key), after.get_mut(&key)) {
        (Some(toml::Value::Table(before)), Some(toml::Value::Table(after))) => undo(before, after),
        (Some(toml::Value::Array(before)), Some(toml::Value::Array(after)))
            if is_tables(before) && before.len() == after.len() =>
        {
            let changed = before.iter().zip(after).find(|(before, after)| before != after);
            if let Some((toml::Value::Table(before), toml::Value::Table(after))) = changed {
                undo(before, after);
            }
        }
        (Some(known), _) => drop(after.insert(key, known.clone())),
        (None, _) => drop(after.remove(&key)),
    }
}

fn is_tables(values: &[toml::Value]) -> bool {
    values.iter().all(toml::Value::is_table)
}
