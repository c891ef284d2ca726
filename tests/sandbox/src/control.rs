//! The routes under `/_sandbox` for people and tests: what the server holds, what happened, and what shall go wrong.
//! Calls to them are not counted as API calls.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::crm::{Crm, FieldRule, Rights, UserRule};
use crate::faults::Plan;
use crate::scenario::HumanEdit;
use crate::serve::Story;

pub(crate) fn routes() -> Router<Arc<dyn Crm>> {
    Router::new()
        .route("/_sandbox/ready", get(ready))
        .route("/_sandbox/summary", get(summary))
        .route("/_sandbox/history", get(history))
        .route("/_sandbox/calls", get(calls))
        .route("/_sandbox/records/{module}", get(records))
        .route("/_sandbox/person/create", post(person_create))
        .route("/_sandbox/person/edit", post(person_edit))
        .route("/_sandbox/person/delete", post(person_delete))
        .route("/_sandbox/person/restore", post(person_restore))
        .route("/_sandbox/person/convert", post(person_convert))
        .route("/_sandbox/person/merge", post(person_merge))
        .route("/_sandbox/admin/field", post(admin_field))
        .route("/_sandbox/admin/user", post(admin_user))
        .route("/_sandbox/story", get(story))
        .route("/_sandbox/faults", post(faults))
        .route("/_sandbox/clock", post(clock))
        .route("/_sandbox/expire", post(expire))
        .route("/_sandbox/rights", post(rights))
}

#[derive(Debug, Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    module: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    set: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldSetting {
    module: String,
    field: String,
    rule: FieldRule,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Convert {
    id: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Merge {
    module: String,
    id: String,
    into: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_ms: i64,
}

async fn ready(State(crm): State<Arc<dyn Crm>>) -> Json<Value> {
    Json(json!({"crm": crm.name()}))
}

async fn summary(State(crm): State<Arc<dyn Crm>>) -> Json<Value> {
    let history = &crm.shared().history;
    let records: Map<String, Value> =
        crm.modules().into_iter().map(|module| (module.to_owned(), json!(crm.record_count(module)))).collect();
    Json(json!({
        "api_calls": history.counts(),
        "automations": history.automations(),
        "automations_unavoidable": history.automations_unavoidable(),
        "cadences": history.cadences(),
        "mails": history.mails(),
        "records": records,
        "events": history.last_event(),
    }))
}

async fn history(State(crm): State<Arc<dyn Crm>>, Query(query): Query<After>) -> Json<Value> {
    Json(json!({"events": crm.shared().history.events(query.after)}))
}

async fn calls(State(crm): State<Arc<dyn Crm>>, Query(query): Query<After>) -> Json<Value> {
    Json(json!({"calls": crm.shared().history.calls(query.after)}))
}

async fn records(State(crm): State<Arc<dyn Crm>>, Path(module): Path<String>) -> Response {
    match crm.records(&module) {
        Some(records) => Json(json!({"records": records})).into_response(),
        None => refused(StatusCode::NOT_FOUND, format!("there is no module `{module}`")),
    }
}

async fn person_create(State(crm): State<Arc<dyn Crm>>, Json(edit): Json<Edit>) -> Response {
    edited(crm.person_create(&edit.module, &edit.set))
}

async fn person_edit(State(crm): State<Arc<dyn Crm>>, Json(edit): Json<Edit>) -> Response {
    match &edit.id {
        Some(id) => edited(crm.person_edit(&edit.module, id, &edit.set)),
        None => refused(StatusCode::BAD_REQUEST, "an edit names the record by `id`".to_owned()),
    }
}

async fn person_delete(State(crm): State<Arc<dyn Crm>>, Json(edit): Json<Edit>) -> Response {
    match &edit.id {
        Some(id) => edited(crm.person_delete(&edit.module, id)),
        None => refused(StatusCode::BAD_REQUEST, "a delete names the record by `id`".to_owned()),
    }
}

async fn person_restore(State(crm): State<Arc<dyn Crm>>, Json(edit): Json<Edit>) -> Response {
    match &edit.id {
        Some(id) => edited(crm.person_restore(&edit.module, id)),
        None => refused(StatusCode::BAD_REQUEST, "a restore names the record by `id`".to_owned()),
    }
}

async fn admin_field(State(crm): State<Arc<dyn Crm>>, Json(setting): Json<FieldSetting>) -> Response {
    match crm.set_field(&setting.module, &setting.field, &setting.rule) {
        Ok(()) => Json(json!({"field": setting.field})).into_response(),
        Err(message) => refused(StatusCode::BAD_REQUEST, message),
    }
}

async fn admin_user(State(crm): State<Arc<dyn Crm>>, Json(user): Json<UserRule>) -> Response {
    match crm.set_user(&user) {
        Ok(id) => Json(json!({"user": {"id": id}})).into_response(),
        Err(message) => refused(StatusCode::BAD_REQUEST, message),
    }
}

async fn person_convert(State(crm): State<Arc<dyn Crm>>, Json(lead): Json<Convert>) -> Response {
    match crm.person_convert(&lead.id) {
        Ok(made) => Json(json!({"converted": made})).into_response(),
        Err(message) => refused(StatusCode::BAD_REQUEST, message),
    }
}

async fn person_merge(State(crm): State<Arc<dyn Crm>>, Json(merge): Json<Merge>) -> Response {
    edited(crm.person_merge(&merge.module, &merge.id, &merge.into))
}

/// What people do at the two screens in the story of this seed, in its order: whose screen, which route, which body. A caller that
/// wants them done posts each body to its route on its side.
async fn story(Extension(story): Extension<Story>) -> Json<Value> {
    let edit = |edit: &HumanEdit| json!({"side": edit.side, "path": edit.path(), "body": edit.body()});
    Json(json!({"edits": story.tell().human_edits().iter().map(edit).collect::<Vec<_>>()}))
}

async fn faults(State(crm): State<Arc<dyn Crm>>, Json(plan): Json<Plan>) -> Json<Value> {
    let faults = plan.faults.len();
    crm.shared().faults.replace(plan);
    Json(json!({"faults": faults}))
}

async fn clock(State(crm): State<Arc<dyn Crm>>, Json(advance): Json<Advance>) -> Json<Value> {
    Json(json!({"now_ms": crm.shared().clock.advance(advance.advance_ms)}))
}

async fn expire(State(crm): State<Arc<dyn Crm>>) -> Json<Value> {
    crm.expire_sessions();
    Json(json!({"expired": true}))
}

async fn rights(State(crm): State<Arc<dyn Crm>>, Json(rights): Json<Rights>) -> Json<Value> {
    crm.grant(rights);
    Json(json!({"granted": true}))
}

fn edited(outcome: Result<Value, String>) -> Response {
    match outcome {
        Ok(record) => Json(json!({"record": record})).into_response(),
        Err(message) => refused(StatusCode::BAD_REQUEST, message),
    }
}

fn refused(status: StatusCode, message: String) -> Response {
    (status, Json(json!({"error": message}))).into_response()
}
