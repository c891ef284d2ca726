//! Conflicts that a former winner decided, settled by the rules of today (S15): the value that was lost comes back, and goes to the other
//! side as well. Only where both sides still show what the conflict had left, so never over a newer edit.

use std::collections::{BTreeMap, BTreeSet};

use crmsync_core::decide::{Carried, FieldView, RowView, decide_again};
use crmsync_core::link::made_of;
use crmsync_core::{Owed, Side, Value};

use super::history::{History, Lost};
use super::values::update;
use super::{LINES_AT_ONCE, UndoReport, value};
use crate::engine::carry::carry_all;
use crate::engine::error::Error;
use crate::engine::setup::{PairSetup, RunSetup};
use crate::engine::view::Shown;
use crate::store::{LinkRow, RowChange, UndoWrite, UnitRow};

/// One row that was fought over, with what both sides show of it now.
struct Fought<'a> {
    key: &'a str,
    /// Index of its mapping row.
    row: usize,
    /// The side whose value was lost.
    loser: Side,
    lost: &'a Lost,
    link: LinkRow,
    /// What left and right show now.
    shown: [Vec<Value>; 2],
    /// Staged rows that were looked at, left and right; 0 for none.
    staged: [i64; 2],
}

/// The writes that settle the conflicts anew.
pub(super) async fn plan(
    run: &RunSetup,
    pair: &PairSetup,
    history: &History,
    report: &mut UndoReport,
) -> Result<Vec<UndoWrite>, Error> {
    let mut fought = Vec::new();
    let mut views = Vec::new();
    let with_conflicts = history.sides().filter(|(side, _, _, sides)| !sides[*side as usize].lost.is_empty());
    for (number, (loser, record, other, sides)) in with_conflicts.enumerate() {
        if number % LINES_AT_ONCE == 0 {
            crate::engine::call::renew(run).await?;
        }
        let link = run.store.link_of(run.tenant(), pair.id, loser, record).await?;
        let link = link.filter(|link| link.id_of(loser.other()) == other && link.removed.is_none());
        let ids = if loser == Side::Left { [record, other] } else { [other, record] };
        let staged = [
            run.store.inbox_record(run.tenant(), pair.id, Side::Left, ids[0]).await?,
            run.store.inbox_record(run.tenant(), pair.id, Side::Right, ids[1]).await?,
        ];
        let seqs = staged.each_ref().map(|row| row.as_ref().map_or(0, |row| row.seq));
        let [left, right] = staged;
        let unit = UnitRow {
            left,
            right,
            link: link.clone(),
            rule: None,
            several: false,
            left_alone: false,
            late_twin: false,
            differs: BTreeSet::new(),
            generation: link.as_ref().map_or(1, |link| link.generation),
        };
        for (key, lost) in sides[loser as usize].lost.iter().filter(|(_, lost)| !lost.is_over) {
            let row = pair.mapping.rows.iter().position(|row| row.key.0 == *key);
            let (Some(link), Some(row)) = (&link, row) else {
                let why = if link.is_none() {
                    "the records are not linked any more"
                } else {
                    "the field is not in the mapping any more"
                };
                report.kept.push(value(run, pair, (loser, record), key, [&lost.stayed, &lost.value], why));
                continue;
            };
            let mut view = Shown::of(&unit, &pair.mapping);
            let shown = view.rows[row].clone();
            view.rows[row][loser as usize].clone_from(&lost.value);
            view.rows[row][loser.other() as usize].clone_from(&lost.stayed);
            views.push(view);
            fought.push(Fought { key, row, loser, lost, link: link.clone(), shown, staged: seqs });
        }
    }
    let carried = carry_all(run, pair, &views, None).await?;
    let mut changes: BTreeMap<(i64, Side), (LinkRow, i64, Vec<RowChange>)> = BTreeMap::new();
    for (fought, [left, right]) in fought.into_iter().zip(carried) {
        let carried = [left[fought.row].clone(), right[fought.row].clone()];
        for (side, change) in settle(run, pair, &fought, carried, report) {
            let entry = changes.entry((fought.link.id, side));
            let (_, _, rows) = entry.or_insert((fought.link.clone(), fought.staged[side as usize], vec![]));
            rows.push(change);
        }
    }
    let writes = changes.into_iter().map(|((_, side), (link, staged, rows))| {
        let mut write = update(&link, side, staged, rows);
        write.intent.body.settle = true;
        write
    });
    Ok(writes.collect())
}

/// What is to be written of one row, on either side; what that comes to is told.
fn settle(
    run: &RunSetup,
    pair: &PairSetup,
    fought: &Fought<'_>,
    carried: [Carried; 2],
    report: &mut UndoReport,
) -> Vec<(Side, RowChange)> {
    let Fought { key, row, loser, lost, link, shown, .. } = fought;
    let (loser, winner) = (*loser, loser.other());
    let mapped = &pair.mapping.rows[*row];
    let mut stays = |side: Side, why: &str| {
        let values = [shown[side as usize].as_slice(), &lost.value];
        report.kept.push(value(run, pair, (side, link.id_of(side)), key, values, why));
    };
    let field = |side: Side, carried: Carried| {
        let then = if side == loser { &lost.value } else { &lost.stayed };
        FieldView { shown: then.clone(), base: None, carried }
    };
    let [left, right] = carried;
    let cell = RowView {
        left: field(Side::Left, left),
        right: field(Side::Right, right),
        owed: Owed::Nobody,
        differs: false,
        left_is_receipt: false,
        right_is_receipt: false,
    };
    let values = match decide_again(mapped, &cell, &pair.policy) {
        // It would end as it did.
        Some((side, _)) if side == winner => return vec![],
        Some((_, Ok(values))) => values,
        Some((_, Err(why))) => {
            stays(winner, &format!("the value cannot go there: {why}"));
            return vec![];
        }
        None => {
            stays(loser, "by the rules of today no side's value simply stays");
            return vec![];
        }
    };
    if !pair.policy.direction.writes(loser) || !mapped.direction.writes(loser) {
        stays(loser, "the flow does not write this side any more");
        return vec![];
    }
    let Some(written) = &lost.written else {
        stays(loser, "the value that stayed never came here");
        return vec![];
    };
    let mut found = Vec::new();
    for (side, left_there, after) in [(loser, written, &lost.value), (winner, &lost.stayed, &values)] {
        let now = &shown[side as usize];
        let base = link.bases.get(*key).and_then(|bases| bases.side(side).as_ref());
        let is_ours = base.is_some_and(|base| base.sent.as_ref() == Some(left_there) || base.values == *now);
        if made_of(after, now) {
            continue;
        }
        if !(is_ours && made_of(left_there, now)) {
            stays(side, "it was changed since, by people or by the CRM itself");
            return vec![];
        }
        let change = RowChange { row: (*key).to_owned(), hash: mapped.hash, before: now.clone(), after: after.clone() };
        found.push((side, change));
    }
    for (side, change) in &found {
        let values = [change.before.as_slice(), &change.after];
        report.values.push(value(run, pair, (*side, link.id_of(*side)), key, values, ""));
    }
    found
}
