//! Zoho's values and the contract's, both ways. Pure.

use crmsync_plugin::{Cell, Column, Fault, Kind, rows, time};
use serde::{Deserialize, Serialize};

use crate::wire;

/// What Zoho's screens show for an empty pick list, and what old records hold.
const NO_CHOICE: &str = "-None-";
/// The largest whole number that JSON readers keep exactly; larger ones are sent as text, as Zoho sends its own.
const EXACT_INTEGER_MAX: u64 = 1 << 53;

/// How the values of a field come and go. Kept in caches and cursors, so its spelling is part of the cursor's format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Shape {
    /// Comes as the kind with this number.
    #[serde(rename = "k")]
    Plain(u8),
    /// Text, with a word for nothing.
    #[serde(rename = "p")]
    Choice,
    /// A list of texts.
    #[serde(rename = "m")]
    Choices,
    /// An object with the id of a record of this module.
    #[serde(rename = "r")]
    Reference(String),
}

impl Shape {
    /// The shape of a field, by its data type, the module that it points to, and what a formula gives; none for types whose values
    /// cannot be synced as values (files, subforms, lookups of several records).
    pub(crate) fn of(data_type: &str, target: &str, formula_type: &str) -> Option<Shape> {
        let kind = match data_type {
            "text" | "textarea" | "email" | "phone" | "website" | "autonumber" => Kind::Text,
            "integer" | "bigint" => Kind::Integer,
            "currency" | "double" | "percent" | "decimal" | "rollup_summary" => Kind::Decimal,
            "boolean" => Kind::Boolean,
            "date" => Kind::Date,
            "datetime" => Kind::Instant,
            "picklist" => return Some(Shape::Choice),
            "multiselectpicklist" => return Some(Shape::Choices),
            "ownerlookup" | "userlookup" => return Some(Shape::Reference(wire::USERS.to_owned())),
            "lookup" if !target.is_empty() => return Some(Shape::Reference(target.to_owned())),
            "formula" if formula_type != data_type => return Shape::of(formula_type, "", data_type),
            _ => return None,
        };
        Some(Shape::Plain(kind.code()))
    }

    /// The kind of the field's values in the contract.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Shape::Plain(code) => Kind::from_code(*code).unwrap_or(Kind::Text),
            Shape::Choice => Kind::Text,
            Shape::Choices => Kind::List,
            Shape::Reference(_) => Kind::Reference,
        }
    }

    /// The column to ask the host's parser for.
    pub(crate) fn wire_column(&self, field: &str) -> Column {
        match self {
            Shape::Reference(_) => rows::column(format!("/{field}/id"), Kind::Text),
            _ => rows::column(field, self.kind()),
        }
    }

    /// The contract's value for one of Zoho's.
    pub(crate) fn read<'a>(&self, cell: Cell<'a>) -> Value<'a> {
        match (self, cell) {
            (Shape::Choice, Cell::Text(NO_CHOICE)) => Value::Cell(Cell::Empty),
            (Shape::Choices, Cell::List("[\"-None-\"]")) => Value::Cell(Cell::Empty),
            (Shape::Reference(module), Cell::Text(id)) => Value::Reference(format!("{module}/{id}")),
            _ => Value::Cell(cell),
        }
    }
}

/// A value on its way to a batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Cell(Cell<'a>),
    Reference(String),
}

impl Value<'_> {
    pub(crate) fn cell(&self) -> Cell<'_> {
        match self {
            Value::Cell(cell) => *cell,
            Value::Reference(reference) => Cell::Reference(reference),
        }
    }
}

/// Appends a field and its value to the JSON object of a row, with a comma before it if it is not the first. Absent cells are left
/// alone, empty ones clear the field.
///
/// # Errors
/// The fault for the row: Zoho has no such value.
pub(crate) fn write_member(object: &mut String, field: &str, cell: Cell<'_>) -> Result<(), Fault> {
    let value = match cell {
        Cell::Absent => return Ok(()),
        Cell::Empty => "null".to_owned(),
        Cell::Text(text) => json_text(text),
        Cell::Integer(number) if number.unsigned_abs() > EXACT_INTEGER_MAX => format!("\"{number}\""),
        Cell::Integer(number) => number.to_string(),
        Cell::Boolean(yes) => yes.to_string(),
        Cell::Date(days) => format!("\"{}\"", time::format_date(days)),
        Cell::Time(micros) => format!("\"{}\"", time::format_time(micros)),
        Cell::Instant(micros) => format!("\"{}\"", time::format_instant(micros)),
        Cell::Reference(reference) => match reference.split_once('/') {
            Some((_, id)) => format!("{{\"id\":{}}}", json_text(id)),
            None => return Err(Fault::rejected(field, "malformed-reference", "a reference is `Module/id`")),
        },
        // Canonical decimals, lists and rows are JSON as they stand.
        Cell::Decimal(json) | Cell::List(json) | Cell::Rows(json) => json.to_owned(),
        Cell::LocalDateTime(_) => {
            return Err(Fault::rejected(field, "no-zone", "Zoho keeps instants; a date-time without a zone is none"));
        }
        Cell::Raw(_) => return Err(Fault::rejected(field, "did-not-parse", "the value did not parse as its kind")),
    };
    if !object.ends_with('{') {
        object.push(',');
    }
    object.push_str(&json_text(field));
    object.push(':');
    object.push_str(&value);
    Ok(())
}

/// A text as JSON.
pub(crate) fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_data_type_has_its_kind() {
        let check = |data_type: &str, kind: Option<Kind>| {
            let shape = Shape::of(data_type, "Accounts", "double");
            assert_eq!(shape.map(|shape| shape.kind()), kind, "{data_type}");
        };
        check("textarea", Some(Kind::Text));
        check("bigint", Some(Kind::Integer));
        check("percent", Some(Kind::Decimal));
        check("boolean", Some(Kind::Boolean));
        check("date", Some(Kind::Date));
        check("datetime", Some(Kind::Instant));
        check("picklist", Some(Kind::Text));
        check("multiselectpicklist", Some(Kind::List));
        check("ownerlookup", Some(Kind::Reference));
        check("lookup", Some(Kind::Reference));
        check("formula", Some(Kind::Decimal));
        check("subform", None);
        check("fileupload", None);
        assert_eq!(Shape::of("lookup", "", ""), None);
        assert_eq!(Shape::of("formula", "", "formula"), None);
    }

    #[test]
    fn values_are_read() {
        let check = |shape: Shape, cell: Cell<'_>, shown: Cell<'_>| assert_eq!(shape.read(cell).cell(), shown);
        check(Shape::Choice, Cell::Text("-None-"), Cell::Empty);
        check(Shape::Choice, Cell::Text("Partner"), Cell::Text("Partner"));
        check(Shape::Plain(2), Cell::Text("-None-"), Cell::Text("-None-"));
        check(Shape::Choices, Cell::List("[\"-None-\"]"), Cell::Empty);
        check(Shape::Reference("Accounts".to_owned()), Cell::Text("77"), Cell::Reference("Accounts/77"));
        check(Shape::Reference("Accounts".to_owned()), Cell::Empty, Cell::Empty);
        check(Shape::Reference("Accounts".to_owned()), Cell::Absent, Cell::Absent);
        let reference = Shape::Reference("Users".to_owned());
        assert_eq!(reference.wire_column("Owner").name, "/Owner/id");
    }

    #[test]
    fn values_are_written() {
        let check = |cell: Cell<'_>, json: &str| {
            let mut object = "{".to_owned();
            write_member(&mut object, "F", cell).expect("a value that Zoho has");
            assert_eq!(object, json);
        };
        check(Cell::Absent, "{");
        check(Cell::Empty, "{\"F\":null");
        check(Cell::Text("a \"b\"\n"), "{\"F\":\"a \\\"b\\\"\\n\"");
        check(Cell::Integer(-5), "{\"F\":-5");
        check(Cell::Integer(i64::MAX), "{\"F\":\"9223372036854775807\"");
        check(Cell::Decimal("0.10"), "{\"F\":0.10");
        check(Cell::Boolean(false), "{\"F\":false");
        check(Cell::Date(0), "{\"F\":\"1970-01-01\"");
        check(Cell::Instant(0), "{\"F\":\"1970-01-01T00:00:00+00:00\"");
        check(Cell::Reference("Accounts/77"), "{\"F\":{\"id\":\"77\"}");
        check(Cell::List("[\"a\"]"), "{\"F\":[\"a\"]");
        for cell in [Cell::Raw("x"), Cell::LocalDateTime(0), Cell::Reference("77")] {
            let mut object = "{".to_owned();
            assert!(matches!(write_member(&mut object, "F", cell), Err(Fault::Rejected(_))));
        }
    }

    #[test]
    fn shapes_are_small_in_cursors() {
        let json = serde_json::to_string(&[Shape::Plain(2), Shape::Choice, Shape::Reference("Accounts".to_owned())]);
        assert_eq!(json.expect("JSON"), r#"[{"k":2},"p",{"r":"Accounts"}]"#);
    }
}
