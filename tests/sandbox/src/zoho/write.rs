//! Writing records: insert, update, upsert and delete. Each row succeeds or fails by itself.

use serde_json::{Map, Value, json};

use super::refusal::{JSON, Refusal};
use super::schema::{Field, Module};
use super::store::{Record, Store, text};
use super::{validate, when};
use crate::crm::Shared;
use crate::history::{Actor, Event};
use crate::http::{Answer, Request};

const ROWS_MAX: usize = 100;
const TRIGGERS: &[&str] = &["approval", "workflow", "blueprint", "pathfinder", "orchestration"];
/// The user that logged in: all writes of the API are this member's.
const API_USER: usize = 0;

/// The body of a write of records.
pub(super) struct Body {
    rows: Vec<Value>,
    starts_workflows: bool,
    starts_cadences: bool,
    duplicate_check: Option<Vec<String>>,
}

impl Body {
    /// Reads a body and refuses what Zoho refuses before it looks at any row.
    pub(super) fn parse(request: &Request) -> Result<Body, Refusal> {
        let Ok(Value::Object(mut body)) = serde_json::from_slice(&request.body) else {
            return Err(Refusal::invalid_data("invalid data").with("expected_data_type", "jsonobject"));
        };
        let at_data = |refusal: Refusal| refusal.with("api_name", "data").with("json_path", "$.data");
        let rows = match body.remove("data") {
            Some(Value::Array(rows)) if !rows.is_empty() => rows,
            Some(Value::Array(_)) | None => {
                return Err(at_data(Refusal::new(400, "MANDATORY_NOT_FOUND", "required field not found")));
            }
            Some(_) => {
                let refusal = Refusal::invalid_data("invalid data").with("expected_data_type", "jsonarray");
                return Err(at_data(refusal));
            }
        };
        if rows.len() > ROWS_MAX {
            let refusal = Refusal::new(400, "LIMIT_EXCEEDED", "the number of records exceeds the limit");
            return Err(at_data(refusal.with("limit", ROWS_MAX)));
        }
        let starts_workflows = match body.get("trigger") {
            None | Some(Value::Null) => true,
            Some(Value::Array(names))
                if names.iter().all(|name| name.as_str().is_some_and(|name| TRIGGERS.contains(&name))) =>
            {
                names.iter().any(|name| name == "workflow")
            }
            Some(_) => {
                return Err(Refusal::invalid_data("invalid data")
                    .with("api_name", "trigger")
                    .with("json_path", "$.trigger")
                    .with("supported_values", json!(TRIGGERS)));
            }
        };
        let starts_cadences = match body.get("skip_feature_execution") {
            None | Some(Value::Null) => true,
            Some(Value::Array(features)) if features.iter().all(Value::is_object) => {
                !features.iter().any(|feature| feature["name"] == "cadences")
            }
            Some(_) => {
                return Err(Refusal::invalid_data("invalid data")
                    .with("api_name", "skip_feature_execution")
                    .with("json_path", "$.skip_feature_execution")
                    .with("expected_data_type", "jsonarray"));
            }
        };
        let duplicate_check = match body.get("duplicate_check_fields") {
            None | Some(Value::Null) => None,
            Some(Value::Array(names)) => Some(names.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
            Some(_) => {
                return Err(Refusal::invalid_data("invalid data")
                    .with("api_name", "duplicate_check_fields")
                    .with("json_path", "$.duplicate_check_fields")
                    .with("expected_data_type", "jsonarray"));
            }
        };
        Ok(Body { rows, starts_workflows, starts_cadences, duplicate_check })
    }
}

/// What became of one row.
type RowOutcome = Result<Value, Refusal>;

/// A write in progress.
pub(super) struct Writing<'a> {
    pub(super) store: &'a mut Store,
    pub(super) module: &'a Module,
    pub(super) shared: &'a Shared,
    /// `If-Unmodified-Since`, as an instant.
    pub(super) unmodified_since_ms: Option<i64>,
    pub(super) now_ms: i64,
}

impl Writing<'_> {
    /// `POST /crm/v8/{module}`.
    pub(super) fn insert(&mut self, body: &Body) -> Answer {
        let outcomes = self.each(body, |writing, row, place| {
            let values = validate::row(writing.store, writing.module, row, place, true)?;
            writing.refuse_duplicates(&values, None, place)?;
            let id = writing.create(values, Actor::Api, body.starts_workflows);
            Ok(writing.stored(id, "record added"))
        });
        answer(outcomes, 201)
    }

    /// `PUT /crm/v8/{module}` and, with the id from the path, `PUT /crm/v8/{module}/{id}`.
    pub(super) fn update(&mut self, body: &Body, id: Option<&str>) -> Answer {
        let outcomes = self.each(body, |writing, row, place| {
            let id = match (id, row.get("id")) {
                (Some(id), _) => id.to_owned(),
                (None, Some(sent)) => validate::id_text(sent).ok_or_else(|| wrong_id(place))?,
                (None, None) => {
                    return Err(Refusal::new(400, "MANDATORY_NOT_FOUND", "required field not found")
                        .with("api_name", "id")
                        .with("json_path", format!("$.data[{place}].id")));
                }
            };
            let id = writing.live_id(&id).ok_or_else(|| {
                let unknown = || Refusal::invalid_id(&id);
                writing
                    .converted(&id)
                    .unwrap_or_else(unknown)
                    .with("api_name", "id")
                    .with("json_path", format!("$.data[{place}].id"))
            })?;
            writing.change(id, row, place, body.starts_workflows)?;
            Ok(writing.stored(id, "record updated"))
        });
        answer(outcomes, 200)
    }

    /// `POST /crm/v8/{module}/upsert`.
    pub(super) fn upsert(&mut self, body: &Body) -> Result<Answer, Refusal> {
        let checks = self.checked_fields(body.duplicate_check.as_deref())?;
        let outcomes = self.each(body, |writing, row, place| {
            let found = checks.iter().find_map(|field| {
                let value = row.get(*field)?.as_str()?.trim();
                Some((writing.holder(field, value)?, *field))
            });
            let (id, action, field) = match found {
                Some((id, field)) => {
                    if let Some(refusal) = writing.converted(&id.to_string()) {
                        return Err(refusal);
                    }
                    writing.change(id, row, place, body.starts_workflows)?;
                    (id, "update", Some(field))
                }
                None => {
                    let values = validate::row(writing.store, writing.module, row, place, true)?;
                    writing.refuse_duplicates(&values, None, place)?;
                    (writing.create(values, Actor::Api, body.starts_workflows), "insert", None)
                }
            };
            let mut stored = writing.stored(id, if field.is_some() { "record updated" } else { "record added" });
            stored["action"] = json!(action);
            stored["duplicate_field"] = json!(field);
            Ok(stored)
        });
        Ok(answer(outcomes, 200))
    }

    /// `DELETE /crm/v8/{module}?ids=` and `DELETE /crm/v8/{module}/{id}`.
    pub(super) fn delete(&mut self, ids: &[&str], starts_workflows: bool) -> Result<Answer, Refusal> {
        let outcomes = ids
            .iter()
            .map(|id| {
                let live = self.live_id(id).ok_or_else(|| Refusal::invalid_id(id))?;
                self.remove(live, Actor::Api, starts_workflows);
                Ok(json!({"code": "SUCCESS", "details": {"id": *id}, "message": "record deleted", "status": "success"}))
            })
            .collect();
        Ok(answer(outcomes, 200))
    }

    /// Makes a record from checked values.
    pub(super) fn create(&mut self, mut values: Map<String, Value>, actor: Actor, starts_workflows: bool) -> u64 {
        values.retain(|_, value| !value.is_null());
        values.entry("Owner").or_insert_with(|| json!(self.store.members[member(actor)].id));
        let id = self.store.create(self.module, values, member(actor), self.now_ms);
        let after = self.shown(id);
        // The organization's one workflow on new records sends the customer a welcome mail.
        self.note(actor, id, "create", None, after, (u32::from(starts_workflows), u32::from(starts_workflows)));
        id
    }

    /// Writes checked values into a record, by an API call or by a person.
    pub(super) fn edit(&mut self, id: u64, values: Map<String, Value>, actor: Actor, starts_workflows: bool) {
        let names: Vec<String> = values.keys().cloned().collect();
        let before = self.shown(id);
        self.store.update(self.module, id, values, member(actor), self.now_ms);
        let after = self.shown(id);
        let changed = |record: &Option<Value>| {
            let mut kept = Map::new();
            kept.insert("id".to_owned(), json!(id.to_string()));
            let other =
                |name: &str| before.as_ref().map(|record| &record[name]) != after.as_ref().map(|record| &record[name]);
            for name in names.iter().filter(|name| other(name)) {
                kept.insert(name.clone(), record.as_ref().map_or(Value::Null, |record| record[name.as_str()].clone()));
            }
            Some(Value::Object(kept))
        };
        let (before_kept, after_kept) = (changed(&before), changed(&after));
        self.note(actor, id, "update", before_kept, after_kept, (u32::from(starts_workflows), 0));
    }

    /// Moves a record to the recycle bin.
    pub(super) fn remove(&mut self, id: u64, actor: Actor, starts_workflows: bool) {
        let before = self.shown(id);
        self.store.delete(self.module, id, member(actor), self.now_ms);
        self.note(actor, id, "delete", before, None, (u32::from(starts_workflows), 0));
    }

    /// Takes a record from the recycle bin, as a person; false if it is not there.
    pub(super) fn restore(&mut self, id: u64) -> bool {
        let restored = self.store.restore(self.module, id, member(Actor::Person), self.now_ms);
        if restored {
            let after = self.shown(id);
            self.note(Actor::Person, id, "restore", None, after, (0, 0));
        }
        restored
    }

    /// Refuses values of unique fields that another record has.
    pub(super) fn refuse_duplicates(
        &self,
        values: &Map<String, Value>,
        own_id: Option<u64>,
        place: usize,
    ) -> Result<(), Refusal> {
        for field in self.module.unique_fields() {
            let Some(value) = values.get(field.api_name).and_then(Value::as_str) else { continue };
            let holder = self.store.holder(self.module, field, value);
            let Some(holder) = holder.filter(|holder| Some(*holder) != own_id) else { continue };
            let owner = self.record(holder).map_or(Value::Null, |record| {
                let owner = record.values.get("Owner").and_then(Value::as_str).unwrap_or_default();
                self.store.member(owner).map_or(Value::Null, |member| json!({"id": member.id, "name": member.name}))
            });
            return Err(Refusal::new(400, "DUPLICATE_DATA", "duplicate data")
                .with("api_name", field.api_name)
                .with("json_path", format!("$.data[{place}].{}", field.api_name))
                .with("id", holder.to_string())
                .with(
                    "duplicate_record",
                    json!({
                        "id": holder.to_string(),
                        "Owner": owner,
                        "module": {"api_name": self.module.api_name, "id": format!("5725767{:012}", self.module.number)},
                    }),
                )
                .with("more_records", false));
        }
        Ok(())
    }

    fn each(
        &mut self,
        body: &Body,
        mut one: impl FnMut(&mut Self, &Map<String, Value>, usize) -> RowOutcome,
    ) -> Vec<RowOutcome> {
        body.rows
            .iter()
            .enumerate()
            .map(|(place, row)| match row {
                Value::Object(row) => {
                    let stored = one(self, row, place)?;
                    // The organization's one cadence takes in every record that is made or changed.
                    self.shared.history.count_cadences(u32::from(body.starts_cadences));
                    Ok(stored)
                }
                _ => Err(Refusal::invalid_data("invalid data")
                    .with("expected_data_type", "jsonobject")
                    .with("json_path", format!("$.data[{place}]"))),
            })
            .collect()
    }

    /// Checks and writes one row of an update.
    fn change(
        &mut self,
        id: u64,
        row: &Map<String, Value>,
        place: usize,
        starts_workflows: bool,
    ) -> Result<(), Refusal> {
        if let (Some(since_ms), Some(record)) = (self.unmodified_since_ms, self.record(id))
            && record.modified_ms > since_ms
        {
            let message = "record updated time has already passed if-unmodified-since time";
            return Err(Refusal::new(412, "ALREADY_MODIFIED", message)
                .with("id", id.to_string())
                .with("Modified_Time", when::show(record.modified_ms, self.store.zone)));
        }
        let values = validate::row(self.store, self.module, row, place, false)?;
        self.refuse_duplicates(&values, Some(id), place)?;
        self.edit(id, values, Actor::Api, starts_workflows);
        Ok(())
    }

    /// The fields that an upsert looks for duplicates in, in the order in which it does.
    fn checked_fields(&self, named: Option<&[String]>) -> Result<Vec<&'static str>, Refusal> {
        let unique: Vec<&'static str> = self.module.unique_fields().map(|field: &Field| field.api_name).collect();
        let Some(named) = named else {
            return Ok([vec![self.module.system_field], unique].concat());
        };
        let mut checks = Vec::new();
        for name in named {
            let allowed = unique.iter().chain([&self.module.system_field]).find(|allowed| *allowed == name);
            checks.push(*allowed.ok_or_else(|| {
                Refusal::invalid_data("invalid data")
                    .with("api_name", "duplicate_check_fields")
                    .with("json_path", "$.duplicate_check_fields")
                    .with("supported_values", json!([vec![self.module.system_field], unique.clone()].concat()))
            })?);
        }
        // A list without the system field leaves it out; the other unique fields are looked at all the same.
        checks.extend(unique.iter().filter(|name| !named.iter().any(|named| named == *name)));
        Ok(checks)
    }

    /// A record that has this value in this field; case does not matter. Of several, the oldest.
    fn holder(&self, field: &str, value: &str) -> Option<u64> {
        if value.is_empty() {
            return None;
        }
        if let Some(field) = self.module.unique_fields().find(|unique| unique.api_name == field) {
            return self.store.holder(self.module, field, value);
        }
        let value = value.to_lowercase();
        let has = |record: &&Record| text(record, field).trim().to_lowercase() == value;
        self.store.live(self.module).values().find(has).map(|record| record.id)
    }

    /// The refusal of a write to a converted lead.
    fn converted(&self, id: &str) -> Option<Refusal> {
        let lead = self.store.converted_lead(self.module.api_name, id.trim())?;
        let refusal = Refusal::new(400, "ID_ALREADY_CONVERTED", "can't update the converted record");
        Some(refusal.with("id", lead.id.to_string()))
    }

    /// The id of a live record, as a number.
    pub(super) fn live_id(&self, id: &str) -> Option<u64> {
        self.store.get(self.module.api_name, id.trim()).map(|record| record.id)
    }

    pub(super) fn record(&self, id: u64) -> Option<&Record> {
        self.store.live(self.module).get(&id)
    }

    /// The whole record as it is now.
    pub(super) fn shown(&self, id: u64) -> Option<Value> {
        self.record(id).map(|record| self.store.show_all(self.module, record))
    }

    /// The answer for a stored row: ids, times and authors, but none of the values.
    fn stored(&self, id: u64, message: &str) -> Value {
        let Some(record) = self.record(id) else { return Value::Null };
        let (created, modified) = (record.created_ms, record.modified_ms);
        json!({
            "code": "SUCCESS",
            "details": {
                "Modified_Time": when::show(modified, self.store.zone),
                "Modified_By": self.store.author(API_USER),
                "Created_Time": when::show(created, self.store.zone),
                "id": id.to_string(),
                "Created_By": self.store.author(record.created_by()),
                "$approval_state": "approved",
            },
            "message": message,
            "status": "success",
        })
    }

    pub(super) fn note(
        &self,
        actor: Actor,
        id: u64,
        op: &str,
        before: Option<Value>,
        after: Option<Value>,
        (automations, mails): (u32, u32),
    ) {
        self.shared.history.record_event(Event {
            seq: 0,
            at_ms: self.now_ms,
            actor,
            module: self.module.api_name.to_owned(),
            id: id.to_string(),
            op: op.to_owned(),
            before,
            after,
            automations,
            mails,
        });
    }
}

/// Who acts: the API is the user that logged in, the screen is a colleague.
pub(super) fn member(actor: Actor) -> usize {
    match actor {
        Actor::Api => API_USER,
        Actor::Person => API_USER + 1,
    }
}

/// The credits that a write costs: one for each ten records.
pub(super) fn credits(request: &Request) -> u64 {
    (rows_sent(request) as u64).div_ceil(10).max(1)
}

/// Whether a call counts against the limit for heavy calls at one time.
pub(super) fn is_heavy(request: &Request) -> bool {
    rows_sent(request) > 10
}

fn rows_sent(request: &Request) -> usize {
    serde_json::from_slice::<Value>(&request.body)
        .ok()
        .and_then(|body| body.get("data")?.as_array().map(Vec::len))
        .unwrap_or_default()
}

/// Reads `If-Unmodified-Since`, which Zoho wants in its own form of time.
pub(super) fn unmodified_since(request: &Request) -> Result<Option<i64>, Refusal> {
    let Some(text) = request.header("if-unmodified-since") else { return Ok(None) };
    // Other than `If-Modified-Since`, it does not take the form that HTTP has for times.
    when::parse(text).filter(|_| !text.ends_with("GMT")).map(Some).ok_or_else(|| {
        Refusal::invalid_data("invalid data")
            .with("header_name", "If-Unmodified-Since")
            .with("expected_data_type", "datetime")
    })
}

fn wrong_id(place: usize) -> Refusal {
    Refusal::invalid_data("invalid data")
        .with("expected_data_type", "bigint")
        .with("api_name", "id")
        .with("json_path", format!("$.data[{place}].id"))
}

/// One answer for all rows: the good status; 207 for a mix; for none, 412 if all were modified, else 400.
fn answer(outcomes: Vec<RowOutcome>, all_good: u16) -> Answer {
    let good = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let all_modified = outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(|refusal| refusal.status == 412));
    let status = match (good, outcomes.len()) {
        (good, rows) if good == rows => all_good,
        (0, _) if all_modified => 412,
        (0, _) => 400,
        _ => 207,
    };
    let rows: Vec<Value> =
        outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|refusal| refusal.body())).collect();
    Answer::json(status, JSON, &json!({"data": rows})).with_rows(good)
}
