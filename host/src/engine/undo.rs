//! Takes back what runs wrote: the values that stood before go back to the written side, where ours still stand. What people edited
//! since, and what is still to be written, stays. The other side is not written: both differ afterwards, and that is noted, so that
//! nothing travels again by itself.

use std::collections::BTreeMap;

use crmsync_core::link::made_of;
use crmsync_core::{Side, Value};
use serde::{Deserialize, Serialize};

use super::apply::drain;
use super::error::Error;
use super::plan::field_label;
use super::run::pull_both;
use super::setup::{PairSetup, RunSetup};
use super::unknown::adopt_arrivals;
use super::view::values_of;
use crate::store::{InboxRow, LinkRow, PresenceWord, RowChange, UndoWrite, WrittenLine, WrittenQuery};

/// Lines of the journal that are read at once.
const LINES_AT_ONCE: usize = 1_000;
/// Writes that are planned with one step of the store.
const WRITES_AT_ONCE: usize = 250;

/// What is to be taken back.
#[derive(Clone, Debug, Default)]
pub struct UndoRequest {
    /// Only what these runs wrote, first and last.
    pub runs: Option<(i64, i64)>,
    /// Only this record, by its id on either side.
    pub record: Option<String>,
    /// Only this field, by the API name of either side.
    pub field: Option<String>,
    /// Write. Otherwise only tell.
    pub go: bool,
}

/// One value that goes back, or does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoValue {
    /// The connection whose record is written.
    pub connection: String,
    /// Module.
    pub module: String,
    /// Record.
    pub record: String,
    /// Field, by its label; "" for the whole record.
    pub field: String,
    /// What stands there now, as people read it.
    pub now: String,
    /// What stood there before.
    pub then: String,
    /// Why it cannot be taken back; "" if it can.
    pub why_not: String,
}

/// What an undo does, or did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoReport {
    /// Values that go back.
    pub values: Vec<UndoValue>,
    /// Values and records that do not, each with the reason.
    pub kept: Vec<UndoValue>,
    /// Records that were written. 0 if nothing was to be written yet.
    pub written: u64,
    /// Records that changed under our hands, or whose CRM refused: they are as they were.
    pub not_written: u64,
    /// What people should know.
    pub alarms: Vec<String>,
}

/// What earlier runs made of one row of one record.
struct Trace {
    /// What stood there before the first of them.
    then: Vec<Value>,
    /// What the last of them wrote.
    ours: Vec<Value>,
}

/// Left record, right record, written side.
type Place = (String, String, Side);

/// Takes back what was written, or tells what that would be.
///
/// # Errors
/// As for a run.
pub async fn undo(run: &RunSetup, request: &UndoRequest) -> Result<UndoReport, Error> {
    let mut report = UndoReport::default();
    for pair in &run.pairs {
        run.store.recover_intents(&run.lease, pair.id).await?;
        let (mut planned, mut written) = (None, 0);
        for _ in 0..run.limits.rounds_max {
            let pulled = pull_both(run, pair).await?;
            adopt_arrivals(run, pair).await?;
            let mut found = UndoReport::default();
            let writes = plan(run, pair, request, &mut found).await?;
            // What is told is what the first look found.
            if planned.is_none() {
                planned = Some(writes.len() as u64);
                report.values.extend(found.values);
                report.kept.extend(found.kept);
            }
            if !request.go || writes.is_empty() {
                break;
            }
            for portion in writes.chunks(WRITES_AT_ONCE) {
                run.store.plan_undo(&run.lease, pair.id, run.run, portion.to_vec()).await?;
            }
            let drained = drain(run, pair, [pulled[0].read_at_ms, pulled[1].read_at_ms]).await?;
            written += drained.updated.iter().sum::<u64>();
            report.alarms.extend(drained.alarms);
            if drained.again == 0 {
                break;
            }
            // A CRM that tells times in whole seconds takes no condition within the second of the last change.
            super::call::sleep(run, run.limits.round_pause_ms as i64).await?;
        }
        report.written += written;
        if request.go {
            report.not_written += planned.unwrap_or(0).saturating_sub(written);
        }
    }
    Ok(report)
}

async fn plan(
    run: &RunSetup,
    pair: &PairSetup,
    request: &UndoRequest,
    report: &mut UndoReport,
) -> Result<Vec<UndoWrite>, Error> {
    let traces = traces(run, pair, request, report).await?;
    let mut writes = Vec::new();
    for (number, ((left, right, side), rows)) in traces.into_iter().enumerate() {
        if number % LINES_AT_ONCE == 0 {
            super::call::renew(run).await?;
        }
        let target = if side == Side::Left { &left } else { &right };
        let link = run.store.link_of(run.tenant(), pair.id, Side::Left, &left).await?;
        let link = link.filter(|link| link.right_id == right && link.removed.is_none());
        let staged = run.store.inbox_record(run.tenant(), pair.id, side, target).await?;
        let mut changes = Vec::new();
        for (key, trace) in rows {
            match row_back(pair, side, link.as_ref(), staged.as_ref(), &key, &trace) {
                Back::Already => {}
                Back::Yes(change) => {
                    report.values.push(value(run, pair, side, target, &key, &change.before, &change.after, ""));
                    changes.push(change);
                }
                Back::No(why) => {
                    report.kept.push(value(run, pair, side, target, &key, &trace.ours, &trace.then, why));
                }
            }
        }
        if let (Some(link), false) = (link, changes.is_empty()) {
            let staged_seq = staged.map_or(0, |row| row.seq);
            writes.push(UndoWrite { link: link.id, side, staged_seq, rows: changes });
        }
    }
    Ok(writes)
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

/// What the chosen runs made of each record, row by row.
async fn traces(
    run: &RunSetup,
    pair: &PairSetup,
    request: &UndoRequest,
    report: &mut UndoReport,
) -> Result<BTreeMap<Place, BTreeMap<String, Trace>>, Error> {
    let mut traces: BTreeMap<Place, BTreeMap<String, Trace>> = BTreeMap::new();
    let mut after = 0;
    loop {
        let query = WrittenQuery { runs: request.runs, record: request.record.clone(), after, most: LINES_AT_ONCE };
        let lines = run.store.written_lines(run.tenant(), pair.id, query).await?;
        let Some(last) = lines.last() else { return Ok(traces) };
        after = last.id;
        super::call::renew(run).await?;
        for line in lines {
            let WrittenLine { created, side, left_id, right_id, before, after, .. } = line;
            if created {
                if request.field.is_none() {
                    let record = if side == Side::Left { &left_id } else { &right_id };
                    let why = "records that were created stay; delete them in the CRM if they must go";
                    report.kept.push(value(run, pair, side, record, "", &[], &[], why));
                }
                continue;
            }
            let rows = traces.entry((left_id, right_id, side)).or_default();
            for (row, ours) in after {
                let is_meant =
                    request.field.as_ref().is_none_or(|field| row.split(['=', '+']).any(|name| name == field));
                if !is_meant {
                    continue;
                }
                let then = before.get(&row).cloned().unwrap_or_default();
                let trace = rows.entry(row).or_insert(Trace { then, ours: vec![] });
                trace.ours = ours;
            }
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "one column each")]
fn value(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    record: &str,
    key: &str,
    now: &[Value],
    then: &[Value],
    why_not: &str,
) -> UndoValue {
    let shown = |values: &[Value]| values.iter().map(Value::display).collect::<Vec<_>>().join(", ");
    let row = pair.mapping.rows.iter().position(|row| row.key.0 == key);
    UndoValue {
        connection: run.side(side).connection.clone(),
        module: pair.module(side).name.clone(),
        record: record.to_owned(),
        field: row.map_or(key.to_owned(), |row| field_label(&pair.mapping, row, side)),
        now: shown(now),
        then: shown(then),
        why_not: why_not.to_owned(),
    }
}
