//! The heart: a view of one record pair in, a decision out.
//!
//! A [`View`] holds, for each mapping row, what each side shows, what it showed last (its base), and what its values look like when
//! carried to the other side (transforms, owners and references are applied before, by the engine, for a whole portion at once).
//! [`decide`] never asks for anything else, so that a preview, a test and the real run see the same [`Decision`].
//!
//! Once decided, both bases of a row are what the sides showed. What one side still has to be told is *owed* to it: the row is in a
//! write, or it was held back. The receipt of the write pays the debt; until then the row counts as changed on the other side, so a
//! crash, a refusal or a withdrawn write never loses a change (rule 3).

use crate::link::Base;
use crate::mapping::{MappingRow, PairMapping, Role};
use crate::merge::{self, Merged};
use crate::normalise::same;
use crate::policy::{DeletePolicy, FirstSync, Policy};
use crate::record::{Presence, RemovalReason, Side};
use crate::value::Value;

/// Stable codes of why something was left out, waits or needs a person. Never renamed: people script against them.
pub mod reason {
    /// Several records on one side have the same match key.
    pub const MORE_THAN_ONE_MATCH: &str = "more-than-one-match";
    /// A field that the other side demands has no value.
    pub const MANDATORY_MISSING: &str = "mandatory-missing";
    /// A field that the other side demands was emptied.
    pub const MANDATORY_EMPTIED: &str = "mandatory-emptied";
    /// Longer than the other side's field keeps.
    pub const TOO_LONG: &str = "too-long";
    /// The other side's field cannot be written.
    pub const READ_ONLY: &str = "read-only";
    /// Text that did not parse as its field's kind.
    pub const DID_NOT_PARSE: &str = "did-not-parse";
    /// A picklist value without a counterpart in the table.
    pub const NO_COUNTERPART_VALUE: &str = "no-counterpart-value";
    /// A transform broke on this record.
    pub const TRANSFORM_FAILED: &str = "transform-failed";
    /// The referenced record has no counterpart on the other side (yet).
    pub const REFERENCE_NOT_LINKED: &str = "reference-not-linked";
    /// The owner has no active counterpart on the other side.
    pub const OWNER_UNKNOWN: &str = "owner-unknown";
    /// Matched records showed different values before the first sync; both were left as they are.
    pub const DIFFERS: &str = "differs";
    /// Matched records showed different values before the first sync; a person decides.
    pub const DIFFERS_ASK: &str = "differs-ask";
    /// The record was not there when it was to be written, and whether it was removed is not known yet.
    pub const NOT_FOUND: &str = "not-found";
    /// One side's record left; the other side's was kept.
    pub const REMOVED: &str = "removed";
    /// Our key in a second record: a create that was repeated had happened after all.
    pub const LATE_TWIN: &str = "late-twin";
    /// A create led to a record that is linked to another one.
    pub const ALREADY_LINKED: &str = "already-linked";
    /// One side's record left while the other side's was edited.
    pub const DELETE_AGAINST_EDIT: &str = "delete-against-edit";
    /// Records do not travel this way in this module.
    pub const ONE_WAY: &str = "one-way";
    /// The CRM refused the write.
    pub const REFUSED: &str = "refused-by-crm";
    /// A unique field of the CRM holds the value already.
    pub const DUPLICATE_VALUE: &str = "duplicate-value";
    /// A create may have happened twice or not at all, and the CRM cannot tell.
    pub const OUTCOME_UNKNOWN: &str = "outcome-unknown";
    /// The write was tried as often as allowed.
    pub const ATTEMPTS_USED_UP: &str = "attempts-used-up";
}

/// What one side's values look like on the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// The other side's fields would get these values.
    Values(Vec<Value>),
    /// They cannot be carried, for this reason; the other side keeps what it has.
    Held(String),
}

impl Carried {
    /// The values, if they could be carried.
    pub fn values(&self) -> Option<&[Value]> {
        match self {
            Carried::Values(values) => Some(values),
            Carried::Held(_) => None,
        }
    }
}

/// One side of one mapping row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldView {
    /// What the side shows, one value for each of the row's fields on that side.
    pub shown: Vec<Value>,
    /// What it showed last.
    pub base: Option<Base>,
    /// `shown` on its way to the other side.
    pub carried: Carried,
}

/// One mapping row of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowView {
    /// Left side.
    pub left: FieldView,
    /// Right side.
    pub right: FieldView,
    /// A write to this side was decided earlier and was never acknowledged, or was held back.
    pub owed: Option<Side>,
    /// The left version is the one that the CRM gave to our own write (S1).
    pub left_is_receipt: bool,
    /// The same for the right side.
    pub right_is_receipt: bool,
}

impl RowView {
    /// One side.
    pub fn side(&self, side: Side) -> &FieldView {
        match side {
            Side::Left => &self.left,
            Side::Right => &self.right,
        }
    }

    /// Whether this side shows an edit against its own base.
    pub fn edited(&self, side: Side) -> bool {
        let is_receipt = match side {
            Side::Left => self.left_is_receipt,
            Side::Right => self.right_is_receipt,
        };
        let field = self.side(side);
        field.base.as_ref().is_some_and(|base| base.edited(&field.shown, is_receipt))
    }

    /// Whether this side has something to tell the other: an edit, or one that is still owed.
    pub fn has_news(&self, side: Side) -> bool {
        self.owed == Some(side.other()) || self.edited(side)
    }

    fn was_read(&self) -> bool {
        self.left.shown.iter().chain(&self.right.shown).all(Value::is_read)
    }
}

/// Everything that a decision about one record, or one pair of records, looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// What is known of the left record.
    pub left: Presence,
    /// What is known of the right record.
    pub right: Presence,
    /// The records share a match key with several others: a person decides.
    pub more_than_one_match: bool,
    /// One entry for each row of the mapping.
    pub rows: Vec<RowView>,
}

impl View {
    /// What is known of one side.
    pub fn presence(&self, side: Side) -> Presence {
        match side {
            Side::Left => self.left,
            Side::Right => self.right,
        }
    }
}

/// Create a record or change one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The side has no record yet.
    Create,
    /// The side has one.
    Update,
}

impl Operation {
    /// The word in the store and in machine output.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Create => "create",
            Operation::Update => "update",
        }
    }
}

/// Values that one row writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowWrite {
    /// Index of the mapping row.
    pub row: usize,
    /// One value for each of the row's fields on the written side.
    pub values: Vec<Value>,
}

/// One write to one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The side that is written.
    pub side: Side,
    /// Create or update.
    pub operation: Operation,
    /// The rows that are written; never empty.
    pub rows: Vec<RowWrite>,
}

/// Both sides changed one row to different values, and one of them stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Index of the mapping row.
    pub row: usize,
    /// Whose value stays.
    pub winner: Side,
}

/// A row that is left out, and why. It stays owed to the side that was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRow {
    /// Index of the mapping row.
    pub row: usize,
    /// The side that was not written.
    pub side: Side,
    /// A code of [`reason`].
    pub reason: String,
}

/// What becomes of the record or pair as a whole (S17), before its writes are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to write.
    Unchanged,
    /// There are writes.
    Write,
    /// A person decides, for this reason.
    NeedsAttention(String),
    /// It goes on by itself, later, for this reason.
    Waiting(String),
    /// It is not synced, for this reason.
    OutOfScope(String),
    /// One side's record left; the link ends, the other record is kept.
    Removed(Side, RemovalReason),
    /// Nothing is left to sync: drop it.
    Forget,
}

/// The plan for one record or pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of it.
    pub verdict: Verdict,
    /// At most one write for each side.
    pub writes: Vec<Write>,
    /// Rows whose bases become what both sides show now, with nothing owed.
    pub settled: Vec<usize>,
    /// Rows of matched records that differed before the first sync and stay so.
    pub differs: Vec<usize>,
    /// Rows that both sides changed.
    pub conflicts: Vec<Conflict>,
    /// Rows left out.
    pub held: Vec<HeldRow>,
}

impl Decision {
    fn only(verdict: Verdict) -> Decision {
        Decision { verdict, writes: vec![], settled: vec![], differs: vec![], conflicts: vec![], held: vec![] }
    }
}

/// Decides one record or pair.
pub fn decide(view: &View, mapping: &PairMapping, policy: &Policy) -> Decision {
    use Presence::{Live, Missing, Removed, Unread};
    if view.more_than_one_match {
        return Decision::only(Verdict::NeedsAttention(reason::MORE_THAN_ONE_MATCH.into()));
    }
    match (view.left, view.right) {
        (Live | Unread, Live | Unread) => decide_pair(view, mapping, policy),
        (Live | Unread, Missing) => decide_single(view, mapping, policy, Side::Left),
        (Missing, Live | Unread) => decide_single(view, mapping, policy, Side::Right),
        (Removed(why), Live | Unread) => decide_removed(view, policy, Side::Left, why),
        (Live | Unread, Removed(why)) => decide_removed(view, policy, Side::Right, why),
        (Removed(_) | Missing, Removed(_) | Missing) => Decision::only(Verdict::Forget),
    }
}

/// One side left. In every mode an edit on the other side survives and is put before a person (S14).
fn decide_removed(view: &View, policy: &Policy, gone: Side, why: RemovalReason) -> Decision {
    if view.rows.iter().any(|row| row.has_news(gone.other())) {
        return Decision::only(Verdict::NeedsAttention(reason::DELETE_AGAINST_EDIT.into()));
    }
    match policy.deletes {
        DeletePolicy::Report => Decision::only(Verdict::Removed(gone, why)),
    }
}

/// A record that the other side does not have.
fn decide_single(view: &View, mapping: &PairMapping, policy: &Policy, from: Side) -> Decision {
    let to = from.other();
    if !policy.direction.writes(to) {
        return Decision::only(Verdict::OutOfScope(reason::ONE_WAY.into()));
    }
    let mut decision = Decision::only(Verdict::Write);
    let mut rows = Vec::new();
    for (index, row) in mapping.rows.iter().enumerate() {
        let source = view.rows[index].side(from);
        if !row.direction.writes(to) || row.fields(to).iter().all(|field| field.read_only) {
            continue;
        }
        match sendable(row, to, &source.carried) {
            Ok(values) if values.iter().any(Value::is_filled) => {
                rows.push(RowWrite { row: index, values: values.to_vec() })
            }
            Ok(_) => {}
            Err(_) if !source.shown.iter().any(Value::is_filled) => {}
            Err(why) => decision.held.push(HeldRow { row: index, side: to, reason: why }),
        }
    }
    let missing = mapping.rows.iter().enumerate().find(|(index, row)| {
        row.fields(to).iter().any(|field| field.mandatory)
            && !rows.iter().any(|write| write.row == *index && row_is_whole(row, to, write))
    });
    if let Some((index, _)) = missing {
        decision.held.push(HeldRow { row: index, side: to, reason: reason::MANDATORY_MISSING.into() });
        decision.verdict = Verdict::NeedsAttention(reason::MANDATORY_MISSING.into());
        return decision;
    }
    decision.writes.push(Write { side: to, operation: Operation::Create, rows });
    decision
}

fn row_is_whole(row: &MappingRow, to: Side, write: &RowWrite) -> bool {
    row.fields(to).iter().zip(&write.values).all(|(field, value)| !field.mandatory || value.is_filled())
}

/// Both sides have the record.
fn decide_pair(view: &View, mapping: &PairMapping, policy: &Policy) -> Decision {
    let mut decision = Decision::only(Verdict::Unchanged);
    let mut writes = [Vec::new(), Vec::new()];
    for (index, row) in mapping.rows.iter().enumerate() {
        let cell = &view.rows[index];
        match merge::merge_row(row, cell) {
            Merged::First => first_time(index, row, cell, policy, &mut decision, &mut writes),
            Merged::Settled => settle(index, cell, &mut decision),
            Merged::Take(from) => take(index, row, cell, policy, from, &mut decision, &mut writes),
            Merged::Conflict => conflict(index, row, cell, policy, &mut decision, &mut writes),
        }
    }
    for (side, rows) in Side::BOTH.into_iter().zip(writes) {
        if !rows.is_empty() {
            decision.writes.push(Write { side, operation: Operation::Update, rows });
            decision.verdict = Verdict::Write;
        }
    }
    decision
}

/// S5: matched records, or a new mapping row, without an agreement yet.
fn first_time(
    index: usize,
    row: &MappingRow,
    cell: &RowView,
    policy: &Policy,
    decision: &mut Decision,
    writes: &mut [Vec<RowWrite>; 2],
) {
    // Rule 4: without having read both sides there is nothing to agree on.
    if !cell.was_read() {
        return;
    }
    if merge::agrees(row, cell) {
        decision.settled.push(index);
        return;
    }
    let filled = |side: Side| cell.side(side).shown.iter().any(Value::is_filled);
    match (filled(Side::Left), filled(Side::Right)) {
        (true, false) => fill(index, row, cell, policy, Side::Left, decision, writes),
        (false, true) => fill(index, row, cell, policy, Side::Right, decision, writes),
        _ => match policy.first_sync {
            FirstSync::FillEmpty => {
                decision.settled.push(index);
                decision.differs.push(index);
            }
            FirstSync::Winner => {
                let winner = winner(row, policy);
                if may_write(row, policy, winner.other()) {
                    decision.conflicts.push(Conflict { row: index, winner });
                }
                take(index, row, cell, policy, winner, decision, writes);
            }
            FirstSync::Ask => {
                let side = winner(row, policy).other();
                decision.held.push(HeldRow { row: index, side, reason: reason::DIFFERS_ASK.into() });
            }
        },
    }
}

/// A blank is filled where values may travel, and left blank (but agreed) where they may not.
fn fill(
    index: usize,
    row: &MappingRow,
    cell: &RowView,
    policy: &Policy,
    from: Side,
    decision: &mut Decision,
    writes: &mut [Vec<RowWrite>; 2],
) {
    if may_write(row, policy, from.other()) {
        take(index, row, cell, policy, from, decision, writes);
    } else {
        decision.settled.push(index);
    }
}

/// Nothing to write. Bases move only where a side shows something new: the same edit on both, or what it made of our write.
fn settle(index: usize, cell: &RowView, decision: &mut Decision) {
    let moved = cell.owed.is_some()
        || Side::BOTH.into_iter().any(|side| {
            let field = cell.side(side);
            field.base.as_ref().is_none_or(|base| base.sent.is_some() || base.values != field.shown)
        });
    if moved && cell.was_read() {
        decision.settled.push(index);
    }
}

/// One side's values go to the other side.
fn take(
    index: usize,
    row: &MappingRow,
    cell: &RowView,
    policy: &Policy,
    from: Side,
    decision: &mut Decision,
    writes: &mut [Vec<RowWrite>; 2],
) {
    let to = from.other();
    if !may_write(row, policy, to) {
        decision.settled.push(index);
        return;
    }
    match sendable(row, to, &cell.side(from).carried) {
        // S21: no write that changes nothing is ever sent.
        Ok(values) if stands_already(values, cell.side(to)) => decision.settled.push(index),
        Ok(values) => {
            let emptied = row.fields(to).iter().zip(values).any(|(field, value)| field.mandatory && !value.is_filled());
            if emptied {
                decision.held.push(HeldRow { row: index, side: to, reason: reason::MANDATORY_EMPTIED.into() });
            } else {
                writes[to as usize].push(RowWrite { row: index, values: values.to_vec() });
            }
        }
        Err(why) => decision.held.push(HeldRow { row: index, side: to, reason: why }),
    }
}

/// Whether the side shows these values, or what it made of them when they were sent without an answer.
fn stands_already(values: &[Value], field: &FieldView) -> bool {
    same(values, &field.shown, crate::mapping::Sameness::Text)
        || field.base.as_ref().is_some_and(|base| base.arrived(values, &field.shown))
}

/// Both sides changed the row. The loser's value stays in the journal (S15).
fn conflict(
    index: usize,
    row: &MappingRow,
    cell: &RowView,
    policy: &Policy,
    decision: &mut Decision,
    writes: &mut [Vec<RowWrite>; 2],
) {
    let winner = winner(row, policy);
    take(index, row, cell, policy, winner, decision, writes);
    // Also where the winner's value is held back: once it can be carried it replaces the loser's without another look.
    decision.conflicts.push(Conflict { row: index, winner });
}

/// Whose value stays. Where values travel one way only, that is the side they come from.
fn winner(row: &MappingRow, policy: &Policy) -> Side {
    match (may_write(row, policy, Side::Left), may_write(row, policy, Side::Right)) {
        (false, true) => Side::Left,
        (true, false) => Side::Right,
        _ => row.winner.unwrap_or(policy.winner),
    }
}

fn may_write(row: &MappingRow, policy: &Policy, side: Side) -> bool {
    policy.direction.writes(side) && row.direction.writes(side) && !row.fields(side).iter().all(|field| field.read_only)
}

/// The carried values, if the written side can take them.
fn sendable<'a>(row: &MappingRow, to: Side, carried: &'a Carried) -> Result<&'a [Value], String> {
    let values = match carried {
        Carried::Values(values) => values,
        Carried::Held(why) => return Err(why.clone()),
    };
    for (field, value) in row.fields(to).iter().zip(values) {
        match value {
            // Rule 4, once more at the last moment.
            Value::Absent => return Err(reason::DID_NOT_PARSE.into()),
            Value::Raw(_) => return Err(reason::DID_NOT_PARSE.into()),
            Value::Text(text) if field.length.is_some_and(|most| text.chars().count() > most as usize) => {
                return Err(reason::TOO_LONG.into());
            }
            _ => {}
        }
        if field.read_only && row.role == Role::Plain {
            return Err(reason::READ_ONLY.into());
        }
    }
    Ok(values)
}

#[cfg(test)]
pub(crate) mod tests_support {
    use super::*;
    use crate::mapping::{Direction, Field, RowKey, Sameness};

    /// A both-ways text row whose field has the same name on both sides.
    pub(crate) fn row(name: &str) -> MappingRow {
        let field =
            Field { name: name.into(), label: name.into(), kind: 2, mandatory: false, read_only: false, length: None };
        MappingRow {
            key: RowKey(format!("{name}={name}")),
            hash: 7,
            left: vec![field.clone()],
            right: vec![field],
            direction: Direction::Both,
            to_right: None,
            to_left: None,
            sameness: Sameness::Text,
            winner: None,
            role: Role::Plain,
        }
    }

    /// One side of a row: `shown` against `base` (`None`: no agreement yet), carried as it is.
    pub(crate) fn field(base: Option<&str>, shown: &str) -> FieldView {
        FieldView {
            shown: vec![Value::text(shown)],
            base: base.map(|text| Base::shown(7, vec![Value::text(text)])),
            carried: Carried::Values(vec![Value::text(shown)]),
        }
    }

    /// A linked pair with one row.
    pub(crate) fn pair(left: FieldView, right: FieldView) -> View {
        View {
            left: Presence::Live,
            right: Presence::Live,
            more_than_one_match: false,
            rows: vec![RowView { left, right, owed: None, left_is_receipt: false, right_is_receipt: false }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::tests_support::{field, pair, row};
    use super::*;
    use crate::mapping::{Direction, Sameness};

    fn policy() -> Policy {
        Policy {
            direction: Direction::Both,
            winner: Side::Left,
            first_sync: FirstSync::FillEmpty,
            deletes: DeletePolicy::Report,
        }
    }

    fn one_row() -> PairMapping {
        PairMapping { rows: vec![row("Phone")], match_rules: vec![] }
    }

    /// A decision about one row, in words: `right=2`, `settled`, `held right too-long`, `-`; conflicts and differences behind it.
    fn told(decision: &Decision) -> String {
        let mut words = Vec::new();
        for write in &decision.writes {
            let values: Vec<_> = write.rows.iter().flat_map(|row| &row.values).map(Value::display).collect();
            words.push(format!("{}={}", write.side.as_str(), values.join(",")));
        }
        words.extend(decision.settled.iter().map(|_| "settled".to_owned()));
        words.extend(decision.differs.iter().map(|_| "differs".to_owned()));
        words.extend(decision.conflicts.iter().map(|conflict| format!("conflict:{}", conflict.winner.as_str())));
        words.extend(decision.held.iter().map(|held| format!("held:{}:{}", held.side.as_str(), held.reason)));
        if words.is_empty() { "-".into() } else { words.join(" ") }
    }

    #[test]
    fn three_way_merge() {
        let check = |what: &str, left: (&str, &str), right: (&str, &str), expected: &str| {
            let view = pair(field(Some(left.0), left.1), field(Some(right.0), right.1));
            assert_eq!(told(&decide(&view, &one_row(), &policy())), expected, "{what}");
        };
        check("nothing changed", ("1", "1"), ("1", "1"), "-");
        check("bases differ for good", ("1", "1"), ("one", "one"), "-");
        check("left changed", ("1", "2"), ("1", "1"), "right=2");
        check("right changed", ("1", "1"), ("1", "2"), "left=2");
        check("right emptied", ("1", "1"), ("1", ""), "left=");
        check("same edit on both", ("1", "2"), ("1", "2"), "settled");
        check("different edits", ("1", "2"), ("1", "3"), "right=2 conflict:left");
        check("left changed to what right shows", ("1", "2"), ("2", "2"), "settled");
    }

    #[test]
    fn what_is_owed_counts_as_changed_until_it_is_told() {
        let check = |what: &str, owed: Side, left: (&str, &str), right: (&str, &str), expected: &str| {
            let mut view = pair(field(Some(left.0), left.1), field(Some(right.0), right.1));
            view.rows[0].owed = Some(owed);
            assert_eq!(told(&decide(&view, &one_row(), &policy())), expected, "{what}");
        };
        check("still to be written", Side::Right, ("2", "2"), ("1", "1"), "right=2");
        check("edited once more", Side::Right, ("2", "3"), ("1", "1"), "right=3");
        check("the other side got there by itself", Side::Right, ("2", "2"), ("1", "2"), "settled");
        check("the other side was edited meanwhile", Side::Right, ("2", "2"), ("1", "3"), "right=2 conflict:left");
        check("owed to the left", Side::Left, ("1", "1"), ("2", "2"), "left=2");
    }

    #[test]
    fn first_sync_fills_and_replaces_nothing() {
        let check = |what: &str, first_sync: FirstSync, left: &str, right: &str, expected: &str| {
            let view = pair(field(None, left), field(None, right));
            assert_eq!(told(&decide(&view, &one_row(), &Policy { first_sync, ..policy() })), expected, "{what}");
        };
        check("equal", FirstSync::FillEmpty, "1", "1", "settled");
        check("both blank", FirstSync::FillEmpty, "", "", "settled");
        check("right blank", FirstSync::FillEmpty, "1", "", "right=1");
        check("left blank", FirstSync::FillEmpty, "", "1", "left=1");
        check("different", FirstSync::FillEmpty, "1", "2", "settled differs");
        check("different, winner", FirstSync::Winner, "1", "2", "right=1 conflict:left");
        check("different, ask", FirstSync::Ask, "1", "2", "held:right:differs-ask");
    }

    #[test]
    fn directions_bind_rows() {
        let check = |what: &str, direction: Direction, left: (&str, &str), right: (&str, &str), expected: &str| {
            let mut mapping = one_row();
            mapping.rows[0].direction = direction;
            let view = pair(field(Some(left.0), left.1), field(Some(right.0), right.1));
            assert_eq!(told(&decide(&view, &mapping, &policy())), expected, "{what}");
        };
        check("to right, left changed", Direction::ToRight, ("1", "2"), ("1", "1"), "right=2");
        check("to right, right changed", Direction::ToRight, ("1", "1"), ("1", "2"), "settled");
        check("to left, both changed", Direction::ToLeft, ("1", "2"), ("1", "3"), "left=3 conflict:right");
    }

    #[test]
    fn what_cannot_be_carried_is_held() {
        let mut left = field(Some("1"), "2");
        left.carried = Carried::Held(reason::NO_COUNTERPART_VALUE.into());
        let decision = decide(&pair(left, field(Some("1"), "1")), &one_row(), &policy());
        assert_eq!(told(&decision), "held:right:no-counterpart-value");
        assert_eq!(decision.verdict, Verdict::Unchanged);

        let mut mapping = one_row();
        mapping.rows[0].right[0].length = Some(2);
        let decision = decide(&pair(field(Some("1"), "long"), field(Some("1"), "1")), &mapping, &policy());
        assert_eq!(told(&decision), "held:right:too-long");
        mapping.rows[0].right[0].mandatory = true;
        let decision = decide(&pair(field(Some("1"), ""), field(Some("1"), "1")), &mapping, &policy());
        assert_eq!(told(&decision), "held:right:mandatory-emptied");
    }

    #[test]
    fn absent_is_never_written() {
        let mut left = field(Some("1"), "");
        left.shown = vec![Value::Absent];
        left.carried = Carried::Values(vec![Value::Absent]);
        assert_eq!(told(&decide(&pair(left.clone(), field(Some("1"), "1")), &one_row(), &policy())), "-");
        left.base = None;
        assert_eq!(told(&decide(&pair(left, field(None, "1")), &one_row(), &policy())), "-");
    }

    #[test]
    fn another_row_hash_is_a_first_sync_of_its_field() {
        let check = |what: &str, left: (&str, &str), right: (&str, &str), owed: Option<Side>, expected: &str| {
            let mut view = pair(field(Some(left.0), left.1), field(Some(right.0), right.1));
            view.rows[0].left.base = Some(Base::shown(8, vec![Value::text(left.0)]));
            view.rows[0].owed = owed;
            assert_eq!(told(&decide(&view, &one_row(), &policy())), expected, "{what}");
        };
        check("nobody changed anything", ("1", "1"), ("2", "2"), None, "settled differs");
        check("blank on one side", ("", ""), ("2", "2"), None, "left=2");
        check("one side was edited", ("1", "1"), ("1", "2"), None, "left=2");
        check("one side was emptied", ("1", ""), ("1", "1"), None, "right=");
        check("one side was not told yet", ("1", "1"), ("2", "2"), Some(Side::Right), "right=1");
        check("both were edited", ("1", "3"), ("1", "2"), None, "settled differs");
    }

    #[test]
    fn a_conflict_is_told_even_if_the_winner_has_to_wait() {
        let mut left = field(Some("1"), "2");
        left.carried = Carried::Held(reason::NO_COUNTERPART_VALUE.into());
        let decision = decide(&pair(left, field(Some("1"), "3")), &one_row(), &policy());
        assert_eq!(told(&decision), "conflict:left held:right:no-counterpart-value");
    }

    #[test]
    fn what_a_crm_made_of_our_write_goes_nowhere() {
        let mut right = field(None, "????");
        right.base =
            Some(Base { row_hash: 7, values: vec![Value::text("old")], sent: Some(vec![Value::text("🙂")]) });
        let mut view = pair(field(Some("🙂"), "🙂"), right);
        view.rows[0].right_is_receipt = true;
        assert_eq!(told(&decide(&view, &one_row(), &policy())), "settled");
        view.rows[0].right_is_receipt = false;
        view.rows[0].right.shown = vec![Value::text("typed")];
        view.rows[0].right.carried = Carried::Values(vec![Value::text("typed")]);
        assert_eq!(told(&decide(&view, &one_row(), &policy())), "left=typed");
    }

    #[test]
    fn an_unanswered_write_that_arrived_is_not_repeated() {
        let (sent, cut) = ("Customer Care, Returns and Refunds", "Customer Care, Returns and Ref");
        let check = |shown: &str, expected: &str| {
            let mut right = field(None, shown);
            right.base =
                Some(Base { row_hash: 7, values: vec![Value::text("old")], sent: Some(vec![Value::text(sent)]) });
            let mut view = pair(field(Some(sent), sent), right);
            view.rows[0].owed = Some(Side::Right);
            assert_eq!(told(&decide(&view, &one_row(), &policy())), expected, "{shown}");
        };
        check(sent, "settled");
        check(cut, "settled");
        check("old", &format!("right={sent}"));
        check("typed", &format!("right={sent} conflict:left"));
    }

    #[test]
    fn spelling_alone_is_no_difference() {
        let mut mapping = one_row();
        mapping.rows[0].sameness = Sameness::Phone;
        let view = pair(field(None, "(415) 555-0101"), field(None, "4155550101"));
        assert_eq!(told(&decide(&view, &mapping, &policy())), "settled");
    }

    #[test]
    fn a_single_record_is_created_on_the_other_side() {
        let mut view = pair(field(None, "1"), field(None, ""));
        view.right = Presence::Missing;
        let decision = decide(&view, &one_row(), &policy());
        assert_eq!(decision.writes[0].operation, Operation::Create);
        assert_eq!(told(&decision), "right=1");

        let decision = decide(&view, &one_row(), &Policy { direction: Direction::ToLeft, ..policy() });
        assert_eq!(decision.verdict, Verdict::OutOfScope(reason::ONE_WAY.into()));

        let mut mapping = one_row();
        mapping.rows[0].right[0].mandatory = true;
        view.rows[0].left = field(None, "");
        let decision = decide(&view, &mapping, &policy());
        assert_eq!(decision.verdict, Verdict::NeedsAttention(reason::MANDATORY_MISSING.into()));
        assert!(decision.writes.is_empty());
    }

    #[test]
    fn removals_never_delete_and_edits_survive() {
        let mut view = pair(field(Some("1"), "1"), field(Some("1"), "1"));
        view.left = Presence::Removed(RemovalReason::Deleted);
        view.right = Presence::Unread;
        assert_eq!(decide(&view, &one_row(), &policy()).verdict, Verdict::Removed(Side::Left, RemovalReason::Deleted));
        view.right = Presence::Live;
        view.rows[0].right = field(Some("1"), "2");
        assert_eq!(
            decide(&view, &one_row(), &policy()).verdict,
            Verdict::NeedsAttention(reason::DELETE_AGAINST_EDIT.into())
        );
        view.right = Presence::Missing;
        assert_eq!(decide(&view, &one_row(), &policy()).verdict, Verdict::Forget);
    }

    #[test]
    fn several_candidates_are_a_persons_matter() {
        let mut view = pair(field(None, "1"), field(None, ""));
        view.right = Presence::Missing;
        view.more_than_one_match = true;
        let decision = decide(&view, &one_row(), &policy());
        assert_eq!(decision.verdict, Verdict::NeedsAttention(reason::MORE_THAN_ONE_MATCH.into()));
        assert!(decision.writes.is_empty());
    }
}
