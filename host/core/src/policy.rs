//! What a flow's owner chose: who wins, what a first sync may do, what happens to deletes.

use std::cmp::Ordering;

use crate::mapping::Direction;
use crate::record::Side;
use serde::{Deserialize, Serialize};

/// What a first sync does with fields of matched records that differ (S5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstSync {
    /// Fill blanks, list differences, replace nothing.
    FillEmpty,
    /// The winner's value replaces the other one.
    Winner,
    /// Leave differing fields to a person.
    Ask,
}

/// How it ends when both sides changed one field (S15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Winner {
    /// This side's value stays.
    Side(Side),
    /// The value of the side whose record was saved last.
    Newest,
    /// The value that is not empty.
    NonEmpty,
    /// The longer text.
    Longer,
    /// The entries of both lists, on both sides.
    Union,
    /// The larger number, the later date, yes rather than no.
    Maximum,
    /// Both stay as they are, and a person decides.
    Ask,
}

/// The side whose record was saved last, as far as is known: `left` and `right` are when a record that was read anew was last changed
/// (milliseconds since 1970), none for one that was not. A record that was read anew is newer than one that was not.
pub fn saved_last(left: Option<i64>, right: Option<i64>) -> Option<Side> {
    match left.cmp(&right) {
        Ordering::Greater => Some(Side::Left),
        Ordering::Less => Some(Side::Right),
        Ordering::Equal => None,
    }
}

/// What a delete on one side means for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeletePolicy {
    /// Tell people; the other record stays as it is.
    Report,
}

/// The policies of one module pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Which way records travel.
    pub direction: Direction,
    /// Whose value stays when both sides changed one field, and where another rule comes to a tie.
    pub winner: Side,
    /// The side whose record was saved last goes before the winner.
    pub newest: bool,
    /// Differences of records matched for the first time.
    pub first_sync: FirstSync,
    /// Deletes.
    pub deletes: DeletePolicy,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_saved_last() {
        assert_eq!(saved_last(Some(2), Some(1)), Some(Side::Left));
        assert_eq!(saved_last(Some(1), Some(2)), Some(Side::Right));
        assert_eq!(saved_last(Some(2), Some(2)), None);
        assert_eq!(saved_last(None, Some(0)), Some(Side::Right));
        assert_eq!(saved_last(None, None), None);
    }
}
