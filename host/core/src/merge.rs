//! Two sides, each held against its own base.

use std::cmp::Ordering;

use crate::decide::RowView;
use crate::mapping::MappingRow;
use crate::normalise::{list_elements, same};
use crate::policy::Winner;
use crate::record::Side;
use crate::sabotage::{Sabotage, is_on};
use crate::value::Value;

/// What a three-way merge says about one mapping row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merged {
    /// No base yet: the first sync's rule decides (S5), or the row was not read on one side.
    First,
    /// Both sides show what they showed last, or the same edit was made on both.
    Settled,
    /// Only this side changed, or is still owed to the other one.
    Take(Side),
    /// Both changed, to different values.
    Conflict,
}

/// Merges one row.
///
/// Bases of another row hash are an agreement about something else (S12): the row is adopted like one of a first sync. What one side
/// showed last stays true all the same, so that an edit of one side alone, or a debt, is carried on and not swallowed by the adoption.
pub fn merge_row(row: &MappingRow, view: &RowView) -> Merged {
    // Rule 4: a field that vanished on one side pauses its row.
    if !view.was_read() {
        return Merged::First;
    }
    let (left, right) = (view.has_news(Side::Left), view.has_news(Side::Right));
    let based = |hash: Option<u64>| {
        Side::BOTH.iter().all(|&side| {
            let field = view.side(side);
            field.base.as_ref().is_some_and(|base| {
                hash.is_none_or(|hash| base.row_hash == hash) && base.values.len() == field.shown.len()
            })
        })
    };
    if !based(Some(row.hash)) {
        return match (left, right) {
            (true, false) if based(None) => Merged::Take(Side::Left),
            (false, true) if based(None) => Merged::Take(Side::Right),
            _ => Merged::First,
        };
    }
    match (left, right) {
        (false, false) => Merged::Settled,
        (true, false) => Merged::Take(Side::Left),
        (false, true) => Merged::Take(Side::Right),
        (true, true) if agrees(row, view) => Merged::Settled,
        (true, true) => Merged::Conflict,
    }
}

/// Whether both sides mean the same: as they stand, or one carried over to the other. So a spelling that only a transform
/// would change, or a many-to-one table, is no difference.
pub fn agrees(row: &MappingRow, view: &RowView) -> bool {
    same(&view.left.shown, &view.right.shown, row.sameness)
        || Side::BOTH.iter().any(|&from| {
            view.side(from)
                .carried
                .values()
                .is_some_and(|carried| same(carried, &view.side(from.other()).shown, row.sameness))
        })
}

/// How one conflict ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// This side's value stays.
    Stays(Side),
    /// The rule prefers neither: the flow's winner stays.
    Tie,
    /// Each side gets what the other has besides.
    Joined,
    /// A person decides.
    Question,
}

/// What a rule says of two values of which both are news. `saved_last` is the side whose record was saved last, if that is known.
pub(crate) fn settle_conflict(rule: Winner, cell: &RowView, saved_last: Option<Side>) -> Outcome {
    let by = |ordering: Ordering| match ordering {
        Ordering::Greater => Outcome::Stays(Side::Left),
        Ordering::Less => Outcome::Stays(Side::Right),
        Ordering::Equal => Outcome::Tie,
    };
    let filled = |side: Side| cell.side(side).shown.iter().filter(|value| value.is_filled()).count();
    match rule {
        Winner::Side(side) => Outcome::Stays(side),
        Winner::Newest => saved_last.map_or(Outcome::Tie, Outcome::Stays),
        Winner::NonEmpty => by((filled(Side::Left) > 0).cmp(&(filled(Side::Right) > 0))),
        Winner::Longer => by(chars(&cell.left.shown).cmp(&chars(&cell.right.shown))),
        Winner::Union if is_lists(&cell.left.shown) && is_lists(&cell.right.shown) => Outcome::Joined,
        Winner::Union => Outcome::Tie,
        Winner::Maximum => by(greater_of(cell)),
        Winner::Ask => Outcome::Question,
    }
}

fn chars(values: &[Value]) -> usize {
    values.iter().map(|value| value.display().trim().chars().count()).sum()
}

fn is_lists(values: &[Value]) -> bool {
    values.iter().all(|value| matches!(value, Value::List(_) | Value::Empty))
}

/// Compares both sides as they look on one side, because units and picklists may differ: whichever side that is must not matter.
fn greater_of(cell: &RowView) -> Ordering {
    let there = cell.left.carried.values().map(|carried| greater(carried, &cell.right.shown));
    let here = cell.right.carried.values().map(|carried| greater(&cell.left.shown, carried));
    match (there, here) {
        (Some(one), Some(other)) if one.is_ne() && other.is_ne() && one != other => Ordering::Equal,
        (Some(one), Some(other)) => one.then(other),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => greater(&cell.left.shown, &cell.right.shown),
    }
}

/// Compares rows of values, the first field first. A value is greater than none; what cannot be compared is equal.
fn greater(left: &[Value], right: &[Value]) -> Ordering {
    left.iter()
        .zip(right)
        .map(|(left, right)| compare(left, right))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn compare(left: &Value, right: &Value) -> Ordering {
    order(left, right).unwrap_or_else(|| left.is_filled().cmp(&right.is_filled()))
}

/// The order of two numbers, dates, times or booleans; none for anything else.
pub(crate) fn order(left: &Value, right: &Value) -> Option<Ordering> {
    let number = |value: &Value| match value {
        Value::Integer(number) => Some(number.to_string()),
        Value::Decimal(text) => Some(text.clone()),
        _ => None,
    };
    match (left, right) {
        (Value::Boolean(left), Value::Boolean(right)) => Some(left.cmp(right)),
        (Value::Date(left), Value::Date(right))
        | (Value::Instant(left), Value::Instant(right))
        | (Value::LocalDateTime(left), Value::LocalDateTime(right))
        | (Value::Time(left), Value::Time(right)) => Some(left.cmp(right)),
        (left, right) => Some(compare_decimals(&number(left)?, &number(right)?)),
    }
}

/// Compares decimal numbers by their digits, as floats would lose some. Exponents are not written by anybody.
fn compare_decimals(left: &str, right: &str) -> Ordering {
    fn parts(text: &str) -> (bool, &str, &str) {
        let (negative, digits) = match text.trim().strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.trim().trim_start_matches('+')),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        (negative && !(whole.is_empty() && fraction.is_empty()), whole, fraction)
    }
    let ((left_negative, left_whole, left_rest), (right_negative, right_whole, right_rest)) =
        (parts(left), parts(right));
    let by_size =
        left_whole.len().cmp(&right_whole.len()).then(left_whole.cmp(right_whole)).then(left_rest.cmp(right_rest));
    match (left_negative, right_negative) {
        (false, false) => by_size,
        (true, true) => by_size.reverse(),
        (left, right) => right.cmp(&left),
    }
}

/// A list of one side, as it stands there and as it looks on the other side, if it can be carried.
#[derive(Clone, Copy)]
pub(crate) struct ListView<'a> {
    pub(crate) shown: &'a Value,
    pub(crate) carried: Option<&'a Value>,
}

/// The entries of a list and those of the other side's that it does not have. Anything else than lists stays as it is.
///
/// Where a table gives several entries of one side one counterpart, an entry whose counterpart the other side has is no news.
pub(crate) fn union(own: ListView<'_>, other: ListView<'_>) -> Value {
    let Some(Value::List(more)) = other.carried else { return own.shown.clone() };
    let mut elements = match own.shown {
        Value::List(_) if is_on(Sabotage::UnionWithoutOwn) => vec![],
        Value::Empty => vec![],
        Value::List(own) => list_elements(own),
        _ => return own.shown.clone(),
    };
    let entries = |value: Option<&'_ Value>| match value {
        Some(Value::List(list)) => list_elements(list).into_iter().map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let (here_over_there, there) = (entries(own.carried), entries(Some(other.shown)));
    let more = list_elements(more);
    // Entry by entry only while carrying has left out none.
    let is_known = |at: usize| there.len() == more.len() && here_over_there.contains(&there[at]);
    for (at, element) in more.iter().enumerate() {
        if !elements.contains(element) && !is_known(at) {
            elements.push(element);
        }
    }
    Value::List(format!("[{}]", elements.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Carried;
    use crate::decide::tests_support::field;

    fn cell(left: Value, right: Value) -> RowView {
        let mut view = crate::decide::tests_support::pair(field(None, ""), field(None, "")).rows.remove(0);
        (view.left.carried, view.right.carried) =
            (Carried::Values(vec![left.clone()]), Carried::Values(vec![right.clone()]));
        (view.left.shown, view.right.shown) = (vec![left], vec![right]);
        view
    }

    #[test]
    fn the_greater_one_is_found_in_the_terms_of_one_side() {
        // Left in thousands, right in units.
        let check = |left: i64, right: i64, carried: [Option<i64>; 2], expected: Outcome| {
            let mut cell = cell(Value::Integer(left), Value::Integer(right));
            let value = |number: Option<i64>| number.map(|number| vec![Value::Integer(number)]);
            let or_held = |values: Option<Vec<Value>>| values.map_or(Carried::Held("one-way".into()), Carried::Values);
            (cell.left.carried, cell.right.carried) = (or_held(value(carried[0])), or_held(value(carried[1])));
            assert_eq!(settle_conflict(Winner::Maximum, &cell, None), expected, "{left} {right} {carried:?}");
        };
        let (left, right) = (Outcome::Stays(Side::Left), Outcome::Stays(Side::Right));
        check(3, 2_500, [Some(3_000), Some(2)], left);
        check(2, 2_500, [Some(2_000), Some(2)], right);
        check(3, 2_500, [Some(3_000), None], left);
        check(3, 2_500, [None, Some(2)], left);
        check(3, 2_500, [None, None], right);
        // Carried one way the left one is greater, the other way the right one: nobody can say.
        check(3, 2_500, [Some(3_000), Some(4)], Outcome::Tie);
    }

    #[test]
    fn rules_prefer_a_side_or_come_to_a_tie() {
        let check = |rule: Winner, left: Value, right: Value, expected: Outcome| {
            assert_eq!(
                settle_conflict(rule, &cell(left.clone(), right.clone()), None),
                expected,
                "{rule:?} {left:?} {right:?}"
            );
        };
        let text = |text: &str| Value::text(text);
        let decimal = |text: &str| Value::Decimal(text.into());
        let list = |text: &str| Value::List(text.into());
        let (left, right) = (Outcome::Stays(Side::Left), Outcome::Stays(Side::Right));
        check(Winner::Side(Side::Right), text("a"), text("b"), right);
        check(Winner::NonEmpty, text("a"), text(""), left);
        check(Winner::NonEmpty, text(""), text("b"), right);
        check(Winner::NonEmpty, text("a"), text("b"), Outcome::Tie);
        check(Winner::Longer, text("Anna Maria"), text("Anna"), left);
        check(Winner::Longer, text("Éva"), text("Anna"), right);
        check(Winner::Longer, text("Anna"), text("Anna   "), Outcome::Tie);
        check(Winner::Maximum, Value::Boolean(false), Value::Boolean(true), right);
        check(Winner::Maximum, Value::Boolean(true), Value::Empty, left);
        check(Winner::Maximum, Value::Integer(9), Value::Integer(10), right);
        check(Winner::Maximum, Value::Integer(10), decimal("9.99"), left);
        check(Winner::Maximum, decimal("-2"), decimal("-10"), left);
        check(Winner::Maximum, decimal("0.50"), decimal("0.5"), Outcome::Tie);
        check(Winner::Maximum, decimal("-0"), decimal("0.00"), Outcome::Tie);
        check(Winner::Maximum, decimal("123456789012345678901"), decimal("123456789012345678902"), right);
        check(Winner::Maximum, Value::Date(2), Value::Date(1), left);
        check(Winner::Maximum, text("b"), text("a"), Outcome::Tie);
        check(Winner::Union, list(r#"["a"]"#), Value::Empty, Outcome::Joined);
        check(Winner::Union, text("a"), text("b"), Outcome::Tie);
        check(Winner::Newest, text("a"), text("b"), Outcome::Tie);
        check(Winner::Ask, text("a"), text("b"), Outcome::Question);
        let both = cell(text("a"), text("b"));
        assert_eq!(settle_conflict(Winner::Newest, &both, Some(Side::Right)), right);
    }

    #[test]
    fn lists_are_joined() {
        let check = |own: &str, more: &str, expected: &str| {
            let list = |text: &str| if text.is_empty() { Value::Empty } else { Value::List(text.into()) };
            let (own, more) = (list(own), list(more));
            let alike = |value| ListView { shown: value, carried: Some(value) };
            assert_eq!(union(alike(&own), alike(&more)), list(expected), "{own:?} {more:?}");
        };
        check(r#"["a","b"]"#, r#"["b", "c,d"]"#, r#"["a","b","c,d"]"#);
        check("", r#"["b"]"#, r#"["b"]"#);
        check(r#"["a"]"#, "", r#"["a"]"#);
    }

    #[test]
    fn an_entry_whose_counterpart_is_there_is_not_joined_again() {
        // `hot` and `warm` here are `active` there, which comes back as `hot`.
        let list = |text: &str| Value::List(text.into());
        let (own, own_there) = (list(r#"["warm"]"#), list(r#"["active"]"#));
        let (there, there_here) = (list(r#"["active","cold"]"#), list(r#"["hot","cold"]"#));
        let joined = union(
            ListView { shown: &own, carried: Some(&own_there) },
            ListView { shown: &there, carried: Some(&there_here) },
        );
        assert_eq!(joined, list(r#"["warm","cold"]"#));
    }
}
