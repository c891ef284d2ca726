//! What the host lends to guests: a log, a cache, and the one door to the network.
//!
//! Every function counts what it is asked for. A guest that asks for too much is stopped with a named breach; a request that
//! the gate refuses is an answer, not a breach.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crmsync_cells::Kind;
use futures_util::{StreamExt, stream};
use wasmtime::component::{Resource, ResourceTable};

use super::bindings::connector::crmsync::plugin as wit;
use super::connector::Call;
use super::limits::{
    ANSWERS_HELD_BYTES_MAX, ANSWERS_HELD_MAX, BATCH_COLUMNS_MAX, Breach, Ceiling, ComponentLimits, LOG_LINE_BYTES_MAX,
    Ledger, SEND_MANY_MAX, SEND_MANY_PARALLEL,
};
use super::meter::Meter;
use super::state::StateCache;
use crate::egress::{self, Answer, BodyFault, CallScope, Door, Effect, Payload, Refusal, Request};

/// What one instance of a connector has: the data of its wasmtime `Store`.
pub(super) struct Lent {
    plugin: Arc<str>,
    pub(super) ceiling: Ceiling,
    pub(super) meter: Arc<Meter>,
    ledger: Ledger,
    door: Arc<Door>,
    state: Arc<StateCache>,
    answers: ResourceTable,
    answers_held: usize,
    answer_bytes: usize,
    scope: CallScope,
    now_ms: i64,
}

/// What one instance of a transform has.
pub(super) struct LentToTransform {
    plugin: Arc<str>,
    pub(super) ceiling: Ceiling,
    ledger: Ledger,
}

/// An HTTP answer whose body stays in the host until the guest asks for it.
#[expect(
    unreachable_pub,
    reason = "the generated bindings re-export it, and refuse a type that is only visible in the crate"
)]
#[derive(Debug)]
pub struct HeldAnswer {
    answer: Answer,
}

impl Lent {
    pub(super) fn new(
        plugin: Arc<str>,
        limits: &ComponentLimits,
        meter: Arc<Meter>,
        door: Arc<Door>,
        state: Arc<StateCache>,
    ) -> Lent {
        let mut answers = ResourceTable::new();
        answers.set_max_capacity(ANSWERS_HELD_MAX);
        let ceiling = Ceiling::new(limits);
        // Before the first call is opened nothing may be sent: a guest's start function has no business on the network.
        let scope =
            CallScope { admissions: None, requests_max: 0, deadline: Instant::now(), login_failed: Arc::default() };
        Lent {
            plugin,
            ceiling,
            meter,
            ledger: Ledger::default(),
            door,
            state,
            answers,
            answers_held: 0,
            answer_bytes: 0,
            scope,
            now_ms: 0,
        }
    }

    /// Opens a call: new counters, new clocks, and what it may do at the gate.
    pub(super) fn open(&mut self, call: &Call, requests_max: u32, deadline: Duration) {
        self.ledger = Ledger::default();
        self.meter.restart();
        let deadline = Instant::now() + deadline;
        let admissions = call.admissions.clone();
        self.scope = CallScope { admissions, requests_max, deadline, login_failed: Arc::default() };
        self.now_ms = call.now_ms;
    }

    /// Closes a call: from here on nothing can be sent, whatever the guest kept.
    pub(super) fn close(&mut self) {
        self.scope.admissions = None;
        self.scope.requests_max = 0;
    }

    fn held(&self, answer: &Resource<HeldAnswer>) -> wasmtime::Result<&Answer> {
        Ok(&self.answers.get(answer)?.answer)
    }

    /// Takes a request out of the call's budget, or says why it may not be sent.
    fn admit(&mut self, request: &Request) -> Result<CallScope, Refusal> {
        if self.answer_bytes >= ANSWERS_HELD_BYTES_MAX {
            return Err(no_room());
        }
        if matches!(request.effect, Effect::Write(_)) && self.scope.admissions.is_none() {
            return Err(Refusal::Denied("a write is allowed in `push` only".to_owned()));
        }
        let requests_max = self.scope.requests_max;
        if !self.ledger.take_request(requests_max) {
            return Err(Refusal::Denied(format!("this call has made all of its {requests_max} requests")));
        }
        // The request at hand is counted already, and is the gate's to make.
        let left = self.ledger.requests_left(requests_max) + 1;
        Ok(CallScope { requests_max: left, ..self.scope.clone() })
    }

    fn hold(&mut self, answer: Answer) -> wasmtime::Result<Resource<HeldAnswer>> {
        let size = answer.body.len();
        let held = self.answers.push(HeldAnswer { answer }).map_err(|_| too_many_held())?;
        self.answers_held += 1;
        self.answer_bytes += size;
        Ok(held)
    }
}

/// What the answers of one instance may take, charged as each of them arrives.
struct Purse(AtomicUsize);

impl Purse {
    fn of(held_bytes: usize) -> Purse {
        Purse(AtomicUsize::new(held_bytes))
    }

    /// Sends a request while there is room. An answer that takes more than is left is dropped at once, unless it is a write's: what
    /// became of a row must not be lost, and no more of them than are under way together can come on top.
    async fn send(&self, door: &Door, scope: &CallScope, request: Request) -> Result<Answer, Refusal> {
        if self.0.load(Ordering::Relaxed) >= ANSWERS_HELD_BYTES_MAX {
            return Err(no_room());
        }
        let is_read = request.effect == Effect::Read;
        let answer = door.send(scope, request).await?;
        let size = answer.body.len();
        let charged = self.0.fetch_add(size, Ordering::Relaxed).saturating_add(size);
        if is_read && charged > ANSWERS_HELD_BYTES_MAX {
            self.0.fetch_sub(size, Ordering::Relaxed);
            return Err(Refusal::TooLarge(size as u64));
        }
        Ok(answer)
    }
}

fn no_room() -> Refusal {
    Refusal::NotSent("it holds too many answers; drop those that are read".to_owned())
}

fn too_many_held() -> Breach {
    Breach::Host { what: "answers held at the same time", limit: ANSWERS_HELD_MAX as u64 }
}

impl LentToTransform {
    pub(super) fn new(plugin: Arc<str>, limits: &ComponentLimits) -> LentToTransform {
        LentToTransform { plugin, ceiling: Ceiling::new(limits), ledger: Ledger::default() }
    }
}

impl wit::log::Host for Lent {
    fn write(&mut self, level: u8, message: String) -> wasmtime::Result<()> {
        self.ledger.log_line()?;
        log_line(&self.plugin, level, &message);
        Ok(())
    }
}

impl wit::log::Host for LentToTransform {
    fn write(&mut self, level: u8, message: String) -> wasmtime::Result<()> {
        self.ledger.log_line()?;
        log_line(&self.plugin, level, &message);
        Ok(())
    }
}

impl wit::state::Host for Lent {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.ledger.host_call()?;
        Ok(self.state.get(&key))
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<bool> {
        self.ledger.host_call()?;
        Ok(self.state.set(key, value))
    }
}

impl wit::batches::Host for Lent {}
impl wit::batches::Host for LentToTransform {}
impl wit::faults::Host for Lent {}

impl wit::egress::Host for Lent {
    async fn send(
        &mut self,
        request: wit::egress::Request,
    ) -> wasmtime::Result<Result<Resource<HeldAnswer>, wit::egress::Refusal>> {
        self.ledger.host_call()?;
        // Before anything is sent: an answer that finds no place would end the call, and make a write's outcome unknown.
        if self.answers_held >= ANSWERS_HELD_MAX {
            return Err(too_many_held().into());
        }
        let request = Request::from(request);
        let purse = Purse::of(self.answer_bytes);
        let sent = match self.admit(&request) {
            Ok(scope) => {
                let _waiting = self.meter.wait_at_gate();
                purse.send(&self.door, &scope, request).await
            }
            Err(refusal) => Err(refusal),
        };
        match sent {
            Ok(answer) => self.hold(answer).map(Ok),
            Err(refusal) => Ok(Err(refusal.into())),
        }
    }

    async fn send_many(
        &mut self,
        requests: Vec<wit::egress::Request>,
    ) -> wasmtime::Result<Vec<Result<Resource<HeldAnswer>, wit::egress::Refusal>>> {
        self.ledger.host_call()?;
        if requests.len() > SEND_MANY_MAX {
            return Err(Breach::Host { what: "requests in one `send-many`", limit: SEND_MANY_MAX as u64 }.into());
        }
        let places = ANSWERS_HELD_MAX - self.answers_held;
        let admitted: Vec<_> = requests
            .into_iter()
            .enumerate()
            .map(|(index, request)| {
                let request = Request::from(request);
                if index >= places {
                    return Err(no_room());
                }
                self.admit(&request).map(|scope| (scope, request))
            })
            .collect();
        let purse = Purse::of(self.answer_bytes);
        let sent: Vec<_> = {
            let _waiting = self.meter.wait_at_gate();
            let (door, purse) = (&self.door, &purse);
            stream::iter(admitted)
                .map(|admitted| async move {
                    let (scope, request) = admitted?;
                    purse.send(door, &scope, request).await
                })
                .buffered(SEND_MANY_PARALLEL)
                .collect()
                .await
        };
        sent.into_iter()
            .map(|sent| match sent {
                Ok(answer) => self.hold(answer).map(Ok),
                Err(refusal) => Ok(Err(refusal.into())),
            })
            .collect()
    }

    async fn facts(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        self.ledger.host_call()?;
        if self.scope.requests_max > 0 {
            // The facts of the login are known once there was one. A refusal is no answer to this question: the guest's own first
            // request meets it again, and says what it means.
            let _waiting = self.meter.wait_at_gate();
            let _refused = self.door.login_for_call(&self.scope).await.is_err();
        }
        let mut facts = self.door.facts();
        facts.push(("now-ms".to_owned(), self.now_ms.to_string()));
        Ok(facts)
    }
}

impl wit::egress::HostAnswer for Lent {
    fn status(&mut self, answer: Resource<HeldAnswer>) -> wasmtime::Result<u16> {
        self.ledger.host_call()?;
        Ok(self.held(&answer)?.status)
    }

    fn header(&mut self, answer: Resource<HeldAnswer>, name: String) -> wasmtime::Result<Option<String>> {
        self.ledger.host_call()?;
        let headers = &self.held(&answer)?.headers;
        Ok(headers.iter().find(|(header, _)| *header == name).map(|(_, value)| value.clone()))
    }

    fn size(&mut self, answer: Resource<HeldAnswer>) -> wasmtime::Result<u32> {
        self.ledger.host_call()?;
        Ok(u32::try_from(self.held(&answer)?.body.len()).unwrap_or(u32::MAX))
    }

    fn bytes(&mut self, answer: Resource<HeldAnswer>, offset: u32, length: u32) -> wasmtime::Result<Vec<u8>> {
        self.ledger.host_call()?;
        let body = &self.held(&answer)?.body;
        let start = body.len().min(offset as usize);
        let end = body.len().min(start.saturating_add(length as usize));
        Ok(body[start..end].to_vec())
    }

    fn records(
        &mut self,
        answer: Resource<HeldAnswer>,
        pointer: String,
        columns: Vec<wit::batches::Column>,
    ) -> wasmtime::Result<Result<wit::egress::Table, wit::egress::BodyFault>> {
        self.ledger.host_call()?;
        let Some(columns) = named_kinds(columns) else {
            return Ok(Err(wit::egress::BodyFault::TooLarge(format!(
                "more than {BATCH_COLUMNS_MAX} columns, or one whose kind does not exist"
            ))));
        };
        let held = self.held(&answer)?;
        if held.body.is_empty() || matches!(held.status, 204 | 304) {
            return Ok(Ok(wit::egress::Table { rows: no_rows(), mismatches: 0 }));
        }
        Ok(match egress::parse_records(&held.body, &pointer, &columns) {
            Ok((rows, mismatches)) => Ok(wit::egress::Table { rows: rows.into(), mismatches }),
            Err(fault) => Err(fault.into()),
        })
    }

    fn read(
        &mut self,
        answer: Resource<HeldAnswer>,
        pointer: String,
    ) -> wasmtime::Result<Result<Option<String>, wit::egress::BodyFault>> {
        self.ledger.host_call()?;
        Ok(egress::read_pointer(&self.held(&answer)?.body, &pointer).map_err(Into::into))
    }

    fn drop(&mut self, answer: Resource<HeldAnswer>) -> wasmtime::Result<()> {
        let held = self.answers.delete(answer)?;
        self.answers_held = self.answers_held.saturating_sub(1);
        self.answer_bytes = self.answer_bytes.saturating_sub(held.answer.body.len());
        Ok(())
    }
}

fn named_kinds(columns: Vec<wit::batches::Column>) -> Option<Vec<(String, Kind)>> {
    if columns.len() > BATCH_COLUMNS_MAX {
        return None;
    }
    columns.into_iter().map(|column| Some((column.name, Kind::from_code(column.kind)?))).collect()
}

fn no_rows() -> wit::batches::Batch {
    crmsync_cells::Batch::default().into()
}

fn log_line(plugin: &str, level: u8, message: &str) {
    let line = clean(message);
    match level {
        0 => tracing::error!(plugin, "plugin `{plugin}` says: {line}"),
        1 => tracing::warn!(plugin, "plugin `{plugin}` says: {line}"),
        2 => tracing::info!(plugin, "plugin `{plugin}` says: {line}"),
        _ => tracing::debug!(plugin, "plugin `{plugin}` says: {line}"),
    }
}

/// A guest's line as it may be shown: cut at a character, and with blanks for control characters, which could forge another line or
/// rewrite an operator's terminal.
fn clean(message: &str) -> String {
    let mut end = message.len().min(LOG_LINE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message[..end].chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

impl From<wit::egress::Request> for Request {
    fn from(request: wit::egress::Request) -> Request {
        let body = match request.body {
            wit::egress::Payload::None => Payload::None,
            wit::egress::Payload::Json(text) => Payload::Json(text),
            wit::egress::Payload::Form(fields) => Payload::Form(fields),
        };
        let effect = match request.effect {
            wit::egress::Effect::Read => Effect::Read,
            wit::egress::Effect::Write(rows) => Effect::Write(rows),
        };
        let wit::egress::Request { origin, method, path, query, headers, .. } = request;
        Request { origin, method, path, query, headers, body, effect }
    }
}

impl From<Refusal> for wit::egress::Refusal {
    fn from(refusal: Refusal) -> wit::egress::Refusal {
        use wit::egress::Refusal as Wit;
        match refusal {
            Refusal::Denied(rule) => Wit::Denied(rule),
            Refusal::RateLimited(wait_ms) => Wit::RateLimited(wait_ms),
            Refusal::LoggedOut => Wit::LoggedOut,
            Refusal::NotSent(reason) => Wit::NotSent(reason),
            Refusal::NoAnswer(reason) => Wit::NoAnswer(reason),
            Refusal::TooLarge(bytes) => Wit::TooLarge(bytes),
            Refusal::Cancelled => Wit::Cancelled,
        }
    }
}

impl From<BodyFault> for wit::egress::BodyFault {
    fn from(fault: BodyFault) -> wit::egress::BodyFault {
        use wit::egress::BodyFault as Wit;
        match fault {
            BodyFault::NotJson(reason) => Wit::NotJson(reason),
            BodyFault::NoSuch(reason) => Wit::NoSuch(reason),
            BodyFault::TooLarge(reason) => Wit::TooLarge(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_are_clean_and_short() {
        let check = |message: &str, expected: &str| assert_eq!(clean(message), expected);
        check("pulled 200 records", "pulled 200 records");
        check("ok\n2026-01-01 ERROR forged", "ok 2026-01-01 ERROR forged");
        check("\u{1b}[2Jgone\u{9b}\0", " [2Jgone  ");
        check(&"å".repeat(LOG_LINE_BYTES_MAX), &"å".repeat(LOG_LINE_BYTES_MAX / 2));
        check(&format!("x{}", "å".repeat(LOG_LINE_BYTES_MAX)), &format!("x{}", "å".repeat(LOG_LINE_BYTES_MAX / 2 - 1)));
    }
    #[tokio::test]
    async fn answers_are_charged_as_they_arrive() {
        use crate::runtime::tests::crm::{door, slow_crm};
        let door = door(slow_crm().await);
        let request = || Request {
            origin: "api".to_owned(),
            method: "GET".to_owned(),
            path: "/v1".to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Payload::None,
            effect: Effect::Read,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        let scope = CallScope { admissions: None, requests_max: 9, deadline, login_failed: Arc::default() };
        let purse = Purse::of(ANSWERS_HELD_BYTES_MAX - 30);
        let (first, second) = tokio::join!(purse.send(&door, &scope, request()), purse.send(&door, &scope, request()));
        let outcomes = [first, second];
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "21 bytes fit, twice that does not");
        assert!(outcomes.iter().any(|outcome| matches!(outcome, Err(Refusal::TooLarge(21)))), "{outcomes:?}");
        assert_eq!(purse.0.load(Ordering::Relaxed), ANSWERS_HELD_BYTES_MAX - 9);
        let full = Purse::of(ANSWERS_HELD_BYTES_MAX);
        assert!(matches!(full.send(&door, &scope, request()).await, Err(Refusal::NotSent(_))));
    }
}
