//! What a flow's owner chose: who wins, what a first sync may do, what happens to deletes.

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
    /// Whose value stays when both sides changed one field.
    pub winner: Side,
    /// Differences of records matched for the first time.
    pub first_sync: FirstSync,
    /// Deletes.
    pub deletes: DeletePolicy,
}
