//! The path of one call through a sandbox server: read it, look for a fault, carry it out, write it down, answer.
//!
//! Calls are handled in tasks of their own. A client that goes away in the middle, killed or timed out, must not undo
//! what a real server would still commit.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::crm::{CallInfo, Crm, Twist};
use crate::faults::Action;
use crate::history::{Call, CallKind};
use crate::http::{Answer, Connection, Request};

/// Larger request bodies are refused with 413; a hundred records with the longest allowed texts fit.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Locks that make the calls of one session wait for each other.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    by_key: std::sync::Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Turns {
    fn of(&self, key: String) -> Arc<tokio::sync::Mutex<()>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone()
    }
}

/// Answers every path that is not a control route.
pub(crate) async fn answer(
    State(crm): State<Arc<dyn Crm>>,
    Extension(turns): Extension<Arc<Turns>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: axum::extract::Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let request = Request {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: body.to_vec(),
        at_ms: crm.shared().clock.now_ms(),
    };
    let task = tokio::spawn(async move { run(crm, turns, connection, request).await });
    match task.await {
        Ok(answer) => into_response(answer),
        Err(error) => {
            tracing::error!(%error, "a sandbox call failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn run(crm: Arc<dyn Crm>, turns: Arc<Turns>, connection: Connection, request: Request) -> Answer {
    let info = crm.classify(&request);
    let fault = crm.shared().faults.strike(info.kind, &request.method, &info.shown);
    let name = fault.as_ref().map(Action::name);
    let note = |status, rows| record(crm.as_ref(), &request, &info, name, status, rows);
    match fault {
        Some(Action::CutBeforeCommit) => {
            note(0, 0);
            connection.cut();
            Answer::empty(500)
        }
        Some(Action::Status { status, body, content_type, retry_after }) => {
            note(status, 0);
            refusal(status, body, content_type.as_deref(), retry_after)
        }
        Some(Action::LateCommit { after_ms }) => {
            connection.cut();
            // The cut answer must leave at once, so the commit goes on in a task that nobody waits for.
            tokio::spawn(async move {
                pause(after_ms).await;
                let answer = carry_out(&crm, &turns, &request, &info, None).await;
                record(crm.as_ref(), &request, &info, name, answer.status, answer.rows);
            });
            Answer::empty(500)
        }
        other => {
            if let Some(Action::Slow { after_ms }) = other {
                pause(after_ms).await;
            }
            if other == Some(Action::ExpireSession) {
                crm.expire_sessions();
            }
            let answer = carry_out(&crm, &turns, &request, &info, twist(other.as_ref())).await;
            note(answer.status, answer.rows);
            match other {
                Some(Action::CutAfterCommit) => connection.cut(),
                Some(Action::CommitThenSlow { after_ms }) => pause(after_ms).await,
                _ => {}
            }
            answer
        }
    }
}

async fn carry_out(
    crm: &Arc<dyn Crm>,
    turns: &Turns,
    request: &Request,
    info: &CallInfo,
    twist: Option<Twist>,
) -> Answer {
    if let Err(refused) = crm.enter(request) {
        return refused;
    }
    let turn = crm.serial_key(request).map(|key| turns.of(key));
    let _held = match &turn {
        Some(turn) => Some(turn.lock().await),
        None => None,
    };
    if info.kind == CallKind::Write {
        pause(crm.shared().faults.commit_delay_ms()).await;
    }
    let answer = crm.handle(request, twist);
    crm.leave(request);
    answer
}

fn twist(fault: Option<&Action>) -> Option<Twist> {
    match fault {
        Some(Action::StalePage { after_ms }) => {
            Some(Twist::Stale { lag_ms: i64::try_from(*after_ms).unwrap_or(i64::MAX) })
        }
        Some(Action::DuplicatePage) => Some(Twist::Duplicate),
        Some(Action::EmptyList) => Some(Twist::Empty),
        Some(Action::CutList { rows }) => Some(Twist::Cut { rows: *rows as usize }),
        _ => None,
    }
}

async fn pause(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

fn refusal(status: u16, body: Option<String>, content_type: Option<&str>, retry_after: Option<String>) -> Answer {
    let answer = Answer::text(status, content_type.unwrap_or("text/html"), body.unwrap_or_default());
    match retry_after {
        Some(value) => answer.with_header("retry-after", value),
        None => answer,
    }
}

fn record(crm: &dyn Crm, request: &Request, info: &CallInfo, fault: Option<&str>, status: u16, rows: u32) {
    crm.shared().history.record_call(Call {
        seq: 0,
        at_ms: request.at_ms,
        kind: info.kind,
        method: request.method.clone(),
        path: info.shown.clone(),
        status,
        rows,
        fault: fault.map(str::to_owned),
    });
}

fn into_response(answer: Answer) -> Response {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.body)).unwrap_or_else(|error| {
        tracing::error!(%error, "a sandbox answer is not valid HTTP");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}
