use std::fmt::Write as _;

use super::*;
use crmsync_sandbox::rng::Rng;

fn columns(names: &[(&str, Kind)]) -> Vec<(String, Kind)> {
    names.iter().map(|&(name, kind)| (name.to_owned(), kind)).collect()
}

/// Rows in one line each, cells by blanks; then the mismatches.
fn table(body: &str, pointer: &str, names: &[(&str, Kind)]) -> Result<String, BodyFault> {
    let (batch, mismatches) = parse_records(body.as_bytes(), pointer, &columns(names))?;
    let view = batch.check(names.len()).expect("the batch is well formed");
    let mut shown = String::new();
    for row in 0..view.rows() {
        for column in 0..names.len() {
            write!(shown, "{:?} ", view.cell(row, column)).expect("a string takes everything");
        }
        shown.push('\n');
    }
    Ok(format!("{shown}{mismatches}"))
}

fn check(body: &str, pointer: &str, names: &[(&str, Kind)], expected: &str) {
    assert_eq!(table(body, pointer, names).as_deref(), Ok(expected), "{body}");
}

#[test]
fn rows_become_cells() {
    check(
        r#"{"info":{"more":false},"data":[{"id":"1","Owner":{"id":"7","name":"A"},"n":null},{"id":2,"Owner":null,"tags":["x"]}],"z":[]}"#,
        "/data",
        &[
            ("id", Kind::Text),
            ("/Owner/id", Kind::Text),
            ("n", Kind::Integer),
            ("/tags/0", Kind::Text),
            ("Owner", Kind::Raw),
        ],
        "Text(\"1\") Text(\"7\") Empty Absent Raw(\"{\\\"id\\\":\\\"7\\\",\\\"name\\\":\\\"A\\\"}\") \n\
         Text(\"2\") Empty Absent Text(\"x\") Empty \n0",
    );
    check(r#"[{"a/b":1,"c":"x"}]"#, "", &[("/a~1b", Kind::Integer), ("c", Kind::Integer)], "Integer(1) Raw(\"x\") \n1");
    check("[]", "", &[("a", Kind::Text)], "0");
    check(" \n", "/data", &[("a", Kind::Text)], "0");
    check(r#"[{},1,[5]]"#, "", &[("/0", Kind::Integer)], "Absent \nAbsent \nInteger(5) \n0");
    check("[{},{}]", "", &[], "\n\n0");
}

#[test]
fn the_last_member_of_a_name_counts() {
    let names = [("/a/x", Kind::Integer), ("b", Kind::Integer)];
    check(r#"[{"a":{"x":1},"b":1,"b":2,"a":{"y":1}}]"#, "", &names, "Absent Integer(2) \n0");
    check(r#"[{"a":{"x":1},"a":5}]"#, "", &names, "Absent Absent \n0");
    check(
        r#"{"data":[{"b":1}],"data":[{"b":2},{"b":3}]}"#,
        "/data",
        &names,
        "Absent Integer(2) \nAbsent Integer(3) \n0",
    );
    assert!(matches!(table(r#"{"data":[{"b":1}],"data":null}"#, "/data", &names), Err(BodyFault::NoSuch(_))));
    check(r#"[{"\u0062":1}]"#, "", &names, "Absent Integer(1) \n0");
}

#[test]
fn faults_are_told_apart() {
    let fault = |body: &str, pointer: &str| match table(body, pointer, &[("a", Kind::Text)]) {
        Ok(_) => "none",
        Err(BodyFault::NotJson(_)) => "not json",
        Err(BodyFault::NoSuch(_)) => "no such",
        Err(BodyFault::TooLarge(_)) => "too large",
    };
    assert_eq!(fault("<html>", "/data"), "not json");
    assert_eq!(fault(r#"{"data":[{"a":"1"}]"#, "/data"), "not json");
    assert_eq!(fault(r#"{"data":[]}x"#, "/data"), "not json");
    assert_eq!(fault(r#"{"data":{}}"#, "/data"), "no such");
    assert_eq!(fault(r#"{"data":[]}"#, "/other"), "no such");
    assert_eq!(fault(r#"{"data":[]}"#, "data"), "no such");
    assert_eq!(fault(&format!(r#"{{"data":[{}1{}]}}"#, "[".repeat(63), "]".repeat(63)), "/data"), "too large");
    let rows = vec!["{}"; BATCH_ROWS_MAX as usize + 1].join(",");
    assert_eq!(fault(&format!("[{rows}]"), ""), "too large");
}

#[test]
fn text_is_bound_even_if_columns_want_the_same() {
    let body = format!(r#"[{{"a":"{}"}}]"#, "x".repeat(1 << 20));
    let wanted: Vec<(String, Kind)> = (0..17).map(|_| ("a".to_owned(), Kind::Text)).collect();
    assert!(matches!(parse_records(body.as_bytes(), "", &wanted), Err(BodyFault::TooLarge(_))));
    assert!(parse_records(body.as_bytes(), "", &wanted[..15]).is_ok());
}

#[test]
fn pointers_are_read() {
    let body = br#"{"info":{"token":"x\ny","count":12.0,"more":true,"none":null}}"#;
    let check = |pointer: &str, text: Option<&str>, scalar: Option<&str>| {
        assert_eq!(read_pointer(body, pointer).expect("it is JSON").as_deref(), text, "{pointer}");
        assert_eq!(scalar_at(body, pointer).as_deref(), scalar, "{pointer}");
    };
    check("/info/token", Some(r#""x\ny""#), Some("x\ny"));
    check("/info/count", Some("12.0"), Some("12.0"));
    check("/info/more", Some("true"), Some("true"));
    check("/info/none", Some("null"), None);
    check("/info/absent", None, None);
    assert_eq!(read_pointer(b"", "/a"), Ok(None));
    assert!(matches!(read_pointer(b"{", "/a"), Err(BodyFault::NotJson(_))));
}

/// On random rows the reader finds what a parsed tree would give, and mutilated bodies never make it panic.
#[test]
fn the_reader_agrees_with_a_tree() {
    let wanted = columns(&[("a", Kind::Text), ("/b/c", Kind::Text), ("/b/d/1", Kind::Text), ("e", Kind::Text)]);
    for seed in 0..3_000 {
        let mut rng = Rng::new(seed);
        let rows: Vec<serde_json::Value> = (0..rng.below(4)).map(|_| random_row(&mut rng)).collect();
        let spaced = rng.below(2) == 0;
        let whole = serde_json::json!({ "data": rows });
        let mut body = if spaced { serde_json::to_vec_pretty(&whole) } else { serde_json::to_vec(&whole) }
            .expect("a tree is JSON");
        let (batch, _) = parse_records(&body, "/data", &wanted).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        let view = batch.check(wanted.len()).expect("the batch is well formed");
        for (row, tree) in rows.iter().enumerate() {
            for (column, pointer) in ["/a", "/b/c", "/b/d/1", "/e"].into_iter().enumerate() {
                let expected = match tree.pointer(pointer) {
                    None => Cell::Absent,
                    Some(serde_json::Value::String(text)) => Cell::text_or_empty(text),
                    Some(_) => Cell::Empty,
                };
                assert_eq!(view.cell(row, column), expected, "seed {seed} {pointer}");
            }
        }
        for _ in 0..3 {
            let at = rng.below(body.len());
            body[at] = rng.next_u64() as u8;
        }
        if let Ok((batch, _)) = parse_records(&body, "/data", &wanted) {
            assert!(batch.check(wanted.len()).is_ok(), "seed {seed}");
        }
    }
}

fn random_row(rng: &mut Rng) -> serde_json::Value {
    let texts = ["x", "", "ø\n\"", "🙂", "long enough to be moved"];
    let scalar = |rng: &mut Rng| match rng.below(3) {
        0 => serde_json::Value::Null,
        _ => texts[rng.below(texts.len())].into(),
    };
    let mut row = serde_json::Map::new();
    for name in ["e", "a", "b", "other"] {
        if rng.below(4) == 0 {
            continue;
        }
        let value = match (name, rng.below(3)) {
            ("b", 0) => serde_json::json!({ "c": scalar(rng), "d": [scalar(rng), scalar(rng)] }),
            ("b", _) => serde_json::json!({ "d": [scalar(rng)], "x": { "c": 1 } }),
            ("other", _) => serde_json::json!([1, { "a": "no" }]),
            _ => scalar(rng),
        };
        row.insert(name.to_owned(), value);
    }
    row.into()
}

#[test]
fn what_a_guest_names_is_bounded_before_it_is_read() {
    let too_large = |body: &str, pointer: &str, names: &[(&str, Kind)]| {
        assert!(matches!(table(body, pointer, names), Err(BodyFault::TooLarge(_))));
    };
    let long = "a".repeat(POINTER_BYTES_MAX + 1);
    too_large("[]", &format!("/{long}"), &[]);
    too_large("[]", "", &[(&long, Kind::Text)]);
    too_large("[]", "", &[(&format!("/{long}"), Kind::Text)]);
    let deep = "/a".repeat(DEPTH_MAX + 1);
    assert!(matches!(table("[]", &deep, &[]), Err(BodyFault::NoSuch(_))));
    assert!(matches!(table("[]", "", &[(&deep, Kind::Text)]), Err(BodyFault::NoSuch(_))));
    assert!(matches!(read_pointer(b"{}", &format!("/{long}")), Err(BodyFault::TooLarge(_))));
}

#[test]
fn one_row_cannot_multiply_its_text() {
    // A mebibyte of text that 100 columns want: stopped on the way, not after the row.
    let body = format!(r#"[{{"a":"{}"}}]"#, "x".repeat(1 << 20));
    let names = vec![("a", Kind::Text); 100];
    assert!(matches!(table(&body, "", &names), Err(BodyFault::TooLarge(_))));
    assert!(table(&body, "", &names[..16]).is_ok());
}
