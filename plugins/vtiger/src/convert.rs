//! Vtiger's texts ⇄ cells. On the wire every value is a text: numbers, `"1"` for yes, ids for references, `""` for
//! nothing.

use crmsync_plugin::{Cell, Fault, Kind, canonical_decimal, time};
use serde_json::{Map, Value};

use crate::schema::{Field, Modules, Native};

/// What joins the values of a multi-select field.
const SEPARATOR: &str = " |##| ";

const MICROS_PER_SECOND: i64 = 1_000_000;

/// A cell made of a wire text: borrowed where the text stays as it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Converted<'a> {
    /// The text itself, or a value without text.
    As(Cell<'a>),
    /// A new text of this kind.
    New(Kind, String),
}

impl Converted<'_> {
    /// The cell.
    pub(crate) fn cell(&self) -> Cell<'_> {
        match self {
            Converted::As(cell) => *cell,
            Converted::New(Kind::Decimal, text) => Cell::Decimal(text),
            Converted::New(Kind::Reference, text) => Cell::Reference(text),
            Converted::New(Kind::List, text) => Cell::List(text),
            Converted::New(_, text) => Cell::Text(text),
        }
    }
}

/// The cell of a wire value, as the host read it with kind text. A text that does not have the field's kind stays as it
/// is, raw.
///
/// The CRM keeps 0 where a number was left blank and shows both alike, so a 0 is nothing, unless the field must have a value: taken for
/// a number, every blank here would be written into the other CRM.
pub(crate) fn read<'a>(field: &Field, wire: Cell<'a>, modules: &Modules) -> Converted<'a> {
    let text = match wire {
        Cell::Text(text) | Cell::Raw(text) => text,
        other => return Converted::As(other),
    };
    let raw = Converted::As(Cell::Raw(text));
    let plain = |cell: Option<Cell<'a>>| cell.map(Converted::As);
    match field.native {
        Native::Text => Some(Converted::As(Cell::Text(text))),
        Native::Integer | Native::Decimal if !field.mandatory && is_zero(text) => plain(Some(Cell::Empty)),
        Native::Integer => plain(text.trim().parse().ok().map(Cell::Integer)),
        Native::Decimal => canonical_decimal(text).map(|number| Converted::New(Kind::Decimal, number)),
        Native::Boolean => plain(boolean(text).map(Cell::Boolean)),
        // MySQL's way to say that there is no date.
        Native::Date | Native::Timestamp if text.starts_with("0000-00-00") => plain(Some(Cell::Empty)),
        Native::Date => plain(time::parse_date(text).map(Cell::Date)),
        Native::Time => plain(time::parse_time(text).map(Cell::Time)),
        Native::Timestamp => plain(time::parse_local(text).map(Cell::Instant)),
        Native::List => Some(list(text)),
        Native::Reference => {
            modules.of(text, &field.targets).map(|module| Converted::New(Kind::Reference, format!("{module}/{text}")))
        }
    }
    .unwrap_or(raw)
}

/// The wire text of a cell to write.
///
/// # Errors
/// `rejected` with the field's name if the CRM has no spelling for this value. Nothing is sent in another spelling than
/// the exact one, because the CRM takes anything: garbage in a number becomes 0, an unknown spelling of yes becomes no.
pub(crate) fn write(field: &str, cell: Cell<'_>) -> Result<String, Fault> {
    let unwritable = |reason: &str| Fault::rejected(field, "not-writable", reason);
    match cell {
        Cell::Absent | Cell::Empty => Ok(String::new()),
        Cell::Text(text) | Cell::Decimal(text) => Ok(text.to_owned()),
        Cell::Integer(number) => Ok(number.to_string()),
        Cell::Boolean(yes) => Ok(if yes { "1" } else { "0" }.to_owned()),
        Cell::Date(days) => {
            storable_date(time::format_date, days, 1).ok_or_else(|| unwritable("no such date in the CRM"))
        }
        Cell::Instant(micros) | Cell::LocalDateTime(micros) => {
            storable_date(time::format_local, micros, DAY_MICROS).ok_or_else(|| unwritable("no such date in the CRM"))
        }
        Cell::Time(micros) => Ok(time::format_time(micros)),
        Cell::Reference(text) => reference_id(text).map(str::to_owned).ok_or_else(|| unwritable("not a reference")),
        Cell::List(json) => joined(json).ok_or_else(|| unwritable("a value of the list cannot be stored")),
        Cell::Rows(_) => Err(unwritable("the field cannot hold rows")),
        Cell::Raw(_) => Err(unwritable("the value was not understood when it was read")),
    }
}

/// The record of a write's answer as wire cells, looked up by name.
pub(crate) fn of_answer<'a>(record: &'a Map<String, Value>, name: &str) -> Cell<'a> {
    match record.get(name) {
        None => Cell::Absent,
        Some(Value::Null) => Cell::Empty,
        Some(Value::String(text)) => Cell::text_or_empty(text),
        // Numbers and booleans appear in no field of the modules that are synced; a reader of the report sees that one
        // was there.
        Some(Value::Bool(true)) => Cell::Text("1"),
        Some(Value::Bool(false)) => Cell::Text("0"),
        Some(_) => Cell::Absent,
    }
}

/// Seconds since 1970 of the CRM's spelling of a moment.
pub(crate) fn seconds(timestamp: &str) -> Option<i64> {
    time::parse_local(timestamp).map(|micros| micros.div_euclid(MICROS_PER_SECOND))
}

/// The CRM's spelling of a moment in seconds since 1970.
pub(crate) fn timestamp(seconds: i64) -> String {
    time::format_local(seconds.saturating_mul(MICROS_PER_SECOND))
}

/// The version of a record: its `modifiedtime`, which counts whole seconds only, and a digest of the values that were
/// read. Two versions are comparable if they were made of the same set of fields; the order of the fields does not
/// matter. Fields that the CRM does not have are left out.
pub(crate) fn version<'a>(modified: &str, cells: impl IntoIterator<Item = (&'a str, Cell<'a>)>) -> String {
    // A sum of digests, because the CRM gives different users the fields in different orders.
    let digest = cells.into_iter().fold(0_u64, |sum, (name, wire)| match wire {
        Cell::Absent => sum,
        wire => sum.wrapping_add(fnv1a([name.as_bytes(), b"\0", wire.text().unwrap_or_default().as_bytes()])),
    });
    format!("{modified}~{digest:016x}")
}

const DAY_MICROS: i64 = 86_400 * MICROS_PER_SECOND;

/// Formats a moment if its year has four digits: others are stored as something else.
fn storable_date(format: fn(i64) -> String, moment: i64, day: i64) -> Option<String> {
    let first = time::parse_date("0001-01-01")?;
    let last = time::parse_date("9999-12-31")?;
    (first..=last).contains(&moment.div_euclid(day)).then(|| format(moment))
}

fn is_zero(text: &str) -> bool {
    canonical_decimal(text.trim()).is_some_and(|number| number == "0")
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "on" => Some(true),
        "0" | "off" => Some(false),
        _ => None,
    }
}

fn list(text: &str) -> Converted<'static> {
    let values: Vec<Value> = text.split(SEPARATOR).map(|value| Value::from(value.trim())).collect();
    Converted::New(Kind::List, Value::Array(values).to_string())
}

/// The values of a JSON list in the CRM's spelling; none if a value is not a text or would read back as two.
fn joined(json: &str) -> Option<String> {
    let values: Vec<String> = serde_json::from_str(json).ok()?;
    let whole = values.iter().all(|value| !value.contains(SEPARATOR.trim()));
    whole.then(|| values.join(SEPARATOR))
}

/// The id of `Module/id`.
fn reference_id(reference: &str) -> Option<&str> {
    let (module, id) = reference.split_once('/')?;
    (!module.is_empty() && crate::schema::prefix_of(id).is_some()).then_some(id)
}

fn fnv1a<const N: usize>(parts: [&[u8]; N]) -> u64 {
    parts
        .iter()
        .flat_map(|part| part.iter())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(native: Native, targets: &[&str]) -> Field {
        let targets = targets.iter().map(|target| (*target).to_owned()).collect();
        Field { name: "f".to_owned(), native, targets, mandatory: false }
    }

    fn modules() -> Modules {
        let mut modules = Modules::default();
        for (prefix, module) in [("19", "Users"), ("20", "Groups"), ("11", "Accounts")] {
            modules.learn(prefix, module);
        }
        modules
    }

    #[test]
    fn wire_texts_become_cells_and_come_back() {
        let check = |native: Native, targets: &[&str], wire: &str, cell: Cell<'_>, back: &str| {
            let converted = read(&field(native, targets), Cell::Text(wire), &modules());
            assert_eq!(converted.cell(), cell, "{wire}");
            assert_eq!(write("f", cell).as_deref(), Ok(back), "{wire}");
        };
        check(Native::Text, &[], " as it is ", Cell::Text(" as it is "), " as it is ");
        check(Native::Integer, &[], "12", Cell::Integer(12), "12");
        check(Native::Decimal, &[], "1234567.89000000", Cell::Decimal("1234567.89"), "1234567.89");
        check(Native::Boolean, &[], "1", Cell::Boolean(true), "1");
        check(Native::Boolean, &[], "0", Cell::Boolean(false), "0");
        check(Native::Date, &[], "1980-02-29", Cell::Date(3_711), "1980-02-29");
        check(Native::Time, &[], "14:30:15", Cell::Time(52_215_000_000), "14:30:15");
        let instant = Cell::Instant(1_795_457_586_000_000);
        check(Native::Timestamp, &[], "2026-11-23 18:13:06", instant, "2026-11-23 18:13:06");
        check(Native::List, &[], "English |##| Norsk", Cell::List(r#"["English","Norsk"]"#), "English |##| Norsk");
        check(Native::List, &[], "Æ & \"Ø\"", Cell::List(r#"["Æ & \"Ø\""]"#), "Æ & \"Ø\"");
        check(Native::Reference, &["Accounts"], "11x5", Cell::Reference("Accounts/11x5"), "11x5");
        check(Native::Reference, &["Users", "Groups"], "19x1", Cell::Reference("Users/19x1"), "19x1");
        check(Native::Reference, &["Users", "Groups"], "20x2", Cell::Reference("Groups/20x2"), "20x2");
    }

    #[test]
    fn what_does_not_parse_stays_raw() {
        for (native, wire) in [
            (Native::Integer, "twelve"),
            (Native::Decimal, "1,000.5"),
            (Native::Boolean, "yes"),
            (Native::Date, "31-12-2020"),
            (Native::Time, "9:30 AM"),
            (Native::Timestamp, "yesterday"),
            (Native::Reference, "9999"),
            (Native::Reference, "77x1"),
        ] {
            assert_eq!(
                read(&field(native, &["Users", "Groups"]), Cell::Text(wire), &modules()).cell(),
                Cell::Raw(wire)
            );
        }
    }

    #[test]
    fn nothing_is_empty_in_every_spelling() {
        assert_eq!(read(&field(Native::Date, &[]), Cell::Empty, &modules()).cell(), Cell::Empty);
        assert_eq!(read(&field(Native::Date, &[]), Cell::Text("0000-00-00"), &modules()).cell(), Cell::Empty);
        assert_eq!(read(&field(Native::Decimal, &[]), Cell::Text("0.00000000"), &modules()).cell(), Cell::Empty);
        assert_eq!(read(&field(Native::Integer, &[]), Cell::Text("0"), &modules()).cell(), Cell::Empty);
        let demanded = Field { mandatory: true, ..field(Native::Integer, &[]) };
        assert_eq!(read(&demanded, Cell::Text("0"), &modules()).cell(), Cell::Integer(0));
        assert_eq!(read(&field(Native::Text, &[]), Cell::Text("0"), &modules()).cell(), Cell::Text("0"));
        assert_eq!(read(&field(Native::Text, &[]), Cell::Absent, &modules()).cell(), Cell::Absent);
        assert_eq!(write("f", Cell::Empty).as_deref(), Ok(""));
    }

    #[test]
    fn what_the_crm_would_store_otherwise_is_refused() {
        for cell in [
            Cell::Raw("31-02-2020"),
            Cell::Rows("[]"),
            Cell::Date(i64::MAX),
            Cell::Instant(i64::MIN),
            Cell::List(r#"["a|##|b"]"#),
            Cell::List(r#"[1]"#),
            Cell::Reference("11x5"),
            Cell::Reference("Accounts/five"),
        ] {
            assert!(
                matches!(write("f", cell), Err(Fault::Rejected(rejection)) if rejection.field.as_deref() == Some("f")),
                "{cell:?}"
            );
        }
    }

    #[test]
    fn versions_see_what_seconds_hide() {
        let of = |cells: &[(&'static str, Cell<'static>)]| version("2026-11-23 18:13:06", cells.iter().copied());
        let first = of(&[("a", Cell::Text("1")), ("b", Cell::Empty)]);
        assert_eq!(
            first,
            of(&[("b", Cell::Empty), ("a", Cell::Text("1")), ("c", Cell::Absent)]),
            "the order does not matter"
        );
        assert_ne!(first, of(&[("a", Cell::Text("2")), ("b", Cell::Empty)]));
        assert_ne!(first, of(&[("a", Cell::Empty), ("b", Cell::Text("1"))]));
        assert!(first.starts_with("2026-11-23 18:13:06~"));
    }

    #[test]
    fn moments_are_seconds() {
        assert_eq!(seconds("2026-11-23 18:13:06"), Some(1_795_457_586));
        assert_eq!(timestamp(1_795_457_586), "2026-11-23 18:13:06");
        assert_eq!(seconds(""), None);
    }
}
