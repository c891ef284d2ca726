//! Which records a flow is about: conditions on what one side's record shows.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::merge::order;
use crate::normalise::list_elements;
use crate::value::Value;

/// How a field's value is held against another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Test {
    /// The same: texts without regard to case and outer blanks, numbers by their size, a list if it has the entry.
    Equal,
    /// Smaller or earlier.
    Below,
    /// Not larger, not later.
    AtMost,
    /// Larger or later.
    Above,
    /// Not smaller, not earlier.
    AtLeast,
    /// The text is part of it, or an entry of the list.
    Contains,
    /// It begins with the text.
    StartsWith,
}

/// A condition on one record, by API names of its fields.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// All of them hold.
    All(Vec<Filter>),
    /// At least one holds.
    Any(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// The field is empty.
    Empty(String),
    /// The field's value passes the test. An empty field passes none.
    Field(String, Test, Value),
}

impl Filter {
    /// Whether a record with these values is meant; none if a field that it depends on was not read (rule 4).
    pub fn holds(&self, value_of: &dyn Fn(&str) -> Value) -> Option<bool> {
        match self {
            Filter::All(parts) => all(parts, value_of, false).map(|any_fails| !any_fails),
            Filter::Any(parts) => all(parts, value_of, true),
            Filter::Not(part) => part.holds(value_of).map(|holds| !holds),
            Filter::Empty(field) => known(value_of(field)).map(|value| !value.is_filled()),
            Filter::Field(field, test, wanted) => known(value_of(field)).map(|value| passes(&value, *test, wanted)),
        }
    }

    /// API names of the fields that it depends on, each once.
    pub fn fields(&self) -> Vec<&str> {
        let mut fields: Vec<&str> = match self {
            Filter::All(parts) | Filter::Any(parts) => parts.iter().flat_map(Filter::fields).collect(),
            Filter::Not(part) => part.fields(),
            Filter::Empty(field) | Filter::Field(field, _, _) => vec![field],
        };
        fields.sort_unstable();
        fields.dedup();
        fields
    }
}

/// Whether some part is `sought`; none if that depends on what was not read.
fn all(parts: &[Filter], value_of: &dyn Fn(&str) -> Value, sought: bool) -> Option<bool> {
    let answers: Vec<Option<bool>> = parts.iter().map(|part| part.holds(value_of)).collect();
    if answers.contains(&Some(sought)) {
        return Some(true);
    }
    (!answers.contains(&None)).then_some(false)
}

fn known(value: Value) -> Option<Value> {
    value.is_read().then_some(value)
}

fn passes(value: &Value, test: Test, wanted: &Value) -> bool {
    if !value.is_filled() {
        return false;
    }
    match test {
        Test::Equal => match value {
            Value::List(_) => has_entry(value, wanted),
            _ => order(value, wanted).map_or_else(|| plain(value) == plain(wanted), Ordering::is_eq),
        },
        Test::Contains => match value {
            Value::List(_) => has_entry(value, wanted),
            _ => plain(value).contains(&plain(wanted)),
        },
        Test::StartsWith => plain(value).starts_with(&plain(wanted)),
        Test::Below => order(value, wanted).is_some_and(Ordering::is_lt),
        Test::AtMost => order(value, wanted).is_some_and(Ordering::is_le),
        Test::Above => order(value, wanted).is_some_and(Ordering::is_gt),
        Test::AtLeast => order(value, wanted).is_some_and(Ordering::is_ge),
    }
}

fn plain(value: &Value) -> String {
    value.display().trim().to_lowercase()
}

fn has_entry(list: &Value, wanted: &Value) -> bool {
    let Value::List(text) = list else { return false };
    list_elements(text).into_iter().any(|entry| entry.trim_matches('"').trim().to_lowercase() == plain(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(field: &str) -> Value {
        match field {
            "Status" => Value::text("Qualified "),
            "Country" => Value::Empty,
            "Revenue" => Value::Decimal("1200.50".into()),
            "Staff" => Value::Integer(7),
            "Since" => Value::Date(19_000),
            "Vip" => Value::Boolean(true),
            "Tags" => Value::List(r#"["Gold","West"]"#.into()),
            _ => Value::Absent,
        }
    }

    fn field(name: &str, test: Test, wanted: Value) -> Filter {
        Filter::Field(name.into(), test, wanted)
    }

    #[test]
    fn conditions_hold_or_not_or_are_not_known() {
        let check = |filter: Filter, expected: Option<bool>| assert_eq!(filter.holds(&record), expected, "{filter:?}");
        check(field("Status", Test::Equal, Value::text("qualified")), Some(true));
        check(field("Status", Test::Equal, Value::text("Lost")), Some(false));
        check(field("Status", Test::StartsWith, Value::text("quali")), Some(true));
        check(field("Status", Test::Contains, Value::text("fied")), Some(true));
        check(field("Country", Test::Equal, Value::text("Norway")), Some(false));
        check(Filter::Empty("Country".into()), Some(true));
        check(Filter::Empty("Status".into()), Some(false));
        check(field("Revenue", Test::Above, Value::Integer(1_200)), Some(true));
        check(field("Revenue", Test::Equal, Value::Decimal("1200.5".into())), Some(true));
        check(field("Staff", Test::AtMost, Value::Integer(6)), Some(false));
        check(field("Since", Test::AtLeast, Value::Date(19_000)), Some(true));
        check(field("Since", Test::Below, Value::Date(19_000)), Some(false));
        check(field("Vip", Test::Equal, Value::Boolean(true)), Some(true));
        check(field("Tags", Test::Contains, Value::text("gold")), Some(true));
        check(field("Tags", Test::Equal, Value::text("East")), Some(false));
        check(field("Unread", Test::Equal, Value::text("x")), None);
        check(Filter::Not(Box::new(field("Unread", Test::Equal, Value::text("x")))), None);
        check(Filter::Not(Box::new(Filter::Empty("Country".into()))), Some(false));
    }

    #[test]
    fn what_was_not_read_matters_only_where_it_decides() {
        let (yes, no) = (Filter::Empty("Country".into()), Filter::Empty("Status".into()));
        let unread = Filter::Empty("Unread".into());
        let check = |filter: Filter, expected: Option<bool>| assert_eq!(filter.holds(&record), expected, "{filter:?}");
        check(Filter::All(vec![no.clone(), unread.clone()]), Some(false));
        check(Filter::All(vec![yes.clone(), unread.clone()]), None);
        check(Filter::All(vec![yes.clone(), yes.clone()]), Some(true));
        check(Filter::Any(vec![yes.clone(), unread.clone()]), Some(true));
        check(Filter::Any(vec![no.clone(), unread.clone()]), None);
        check(Filter::Any(vec![no.clone(), no.clone()]), Some(false));
        assert_eq!(Filter::All(vec![yes, unread, no]).fields(), ["Country", "Status", "Unread"]);
    }
}
