//! One Vtiger server: requests come in as HTTP, go to the operation that they name, and leave as Vtiger answers them.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::answer::{Refusal, respond, web_server_page};
use super::describe::{describe, list_types};
use super::params::Params;
use super::profile::Profile;
use super::reads::{SyncRequest, query, retrieve, sync};
use super::schema::{Entity, Module};
use super::screen;
use super::seed::seeded;
use super::session::Sessions;
use super::store::{Record, Store, User};
use super::vtql::parse;
use super::writes::{Author, Change, Changing, change, create, delete, restore, split_id};
use crate::crm::{CallInfo, Crm, FieldRule, Rights, Shared, Twist, UserRule};
use crate::history::{Actor, CallKind, Event};
use crate::http::{Answer, Request};
use crate::people;
use crate::rng::Rng;
use crate::serve::Options;

/// The one path that the interface has.
const PATH: &str = "/webservice.php";
/// The web server's limit for `GET /path?query HTTP/1.1`, in bytes.
const REQUEST_LINE_BYTES_MAX: usize = 8 * 1024;
/// Operations that run on every server but die on PHP 8 unless it was repaired.
const DEAD_ON_PHP_8: [&str; 5] = ["sync", "logout", "convertlead", "retrieve_inventory", "wsapp_register"];
/// `source` of what is entered at the screen.
const SOURCE_SCREEN: &str = "CRM";
/// `source` of what comes through the interface.
const SOURCE_INTERFACE: &str = "WEBSERVICE";

/// A Vtiger server. Its state is behind one lock: each call is one step.
pub struct Vtiger {
    shared: Shared,
    profile: Profile,
    state: Mutex<State>,
}

struct State {
    store: Store,
    sessions: Sessions,
}

impl Vtiger {
    /// Opens a server on the population of the options' seed.
    ///
    /// # Errors
    ///
    /// If the profile has a word that is not known.
    pub fn open(options: &Options, shared: Shared, _url: &str) -> io::Result<Self> {
        let profile = Profile::parse(&options.profile)?;
        let population = people::generate_counts(options.seed, options.counts());
        let store = seeded(&population, profile, options.seed);
        let sessions = Sessions::new(Rng::fork(options.seed, "vtiger sessions"));
        Ok(Self { shared, profile, state: Mutex::new(State { store, sessions }) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every step leaves the state whole before anything in it can fail.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_s(&self) -> i64 {
        self.shared.clock.now_ms().div_euclid(1_000)
    }

    /// The operations that need no session.
    fn before_login(&self, operation: &str, params: &Params) -> Option<Result<Value, Refusal>> {
        let mut state = self.state();
        let State { store, sessions } = &mut *state;
        match operation {
            "getchallenge" => Some(sessions.challenge(&store.users, params.query("username"), self.now_s())),
            "login" => {
                let name = params.form("username").unwrap_or_default();
                let key = params.form("accessKey").unwrap_or_default();
                Some(sessions.login(&store.users, name, key, self.now_s()))
            }
            // It wants the cookie of a browser.
            "extendsession" => Some(Err(Refusal::coded("AUTHENTICATION_FAILURE", "Authencation Failed"))),
            _ => None,
        }
    }

    fn operation(&self, operation: &str, params: &Params, twist: Option<Twist>) -> Result<Value, Refusal> {
        if let Some(outcome) = self.before_login(operation, params) {
            return outcome;
        }
        if !is_operation(operation) {
            return Err(Refusal::Fatal);
        }
        let now_s = self.now_s();
        let mut state = self.state();
        let session = params.either("sessionName");
        let number = state.sessions.user_of(session, now_s)?;
        let user = state.store.user(number).cloned().ok_or_else(Refusal::denied)?;
        if DEAD_ON_PHP_8.contains(&operation) && !self.profile.repaired {
            return Err(Refusal::Fatal);
        }
        let asked = |name: &str| params.query(name).unwrap_or_default();
        match operation {
            "listtypes" => Ok(list_types(&state.store.schema, params.query("fieldTypeList"), user.administrator)),
            "describe" => describe(&state.store, asked("elementType"), &user),
            "retrieve" => retrieve(&state.store, asked("id"), &user),
            "query" => query(&state.store, asked("query"), &user, now_s, twist),
            "sync" => {
                let (cursor, module) = (asked("modifiedTime"), asked("elementType"));
                // What is not registered does not arrive.
                let mode = if self.profile.own_sync { "" } else { asked("syncType") };
                sync(&state.store, &SyncRequest { cursor, module, mode }, &user, now_s, twist)
            }
            "create" | "update" | "revise" | "delete" => {
                let author = Author { user, now_s, zone_s: self.profile.db_zone_s, source: SOURCE_INTERFACE };
                self.write(&mut state.store, operation, params, &author)
            }
            "logout" => {
                state.sessions.logout(session.unwrap_or_default());
                Ok(json!({ "message": "successfull" }))
            }
            "changepassword" => Err(Refusal::RestrictedFile),
            // What is left is not part of this sandbox even when repaired.
            _ => Err(Refusal::Fatal),
        }
    }

    fn write(&self, store: &mut Store, operation: &str, params: &Params, author: &Author) -> Result<Value, Refusal> {
        let sent = |name: &str| params.form(name).unwrap_or_default();
        // Malformed JSON is an empty record to PHP.
        let element: Map<String, Value> = serde_json::from_str(sent("element")).unwrap_or_default();
        let change = match operation {
            "create" => create(store, sent("elementType"), &element, author)?,
            "update" => change(store, Changing::Update, &element, author)?,
            "revise" => change(store, Changing::Revise, &element, author)?,
            _ => delete(store, sent("id"), author)?,
        };
        self.note(store, &change, Actor::Api);
        if operation == "delete" {
            return Ok(json!({ "status": "successful" }));
        }
        // Workflows run on every save, and nothing in the interface can stop them.
        self.shared.history.count_unavoidable_automations(1);
        if change.owner_is_missing {
            return Err(Refusal::RestrictedFile);
        }
        let record = change.shown_instead.as_ref().or(store.live(change.number)).ok_or(Refusal::Fatal)?;
        Ok(Value::Object(store.labelled(record, &author.user)))
    }

    /// Puts a change into the history, as the administrator reads it.
    fn note(&self, store: &Store, change: &Change, actor: Actor) {
        let (Some(after), Some(reader)) = (store.any(change.number), store.users.first()) else { return };
        let whole = |record: &Record| Value::Object(store.labelled(record, reader));
        let id = store.id_of(after);
        match &change.before {
            None => self.record(actor, after, id, "create", None, Some(whole(after))),
            Some(before) if after.deleted => {
                self.record(actor, after, id.clone(), "delete", Some(whole(before)), None);
                for (record, field) in store.references_to(&id) {
                    let referrer = store.id_of(record);
                    let (was, is) = (json!({ "id": referrer, field: id }), json!({ "id": referrer, field: "" }));
                    self.record(actor, record, referrer, "update", Some(was), Some(is));
                }
            }
            Some(before) => {
                let (was, is) = differences(store, before, after, reader);
                self.record(actor, after, id, "update", Some(was), Some(is));
            }
        }
    }

    fn record(&self, actor: Actor, of: &Record, id: String, op: &str, before: Option<Value>, after: Option<Value>) {
        self.shared.history.record_event(Event {
            seq: 0,
            at_ms: self.shared.clock.now_ms(),
            actor,
            module: of.module.to_owned(),
            id,
            op: op.to_owned(),
            before,
            after,
            automations: 0,
            mails: 0,
        });
    }

    /// The person at the screen: the first user who was never the administrator.
    fn person(&self, store: &Store) -> Result<Author, String> {
        // The first user is the programs' own, also when it has lost its rights.
        let person = store.users.iter().skip(1).find(|user| !user.administrator).cloned();
        let person = person.ok_or_else(|| "nobody works here".to_owned())?;
        // The hidden share is for clients of the interface: it must not keep a test from editing a record.
        let user = User { administrator: true, ..person };
        Ok(Author { user, now_s: self.now_s(), zone_s: self.profile.db_zone_s, source: SOURCE_SCREEN })
    }

    /// The module, if all these ids are its own.
    fn check_ids<'a>(&self, store: &'a Store, module: &str, ids: &[&str]) -> Result<&'a Module, String> {
        let known = store.schema.module(module).filter(|module| module.entity == Entity::Record);
        let known = known.ok_or_else(|| format!("there is no module `{module}`"))?;
        match ids.iter().find(|id| split_id(id).is_none_or(|(prefix, _)| prefix != known.prefix)) {
            Some(id) => Err(format!("`{id}` is no id of {module}")),
            None => Ok(known),
        }
    }

    /// Puts into the history that a record became part of something else.
    fn part(&self, store: &Store, lost: &Record, op: &str, after: Value) {
        let Some(reader) = store.users.first() else { return };
        let before = Value::Object(store.labelled(lost, reader));
        self.record(Actor::Person, lost, store.id_of(lost), op, Some(before), Some(after));
    }

    /// Carries out what a person does at the screen.
    fn as_person(
        &self,
        module: &str,
        id: Option<&str>,
        set: &Map<String, Value>,
        act: impl FnOnce(&mut Store, &Author) -> Result<Change, Refusal>,
    ) -> Result<Value, String> {
        let mut state = self.state();
        let store = &mut state.store;
        let known = self.check_ids(store, module, &id.into_iter().collect::<Vec<_>>())?;
        if let Some(name) = set.keys().find(|name| known.field(name).is_none()) {
            return Err(format!("{module} has no field `{name}`"));
        }
        let author = self.person(store)?;
        let change = act(store, &author).map_err(|refusal| refusal.words())?;
        self.note(store, &change, Actor::Person);
        let shown = store.live(change.number).or(change.before.as_ref());
        let reader = store.users.first().ok_or_else(|| "nobody works here".to_owned())?;
        Ok(shown.map(|record| Value::Object(store.labelled(record, reader))).unwrap_or_default())
    }
}

impl Crm for Vtiger {
    fn name(&self) -> &'static str {
        "vtiger"
    }

    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn login(&self) -> Value {
        let state = self.state();
        let keys: Map<String, Value> =
            state.store.users.iter().map(|user| (user.name.clone(), json!(user.access_key))).collect();
        let administrator = state.store.users.first();
        json!({
            "username": administrator.map(|user| user.name.as_str()),
            "access_key": administrator.map(|user| user.access_key.as_str()),
            "access_keys": keys,
        })
    }

    fn classify(&self, request: &Request) -> CallInfo {
        let params = Params::read(request);
        CallInfo { kind: kind(&params), shown: shown(request, &params) }
    }

    fn handle(&self, request: &Request, twist: Option<Twist>) -> Answer {
        let query_bytes = if request.query.is_empty() { 0 } else { request.query.len() + 1 };
        if request.method.len() + request.path.len() + query_bytes + " ".len() + " HTTP/1.1".len()
            > REQUEST_LINE_BYTES_MAX
        {
            return web_server_page(414, "Request-URI Too Large");
        }
        if request.path != PATH {
            return web_server_page(404, "Not Found");
        }
        let params = Params::read(request);
        if params.has_json_body() {
            return respond(&Err(Refusal::Fatal));
        }
        if params.either("format").is_some_and(|format| !format.eq_ignore_ascii_case("json")) {
            return respond(&Err(Refusal::FatalFormat));
        }
        // The clock that a client reads in the header is the moved one.
        let answer = respond(&self.operation(&params.operation(), &params, twist));
        answer.with_header("date", http_date(self.now_s()))
    }

    fn serial_key(&self, request: &Request) -> Option<String> {
        Params::read(request).either("sessionName").map(str::to_owned)
    }

    fn modules(&self) -> Vec<&'static str> {
        let state = self.state();
        let modules = state.store.schema.modules().iter().filter(|module| module.entity == Entity::Record);
        modules.map(|module| module.name).collect()
    }

    fn records(&self, module: &str) -> Option<Vec<Value>> {
        let state = self.state();
        let store = &state.store;
        let module = store.schema.module(module)?;
        let reader = store.users.first()?;
        Some(store.rows(module).iter().map(|record| Value::Object(store.labelled(record, reader))).collect())
    }

    fn person_create(&self, module: &str, set: &Map<String, Value>) -> Result<Value, String> {
        self.as_person(module, None, set, |store, author| {
            let mut element = set.clone();
            // The form comes with the person as owner.
            element.entry("assigned_user_id").or_insert_with(|| json!(format!("19x{}", author.user.number)));
            create(store, module, &element, author)
        })
    }

    fn person_edit(&self, module: &str, id: &str, set: &Map<String, Value>) -> Result<Value, String> {
        self.as_person(module, Some(id), set, |store, author| {
            let mut element = set.clone();
            element.insert("id".to_owned(), json!(id));
            change(store, Changing::Revise, &element, author)
        })
    }

    fn person_delete(&self, module: &str, id: &str) -> Result<Value, String> {
        self.as_person(module, Some(id), &Map::new(), |store, author| delete(store, id, author))
    }

    fn person_restore(&self, module: &str, id: &str) -> Result<Value, String> {
        self.as_person(module, Some(id), &Map::new(), |store, author| restore(store, id, author))
    }

    fn person_convert(&self, lead: &str) -> Result<Value, String> {
        let mut state = self.state();
        let author = self.person(&state.store)?;
        let done = screen::convert(&mut state.store, lead, &author).map_err(|refusal| refusal.words())?;
        for change in &done.made {
            self.note(&state.store, change, Actor::Person);
        }
        let made = json!({ "Accounts": done.account, "Contacts": done.contact });
        self.part(&state.store, &done.lead, "convert", made.clone());
        Ok(made)
    }

    fn person_merge(&self, module: &str, id: &str, into: &str) -> Result<Value, String> {
        let mut state = self.state();
        self.check_ids(&state.store, module, &[id, into])?;
        let author = self.person(&state.store)?;
        let number = split_id(id).map_or(0, |(_, number)| number);
        let lost = state.store.live(number).cloned();
        let changes = screen::merge(&mut state.store, id, into, &author).map_err(|refusal| refusal.words())?;
        for change in &changes {
            self.note(&state.store, change, Actor::Person);
        }
        if let Some(lost) = &lost {
            self.part(&state.store, lost, "merge", json!({ "into": into }));
        }
        let kept = changes.first().and_then(|change| state.store.live(change.number));
        let reader = state.store.users.first();
        Ok(kept.zip(reader).map(|(kept, reader)| Value::Object(state.store.labelled(kept, reader))).unwrap_or_default())
    }

    fn set_field(&self, module: &str, field: &str, rule: &FieldRule) -> Result<(), String> {
        match self.state().store.schema.set_field(module, field, rule) {
            true => Ok(()),
            false => Err(format!("{module} has no field `{field}`")),
        }
    }

    fn set_user(&self, user: &UserRule) -> Result<String, String> {
        Ok(format!("19x{}", self.state().store.set_user(&user.name, &user.email, user.active)))
    }

    fn grant(&self, rights: Rights) {
        let store = &mut self.state().store;
        store.hidden_percent = rights.hidden_percent;
        if let Some(user) = store.users.first_mut() {
            user.administrator = rights.administrator;
        }
    }

    fn expire_sessions(&self) {
        self.state().sessions.expire_all();
    }
}

/// Whether the dispatcher knows the operation at all; whether it survives PHP 8 is another matter.
fn is_operation(operation: &str) -> bool {
    let works =
        ["listtypes", "describe", "retrieve", "query", "create", "update", "revise", "delete", "changepassword"];
    works.contains(&operation) || DEAD_ON_PHP_8.contains(&operation)
}

fn kind(params: &Params) -> CallKind {
    match params.operation().as_str() {
        "getchallenge" | "login" | "logout" | "extendsession" => CallKind::Auth,
        "listtypes" | "describe" => CallKind::Metadata,
        "create" | "update" | "revise" | "delete" => CallKind::Write,
        "query" => {
            let module = params.query("query").and_then(|text| parse(text).ok()).map(|query| query.module);
            match module.as_deref() {
                Some("Users" | "Groups" | "Currency" | "CompanyDetails") => CallKind::Metadata,
                _ => CallKind::Read,
            }
        }
        _ => CallKind::Read,
    }
}

/// The call as a GET with readable parameters, whichever method it came by: a fault plan can name `operation=create` or
/// `id=12x5`. Session, keys and the record's content are left out.
fn shown(request: &Request, params: &Params) -> String {
    let element: Map<String, Value> =
        params.form("element").and_then(|element| serde_json::from_str(element).ok()).unwrap_or_default();
    let id = params.form("id").or(params.query("id")).or(element.get("id").and_then(Value::as_str));
    let parts = [
        ("operation", Some(params.operation())),
        ("elementType", params.either("elementType").map(str::to_owned)),
        ("id", id.map(str::to_owned)),
        ("query", params.query("query").map(str::to_owned)),
        ("modifiedTime", params.query("modifiedTime").map(str::to_owned)),
        ("syncType", params.query("syncType").map(str::to_owned)),
    ];
    let pairs: Vec<String> = parts.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?))).collect();
    format!("{}?{}", request.path, pairs.join("&"))
}

/// The fields in which two states of a record differ, each state with its id.
fn differences(store: &Store, before: &Record, after: &Record, reader: &User) -> (Value, Value) {
    let module = store.module_of(after);
    let (mut old, mut new) = (Map::new(), Map::new());
    for (position, field) in module.fields.iter().enumerate() {
        let was = store.shown(before, position, reader);
        let is = store.shown(after, position, reader);
        if was != is || field.name == "id" {
            old.insert(field.name.to_owned(), json!(was));
            new.insert(field.name.to_owned(), json!(is));
        }
    }
    (Value::Object(old), Value::Object(new))
}

/// Seconds since 1970 as the `Date` header writes them.
fn http_date(seconds: i64) -> String {
    let text = clock_text(seconds);
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (weekday, month) = (at.weekday().to_string(), at.month().to_string());
    format!("{}, {:02} {} {} {} GMT", &weekday[..3], at.day(), &month[..3], at.year(), &text["YYYY-MM-DD ".len()..])
}

/// Seconds since 1970 as the database writes them: blank instead of `T`, no zone.
pub(super) fn clock_text(seconds: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (date, time) = (at.date(), at.time());
    let (hour, minute, second) = time.as_hms();
    format!("{:04}-{:02}-{:02} {hour:02}:{minute:02}:{second:02}", date.year(), u8::from(date.month()), date.day())
}
