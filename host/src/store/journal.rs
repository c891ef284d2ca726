//! The account of what was written, where, why, before and after: for people.

use crmsync_core::Side;

use super::{Error, Lease, PairId, RecordPlace, Store, Tx};

/// One line to be written.
#[derive(Clone, Debug)]
pub struct JournalLine {
    /// linked, created, updated, conflict, removed, unknown, refused, parked.
    pub action: &'static str,
    /// The side that was written, or that the line is about.
    pub side: Option<Side>,
    /// Left record, "" if there is none.
    pub left_id: String,
    /// Right record.
    pub right_id: String,
    /// Mapping row, "" for the whole record.
    pub field: String,
    /// JSON of what was replaced (of a conflict: the loser's value), "" if nothing.
    pub before: String,
    /// JSON of what stands now, "" if nothing.
    pub after: String,
    /// Reason code.
    pub reason: String,
    /// Words.
    pub detail: String,
}

/// One stored line.
#[derive(Clone, Debug, serde::Serialize)]
pub struct JournalRow {
    /// Number; grows with time.
    pub id: i64,
    /// Run that wrote it.
    pub run: i64,
    /// When.
    pub at_ms: i64,
    /// Left module.
    pub left_module: String,
    /// Right module.
    pub right_module: String,
    /// What happened.
    pub action: String,
    /// left, right or "".
    pub side: String,
    /// Left record.
    pub left_id: String,
    /// Right record.
    pub right_id: String,
    /// Mapping row.
    pub field: String,
    /// JSON before.
    pub before: String,
    /// JSON after.
    pub after: String,
    /// Reason code.
    pub reason: String,
    /// Words.
    pub detail: String,
}

/// Which lines to read.
#[derive(Clone, Debug, Default)]
pub struct JournalQuery {
    /// Only this record.
    pub record: Option<RecordPlace>,
    /// Only this run.
    pub run: Option<i64>,
    /// Only this action.
    pub action: Option<String>,
    /// Only lines behind this number.
    pub after: i64,
    /// At most so many; the newest ones unless `after` is given.
    pub most: usize,
}

/// One stored outcome.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct OutcomeRow {
    /// Left module.
    pub left_module: String,
    /// Right module.
    pub right_module: String,
    /// left or right: the side of `record`.
    pub side: String,
    /// The record; of a linked pair the left one.
    pub record: String,
    /// Kind.
    pub kind: String,
    /// Reason code.
    pub reason: String,
    /// Mapping row, "" for the whole record.
    pub field: String,
    /// Words.
    pub detail: String,
    /// When it was noted.
    pub at_ms: i64,
}

/// Outcomes that are alike, counted.
#[derive(Clone, Debug)]
pub struct OutcomeCount {
    /// Left module.
    pub left_module: String,
    /// Right module.
    pub right_module: String,
    /// Kind.
    pub kind: String,
    /// Reason code.
    pub reason: String,
    /// Mapping row, "" for whole records.
    pub field: String,
    /// Of removals: which side's record left, and why; else "".
    pub removal: String,
    /// How many.
    pub count: u64,
}

impl Store {
    /// Lines of a flow's journal, oldest first.
    pub async fn journal(&self, tenant: &str, flow: &str, query: JournalQuery) -> Result<Vec<JournalRow>, Error> {
        let (tenant, flow) = (tenant.to_owned(), flow.to_owned());
        self.step(move |tx| {
            let order = if query.after > 0 { "ASC" } else { "DESC" };
            let sql = format!(
                "SELECT j.id, j.run, j.at_ms, p.left_module, p.right_module, j.action, j.side, j.left_id, j.right_id, j.field, j.before, j.after, j.reason, j.detail
                 FROM journal j JOIN pair p ON p.id = j.pair
                 WHERE j.tenant = ?1 AND j.flow = ?2 AND j.id > ?3 AND (?4 = '' OR (?8 = 'left' AND j.left_id = ?4 AND p.left_module = ?9) OR (?8 = 'right' AND j.right_id = ?4 AND p.right_module = ?9))
                 AND (?5 = 0 OR j.run = ?5) AND (?6 = '' OR j.action = ?6) ORDER BY j.id {order} LIMIT ?7"
            );
            let record = query.record;
            let [id, module] = record.as_ref().map_or(["", ""], |record| [record.id.as_str(), record.module.as_str()]);
            let side = record.as_ref().map_or("", |record| record.side.as_str());
            let action = query.action.unwrap_or_default();
            let most = i64::try_from(query.most).unwrap_or(i64::MAX);
            let mut rows = tx.all(
                &sql,
                (&tenant, &flow, query.after, id, query.run.unwrap_or(0), &action, most, side, module),
                |row| {
                    Ok(JournalRow {
                        id: row.get(0)?,
                        run: row.get(1)?,
                        at_ms: row.get(2)?,
                        left_module: row.get(3)?,
                        right_module: row.get(4)?,
                        action: row.get(5)?,
                        side: row.get(6)?,
                        left_id: row.get(7)?,
                        right_id: row.get(8)?,
                        field: row.get(9)?,
                        before: row.get(10)?,
                        after: row.get(11)?,
                        reason: row.get(12)?,
                        detail: row.get(13)?,
                    })
                },
            )?;
            rows.sort_unstable_by_key(|row| row.id);
            Ok(rows)
        })
        .await
    }

    /// How many outcomes of a flow are alike.
    pub async fn outcome_counts(&self, tenant: &str, flow: &str) -> Result<Vec<OutcomeCount>, Error> {
        let (tenant, flow) = (tenant.to_owned(), flow.to_owned());
        self.step(move |tx| {
            tx.all(
                "SELECT p.left_module, p.right_module, o.kind, o.reason, o.field, CASE WHEN o.kind = 'removed' THEN o.detail ELSE '' END, count(*)
                 FROM outcome o JOIN pair p ON p.id = o.pair WHERE o.tenant = ?1 AND p.flow = ?2 GROUP BY 1, 2, 3, 4, 5, 6",
                (&tenant, &flow),
                |row| {
                    Ok(OutcomeCount {
                        left_module: row.get(0)?,
                        right_module: row.get(1)?,
                        kind: row.get(2)?,
                        reason: row.get(3)?,
                        field: row.get(4)?,
                        removal: row.get(5)?,
                        count: row.get::<_, i64>(6)? as u64,
                    })
                },
            )
        })
        .await
    }

    /// All outcomes of a flow that are not simply "synced".
    pub async fn outcomes(&self, tenant: &str, flow: &str) -> Result<Vec<OutcomeRow>, Error> {
        let (tenant, flow) = (tenant.to_owned(), flow.to_owned());
        self.step(move |tx| {
            tx.all(
                "SELECT p.left_module, p.right_module, o.side, o.record, o.kind, o.reason, o.field, o.detail, o.at_ms
                 FROM outcome o JOIN pair p ON p.id = o.pair WHERE o.tenant = ?1 AND p.flow = ?2
                 ORDER BY o.pair, o.kind, o.reason, o.field, o.side, o.record",
                (&tenant, &flow),
                |row| {
                    Ok(OutcomeRow {
                        left_module: row.get(0)?,
                        right_module: row.get(1)?,
                        side: row.get(2)?,
                        record: row.get(3)?,
                        kind: row.get(4)?,
                        reason: row.get(5)?,
                        field: row.get(6)?,
                        detail: row.get(7)?,
                        at_ms: row.get(8)?,
                    })
                },
            )
        })
        .await
    }
}

pub(super) fn write_journal(
    tx: &Tx<'_>,
    lease: &Lease,
    pair: PairId,
    run: i64,
    line: &JournalLine,
    now_ms: i64,
) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO journal (tenant, flow, pair, run, at_ms, action, side, left_id, right_id, field, before, after, reason, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        (
            &lease.tenant,
            &lease.flow,
            pair,
            run,
            now_ms,
            line.action,
            line.side.map_or("", Side::as_str),
            &line.left_id,
            &line.right_id,
            &line.field,
            &line.before,
            &line.after,
            &line.reason,
            &line.detail,
        ),
    )?;
    Ok(())
}
