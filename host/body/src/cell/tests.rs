use super::*;

/// The cell for a JSON value, as the contract would show it: `integer 12`, `raw "x"`, with `!` for a mismatch.
fn cell(json: &str, kind: Kind) -> String {
    let mut scanner = Scanner::new(json.as_bytes()).expect("the case is UTF-8");
    let value = scanner.value().expect("the case is JSON");
    let mut scratch = String::new();
    let (cell, fits) = convert(value, kind, &mut scratch);
    format!("{cell:?}{}", if fits { "" } else { " !" })
}

fn check(kind: Kind, cases: &[(&str, &str)]) {
    for (json, expected) in cases {
        assert_eq!(cell(json, kind), *expected, "{json} as {kind:?}");
    }
}

#[test]
fn nothing_is_empty_in_every_kind() {
    for kind in (2..=13).filter_map(Kind::from_code) {
        for json in ["null", "\"\"", "[]", "[ ]"] {
            assert_eq!(cell(json, kind), "Empty", "{json} as {kind:?}");
        }
    }
}

#[test]
fn texts() {
    check(
        Kind::Text,
        &[
            (r#""Øre""#, r#"Text("Øre")"#),
            (r#""\u00d8re \/ x""#, r#"Text("Øre / x")"#),
            ("1.50", r#"Text("1.50")"#),
            ("true", r#"Text("true")"#),
            ("[1, 2]", r#"Raw("[1,2]") !"#),
            (r#"{ "a b" : 1 }"#, r#"Raw("{\"a b\":1}") !"#),
            (r#""\ud83d""#, r#"Raw("\\ud83d") !"#),
        ],
    );
}

#[test]
fn numbers_keep_their_digits() {
    check(
        Kind::Integer,
        &[
            ("12", "Integer(12)"),
            (r#""12""#, "Integer(12)"),
            ("-9223372036854775808", "Integer(-9223372036854775808)"),
            ("9223372036854775808", r#"Decimal("9223372036854775808")"#),
            ("1.0", "Integer(1)"),
            ("1e3", "Integer(1000)"),
            ("1.5", r#"Raw("1.5") !"#),
            (r#""007""#, r#"Raw("007") !"#),
            (r#""+1""#, r#"Raw("+1") !"#),
            (r#"" 1""#, r#"Raw(" 1") !"#),
            (r#""-""#, r#"Raw("-") !"#),
            (r#""twelve""#, r#"Raw("twelve") !"#),
            ("true", r#"Raw("true") !"#),
        ],
    );
    check(
        Kind::Decimal,
        &[
            ("12.50", r#"Decimal("12.5")"#),
            (r#""1234567.89000000""#, r#"Decimal("1234567.89")"#),
            ("0.1000000000000000055511151231257827", r#"Decimal("0.1000000000000000055511151231257827")"#),
            ("123456789012345678901234567890", r#"Decimal("123456789012345678901234567890")"#),
            (r#""1,5""#, r#"Raw("1,5") !"#),
        ],
    );
    check(
        Kind::Boolean,
        &[
            ("true", "Boolean(true)"),
            ("false", "Boolean(false)"),
            (r#""1""#, "Boolean(true)"),
            ("0", "Boolean(false)"),
            (r#""true""#, r#"Raw("true") !"#),
            ("2", r#"Raw("2") !"#),
        ],
    );
}

#[test]
fn dates_and_times_are_exact() {
    check(
        Kind::Date,
        &[
            (r#""1970-01-02""#, "Date(1)"),
            (r#""1969-12-31""#, "Date(-1)"),
            (r#""2024-02-29""#, "Date(19782)"),
            (r#""2023-02-29""#, r#"Raw("2023-02-29") !"#),
            (r#""0000-00-00""#, r#"Raw("0000-00-00") !"#),
            (r#""29-02-2024""#, r#"Raw("29-02-2024") !"#),
            (r#""2024-2-29""#, r#"Raw("2024-2-29") !"#),
            ("20240229", r#"Raw("20240229") !"#),
        ],
    );
    check(
        Kind::LocalDateTime,
        &[
            (r#""1970-01-01 00:00:01""#, "LocalDateTime(1000000)"),
            (r#""1970-01-02T00:00:00.5""#, "LocalDateTime(86400500000)"),
            (r#""1970-01-01 24:00:00""#, r#"Raw("1970-01-01 24:00:00") !"#),
            (r#""1970-01-01 10:00""#, r#"Raw("1970-01-01 10:00") !"#),
            (r#""1970-01-01 10:00:00Z""#, r#"Raw("1970-01-01 10:00:00Z") !"#),
        ],
    );
    check(
        Kind::Time,
        &[
            (r#""00:01""#, "Time(60000000)"),
            (r#""23:59:59.000001""#, "Time(86399000001)"),
            (r#""23:59:60""#, r#"Raw("23:59:60") !"#),
            (r#""1:00""#, r#"Raw("1:00") !"#),
        ],
    );
    check(
        Kind::Instant,
        &[
            (r#""1970-01-01T00:00:00Z""#, "Instant(0)"),
            (r#""1970-01-01T02:00:00+02:00""#, "Instant(0)"),
            (r#""1969-12-31T19:00:00.250-05:00""#, "Instant(250000)"),
            (r#""1970-01-01T00:00:00.000001000Z""#, "Instant(1)"),
            (r#""1970-01-01T00:00:00.0000001Z""#, r#"Raw("1970-01-01T00:00:00.0000001Z") !"#),
            (r#""1970-01-01T00:00:00""#, r#"Raw("1970-01-01T00:00:00") !"#),
            (r#""1970-01-01T00:00:00+0200""#, r#"Raw("1970-01-01T00:00:00+0200") !"#),
            (r#""1970-01-01T00:00:00+24:00""#, r#"Raw("1970-01-01T00:00:00+24:00") !"#),
        ],
    );
}

#[test]
fn structures() {
    check(
        Kind::List,
        &[
            (r#"[ "a" , "b, c" ]"#, r#"List("[\"a\",\"b, c\"]")"#),
            (r#"["a",1]"#, r#"Raw("[\"a\",1]") !"#),
            (r#""a""#, r#"Raw("a") !"#),
        ],
    );
    check(
        Kind::Rows,
        &[
            (r#"[ {"n": 1.50} ]"#, r#"Rows("[{\"n\":1.50}]")"#),
            (r#"[ {"n": 1}, "x" ]"#, r#"Raw("[{\"n\":1},\"x\"]") !"#),
            (r#"{"n": 1}"#, r#"Raw("{\"n\":1}") !"#),
        ],
    );
    check(
        Kind::Reference,
        &[
            (r#""Accounts/11x4""#, r#"Reference("Accounts/11x4")"#),
            (r#""11x4""#, r#"Raw("11x4") !"#),
            (r#""/4""#, r#"Raw("/4") !"#),
        ],
    );
    check(
        Kind::Raw,
        &[("1.50", r#"Raw("1.50")"#), (r#""x""#, r#"Raw("x")"#), (r#"{"a": [ ]}"#, r#"Raw("{\"a\":[]}")"#)],
    );
}
