//! Field values as the core sees them: one spelling for each, no floats, and "not read" apart from "empty".

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The value of one field of one record.
///
/// Serialised compactly for the store: text, whole numbers and booleans as themselves, empty as `null`, every other kind as a map with
/// one short key (`{"d": "12.5"}`). Absent values are left out by whoever serialises a record; on their own they are `{"?": null}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// Not read. Rule 4: never written, never taken for empty.
    Absent,
    /// Null, an empty text, an empty list, or a CRM's own word for nothing.
    Empty,
    /// Text.
    Text(String),
    /// A whole number that fits 64 bits; larger ones are decimals.
    Integer(i64),
    /// A decimal number in canonical text, from the source's spelling, never a float.
    Decimal(String),
    /// Yes or no.
    Boolean(bool),
    /// Days since 1970-01-01. Never shifted by zones.
    Date(i64),
    /// Microseconds since 1970-01-01T00:00 as a clock on the wall shows them, without a zone.
    LocalDateTime(i64),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01T00:00Z.
    Instant(i64),
    /// `Module/id` of a record in the same CRM.
    Reference(String),
    /// A JSON array of strings whose order means nothing.
    List(String),
    /// A JSON array of objects: line items, participants.
    Rows(String),
    /// Text that did not parse as its field's kind: kept and reported, never converted.
    Raw(String),
}

impl Value {
    /// A text value, or empty for an empty text.
    pub fn text(text: impl Into<String>) -> Value {
        let text = text.into();
        if text.is_empty() { Value::Empty } else { Value::Text(text) }
    }

    /// Whether there is something in the field: neither absent nor empty.
    pub fn is_filled(&self) -> bool {
        !matches!(self, Value::Absent | Value::Empty)
    }

    /// Whether the field was read at all.
    pub fn is_read(&self) -> bool {
        !matches!(self, Value::Absent)
    }

    /// Module and id of a reference.
    pub fn reference(&self) -> Option<(&str, &str)> {
        match self {
            Value::Reference(text) => text.split_once('/'),
            _ => None,
        }
    }

    /// The value as a field of another kind would hold it, if that loses nothing. The kind is the contract's number (2 text, 3 integer,
    /// 4 decimal, 5 boolean and so on); absent and empty fit every kind.
    pub fn fitted(&self, kind: u8) -> Option<Value> {
        let fits = match self {
            Value::Absent | Value::Empty => true,
            Value::Raw(_) => false,
            Value::Text(_) => kind == 2,
            Value::Integer(_) => kind == 3,
            Value::Decimal(_) => kind == 4,
            Value::Boolean(_) => kind == 5,
            Value::Date(_) => kind == 6,
            Value::LocalDateTime(_) => kind == 7,
            Value::Time(_) => kind == 8,
            Value::Instant(_) => kind == 9,
            Value::Reference(_) => kind == 10,
            Value::List(_) => kind == 11,
            Value::Rows(_) => kind == 12,
        };
        if fits {
            return Some(self.clone());
        }
        match (self, kind) {
            (Value::Integer(_) | Value::Decimal(_) | Value::Date(_) | Value::Time(_), 2) => {
                Some(Value::Text(self.display()))
            }
            (Value::Integer(number), 4) => Some(Value::Decimal(number.to_string())),
            (Value::Decimal(text) | Value::Text(text), 3) => {
                let number = text.parse::<i64>().ok()?;
                (number.to_string() == *text).then_some(Value::Integer(number))
            }
            _ => None,
        }
    }

    /// The value as people read it in the sync log and the console. Dates are ISO 8601; an empty value is an empty text.
    pub fn display(&self) -> String {
        match self {
            Value::Absent | Value::Empty => String::new(),
            Value::Text(text)
            | Value::Decimal(text)
            | Value::Reference(text)
            | Value::List(text)
            | Value::Rows(text)
            | Value::Raw(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Boolean(yes) => if *yes { "yes" } else { "no" }.to_owned(),
            Value::Date(days) => date_text(*days),
            Value::LocalDateTime(micros) => format!("{} {}", date_text(micros.div_euclid(DAY_US)), time_text(*micros)),
            Value::Time(micros) => time_text(*micros),
            Value::Instant(micros) => format!("{}T{}Z", date_text(micros.div_euclid(DAY_US)), time_text(*micros)),
        }
    }
}

const DAY_US: i64 = 86_400_000_000;

/// `yyyy-mm-dd` of a day number since 1970-01-01 (proleptic Gregorian calendar).
fn date_text(days: i64) -> String {
    // Days are counted in eras of 400 years from 0000-03-01, so that the leap day is the last day of its year.
    let from_era = days + 719_468;
    let era = from_era.div_euclid(146_097);
    let day_of_era = from_era.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

fn time_text(micros: i64) -> String {
    let seconds = micros.rem_euclid(DAY_US) / 1_000_000;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fn tagged<S: Serializer, T: Serialize>(serializer: S, tag: &str, value: T) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(Some(1))?;
            map.serialize_entry(tag, &value)?;
            map.end()
        }
        match self {
            Value::Absent => tagged(serializer, "?", ()),
            Value::Empty => serializer.serialize_unit(),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Integer(number) => serializer.serialize_i64(*number),
            Value::Boolean(yes) => serializer.serialize_bool(*yes),
            Value::Decimal(text) => tagged(serializer, "d", text),
            Value::Date(number) => tagged(serializer, "D", number),
            Value::LocalDateTime(number) => tagged(serializer, "L", number),
            Value::Time(number) => tagged(serializer, "T", number),
            Value::Instant(number) => tagged(serializer, "I", number),
            Value::Reference(text) => tagged(serializer, "r", text),
            Value::List(text) => tagged(serializer, "l", text),
            Value::Rows(text) => tagged(serializer, "R", text),
            Value::Raw(text) => tagged(serializer, "x", text),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field value")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
                Ok(Value::Empty)
            }
            fn visit_bool<E: de::Error>(self, yes: bool) -> Result<Value, E> {
                Ok(Value::Boolean(yes))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
                Ok(Value::Integer(number))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
                i64::try_from(number).map(Value::Integer).map_err(|_| E::custom("integer out of range"))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Text(text.to_owned()))
            }
            fn visit_string<E: de::Error>(self, text: String) -> Result<Value, E> {
                Ok(Value::Text(text))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let tag: String = map.next_key()?.ok_or_else(|| de::Error::custom("a value without its tag"))?;
                let value = match tag.as_str() {
                    "?" => map.next_value::<()>().map(|()| Value::Absent)?,
                    "d" => Value::Decimal(map.next_value()?),
                    "D" => Value::Date(map.next_value()?),
                    "L" => Value::LocalDateTime(map.next_value()?),
                    "T" => Value::Time(map.next_value()?),
                    "I" => Value::Instant(map.next_value()?),
                    "r" => Value::Reference(map.next_value()?),
                    "l" => Value::List(map.next_value()?),
                    "R" => Value::Rows(map.next_value()?),
                    "x" => Value::Raw(map.next_value()?),
                    other => return Err(de::Error::custom(format_args!("unknown value tag `{other}`"))),
                };
                Ok(value)
            }
        }
        deserializer.deserialize_any(ValueVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_survives_the_store() {
        let values = [
            Value::Absent,
            Value::Empty,
            Value::Text("Åse".into()),
            Value::Integer(i64::MIN),
            Value::Integer(i64::MAX),
            Value::Decimal("12.5".into()),
            Value::Boolean(true),
            Value::Date(-1),
            Value::LocalDateTime(5),
            Value::Time(6),
            Value::Instant(7),
            Value::Reference("Accounts/11x4".into()),
            Value::List("[\"a\"]".into()),
            Value::Rows("[{}]".into()),
            Value::Raw("12-13".into()),
        ];
        for value in values {
            let text = serde_json::to_string(&value).expect("values serialise");
            assert_eq!(serde_json::from_str::<Value>(&text).expect(&text), value, "{text}");
        }
    }

    #[test]
    fn values_fit_other_kinds_only_without_loss() {
        let check = |value: Value, kind: u8, expected: Option<Value>| {
            assert_eq!(value.fitted(kind), expected, "{value:?} as {kind}")
        };
        check(Value::Empty, 6, Some(Value::Empty));
        check(Value::Integer(5), 2, Some(Value::Text("5".into())));
        check(Value::Integer(5), 4, Some(Value::Decimal("5".into())));
        check(Value::Decimal("5".into()), 3, Some(Value::Integer(5)));
        check(Value::Decimal("5.5".into()), 3, None);
        check(Value::Text("007".into()), 3, None);
        check(Value::Text("2020-01-01".into()), 6, None);
        check(Value::Date(0), 2, Some(Value::Text("1970-01-01".into())));
        check(Value::Raw("x".into()), 2, None);
    }

    #[test]
    fn people_read_dates() {
        let check = |value: Value, expected: &str| assert_eq!(value.display(), expected);
        check(Value::Date(0), "1970-01-01");
        check(Value::Date(-1), "1969-12-31");
        check(Value::Date(11_016), "2000-02-29");
        check(Value::Date(20_780), "2026-11-23");
        check(Value::Instant(951_782_400_000_000), "2000-02-29T00:00:00Z");
        check(Value::Instant(-1_000_000), "1969-12-31T23:59:59Z");
        check(Value::Time(3_661_000_000), "01:01:01");
        check(Value::Boolean(false), "no");
        check(Value::Empty, "");
    }
}
