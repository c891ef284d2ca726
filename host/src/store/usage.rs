//! What calls cost each connection, and what operators set: counts and settings. What they mean is decided elsewhere.

use std::collections::BTreeMap;

use super::{Error, Store, Tx};

/// Hours behind this are no part of any day, and are kept two days longer for people who look.
const USAGE_LIFE_MS: i64 = 3 * 24 * 60 * 60 * 1_000;

/// What an operator set for a connection, and what is known of its day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetRow {
    /// Edition, "" for what the CRM says of itself.
    pub edition: String,
    /// Calls in a minute: 0 for no limit, -1 for that of the edition.
    pub per_minute: i64,
    /// Units in a day, likewise.
    pub per_day: i64,
    /// Percent of the day that scheduled runs leave alone, -1 for the usual.
    pub reserve_percent: i64,
    /// What the CRM said is left of the day, and when.
    pub told: Option<(u64, i64)>,
}

impl Default for BudgetRow {
    fn default() -> BudgetRow {
        BudgetRow { edition: String::new(), per_minute: -1, per_day: -1, reserve_percent: -1, told: None }
    }
}

/// Calls of one hour, kind and lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// Beginning of the hour.
    pub hour_at_ms: i64,
    /// read, write or login.
    pub kind: String,
    /// interactive or background.
    pub lane: String,
    /// Calls.
    pub calls: u64,
    /// Units.
    pub units: u64,
}

/// What a process has used since it last said so: (hour, kind, lane) → (calls, units).
pub type Spent = BTreeMap<(i64, &'static str, &'static str), (u64, u64)>;

impl Store {
    /// Adds what a process has used, and gives what all have.
    pub async fn add_usage(
        &self,
        tenant: &str,
        connection: &str,
        spent: Spent,
        told: Option<(u64, i64)>,
        now_ms: i64,
    ) -> Result<(BudgetRow, Vec<UsageRow>), Error> {
        let (tenant, connection) = (tenant.to_owned(), connection.to_owned());
        self.step(move |tx| {
            add(tx, &tenant, &connection, &spent, told)?;
            tx.execute(
                "DELETE FROM usage WHERE tenant = ?1 AND connection = ?2 AND hour_at_ms < ?3",
                (&tenant, &connection, now_ms - USAGE_LIFE_MS),
            )?;
            Ok((read_budget(tx, &tenant, &connection)?, read_usage(tx, &tenant, &connection)?))
        })
        .await
    }

    /// The same without an answer, for a process that ends: returns when it is on disk, or after a second.
    pub fn add_usage_at_end(&self, tenant: &str, connection: &str, spent: Spent, told: Option<(u64, i64)>) {
        let (tenant, connection) = (tenant.to_owned(), connection.to_owned());
        self.step_at_end(move |tx| add(tx, &tenant, &connection, &spent, told));
    }

    /// What was set for a connection and what was used.
    pub async fn usage(&self, tenant: &str, connection: &str) -> Result<(BudgetRow, Vec<UsageRow>), Error> {
        let (tenant, connection) = (tenant.to_owned(), connection.to_owned());
        self.step(move |tx| Ok((read_budget(tx, &tenant, &connection)?, read_usage(tx, &tenant, &connection)?))).await
    }

    /// Saves what an operator sets.
    pub async fn set_budget(&self, tenant: &str, connection: &str, budget: BudgetRow) -> Result<(), Error> {
        let (tenant, connection) = (tenant.to_owned(), connection.to_owned());
        self.step(move |tx| {
            make(tx, &tenant, &connection)?;
            tx.execute(
                "UPDATE budget SET edition = ?3, per_minute = ?4, per_day = ?5, reserve_percent = ?6
                 WHERE tenant = ?1 AND connection = ?2",
                (&tenant, &connection, &budget.edition, budget.per_minute, budget.per_day, budget.reserve_percent),
            )?;
            Ok(())
        })
        .await
    }

    /// Changes the bucket of a connection's minute, which is one number, as `change` says; all processes share it.
    pub async fn change_bucket(
        &self,
        tenant: &str,
        connection: &str,
        change: impl FnOnce(u64) -> Result<u64, u64> + Send + 'static,
    ) -> Result<Result<(), u64>, Error> {
        let (tenant, connection) = (tenant.to_owned(), connection.to_owned());
        self.step(move |tx| {
            make(tx, &tenant, &connection)?;
            let full_at_us = tx.one(
                "SELECT full_at_us FROM budget WHERE tenant = ?1 AND connection = ?2",
                (&tenant, &connection),
                |row| row.get::<_, i64>(0),
            )?;
            match change(full_at_us.unwrap_or(0).unsigned_abs()) {
                Ok(full_at_us) => {
                    tx.execute(
                        "UPDATE budget SET full_at_us = ?3 WHERE tenant = ?1 AND connection = ?2",
                        (&tenant, &connection, full_at_us as i64),
                    )?;
                    Ok(Ok(()))
                }
                Err(wait_ms) => Ok(Err(wait_ms)),
            }
        })
        .await
    }
}

fn make(tx: &Tx<'_>, tenant: &str, connection: &str) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO budget (tenant, connection, edition, per_minute, per_day, reserve_percent, full_at_us, told_left, told_at_ms)
         VALUES (?1, ?2, '', -1, -1, -1, 0, -1, 0) ON CONFLICT DO NOTHING",
        (tenant, connection),
    )?;
    Ok(())
}

fn add(tx: &Tx<'_>, tenant: &str, connection: &str, spent: &Spent, told: Option<(u64, i64)>) -> Result<(), Error> {
    for ((hour_at_ms, kind, lane), (calls, units)) in spent {
        tx.execute(
            "INSERT INTO usage (tenant, connection, hour_at_ms, kind, lane, calls, units) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (tenant, connection, hour_at_ms, kind, lane)
             DO UPDATE SET calls = usage.calls + excluded.calls, units = usage.units + excluded.units",
            (tenant, connection, hour_at_ms, kind, lane, *calls as i64, *units as i64),
        )?;
    }
    if let Some((left, at_ms)) = told {
        make(tx, tenant, connection)?;
        tx.execute(
            "UPDATE budget SET told_left = ?3, told_at_ms = ?4 WHERE tenant = ?1 AND connection = ?2 AND told_at_ms < ?4",
            (tenant, connection, left as i64, at_ms),
        )?;
    }
    Ok(())
}

fn read_budget(tx: &Tx<'_>, tenant: &str, connection: &str) -> Result<BudgetRow, Error> {
    let found = tx.one(
        "SELECT edition, per_minute, per_day, reserve_percent, told_left, told_at_ms FROM budget WHERE tenant = ?1 AND connection = ?2",
        (tenant, connection),
        |row| {
            let (left, at_ms): (i64, i64) = (row.get(4)?, row.get(5)?);
            Ok(BudgetRow {
                edition: row.get(0)?,
                per_minute: row.get(1)?,
                per_day: row.get(2)?,
                reserve_percent: row.get(3)?,
                told: u64::try_from(left).ok().map(|left| (left, at_ms)),
            })
        },
    )?;
    Ok(found.unwrap_or_default())
}

fn read_usage(tx: &Tx<'_>, tenant: &str, connection: &str) -> Result<Vec<UsageRow>, Error> {
    tx.all(
        "SELECT hour_at_ms, kind, lane, calls, units FROM usage WHERE tenant = ?1 AND connection = ?2
         ORDER BY hour_at_ms, kind, lane",
        (tenant, connection),
        |row| {
            Ok(UsageRow {
                hour_at_ms: row.get(0)?,
                kind: row.get(1)?,
                lane: row.get(2)?,
                calls: row.get::<_, i64>(3)?.unsigned_abs(),
                units: row.get::<_, i64>(4)?.unsigned_abs(),
            })
        },
    )
}
