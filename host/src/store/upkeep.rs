//! What goes after a while (S22), and what debug mode keeps until then.

use super::{Error, Store};

/// One request and its answer, without anything that a customer or a secret could be in.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ExchangeRow {
    /// Number; grows with time.
    pub id: i64,
    /// The connection.
    pub connection: String,
    /// When it was sent.
    pub at_ms: i64,
    /// Method.
    pub method: String,
    /// Name of the origin.
    pub origin: String,
    /// Path.
    pub path: String,
    /// Names of its parameters.
    pub parameters: String,
    /// Rows that it writes, 0 for a read.
    pub rows_written: i64,
    /// Status, 0 if no answer came.
    pub status: i64,
    /// Time until the answer.
    pub took_ms: i64,
    /// Size of what was sent.
    pub sent_bytes: i64,
    /// Size of what came.
    pub answer_bytes: i64,
}

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Removed {
    /// Lines of sync logs.
    pub log_lines: usize,
    /// Lines of previews.
    pub previewed: usize,
    /// Exchanges of debug mode.
    pub exchanges: usize,
    /// Runs; the newest ones of each flow stay.
    pub runs: usize,
}

/// Runs of a flow that stay however old they are.
const RUNS_KEPT: i64 = 20;

impl Store {
    /// Keeps an exchange of debug mode.
    pub async fn add_exchange(&self, tenant: &str, flow: &str, row: ExchangeRow) -> Result<(), Error> {
        let (tenant, flow) = (tenant.to_owned(), flow.to_owned());
        self.step(move |tx| {
            tx.execute(
                "INSERT INTO exchange (tenant, flow, connection, at_ms, method, origin, path, parameters, rows_written, status, took_ms, sent_bytes, answer_bytes)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
                (
                    &tenant,
                    &flow,
                    &row.connection,
                    row.at_ms,
                    &row.method,
                    &row.origin,
                    &row.path,
                    &row.parameters,
                    row.rows_written,
                    row.status,
                    row.took_ms,
                    row.sent_bytes,
                    row.answer_bytes,
                ),
            )?;
            Ok(())
        })
        .await
    }

    /// The newest exchanges of a flow, oldest first.
    pub async fn exchanges(&self, tenant: &str, flow: &str, most: usize) -> Result<Vec<ExchangeRow>, Error> {
        let (tenant, flow) = (tenant.to_owned(), flow.to_owned());
        self.step(move |tx| {
            let mut rows = tx.all(
                "SELECT id, connection, at_ms, method, origin, path, parameters, rows_written, status, took_ms, sent_bytes, answer_bytes
                 FROM exchange WHERE tenant = ?1 AND flow = ?2 ORDER BY id DESC LIMIT ?3",
                (&tenant, &flow, most as i64),
                |row| {
                    Ok(ExchangeRow {
                        id: row.get(0)?,
                        connection: row.get(1)?,
                        at_ms: row.get(2)?,
                        method: row.get(3)?,
                        origin: row.get(4)?,
                        path: row.get(5)?,
                        parameters: row.get(6)?,
                        rows_written: row.get(7)?,
                        status: row.get(8)?,
                        took_ms: row.get(9)?,
                        sent_bytes: row.get(10)?,
                        answer_bytes: row.get(11)?,
                    })
                },
            )?;
            rows.sort_unstable_by_key(|row| row.id);
            Ok(rows)
        })
        .await
    }

    /// Removes what is older than a moment, unless that was done after `done_since_ms`. None: it was.
    pub async fn remove_old(
        &self,
        tenant: &str,
        before_ms: i64,
        done_since_ms: i64,
        now_ms: i64,
    ) -> Result<Option<Removed>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let due = tx.execute(
                "INSERT INTO upkeep (tenant, task, done_at_ms) VALUES (?1, 'remove-old', ?2)
                 ON CONFLICT (tenant, task) DO UPDATE SET done_at_ms = excluded.done_at_ms WHERE upkeep.done_at_ms <= ?3",
                (&tenant, now_ms, done_since_ms),
            )?;
            if due == 0 {
                return Ok(None);
            }
            let key = (&tenant, before_ms);
            Ok(Some(Removed {
                log_lines: tx.execute("DELETE FROM journal WHERE tenant = ?1 AND at_ms < ?2", key)?,
                previewed: tx.execute("DELETE FROM listing WHERE tenant = ?1 AND at_ms < ?2", key)?,
                exchanges: tx.execute("DELETE FROM exchange WHERE tenant = ?1 AND at_ms < ?2", key)?,
                runs: tx.execute(
                    "DELETE FROM run WHERE tenant = ?1 AND started_at_ms < ?2 AND state <> 'running' AND id NOT IN
                     (SELECT id FROM run newer WHERE newer.tenant = run.tenant AND newer.flow = run.flow ORDER BY id DESC LIMIT ?3)",
                    (&tenant, before_ms, RUNS_KEPT),
                )?,
            }))
        })
        .await
    }
}
