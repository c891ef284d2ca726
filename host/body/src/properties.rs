//! Bodies that nobody would write, and every way to spell a secret: what is read is what `serde_json` reads, and no secret comes through.
//!
//! `PROPTEST_CASES=200000 cargo test -p crmsync-body properties` hunts further.

use crmsync_cells::{Cell, Kind};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

use super::{BodyFault, Redactor, SecretField, mask_fields, parse_records, read_pointer};

/// A JSON text as somebody might spell it: members stay in their order, and may come twice.
#[derive(Clone, Debug)]
enum Json {
    /// A scalar without letters that could be escaped.
    Plain(&'static str),
    /// A string, each of its letters in a spelling of its own.
    Text(Vec<Letter>),
    Array(Vec<Json>),
    Object(Vec<(Vec<Letter>, Json)>),
}

/// A letter, and how it is spelled.
#[derive(Clone, Copy, Debug)]
struct Letter(char, Spelling);

#[derive(Clone, Copy, Debug)]
enum Spelling {
    Shortest,
    /// `\n`, `\/`, where there is one.
    Short,
    Small,
    Capitals,
}

impl Letter {
    fn json(self, to: &mut String) {
        let Letter(letter, spelling) = self;
        let short = match letter {
            '"' => Some("\\\""),
            '\\' => Some("\\\\"),
            '/' => Some("\\/"),
            '\n' => Some("\\n"),
            '\t' => Some("\\t"),
            '\u{8}' => Some("\\b"),
            _ => None,
        };
        let must_escape = letter < ' ' || letter == '"' || letter == '\\';
        match (spelling, short) {
            (Spelling::Short, Some(short)) => to.push_str(short),
            (Spelling::Shortest | Spelling::Short, _) if !must_escape => to.push(letter),
            (Spelling::Shortest, Some(short)) => to.push_str(short),
            _ => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    let capitals = matches!(spelling, Spelling::Capitals);
                    to.push_str(&if capitals { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") });
                }
            }
        }
    }
}

fn spell_text(letters: &[Letter], to: &mut String) {
    to.push('"');
    letters.iter().for_each(|letter| letter.json(to));
    to.push('"');
}

impl Json {
    /// `blank` stands wherever a blank may.
    fn spell(&self, blank: &str, to: &mut String) {
        to.push_str(blank);
        match self {
            Json::Plain(text) => to.push_str(text),
            Json::Text(letters) => spell_text(letters, to),
            Json::Array(elements) => {
                to.push('[');
                for (index, element) in elements.iter().enumerate() {
                    to.push_str(if index > 0 { "," } else { "" });
                    element.spell(blank, to);
                }
                to.push(']');
            }
            Json::Object(members) => {
                to.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    to.push_str(if index > 0 { "," } else { "" });
                    to.push_str(blank);
                    spell_text(name, to);
                    to.push_str(blank);
                    to.push(':');
                    value.spell(blank, to);
                }
                to.push('}');
            }
        }
        to.push_str(blank);
    }
}

const NAMES: [&str; 7] = ["a", "b", "data", "0", "", "a/b~c", "né"];
const PLAIN: [&str; 16] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-7",
    "42",
    "9223372036854775807",
    "123456789012345678901",
    "1.50",
    "1e3",
    "-2.5E-3",
    "10.0",
    "null",
    "1.0e2",
];

fn letter() -> impl Strategy<Value = Letter> {
    let letters = select(vec!['a', '0', '1', '/', '\\', '"', '\n', '\t', '\u{8}', 'é', '漢', '😀', ':', '-', ' ', '2']);
    (prop_oneof![letters, any::<char>()], spelling()).prop_map(|(letter, spelling)| Letter(letter, spelling))
}

fn spelling() -> impl Strategy<Value = Spelling> {
    select(vec![Spelling::Shortest, Spelling::Shortest, Spelling::Short, Spelling::Small, Spelling::Capitals])
}

fn text() -> impl Strategy<Value = Vec<Letter>> {
    let known = select(vec![
        "2026-02-30",
        "2026-11-30",
        "10:30",
        "2026-11-30T10:30:00+01:00",
        "12",
        "007",
        "1.5",
        "Contacts/7",
        "1",
    ]);
    let known =
        (known, spelling()).prop_map(|(text, spelling)| text.chars().map(|letter| Letter(letter, spelling)).collect());
    prop_oneof![2 => vec(letter(), 0..8), 1 => known]
}

fn name() -> impl Strategy<Value = Vec<Letter>> {
    (select(NAMES.to_vec()), spelling())
        .prop_map(|(name, spelling)| name.chars().map(|letter| Letter(letter, spelling)).collect())
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![select(PLAIN.to_vec()).prop_map(Json::Plain), text().prop_map(Json::Text)];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![vec(inner.clone(), 0..5).prop_map(Json::Array), vec((name(), inner), 0..6).prop_map(Json::Object),]
    })
}

/// A body with an array of rows under `data`, most of the time.
fn body() -> impl Strategy<Value = String> {
    let rows = vec(prop_oneof![4 => vec((name(), json()), 0..6).prop_map(Json::Object), 1 => json()], 0..5);
    let data = "data".chars().map(|letter| Letter(letter, Spelling::Shortest)).collect::<Vec<_>>();
    let around =
        (vec((name(), json()), 0..3), rows, vec((name(), json()), 0..2)).prop_map(move |(before, rows, after)| {
            let middle = [(data.clone(), Json::Array(rows))];
            Json::Object(before.into_iter().chain(middle).chain(after).collect())
        });
    (prop_oneof![6 => around, 1 => json()], select(vec!["", " ", "\r\n\t"])).prop_map(|(json, blank)| {
        let mut text = String::new();
        json.spell(blank, &mut text);
        text
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    (2_u8..=13).prop_map(|code| Kind::from_code(code).expect("a kind"))
}

fn columns() -> impl Strategy<Value = Vec<(String, Kind)>> {
    let pointer = vec(select(NAMES.to_vec()), 1..4).prop_map(|names| {
        names.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect::<String>()
    });
    let plain =
        select(NAMES.iter().filter(|name| !name.starts_with('/')).map(|name| (*name).to_owned()).collect::<Vec<_>>());
    vec((prop_oneof![plain, pointer], kind()), 1..8)
}

/// What a column wants, as `serde_json` has it. A lookup that is null as a whole is empty, not unread.
fn wanted<'a>(row: &'a Value, column: &str) -> Option<&'a Value> {
    let segments: Vec<String> = match column.strip_prefix('/') {
        Some(rest) => rest.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect(),
        None => vec![column.to_owned()],
    };
    segments.iter().try_fold(row, |value, segment| match value {
        Value::Null => Some(value),
        Value::Object(members) => members.get(segment),
        Value::Array(elements) => {
            segment.parse::<usize>().ok().filter(|at| at.to_string() == *segment).and_then(|at| elements.get(at))
        }
        _ => None,
    })
}

/// Holds one cell against the value that `serde_json` read.
fn agrees(cell: Cell<'_>, kind: Kind, value: Option<&Value>) -> Result<(), TestCaseError> {
    let Some(value) = value else {
        prop_assert_eq!(cell, Cell::Absent);
        return Ok(());
    };
    let is_blank = value.is_null() || value.as_str() == Some("") || value.as_array().is_some_and(Vec::is_empty);
    prop_assert_eq!(cell == Cell::Empty, is_blank, "{} → {:?}", value, cell);
    if is_blank {
        return Ok(());
    }
    let got = cell.kind();
    let may_be_decimal = kind == Kind::Integer && got == Kind::Decimal;
    prop_assert!(got == kind || got == Kind::Raw || may_be_decimal, "{:?} for a column of {:?}", cell, kind);
    let same_json = |text: &str| serde_json::from_str::<Value>(text).ok().as_ref() == Some(value);
    match (kind, value) {
        (Kind::Text, Value::String(text)) => prop_assert_eq!(cell, Cell::Text(text.as_str())),
        (Kind::Text, Value::Bool(yes)) => prop_assert_eq!(cell, Cell::Text(if *yes { "true" } else { "false" })),
        (Kind::Boolean, Value::Bool(yes)) => prop_assert_eq!(cell, Cell::Boolean(*yes)),
        (Kind::Integer, Value::Number(number)) if number.is_i64() && number.as_i64() != Some(0) => {
            prop_assert_eq!(cell, Cell::Integer(number.as_i64().unwrap_or_default()));
        }
        (Kind::Decimal, Value::Number(_)) => prop_assert_eq!(got, Kind::Decimal),
        (Kind::List, Value::Array(all)) => {
            prop_assert_eq!(got == Kind::List, all.iter().all(Value::is_string), "{}", value);
        }
        (Kind::Rows, Value::Array(all)) => {
            prop_assert_eq!(got == Kind::Rows, all.iter().all(Value::is_object), "{}", value);
        }
        (_, Value::Object(_)) => prop_assert_eq!(got, Kind::Raw),
        (_, Value::Array(_)) => prop_assert_eq!(got, Kind::Raw),
        _ => {}
    }
    match (cell, value) {
        (Cell::Raw(text) | Cell::Reference(text), Value::String(known)) => prop_assert_eq!(text, known.as_str()),
        (Cell::Raw(text) | Cell::List(text) | Cell::Rows(text), _) => {
            prop_assert!(same_json(text), "{} is not {}", text, value)
        }
        (Cell::Text(text) | Cell::Decimal(text), Value::Number(number)) => {
            let read: f64 = text.parse().expect("a number's spelling");
            prop_assert!(
                number.as_f64().is_some_and(|known| (read - known).abs() <= known.abs() * 1e-12),
                "{} is not {}",
                text,
                number
            );
        }
        _ => {}
    }
    Ok(())
}

/// Levels of a body as a reader counts them.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(elements) => 1 + elements.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Holds what was read of a body against `serde_json`.
fn reads_as_serde(body: &[u8], columns: &[(String, Kind)]) -> Result<(), TestCaseError> {
    let ours = parse_records(body, "/data", columns);
    let theirs: Result<Value, _> = serde_json::from_slice(body);
    let text = String::from_utf8_lossy(body).to_lowercase();
    if text.trim_matches(|letter| "\u{feff} \t\r\n".contains(letter)).is_empty() {
        return Ok(());
    }
    // Where we read what they refuse: half of a surrogate pair is kept as raw text, numbers are never floats, and a byte order mark
    // may stand at the beginning.
    let knows_more = text.contains("\\ud") || text.contains('e') || text.starts_with('\u{feff}');
    match (ours, theirs) {
        (Ok((batch, mismatches)), Ok(value)) => {
            let rows = value.get("data").and_then(Value::as_array);
            prop_assert_eq!(rows.map(Vec::len), Some(batch.rows as usize));
            let view = batch.check(columns.len()).expect("our batches are well formed");
            let mut raw = 0;
            for (index, row) in rows.into_iter().flatten().enumerate() {
                for (column, (name, kind)) in columns.iter().enumerate() {
                    let cell = view.cell(index, column);
                    raw += u32::from(cell.kind() == Kind::Raw && *kind != Kind::Raw);
                    agrees(cell, *kind, wanted(row, name))?;
                }
            }
            prop_assert_eq!(mismatches, raw, "every cell that became raw text is counted");
        }
        (Ok(_), Err(error)) => prop_assert!(knows_more, "only we read it; they say {}", error),
        (Err(BodyFault::NotJson(why)), Ok(value)) => prop_assert!(false, "only they read it: {} {}", why, value),
        (Err(BodyFault::NoSuch(_)), Ok(value)) => prop_assert!(value.get("data").and_then(Value::as_array).is_none()),
        (Err(BodyFault::TooLarge(_)), Ok(value)) => prop_assert!(depth(&value) > 64),
        (Err(_), Err(_)) => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bodies_are_read_as_serde_reads_them(body in body(), columns in columns()) {
        reads_as_serde(body.as_bytes(), &columns)?;
    }

    #[test]
    fn broken_bodies_are_refused_as_serde_refuses_them(
        body in body(),
        columns in columns(),
        cuts in vec((any::<Index>(), prop_oneof![select(b"{}[]\",:\\ue019-.\x00\x1f\xff\xc3".to_vec()), any::<u8>()], 0_u8..4), 1..4),
    ) {
        let mut bytes = body.into_bytes();
        for (at, byte, how) in cuts {
            let place = at.index(bytes.len().max(1));
            match how {
                0 => bytes.truncate(place),
                1 => bytes.insert(place.min(bytes.len()), byte),
                2 if place < bytes.len() => drop(bytes.remove(place)),
                _ if place < bytes.len() => bytes[place] = byte,
                _ => {}
            }
        }
        reads_as_serde(&bytes, &columns)?;
        // Nor does any other reader of bodies stumble.
        let _text = read_pointer(&bytes, "/data/0/a");
    }

    #[test]
    fn nesting_ends_at_its_limit(levels in 1_usize..200, array in any::<bool>()) {
        let (open, close) = if array { ("[", "]") } else { ("{\"a\":", "}") };
        let inner = format!("{}1{}", open.repeat(levels), close.repeat(levels));
        let body = format!("{{\"data\":[{{\"a\":{inner}}}]}}");
        let outcome = parse_records(body.as_bytes(), "/data", &[("a".to_owned(), Kind::Raw)]);
        // Three levels stand around it.
        prop_assert_eq!(outcome.is_ok(), levels + 3 <= 64, "{:?}", outcome.err());
    }
}

/// Letters that occur in secrets, and those that encoders like to escape.
fn secret() -> impl Strategy<Value = String> {
    let letters = select("abcxyzABCXYZ0123456789-._~+/=&<>'\" \\%Øé漢😀".chars().collect::<Vec<_>>());
    vec(letters, 6..24).prop_map(|letters| letters.into_iter().collect())
}

/// Undoes percent escapes, one after the other.
fn unpercent(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A secret that is all blanks and stars could be what is put in its place.
fn is_telling(secret: &str) -> bool {
    secret.chars().any(|letter| letter != '*')
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_spelling_in_json_lets_a_secret_through(
        secret in secret(),
        spellings in vec(spelling(), 24),
        before in vec(letter(), 0..6),
        after in vec(letter(), 0..6),
    ) {
        let letters: Vec<Letter> = secret.chars().zip(spellings).map(|(letter, spelling)| Letter(letter, spelling)).collect();
        let mut body = String::from("{\"data\":[{\"a\":");
        spell_text(&[before, letters, after].concat(), &mut body);
        body.push_str(",\"b\":1}]}");
        let mut bytes = body.clone().into_bytes();
        Redactor::new([secret.as_str()]).expect("it can be looked for").mask(&mut bytes);
        let value: Value = serde_json::from_slice(&bytes).expect("it stays JSON");
        let shown = value["data"][0]["a"].as_str().expect("it stays a string");
        prop_assert!(is_telling(&secret) && !shown.contains(&secret), "{} → {}", body, shown);
        prop_assert_eq!(&value["data"][0]["b"], 1);
    }

    #[test]
    fn no_spelling_in_an_address_lets_a_secret_through(
        secret in secret(),
        escaped in vec((any::<bool>(), any::<bool>()), 96),
        slashes in any::<bool>(),
    ) {
        let mut bytes = secret.bytes().zip(escaped);
        let spell = |(byte, (escape, capitals)): (u8, (bool, bool))| match (escape || !byte.is_ascii_alphanumeric(), capitals) {
            (false, _) => char::from(byte).to_string(),
            (true, true) => format!("%{byte:02X}"),
            (true, false) => format!("%{byte:02x}"),
        };
        let address: String = bytes.by_ref().map(spell).collect();
        let address = format!("https://crm.example/x?token={address}&n=1");
        let address = if slashes { address.replace('/', "\\/") } else { address };
        let shown = Redactor::new([secret.as_str()]).expect("it can be looked for").masked(&address);
        prop_assert!(is_telling(&secret) && !unpercent(&shown).contains(&secret), "{} → {}", address, shown);
        prop_assert!(shown.ends_with("&n=1"), "{}", shown);
    }

    #[test]
    fn other_text_is_left_alone(text in "[ -~\\n]{0,80}") {
        let masked = Redactor::new(["a secret that does not occur"]).expect("it can be looked for").masked(&text);
        prop_assert_eq!(masked, text);
    }

    #[test]
    fn secret_fields_never_come_through(body in body(), names in vec(select(NAMES.to_vec()), 1..3)) {
        let pointer: String = names.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect();
        let field = SecretField::parse(&pointer).expect("a pointer");
        let mut bytes = body.clone().into_bytes();
        mask_fields(&mut bytes, std::slice::from_ref(&field));
        prop_assert_eq!(bytes.len(), body.len(), "masked in place");
        let before: Value = serde_json::from_str(&body).expect("it is JSON");
        let after: Value = serde_json::from_slice(&bytes).expect("it stays JSON");
        if let Some(shown) = after.pointer(&pointer) {
            let is_stars = |text: &str| text.bytes().all(|byte| byte == b'*');
            let is_masked = shown.is_null() || shown == &Value::from(0) || shown.as_str().is_some_and(is_stars);
            prop_assert!(is_masked, "{} → {}", before, after);
        }
    }
}
