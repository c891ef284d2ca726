//! From what the store knows of a unit to what the core decides on: what each side shows, row by row.

use std::collections::BTreeMap;

use crmsync_core::decide::{Carried, FieldView, RowView, Scope, View};
use crmsync_core::sabotage::{Sabotage, is_on};
use crmsync_core::{Base, MappingRow, Owed, PairMapping, Presence, Side, Value, matching, policy};

use super::leaving::is_outside;
use super::setup::PairSetup;
use crate::store::{InboxRow, PresenceWord, UnitRow, told_version};

/// What both sides of a unit show, before anything is carried.
pub(super) struct Shown {
    /// For each mapping row the left values, then the right ones; absent where the side has no record or did not show the field.
    pub(super) rows: Vec<[Vec<Value>; 2]>,
    /// What is known of each side.
    pub(super) presence: [Presence; 2],
}

impl Shown {
    pub(super) fn of(unit: &UnitRow, mapping: &PairMapping) -> Shown {
        let rows = mapping.rows.iter().map(|row| Side::BOTH.map(|side| side_values(unit, row, side))).collect();
        Shown { rows, presence: Side::BOTH.map(|side| presence(unit, side)) }
    }

    /// Whether this side has a record whose values can be carried.
    pub(super) fn is_there(&self, side: Side) -> bool {
        matches!(self.presence[side as usize], Presence::Live | Presence::Unread)
    }
}

/// What is known of one side's record.
fn presence(unit: &UnitRow, side: Side) -> Presence {
    match unit.side(side).map(|row| row.presence) {
        Some(PresenceWord::Live) => Presence::Live,
        Some(PresenceWord::Removed(reason)) => Presence::Removed(reason),
        Some(PresenceWord::Unread | PresenceWord::Unseen) | None => match &unit.link {
            Some(link) if link.removed == Some(side) => Presence::Away(link.away),
            Some(_) => Presence::Unread,
            None => Presence::Missing,
        },
    }
}

fn side_values(unit: &UnitRow, row: &MappingRow, side: Side) -> Vec<Value> {
    let fields = row.fields(side);
    if let Some(InboxRow { presence: PresenceWord::Live, image, .. }) = unit.side(side) {
        return values_of(image, row, side);
    }
    // What was sent stands once it was acknowledged; while it is owed nobody knows whether it arrived.
    let is_owed = owed(unit, row).to(side);
    base_of(unit, row, side)
        .map(|base| base.sent.as_ref().filter(|_| !is_owed).unwrap_or(&base.values).clone())
        .filter(|values| values.len() == fields.len())
        .unwrap_or_else(|| vec![Value::Absent; fields.len()])
}

/// The values of one mapping row in a record's image.
pub(super) fn values_of(image: &BTreeMap<String, Value>, row: &MappingRow, side: Side) -> Vec<Value> {
    row.fields(side).iter().map(|field| image.get(&field.name).cloned().unwrap_or(nothing())).collect()
}

/// What stands for a field that was not read (rule 4).
fn nothing() -> Value {
    if is_on(Sabotage::AbsentIsEmpty) { Value::Empty } else { Value::Absent }
}

/// The sides that still have to be told of this row.
fn owed(unit: &UnitRow, row: &MappingRow) -> Owed {
    unit.link.as_ref().and_then(|link| link.bases.get(&row.key.0)).map_or(Owed::Nobody, |bases| bases.owed)
}

fn base_of<'a>(unit: &'a UnitRow, row: &MappingRow, side: Side) -> Option<&'a Base> {
    unit.link.as_ref()?.bases.get(&row.key.0)?.side(side).as_ref()
}

/// The view of one unit, once both sides' values were carried: `carried[side][row]` are that side's values on their way to the other.
///
/// `is_referenced` says that records in scope point to an unlinked one, which joins by that.
pub(super) fn view(
    unit: &UnitRow,
    shown: Shown,
    pair: &PairSetup,
    carried: [Vec<Carried>; 2],
    is_referenced: bool,
) -> View {
    let mapping = &pair.mapping;
    let [carried_left, carried_right] = carried;
    let is_receipt = Side::BOTH.map(|side| {
        let receipt = unit.link.as_ref().map_or("", |link| link.receipt_of(side));
        !receipt.is_empty() && unit.side(side).is_some_and(|row| told_version(&row.version) == receipt)
    });
    let rows = shown
        .rows
        .into_iter()
        .zip(carried_left.into_iter().zip(carried_right))
        .zip(&mapping.rows)
        .map(|(([left, right], (carried_left, carried_right)), row)| RowView {
            left: FieldView { shown: left, base: base_of(unit, row, Side::Left).cloned(), carried: carried_left },
            right: FieldView { shown: right, base: base_of(unit, row, Side::Right).cloned(), carried: carried_right },
            owed: owed(unit, row),
            differs: unit.differs.contains(&row.key.0),
            left_is_receipt: is_receipt[0],
            right_is_receipt: is_receipt[1],
        })
        .collect();
    let [left, right] = shown.presence;
    let marked = unit.link.iter().flat_map(|link| &link.marks).map(|mark| mark.side).collect();
    let [saved_left, saved_right] = Side::BOTH.map(|side| {
        let row = unit.side(side).filter(|row| row.presence == PresenceWord::Live);
        row.map(|row| row.modified_at_ms)
    });
    let saved_last = policy::saved_last(saved_left, saved_right);
    View {
        left,
        right,
        more_than_one_match: unit.several,
        match_in_doubt: is_match_in_doubt(unit, &pair.mapping),
        linked: unit.link.is_some(),
        scope: scope(unit, pair, is_referenced),
        marked,
        came_back: unit
            .link
            .as_ref()
            .and_then(|link| link.removed)
            .filter(|&side| unit.side(side).is_some_and(|row| row.presence == PresenceWord::Live)),
        delete_asked: unit.link.as_ref().is_some_and(|link| link.delete_asked),
        saved_last,
        rows,
    }
}

/// Whether the names of two matched records contradict.
fn is_match_in_doubt(unit: &UnitRow, mapping: &PairMapping) -> bool {
    let rule = unit.rule.filter(|_| unit.link.is_none()).and_then(|rule| mapping.match_rules.get(rule));
    let (Some(rule), Some(left), Some(right)) = (rule, &unit.left, &unit.right) else { return false };
    let values = |row: &InboxRow, side: Side| -> Vec<Vec<Value>> {
        mapping.rows.iter().map(|mapped| values_of(&row.image, mapped, side)).collect()
    };
    let (left, right) = (values(left, Side::Left), values(right, Side::Right));
    matching::in_doubt(rule, |row| left[row].as_slice(), |row| right[row].as_slice())
}

/// Whether the flow is about these records (S18). A record that was not read anew stays as it was judged.
fn scope(unit: &UnitRow, pair: &PairSetup, is_referenced: bool) -> Scope {
    let live = || {
        let rows = Side::BOTH.into_iter().filter_map(|side| unit.side(side));
        rows.filter(|row| row.presence == PresenceWord::Live)
    };
    let is_outside =
        |row: &&InboxRow| pair.filters[row.side as usize].as_ref().is_some_and(|filter| is_outside(filter, row));
    let outside: Vec<Side> = live().filter(is_outside).map(|row| row.side).collect();
    match outside.as_slice() {
        [] => {}
        [side] => return Scope::Outside(Some(*side)),
        _ => return Scope::Outside(None),
    }
    let is_old = |row: &InboxRow| pair.records_from_ms.is_some_and(|from_ms| row.modified_at_ms < from_ms);
    if unit.link.is_none() && !is_referenced && live().all(is_old) { Scope::Old } else { Scope::In }
}
