//! A small Zoho.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crmsync_plugin::egress::Request;
use crmsync_plugin::fault::Refusal;
use crmsync_plugin::testing::{Crm, Reply};
use crmsync_plugin::time;
use serde_json::{Value, json};

/// Where the clock of a new organisation stands, in seconds since 1970.
pub(crate) const START_S: i64 = 1_787_670_000;

/// The organisation's one module, Contacts.
pub(crate) struct Zoho {
    pub(crate) now_s: i64,
    pub(crate) page_records: usize,
    pub(crate) has_key_field: bool,
    /// What the metadata says of the key field under `unique`.
    pub(crate) unique: Value,
    pub(crate) records: BTreeMap<u64, Record>,
    pub(crate) deleted: Vec<(u64, i64)>,
    /// Answers the next requests whose method and path are these, instead of doing what they ask for.
    pub(crate) answers: Vec<(&'static str, &'static str, Result<Reply, Refusal>)>,
    next_id: u64,
    /// Page tokens stand for a number of records, not for the last one.
    pub(crate) tokens_count: bool,
    /// Deleted records that can be reached by page number.
    pub(crate) deleted_reach: usize,
    /// The list of deleted records begins with the last deleted one.
    pub(crate) last_deleted_first: bool,
    /// Token → the call that it is bound to, the last record of the page before, and how many were before.
    tokens: BTreeMap<String, (String, (i64, u64), usize)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) modified_s: i64,
    pub(crate) values: BTreeMap<String, Value>,
}

/// An organisation, and the door to it for this thread.
pub(crate) fn start() -> (Rc<RefCell<Zoho>>, Crm) {
    let zoho = Rc::new(RefCell::new(Zoho {
        now_s: START_S,
        page_records: 200,
        has_key_field: true,
        unique: json!({"casesensitive": "false"}),
        records: BTreeMap::new(),
        deleted: Vec::new(),
        answers: Vec::new(),
        next_id: 5_725_767_000_000_000_000,
        tokens_count: false,
        deleted_reach: 2_000,
        last_deleted_first: false,
        tokens: BTreeMap::new(),
    }));
    let server = Rc::clone(&zoho);
    let crm = Crm::new(move |request| server.borrow_mut().answer(request));
    (zoho, crm)
}

impl Zoho {
    pub(crate) fn create(&mut self, values: &[(&str, Value)]) -> u64 {
        self.next_id += 1;
        self.records.insert(self.next_id, Record { modified_s: self.now_s, values: BTreeMap::new() });
        self.edit(self.next_id, values);
        self.next_id
    }

    pub(crate) fn edit(&mut self, id: u64, values: &[(&str, Value)]) {
        let record = self.records.get_mut(&id).expect("a record");
        record.modified_s = self.now_s;
        record.values.extend(values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    }

    pub(crate) fn delete(&mut self, id: u64) {
        self.records.remove(&id);
        self.deleted.push((id, self.now_s));
    }

    fn answer(&mut self, request: &Request) -> Result<Reply, Refusal> {
        let path = request.path().strip_prefix("/crm/v8/").expect("a path of the API");
        let scripted = self.answers.iter().position(|(method, part, _)| *method == request.method() && *part == path);
        let reply = match scripted {
            Some(index) => self.answers.remove(index).2?,
            None => match (request.method(), path) {
                ("GET", "Contacts") => self.list(request),
                ("GET", "Contacts/deleted") => self.list_deleted(request),
                ("GET", "Contacts/actions/count") => Reply::json(200, format!("{{\"count\":{}}}", self.records.len())),
                ("GET", "settings/fields") => Reply::json(200, json!({"fields": self.fields()}).to_string()),
                ("GET", "settings/layouts") => Reply::json(200, LAYOUTS),
                ("GET", "settings/modules") => Reply::json(200, MODULES),
                ("GET", "org") => Reply::json(200, ORG),
                ("GET", "users") => Reply::json(200, USERS),
                ("POST", "Contacts") => self.insert(request),
                ("PUT", "Contacts") => self.update(request),
                ("DELETE", "Contacts") => self.remove(request),
                (method, path) => panic!("the connector sent {method} {path}"),
            },
        };
        Ok(reply.header("date", http_date(self.now_s)))
    }

    fn list(&mut self, request: &Request) -> Reply {
        let fields: Vec<&str> = request.parameter("fields").expect("fields are required").split(',').collect();
        assert!(fields.len() <= 50, "Zoho takes 50 fields");
        if let Some(ids) = request.parameter("ids") {
            let ids: Vec<u64> = ids.split(',').map(|id| id.parse().expect("an id")).collect();
            assert!(request.parameter("ids").is_some_and(|ids| ids.len() <= 1_024), "Zoho takes 1,024 characters");
            let rows: Vec<Value> =
                ids.iter().filter_map(|id| Some(show(*id, self.records.get(id)?, &fields))).collect();
            return if rows.is_empty() {
                Reply::empty(204)
            } else {
                Reply::json(200, json!({"data": rows}).to_string())
            };
        }
        let by_time = request.parameter("sort_by") == Some("Modified_Time");
        assert!(by_time || request.parameter("per_page") == Some("1"), "changes come in the order of their times");
        let since = request.header_value("if-modified-since");
        let since_s = since.map(|text| time::parse_instant(text).expect("an instant") / 1_000_000);
        let bound = format!("{since:?} {fields:?}");
        let after = match request.parameter("page_token").map(|token| self.tokens.get(token)) {
            None => None,
            Some(Some((token_bound, mark, reached))) if *token_bound == bound => Some((*mark, *reached)),
            Some(_) => {
                return Reply::json(400, r#"{"code":"TOKEN_BOUND_DATA_MISMATCH","message":"no","status":"error"}"#);
            }
        };
        let mut matching: Vec<(i64, u64)> = self
            .records
            .iter()
            .map(|(id, record)| (record.modified_s, *id))
            .filter(|place| since_s.is_none_or(|since| place.0 >= since))
            .collect();
        matching.sort_unstable();
        let skip = after.map_or(0, |(mark, reached)| match self.tokens_count {
            true => reached.min(matching.len()),
            false => matching.partition_point(|place| *place <= mark),
        });
        let reached = after.map_or(0, |(_, reached)| reached);
        matching.drain(..skip);
        let per_page: usize = request.parameter("per_page").map_or(200, |text| text.parse().expect("a number"));
        let shown = &matching[..self.page_records.min(per_page).min(matching.len())];
        let rows: Vec<Value> = shown.iter().map(|(_, id)| show(*id, &self.records[id], &fields)).collect();
        if rows.is_empty() {
            return Reply::empty(if since.is_some() { 304 } else { 204 });
        }
        let mark = shown.last().copied().filter(|_| shown.len() < matching.len());
        let token = mark.map(|mark| {
            let token = format!("token-{}", self.tokens.len());
            self.tokens.insert(token.clone(), (bound, mark, reached + shown.len()));
            token
        });
        let info = json!({"more_records": token.is_some(), "next_page_token": token});
        Reply::json(200, json!({"data": rows, "info": info}).to_string())
    }

    fn list_deleted(&self, request: &Request) -> Reply {
        let since = request.header_value("if-modified-since").expect("a time");
        let since_s = time::parse_instant(since).expect("an instant") / 1_000_000;
        let page: usize = request.parameter("page").expect("a page").parse().expect("a number");
        if page * self.page_records > self.deleted_reach {
            return Reply::json(
                400,
                r#"{"code":"DISCRETE_PAGINATION_LIMIT_EXCEEDED","message":"no","status":"error"}"#,
            );
        }
        let mut matching: Vec<Value> = self
            .deleted
            .iter()
            .filter(|(_, at_s)| *at_s >= since_s)
            .map(|(id, at_s)| json!({"id": id.to_string(), "type": "recycle", "deleted_time": shown(*at_s)}))
            .collect();
        if self.last_deleted_first {
            matching.reverse();
        }
        let rows: Vec<&Value> = matching.iter().skip((page - 1) * self.page_records).take(self.page_records).collect();
        if rows.is_empty() {
            return Reply::empty(204);
        }
        let more = page * self.page_records < matching.len();
        Reply::json(200, json!({"data": rows, "info": {"more_records": more}}).to_string())
    }

    fn insert(&mut self, request: &Request) -> Reply {
        let rows = rows_of(request);
        let outcomes = rows.iter().map(|row| {
            let held = |record: &Record| record.values.get("CRMSync_Key") == row.get("CRMSync_Key");
            let key = row.get("CRMSync_Key").filter(|_| self.has_key_field);
            match self.records.iter().find(|(_, record)| key.is_some() && held(record)) {
                Some((id, _)) => json!({"code": "DUPLICATE_DATA", "message": "duplicate data", "status": "error",
                    "details": {"api_name": "CRMSync_Key", "json_path": "$.data[0].CRMSync_Key", "id": id.to_string()}}),
                None => {
                    let values: Vec<(&str, Value)> = row.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                    let id = self.create(&values);
                    stored(id, self.now_s)
                }
            }
        });
        let outcomes: Vec<Value> = outcomes.collect();
        answer(outcomes, 201)
    }

    fn update(&mut self, request: &Request) -> Reply {
        let since = request.header_value("if-unmodified-since").expect("updates are conditional");
        let since_s = time::parse_instant(since).expect("an instant") / 1_000_000;
        let mut outcomes = Vec::new();
        for row in rows_of(request) {
            let id: u64 = row["id"].as_str().expect("a text").parse().expect("a number");
            outcomes.push(match self.records.get(&id).map(|record| record.modified_s) {
                None => {
                    json!({"code": "INVALID_DATA", "message": "the id given seems to be invalid", "status": "error",
                    "details": {"id": id.to_string(), "api_name": "id", "json_path": "$.data[0].id"}})
                }
                Some(modified_s) if modified_s > since_s => json!({"code": "ALREADY_MODIFIED", "status": "error",
                    "message": "record updated time has already passed if-unmodified-since time", "details": {}}),
                Some(_) if row.get("Email") == Some(&json!("bad")) => json!({"code": "INVALID_DATA", "status": "error",
                    "message": "invalid data", "details": {"api_name": "Email", "expected_data_type": "email"}}),
                Some(_) => {
                    let values: Vec<(&str, Value)> =
                        row.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                    self.edit(id, &values);
                    stored(id, self.now_s)
                }
            });
        }
        answer(outcomes, 200)
    }

    fn remove(&mut self, request: &Request) -> Reply {
        let ids = request.parameter("ids").expect("ids");
        assert!(ids.len() <= 1_024, "Zoho takes 1,024 characters");
        let ids = ids.split(',').map(|id| id.parse().expect("a number"));
        let outcomes = ids.map(|id: u64| {
            if !self.records.contains_key(&id) {
                return json!({"code": "INVALID_DATA", "message": "record not deleted", "status": "error", "details": {"id": id.to_string()}});
            }
            self.delete(id);
            json!({"code": "SUCCESS", "message": "record deleted", "status": "success", "details": {"id": id.to_string()}})
        });
        let outcomes: Vec<Value> = outcomes.collect();
        answer(outcomes, 200)
    }

    fn fields(&self) -> Vec<Value> {
        let field = |name: &str, data_type: &str| json!({"api_name": name, "field_label": name, "data_type": data_type, "unique": {}});
        let mut fields: Vec<Value> = (0..120).map(|number| field(&format!("Text_{number}"), "text")).collect();
        fields.push(json!({"api_name": "Last_Name", "field_label": "Last Name", "data_type": "text", "length": 80, "system_mandatory": true}));
        fields.push(json!({"api_name": "Account_Name", "field_label": "Account", "data_type": "lookup", "lookup": {"module": {"api_name": "Accounts"}}}));
        fields.push(json!({"api_name": "Lead_Source", "field_label": "Lead Source", "data_type": "picklist",
            "pick_list_values": [{"actual_value": "-None-", "display_value": "-None-"}, {"actual_value": "Partner", "display_value": "Partner!"}]}));
        fields.push(field("Annual_Revenue", "currency"));
        fields.push(field("Title", "text"));
        fields.push(field("Photo", "fileupload"));
        fields.push(json!({"api_name": "Modified_Time", "field_label": "Modified Time", "data_type": "datetime", "read_only": true}));
        if self.has_key_field {
            fields.push(
                json!({"api_name": "CRMSync_Key", "field_label": "Key", "data_type": "text", "unique": self.unique}),
            );
        }
        fields
    }
}

/// A moment as Zoho shows it to a user in India.
pub(crate) fn shown(at_s: i64) -> String {
    time::format_instant((at_s + 19_800) * 1_000_000).replace("+00:00", "+05:30")
}

fn show(id: u64, record: &Record, fields: &[&str]) -> Value {
    let mut row = serde_json::Map::new();
    for field in fields {
        let value = match *field {
            "Modified_Time" => json!(shown(record.modified_s)),
            field => record.values.get(field).cloned().unwrap_or(Value::Null),
        };
        row.insert((*field).to_owned(), value);
    }
    row.insert("id".to_owned(), json!(id.to_string()));
    Value::Object(row)
}

fn stored(id: u64, now_s: i64) -> Value {
    json!({"code": "SUCCESS", "status": "success", "message": "record added",
        "details": {"id": id.to_string(), "Modified_Time": shown(now_s)}})
}

fn answer(outcomes: Vec<Value>, good: u16) -> Reply {
    let failed = outcomes.iter().filter(|outcome| outcome["status"] == "error").count();
    let status = if failed == 0 {
        good
    } else if failed == outcomes.len() {
        400
    } else {
        207
    };
    Reply::json(status, json!({"data": outcomes}).to_string())
}

fn rows_of(request: &Request) -> Vec<serde_json::Map<String, Value>> {
    let body: Value = serde_json::from_slice(request.json_body().expect("a body")).expect("JSON");
    assert_eq!(body["trigger"], json!([]), "automations are off");
    assert_eq!(body["skip_feature_execution"], json!([{"name": "cadences"}]), "cadences are off too");
    let rows = body["data"].as_array().expect("rows");
    assert!(rows.len() <= 100, "Zoho takes 100 rows");
    rows.iter().map(|row| row.as_object().expect("an object").clone()).collect()
}

fn http_date(at_s: i64) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let date = time::format_date(at_s.div_euclid(86_400));
    let month: usize = date[5..7].parse().expect("a month");
    format!("Mon, {} {} {} {} GMT", &date[8..], MONTHS[month - 1], &date[..4], time::format_time(at_s * 1_000_000))
}

const LAYOUTS: &str =
    r#"{"layouts":[{"sections":[{"fields":[{"api_name":"Title","required":true},{"api_name":"Text_1"}]}]}]}"#;
const MODULES: &str = r#"{"modules":[
    {"api_name":"Deals","plural_label":"Deals","api_supported":true,"viewable":true},
    {"api_name":"Contacts","plural_label":"Customers","api_supported":true,"viewable":true,"deletable":false},
    {"api_name":"Leads","plural_label":"Leads","api_supported":true,"viewable":false}]}"#;
const ORG: &str = r#"{"org":[{"id":"42","company_name":"ACME","type":"production","time_zone":"Asia/Kolkata","iso_code":"INR",
    "license_details":{"paid_type":"enterprise"}}]}"#;
const USERS: &str = r#"{"users":[
    {"id":"7","full_name":"Åse Ek","email":"ase@acme.example","status":"active","time_zone":"Europe/Oslo","profile":{"name":"Administrator"}},
    {"id":"8","full_name":"Old Hand","email":"old@acme.example","status":"disabled","profile":{"name":"Standard"}}],
    "info":{"more_records":false}}"#;
