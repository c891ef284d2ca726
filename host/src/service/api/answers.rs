//! What the API shows: `snake_case` keys, moments as RFC 3339 in UTC.

use serde::Serialize;
use serde_json::Value;

use crate::engine::RunReport;
use crate::scheduler::Standing;
use crate::service::schedule::Watched;
use crate::service::{KindUsage, Quota};
use crate::store::{ConnectionRow, JournalRow, OutcomeRow, RunRow};

/// A moment; none for 0.
pub(super) fn moment(at_ms: i64) -> Option<String> {
    (at_ms > 0).then(|| crmsync_core::Value::Instant(at_ms * 1_000).display())
}

/// A flow.
#[derive(Serialize)]
pub(super) struct FlowAnswer {
    name: String,
    version: i64,
    between: [String; 2],
    every_ms: i64,
    state: &'static str,
    why: String,
    next_run_at: Option<String>,
    asked_at: Option<String>,
    first_sync_at: Option<String>,
    debug_until: Option<String>,
    last_run: Option<RunAnswer>,
}

impl FlowAnswer {
    pub(super) fn of(watched: &Watched, standing: Standing, now_ms: i64) -> FlowAnswer {
        let debug_until_ms = watched.stored.schedule.debug_until_ms;
        FlowAnswer {
            name: watched.flow.name.clone(),
            version: watched.stored.flow.version,
            between: watched.flow.between.clone(),
            every_ms: watched.flow.every_ms,
            state: standing.state.as_str(),
            why: watched.why(),
            next_run_at: standing.next_at_ms.and_then(|at_ms| moment(at_ms.max(now_ms))),
            asked_at: moment(watched.flow.asked_at_ms),
            first_sync_at: moment(watched.stored.flow.first_sync_at_ms),
            debug_until: moment(debug_until_ms).filter(|_| debug_until_ms > now_ms),
            last_run: watched.last_run().map(RunAnswer::of),
        }
    }
}

/// A run.
#[derive(Serialize)]
pub(super) struct RunAnswer {
    id: i64,
    cause: String,
    state: String,
    started_at: Option<String>,
    ended_at: Option<String>,
    /// What it did, of one that did its work.
    report: Option<RunReport>,
    /// Why it failed.
    failure: Option<String>,
}

impl RunAnswer {
    pub(super) fn of(run: RunRow) -> RunAnswer {
        let failure = match serde_json::from_str::<Value>(&run.summary) {
            Ok(Value::String(why)) => Some(why),
            _ => None,
        };
        RunAnswer {
            id: run.id,
            started_at: moment(run.started_at_ms),
            ended_at: moment(run.ended_at_ms),
            report: serde_json::from_str(&run.summary).ok().filter(|_| failure.is_none()),
            failure,
            cause: run.cause,
            state: run.state,
        }
    }
}

/// A record or field that is not simply in step.
#[derive(Serialize)]
pub(super) struct OutcomeAnswer {
    left_module: String,
    right_module: String,
    side: String,
    record: String,
    kind: String,
    reason: String,
    field: String,
    detail: String,
    at: Option<String>,
}

impl From<OutcomeRow> for OutcomeAnswer {
    fn from(row: OutcomeRow) -> OutcomeAnswer {
        OutcomeAnswer {
            left_module: row.left_module,
            right_module: row.right_module,
            side: row.side,
            record: row.record,
            kind: row.kind,
            reason: row.reason,
            field: row.field,
            detail: row.detail,
            at: moment(row.at_ms),
        }
    }
}

/// A line of the sync log.
#[derive(Serialize)]
pub(super) struct LogAnswer {
    /// Number; the next page comes after it.
    pub(super) id: i64,
    run: i64,
    at: Option<String>,
    left_module: String,
    right_module: String,
    action: String,
    side: String,
    left_id: String,
    right_id: String,
    field: String,
    before: Value,
    after: Value,
    reason: String,
    detail: String,
}

impl From<JournalRow> for LogAnswer {
    fn from(row: JournalRow) -> LogAnswer {
        let value = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
        LogAnswer {
            id: row.id,
            run: row.run,
            at: moment(row.at_ms),
            before: value(&row.before),
            after: value(&row.after),
            left_module: row.left_module,
            right_module: row.right_module,
            action: row.action,
            side: row.side,
            left_id: row.left_id,
            right_id: row.right_id,
            field: row.field,
            reason: row.reason,
            detail: row.detail,
        }
    }
}

/// A connection's budget.
#[derive(Serialize)]
pub(super) struct QuotaAnswer {
    connection: String,
    unit: String,
    edition: String,
    per_minute: Option<u32>,
    per_day: Option<u64>,
    reserve_percent: u64,
    used: u64,
    left: Option<u64>,
    left_for_scheduled: Option<u64>,
    scheduled_go_on_at: Option<String>,
    by_kind: Vec<KindUsage>,
}

impl From<Quota> for QuotaAnswer {
    fn from(quota: Quota) -> QuotaAnswer {
        QuotaAnswer {
            connection: quota.connection,
            unit: quota.unit,
            edition: quota.edition,
            per_minute: quota.per_minute,
            per_day: quota.per_day,
            reserve_percent: quota.reserve_percent,
            used: quota.used,
            left: quota.left,
            left_for_scheduled: quota.left_for_scheduled,
            scheduled_go_on_at: quota.scheduled_go_on_at_ms.and_then(moment),
            by_kind: quota.by_kind,
        }
    }
}

/// A connection, without settings and addresses.
#[derive(Serialize)]
pub(super) struct ConnectionAnswer {
    name: String,
    plugin: String,
    state: crate::store::ConnectionState,
    org_id: String,
    org_name: String,
    added_at: Option<String>,
}

impl From<ConnectionRow> for ConnectionAnswer {
    fn from(row: ConnectionRow) -> ConnectionAnswer {
        ConnectionAnswer {
            name: row.name,
            plugin: row.plugin,
            state: row.state,
            org_id: row.org_id,
            org_name: row.org_name,
            added_at: moment(row.created_at_ms),
        }
    }
}
