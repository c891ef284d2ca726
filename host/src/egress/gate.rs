//! The path of one request, from a guest's wish to a clean answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::{Url, form_urlencoded};

use super::auth::{Auth, AuthSpec, Desk, Pass};
use super::budget::{CallKind, Spend};
use super::errand::{Errand, Exchange, errand};
use super::origin::{OriginSpec, join, resolve_base};
use super::path::Path;
use super::transport::{Failure, Incoming, Outgoing, Tls, Transport};
use super::{Answer, Base, CallScope, Effect, Error, GateConfig, Grant, Payload, Refusal, Request, Vault};
use crmsync_body::{SecretField, mask_fields};

/// Requests that a door has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reads.
    pub read: u64,
    /// Writes.
    pub write: u64,
    /// The host's own, for refreshes and logins.
    pub auth: u64,
}

/// The gate of one host process.
pub struct Gate {
    config: GateConfig,
    tls: Arc<Tls>,
    doors: Mutex<HashMap<(String, String), Weak<Door>>>,
}

impl Gate {
    /// A gate with no doors yet.
    ///
    /// # Errors
    /// A limit is zero.
    pub fn new(config: GateConfig) -> Result<Gate, Error> {
        if config.answer_bytes_max == 0 || config.request_timeout_ms_max == 0 {
            return Err(Error::BadGrant("a limit of the gate is zero".to_owned()));
        }
        Ok(Gate { config, tls: Arc::default(), doors: Mutex::default() })
    }

    /// The door of a connection. While somebody holds the door of this very grant version, everybody gets the same one: budget,
    /// sessions and the single flight of logins belong to the connection, not to a run.
    ///
    /// # Errors
    /// The grant contradicts itself.
    pub fn door(&self, grant: Grant, vault: Arc<dyn Vault>) -> Result<Arc<Door>, Error> {
        let key = (grant.tenant.clone(), grant.connection.clone());
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        doors.retain(|_, door| door.strong_count() > 0);
        if let Some(door) = doors.get(&key).and_then(Weak::upgrade)
            && door.grant.version == grant.version
        {
            return Ok(door);
        }
        let door = Arc::new(Door::new(self.config.clone(), Arc::clone(&self.tls), grant, vault)?);
        doors.insert(key, Arc::downgrade(&door));
        Ok(door)
    }

    /// A door of nobody else's: for a login whose tokens lie in a vault of its own until it is known whose they are.
    ///
    /// # Errors
    /// The grant contradicts itself.
    pub fn door_for_login(&self, grant: Grant, vault: Arc<dyn Vault>) -> Result<Arc<Door>, Error> {
        Ok(Arc::new(Door::new(self.config.clone(), Arc::clone(&self.tls), grant, vault)?))
    }

    /// Forgets a connection's door: whoever holds it goes on with it, the next one to ask gets a new one.
    pub fn forget(&self, tenant: &str, connection: &str) {
        let key = (tenant.to_owned(), connection.to_owned());
        self.doors.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}

/// One connection's way to its CRM.
pub struct Door {
    config: GateConfig,
    grant: Grant,
    secret_fields: Vec<SecretField>,
    desk: Arc<Desk>,
    auth: Auth,
    slots: Semaphore,
    reads: AtomicU64,
    writes: AtomicU64,
}

impl Door {
    /// Sends one request of a guest.
    ///
    /// # Errors
    /// See [`Refusal`]; it says whether something may have reached the CRM.
    pub async fn send(&self, scope: &CallScope, request: Request) -> Result<Answer, Refusal> {
        let order = self.admissible(scope, request)?;
        let _slot = self.slot(scope).await?;
        let mut stage = Stage::Kept;
        let outcome = self.carry_out(scope, &order, &mut stage).await;
        if let (Stage::Admitted, Effect::Write(rows), Some(admissions)) = (stage, &order.effect, &scope.admissions) {
            admissions.retract(rows);
        }
        outcome.map_err(|refusal| self.told(refusal))
    }

    /// Facts for the guest: those of the login under their own names, settings as `setting.NAME`. Before the first login or request of
    /// this door ([`Door::login_session`]) the login's are missing.
    pub fn facts(&self) -> Vec<(String, String)> {
        let settings = self.grant.settings.iter().map(|(name, value)| (format!("setting.{name}"), value.clone()));
        let redactor = self.desk.redactor();
        self.auth.facts().into_iter().map(|(name, value)| (name, redactor.masked(&value))).chain(settings).collect()
    }

    /// Makes sure that there is a working credential and that [`Door::facts`] are those of the login: logs in, refreshes, or finds that
    /// nothing has to be done.
    ///
    /// # Errors
    /// See [`Refusal`]; nothing of a guest's was sent.
    pub async fn login_session(&self, deadline: Instant) -> Result<(), Refusal> {
        self.auth.pass(deadline).await.map(drop).map_err(|refusal| self.told(refusal))
    }

    /// The same within a call of a guest: what fails here fails for the call's requests, too.
    ///
    /// # Errors
    /// See [`Refusal`]; nothing of a guest's was sent.
    pub async fn login_for_call(&self, scope: &CallScope) -> Result<(), Refusal> {
        self.pass(scope).await.map(drop).map_err(|refusal| self.told(refusal))
    }

    /// Where a person consents to an OAuth login. `state` is one-use and bound to session, tenant and connection by the caller.
    ///
    /// # Errors
    /// The connection does not log in by OAuth, or its settings are not complete.
    pub fn authorize_url(&self, redirect_uri: &str, state: &str) -> Result<Url, Error> {
        self.auth.oauth2()?.authorize_url(redirect_uri, state)
    }

    /// Trades the code of an OAuth callback for tokens and stores them. `parameters` are all of the callback's; the data centre that
    /// they name is looked up in the manifest's table, everything else is ignored. A code that a person made at the CRM without a
    /// redirect has no `redirect_uri`.
    ///
    /// # Errors
    /// See [`Error`]; the stored tokens are then as they were.
    pub async fn exchange_code(
        &self,
        redirect_uri: Option<&str>,
        code: &str,
        parameters: &[(String, String)],
    ) -> Result<(), Error> {
        self.auth.oauth2()?.exchange_code(redirect_uri, code, parameters).await
    }

    /// Ends an OAuth authorisation at the CRM and forgets its tokens.
    ///
    /// # Errors
    /// See [`Error`]; if the CRM could not be reached, the tokens are kept.
    pub async fn revoke(&self) -> Result<(), Error> {
        self.auth.oauth2()?.revoke().await
    }

    /// What this door has sent so far.
    pub fn counters(&self) -> Counters {
        Counters {
            read: self.reads.load(Ordering::Relaxed),
            write: self.writes.load(Ordering::Relaxed),
            auth: self.desk.calls(),
        }
    }

    fn new(config: GateConfig, tls: Arc<Tls>, grant: Grant, vault: Arc<dyn Vault>) -> Result<Door, Error> {
        for origin in &grant.origins {
            origin.check()?;
        }
        let secret_fields =
            grant.secret_fields.iter().map(|field| SecretField::parse(field)).collect::<Result<_, _>>()?;
        let transport = Transport::new(tls, &grant.addresses, &config);
        let desk = Arc::new(Desk::new(&grant, vault, transport, config.clone()));
        let auth = Auth::new(grant.auth.clone(), Arc::clone(&desk), login_base(&grant)?)?;
        Ok(Door {
            slots: Semaphore::new(grant.limits.requests_parallel.max(1) as usize),
            config,
            grant,
            secret_fields,
            desk,
            auth,
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        })
    }

    /// Grant, method and path, effect: everything that can be said without asking anybody.
    fn admissible(&self, scope: &CallScope, request: Request) -> Result<Order<'_>, Refusal> {
        let denied = |reason: String| Err(Refusal::Denied(reason));
        let Some(origin) = self.grant.origins.iter().find(|origin| origin.name == request.origin) else {
            return denied(format!("the origin `{}` is not granted", request.origin));
        };
        let path = Path::parse(&request.path).map_err(|reason| Refusal::Denied(format!("the path {reason}")))?;
        if !origin.methods.contains(&request.method) || !origin.allows_path(&path) {
            return denied(format!("`{} {}` is not granted at `{}`", request.method, request.path, origin.name));
        }
        let method =
            Method::from_bytes(request.method.as_bytes()).map_err(|_| Refusal::Denied("not a method".to_owned()))?;
        match &request.effect {
            Effect::Read if !origin.may_read(&request, &path) => {
                return denied(format!("`{} {}` writes, so it cannot be a read", request.method, request.path));
            }
            Effect::Write(_) if scope.admissions.is_none() => return denied("writes happen in `push` only".to_owned()),
            Effect::Write(rows) if rows.is_empty() => {
                return denied("a write names the rows that it writes".to_owned());
            }
            Effect::Read | Effect::Write(_) => {}
        }
        let form: &[(String, String)] = if let Payload::Form(form) = &request.body { form } else { &[] };
        if let Some((name, _)) = request.query.iter().chain(form).find(|(name, _)| self.auth.owns_parameter(name)) {
            return denied(format!("the parameter `{name}` belongs to the login"));
        }
        if method == Method::GET && request.body != Payload::None {
            return denied("a `GET` has no body".to_owned());
        }
        if payload_bytes(&request.body) > self.config.request_bytes_max {
            return denied(format!("the body is larger than {} bytes", self.config.request_bytes_max));
        }
        let headers = self.allowed_headers(origin, &request.headers)?;
        if scope.requests_max == 0 {
            return denied("this call has made all the requests that it may make".to_owned());
        }
        let (query, body, effect) = (request.query, request.body, request.effect);
        Ok(Order { origin, method, path, named: request.path, query, headers, body, effect })
    }

    fn allowed_headers(&self, origin: &OriginSpec, asked: &[(String, String)]) -> Result<HeaderMap, Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in asked {
            if !origin.allows_request_header(name) || self.auth.owns_header(name) {
                return Err(Refusal::Denied(format!("the header `{name}` is not granted at `{}`", origin.name)));
            }
            let parsed = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value));
            let (Ok(name), Ok(value)) = parsed else {
                return Err(Refusal::Denied(format!("the header `{name}` is malformed")));
            };
            headers.append(name, value);
        }
        Ok(headers)
    }

    /// One of the connection's places for requests under way. Waiting for our own requests is not waiting for the CRM's limit.
    async fn slot(&self, scope: &CallScope) -> Result<SemaphorePermit<'_>, Refusal> {
        match tokio::time::timeout_at(scope.deadline.into(), self.slots.acquire()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(Refusal::Cancelled),
        }
    }

    async fn carry_out(&self, scope: &CallScope, order: &Order<'_>, stage: &mut Stage) -> Result<Answer, Refusal> {
        let (mut renewed, mut repeated, mut waited_ms) = (false, false, 0);
        loop {
            self.turn(scope, order, &mut waited_ms).await?;
            let url = self.url(order).await?;
            let peer = self.desk.transport.check(&url).await?;
            // Only now the credential: it must not even be fetched for an address that is refused.
            let pass = self.pass(scope).await?;
            let outgoing = order.outgoing(url, &pass)?;
            let mut timeout = self.timeout(scope, order)?;
            if *stage == Stage::Kept {
                self.admit(scope, order).await?;
                *stage = Stage::Admitted;
                // Once more: a process that was frozen meanwhile must not send what others take for dead.
                timeout = self.timeout(scope, order)?;
            }
            *stage = Stage::Sent;
            self.count(order);
            let sent = Sent { at_ms: self.desk.now_ms(), bytes: outgoing.body.as_ref().map_or(0, Vec::len) };
            let answered = self.desk.transport.exchange(&peer, outgoing, timeout).await;
            self.record(order, &sent, answered.as_ref().ok());
            match answered {
                Ok(incoming) if self.auth.is_expired(&incoming) => {
                    // The CRM has refused before it executed anything, so a write may go again, too.
                    *stage = Stage::Admitted;
                    self.auth.expire(pass);
                    if renewed {
                        return Err(Refusal::LoggedOut);
                    }
                    renewed = true;
                }
                Ok(incoming) => return Ok(self.answer(order.origin, incoming)),
                Err(Failure::NoAnswer { timed_out: false, .. }) if order.is_read() && !repeated => repeated = true,
                Err(Failure::NoAnswer { .. }) if order.is_read() && Instant::now() >= scope.deadline => {
                    return Err(Refusal::Cancelled);
                }
                Err(failure) => {
                    if matches!(failure, Failure::NotSent(_) | Failure::Denied(_)) {
                        *stage = Stage::Admitted;
                    }
                    return Err(failure.into());
                }
            }
        }
    }

    /// Waits for the budget, but not for long (S10).
    async fn turn(&self, scope: &CallScope, order: &Order<'_>, waited_ms: &mut u64) -> Result<(), Refusal> {
        loop {
            if Instant::now() >= scope.deadline {
                return Err(Refusal::Cancelled);
            }
            let taken = self.desk.limiter().take(self.desk.now_ms());
            let taken = match taken {
                Ok(()) => self.spend(order).await,
                Err(wait_ms) => Err(wait_ms),
            };
            let Err(wait_ms) = taken else { return Ok(()) };
            let ends_at = Instant::now() + Duration::from_millis(wait_ms);
            if *waited_ms + wait_ms > self.config.wait_ms_max || ends_at >= scope.deadline {
                return Err(Refusal::RateLimited(wait_ms));
            }
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            *waited_ms += wait_ms;
        }
    }

    /// Counts the request in the connection's budget.
    async fn spend(&self, order: &Order<'_>) -> Result<(), u64> {
        let (kind, rows) = match &order.effect {
            Effect::Read => (CallKind::Read, 0),
            Effect::Write(rows) => (CallKind::Write, rows.len()),
        };
        let (tenant, connection) = (self.grant.tenant.as_str(), self.grant.connection.as_str());
        self.config.budget.take(Spend { tenant, connection, lane: errand().lane, kind, rows }).await
    }

    /// Keeps what was sent and what came, if the flow's debug mode is on: sizes and names, no values.
    fn record(&self, order: &Order<'_>, sent: &Sent, incoming: Option<&Incoming>) {
        let Errand { debug: Some(flow), .. } = errand() else { return };
        let form: &[(String, String)] = if let Payload::Form(form) = &order.body { form } else { &[] };
        let names: Vec<&str> = order.query.iter().chain(form).map(|(name, _)| name.as_str()).collect();
        self.config.recorder.record(Exchange {
            tenant: self.grant.tenant.clone(),
            flow,
            connection: self.grant.connection.clone(),
            at_ms: sent.at_ms,
            method: order.method.to_string(),
            origin: order.origin.name.clone(),
            path: self.desk.redactor().masked(&order.named),
            parameters: names.join(" "),
            rows_written: if let Effect::Write(rows) = &order.effect { rows.len() } else { 0 },
            status: incoming.map_or(0, |incoming| incoming.status),
            took_ms: self.desk.now_ms().saturating_sub(sent.at_ms),
            sent_bytes: sent.bytes,
            answer_bytes: incoming.map_or(0, |incoming| incoming.body.len()),
        });
    }

    async fn url(&self, order: &Order<'_>) -> Result<Url, Refusal> {
        // Which host it is may depend on the login, which lies in the vault.
        let chosen_at_login = matches!(order.origin.base, Base::Auth(_));
        if chosen_at_login && !self.grant.origin_overrides.contains_key(&order.origin.name) {
            self.auth.know_facts().await?;
        }
        let Grant { origin_overrides, settings, .. } = &self.grant;
        let base = resolve_base(order.origin, origin_overrides, settings, |name| self.auth.host(name))
            .map_err(Refusal::Denied)?;
        let mut url = join(&base, &order.path);
        if !order.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&order.query);
        }
        Ok(url)
    }

    /// The time that the request has. A write that could not be answered any more is not begun, as its outcome would be unknown; nor is
    /// one whose time could end while there is no connection yet.
    fn timeout(&self, scope: &CallScope, order: &Order<'_>) -> Result<Duration, Refusal> {
        const ANSWER_TIME_MIN: Duration = Duration::from_secs(1);
        let left = scope.deadline.saturating_duration_since(Instant::now());
        let write_time_min = Duration::from_millis(self.config.connect_timeout_ms) + ANSWER_TIME_MIN;
        if left.is_zero() || (!order.is_read() && left < write_time_min) {
            return Err(Refusal::Cancelled);
        }
        let most_ms = self.grant.limits.request_timeout_ms.min(self.config.request_timeout_ms_max);
        Ok(left.min(Duration::from_millis(most_ms)))
    }

    /// Rule 1: the rows are marked before the first byte, and after everything that could still keep the request back.
    async fn admit(&self, scope: &CallScope, order: &Order<'_>) -> Result<(), Refusal> {
        match (&order.effect, &scope.admissions) {
            (Effect::Write(rows), Some(admissions)) => admissions.admit(rows).await.map_err(Refusal::Denied),
            _ => Ok(()),
        }
    }

    fn count(&self, order: &Order<'_>) {
        let counter = if order.is_read() { &self.reads } else { &self.writes };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// What the guest gets of an answer. Rule 6: secrets are overwritten before anything else can look at it.
    fn answer(&self, origin: &OriginSpec, incoming: Incoming) -> Answer {
        let Incoming { status, headers, mut body } = incoming;
        self.desk.obey(status, &headers);
        let told = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        self.config.budget.hear(&self.grant.tenant, &self.grant.connection, &told);
        let redactor = self.desk.redactor();
        redactor.mask(&mut body);
        mask_fields(&mut body, &self.secret_fields);
        let seen = headers.iter().filter(|(name, _)| origin.shows_answer_header(name.as_str()));
        let headers =
            seen.filter_map(|(name, value)| Some((name.to_string(), redactor.masked(value.to_str().ok()?)))).collect();
        Answer { status, headers, body: body.into() }
    }

    /// A refusal as it may be told: what a login or a CRM said can be in it, so secrets are overwritten, and it is kept short.
    fn told(&self, refusal: Refusal) -> Refusal {
        let redactor = self.desk.redactor();
        refusal.with_words(|text| redactor.masked(text))
    }

    /// A credential for a request of a call. What failed once in it fails for the rest of it, without asking the CRM again.
    async fn pass(&self, scope: &CallScope) -> Result<Pass, Refusal> {
        if let Some(refusal) = scope.login_failed.get() {
            return Err(refusal.clone());
        }
        let pass = self.auth.pass(scope.deadline).await;
        if let Err(refusal) = &pass
            && *refusal != Refusal::Cancelled
        {
            // Two requests of a call may fail side by side; either reason will do.
            let _known = scope.login_failed.set(refusal.clone());
        }
        pass
    }
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody knows of it yet.
    Kept,
    /// Its rows are marked as admitted, but the CRM has executed nothing: no connection, or a credential that it refused.
    Admitted,
    /// It may have been executed.
    Sent,
}

/// When a request left, and the size of its body.
struct Sent {
    at_ms: u64,
    bytes: usize,
}

/// A request that the grant allows.
struct Order<'d> {
    origin: &'d OriginSpec,
    method: Method,
    path: Path,
    /// The path as the guest named it.
    named: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Payload,
    effect: Effect,
}

impl Order<'_> {
    fn is_read(&self) -> bool {
        self.effect == Effect::Read
    }

    /// The request with its credential in its place.
    fn outgoing(&self, mut url: Url, pass: &Pass) -> Result<Outgoing, Refusal> {
        let mut headers = self.headers.clone();
        let mut form: Vec<(&str, &str)> = Vec::new();
        match pass {
            Pass::Header { name, value, .. } => drop(headers.insert(name, value.clone())),
            Pass::Session(held) if matches!(self.body, Payload::Form(_)) => {
                form.push((held.parameter(true), held.name()))
            }
            Pass::Session(held) => {
                url.query_pairs_mut().append_pair(held.parameter(false), held.name());
            }
        }
        let body = match &self.body {
            Payload::None => None,
            Payload::Json(json) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                Some(json.clone())
            }
            Payload::Form(pairs) => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
                form.extend(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
                Some(form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish().into_bytes())
            }
        };
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(Refusal::Denied(format!("the address with its query is longer than {URL_BYTES_MAX} bytes")));
        }
        Ok(Outgoing { method: self.method.clone(), url, headers, body })
    }
}

/// Longest address with its query, in bytes. Servers take less; this only bounds what we build.
const URL_BYTES_MAX: usize = 64 << 10;

fn payload_bytes(body: &Payload) -> usize {
    match body {
        Payload::None => 0,
        Payload::Json(json) => json.len(),
        Payload::Form(pairs) => pairs.iter().map(|(name, value)| name.len() + value.len() + 2).sum(),
    }
}

/// The address that a login talks to, as far as it does not depend on the login itself.
fn login_base(grant: &Grant) -> Result<Option<Url>, Error> {
    match &grant.auth {
        AuthSpec::Oauth2(spec) => Ok(grant.origin_overrides.get(&spec.host).cloned()),
        AuthSpec::Session(spec) => {
            let origin = grant.origins.iter().find(|origin| origin.name == spec.origin);
            let origin = origin
                .ok_or_else(|| Error::BadGrant(format!("the login's origin `{}` is not granted", spec.origin)))?;
            resolve_base(origin, &grant.origin_overrides, &grant.settings, |_| None).map(Some).map_err(Error::BadGrant)
        }
        AuthSpec::Basic(_) | AuthSpec::ApiKey(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests;
