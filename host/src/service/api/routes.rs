//! What `/api/v1` and the health checks answer.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{ConnectionAnswer, FlowAnswer, LogAnswer, OutcomeAnswer, QuotaAnswer, RunAnswer};
use super::problem::Problem;
use crate::app::LOCAL_TENANT;
use crate::service::serve::Service;
use crate::service::{self, Failure, schedule};
use crate::store::JournalQuery;

/// Most lines, runs or outcomes of one answer.
const PAGE_MAX: usize = 500;
/// As many if nobody says.
const PAGE_DEFAULT: usize = 50;
/// The scheduler looks every second; one that has not for so long has stopped.
const LOOK_MS_MAX: i64 = 30_000;

type Answer = Result<Json<Value>, Problem>;
type Served = State<Arc<Service>>;

/// Which page of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Behind this number.
    after: Option<i64>,
    /// At most so many.
    most: Option<usize>,
}

impl Page {
    fn most(&self) -> usize {
        self.most.unwrap_or(PAGE_DEFAULT).clamp(1, PAGE_MAX)
    }
}

pub(super) async fn flows(State(service): Served) -> Answer {
    let now_ms = service.app.now_ms();
    let flows: Vec<FlowAnswer> =
        service.watched().await?.iter().map(|(watched, standing)| FlowAnswer::of(watched, *standing, now_ms)).collect();
    Ok(Json(json!({ "flows": flows, "meta": { "count": flows.len() } })))
}

pub(super) async fn flow(State(service): Served, Path(name): Path<String>) -> Answer {
    let found = service.watched().await?.into_iter().find(|(watched, _)| watched.flow.name == name);
    let (watched, standing) = found.ok_or_else(|| {
        Failure::input("flow.unknown", format!("there is no flow `{name}`"), "see `GET /api/v1/flows`")
    })?;
    Ok(Json(json!({ "flow": FlowAnswer::of(&watched, standing, service.app.now_ms()) })))
}

/// Sync Now.
pub(super) async fn sync_now(State(service): Served, Path(name): Path<String>) -> Result<Response, Problem> {
    schedule::ask_for_run(&service.app, LOCAL_TENANT, &name).await?;
    service.board.ring();
    let answer = json!({ "run": { "flow": name, "state": "queued" } });
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

pub(super) async fn pause(State(service): Served, Path(name): Path<String>) -> Answer {
    schedule::pause(&service.app, LOCAL_TENANT, &name).await?;
    flow(State(service), Path(name)).await
}

pub(super) async fn resume(State(service): Served, Path(name): Path<String>) -> Answer {
    schedule::resume(&service.app, LOCAL_TENANT, &name).await?;
    service.board.ring();
    flow(State(service), Path(name)).await
}

pub(super) async fn runs(State(service): Served, Path(name): Path<String>, Query(page): Query<Page>) -> Answer {
    let runs = service::runs(&service.app, LOCAL_TENANT, &name, page.most()).await?;
    let runs: Vec<RunAnswer> = runs.into_iter().map(RunAnswer::of).collect();
    Ok(Json(json!({ "runs": runs, "meta": { "count": runs.len() } })))
}

pub(super) async fn outcomes(State(service): Served, Path(name): Path<String>, Query(page): Query<Page>) -> Answer {
    let skipped = usize::try_from(page.after.unwrap_or(0)).unwrap_or(0);
    let all = service::outcomes(&service.app, LOCAL_TENANT, &name).await?;
    let (total, next) = (all.len(), skipped + page.most());
    let outcomes: Vec<OutcomeAnswer> = all.into_iter().skip(skipped).take(page.most()).map(Into::into).collect();
    let next = (next < total).then_some(next);
    Ok(Json(json!({ "outcomes": outcomes, "meta": { "total": total, "next_after": next } })))
}

pub(super) async fn log(State(service): Served, Path(name): Path<String>, Query(page): Query<Page>) -> Answer {
    let query = JournalQuery { after: page.after.unwrap_or(0), most: page.most(), ..JournalQuery::default() };
    let lines = service::log(&service.app, LOCAL_TENANT, &name, query).await?;
    let lines: Vec<LogAnswer> = lines.into_iter().map(Into::into).collect();
    let next = lines.last().map(|line| line.id);
    Ok(Json(json!({ "lines": lines, "meta": { "count": lines.len(), "next_after": next } })))
}

pub(super) async fn connections(State(service): Served) -> Answer {
    let connections = service::list(&service.app, LOCAL_TENANT).await?;
    let connections: Vec<ConnectionAnswer> = connections.into_iter().map(Into::into).collect();
    Ok(Json(json!({ "connections": connections, "meta": { "count": connections.len() } })))
}

pub(super) async fn quotas(State(service): Served) -> Answer {
    let quotas = service::quotas(&service.app, LOCAL_TENANT).await?;
    let quotas: Vec<QuotaAnswer> = quotas.into_iter().map(Into::into).collect();
    Ok(Json(json!({ "quotas": quotas, "meta": { "count": quotas.len() } })))
}

/// The process is there.
pub(super) async fn healthz() -> Answer {
    Ok(Json(json!({ "health": "ok" })))
}

/// The database answers and the scheduler looks at its flows.
pub(super) async fn readyz(State(service): Served) -> Answer {
    service.app.store().flows(LOCAL_TENANT).await.map_err(Failure::from)?;
    let since_ms = service.app.now_ms() - service.board.looked_at_ms();
    if since_ms > LOOK_MS_MAX {
        return Err(Failure::environment("service.stuck", "the scheduler does not look at its flows", "").into());
    }
    Ok(Json(json!({ "ready": true })))
}

pub(super) async fn nothing_here() -> Problem {
    let failure = Failure::input("api.unknown", "there is nothing at this address", "see `GET /api/v1/flows`");
    Problem::from(failure)
}
