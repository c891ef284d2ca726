//! Records that were created go to the CRM's bin again: if they still show what we wrote, and nothing hangs on them that stays.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crmsync_core::decide::{Operation, reason};
use crmsync_core::link::made_of;
use crmsync_core::{MappingRow, Role, Side, Value};

use super::history::{History, RecordHistory};
use super::{Places, UndoAct, UndoReport, UndoValue, kept, reference_to, whole};
use crate::engine::error::Error;
use crate::engine::plan::field_label;
use crate::engine::setup::{PairSetup, RunSetup};
use crate::engine::stage::reread_whole;
use crate::engine::view::values_of;
use crate::store::{
    InboxRow, IntentBody, Leaving, LinkRow, NewIntent, PairId, PointQuery, PresenceWord, RowChange, UndoWrite,
};

/// The records that go to the bin, by pair.
#[derive(Debug, Default)]
pub(super) struct Doomed(BTreeMap<PairId, Places>);

impl Doomed {
    pub(super) fn has(&self, pair: &PairSetup, side: Side, record: &str) -> bool {
        self.0.get(&pair.id).is_some_and(|places| places.contains(&(side, record.to_owned())))
    }

    fn is_empty(&self) -> bool {
        self.0.values().all(BTreeSet::is_empty)
    }
}

/// A record that may go, with what was looked at.
struct Candidate {
    link: LinkRow,
    staged: InboxRow,
}

/// Says which of the created records of all pairs go, and tells of the others why they stay.
pub(super) async fn judge(run: &RunSetup, histories: &[History], stay: &mut Vec<UndoValue>) -> Result<Doomed, Error> {
    let mut doomed = Doomed::default();
    let mut questions = None;
    for (pair, history) in run.pairs.iter().zip(histories) {
        for side in Side::BOTH {
            let created = of_side(history, side);
            if created.is_empty() {
                continue;
            }
            let questions = match &questions {
                Some(questions) => questions,
                None => questions.insert(open_questions(run).await?),
            };
            read_anew(run, pair, side, &created).await?;
            for (record, other, sides) in created {
                match candidate(run, pair, side, record, other, sides).await? {
                    Ok(Candidate { link, .. }) if questions.contains(&(pair.id, link.left_id.clone())) => {
                        stay.push(kept(run, pair, side, record, "it waits for a person's answer: `attention show` it"));
                    }
                    Ok(_) => {
                        doomed.0.entry(pair.id).or_default().insert((side, record.to_owned()));
                    }
                    Err(why) => stay.push(kept(run, pair, side, record, why)),
                }
            }
        }
    }
    if !doomed.is_empty() {
        spare_what_others_hang_on(run, &mut doomed, stay).await?;
    }
    Ok(doomed)
}

/// The writes that move the doomed records of one pair to the bin.
pub(super) async fn plan(
    run: &RunSetup,
    pair: &PairSetup,
    history: &History,
    doomed: &Doomed,
    report: &mut UndoReport,
) -> Result<Vec<UndoWrite>, Error> {
    let mut writes = Vec::new();
    for side in Side::BOTH {
        let mut going = of_side(history, side);
        going.retain(|(record, _, _)| doomed.has(pair, side, record));
        read_anew(run, pair, side, &going).await?;
        for (record, other, sides) in going {
            let Candidate { link, staged } = match candidate(run, pair, side, record, other, sides).await? {
                Ok(candidate) => candidate,
                Err(why) => {
                    report.kept.push(kept(run, pair, side, record, why));
                    continue;
                }
            };
            let source = &run.side(side.other()).connection;
            let told = match link.removed {
                None => format!("to the bin; {source} {other} stays as it is and is left alone"),
                Some(_) => "to the bin".to_owned(),
            };
            let told = format!("{told}; fields that are not synced are not compared, and go with it");
            report.records.push(whole(run, pair, side, record, UndoAct::Recycle, told));
            let connection = &run.side(side).connection;
            let told = format!("the copy {record} in {connection} went to the bin");
            let leaving = Leaving { why: String::new(), told, field: None, asked: false };
            let intent = NewIntent {
                side,
                operation: Operation::Delete,
                source: other.to_owned(),
                source_seq: staged.seq,
                target: record.to_owned(),
                create_key: String::new(),
                body: IntentBody {
                    rows: pre_image(pair, side, &staged),
                    undo: true,
                    leaving: Some(leaving),
                    ..IntentBody::default()
                },
            };
            writes.push(UndoWrite { link: link.id, intent });
        }
    }
    Ok(writes)
}

type Created<'a> = (&'a str, &'a str, &'a RecordHistory);

/// Records of one side that were created: (record, the one that it is a copy of, what was done to both).
fn of_side(history: &History, wanted: Side) -> Vec<Created<'_>> {
    let created = history.sides().filter(|(side, _, _, sides)| *side == wanted && sides[*side as usize].created);
    created.map(|(_, record, other, sides)| (record, other, sides)).collect()
}

async fn read_anew(run: &RunSetup, pair: &PairSetup, side: Side, created: &[Created<'_>]) -> Result<(), Error> {
    let ids: Vec<String> = created.iter().map(|(record, _, _)| (*record).to_owned()).collect();
    reread_whole(run, pair, side, &ids).await?;
    crate::engine::call::renew(run).await
}

/// Whether a record that was just read may go; else why not.
async fn candidate(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    record: &str,
    other: &str,
    sides: &RecordHistory,
) -> Result<Result<Candidate, String>, Error> {
    let connection = &run.side(side).connection;
    if !pair.policy.direction.writes(side) {
        return Ok(Err("the flow does not write this side any more".into()));
    }
    if !pair.module(side).deletes.recycle {
        return Ok(Err(format!(
            "{connection} has no bin for {}: delete it there if it must go",
            pair.module(side).name
        )));
    }
    let link = run.store.link_of(run.tenant(), pair.id, side, record).await?;
    let Some(link) = link.filter(|link| link.id_of(side.other()) == other) else {
        return Ok(Err("the records are not linked any more".into()));
    };
    let staged = run.store.inbox_record(run.tenant(), pair.id, side, record).await?;
    let Some(staged) = staged.filter(|row| row.presence == PresenceWord::Live && link.removed != Some(side)) else {
        return Ok(Err("the record is not there any more".into()));
    };
    let changed = pair.mapping.rows.iter().position(|row| !shows_ours(pair, side, row, &link, &staged, sides));
    Ok(match changed {
        Some(row) => {
            let field = field_label(&pair.mapping, row, side);
            Err(format!("{field} was changed since, by people or by the CRM itself"))
        }
        None => Ok(Candidate { link, staged }),
    })
}

/// Whether a row of a record that we created shows what we wrote, or what the CRM made of it at once. What people typed either is news,
/// or was told to the other side.
fn shows_ours(
    pair: &PairSetup,
    side: Side,
    row: &MappingRow,
    link: &LinkRow,
    staged: &InboxRow,
    sides: &RecordHistory,
) -> bool {
    let key = &row.key.0;
    let shown = values_of(&staged.image, row, side);
    let ours = sides[side as usize].last.get(key);
    let is_blank = |value: &Value| !value.is_filled() || *value == Value::Boolean(false);
    let owes = link.bases.get(key).is_some_and(|bases| bases.owed.to(side.other()));
    if owes && !matches!(row.role, Role::Constant(_)) {
        return false;
    }
    match ours {
        Some(ours) if made_of(ours, &shown) => return true,
        None if shown.iter().all(is_blank) => return true,
        _ => {}
    }
    let base = link.bases.get(key).and_then(|bases| bases.side(side).as_ref());
    let was_seen = base.is_some_and(|base| base.values == shown && base.sent.is_none());
    let would_be_told = pair.policy.direction.writes(side.other()) && row.direction.writes(side.other());
    was_seen && would_be_told && !sides[side.other() as usize].last.contains_key(key)
}

/// Linked records of which a field waits for a person, by pair and left record: an edit of theirs may be in it.
async fn open_questions(run: &RunSetup) -> Result<BTreeSet<(PairId, String)>, Error> {
    let query = PointQuery { most: usize::MAX >> 1, ..PointQuery::default() };
    let points = run.store.points(run.tenant(), &run.lease.flow, query).await?;
    let asked = points.into_iter().filter(|point| reason::is_question(&point.reason) || point.reason == reason::UNDONE);
    Ok(asked.map(|point| (point.pair, point.left)).collect())
}

/// A record to which another one points that stays, stays too; and so on, until nothing changes any more.
async fn spare_what_others_hang_on(
    run: &RunSetup,
    doomed: &mut Doomed,
    stay: &mut Vec<UndoValue>,
) -> Result<(), Error> {
    let mut hanging = Vec::new();
    for side in Side::BOTH {
        let mut targets = BTreeSet::new();
        for pair in &run.pairs {
            let going = doomed.0.get(&pair.id).into_iter().flatten().filter(|(at, _)| *at == side);
            targets.extend(going.map(|(_, record)| reference_to(pair, side, record)));
        }
        let targets = Arc::new(targets);
        for pair in run.pairs.iter().filter(|_| !targets.is_empty()) {
            let rows = pair.mapping.rows.iter().filter(|row| row.role == Role::Reference);
            let keys: Vec<String> = rows.clone().map(|row| row.key.0.clone()).collect();
            let fields = rows.flat_map(|row| row.fields(side)).map(|field| field.name.clone()).collect();
            if keys.is_empty() {
                continue;
            }
            let found = run.store.pointing_to(run.tenant(), pair.id, side, keys, fields, Arc::clone(&targets)).await?;
            hanging.extend(found.into_iter().map(|(record, target)| (side, pair, record, target)));
            crate::engine::call::renew(run).await?;
        }
    }
    loop {
        let spared = hanging.iter().find_map(|(side, from, record, target)| {
            let (module, id) = target.split_once('/')?;
            let pair =
                run.pairs.iter().find(|pair| pair.module(*side).name == module && doomed.has(pair, *side, id))?;
            (!doomed.has(from, *side, record)).then_some((*side, pair, id, reference_to(from, *side, record)))
        });
        let Some((side, pair, id, from)) = spared else { return Ok(()) };
        doomed.0.entry(pair.id).or_default().remove(&(side, id.to_owned()));
        stay.push(kept(run, pair, side, id, format!("{from} points to it, and stays")));
    }
}

/// Everything that the record shows, so that the sync log keeps it.
fn pre_image(pair: &PairSetup, side: Side, staged: &InboxRow) -> Vec<RowChange> {
    let shown = pair.mapping.rows.iter().map(|row| (row, values_of(&staged.image, row, side)));
    let known = shown.filter(|(_, values)| values.iter().any(Value::is_read));
    known.map(|(row, before)| RowChange { row: row.key.0.clone(), hash: row.hash, before, after: vec![] }).collect()
}
