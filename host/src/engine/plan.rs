//! Decides portions of staged units. A preview counts the decisions, a run commits them: the same code, the same answer.

use std::collections::{BTreeMap, BTreeSet};

use crmsync_core::decide::{Decision, HeldRow, Operation, Scope, Verdict, View, Write, decide, reason};
use crmsync_core::sabotage::{Sabotage, is_on};
use crmsync_core::{Away, Base, PairMapping, Presence, RemovalReason, Role, RowKey, Side, Value};

use super::carry::carry_all;
use super::error::Error;
use super::leaving;
use super::references::{Planned, settle_lost_targets};
use super::report::{PlanCounts, count};
use super::setup::{PairSetup, RunSetup};
use super::unknown::Doubtful;
use super::view::{Shown, view};
use crate::store::{
    COPIES_LEFT, COPIES_RIGHT, InboxRow, IntentBody, JournalLine, NewIntent, OutcomeNote, RowChange, UnitCommit,
    UnitRow,
};

/// One decided unit.
pub(super) struct Decided {
    pub(super) unit: UnitRow,
    pub(super) view: View,
    pub(super) decision: Decision,
}

/// Decides a portion; a preview says what it has planned so far.
pub(super) async fn decide_portion(
    run: &RunSetup,
    pair: &PairSetup,
    mut units: Vec<UnitRow>,
    planned: Option<&Planned>,
) -> Result<Vec<Decided>, Error> {
    let doubtful = Doubtful::of(run, pair).await?;
    let shown: Vec<Shown> = units.iter().map(|unit| Shown::of(unit, &pair.mapping)).collect();
    settle_lost_targets(run, pair, &mut units, &shown).await?;
    let carried = carry_all(run, pair, &shown, planned).await?;
    let referenced = referenced(run, pair, &units).await?;
    let decided = units.into_iter().zip(shown).zip(carried).map(|((unit, shown), carried)| {
        let is_referenced = Side::BOTH
            .into_iter()
            .any(|side| unit.side(side).is_some_and(|row| referenced[side as usize].contains(&row.record)));
        let view = view(&unit, shown, pair, carried, is_referenced);
        let mut decision = decide(&view, &pair.mapping, &pair.policy);
        if unit.late_twin {
            decision =
                Decision { verdict: Verdict::NeedsAttention(reason::LATE_TWIN.into()), writes: vec![], ..decision };
        }
        let alone =
            if unit.link.is_none() && unit.rule.is_none() { unit.left.as_ref().or(unit.right.as_ref()) } else { None };
        if alone.is_some_and(|row| doubtful.may_have_made(pair, row)) {
            decision =
                Decision { verdict: Verdict::Waiting(reason::OUTCOME_UNKNOWN.into()), writes: vec![], ..decision };
        }
        if unit.left_alone && view.presence(unit.own_side()) == Presence::Live {
            decision = Decision::only(Verdict::OutOfScope(reason::LEFT_ALONE.into()));
        }
        leaving::leave_out_what_stands(pair, &unit, &mut decision);
        Decided { unit, view, decision }
    });
    Ok(decided.collect())
}

/// Unlinked records of before the start date that records in scope point to, left and right.
async fn referenced(run: &RunSetup, pair: &PairSetup, units: &[UnitRow]) -> Result<[BTreeSet<String>; 2], Error> {
    let mut referenced = [BTreeSet::new(), BTreeSet::new()];
    let Some(from_ms) = pair.records_from_ms else { return Ok(referenced) };
    for side in Side::BOTH {
        let old = units.iter().filter(|unit| unit.link.is_none()).filter_map(|unit| unit.side(side));
        let old: Vec<String> = old.filter(|row| row.modified_at_ms < from_ms).map(|row| row.record.clone()).collect();
        if !old.is_empty() {
            let module = &pair.module(side).name;
            referenced[side as usize] = run.store.referenced(run.tenant(), &run.lease.flow, module, old).await?;
        }
    }
    Ok(referenced)
}

impl Decided {
    /// The decided writes.
    pub(super) fn writes(&self) -> &[Write] {
        &self.decision.writes
    }

    /// The rows that are left out.
    pub(super) fn held(&self) -> &[HeldRow] {
        &self.decision.held
    }

    /// The rows that are left out of a record that is written; not the one that holds back the whole record.
    fn left_out(&self) -> impl Iterator<Item = &HeldRow> {
        let whole = match &self.decision.verdict {
            Verdict::NeedsAttention(why) => why.as_str(),
            _ => "",
        };
        self.held().iter().filter(move |held| held.reason != whole)
    }

    /// What one side shows in a row.
    pub(super) fn shown(&self, row: usize, side: Side) -> &[Value] {
        &self.view.rows[row].side(side).shown
    }

    /// Whether a person (or another program) changed this side since the last decision: our own echoes do not count.
    pub(super) fn is_edited(&self, side: Side) -> bool {
        self.view.presence(side) == Presence::Live
            && (self.unit.link.is_none() || self.view.rows.iter().any(|row| row.edited(side)))
    }

    /// Adds this unit to the counts of a plan.
    pub(super) fn count_into(&self, counts: &mut PlanCounts, pair: &PairSetup, names: [&str; 2]) {
        counts.looked_at += 1;
        let field = |row: usize, side: Side| field_label(&pair.mapping, row, side);
        match &self.decision.verdict {
            Verdict::NeedsAttention(why) => count(&mut counts.needs_attention, why),
            Verdict::OutOfScope(why) => count(&mut counts.out_of_scope, why),
            Verdict::Removed(side, _) => count(&mut counts.removed, names[*side as usize]),
            Verdict::Unchanged if self.unit.link.is_some() => counts.unchanged += 1,
            Verdict::Unchanged | Verdict::Write | Verdict::Waiting(_) | Verdict::Forget => {}
        }
        if self.becomes_linked() {
            counts.linked += 1;
            if self.view.scope == Scope::Old {
                count(&mut counts.out_of_scope, reason::BEFORE_START_DATE);
            }
        }
        for write in &self.decision.writes {
            let is_left = write.side == Side::Left;
            let count = match write.operation {
                Operation::Create if is_left => &mut counts.create_left,
                Operation::Create => &mut counts.create_right,
                Operation::Update if is_left => &mut counts.update_left,
                Operation::Update => &mut counts.update_right,
                Operation::Mark | Operation::Unmark if is_left => &mut counts.mark_left,
                Operation::Mark | Operation::Unmark => &mut counts.mark_right,
                Operation::Delete if is_left => &mut counts.delete_left,
                Operation::Delete => &mut counts.delete_right,
            };
            *count += 1;
            if write.operation == Operation::Update {
                for change in &write.rows {
                    let before = &self.view.rows[change.row].side(write.side).shown;
                    let counts =
                        if before.iter().any(Value::is_filled) { &mut counts.replaces } else { &mut counts.fills };
                    super::report::count(
                        counts,
                        format!("{}: {}", names[write.side as usize], field(change.row, write.side)),
                    );
                }
            }
        }
        counts.conflicts += self.decision.conflicts.len() as u64;
        for &row in &self.decision.differs {
            count(&mut counts.differs, field(row, Side::Left));
        }
        for held in self.left_out() {
            count(&mut counts.left_out, format!("{}: {}", held.reason, field(held.row, held.side)));
        }
    }

    /// Everything that this unit changes in the store.
    pub(super) fn commit(self, run: &RunSetup, pair: &PairSetup) -> UnitCommit {
        let rows: Vec<i64> =
            Side::BOTH.into_iter().filter_map(|side| self.unit.side(side)).map(|row| row.seq).collect();
        let mut commit = UnitCommit { about: Some(self.about()), ..UnitCommit::default() };
        commit.outcomes = self.outcomes(run, &pair.mapping);
        commit.decided_rows = self.decided_rows(&pair.mapping);
        match &self.decision.verdict {
            Verdict::Unchanged => commit.done = rows,
            Verdict::Write if self.is_create() => commit.deciding = rows,
            Verdict::Write => commit.done = rows,
            // It takes part when the other side's is edited, and all that was edited meanwhile travels when the filter means it again.
            Verdict::OutOfScope(why) if why == reason::LEFT_FILTER => commit.held = rows,
            Verdict::NeedsAttention(_) | Verdict::OutOfScope(_) if self.unit.link.is_some() => commit.done = rows,
            Verdict::NeedsAttention(_) | Verdict::Waiting(_) | Verdict::OutOfScope(_) => commit.held = rows,
            Verdict::Removed(gone, _) if self.leaves() => {
                let removal = self.unit.side(*gone).map(|row| row.seq);
                (commit.deciding, commit.done) = rows.into_iter().partition(|seq| Some(*seq) == removal);
            }
            Verdict::Removed(..) | Verdict::Forget => commit.done = rows,
        }
        commit.unseen = self.to_be_read(&pair.mapping);
        if !commit.unseen.is_empty() {
            // What one side shows is needed again when the other one has been read.
            commit.held.append(&mut commit.done);
        }
        commit.link = self.link(pair);
        commit.journal = self.journal(&pair.mapping);
        commit.intents = self.decision.writes.iter().map(|write| self.intent(run, pair, write)).collect();
        commit
    }

    /// S12: records without which nothing can be agreed on in a row that is new to the link. They were not listed together with their
    /// counterparts: the login did not see one of them then, or their CRM's fields were read all along.
    fn to_be_read(&self, mapping: &PairMapping) -> Vec<(Side, String)> {
        let is_decided = matches!(self.decision.verdict, Verdict::Unchanged | Verdict::Write);
        if !is_decided || self.unit.link.is_none() || is_on(Sabotage::NewRowsAreUnread) {
            return vec![];
        }
        let is_unread = |side: Side| self.view.presence(side) == Presence::Unread;
        let is_needed = |side: &Side| {
            if !self.decision.unread.is_empty() {
                return true;
            }
            let mut rows = mapping.rows.iter().zip(&self.view.rows);
            rows.any(|(row, cell)| {
                let is_known = |side: Side| cell.side(side).shown.iter().all(Value::is_read);
                let may_tell = is_known(side.other()) || is_unread(side.other());
                !matches!(row.role, Role::Constant(_)) && !is_known(*side) && may_tell
            })
        };
        let needed = Side::BOTH.into_iter().filter(|&side| is_unread(side)).filter(is_needed);
        needed.map(|side| (side, self.record(side))).collect()
    }

    /// By what the records of this unit were found to belong together, for people.
    pub(super) fn matched_by(&self, mapping: &PairMapping) -> String {
        match self.unit.rule {
            Some(COPIES_LEFT | COPIES_RIGHT) => "one is our copy of the other".to_owned(),
            rule => {
                let rule = rule.and_then(|rule| mapping.match_rules.get(rule));
                rule.map_or_else(String::new, |rule| format!("matched by {}", rule.label))
            }
        }
    }

    /// Whether nothing is saved about a link that the flow does not mean. That a record was converted is.
    pub(super) fn leaves_link_alone(&self) -> bool {
        let Verdict::OutOfScope(why) = &self.decision.verdict else { return false };
        why != reason::CONVERTED || is_on(Sabotage::ConvertedIsForgotten)
    }

    fn is_create(&self) -> bool {
        self.decision.writes.iter().any(|write| write.operation == Operation::Create)
    }

    /// Whether a write about the record that left is on its way; the link stays as it is until that is settled.
    pub(super) fn leaves(&self) -> bool {
        self.decision.writes.iter().any(|write| matches!(write.operation, Operation::Mark | Operation::Delete))
    }

    /// The side whose record is not there, and how it left.
    pub(super) fn gone(&self) -> Option<(Side, Away)> {
        Side::BOTH.into_iter().find_map(|side| match self.view.presence(side) {
            Presence::Removed(why) => Some((side, Away::Kept(why))),
            Presence::Away(how) => Some((side, how)),
            _ => None,
        })
    }

    pub(super) fn becomes_linked(&self) -> bool {
        self.unit.link.is_none()
            && self.unit.rule.is_some()
            && matches!(self.decision.verdict, Verdict::Unchanged | Verdict::Write)
    }

    /// The record under which outcomes are kept: of a pair the left one.
    fn about(&self) -> (Side, String) {
        if let Some(link) = &self.unit.link {
            return (Side::Left, link.left_id.clone());
        }
        match (&self.unit.left, &self.unit.right) {
            (Some(left), _) => (Side::Left, left.record.clone()),
            (None, Some(right)) => (Side::Right, right.record.clone()),
            (None, None) => (Side::Left, String::new()),
        }
    }

    /// Id of one side's record, '' if there is none.
    pub(super) fn record(&self, side: Side) -> String {
        match (&self.unit.link, self.unit.side(side)) {
            (Some(link), _) => link.id_of(side).to_owned(),
            (None, Some(row)) => row.record.clone(),
            (None, None) => String::new(),
        }
    }

    fn intent(&self, run: &RunSetup, pair: &PairSetup, write: &Write) -> NewIntent {
        let source_side = write.side.other();
        let rows = write
            .rows
            .iter()
            .map(|change| RowChange {
                row: pair.mapping.rows[change.row].key.0.clone(),
                hash: pair.mapping.rows[change.row].hash,
                before: self.view.rows[change.row].side(write.side).shown.clone(),
                after: change.values.clone(),
            })
            .collect();
        let mut body = IntentBody { rows, ..IntentBody::default() };
        let source = self.unit.side(source_side);
        if write.operation.is_about_leaving() {
            let presence = self.view.presence(source_side);
            body.leaving = Some(leaving::leaving(run, pair, &self.unit, presence, write.side, write.operation));
        }
        if write.operation == Operation::Delete && !is_on(Sabotage::NoPreImage) {
            body.rows = self.pre_image(&pair.mapping, write.side);
        }
        let mut create_key = String::new();
        if write.operation == Operation::Create {
            create_key = run.copy_key(pair, source_side, &self.record(source_side), self.unit.generation);
            body.source_version = source.map(|row| row.version.clone()).unwrap_or_default();
            for (row, cell) in pair.mapping.rows.iter().zip(&self.view.rows) {
                let shown = &cell.side(source_side).shown;
                if shown.iter().all(Value::is_read) && !matches!(row.role, Role::Constant(_)) {
                    body.source.insert(row.key.0.clone(), Base::shown(row.hash, shown.clone()));
                }
            }
            body.blank = blank_bases(&pair.mapping, write);
            body.owed = self.decision.held.iter().map(|held| pair.mapping.rows[held.row].key.0.clone()).collect();
            // The fallback stands in for the owner, who is told as soon as there is a counterpart.
            body.owed.extend(self.fallback_owner(run, &pair.mapping).map(|note| note.field));
        }
        NewIntent {
            side: write.side,
            operation: write.operation,
            source: self.record(source_side),
            source_seq: match (write.operation, self.view.presence(source_side)) {
                (Operation::Create, _) | (Operation::Mark | Operation::Delete, Presence::Removed(_)) => {
                    source.map_or(0, |row| row.seq)
                }
                _ => 0,
            },
            target: if write.operation == Operation::Create { String::new() } else { self.record(write.side) },
            create_key,
            body,
        }
    }

    /// Everything that we know of a record that is to be deleted, so that it can be brought back.
    fn pre_image(&self, mapping: &PairMapping, side: Side) -> Vec<RowChange> {
        let rows = mapping.rows.iter().zip(&self.view.rows);
        let known = rows.filter(|(_, cell)| cell.side(side).shown.iter().any(Value::is_read));
        known
            .map(|(row, cell)| RowChange {
                row: row.key.0.clone(),
                hash: row.hash,
                before: cell.side(side).shown.clone(),
                after: vec![],
            })
            .collect()
    }

    /// Whether a row that settles does so because somebody changed it or it was never agreed on, and not only because a CRM shows what it
    /// made of our write.
    fn is_news(&self, row: usize) -> bool {
        let cell = &self.view.rows[row];
        !cell.owed.is_nobody() || Side::BOTH.into_iter().any(|side| cell.edited(side) || cell.side(side).base.is_none())
    }

    /// Rows that are written, settled, held back or fought over.
    fn decided_rows(&self, mapping: &PairMapping) -> Vec<String> {
        let decision = &self.decision;
        let written = decision.writes.iter().flat_map(|write| write.rows.iter().map(|change| change.row));
        let rows = written
            .chain(decision.settled.iter().copied().filter(|&row| self.is_news(row)))
            .chain(decision.held.iter().map(|held| held.row))
            .chain(decision.conflicts.iter().map(|conflict| conflict.row));
        rows.map(|row| mapping.rows[row].key.0.clone()).collect()
    }

    pub(super) fn outcomes(&self, run: &RunSetup, mapping: &PairMapping) -> Vec<OutcomeNote> {
        let note = |kind: &'static str, why: &str, row: Option<usize>, detail: String| OutcomeNote {
            kind,
            reason: why.to_owned(),
            field: row.map(|row| mapping.rows[row].key.0.clone()).unwrap_or_default(),
            detail,
        };
        let mut notes = Vec::new();
        match &self.decision.verdict {
            Verdict::NeedsAttention(why) => {
                // A record that one row holds back is one point, which names the row.
                let row = self.held().iter().find(|held| held.reason == *why).map(|held| held.row);
                notes.push(note("needs-attention", why, row, String::new()));
            }
            Verdict::OutOfScope(why) => {
                let told = |(side, how): (Side, Away)| match how {
                    Away::Kept(why) => format!("{}: {}", run.side(side).connection, why.as_str()),
                    Away::Both => String::new(),
                };
                notes.push(note("out-of-scope", why, None, self.gone().map(told).unwrap_or_default()));
            }
            Verdict::Waiting(why) if why == reason::SAFETY_STOP => {
                let connection = |side: Side| run.side(side).connection.as_str();
                let what = match (self.gone(), self.view.scope) {
                    (Some((side, Away::Kept(_))), _) if self.view.delete_asked => {
                        format!("deleted in {}, and to be deleted in {}", connection(side), connection(side.other()))
                    }
                    (Some((side, _)), _) => format!("deleted in {}", connection(side)),
                    (None, Scope::Outside(Some(side))) => format!("left the filter in {}", connection(side)),
                    (None, _) => String::new(),
                };
                notes.push(note("waiting", why, None, format!("{what}; {}", leaving::how_to_consent(run))));
            }
            Verdict::Waiting(why) => {
                let detail = "a create that nobody answered may have made this record; that is looked into".to_owned();
                notes.push(note("waiting", why, None, detail));
            }
            Verdict::Removed(side, why) if !self.leaves() => {
                notes.push(note(
                    "removed",
                    if *why == RemovalReason::Merged { reason::MERGED } else { reason::REMOVED },
                    None,
                    format!("{}: {}", run.side(*side).connection, why.as_str()),
                ));
            }
            Verdict::Unchanged if self.view.scope == Scope::Old && self.becomes_linked() => {
                notes.push(note("out-of-scope", reason::BEFORE_START_DATE, None, String::new()));
            }
            Verdict::Unchanged | Verdict::Write | Verdict::Removed(..) | Verdict::Forget => {}
        }
        for HeldRow { row, side, reason: why } in self.left_out() {
            let shown = |side: Side| {
                self.view.rows[*row].side(side).shown.iter().map(Value::display).collect::<Vec<_>>().join(", ")
            };
            let (kind, detail) = if reason::is_question(why) {
                let both = Side::BOTH.map(|side| format!("{}: {}", run.side(side).connection, shown(side)));
                ("needs-attention", both.join("; "))
            } else {
                ("left-out", shown(side.other()))
            };
            notes.push(note(kind, why, Some(*row), detail));
        }
        notes.extend(
            self.decision.differs.iter().map(|&row| note("differs", reason::DIFFERS, Some(row), String::new())),
        );
        if self.is_create() {
            notes.extend(self.fallback_owner(run, mapping));
        }
        notes
    }

    /// S16: a create whose owner has no counterpart gets the fallback; people are told.
    fn fallback_owner(&self, run: &RunSetup, mapping: &PairMapping) -> Option<OutcomeNote> {
        let write = self.decision.writes.first()?;
        let change = write.rows.iter().find(|change| mapping.rows[change.row].role == Role::Owner)?;
        let from = write.side.other();
        let owner = self.view.rows[change.row].side(from).shown.first().and_then(Value::reference);
        let is_unknown = owner.is_some_and(|(_, id)| !run.side(from).owners.users.contains_key(id));
        is_unknown.then(|| OutcomeNote {
            kind: "left-out",
            reason: reason::OWNER_UNKNOWN.to_owned(),
            field: mapping.rows[change.row].key.0.clone(),
            detail: "the new record belongs to the fallback owner".to_owned(),
        })
    }

    fn journal(&self, mapping: &PairMapping) -> Vec<JournalLine> {
        let (left_id, right_id) = (self.record(Side::Left), self.record(Side::Right));
        let line =
            |action, side, field: &RowKey, before: String, after: String, why: &str, detail: String| JournalLine {
                action,
                side,
                left_id: left_id.clone(),
                right_id: right_id.clone(),
                field: field.0.clone(),
                before,
                after,
                reason: why.to_owned(),
                detail,
            };
        let whole = RowKey(String::new());
        let mut lines = Vec::new();
        if self.becomes_linked() {
            lines.push(line("linked", None, &whole, String::new(), String::new(), "", self.matched_by(mapping)));
        }
        for conflict in &self.decision.conflicts {
            let cell = &self.view.rows[conflict.row];
            let values = |side: Side| json(&cell.side(side).shown);
            let key = &mapping.rows[conflict.row].key;
            let is_fought = Side::BOTH.into_iter().all(|side| cell.has_news(side));
            let why = if cell.differs && !is_fought { reason::DIFFERS } else { "both-changed" };
            let mut tell = |side: Side, after: String, detail: &str| {
                lines.push(line("conflict", Some(side), key, values(side), after, why, detail.to_owned()));
            };
            match conflict.winner {
                Some(winner) => tell(winner.other(), values(winner), ""),
                None => {
                    for write in &self.decision.writes {
                        let joined = write.rows.iter().find(|change| change.row == conflict.row);
                        joined.into_iter().for_each(|joined| tell(write.side, json(&joined.values), "joined"));
                    }
                }
            }
        }
        let is_news = Side::BOTH.into_iter().any(|side| self.unit.side(side).is_some_and(InboxRow::leaves_untold));
        if let Some((side, Away::Kept(why))) = self.gone().filter(|_| is_news && self.unit.link.is_some()) {
            lines.push(line(
                "removed",
                Some(side),
                &whole,
                String::new(),
                String::new(),
                reason::REMOVED,
                why.as_str().to_owned(),
            ));
        }
        if let Verdict::NeedsAttention(why) = &self.decision.verdict {
            lines.push(line("attention", None, &whole, String::new(), String::new(), why, String::new()));
        }
        lines
    }
}

fn json(values: &[Value]) -> String {
    serde_json::to_string(values).unwrap_or_default()
}

/// What people call a row on one side: its fields' labels.
pub(super) fn field_label(mapping: &PairMapping, row: usize, side: Side) -> String {
    // A constant has fields on one side only.
    let side = if mapping.rows[row].fields(side).is_empty() { side.other() } else { side };
    let labels: Vec<&str> = mapping.rows[row].fields(side).iter().map(|field| field.label.as_str()).collect();
    labels.join(" + ")
}

/// What a new record shows in rows that are not written, until it is read: blank, and whatever the CRM puts there is its own doing.
pub(super) fn blank_bases(mapping: &PairMapping, write: &Write) -> BTreeMap<String, Base> {
    let unwritten =
        mapping.rows.iter().enumerate().filter(|(index, _)| !write.rows.iter().any(|change| change.row == *index));
    unwritten
        .map(|(_, row)| {
            let blank = vec![Value::Empty; row.fields(write.side).len()];
            (row.key.0.clone(), Base::written(row.hash, blank.clone(), blank))
        })
        .collect()
}
