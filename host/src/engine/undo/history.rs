//! What the journal says that we did to the records of one pair: what is meant by an undo, and what we wrote to the same records besides.

use std::collections::BTreeMap;

use crmsync_core::{Side, Value};

use super::{LINES_AT_ONCE, UndoRequest};
use crate::engine::error::Error;
use crate::engine::setup::{PairSetup, RunSetup};
use crate::store::{Written, WrittenLine, WrittenQuery};

/// What earlier runs made of one row of one record.
pub(super) struct Trace {
    /// What stood there before the first of them.
    pub(super) then: Vec<Value>,
    /// What the last of them wrote.
    pub(super) ours: Vec<Value>,
}

/// How both sides' edits of one row ended, where this side's was lost.
pub(super) struct Lost {
    /// What this side had shown.
    pub(super) value: Vec<Value>,
    /// What the other side showed, which stayed.
    pub(super) stayed: Vec<Value>,
    /// What was written here for it.
    pub(super) written: Option<Vec<Value>>,
    /// One of both was written again later.
    pub(super) is_over: bool,
}

/// What was done to one side's record.
#[derive(Default)]
pub(super) struct SideHistory {
    /// It was created by a run that is meant.
    pub(super) created: bool,
    /// It was deleted by a run that is meant: the last line of it, with all that was known of the record.
    pub(super) deleted: Option<WrittenLine>,
    /// It was marked by a run that is meant.
    pub(super) marked: Option<WrittenLine>,
    /// Rows that runs that are meant have changed.
    pub(super) traces: BTreeMap<String, Trace>,
    /// Conflicts in runs that are meant in which this side's value was lost, the last one of each row.
    pub(super) lost: BTreeMap<String, Lost>,
    /// What we wrote last, by row, in these runs or later.
    pub(super) last: BTreeMap<String, Vec<Value>>,
}

/// What was done to two records, left and right.
pub(super) type RecordHistory = [SideHistory; 2];

/// The journal of one pair, by left and right record.
#[derive(Default)]
pub(super) struct History(pub(super) BTreeMap<(String, String), RecordHistory>);

impl History {
    /// Reads it, from the first run that is meant on: whether ours still stands is told by what we wrote later, too.
    pub(super) async fn read(run: &RunSetup, pair: &PairSetup, request: &UndoRequest) -> Result<History, Error> {
        let mut history = History::default();
        let runs = request.runs.map(|(first, _)| (first, i64::MAX));
        let record = request.record.as_ref();
        if record.is_some_and(|record| pair.module(record.side).name != record.module) {
            return Ok(history);
        }
        let record = record.map(|record| (record.side, record.id.clone()));
        let mut after = 0;
        loop {
            let query = WrittenQuery { runs, record: record.clone(), after, most: LINES_AT_ONCE };
            let lines = run.store.written_lines(run.tenant(), pair.id, query).await?;
            let Some(last) = lines.last() else { return Ok(history) };
            after = last.id;
            crate::engine::call::renew(run).await?;
            lines.into_iter().for_each(|line| history.add(line, request));
        }
    }

    fn add(&mut self, line: WrittenLine, request: &UndoRequest) {
        let is_meant = request.means_run(line.run) && !matches!(line.action, Written::Undone | Written::Settled);
        let whole = is_meant && request.field.is_none();
        let sides = self.0.entry((line.left_id.clone(), line.right_id.clone())).or_default();
        let [own, other] = [line.side, line.side.other()];
        match line.action {
            Written::Conflict => {
                for (row, value) in line.before {
                    sides[other as usize].lost.remove(&row);
                    let stayed = line.after.get(&row).cloned().unwrap_or_default();
                    // What was joined was lost by nobody.
                    let is_lost = is_meant && request.means_row(&row) && line.detail.is_empty();
                    let lost = Lost { value, stayed, written: None, is_over: !is_lost };
                    sides[own as usize].lost.insert(row, lost);
                }
                return;
            }
            Written::Created | Written::Updated | Written::Undone | Written::Settled => {
                for (row, values) in &line.after {
                    if let Some(lost) = sides[other as usize].lost.get_mut(row) {
                        lost.is_over = true;
                    }
                    match sides[own as usize].lost.get_mut(row) {
                        Some(lost @ Lost { written: None, .. }) => lost.written = Some(values.clone()),
                        Some(lost) => lost.is_over = true,
                        None => {}
                    }
                }
            }
            Written::Deleted | Written::Marked => {}
        }
        let side = &mut sides[own as usize];
        match line.action {
            Written::Deleted if whole => side.deleted = Some(line),
            Written::Marked if whole => side.marked = Some(line),
            Written::Deleted | Written::Marked | Written::Conflict => {}
            Written::Created | Written::Updated | Written::Undone | Written::Settled => {
                side.created |= whole && line.action == Written::Created;
                let WrittenLine { action, mut before, after, .. } = line;
                for (row, ours) in after {
                    side.last.insert(row.clone(), ours.clone());
                    if !is_meant || action != Written::Updated || !request.means_row(&row) {
                        continue;
                    }
                    let then = before.remove(&row).unwrap_or_default();
                    side.traces.entry(row).or_insert(Trace { then, ours: vec![] }).ours = ours;
                }
            }
        }
    }

    /// One side of each pair of records: (side, its record, the other record, what was done).
    pub(super) fn sides(&self) -> impl Iterator<Item = (Side, &str, &str, &RecordHistory)> {
        self.0.iter().flat_map(|((left, right), history)| {
            Side::BOTH.into_iter().map(move |side| {
                let ids = [left.as_str(), right.as_str()];
                (side, ids[side as usize], ids[side.other() as usize], history)
            })
        })
    }
}
