//! The simulated Zoho CRM, API v8: one organization, Contacts, Accounts and Leads, real OAuth.
//!
//! Every call is one step of its state under one lock. `oauth` is the accounts server; `list`, `search`, `write` and
//! `metadata` are the API; `schema` is the table that all of them read. Time is whole seconds in the user's zone, as it
//! is there. What the real service does and its description leaves open is decided once, at the place where it shows.

mod consent;
mod limits;
mod list;
mod metadata;
mod oauth;
mod params;
mod profile;
mod refusal;
mod schema;
mod scope;
mod screen;
mod search;
mod store;
mod validate;
mod when;
mod write;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

use crate::crm::{CallInfo, Crm, FieldRule, Rights, Shared, Twist, UserRule};
use crate::history::{Actor, CallKind};
use crate::http::{Answer, Request};
use crate::people;
use crate::serve::Options;
use limits::Limits;
use list::{PageTokens, Reading};
use oauth::OAuth;
use params::Params;
use refusal::Refusal;
use schema::Module;
use store::Store;
use write::{Body, Writing};

pub use profile::Profile;
pub use schema::CUSTOM_KEY_FIELD;
pub use search::equals_one_of;

/// Parameters whose values never show up in the list of calls.
const SECRETS: &[&str] = &["client_secret", "code", "refresh_token", "access_token", "token"];

/// A running Zoho CRM.
pub struct Zoho {
    url: String,
    shared: Shared,
    profile: Profile,
    /// What the administrator made of the modules. A call keeps what it found.
    modules: Mutex<Arc<Vec<Module>>>,
    state: Mutex<State>,
}

struct State {
    store: Store,
    oauth: OAuth,
    limits: Limits,
    pages: PageTokens,
}

impl Zoho {
    /// Makes the organization with its seeded records; `url` is the server's own address, which tokens point to.
    ///
    /// # Errors
    /// If the profile is unknown.
    pub fn open(options: &Options, shared: Shared, url: &str) -> io::Result<Zoho> {
        let profile = Profile::parse(&options.profile)?;
        let modules = schema::modules(&profile);
        let population = people::generate_counts(options.seed, options.counts());
        let registered = (options.client_id.clone(), options.client_secret.clone(), options.redirect_uri.clone());
        let state = State {
            store: Store::seeded(&modules, &population, profile.zone),
            oauth: OAuth::new(options.seed, url, profile.token_life_s, registered),
            limits: Limits::default(),
            pages: PageTokens::new(options.seed),
        };
        Ok(Zoho {
            url: url.to_owned(),
            shared,
            profile,
            modules: Mutex::new(Arc::new(modules)),
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn schema(&self) -> Arc<Vec<Module>> {
        Arc::clone(&self.modules.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Authentication, scope and credits, then the call itself.
    fn api(&self, request: &Request, twist: Option<Twist>) -> Result<Answer, Refusal> {
        let now_ms = self.shared.clock.now_ms();
        let modules = self.schema();
        let path: Vec<&str> = request.path.strip_prefix("/crm/v8/").unwrap_or_default().split('/').collect();
        let mut state = self.state();
        let scopes = authenticate(&state.oauth, request, now_ms)?;
        if path == [""] {
            return Err(metadata::not_a_url());
        }
        if !scope::allows(&scopes, request, &path) {
            return Err(Refusal::new(401, "OAUTH_SCOPE_MISMATCH", "invalid oauth scope to access this URL"));
        }
        state.limits.spend(&self.profile, write::credits(request), now_ms)?;
        let params = Params::of(request);
        match (request.method.as_str(), path.as_slice()) {
            ("GET", ["users"]) => metadata::users(&state.store, &params, None),
            ("GET", ["users", id]) => metadata::users(&state.store, &params, Some(id)),
            ("GET", ["org"]) => Ok(metadata::org(self.profile.zone)),
            ("GET", ["settings", what @ ..]) => metadata::settings(&modules, what, &params, request, &self.profile),
            (_, ["users" | "org" | "settings", ..]) => Err(wrong_method()),
            ("GET", [module, rest @ ..]) => {
                let state = &mut *state;
                let reading = Reading {
                    store: &state.store,
                    module: metadata::find(&modules, module)?,
                    params: &params,
                    modified_since: request.header("if-modified-since"),
                    twist,
                    now_ms,
                    tokens_count: self.profile.tokens_count,
                };
                match rest {
                    [] => reading.list(&mut state.pages),
                    ["deleted"] => reading.deleted(),
                    ["search"] => reading.search(self.profile.search_lag_ms),
                    ["actions", "count"] => Ok(reading.count()),
                    [id] => reading.one(id),
                    _ => Err(metadata::not_a_url()),
                }
            }
            (method, [module, rest @ ..]) => {
                let writing = Writing {
                    store: &mut state.store,
                    module: metadata::find(&modules, module)?,
                    shared: &self.shared,
                    unmodified_since_ms: write::unmodified_since(request)?,
                    now_ms,
                };
                write_records(writing, method, rest, request, &params)
            }
            (_, []) => Err(metadata::not_a_url()),
        }
    }

    /// One edit at the screen: checked like a call, but nobody's token, credit or workflow.
    fn at_the_screen<T>(
        &self,
        module: &str,
        edit: impl FnOnce(&mut Writing<'_>) -> Result<T, Refusal>,
    ) -> Result<T, String> {
        let modules = self.schema();
        let module = metadata::find(&modules, module).map_err(say)?;
        let mut state = self.state();
        let mut writing = Writing {
            store: &mut state.store,
            module,
            shared: &self.shared,
            unmodified_since_ms: None,
            now_ms: self.shared.clock.now_ms(),
        };
        edit(&mut writing).map_err(say)
    }

    fn is_heavy(&self, request: &Request) -> bool {
        request.query.contains("sort_by=") || request.query.contains("cvid=") || write::is_heavy(request)
    }
}

fn write_records(
    mut writing: Writing<'_>,
    method: &str,
    rest: &[&str],
    request: &Request,
    params: &Params,
) -> Result<Answer, Refusal> {
    match (method, rest) {
        ("POST", []) => Ok(writing.insert(&Body::parse(request)?)),
        ("POST", ["upsert"]) => writing.upsert(&Body::parse(request)?),
        ("PUT", []) => Ok(writing.update(&Body::parse(request)?, None)),
        ("PUT", [id]) => Ok(writing.update(&Body::parse(request)?, Some(id))),
        ("DELETE", rest @ ([] | [_])) => {
            let ids: Vec<&str> = match rest {
                [id] => vec![id],
                _ => {
                    let ids = params.get("ids").ok_or_else(|| Refusal::missing_param("ids"))?;
                    list::check_ids(ids)?;
                    ids.split(',').map(str::trim).collect()
                }
            };
            writing.delete(&ids, params.get("wf_trigger") != Some("false"))
        }
        _ => Err(wrong_method()),
    }
}

impl Crm for Zoho {
    fn name(&self) -> &'static str {
        "zoho"
    }

    fn shared(&self) -> &Shared {
        &self.shared
    }

    fn login(&self) -> Value {
        let state = self.state();
        json!({
            "client_id": state.oauth.client_id,
            "client_secret": state.oauth.client_secret,
            "authorize_url": format!("{}/oauth/v2/auth", self.url),
            "token_url": format!("{}/oauth/v2/token", self.url),
        })
    }

    fn classify(&self, request: &Request) -> CallInfo {
        let below = request.path.strip_prefix("/crm/v8/").unwrap_or_default();
        let kind = if request.path.starts_with("/oauth/") {
            CallKind::Auth
        } else if ["settings/", "users", "org"].iter().any(|prefix| below.starts_with(prefix)) {
            CallKind::Metadata
        } else if request.method == "GET" {
            CallKind::Read
        } else {
            CallKind::Write
        };
        CallInfo { kind, shown: request.shown(SECRETS) }
    }

    fn handle(&self, request: &Request, twist: Option<Twist>) -> Answer {
        let now_ms = self.shared.clock.now_ms();
        let answer = if request.path.starts_with("/oauth/") {
            self.state().oauth.handle(request, now_ms)
        } else if request.path.starts_with("/crm/v8/") {
            self.api(request, twist).unwrap_or_else(|refusal| refusal.answer())
        } else {
            metadata::not_a_url().answer()
        };
        // A client learns the server's time from this header, so it follows the clock that tests move.
        let answer = answer.with_header("date", when::http_date(now_ms));
        match self.state().limits.remaining_header(&self.profile) {
            Some(credits) if request.path.starts_with("/crm/") => {
                answer.with_header("x-api-credits-remaining", credits.to_string())
            }
            _ => answer,
        }
    }

    fn enter(&self, request: &Request) -> Result<(), Answer> {
        if request.path.starts_with("/oauth/") {
            return Ok(());
        }
        self.state().limits.enter(&self.profile, self.is_heavy(request)).map_err(|refusal| refusal.answer())
    }

    fn leave(&self, request: &Request) {
        if !request.path.starts_with("/oauth/") {
            self.state().limits.leave(self.is_heavy(request));
        }
    }

    fn modules(&self) -> Vec<&'static str> {
        self.schema().iter().map(|module| module.api_name).collect()
    }

    fn records(&self, module: &str) -> Option<Vec<Value>> {
        let modules = self.schema();
        let module = metadata::find(&modules, module).ok()?;
        let state = self.state();
        Some(state.store.live(module).values().map(|record| state.store.show_all(module, record)).collect())
    }

    fn record_count(&self, module: &str) -> usize {
        metadata::find(&self.schema(), module).map_or(0, |module| self.state().store.live(module).len())
    }

    fn person_create(&self, module: &str, set: &Map<String, Value>) -> Result<Value, String> {
        self.at_the_screen(module, |writing| {
            let values = validate::row(writing.store, writing.module, set, 0, true)?;
            writing.refuse_duplicates(&values, None, 0)?;
            let id = writing.create(values, Actor::Person, false);
            Ok(writing.shown(id).unwrap_or_default())
        })
    }

    fn person_edit(&self, module: &str, id: &str, set: &Map<String, Value>) -> Result<Value, String> {
        self.at_the_screen(module, |writing| {
            let id = writing.live_id(id).ok_or_else(|| Refusal::invalid_id(id))?;
            let values = validate::row(writing.store, writing.module, set, 0, false)?;
            writing.refuse_duplicates(&values, Some(id), 0)?;
            writing.edit(id, values, Actor::Person, false);
            Ok(writing.shown(id).unwrap_or_default())
        })
    }

    fn person_delete(&self, module: &str, id: &str) -> Result<Value, String> {
        self.at_the_screen(module, |writing| {
            let id = writing.live_id(id).ok_or_else(|| Refusal::invalid_id(id))?;
            let before = writing.shown(id).unwrap_or_default();
            writing.remove(id, Actor::Person, false);
            Ok(before)
        })
    }

    fn person_restore(&self, module: &str, id: &str) -> Result<Value, String> {
        self.at_the_screen(module, |writing| {
            let restored = id.parse().ok().filter(|id| writing.restore(*id));
            let id = restored.ok_or_else(|| Refusal::invalid_id(id))?;
            Ok(writing.shown(id).unwrap_or_default())
        })
    }

    fn person_convert(&self, lead: &str) -> Result<Value, String> {
        let modules = self.schema();
        self.at_the_screen(store::LEADS, |writing| {
            let id = writing.live_id(lead).ok_or_else(|| Refusal::invalid_id(lead))?;
            let module = |name| metadata::find(&modules, name);
            Ok(writing.convert(id, module("Accounts")?, module("Contacts")?))
        })
    }

    fn person_merge(&self, module: &str, id: &str, into: &str) -> Result<Value, String> {
        self.at_the_screen(module, |writing| {
            let lost = writing.live_id(id).filter(|_| id != into).ok_or_else(|| Refusal::invalid_id(id))?;
            let kept = writing.live_id(into).ok_or_else(|| Refusal::invalid_id(into))?;
            writing.merge(lost, kept);
            Ok(writing.shown(kept).unwrap_or_default())
        })
    }

    fn set_field(&self, module: &str, field: &str, rule: &FieldRule) -> Result<(), String> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let known = Arc::make_mut(&mut modules).iter_mut().find(|known| known.api_name == module);
        match known.is_some_and(|known| known.set_field(field, rule)) {
            true => Ok(()),
            false => Err(format!("{module} has no field `{field}`")),
        }
    }

    fn set_user(&self, user: &UserRule) -> Result<String, String> {
        Ok(self.state().store.set_member(&user.name, &user.email, user.active))
    }

    fn grant(&self, rights: Rights) {
        self.state().store.rights = rights;
    }

    fn expire_sessions(&self) {
        self.state().oauth.expire_access();
    }
}

/// The scopes of the caller. A missing or foreign header and a dead token are told apart, as Zoho does.
fn authenticate(oauth: &OAuth, request: &Request, now_ms: i64) -> Result<Vec<String>, Refusal> {
    let token = request
        .header("authorization")
        .and_then(|header| header.strip_prefix("Zoho-oauthtoken "))
        .ok_or_else(|| Refusal::new(401, "AUTHENTICATION_FAILURE", "Authentication failed"))?;
    match oauth.scopes(token.trim(), now_ms) {
        Some(scopes) => Ok(scopes.to_vec()),
        None => Err(Refusal::new(401, "INVALID_TOKEN", "invalid oauth token")),
    }
}

fn wrong_method() -> Refusal {
    Refusal::new(400, "INVALID_REQUEST_METHOD", "The http request method type is not a valid one")
        .with("resource_path_index", 0)
}

/// A refusal in the words of the screen: what is wrong, and with which field.
fn say(refusal: Refusal) -> String {
    match refusal.details.get("api_name").and_then(Value::as_str) {
        Some(field) => format!("{}: {} (`{field}`)", refusal.code, refusal.message),
        None => format!("{}: {}", refusal.code, refusal.message),
    }
}
