use super::*;
use crate::flow::fixture::SALES;
use crate::flow::row::Carrying;
use crmsync_core::Direction;

/// Parses the fixture with one text replaced, and compares the problems with `expected`, one a line.
fn check(from: &str, to: &str, expected: &[&str]) {
    let text = SALES.replacen(from, to, 1);
    assert!(from.is_empty() || text != SALES, "the fixture has no {from}");
    let found: Vec<String> = match Document::parse(&text) {
        Ok(_) => vec![],
        Err(problems) => problems.iter().map(Problem::to_string).collect(),
    };
    assert_eq!(found, expected, "{from} → {to}");
}

#[test]
fn the_whole_format_is_read() {
    let document = Document::parse(SALES).expect("the fixture is valid");
    assert_eq!(document.name, "sales");
    assert_eq!(document.between, ["east", "west"]);
    assert_eq!(document.every_ms, 300_000);
    assert_eq!(document.records_from_ms, None);
    let notes: Vec<_> = document.notes.iter().map(|note| (note.line, note.message.as_str())).collect();
    assert_eq!(notes, [(5, "`every` counts while `crmsync serve` runs")]);
    assert_eq!(document.winner, Some(Side::Left));
    assert_eq!(document.first_sync, FirstSync::FillEmpty);
    assert!(!document.automations);
    assert_eq!(document.safety_stop, SafetyStop { records: 50, percent: 5 });
    assert_eq!(document.owners.fallback, [Some("office@acme.example".into()), Some("office@acme.example".into())]);
    assert_eq!(document.owners.table, [("anna@acme.example".into(), "anna.b@acme.example".into())]);
    let [contacts, leads, accounts] = &document.modules[..] else { panic!("three modules") };
    assert_eq!(contacts.skip[0].value, "Fax");
    assert_eq!(contacts.match_rules.as_ref().expect("rules")[1].parts, ["last name", "mobile"]);
    let Carrying::Table(values) = &contacts.rows[0].carry[1] else { panic!("a table") };
    assert_eq!(values["Gold"], "A");
    assert_eq!(contacts.rows[0].winner.as_ref().map(|winner| winner.value), Some(Winner::Side(Side::Right)));
    assert_eq!(contacts.spot, Spot { line: 18, column: 1 });
    assert_eq!(leads.direction, Some(Direction::ToRight));
    assert_eq!(accounts.names[1].value, "Organizations");
}

#[test]
fn other_spellings_are_read_too() {
    check("records_from = \"all\"\n", "", &[]);
    check("every        = \"5 minutes\"\n", "", &[]);
    check("\"5 minutes\"", "\"1 day\"", &[]);
    check("\"fill-empty\"", "\"ask\"", &[]);
    check("direction = \"to-west\"", "direction = \"off\"", &[]);
    check("values = { Gold", "back = \"table\"\n  values = { Gold", &[]);
    check("values = { Gold", "back = { A = \"Gold\" }\n  values = { Gold", &[]);
    check("values = { Gold = \"A\", Silver = \"B\" }", "transform = \"trim\"", &[]);
    check("values = { Gold = \"A\", Silver = \"B\" }", "to-west = \"join\"\n  back = \"keep\"", &[]);
}

#[test]
fn wrong_keys_and_words_name_what_was_meant() {
    check(
        "winner       =",
        "winer        =",
        &[
            "line 4, column 17: `winner` is missing, and modules go both ways; \
         say whose value stays when both sides changed one field: winner = \"east\" or \"west\"",
            "line 7, column 1: unknown key `winer`; did you mean `winner`?",
        ],
    );
    check(
        "fields = \"default\"",
        "felds = \"default\"",
        &["line 21, column 1: unknown key `felds`; did you mean `fields`?"],
    );
    check("values = {", "valeus = {", &["line 28, column 3: unknown key `valeus`; did you mean `values`?"]);
    check(
        "\"fill-empty\"",
        "\"fill\"",
        &["line 8, column 16: `first_sync` cannot be \"fill\"; it is one of \"fill-empty\", \"winner\", \"ask\""],
    );
    check(
        "\"to-west\"",
        "\"to-right\"",
        &[
            "line 36, column 13: `direction` cannot be \"to-right\"; it is one of \"both\", \"to-east\", \"to-west\", \"off\"",
        ],
    );
    check(
        "winner       = \"east\"",
        "winner = \"north\"",
        &["line 7, column 10: `winner` cannot be \"north\"; it is one of \"east\", \"west\", \"newest\""],
    );
    check(
        "winner       = \"east\"",
        "winner = \"union\"",
        &["line 7, column 10: `winner` cannot be \"union\"; it is one of \"east\", \"west\", \"newest\""],
    );
    check(
        "deletes      = \"report\"",
        "deletes = \"recycle\"\nmark = { east = \"Fax\" }",
        &[
            "line 11, column 8: `mark` does not say what the field is to hold; add value = \"Deleted in the other CRM\", or value = true for a checkbox",
        ],
    );
    check(
        "deletes      = \"report\"",
        "deletes = \"never\"",
        &[
            "line 10, column 11: `deletes` cannot be \"never\"; it is one of \"report\", \"mark\", \"recycle\", \"delete\"",
        ],
    );
}

#[test]
fn wrong_values_say_what_is_expected() {
    const EVERY: &str =
        "write it as \"5 minutes\": a number and seconds, minutes, hours or days, from 10 seconds to 7 days";
    for every in ["5", "five minutes", "1 second", "8 days", "99999999999999999999 days", "minutes"] {
        let expected = format!("line 5, column 16: `every` cannot be \"{every}\"; {EVERY}");
        check("\"5 minutes\"", &format!("\"{every}\""), &[&expected]);
    }
    for from in ["\"2024-02-30\"", "\"yesterday\"", "2024-01-01T10:00:00Z", "5"] {
        check(
            "\"all\"",
            from,
            &[
                "line 6, column 16: `records_from` must be \"all\" or a date; write it as \"2024-01-31\": older records are matched, and join when they are edited",
            ],
        );
    }
    check("name         = \"sales\"", "name = 5", &["line 3, column 8: `name` must be a text in quotes, not a number"]);
    check(
        "name         = \"sales\"",
        "name = \"a b\"",
        &["line 3, column 8: `name` cannot be \"a b\"; use at most 64 letters, digits, `-` and `_`"],
    );
    check("percent = 5", "percent = 0", &["line 11, column 42: `percent` must be from 1 to 100"]);
    check("records = 50", "records = -1", &["line 11, column 28: `records` must be a whole number, 0 or more"]);
    check(
        "[\"email + last name\", ",
        "[\"email + \", ",
        &[
            "line 23, column 11: `match`: \"email +\" has an empty part; write fields joined by +, such as \"email + last name\"",
        ],
    );
    check(
        "west = \"Office@acme.example\"",
        "west = \"office\"",
        &[
            "line 14, column 51: `west`: \"office\" is not an e-mail address; users are known by their e-mail address in the CRM",
        ],
    );
    check(
        "format       = 1",
        "format = 2",
        &["line 2, column 10: format 2 is not known to this version; it reads format 1"],
    );
}

#[test]
fn connections_must_be_two_and_their_own_words() {
    check(
        "\"west\"]",
        "\"east\"]",
        &["line 4, column 25: `between` names the same connection twice; a flow keeps two connections in step"],
    );
    check(
        "[\"east\", \"west\"]",
        "[\"east\"]",
        &["line 4, column 16: `between` must name two connections; \
         name two connections, such as between = [\"left\", \"right\"]; see: crmsync connection list"],
    );
    let text = "format = 1\nname = \"a\"\nbetween = [\"match\", \"b\"]\nwinner = \"b\"\n[[module]]\nmatch = \"x\"\nb = \"y\"\n";
    let problems = Document::parse(text).expect_err("`match` is a key");
    assert_eq!(
        problems[0].to_string(),
        "line 3, column 12: a connection named `match` cannot be told from a word of this file; give the connection another name"
    );
}

#[test]
fn rows_say_one_way_for_each_direction() {
    check(
        "values = { Gold",
        "transform = \"trim\"\n  values = { Gold",
        &[
            "line 28, column 15: a row has either `values` or `transform`; keep one of them, or use `to-east` and `to-west`",
        ],
    );
    check(
        "values = { Gold = \"A\", Silver = \"B\" }",
        "back = \"keep\"",
        &["line 28, column 10: `back` needs `values`, `transform` or one `to-…` to be the way back of"],
    );
    check(
        "values = { Gold = \"A\", Silver = \"B\" }",
        "transform = \"join\"\n  back = \"table\"",
        &["line 29, column 10: beside a function `back` can only be \"keep\": values travel back as they are; \
         for another way back name a function for each way with `to-…`"],
    );
    check(
        "values = { Gold = \"A\", Silver = \"B\" }",
        "to-west = { settings = { at = 2024-01-01 } }",
        &[
            "line 28, column 13: `to-west` does not name a function; write { function = \"…\", settings = { … } }",
            "line 28, column 33: a function's settings cannot hold this value; write it as a text in quotes",
        ],
    );
    check(
        "  west   = \"cf_857\"\n",
        "",
        &["line 25, column 3: the field of `west` is missing; add west = \"…\"; see: crmsync connection fields west"],
    );
    check("west   = \"cf_857\"", "west   = []", &["line 25, column 3: `west` must name 1 to 16 fields"]);
    check(
        "west   = \"cf_857\"",
        "west   = [\"cf_857\", \"cf_857\"]",
        &["line 27, column 23: `west` names `cf_857` twice"],
    );
}

#[test]
fn everything_that_is_missing_is_told_at_once() {
    let problems = Document::parse("").expect_err("an empty file");
    let found: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(found, ["`between` is missing", "`format` is missing", "`name` is missing"]);
    let problems = Document::parse("format = 1\nname = \"a\"\nbetween = [\"b\", \"c\"]\n").expect_err("no modules");
    assert_eq!(problems[0].message, "no module is synced");
}

#[test]
fn mistakes_of_toml_have_a_place() {
    check(
        "name         = \"sales\"",
        "name         = \"sales",
        &["line 3, column 22: not valid TOML: invalid basic string, expected `\"`"],
    );
    check("skip   = [\"Fax\"]", "fields = \"none\"", &["line 22, column 1: not valid TOML: duplicate key"]);
    let long = format!("#{}", "x".repeat(FILE_BYTES_MAX));
    assert_eq!(Document::parse(&long).expect_err("too long")[0].message, "the file is longer than 1024 KiB");
}

#[test]
fn the_first_of_several_is_the_way_back() {
    let read = |back: &str| {
        let text = SALES.replacen("values = { Gold = \"A\", Silver = \"B\" }", back, 1);
        let document = Document::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
        document.modules[0].rows[0].carry[0].clone()
    };
    let table = |value: &str| Carrying::Table([("A".to_owned(), value.to_owned())].into());
    assert_eq!(read("values = { Silver = \"A\", Gold = \"A\" }\n  back = \"table\""), table("Silver"));
    assert_eq!(read("values = { Gold = \"A\", Silver = \"A\" }\n  back = \"table\""), table("Gold"));
    assert_eq!(read("values = { Gold = \"A\", Silver = \"A\" }\n  back = \"keep\""), Carrying::AsIs);
    assert_eq!(read("values = { Gold = \"A\", Silver = \"A\" }"), Carrying::Unstated);
}

#[test]
fn no_half_written_file_is_too_much() {
    for (at, _) in SALES.char_indices() {
        for text in [SALES[..at].to_owned(), SALES[at..].to_owned(), format!("{}é{}", &SALES[..at], &SALES[at..])] {
            if let Err(problems) = Document::parse(&text) {
                assert!(!problems.is_empty(), "{text}");
                assert!(problems.iter().all(|problem| problem.line >= 1 && problem.column >= 1), "{text}");
            }
        }
    }
}

#[test]
fn the_sides_are_known_even_if_the_rest_is_not() {
    let check = |text: &str, expected: Option<[&str; 2]>| {
        assert_eq!(Document::sides(text), expected.map(|sides| sides.map(str::to_owned)), "{text}");
    };
    check(SALES, Some(["east", "west"]));
    check("format = 9\nbetween = [\"a\", \" b \"]\nnew = 1", Some(["a", "b"]));
    check("between = [\"a\"]", None);
    check("between = 5", None);
    check("between = [", None);
}

#[test]
fn a_flow_may_let_the_newest_win() {
    let document =
        Document::parse(&SALES.replacen("winner       = \"east\"", "winner = \"newest\"", 1)).expect("a flow");
    assert!(document.newest);
    assert_eq!((document.winner, document.winner_or_left()), (None, Side::Left));
    let document = Document::parse(SALES).expect("a flow");
    assert!(!document.newest);
}

#[test]
fn a_row_may_end_its_conflicts_by_a_rule() {
    for (word, winner) in super::RULES {
        let text = SALES.replacen("winner = \"west\"", &format!("winner = \"{word}\""), 1);
        let document = Document::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}"));
        assert_eq!(document.modules[0].rows[0].winner.as_ref().map(|winner| winner.value), Some(winner));
    }
}

#[test]
fn a_start_date_is_the_flows_or_a_modules() {
    const NEW_YEAR_MS: i64 = 1_704_067_200_000;
    for date in ["\"2024-01-01\"", "2024-01-01"] {
        let document = Document::parse(&SALES.replacen("\"all\"", date, 1)).expect("a flow");
        assert_eq!(document.records_from_ms, Some(NEW_YEAR_MS));
        assert_eq!(document.modules[0].records_from_ms, None, "the flow's");
    }
    let text = SALES.replacen("skip   = [\"Fax\"]", "skip   = [\"Fax\"]\nrecords_from = \"2024-01-01\"", 1);
    let document = Document::parse(&text).expect("a flow");
    assert_eq!(document.records_from_ms, None);
    assert_eq!(document.modules[0].records_from_ms, Some(Some(NEW_YEAR_MS)));
}

#[test]
fn a_constant_names_one_field_of_one_side() {
    let row = |lines: &str| SALES.replacen("  winner = \"west\"\n", &format!("\n[[module.field]]\n{lines}\n"), 1);
    let document = Document::parse(&row("west = \"leadsource\"\nconstant = \"East\"")).expect("a flow");
    let constant = &document.modules[0].rows[1];
    assert_eq!(constant.written(), "=leadsource");
    assert_eq!(constant.constant.as_ref().map(|it| it.value.display()), Some("East".to_owned()));
    let problems = |lines: &str| match Document::parse(&row(lines)) {
        Ok(_) => vec![],
        Err(problems) => problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>(),
    };
    assert_eq!(
        problems("east = \"Title\"\nwest = \"title\"\nconstant = \"x\""),
        ["a row with a `constant` names one field of one side"]
    );
    assert_eq!(
        problems("west = \"title\"\nconstant = \"x\"\nsame = \"name\""),
        ["a row with a `constant` has no `same`"]
    );
    assert_eq!(
        problems("west = \"title\"\nconstant = []"),
        ["`constant` must be a text, a number, true or false, or a date"]
    );
}
