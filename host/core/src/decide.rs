//! The heart: a view of one record pair in, a decision out.
//!
//! A [`View`] holds, for each mapping row, what each side shows, what it showed last (its base), and what its values look like when
//! carried to the other side (transforms, owners and references are applied before, by the engine, for a whole portion at once).
//! [`decide`] never asks for anything else, so that a preview, a test and the real run see the same [`Decision`].
//!
//! Once decided, both bases of a row are what the sides showed. What one side still has to be told is *owed* to it: the row is in a
//! write, or it was held back. The receipt of the write pays the debt; until then the row counts as changed on the other side, so a
//! crash, a refusal or a withdrawn write never loses a change (rule 3).

use self::leaving::{decide_away, decide_outside, decide_removed};
pub use self::pair::decide_again;
use self::pair::decide_pair;
use crate::link::{Base, Owed};
use crate::mapping::{MappingRow, PairMapping, Role};
use crate::policy::Policy;
use crate::record::{Presence, RemovalReason, Side};
use crate::sabotage::{Sabotage, is_on};
use crate::value::Value;

pub mod reason;

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
    /// The sides to which a write was decided earlier that was never acknowledged, or was held back.
    pub owed: Owed,
    /// The sides are known to differ, and people were told: neither value came from the other side.
    pub differs: bool,
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
        let base = if is_on(Sabotage::OneBaseForBothSides) { &self.left.base } else { &field.base };
        base.as_ref().is_some_and(|base| base.edited(&field.shown, is_receipt))
    }

    /// Whether this side has something to tell the other: an edit, or one that is still owed.
    pub fn has_news(&self, side: Side) -> bool {
        (self.owed.to(side.other()) && !is_on(Sabotage::ForgetDebts)) || self.edited(side)
    }

    /// Whether both sides showed all of the row's fields.
    pub(crate) fn was_read(&self) -> bool {
        self.left.shown.iter().chain(&self.right.shown).all(Value::is_read)
    }
}

/// Whether the flow is about a record at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// It is.
    #[default]
    In,
    /// A filter says that it is not: that of this side, or, where it is none, those of both.
    Outside(Option<Side>),
    /// It was last changed before the start date: it is known, and joins with its next edit.
    Old,
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
    /// The records were matched by a key, and their names contradict: a person decides.
    pub match_in_doubt: bool,
    /// The records are in a link already.
    pub linked: bool,
    /// Whether the flow is about them.
    pub scope: Scope,
    /// The records of these sides say that the other one left, by a mark of ours: both do if each left while the other one was away.
    pub marked: Vec<Side>,
    /// One record left before, and a person said that the other one goes as well, as it was then.
    pub delete_asked: bool,
    /// The side whose record had left before, and is back now.
    pub came_back: Option<Side>,
    /// The side whose record was saved last, if that is known.
    pub saved_last: Option<Side>,
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

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The side has no record yet.
    Create,
    /// The side has one.
    Update,
    /// The side has one, and says from now on that the other side's was deleted.
    Mark,
    /// The other side's record came back: the mark is taken away again.
    Unmark,
    /// The side has one, and loses it.
    Delete,
}

impl Operation {
    /// The word in the store and in machine output.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Create => "create",
            Operation::Update => "update",
            Operation::Mark => "mark",
            Operation::Unmark => "unmark",
            Operation::Delete => "delete",
        }
    }

    /// Whether the write is about a record that left or came back as a whole, not about its values.
    pub fn is_about_leaving(self) -> bool {
        matches!(self, Operation::Mark | Operation::Unmark | Operation::Delete)
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
    /// What it does.
    pub operation: Operation,
    /// The rows that are written; never empty for a create or an update, empty for the others.
    pub rows: Vec<RowWrite>,
}

/// Both sides changed one row to different values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Index of the mapping row.
    pub row: usize,
    /// Whose value stays; none if what both show was joined, or waits for a person.
    pub winner: Option<Side>,
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
    /// One side's record left. Without a write the other record is kept.
    Removed(Side, RemovalReason),
    /// Nothing is left to sync: drop it.
    Forget,
}

/// The plan for one record or pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of it.
    pub verdict: Verdict,
    /// At most one write for each side, and its unmark.
    pub writes: Vec<Write>,
    /// Rows whose bases become what both sides show now, with nothing owed.
    pub settled: Vec<usize>,
    /// Rows of matched records that differed before the first sync and stay so.
    pub differs: Vec<usize>,
    /// Rows that both sides changed.
    pub conflicts: Vec<Conflict>,
    /// Rows left out.
    pub held: Vec<HeldRow>,
    /// Rows about which nothing is decided before both records have been read anew.
    pub unread: Vec<usize>,
}

impl Decision {
    /// A verdict that writes and settles nothing.
    pub fn only(verdict: Verdict) -> Decision {
        Decision {
            verdict,
            writes: vec![],
            settled: vec![],
            differs: vec![],
            conflicts: vec![],
            held: vec![],
            unread: vec![],
        }
    }
}

/// Decides one record or pair.
pub fn decide(view: &View, mapping: &PairMapping, policy: &Policy) -> Decision {
    use Presence::{Away, Live, Missing, Removed, Unread};
    if view.more_than_one_match {
        return Decision::only(Verdict::NeedsAttention(reason::MORE_THAN_ONE_MATCH.into()));
    }
    match (view.left, view.right) {
        (Live | Unread, Live | Unread | Missing) | (Missing, Live | Unread)
            if matches!(view.scope, Scope::Outside(_)) =>
        {
            decide_outside(view, policy)
        }
        (Live | Unread, Missing) | (Missing, Live | Unread) if view.scope == Scope::Old => {
            Decision::only(Verdict::OutOfScope(reason::BEFORE_START_DATE.into()))
        }
        (Live | Unread, Live | Unread) if view.match_in_doubt => {
            Decision::only(Verdict::NeedsAttention(reason::MATCH_IN_DOUBT.into()))
        }
        (Live | Unread, Live | Unread) if view.scope == Scope::Old && !view.linked => agree_as_they_are(view),
        (Live | Unread, Live | Unread) => decide_pair(view, mapping, policy),
        (Live | Unread, Missing) => decide_single(view, mapping, policy, Side::Left),
        (Missing, Live | Unread) => decide_single(view, mapping, policy, Side::Right),
        (Removed(why), Live | Unread) => decide_removed(view, policy, Side::Left, why),
        (Live | Unread, Removed(why)) => decide_removed(view, policy, Side::Right, why),
        (Away(how), Live | Unread) => decide_away(view, policy, Side::Left, how),
        (Live | Unread, Away(how)) => decide_away(view, policy, Side::Right, how),
        (Removed(_) | Away(_) | Missing, Removed(_) | Away(_) | Missing) => Decision::only(Verdict::Forget),
    }
}

/// S18: old records are linked as they are; whatever is edited from now on travels.
fn agree_as_they_are(view: &View) -> Decision {
    let settled = (0..view.rows.len()).filter(|&row| view.rows[row].was_read()).collect();
    Decision { settled, ..Decision::only(Verdict::Unchanged) }
}

fn has_news(view: &View, side: Side) -> bool {
    view.rows.iter().any(|row| row.has_news(side))
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
        if let Role::Constant(value) = &row.role {
            if !row.fields(to).is_empty() {
                rows.push(RowWrite { row: index, values: vec![value.clone()] });
            }
            continue;
        }
        if !may_write(row, policy, to) {
            if is_barred(row, policy, to) && source.shown.iter().any(Value::is_filled) {
                decision.held.push(HeldRow { row: index, side: to, reason: reason::READ_ONLY.into() });
            }
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

fn may_write(row: &MappingRow, policy: &Policy, side: Side) -> bool {
    policy.direction.writes(side) && row.direction.writes(side) && !row.fields(side).iter().all(|field| field.read_only)
}

/// Whether only the CRM keeps values from travelling to this side, where the flow lets them: the field cannot be written.
fn is_barred(row: &MappingRow, policy: &Policy, side: Side) -> bool {
    policy.direction.writes(side)
        && row.agreed.writes(side)
        && !row.direction.writes(side)
        && row.fields(side).iter().any(|field| field.read_only)
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

mod leaving;
mod pair;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod removals;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod tests_support;
