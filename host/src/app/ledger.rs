//! The gate's budgets, kept in the store and shared by all processes of a data folder. A process counts for itself and tells the others
//! every few seconds or calls, and when it ends: so the day's count may be behind by that much, and by as much if it is killed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::Mutex as AsyncMutex;

use crate::egress::{
    Allowance, Budget, BudgetSpec, Exchange, RESERVE_PERCENT, Recorder, Spend, Used, hour_of, take_of_minute,
};
use crate::store::{BudgetRow, ExchangeRow, Spent, Store, UsageRow};

/// So much a process uses before it tells the others.
const UNTOLD_UNITS_MAX: u64 = 25;
/// So long it counts before it tells the others and hears of them.
const UNTOLD_MS_MAX: i64 = 5_000;

/// What is known of a connection's budget before anything is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    /// As the manifest documents it; none if the plugin says nothing.
    pub(super) spec: Option<BudgetSpec>,
    /// Edition, as `check` told it.
    pub(super) edition: String,
}

/// The budget in force: what an operator set goes before what the edition has.
pub(super) fn allowance(terms: &Terms, set: &BudgetRow) -> Allowance {
    let edition = if set.edition.is_empty() { &terms.edition } else { &set.edition };
    let budget = terms.spec.as_ref().map(|spec| spec.of(edition)).unwrap_or_default();
    let or = |set: i64, usual: Option<u64>| match set {
        0 => None,
        set => u64::try_from(set).ok().or(usual),
    };
    Allowance {
        per_minute: or(set.per_minute, budget.per_minute.map(u64::from)).map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
        per_day: or(set.per_day, budget.per_day),
        reserve_percent: u64::try_from(set.reserve_percent).unwrap_or(RESERVE_PERCENT),
    }
}

/// What was used, from its rows.
pub(super) fn used(set: &BudgetRow, rows: &[UsageRow]) -> Used {
    let mut used = Used { told: set.told, ..Used::default() };
    for row in rows {
        *used.hours.entry(row.hour_at_ms).or_default() += row.units;
    }
    used
}

/// Accounts by tenant and connection.
type Accounts = HashMap<(String, String), Arc<AsyncMutex<Account>>>;

/// The budgets of a host.
pub(super) struct Ledger {
    store: Store,
    clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    accounts: Mutex<Accounts>,
}

/// One connection's.
#[derive(Default)]
struct Account {
    terms: Terms,
    allowance: Allowance,
    used: Used,
    spent: Spent,
    untold_units: u64,
    /// What the CRM told last, not stored yet.
    heard: Arc<Mutex<Option<(u64, i64)>>>,
    read_at_ms: i64,
}

impl Ledger {
    pub(super) fn new(store: Store, clock: Arc<dyn Fn() -> i64 + Send + Sync>) -> Ledger {
        Ledger { store, clock, accounts: Mutex::default() }
    }

    /// Says what a connection's budget is; asked before it calls anything.
    pub(super) async fn introduce(&self, tenant: &str, connection: &str, terms: Terms) {
        let account = self.account(tenant, connection);
        let mut account = account.lock().await;
        if account.terms != terms {
            account.terms = terms;
            account.read_at_ms = 0;
        }
    }

    /// Tells the others now.
    pub(super) async fn tell(&self) {
        let accounts: Vec<_> =
            self.accounts().iter().map(|(key, account)| (key.clone(), Arc::clone(account))).collect();
        for ((tenant, connection), account) in accounts {
            let mut account = account.lock().await;
            if !account.spent.is_empty()
                && let Err(error) = self.exchange(&tenant, &connection, &mut account).await
            {
                tracing::warn!(%connection, %error, "calls could not be counted");
            }
        }
    }

    fn accounts(&self) -> std::sync::MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn account(&self, tenant: &str, connection: &str) -> Arc<AsyncMutex<Account>> {
        Arc::clone(self.accounts().entry((tenant.to_owned(), connection.to_owned())).or_default())
    }

    /// Stores what this process used and reads what all did.
    async fn exchange(&self, tenant: &str, connection: &str, account: &mut Account) -> Result<(), crate::store::Error> {
        let now_ms = (self.clock)();
        let heard = account.heard.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (set, rows) = self.store.add_usage(tenant, connection, account.spent.clone(), heard, now_ms).await?;
        account.spent.clear();
        account.untold_units = 0;
        account.allowance = allowance(&account.terms, &set);
        account.used = used(&set, &rows);
        account.read_at_ms = now_ms;
        Ok(())
    }
}

impl Budget for Ledger {
    fn take<'a>(&'a self, spend: Spend<'a>) -> BoxFuture<'a, Result<(), u64>> {
        Box::pin(async move {
            let account = self.account(spend.tenant, spend.connection);
            let mut account = account.lock().await;
            let now_ms = (self.clock)();
            let old = now_ms - account.read_at_ms >= UNTOLD_MS_MAX || now_ms < account.read_at_ms;
            if (old || account.untold_units >= UNTOLD_UNITS_MAX)
                && let Err(error) = self.exchange(spend.tenant, spend.connection, &mut account).await
            {
                // A disk that fails stops a run by itself, at its next step; the CRM's own limit holds meanwhile.
                tracing::warn!(connection = spend.connection, %error, "calls could not be counted");
            }
            let cost = account.terms.spec.as_ref().map_or(1, |spec| spec.cost(spend.rows));
            if let Some(left) = account.used.left(&account.allowance, spend.lane, now_ms)
                && left < cost
            {
                let goes_on_at_ms = account.used.goes_on_at_ms(&account.allowance, spend.lane, now_ms);
                let wait_ms = goes_on_at_ms.map_or(60_000, |at_ms| (at_ms - now_ms).max(1));
                return Err(wait_ms.unsigned_abs());
            }
            if let Some(per_minute) = account.allowance.per_minute {
                let (lane, at_ms) = (spend.lane, now_ms.unsigned_abs());
                let change = move |full_at_us| take_of_minute(per_minute, full_at_us, lane, at_ms);
                match self.store.change_bucket(spend.tenant, spend.connection, change).await {
                    Ok(taken) => taken?,
                    Err(error) => tracing::warn!(connection = spend.connection, %error, "calls could not be counted"),
                }
            }
            let hour = hour_of(now_ms);
            let counts = account.spent.entry((hour, spend.kind.as_str(), spend.lane.as_str())).or_default();
            counts.0 += 1;
            counts.1 += cost;
            account.untold_units += cost;
            *account.used.hours.entry(hour).or_default() += cost;
            Ok(())
        })
    }

    fn hear(&self, tenant: &str, connection: &str, header: &dyn Fn(&str) -> Option<String>) {
        let account = self.account(tenant, connection);
        // Whoever holds it is about to make a call, whose own answer tells the same.
        let Ok(account) = account.try_lock() else { return };
        let Some(name) = account.terms.spec.as_ref().and_then(|spec| spec.left_header.as_deref()) else { return };
        if let Some(left) = header(name).and_then(|text| text.trim().parse().ok()) {
            *account.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some((left, (self.clock)()));
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        for ((tenant, connection), account) in self.accounts().drain() {
            if let Ok(mut account) = account.try_lock()
                && !account.spent.is_empty()
            {
                let heard = account.heard.lock().unwrap_or_else(PoisonError::into_inner).take();
                self.store.add_usage_at_end(&tenant, &connection, std::mem::take(&mut account.spent), heard);
            }
        }
    }
}

/// Keeps debug mode's exchanges in the store.
pub(super) struct StoreRecorder {
    pub(super) store: Store,
}

impl Recorder for StoreRecorder {
    fn record(&self, exchange: Exchange) {
        let store = self.store.clone();
        // Nobody waits for it: what debug mode loses with the process was of that process's last moment.
        tokio::spawn(async move {
            let number = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
            let row = ExchangeRow {
                id: 0,
                connection: exchange.connection,
                at_ms: exchange.at_ms as i64,
                method: exchange.method,
                origin: exchange.origin,
                path: exchange.path,
                parameters: exchange.parameters,
                rows_written: number(exchange.rows_written),
                status: exchange.status.into(),
                took_ms: exchange.took_ms as i64,
                sent_bytes: number(exchange.sent_bytes),
                answer_bytes: number(exchange.answer_bytes),
            };
            if let Err(error) = store.add_exchange(&exchange.tenant, &exchange.flow, row).await {
                tracing::warn!(%error, "debug mode could not keep a request");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::egress::EditionBudget;

    #[test]
    fn what_an_operator_sets_goes_first() {
        let budget = |per_minute, per_day| EditionBudget { per_minute, per_day };
        let spec = BudgetSpec {
            unit: "calls".into(),
            editions: BTreeMap::from([
                ("big".to_owned(), budget(Some(90), Some(1_000))),
                ("own".to_owned(), budget(None, None)),
            ]),
            otherwise: budget(Some(30), Some(100)),
            ..BudgetSpec::default()
        };
        let row = |edition: &str, per_minute, per_day| BudgetRow {
            edition: edition.into(),
            per_minute,
            per_day,
            ..BudgetRow::default()
        };
        for (edition, set, per_minute, per_day) in [
            ("", row("", -1, -1), Some(30), Some(100)),
            ("Big", row("", -1, -1), Some(90), Some(1_000)),
            ("", row("big", -1, -1), Some(90), Some(1_000)),
            ("big", row("own", -1, -1), None, None),
            ("big", row("", 0, 5), None, Some(5)),
            ("big", row("", 7, 0), Some(7), None),
        ] {
            let terms = Terms { spec: Some(spec.clone()), edition: edition.into() };
            let found = allowance(&terms, &set);
            assert_eq!(
                (found.per_minute, found.per_day, found.reserve_percent),
                (per_minute, per_day, 30),
                "{edition} {set:?}"
            );
        }
        assert_eq!(allowance(&Terms::default(), &BudgetRow::default()).per_day, None);
    }
}
