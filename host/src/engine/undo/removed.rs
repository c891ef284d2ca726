//! Records that were deleted or marked because the other side's was deleted: what the CRM allows comes back.
//!
//! No CRM lets programs take a record out of its bin, so a deleted one is created again from what the sync log keeps of it: under a new
//! id, with the values of the mapping. It stands as if the delete had only been reported: its counterpart is away, nothing is deleted
//! for that any more, and both are linked again if the counterpart comes back from its bin.

use std::collections::BTreeMap;

use crmsync_core::decide::{Operation, RowWrite, Write};
use crmsync_core::{Base, MappingRow, RemovalReason, Role, Side, Value};

use super::history::History;
use super::{UndoAct, UndoReport, kept, whole};
use crate::engine::error::Error;
use crate::engine::plan::{blank_bases, field_label};
use crate::engine::setup::{PairSetup, RunSetup};
use crate::engine::stage::{reread, reread_whole};
use crate::store::{IntentBody, Leaving, MarkField, NewIntent, PresenceWord, RowChange, UndoWrite, WrittenLine};

/// The writes that bring back what was deleted or marked.
pub(super) async fn plan(
    run: &RunSetup,
    pair: &PairSetup,
    history: &History,
    report: &mut UndoReport,
) -> Result<Vec<UndoWrite>, Error> {
    let mut writes = Vec::new();
    for side in Side::BOTH {
        let lines =
            |pick: fn(&super::history::SideHistory) -> Option<&WrittenLine>| -> Vec<(String, String, &WrittenLine)> {
                let found = history.sides().filter(|(at, _, _, _)| *at == side);
                let found = found.filter_map(|(_, record, other, sides)| {
                    Some((record.to_owned(), other.to_owned(), pick(&sides[side as usize])?))
                });
                found.collect()
            };
        let deleted = lines(|side| side.deleted.as_ref());
        let marked = lines(|side| side.marked.as_ref());
        // Whoever came back by itself meanwhile is known by its link after this.
        let ids =
            |lines: &[(String, String, &WrittenLine)]| lines.iter().map(|line| line.0.clone()).collect::<Vec<_>>();
        reread(run, pair, side, &ids(&deleted)).await?;
        let others: Vec<String> = deleted.iter().map(|line| line.1.clone()).collect();
        reread(run, pair, side.other(), &others).await?;
        reread_whole(run, pair, side, &ids(&marked)).await?;
        for (record, other, line) in deleted {
            match create_again(run, pair, side, &record, &other, line).await? {
                Ok((write, told)) => {
                    report.records.push(whole(run, pair, side, &record, UndoAct::Create, told));
                    writes.push(write);
                }
                Err(why) => report.kept.push(kept(run, pair, side, &record, why)),
            }
        }
        for (record, _, line) in marked {
            match take_mark_off(run, pair, side, &record, line).await? {
                Some(Ok(write)) => {
                    let told = "the flag goes; the record stays without a counterpart".to_owned();
                    report.records.push(whole(run, pair, side, &record, UndoAct::Unmark, told));
                    writes.push(write);
                }
                Some(Err(why)) => report.kept.push(kept(run, pair, side, &record, why)),
                None => {}
            }
        }
        crate::engine::call::renew(run).await?;
    }
    Ok(writes)
}

/// The create of a deleted record, and what is told of it; or why it is not brought back.
async fn create_again(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    record: &str,
    other: &str,
    line: &WrittenLine,
) -> Result<Result<(UndoWrite, String), String>, Error> {
    if !pair.policy.direction.writes(side) {
        return Ok(Err("the flow does not write this side any more".into()));
    }
    if let Some(why) = why_not_needed(run, pair, side, record, other).await? {
        return Ok(Err(why));
    }
    let mut lost = Vec::new();
    let mut rows = Vec::new();
    for (index, row) in pair.mapping.rows.iter().enumerate() {
        let Some(values) = writable(row, side, line) else { continue };
        let values = match row.role {
            Role::Reference => still_there(run, side, values).await?,
            _ => Some(values),
        };
        match values {
            Some(values) => rows.push(RowWrite { row: index, values }),
            None => lost.push(field_label(&pair.mapping, index, side)),
        }
    }
    let lacks = pair.mapping.rows.iter().enumerate().find(|(index, row)| {
        let written = rows.iter().find(|write| write.row == *index);
        row.fields(side).iter().enumerate().any(|(at, field)| {
            field.mandatory && !written.is_some_and(|write| write.values.get(at).is_some_and(Value::is_filled))
        })
    });
    if let Some((index, _)) = lacks {
        let field = field_label(&pair.mapping, index, side);
        return Ok(Err(format!("{field} is mandatory, and the sync log does not have it: take it from the CRM's bin")));
    }
    let lost = if lost.is_empty() { String::new() } else { format!("; not there any more: {}", lost.join(", ")) };
    let told = format!(
        "created again from the sync log, with a new id{lost}; attachments, notes, history, related lists and fields that are not \
         synced do not come back (the CRM's bin has them)"
    );
    let write = Write { side, operation: Operation::Create, rows };
    Ok(Ok((UndoWrite { link: 0, intent: create(run, pair, &write, record, other).await? }, told)))
}

/// Why a deleted record is not created again: it, or its counterpart, is there again.
async fn why_not_needed(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    record: &str,
    other: &str,
) -> Result<Option<String>, Error> {
    let source = side.other();
    let (own, from) = (&run.side(side).connection, &run.side(source).connection);
    if let Some(link) = run.store.link_of(run.tenant(), pair.id, source, other).await? {
        return Ok(Some(if link.removed == Some(side) {
            format!("{from} {other} is there again: `attention decide … restore` creates its counterpart")
        } else if link.id_of(side) == record {
            "it is there again".to_owned()
        } else {
            format!("it was brought back already, as {}", link.id_of(side))
        }));
    }
    let is_there = async |at: Side, id: &str| -> Result<bool, Error> {
        let linked = run.store.link_of(run.tenant(), pair.id, at, id).await?.is_some();
        let staged = run.store.inbox_record(run.tenant(), pair.id, at, id).await?;
        Ok(linked || staged.is_some_and(|row| row.presence == PresenceWord::Live))
    };
    if is_there(side, record).await? {
        return Ok(Some(format!("it is there again in {own}")));
    }
    if is_there(source, other).await? {
        return Ok(Some(format!("{from} {other} is there: the flow makes a copy of it when it means it")));
    }
    Ok(None)
}

/// What the sync log has of a row, if it can be written.
fn writable(row: &MappingRow, side: Side, line: &WrittenLine) -> Option<Vec<Value>> {
    let fields = row.fields(side);
    let values = line.before.get(&row.key.0)?;
    let fits = values.len() == fields.len() && values.iter().any(Value::is_filled);
    (fits && fields.iter().all(|field| !field.read_only)).then(|| values.clone())
}

/// The same references, where what they point to is known to be there, under the id that it has now.
async fn still_there(run: &RunSetup, side: Side, values: Vec<Value>) -> Result<Option<Vec<Value>>, Error> {
    let mut found = Vec::with_capacity(values.len());
    for value in values {
        let Some((module, id)) = value.reference() else {
            found.push(value);
            continue;
        };
        let Some(pair) = run.pairs.iter().find(|pair| pair.module(side).name == module) else {
            // Of a module that the flow does not sync: the CRM knows.
            found.push(value);
            continue;
        };
        let linked = run.store.link_of(run.tenant(), pair.id, side, id).await?;
        let id = match linked.filter(|link| link.removed != Some(side)) {
            Some(_) => id.to_owned(),
            None => match run.store.successor(run.tenant(), pair.id, side, id).await? {
                Some(successor) => successor,
                None => return Ok(None),
            },
        };
        found.push(Value::Reference(format!("{module}/{id}")));
    }
    Ok(Some(found))
}

async fn create(
    run: &RunSetup,
    pair: &PairSetup,
    write: &Write,
    record: &str,
    other: &str,
) -> Result<NewIntent, Error> {
    let (side, source) = (write.side, write.side.other());
    let ids = if side == Side::Left { [record, other] } else { [other, record] }.map(str::to_owned);
    let ended = run.store.ended_link(run.tenant(), pair.id, ids).await?;
    let mut shown: BTreeMap<String, Base> = BTreeMap::new();
    for (row, bases) in ended.map(|link| link.bases).unwrap_or_default() {
        if let Some(base) = bases.side(source) {
            shown.insert(row, base.clone());
        }
    }
    let rows = write.rows.iter().map(|change| RowChange {
        row: pair.mapping.rows[change.row].key.0.clone(),
        hash: pair.mapping.rows[change.row].hash,
        before: vec![Value::Empty; change.values.len()],
        after: change.values.clone(),
    });
    let (own, from) = (&run.side(side).connection, &run.side(source).connection);
    let why = RemovalReason::Deleted.as_str().to_owned();
    let told = format!("{from}: {why}; brought back in {own}, where it was {record}");
    Ok(NewIntent {
        side,
        operation: Operation::Create,
        source: other.to_owned(),
        source_seq: 0,
        target: String::new(),
        create_key: (run.new_key)(),
        body: IntentBody {
            rows: rows.collect(),
            source: shown,
            blank: blank_bases(&pair.mapping, write),
            undo: true,
            leaving: Some(Leaving { why, told, field: None, asked: false }),
            ..IntentBody::default()
        },
    })
}

/// The end of a mark, if it still stands; none if it is off already.
async fn take_mark_off(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    record: &str,
    line: &WrittenLine,
) -> Result<Option<Result<UndoWrite, String>>, Error> {
    let link = run.store.link_of(run.tenant(), pair.id, side, record).await?;
    let Some(link) = link else { return Ok(Some(Err("the records are not linked any more".into()))) };
    let Some(mark) = link.mark_on(side) else { return Ok(None) };
    if link.removed.is_none() {
        return Ok(Some(Err("the flag goes by itself when the filter means the record again".into())));
    }
    let Some((name, written)) = line.after.iter().find_map(|(name, values)| Some((name, values.first()?))) else {
        return Ok(None);
    };
    if pair.mark(side).is_none_or(|known| known.field != *name) {
        return Ok(Some(Err(format!("the flow does not set `{name}` any more: empty it in the CRM"))));
    }
    let staged = run.store.inbox_record(run.tenant(), pair.id, side, record).await?;
    let Some(staged) = staged.filter(|row| row.presence == PresenceWord::Live) else {
        return Ok(Some(Err("the record is not there any more".into())));
    };
    if staged.image.get(name) != Some(written) {
        return Ok(Some(Err(format!("`{name}` was changed since"))));
    }
    let after = if mark.before.is_read() { mark.before.clone() } else { Value::Empty };
    let field = MarkField { name: name.clone(), before: written.clone(), after };
    let told = "the flag was taken back".to_owned();
    let intent = NewIntent {
        side,
        operation: Operation::Unmark,
        source: link.id_of(side.other()).to_owned(),
        source_seq: staged.seq,
        target: record.to_owned(),
        create_key: String::new(),
        body: IntentBody {
            undo: true,
            leaving: Some(Leaving { why: String::new(), told, field: Some(field), asked: false }),
            ..IntentBody::default()
        },
    };
    Ok(Some(Ok(UndoWrite { link: link.id, intent })))
}
