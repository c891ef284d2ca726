//! Values that go back: where what we wrote still stands.

use crmsync_core::Side;
use crmsync_core::decide::Operation;
use crmsync_core::link::made_of;

use super::created::Doomed;
use super::history::{History, Trace};
use super::{LINES_AT_ONCE, UndoReport, value};
use crate::engine::error::Error;
use crate::engine::setup::{PairSetup, RunSetup};
use crate::engine::view::values_of;
use crate::store::{InboxRow, IntentBody, LinkRow, NewIntent, PresenceWord, RowChange, UndoWrite};

/// The writes that put values back. Those of records that go to the bin are not worth the while.
pub(super) async fn plan(
    run: &RunSetup,
    pair: &PairSetup,
    history: &History,
    doomed: &Doomed,
    report: &mut UndoReport,
) -> Result<Vec<UndoWrite>, Error> {
    let mut writes = Vec::new();
    let traced = history.sides().filter(|(side, _, _, sides)| !sides[*side as usize].traces.is_empty());
    for (number, (side, target, other, sides)) in traced.enumerate() {
        if number % LINES_AT_ONCE == 0 {
            crate::engine::call::renew(run).await?;
        }
        if doomed.has(pair, side, target) || doomed.has(pair, side.other(), other) {
            continue;
        }
        let link = run.store.link_of(run.tenant(), pair.id, side, target).await?;
        let link = link.filter(|link| link.id_of(side.other()) == other && link.removed.is_none());
        let staged = run.store.inbox_record(run.tenant(), pair.id, side, target).await?;
        let mut changes = Vec::new();
        for (key, trace) in &sides[side as usize].traces {
            match row_back(pair, side, link.as_ref(), staged.as_ref(), key, trace) {
                Back::Already => {}
                Back::Yes(change) => {
                    let values = [change.before.as_slice(), &change.after];
                    report.values.push(value(run, pair, (side, target), key, values, ""));
                    changes.push(change);
                }
                Back::No(why) => {
                    let values = [trace.ours.as_slice(), &trace.then];
                    report.kept.push(value(run, pair, (side, target), key, values, why));
                }
            }
        }
        if let (Some(link), false) = (link, changes.is_empty()) {
            writes.push(update(&link, side, staged.map_or(0, |row| row.seq), changes));
        }
    }
    Ok(writes)
}

/// One write of one side that takes values back.
pub(super) fn update(link: &LinkRow, side: Side, staged_seq: i64, rows: Vec<RowChange>) -> UndoWrite {
    let intent = NewIntent {
        side,
        operation: Operation::Update,
        source: link.id_of(side.other()).to_owned(),
        source_seq: staged_seq,
        target: link.id_of(side).to_owned(),
        create_key: String::new(),
        body: IntentBody { rows, undo: true, ..IntentBody::default() },
    };
    UndoWrite { link: link.id, intent }
}

enum Back {
    /// It stands there already.
    Already,
    Yes(RowChange),
    No(&'static str),
}

fn row_back(
    pair: &PairSetup,
    side: Side,
    link: Option<&LinkRow>,
    staged: Option<&InboxRow>,
    key: &str,
    trace: &Trace,
) -> Back {
    let Some(link) = link else { return Back::No("the records are not linked any more") };
    let Some(row) = pair.mapping.rows.iter().find(|row| row.key.0 == key) else {
        return Back::No("the field is not in the mapping any more");
    };
    if !row.direction.writes(side) || !pair.policy.direction.writes(side) {
        return Back::No("the flow does not write this side any more");
    }
    let Some(bases) = link.bases.get(key) else { return Back::No("the field is not in the mapping any more") };
    let Some(base) = bases.side(side) else { return Back::No("what it shows is not known") };
    if !bases.owed.is_nobody() {
        return Back::No("a newer change waits to be written");
    }
    let shown = match staged {
        Some(InboxRow { presence: PresenceWord::Live, image, .. }) => values_of(image, row, side),
        Some(InboxRow { presence: PresenceWord::Removed(_), .. }) => {
            return Back::No("the record is not there any more");
        }
        // What was sent and not read again yet is believed to stand.
        _ => base.sent.as_ref().unwrap_or(&base.values).clone(),
    };
    if shown == trace.then {
        return Back::Already;
    }
    let last_of_ours = base.sent.as_ref() == Some(&trace.ours) || base.values == shown;
    if !(last_of_ours && made_of(&trace.ours, &shown)) {
        return Back::No("it was changed since, by people or by the CRM itself");
    }
    Back::Yes(RowChange { row: key.to_owned(), hash: row.hash, before: shown, after: trace.then.clone() })
}
