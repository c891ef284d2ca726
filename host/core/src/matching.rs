//! Which record is this? Keys that are equal on both sides for the same thing; the store joins them by index.

use crate::mapping::{MappingRow, MatchRule, Sameness};
use crate::normalise::{comparable, folded, names_agree};
use crate::record::Side;
use crate::sabotage::{Sabotage, is_on};
use crate::value::Value;

/// Separates the parts of a key; it cannot be typed into a CRM's field.
const PART: char = '\u{1f}';

/// The key of one record under one rule, or none if any part of it is empty or was not read: a blank says nothing about who it is.
///
/// `values` gives the record's values of a row on its own side.
pub fn key<'a>(rule: &MatchRule, rows: &[MappingRow], values: impl Fn(usize) -> &'a [Value]) -> Option<String> {
    let mut key = String::new();
    for &index in &rule.rows {
        let sameness = rows[index].sameness;
        let mut filled = false;
        for value in values(index) {
            let part = match sameness {
                Sameness::Name => folded(&comparable(value, sameness)),
                _ => comparable(value, sameness),
            };
            filled |= !part.is_empty();
            key.push_str(&part);
            key.push(PART);
        }
        if !filled && !is_on(Sabotage::BlanksMatch) {
            return None;
        }
    }
    (!key.is_empty()).then_some(key)
}

/// What the records that share one key amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Only one side has such records: the next rule may know them.
    OneSided,
    /// Exactly one on each side: the same thing.
    Match,
    /// Several on at least one side: never guessed, a person decides.
    MoreThanOne,
}

/// Judges a group of unlinked records that share a key, by their number on each side.
pub fn group(left: usize, right: usize) -> Group {
    match (left, right) {
        (0, _) | (_, 0) => Group::OneSided,
        (1, 1) => Group::Match,
        _ => Group::MoreThanOne,
    }
}

/// Whether two records with one key under this rule are perhaps two people all the same, as the names that the key does not name
/// contradict: families share an e-mail address.
pub fn in_doubt<'a>(
    rule: &MatchRule,
    left: impl Fn(usize) -> &'a [Value],
    right: impl Fn(usize) -> &'a [Value],
) -> bool {
    let name = |values: &[Value]| values.iter().map(Value::display).collect::<Vec<_>>().join(" ");
    !is_on(Sabotage::MatchByMailAlone)
        && rule.guards.iter().any(|&row| !names_agree(&name(left(row)), &name(right(row))))
}

/// One row's values on one side, by index, as [`key`] wants them.
pub fn side_values<'a>(side: Side, left: &'a [Vec<Value>], right: &'a [Vec<Value>]) -> impl Fn(usize) -> &'a [Value] {
    move |index| match side {
        Side::Left => left[index].as_slice(),
        Side::Right => right[index].as_slice(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests_support::row;

    #[test]
    fn keys_are_equal_for_the_same_person() {
        let mut rows = vec![row("Email"), row("Last_Name")];
        rows[0].sameness = Sameness::Email;
        rows[1].sameness = Sameness::Name;
        let rule = MatchRule { label: "email + last name".into(), rows: vec![0, 1], guards: vec![] };
        let key_of = |email: &str, name: &str| {
            let values = [vec![Value::text(email)], vec![Value::text(name)]];
            key(&rule, &rows, |index| values[index].as_slice())
        };
        assert_eq!(key_of("Anna@x.example ", "DE  LA CRUZ"), key_of("anna@x.example", "de la Cruz"));
        assert_ne!(key_of("anna@x.example", "Cruz"), key_of("anna@x.example", "Kruz"));
        assert_eq!(key_of("anna@x.example", "Müller-Łuk"), key_of("anna@x.example", "MULLER LUK"));
        assert_ne!(key_of("anna@x.example", "李"), key_of("anna@x.example", "王"));
        assert_eq!(key_of("", "Cruz"), None);
        assert_eq!(key_of("anna@x.example", ""), None);
    }

    #[test]
    fn names_tell_the_members_of_a_family_apart() {
        let rule = MatchRule { label: "email".into(), rows: vec![0], guards: vec![1] };
        let check = |left: &str, right: &str, doubtful: bool| {
            let values = |name: &str| [vec![Value::text("x@y.example")], vec![Value::text(name)]];
            let (left_values, right_values) = (values(left), values(right));
            let found = in_doubt(&rule, |row| left_values[row].as_slice(), |row| right_values[row].as_slice());
            assert_eq!(found, doubtful, "{left:?} {right:?}");
        };
        check("Anna", "Bob", true);
        check("Anna", "anna", false);
        check("Anna", "", false);
        check("Anna", "A.", false);
        check("Anna", "Anna Maria", false);
        check("Maria", "Anna-Maria", false);
        check("Rob", "Robert", false);
        check("Jon", "John", false);
        check("Sørine", "Sorine", false);
        check("Jan", "Ian", true);
        check("Robert", "Bob", true);
    }

    #[test]
    fn only_one_to_one_is_a_match() {
        assert_eq!(group(1, 1), Group::Match);
        assert_eq!(group(1, 0), Group::OneSided);
        assert_eq!(group(0, 3), Group::OneSided);
        assert_eq!(group(1, 2), Group::MoreThanOne);
        assert_eq!(group(2, 1), Group::MoreThanOne);
    }
}
