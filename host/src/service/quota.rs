//! What each connection may call, what it has used, and what an operator sets.

use serde::Serialize;

use super::connections;
use super::failure::Failure;
use crate::app::App;
use crate::egress::{Lane, hour_of};
use crate::store::BudgetRow;

/// What an operator changes of a connection's budget; what is not there stays.
#[derive(Clone, Debug, Default)]
pub struct BudgetChange {
    /// Edition, "" for what the CRM says of itself.
    pub edition: Option<String>,
    /// Calls in a minute, 0 for no limit.
    pub per_minute: Option<u32>,
    /// Units in a day, 0 for no limit.
    pub per_day: Option<u64>,
    /// Percent of the day kept from scheduled runs.
    pub reserve_percent: Option<u8>,
    /// Forget everything that was set.
    pub reset: bool,
}

/// One kind of calls within the last 24 hours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KindUsage {
    /// read, write or login.
    pub kind: String,
    /// interactive or background.
    pub lane: String,
    /// Calls.
    pub calls: u64,
    /// What the CRM counts for them.
    pub units: u64,
}

/// One connection's budget.
#[derive(Clone, Debug, Serialize)]
pub struct Quota {
    /// The connection.
    pub connection: String,
    /// What the CRM counts.
    pub unit: String,
    /// Edition, "" if nobody knows.
    pub edition: String,
    /// The edition is an operator's word, not the CRM's.
    pub edition_is_set: bool,
    /// Calls in a minute; none for no limit.
    pub per_minute: Option<u32>,
    /// Units in 24 hours; none for no limit.
    pub per_day: Option<u64>,
    /// Percent of the day kept from scheduled runs.
    pub reserve_percent: u64,
    /// Units used within 24 hours.
    pub used: u64,
    /// Units left; none for no limit.
    pub left: Option<u64>,
    /// Units left for scheduled runs.
    pub left_for_scheduled: Option<u64>,
    /// When scheduled runs go on, if their share is used up.
    pub scheduled_go_on_at_ms: Option<i64>,
    /// What the CRM said is left, when it last did.
    pub told_left: Option<u64>,
    /// By kind and lane.
    pub by_kind: Vec<KindUsage>,
}

/// The budgets of all connections, by name.
pub async fn quotas(app: &App, tenant: &str) -> Result<Vec<Quota>, Failure> {
    let mut quotas = Vec::new();
    for row in connections::list(app, tenant).await? {
        let now_ms = app.now_ms();
        let (unit, told_edition) = app.budget_terms(&row)?;
        let (set, rows) = app.store().usage(tenant, &row.name).await?;
        let (allowance, used) = app.budget_of(&row, &set, &rows)?;
        let mut by_kind: Vec<KindUsage> = Vec::new();
        let day = hour_of(now_ms) - 24 * crate::egress::HOUR_MS;
        for hour in rows.iter().filter(|hour| hour.hour_at_ms >= day) {
            let known = by_kind.iter_mut().find(|known| known.kind == hour.kind && known.lane == hour.lane);
            match known {
                Some(known) => {
                    known.calls += hour.calls;
                    known.units += hour.units;
                }
                None => by_kind.push(KindUsage {
                    kind: hour.kind.clone(),
                    lane: hour.lane.clone(),
                    calls: hour.calls,
                    units: hour.units,
                }),
            }
        }
        quotas.push(Quota {
            connection: row.name.clone(),
            unit,
            edition_is_set: !set.edition.is_empty(),
            edition: if set.edition.is_empty() { told_edition } else { set.edition.clone() },
            per_minute: allowance.per_minute,
            per_day: allowance.per_day,
            reserve_percent: allowance.reserve_percent,
            used: used.of_day(&allowance, now_ms),
            left: used.left(&allowance, Lane::Interactive, now_ms),
            left_for_scheduled: used.left(&allowance, Lane::Background, now_ms),
            scheduled_go_on_at_ms: used.goes_on_at_ms(&allowance, Lane::Background, now_ms),
            told_left: set.told.map(|(left, _)| left),
            by_kind,
        });
    }
    Ok(quotas)
}

/// Sets the budget of a connection, where the CRM's edition does not say it.
///
/// # Errors
/// There is no such connection, or its plugin knows no such edition.
pub async fn set_budget(app: &App, tenant: &str, name: &str, change: BudgetChange) -> Result<(), Failure> {
    let row = connections::get(app, tenant, name).await?;
    let (before, _) = app.store().usage(tenant, name).await?;
    let mut set = if change.reset { BudgetRow::default() } else { before };
    if let Some(edition) = change.edition {
        let edition = edition.to_lowercase();
        let known = app.editions(&row)?;
        if !edition.is_empty() && !known.contains(&edition) {
            return Err(Failure::input(
                "quota.unknown_edition",
                format!("`{}` knows no edition `{edition}`", row.plugin),
                format!("known editions: {}", known.join(", ")),
            ));
        }
        set.edition = edition;
    }
    if let Some(per_minute) = change.per_minute {
        set.per_minute = per_minute.into();
    }
    if let Some(per_day) = change.per_day {
        set.per_day = i64::try_from(per_day).unwrap_or(i64::MAX);
    }
    if let Some(percent) = change.reserve_percent {
        set.reserve_percent = percent.min(100).into();
    }
    Ok(app.store().set_budget(tenant, name, set).await?)
}
