//! What a preview lists, value by value and record by record; and the promise that follows from it: a first sync replaces no value that
//! was not listed (S5).

use crmsync_core::decide::{HeldRow, Operation, Verdict, reason};
use crmsync_core::sabotage::{Sabotage, is_on};
use crmsync_core::{Role, Side, Value};

use super::error::Error;
use super::plan::{Decided, field_label};
use super::references;
use super::setup::{PairSetup, RunSetup};
use crate::store::{ListedItem, Replacement};

impl Decided {
    /// Everything that this unit adds to a listing.
    pub(super) fn listed(&self, run: &RunSetup, pair: &PairSetup) -> Vec<ListedItem> {
        let mapping = &pair.mapping;
        let whole = |kind: &'static str, side: Option<Side>, reason: &str, detail: String| ListedItem {
            kind,
            side,
            left_id: self.record(Side::Left),
            right_id: self.record(Side::Right),
            reason: reason.to_owned(),
            detail,
            ..ListedItem::default()
        };
        let mut items = Vec::new();
        if self.becomes_linked() {
            items.push(whole("linked", None, "", self.matched_by(mapping)));
        }
        for write in &self.decision.writes {
            if write.operation == Operation::Create {
                items.push(whole("created", Some(write.side), "", self.who(pair)));
                continue;
            }
            for change in &write.rows {
                let before = &self.view.rows[change.row].side(write.side).shown;
                let kind = if before.iter().any(Value::is_filled) { "replaced" } else { "filled" };
                items.push(ListedItem {
                    field: mapping.rows[change.row].key.0.clone(),
                    label: field_label(mapping, change.row, write.side),
                    before: shown(before),
                    after: shown(&change.values),
                    ..whole(kind, Some(write.side), "", String::new())
                });
            }
        }
        for note in self.outcomes(run, mapping) {
            let row = mapping.rows.iter().position(|row| row.key.0 == note.field);
            let detail = match (row, note.detail.is_empty()) {
                (None, true) => self.who(pair),
                _ => note.detail,
            };
            let differs = row.filter(|_| note.reason == reason::DIFFERS || note.reason == reason::DIFFERS_ASK);
            let values =
                |side: Side| differs.map_or_else(String::new, |row| shown(&self.view.rows[row].side(side).shown));
            items.push(ListedItem {
                label: row.map_or_else(String::new, |row| field_label(mapping, row, Side::Left)),
                before: values(Side::Left),
                after: values(Side::Right),
                field: note.field,
                ..whole(note.kind, None, &note.reason, if differs.is_some() { String::new() } else { detail })
            });
        }
        items
    }

    /// By what people know the record: the values of the strongest match rule.
    fn who(&self, pair: &PairSetup) -> String {
        let side = if self.unit.left.is_some() { Side::Left } else { Side::Right };
        let Some(rule) = pair.mapping.match_rules.first() else { return String::new() };
        let values = rule.rows.iter().map(|&row| shown(&self.view.rows[row].side(side).shown));
        values.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(", ")
    }

    /// Values that this unit would replace without an agreement from before: those that a listing must have.
    fn first_replacements(&self, pair: &PairSetup) -> Vec<(usize, Replacement)> {
        let mut found = Vec::new();
        for write in self.decision.writes.iter().filter(|write| write.operation == Operation::Update) {
            for change in &write.rows {
                let cell = &self.view.rows[change.row];
                let agreed = Side::BOTH.into_iter().all(|side| cell.side(side).base.is_some());
                let before = &cell.side(write.side).shown;
                if agreed || !before.iter().any(Value::is_filled) {
                    continue;
                }
                let replacement = Replacement {
                    left_id: self.record(Side::Left),
                    right_id: self.record(Side::Right),
                    side: write.side,
                    field: pair.mapping.rows[change.row].key.0.clone(),
                    before: shown(before),
                    after: shown(&change.values),
                    promised: promised_of(pair, change.row, &change.values, &cell.side(write.side.other()).shown),
                };
                found.push((change.row, replacement));
            }
        }
        found
    }

    /// Both sides keep what they show in this row, and a person decides.
    fn leave_to_a_person(&mut self, row: usize, side: Side) {
        for write in &mut self.decision.writes {
            write.rows.retain(|change| change.row != row);
        }
        self.decision.writes.retain(|write| !write.rows.is_empty());
        self.decision.conflicts.retain(|conflict| conflict.row != row);
        self.decision.held.push(HeldRow { row, side, reason: reason::DIFFERS_ASK.into() });
        if self.decision.writes.is_empty() && self.decision.verdict == Verdict::Write {
            self.decision.verdict = Verdict::Unchanged;
        }
    }
}

/// S5: takes every replacement that the approved preview did not list out of these decisions, and gives their number. Somebody edited
/// one of the records since, or the mapping of a value changed.
pub(super) async fn hold_back_unlisted(
    run: &RunSetup,
    pair: &PairSetup,
    preview: i64,
    decided: &mut [Decided],
) -> Result<u64, Error> {
    let mut places = Vec::new();
    let mut wanted = Vec::new();
    for (unit, decision) in decided.iter().enumerate() {
        for (row, replacement) in decision.first_replacements(pair) {
            places.push((unit, row, replacement.side));
            wanted.push(replacement);
        }
    }
    if wanted.is_empty() || is_on(Sabotage::IgnoreListing) {
        return Ok(0);
    }
    let unseen = run.store.not_listed(&run.lease, preview, pair.id, wanted).await?;
    for &index in &unseen {
        let (unit, row, side) = places[index];
        decided[unit].leave_to_a_person(row, side);
    }
    Ok(unseen.len() as u64)
}

/// How the preview listed this reference if the record that it points to now was not there yet; "" for what is no reference.
fn promised_of(pair: &PairSetup, row: usize, values: &[Value], source: &[Value]) -> String {
    match (&pair.mapping.rows[row].role, values, source) {
        (Role::Reference, [value], [source]) if source.reference().is_some() => {
            value.reference().map(|(module, _)| references::promised(module, &source.display())).unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// The values of one mapping row as people read them.
fn shown(values: &[Value]) -> String {
    values.iter().map(Value::display).collect::<Vec<_>>().join(", ")
}
