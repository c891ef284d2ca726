//! Flows as versioned documents, their approval, their module pairs and their runs.

use rusqlite::Row;

use super::driver::{from_json, to_json};
use super::{Error, Lease, Store, Tx};

/// Number of a module pair within the store.
pub type PairId = i64;

/// A person's consent to what a preview showed (S6).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Approval {
    /// Hash of the settings that were previewed.
    pub settings_hash: String,
    /// When.
    pub at_ms: i64,
    /// Records that the preview would create, link and change, by pair and kind: the counts that may move by 5 % until the first run.
    pub counts: std::collections::BTreeMap<String, u64>,
    /// The preview that was approved, by its run: its listing says which values may be replaced. 0: none.
    #[serde(default)]
    pub preview: i64,
}

/// One module pair as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairRow {
    /// Its number.
    pub id: PairId,
    /// API names of the modules, left first.
    pub modules: [String; 2],
}

/// A flow as it was applied.
#[derive(Clone, Debug)]
pub struct FlowRow {
    /// Name.
    pub name: String,
    /// Grows with each apply.
    pub version: i64,
    /// The flow file, comments included.
    pub document: String,
    /// Hash of what an approval covers.
    pub settings_hash: String,
    /// The last preview as JSON, "" if none.
    pub previewed: String,
    /// The approval, if one was given and not yet replaced.
    pub approved: Option<Approval>,
    /// When the first sync came to its end; 0 before.
    pub first_sync_at_ms: i64,
    /// When it was applied.
    pub applied_at_ms: i64,
}

/// One run, for people.
#[derive(Clone, Debug, serde::Serialize)]
pub struct RunRow {
    /// Number.
    pub id: i64,
    /// Why it ran.
    pub cause: String,
    /// running, done, failed or interrupted.
    pub state: String,
    /// Start.
    pub started_at_ms: i64,
    /// End, 0 while running.
    pub ended_at_ms: i64,
    /// Its report as JSON, "" while running.
    pub summary: String,
}

const COLUMNS: &str = "name, version, document, settings_hash, previewed, approved, first_sync_at_ms, applied_at_ms";

fn read(row: &Row<'_>) -> rusqlite::Result<(FlowRow, String)> {
    let flow = FlowRow {
        name: row.get(0)?,
        version: row.get(1)?,
        document: row.get(2)?,
        settings_hash: row.get(3)?,
        previewed: row.get(4)?,
        approved: None,
        first_sync_at_ms: row.get(6)?,
        applied_at_ms: row.get(7)?,
    };
    Ok((flow, row.get(5)?))
}

fn parse((flow, approved): (FlowRow, String)) -> Result<FlowRow, Error> {
    let approved = if approved.is_empty() { None } else { Some(from_json("approval", &approved)?) };
    Ok(FlowRow { approved, ..flow })
}

impl Store {
    /// Saves a flow document as its next version. What was held back under the old settings is looked at again.
    pub async fn apply_flow(
        &self,
        tenant: &str,
        name: &str,
        document: String,
        settings_hash: String,
        now_ms: i64,
    ) -> Result<i64, Error> {
        let (tenant, name) = (tenant.to_owned(), name.to_owned());
        self.step(move |tx| {
            tx.execute(
                "INSERT INTO flow (tenant, name, version, document, settings_hash, previewed, approved, first_sync_at_ms, applied_at_ms)
                 VALUES (?1, ?2, 1, ?3, ?4, '', '', 0, ?5)
                 ON CONFLICT (tenant, name) DO UPDATE SET version = flow.version + 1, document = excluded.document,
                 settings_hash = excluded.settings_hash, applied_at_ms = excluded.applied_at_ms",
                (&tenant, &name, &document, &settings_hash, now_ms),
            )?;
            tx.execute(
                "UPDATE inbox SET state = 'staged' WHERE tenant = ?1 AND state = 'held'
                 AND pair IN (SELECT id FROM pair WHERE tenant = ?1 AND flow = ?2)",
                (&tenant, &name),
            )?;
            let version = tx.one("SELECT version FROM flow WHERE tenant = ?1 AND name = ?2", (&tenant, &name), |row| row.get(0))?;
            Ok(version.unwrap_or(1))
        })
        .await
    }

    /// Removes a flow with its links and everything that is under way for it, and gives its lease back. What was written stays in the
    /// journal, and so do its runs; a flow of the same name begins with a first sync.
    pub async fn remove_flow(&self, lease: &Lease) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            let key = (&lease.tenant, &lease.flow);
            for table in ["cursor", "inbox", "match_key", "pairing", "link", "intent", "outcome", "choice", "held_removals"] {
                let sql = format!(
                    "DELETE FROM {table} WHERE tenant = ?1 AND pair IN (SELECT id FROM pair WHERE tenant = ?1 AND flow = ?2)"
                );
                tx.execute(&sql, key)?;
            }
            // The pairs stay: the journal names modules by them. The next flow's match keys are made anew.
            tx.execute("UPDATE pair SET match_rules = '' WHERE tenant = ?1 AND flow = ?2", key)?;
            tx.execute("DELETE FROM listing WHERE tenant = ?1 AND flow = ?2", key)?;
            // Nor does a flow of this name begin paused, or in debug mode.
            tx.execute("DELETE FROM schedule WHERE tenant = ?1 AND flow = ?2", key)?;
            tx.execute("DELETE FROM exchange WHERE tenant = ?1 AND flow = ?2", key)?;
            tx.execute("DELETE FROM flow WHERE tenant = ?1 AND name = ?2", key)?;
            tx.execute("UPDATE lease SET holder = '', expires_at_ms = 0 WHERE tenant = ?1 AND flow = ?2", key)?;
            Ok(())
        })
        .await
    }

    /// The flow of this name.
    pub async fn flow(&self, tenant: &str, name: &str) -> Result<Option<FlowRow>, Error> {
        let (tenant, name) = (tenant.to_owned(), name.to_owned());
        self.step(move |tx| {
            let sql = format!("SELECT {COLUMNS} FROM flow WHERE tenant = ?1 AND name = ?2");
            tx.one(&sql, (&tenant, &name), read)?.map(parse).transpose()
        })
        .await
    }

    /// All flows, by name.
    pub async fn flows(&self, tenant: &str) -> Result<Vec<FlowRow>, Error> {
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let sql = format!("SELECT {COLUMNS} FROM flow WHERE tenant = ?1 ORDER BY name");
            tx.all(&sql, [&tenant], read)?.into_iter().map(parse).collect()
        })
        .await
    }

    /// Saves what a preview of this version of the flow showed, and the settings that it was made with.
    pub async fn set_previewed(
        &self,
        tenant: &str,
        flow: &str,
        version: i64,
        settings_hash: String,
        preview: String,
    ) -> Result<(), Error> {
        let (tenant, flow) = (tenant.to_owned(), flow.to_owned());
        self.step(move |tx| {
            tx.execute(
                "UPDATE flow SET previewed = ?3, settings_hash = CASE WHEN version = ?4 THEN ?5 ELSE settings_hash END
                 WHERE tenant = ?1 AND name = ?2",
                (&tenant, &flow, &preview, version, &settings_hash),
            )?;
            Ok(())
        })
        .await
    }

    /// Saves an approval.
    pub async fn approve(&self, tenant: &str, flow: &str, approval: Approval) -> Result<(), Error> {
        let (tenant, flow) = (tenant.to_owned(), flow.to_owned());
        self.step(move |tx| {
            let approved = to_json("approval", &approval)?;
            tx.execute("UPDATE flow SET approved = ?3 WHERE tenant = ?1 AND name = ?2", (&tenant, &flow, &approved))?;
            Ok(())
        })
        .await
    }

    /// Notes that the first sync came to its end.
    pub async fn finish_first_sync(&self, lease: &Lease, now_ms: i64) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            tx.execute(
                "UPDATE flow SET first_sync_at_ms = ?3 WHERE tenant = ?1 AND name = ?2 AND first_sync_at_ms = 0",
                (&lease.tenant, &lease.flow, now_ms),
            )?;
            Ok(())
        })
        .await
    }

    /// The module pairs of a flow that were ever read.
    pub async fn pairs(&self, tenant: &str, flow: &str) -> Result<Vec<PairRow>, Error> {
        let (tenant, flow) = (tenant.to_owned(), flow.to_owned());
        self.step(move |tx| {
            tx.all(
                "SELECT id, left_module, right_module FROM pair WHERE tenant = ?1 AND flow = ?2 ORDER BY id",
                (&tenant, &flow),
                |row| Ok(PairRow { id: row.get(0)?, modules: [row.get(1)?, row.get(2)?] }),
            )
        })
        .await
    }

    /// The number of a module pair, made on first use.
    pub async fn pair(&self, tenant: &str, flow: &str, left_module: &str, right_module: &str) -> Result<PairId, Error> {
        let key = (tenant.to_owned(), flow.to_owned(), left_module.to_owned(), right_module.to_owned());
        self.step(move |tx| {
            tx.execute(
                "INSERT INTO pair (tenant, flow, left_module, right_module, match_rules) VALUES (?1, ?2, ?3, ?4, '') ON CONFLICT DO NOTHING",
                (&key.0, &key.1, &key.2, &key.3),
            )?;
            tx.one(
                "SELECT id FROM pair WHERE tenant = ?1 AND flow = ?2 AND left_module = ?3 AND right_module = ?4",
                (&key.0, &key.1, &key.2, &key.3),
                |row| row.get(0),
            )?
            .ok_or(Error::Closed)
        })
        .await
    }

    /// Begins a run; runs of the same flow that never came to their end are marked as interrupted.
    pub async fn begin_run(&self, lease: &Lease, cause: &str, now_ms: i64) -> Result<i64, Error> {
        let (lease, cause) = (lease.clone(), cause.to_owned());
        self.step(move |tx| {
            lease.check(tx)?;
            tx.execute(
                "UPDATE run SET state = 'interrupted', ended_at_ms = ?3 WHERE tenant = ?1 AND flow = ?2 AND state = 'running'",
                (&lease.tenant, &lease.flow, now_ms),
            )?;
            tx.insert(
                "INSERT INTO run (tenant, flow, fence, cause, state, started_at_ms, ended_at_ms, summary)
                 VALUES (?1, ?2, ?3, ?4, 'running', ?5, 0, '')",
                (&lease.tenant, &lease.flow, lease.fence, &cause, now_ms),
            )
        })
        .await
    }

    /// Ends a run with its report.
    pub async fn end_run(&self, lease: &Lease, run: i64, ok: bool, summary: String, now_ms: i64) -> Result<(), Error> {
        let lease = lease.clone();
        self.step(move |tx| {
            lease.check(tx)?;
            tx.execute(
                "UPDATE run SET state = ?2, ended_at_ms = ?3, summary = ?4 WHERE id = ?1",
                (run, if ok { "done" } else { "failed" }, now_ms, &summary),
            )?;
            Ok(())
        })
        .await
    }

    /// The newest runs of a flow, newest first.
    pub async fn runs(&self, tenant: &str, flow: &str, most: usize) -> Result<Vec<RunRow>, Error> {
        let (tenant, flow) = (tenant.to_owned(), flow.to_owned());
        self.step(move |tx| newest_runs(tx, &tenant, &flow, most)).await
    }
}

fn newest_runs(tx: &Tx<'_>, tenant: &str, flow: &str, most: usize) -> Result<Vec<RunRow>, Error> {
    tx.all(
        &format!("SELECT {RUN_COLUMNS} FROM run WHERE tenant = ?1 AND flow = ?2 ORDER BY id DESC LIMIT ?3"),
        (tenant, flow, most as i64),
        read_run,
    )
}

pub(super) const RUN_COLUMNS: &str = "id, cause, state, started_at_ms, ended_at_ms, summary";

pub(super) fn read_run(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        id: row.get(0)?,
        cause: row.get(1)?,
        state: row.get(2)?,
        started_at_ms: row.get(3)?,
        ended_at_ms: row.get(4)?,
        summary: row.get(5)?,
    })
}
