//! What people and the scheduler say about when a flow runs, and the one look that the scheduler takes at everything.

use super::flows::{RUN_COLUMNS, read_run};
use super::{Error, FlowRow, RunRow, Store, Tx};

/// What is remembered of a flow's timetable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScheduleRow {
    /// When a person paused it, 0 while it runs by itself.
    pub paused_at_ms: i64,
    /// When somebody asked for a run that has not begun yet, 0 if nobody did.
    pub asked_at_ms: i64,
    /// When a run found that the approval does not hold; approvals given before are void.
    pub refused_at_ms: i64,
    /// Debug mode is on until this moment.
    pub debug_until_ms: i64,
}

/// Everything that decides when a flow runs, read in one step.
#[derive(Clone, Debug)]
pub struct Scheduled {
    /// The flow.
    pub flow: FlowRow,
    /// Its timetable.
    pub schedule: ScheduleRow,
    /// Its newest runs, newest first; previews are no runs.
    pub runs: Vec<RunRow>,
    /// Who holds it, "" if nobody does.
    pub holder: String,
    /// Until when.
    pub held_until_ms: i64,
}

/// What is changed of a flow's timetable.
#[derive(Clone, Copy, Debug)]
pub enum ScheduleChange {
    /// A person pauses it.
    Paused(i64),
    /// A person lets it run by itself again.
    Resumed,
    /// Somebody asks for a run; who asks twice gets one.
    Asked(i64),
    /// A run that was asked for begins.
    Begun,
    /// A run found that its approval does not hold.
    Refused(i64),
    /// Debug mode is on until this moment, 0 for off.
    Debug(i64),
}

impl Store {
    /// The timetable of a flow; nothing is remembered of most.
    pub async fn schedule(&self, tenant: &str, flow: &str) -> Result<ScheduleRow, Error> {
        let (tenant, flow) = (tenant.to_owned(), flow.to_owned());
        self.step(move |tx| read_schedule(tx, &tenant, &flow)).await
    }

    /// Changes the timetable of a flow.
    pub async fn change_schedule(&self, tenant: &str, flow: &str, change: ScheduleChange) -> Result<(), Error> {
        let (tenant, flow) = (tenant.to_owned(), flow.to_owned());
        self.step(move |tx| {
            tx.execute(
                "INSERT INTO schedule (tenant, flow, paused_at_ms, asked_at_ms, refused_at_ms, debug_until_ms)
                 VALUES (?1, ?2, 0, 0, 0, 0) ON CONFLICT DO NOTHING",
                (&tenant, &flow),
            )?;
            let (set, value) = match change {
                ScheduleChange::Paused(at_ms) => ("paused_at_ms = ?3, asked_at_ms = 0", at_ms),
                ScheduleChange::Resumed => ("paused_at_ms = ?3", 0),
                ScheduleChange::Asked(at_ms) => {
                    ("asked_at_ms = CASE WHEN asked_at_ms = 0 THEN ?3 ELSE asked_at_ms END", at_ms)
                }
                ScheduleChange::Begun => ("asked_at_ms = ?3", 0),
                ScheduleChange::Refused(at_ms) => ("refused_at_ms = ?3, asked_at_ms = 0", at_ms),
                ScheduleChange::Debug(until_ms) => ("debug_until_ms = ?3", until_ms),
            };
            let sql = format!("UPDATE schedule SET {set} WHERE tenant = ?1 AND flow = ?2");
            tx.execute(&sql, (&tenant, &flow, value))?;
            Ok(())
        })
        .await
    }

    /// All flows with what decides when they run, by name, each with its newest runs.
    pub async fn scheduled(&self, tenant: &str, runs: usize) -> Result<Vec<Scheduled>, Error> {
        let flows = self.flows(tenant).await?;
        let tenant = tenant.to_owned();
        self.step(move |tx| {
            let mut all = Vec::with_capacity(flows.len());
            for flow in flows {
                let schedule = read_schedule(tx, &tenant, &flow.name)?;
                let newest = newest(tx, &tenant, &flow.name, runs)?;
                let held = tx.one(
                    "SELECT holder, expires_at_ms FROM lease WHERE tenant = ?1 AND flow = ?2",
                    (&tenant, &flow.name),
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )?;
                let (holder, held_until_ms) = held.unwrap_or_default();
                all.push(Scheduled { flow, schedule, runs: newest, holder, held_until_ms });
            }
            Ok(all)
        })
        .await
    }

    /// Notes a run that failed before it could take the flow.
    pub async fn note_failed_run(
        &self,
        tenant: &str,
        flow: &str,
        cause: &str,
        started_at_ms: i64,
        ended_at_ms: i64,
        summary: String,
    ) -> Result<(), Error> {
        let key = (tenant.to_owned(), flow.to_owned(), cause.to_owned());
        self.step(move |tx| {
            tx.execute(
                "INSERT INTO run (tenant, flow, fence, cause, state, started_at_ms, ended_at_ms, summary)
                 VALUES (?1, ?2, 0, ?3, 'failed', ?4, ?5, ?6)",
                (&key.0, &key.1, &key.2, started_at_ms, ended_at_ms, &summary),
            )?;
            Ok(())
        })
        .await
    }
}

fn read_schedule(tx: &Tx<'_>, tenant: &str, flow: &str) -> Result<ScheduleRow, Error> {
    let found = tx.one(
        "SELECT paused_at_ms, asked_at_ms, refused_at_ms, debug_until_ms FROM schedule WHERE tenant = ?1 AND flow = ?2",
        (tenant, flow),
        |row| {
            Ok(ScheduleRow {
                paused_at_ms: row.get(0)?,
                asked_at_ms: row.get(1)?,
                refused_at_ms: row.get(2)?,
                debug_until_ms: row.get(3)?,
            })
        },
    )?;
    Ok(found.unwrap_or_default())
}

/// The newest runs that synced: previews, answers and undos are runs of the journal, too, and postpone no sync.
fn newest(tx: &Tx<'_>, tenant: &str, flow: &str, most: usize) -> Result<Vec<RunRow>, Error> {
    tx.all(
        &format!(
            "SELECT {RUN_COLUMNS} FROM run
             WHERE tenant = ?1 AND flow = ?2 AND cause IN ('asked', 'sync-now', 'scheduled') ORDER BY id DESC LIMIT ?3"
        ),
        (tenant, flow, most as i64),
        read_run,
    )
}
