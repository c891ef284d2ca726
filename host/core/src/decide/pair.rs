//! Both sides have the record: what becomes of each mapping row, and of those that both sides changed.

use super::{
    Conflict, Decision, FieldView, HeldRow, Operation, RowView, RowWrite, Verdict, View, Write, is_barred, may_write,
    reason, sendable,
};
use crate::link::made_of;
use crate::mapping::{Direction, MappingRow, PairMapping, Role};
use crate::merge::{self, ListView, Merged, Outcome, settle_conflict, union};
use crate::normalise::same;
use crate::policy::{FirstSync, Policy, Winner};
use crate::record::{Presence, Side};
use crate::sabotage::{Sabotage, is_on};
use crate::value::Value;

/// Both sides have the record.
pub(super) fn decide_pair(view: &View, mapping: &PairMapping, policy: &Policy) -> Decision {
    let mut decision = Decision::only(Verdict::Unchanged);
    let mut writes = [Vec::new(), Vec::new()];
    for (index, row) in mapping.rows.iter().enumerate() {
        if matches!(row.role, Role::Constant(_)) {
            continue;
        }
        let cell = &view.rows[index];
        match merge::merge_row(row, cell) {
            Merged::First => first_time(index, row, view, policy, &mut decision, &mut writes),
            Merged::Settled => {
                settle(index, row, cell, &mut decision);
                if view.came_back.is_some() && is_difference(row, cell) && !decision.differs.contains(&index) {
                    decision.differs.push(index);
                }
            }
            Merged::Take(from) if is_on(Sabotage::CompareTimes) => {
                take(index, row, cell, policy, view.saved_last.unwrap_or(from), &mut decision, &mut writes)
            }
            Merged::Take(from) => {
                take(index, row, cell, policy, from, &mut decision, &mut writes);
                let to = from.other();
                let is_written = writes[to as usize].last().is_some_and(|write| write.row == index);
                // What it replaces came from nobody else, and is nowhere else.
                let is_replaced = is_written && cell.side(to).shown.iter().any(Value::is_filled);
                if cell.differs && is_replaced && !is_on(Sabotage::DifferingIsForgotten) {
                    decision.conflicts.push(Conflict { row: index, winner: Some(from) });
                }
            }
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

/// Whether both sides show something else where the row means them to show the same. What was noted of a pair is forgotten as both records
/// leave; as they come back, it is noted again.
fn is_difference(row: &MappingRow, cell: &RowView) -> bool {
    let is_made = |from: Side| {
        let carried = cell.side(from).carried.values();
        carried.is_none_or(|carried| made_of(carried, &cell.side(from.other()).shown))
    };
    let is_meant =
        row.direction == Direction::Both && row.role == Role::Plain && !is_on(Sabotage::DifferencesAreForgotten);
    is_meant && cell.was_read() && !merge::agrees(row, cell) && !Side::BOTH.into_iter().any(is_made)
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
