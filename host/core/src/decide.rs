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
use crate::link::{Base, Owed};
use crate::mapping::{MappingRow, PairMapping, Role};
use crate::merge::{self, ListView, Merged, Outcome, settle_conflict, union};
use crate::normalise::same;
use crate::policy::{FirstSync, Policy, Winner};
use crate::record::{Presence, RemovalReason, Side};
use crate::sabotage::{Sabotage, is_on};
use crate::value::Value;

/// Stable codes of why something was left out, waits or needs a person. Never renamed: people script against them.
pub mod reason {
    macro_rules! reasons {
        ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
            $($(#[$doc])* pub const $name: &str = $code;)*
            /// All codes.
            pub const ALL: &[&str] = &[$($code),*];
        };
    }

    reasons! {
        /// Several records on one side have the same match key.
        MORE_THAN_ONE_MATCH = "more-than-one-match";
        /// One record on each side has the same match key, but the names contradict.
        MATCH_IN_DOUBT = "match-in-doubt";
        /// Last changed before the flow's start date.
        BEFORE_START_DATE = "before-start-date";
        /// The module's filter does not mean this record.
        OUTSIDE_FILTER = "outside-filter";
        /// The module's filter does not mean this linked record any more: it is not updated until it does again.
        LEFT_FILTER = "left-filter";
        /// A field that the other side demands has no value.
        MANDATORY_MISSING = "mandatory-missing";
        /// A field that the other side demands was emptied.
        MANDATORY_EMPTIED = "mandatory-emptied";
        /// Longer than the other side's field keeps.
        TOO_LONG = "too-long";
        /// The other side's field cannot be written.
        READ_ONLY = "read-only";
        /// Text that did not parse as its field's kind.
        DID_NOT_PARSE = "did-not-parse";
        /// A picklist value without a counterpart in the table.
        NO_COUNTERPART_VALUE = "no-counterpart-value";
        /// A transform broke on this record.
        TRANSFORM_FAILED = "transform-failed";
        /// The referenced record has no counterpart on the other side (yet).
        REFERENCE_NOT_LINKED = "reference-not-linked";
        /// The owner has no active counterpart on the other side.
        OWNER_UNKNOWN = "owner-unknown";
        /// Matched records showed different values before the first sync; both were left as they are.
        DIFFERS = "differs";
        /// Matched records showed different values before the first sync; a person decides.
        DIFFERS_ASK = "differs-ask";
        /// Both sides changed the field, both stay as they are, and a person decides.
        BOTH_CHANGED_ASK = "both-changed-ask";
        /// The record was not there when it was to be written, and whether it was removed is not known yet.
        NOT_FOUND = "not-found";
        /// One side's record left; the other side's was kept.
        REMOVED = "removed";
        /// Our key in a second record: a create that was repeated had happened after all.
        LATE_TWIN = "late-twin";
        /// A create led to a record that is linked to another one.
        ALREADY_LINKED = "already-linked";
        /// One side's record left while the other side's was edited.
        DELETE_AGAINST_EDIT = "delete-against-edit";
        /// Both records had left, and one of them came back alone.
        RESTORED_ALONE = "restored-alone";
        /// More records left than the safety stop lets go without consent.
        SAFETY_STOP = "safety-stop";
        /// One side's lead was converted; the other one gets no more updates.
        CONVERTED = "converted";
        /// One side's record was merged into another.
        MERGED = "merged";
        /// A person said that the record is not synced.
        LEFT_ALONE = "left-alone";
        /// A person took back what was written; both sides differ since.
        UNDONE = "undone";
        /// Records do not travel this way in this module.
        ONE_WAY = "one-way";
        /// The CRM refused the write.
        REFUSED = "refused-by-crm";
        /// A unique field of the CRM holds the value already.
        DUPLICATE_VALUE = "duplicate-value";
        /// A create may have happened twice or not at all, and the CRM cannot tell.
        OUTCOME_UNKNOWN = "outcome-unknown";
        /// The write was tried as often as allowed.
        ATTEMPTS_USED_UP = "attempts-used-up";
    }

    /// Whether a row that is left out for this reason is a question to a person: both sides keep what they have, and nothing is owed.
    pub fn is_question(reason: &str) -> bool {
        matches!(reason, DIFFERS_ASK | BOTH_CHANGED_ASK)
    }
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
    /// The sides to which a write was decided earlier that was never acknowledged, or was held back.
    pub owed: Owed,
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

/// Both sides have the record.
fn decide_pair(view: &View, mapping: &PairMapping, policy: &Policy) -> Decision {
    let mut decision = Decision::only(Verdict::Unchanged);
    let mut writes = [Vec::new(), Vec::new()];
    for (index, row) in mapping.rows.iter().enumerate() {
        if matches!(row.role, Role::Constant(_)) {
            continue;
        }
        let cell = &view.rows[index];
        match merge::merge_row(row, cell) {
            Merged::First => first_time(index, row, view, policy, &mut decision, &mut writes),
            Merged::Settled => settle(index, row, cell, &mut decision),
            Merged::Take(from) if is_on(Sabotage::CompareTimes) => {
                take(index, row, cell, policy, view.saved_last.unwrap_or(from), &mut decision, &mut writes)
            }
            Merged::Take(from) => take(index, row, cell, policy, from, &mut decision, &mut writes),
            Merged::Conflict => {
                conflict(index, row, view, policy, reason::BOTH_CHANGED_ASK, &mut decision, &mut writes)
            }
        }
    }
    for (side, rows) in Side::BOTH.into_iter().zip(writes) {
        if !rows.is_empty() {
            decision.writes.push(Write { side, operation: Operation::Update, rows });
            decision.verdict = Verdict::Write;
        }
    }
    for &side in view.marked.iter().filter(|_| !is_on(Sabotage::MarkStays)) {
        decision.writes.push(Write { side, operation: Operation::Unmark, rows: vec![] });
        decision.verdict = Verdict::Write;
    }
    decision
}

/// S5: matched records, or a new mapping row, without an agreement yet.
fn first_time(
    index: usize,
    row: &MappingRow,
    view: &View,
    policy: &Policy,
    decision: &mut Decision,
    writes: &mut [Vec<RowWrite>; 2],
) {
    let cell = &view.rows[index];
    // Rule 4: without having read both sides there is nothing to agree on.
    if !cell.was_read() {
        return;
    }
    if merge::agrees(row, cell) {
        decision.settled.push(index);
        return;
    }
    // What one side showed last is no agreement to hold the other one's news against: it may have been edited since, too.
    let is_unread = [view.left, view.right].contains(&Presence::Unread) && !is_on(Sabotage::NewsAreAdoptedUnread);
    if is_unread && Side::BOTH.into_iter().all(|side| cell.has_news(side)) {
        decision.unread.push(index);
        return;
    }
    let filled = |side: Side| cell.side(side).shown.iter().any(Value::is_filled);
    match (filled(Side::Left), filled(Side::Right)) {
        (true, false) if is_on(Sabotage::BlankWins) => fill(index, row, cell, policy, Side::Right, decision, writes),
        (true, false) => fill(index, row, cell, policy, Side::Left, decision, writes),
        (false, true) => fill(index, row, cell, policy, Side::Right, decision, writes),
        _ => match policy.first_sync {
            FirstSync::FillEmpty if is_on(Sabotage::FillReplaces) => {
                conflict(index, row, view, policy, reason::DIFFERS_ASK, decision, writes)
            }
            FirstSync::FillEmpty => {
                decision.settled.push(index);
                decision.differs.push(index);
            }
            FirstSync::Winner => conflict(index, row, view, policy, reason::DIFFERS_ASK, decision, writes),
            FirstSync::Ask => ask(index, row, policy, reason::DIFFERS_ASK, decision),
        },
    }
}

/// A person decides; until then both sides keep what they show.
fn ask(index: usize, row: &MappingRow, policy: &Policy, why: &str, decision: &mut Decision) {
    let side = one_way_winner(row, policy).unwrap_or(policy.winner).other();
    decision.held.push(HeldRow { row: index, side, reason: why.into() });
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
    if may_write(row, policy, from.other()) || is_barred(row, policy, from.other()) {
        take(index, row, cell, policy, from, decision, writes);
    } else {
        decision.settled.push(index);
    }
}

/// Nothing to write. Bases move only where a side shows something new: the same edit on both, or what it made of our write.
fn settle(index: usize, row: &MappingRow, cell: &RowView, decision: &mut Decision) {
    let moved = !cell.owed.is_nobody()
        || Side::BOTH.into_iter().any(|side| {
            let field = cell.side(side);
            field.base.as_ref().is_none_or(|base| base.sent.is_some() || base.values != field.shown)
        });
    if moved && cell.was_read() {
        decision.settled.push(index);
        // Whether the CRM did not keep our value, or a person put the former one back, nobody can tell; so both sides keep what they show.
        let is_former = |field: &FieldView| field.base.as_ref().is_some_and(|base| base.is_former(&field.shown));
        if [&cell.left, &cell.right].into_iter().any(is_former) && !merge::agrees(row, cell) {
            decision.differs.push(index);
        }
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
        // The flow means it to travel: it is told, and owed until the field can be written.
        match is_barred(row, policy, to) && !merge::agrees(row, cell) {
            true => decision.held.push(HeldRow { row: index, side: to, reason: reason::READ_ONLY.into() }),
            false => decision.settled.push(index),
        }
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
    if is_on(Sabotage::WriteWhatStands) {
        return false;
    }
    same(values, &field.shown, crate::mapping::Sameness::Text)
        || field.base.as_ref().is_some_and(|base| base.arrived(values, &field.shown))
}

/// What ends a conflict of this row.
fn conflict_rule(row: &MappingRow, policy: &Policy) -> Winner {
    match one_way_winner(row, policy) {
        Some(winner) => Winner::Side(winner),
        None => row.winner.unwrap_or(if policy.newest { Winner::Newest } else { Winner::Side(policy.winner) }),
    }
}

/// How a conflict of earlier ends by today's rules: the side whose value stays, and what the other one gets, or why it cannot. `cell` shows
/// what both sides showed then. None if no side's value simply stays: both are joined, a person decides, or nobody knows any more who
/// saved last.
pub fn decide_again(row: &MappingRow, cell: &RowView, policy: &Policy) -> Option<(Side, Result<Vec<Value>, String>)> {
    let rule = conflict_rule(row, policy);
    let winner = match settle_conflict(rule, cell, None) {
        _ if rule == Winner::Newest => return None,
        Outcome::Stays(winner) => winner,
        Outcome::Tie => policy.winner,
        Outcome::Joined | Outcome::Question => return None,
    };
    let to = winner.other();
    if !may_write(row, policy, to) {
        return None;
    }
    let values = sendable(row, to, &cell.side(winner).carried).and_then(|values| {
        let emptied = row.fields(to).iter().zip(values).any(|(field, value)| field.mandatory && !value.is_filled());
        if emptied { Err(reason::MANDATORY_EMPTIED.to_owned()) } else { Ok(values.to_vec()) }
    });
    Some((winner, values))
}

/// Both sides changed the row. The loser's value stays in the journal (S15). `question` is the reason if a person is asked.
fn conflict(
    index: usize,
    row: &MappingRow,
    view: &View,
    policy: &Policy,
    question: &str,
    decision: &mut Decision,
    writes: &mut [Vec<RowWrite>; 2],
) {
    let cell = &view.rows[index];
    if !Side::BOTH.into_iter().any(|side| may_write(row, policy, side)) {
        decision.settled.push(index);
        return;
    }
    let rule = conflict_rule(row, policy);
    let winner = match settle_conflict(rule, cell, view.saved_last) {
        Outcome::Stays(winner) => Some(winner),
        Outcome::Tie if policy.newest => Some(view.saved_last.unwrap_or(policy.winner)),
        Outcome::Tie => Some(policy.winner),
        Outcome::Joined => None,
        Outcome::Question => {
            // A reason that is kept apart from the conflict's own line: it stands until somebody decides, or edits the field again.
            ask(index, row, policy, question, decision);
            return;
        }
    };
    match winner {
        Some(winner) => take(index, row, cell, policy, winner, decision, writes),
        None => join(index, row, cell, decision, writes),
    }
    // Also where the winner's value is held back: once it can be carried it replaces the loser's without another look.
    if !is_on(Sabotage::LoserIsForgotten) {
        decision.conflicts.push(Conflict { row: index, winner });
    }
}

/// Each side gets the other's entries besides its own. A side that has them all is not written.
fn join(index: usize, row: &MappingRow, cell: &RowView, decision: &mut Decision, writes: &mut [Vec<RowWrite>; 2]) {
    let mut quiet = true;
    for to in Side::BOTH {
        let (here, there) = (cell.side(to), cell.side(to.other()));
        let own = &here.shown;
        match sendable(row, to, &there.carried) {
            Ok(carried) => {
                let own_over_there = |at: usize| here.carried.values().and_then(|values| values.get(at));
                let view = |at: usize| ListView { shown: &own[at], carried: own_over_there(at) };
                let other = |at: usize| ListView { shown: &there.shown[at], carried: Some(&carried[at]) };
                let joined: Vec<Value> =
                    (0..own.len().min(carried.len())).map(|at| union(view(at), other(at))).collect();
                if same(&joined, own, crate::mapping::Sameness::Text) {
                    continue;
                }
                writes[to as usize].push(RowWrite { row: index, values: joined });
            }
            Err(why) => decision.held.push(HeldRow { row: index, side: to, reason: why }),
        }
        quiet = false;
    }
    if quiet {
        decision.settled.push(index);
    }
}

/// Where values travel one way only, the side they come from always stays.
fn one_way_winner(row: &MappingRow, policy: &Policy) -> Option<Side> {
    match (may_write(row, policy, Side::Left), may_write(row, policy, Side::Right)) {
        (false, true) => Some(Side::Left),
        (true, false) => Some(Side::Right),
        _ => None,
    }
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
#[cfg(test)]
mod properties;
#[cfg(test)]
mod removals;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod tests_support;
