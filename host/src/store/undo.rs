//! What runs wrote, read back for an undo, and the writes that take it back.

use std::collections::BTreeMap;

use crmsync_core::decide::Operation;
use crmsync_core::{Side, Value};

use super::decisions::{NewIntent, insert_intent, link_by_id};
use super::driver::from_json;
use super::outbox::{IntentBody, RowChange};
use super::staging::{InboxRow, inbox_row};
use super::{Error, Lease, PairId, Store, Tx};

/// Which lines to read.
#[derive(Clone, Debug, Default)]
pub struct WrittenQuery {
    /// Only of these runs, first and last.
    pub runs: Option<(i64, i64)>,
    /// Only this record, on either side.
    pub record: Option<String>,
    /// Only lines behind this number.
    pub after: i64,
    /// At most so many.
    pub most: usize,
}

/// A write that happened.
#[derive(Clone, Debug)]
pub struct WrittenLine {
    /// Number of its journal line.
    pub id: i64,
    /// The record was created; otherwise it was changed.
    pub created: bool,
    /// The written side.
    pub side: Side,
    /// Left record.
    pub left_id: String,
    /// Right record.
    pub right_id: String,
    /// What stood there, by mapping row.
    pub before: BTreeMap<String, Vec<Value>>,
    /// What was written.
    pub after: BTreeMap<String, Vec<Value>>,
}

/// One write that takes values back.
#[derive(Clone, Debug)]
pub struct UndoWrite {
    /// The link of the record.
    pub link: i64,
    /// The side that is written.
    pub side: Side,
    /// The staged row of the record that was looked at, 0 if none was staged.
    pub staged_seq: i64,
    /// What stands there, and what goes back.
    pub rows: Vec<RowChange>,
}

impl Store {
    /// What runs wrote in a pair, oldest first.
    pub async fn written_lines(
        &self,
        tenant: &str,
        pair: PairId,
        query: WrittenQuery,
    ) -> Result<Vec<WrittenLine>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let (first, last) = query.runs.unwrap_or((0, i64::MAX));
            let record = query.record.unwrap_or_default();
            let rows = tx.all(
                "SELECT id, action, side, left_id, right_id, before, after FROM journal
                 WHERE tenant = ?1 AND pair = ?2 AND id > ?3 AND run BETWEEN ?4 AND ?5 AND action IN ('created', 'updated')
                 AND (?6 = '' OR left_id = ?6 OR right_id = ?6) ORDER BY id LIMIT ?7",
                (&tenant, pair, query.after, first, last, &record, query.most as i64),
                |row| {
                    let texts: (String, String) = (row.get(5)?, row.get(6)?);
                    let line = WrittenLine {
                        id: row.get(0)?,
                        created: row.get::<_, String>(1)? == "created",
                        side: if row.get::<_, String>(2)? == "left" { Side::Left } else { Side::Right },
                        left_id: row.get(3)?,
                        right_id: row.get(4)?,
                        before: BTreeMap::new(),
                        after: BTreeMap::new(),
                    };
                    Ok((line, texts))
                },
            )?;
            let parse = |(line, (before, after)): (WrittenLine, (String, String))| {
                Ok(WrittenLine {
                    before: from_json("journal values", &before)?,
                    after: from_json("journal values", &after)?,
                    ..line
                })
            };
            rows.into_iter().map(parse).collect()
        })
        .await
    }

    /// The staged row of a record, whatever it says.
    pub async fn inbox_record(
        &self,
        tenant: &str,
        pair: PairId,
        side: Side,
        record: &str,
    ) -> Result<Option<InboxRow>, Error> {
        let (tenant, record) = (tenant.to_owned(), record.to_owned());
        self.step(move |tx| inbox_row(tx, &tenant, pair, side, &record)).await
    }

    /// Rule 1: stores writes that take values back. A link with an open write gets none.
    pub async fn plan_undo(&self, lease: &Lease, pair: PairId, run: i64, writes: Vec<UndoWrite>) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            writes.into_iter().try_for_each(|write| plan_one(tx, &lease, pair, run, write))
        })
        .await
    }
}

fn plan_one(tx: &Tx<'_>, lease: &Lease, pair: PairId, run: i64, write: UndoWrite) -> Result<(), Error> {
    let Some(link) = link_by_id(tx, write.link)? else { return Ok(()) };
    // The other side of the same link may be taken back in this run, too.
    let busy = tx.one(
        "SELECT 1 FROM intent WHERE tenant = ?1 AND pair = ?2 AND link = ?3 AND link <> 0 AND (run <> ?4 OR side = ?5)",
        (&lease.tenant, pair, link.id, run, write.side.as_str()),
        |_| Ok(()),
    )?;
    if busy.is_some() {
        return Ok(());
    }
    let intent = NewIntent {
        side: write.side,
        operation: Operation::Update,
        source: link.id_of(write.side.other()).to_owned(),
        source_seq: write.staged_seq,
        target: link.id_of(write.side).to_owned(),
        create_key: String::new(),
        body: IntentBody { rows: write.rows, undo: true, ..IntentBody::default() },
    };
    insert_intent(tx, lease, pair, run, link.id, &intent)
}
