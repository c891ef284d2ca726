//! What a flow's owner chose: who wins, what a first sync may do, what happens to deletes.

use std::cmp::Ordering;

use crate::mapping::Direction;
use crate::record::Side;
use crate::sabotage::{Sabotage, is_on};
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
    /// Say so in a field of the other record (people: *flag as deleted*).
    Mark,
    /// Move the other record to its CRM's recycle bin.
    Recycle,
    /// Delete the other record for good.
    Delete,
}

impl DeletePolicy {
    /// Whether a delete leads to a write on the other side.
    pub fn writes(self) -> bool {
        matches!(self, DeletePolicy::Mark | DeletePolicy::Recycle | DeletePolicy::Delete)
    }
}

/// What becomes of the other side's record when a linked record leaves the module's filter (S18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeavePolicy {
    /// It keeps what it has.
    #[default]
    StopUpdating,
    /// Say so in a field of it, the one that deletes are told in as well.
    Mark,
    /// Move it to its CRM's recycle bin.
    Recycle,
}

/// So few records are never many, whatever share of a small module they are.
const FEW_RECORDS: u64 = 5;

/// Records that may leave at once before people are asked; whichever is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SafetyStop {
    /// Number of records.
    pub records: u64,
    /// Percent of the known records.
    pub percent: u64,
}

impl SafetyStop {
    /// The most records of so many known ones that may leave in one run without consent.
    pub fn most(self, known: u64) -> u64 {
        if is_on(Sabotage::NoSafetyStop) {
            return u64::MAX;
        }
        self.records.min((known.saturating_mul(self.percent) / 100).max(FEW_RECORDS))
    }
}

/// A consent to what a safety stop held covers the count that people saw and 5 % more, but no other wave of deletes.
pub fn consent_covers(consented: u64, now: u64) -> bool {
    now <= consented.saturating_add((consented / 20).max(1)) || is_on(Sabotage::ConsentCoversAll)
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
    /// Records that leave the filter.
    pub when_it_leaves: LeavePolicy,
    /// The safety stop holds: what leaves waits for people's consent. No flow's own choice; the engine sets it for one walk.
    pub hold: bool,
}

impl Policy {
    /// Whether the engine takes records away by itself: a mark does not.
    pub fn deletes_records(self) -> bool {
        matches!(self.deletes, DeletePolicy::Recycle | DeletePolicy::Delete)
            || self.when_it_leaves == LeavePolicy::Recycle
    }

    /// The same for a first sync, which deletes and marks nothing (S13).
    #[must_use]
    pub fn without_deletes(self) -> Policy {
        Policy { deletes: DeletePolicy::Report, when_it_leaves: LeavePolicy::StopUpdating, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_safety_stop_is_reached_by_count_or_by_share() {
        let check = |records: u64, percent: u64, known: u64, most: u64| {
            assert_eq!(SafetyStop { records, percent }.most(known), most, "{records} or {percent} % of {known}");
        };
        check(50, 5, 10_000, 50);
        check(50, 5, 400, 20);
        check(50, 5, 30, FEW_RECORDS);
        check(50, 5, 0, FEW_RECORDS);
        check(2, 5, 30, 2);
        check(1_000, 100, 300, 300);
    }

    #[test]
    fn consent_is_for_what_was_shown() {
        let check = |consented: u64, now: u64, covered: bool| {
            assert_eq!(consent_covers(consented, now), covered, "{consented} consented, {now} now");
        };
        check(150, 150, true);
        check(150, 157, true);
        check(150, 158, false);
        check(150, 3, true);
        check(10, 11, true);
        check(10, 12, false);
    }

    #[test]
    fn who_saved_last() {
        assert_eq!(saved_last(Some(2), Some(1)), Some(Side::Left));
        assert_eq!(saved_last(Some(1), Some(2)), Some(Side::Right));
        assert_eq!(saved_last(Some(2), Some(2)), None);
        assert_eq!(saved_last(None, Some(0)), Some(Side::Right));
        assert_eq!(saved_last(None, None), None);
    }
}
