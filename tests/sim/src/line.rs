//! The line of one run to one CRM: what the engine asks, and what goes wrong on the way.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crmsync::egress::Admissions;
use crmsync::engine::{
    CallError, CheckReport, Cursor, Fetched, FieldInfo, Found, ModuleInfo, Page, PushOutcome, PushReport, PushRequest,
    PushRow, Remote, RemoteRecord, User,
};
use crmsync::store::Moment;
use crmsync_core::decide::Operation;
use crmsync_core::{Fault, RemovalReason, Side, Value};
use crmsync_sandbox::rng::Rng;
use futures_util::future::BoxFuture;

use crate::coverage::Step;
use crate::crm::{Crm, QUIESCE_MS, Row, State, number};
use crate::disk::Disk;
use crate::faults::FaultKind;
use crate::people::{Avoid, POISON, People};
use crate::pulse::{Log, Pulse};

const PAGE_RECORDS: usize = 7;
/// A request that has not left by then does not leave.
const DEADLINE_MS: i64 = 30_000;
/// A stale page shows the CRM as it was so many seconds ago.
const LAG_S: i64 = 3;

/// How much goes wrong in one run.
#[derive(Clone)]
pub(crate) struct Weather {
    /// One call in so many goes wrong; 0 for none.
    one_in: usize,
    rng: Arc<Mutex<Rng>>,
    log: Log,
}

impl Weather {
    pub(crate) fn new(one_in: usize, rng: Rng, log: Log) -> Weather {
        Weather { one_in, rng: Arc::new(Mutex::new(rng)), log }
    }

    fn pick(&self, of: usize) -> usize {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).below(of)
    }

    /// Now and then one of these kinds of trouble.
    fn strikes(&self, step: Step, kinds: &[FaultKind]) -> Option<FaultKind> {
        if self.one_in == 0 || kinds.is_empty() || self.pick(self.one_in) != 0 {
            return None;
        }
        let kind = kinds[self.pick(kinds.len())];
        self.log.lock().coverage.hit(kind, step);
        Some(kind)
    }
}

/// One run's line to one CRM.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) crm: Crm,
    /// The CRM's number in its world.
    pub(crate) number: usize,
    /// Its side in the flow that runs.
    pub(crate) side: Side,
    pub(crate) pulse: Pulse,
    pub(crate) weather: Weather,
    pub(crate) people: Arc<Mutex<People>>,
    pub(crate) disk: Disk,
    pub(crate) log: Log,
    /// The call that the CRM asked to repeat later, and from when on.
    pub(crate) asked: Arc<Mutex<Option<(&'static str, Instant)>>>,
}

/// What every call may meet.
const EVERYWHERE: [FaultKind; 4] =
    [FaultKind::ServerError, FaultKind::RateLimit, FaultKind::LoggedOut, FaultKind::Breakdown];

impl Line {
    async fn begin(&self, name: &'static str, about: &str) -> Result<(), CallError> {
        self.pulse.call(name, Moment::Before, &format!("{} {about}", self.crm.habits.name)).await;
        self.check_patience(name);
        if self.crm.lock().logged_out {
            self.log.lock().coverage.hit(FaultKind::LoggedOut, Step::of(name));
            return Err(CallError::Fault(Fault::LoggedOut));
        }
        self.fails(name)
    }

    fn lock_asked(&self) -> MutexGuard<'_, Option<(&'static str, Instant)>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// I13: a call that the CRM asked to repeat later is not repeated before. The engine waits in real time, so this clock is a real
    /// one, too; other calls to a CRM that asked for time are kept back at the door, which this level does not have.
    fn check_patience(&self, name: &'static str) {
        if let Some((_, not_before)) = self.lock_asked().take_if(|(asked, _)| *asked == name)
            && Instant::now() < not_before
        {
            self.log.violation(format!("I13: {name} was repeated before the CRM's time"));
        }
    }

    fn fails(&self, name: &'static str) -> Result<(), CallError> {
        // Half of the trouble is of the kinds that a call meets by itself; there is none that only a `find` meets.
        if name != "find" && self.weather.pick(2) == 0 {
            return Ok(());
        }
        match self.weather.strikes(Step::of(name), &EVERYWHERE) {
            None => Ok(()),
            Some(FaultKind::RateLimit) => {
                let wait_ms = 1 + self.weather.pick(3) as u64;
                // What a push still has to send waits row by row, which is asked on disk; other rows may go.
                let asked = (name != "push").then(|| (name, Instant::now() + Duration::from_millis(wait_ms)));
                *self.lock_asked() = asked;
                Err(CallError::Fault(Fault::RateLimited(wait_ms)))
            }
            Some(FaultKind::LoggedOut) => Err(CallError::Fault(Fault::LoggedOut)),
            Some(FaultKind::Breakdown) => Err(CallError::Plugin("the connector broke down".into())),
            Some(_) => Err(CallError::Fault(Fault::Transient("a passing cloud".into()))),
        }
    }

    async fn end(&self, name: &'static str, about: &str) {
        let meanwhile = self.crm.lock().meanwhile.take_if(|(call, ..)| *call == name);
        if let Some((_, id, field, text)) = meanwhile {
            self.people.lock().unwrap_or_else(PoisonError::into_inner).hurry(self.number, &id, field, text);
        }
        self.pulse.call(name, Moment::After, &format!("{} {about}", self.crm.habits.name)).await;
    }

    fn let_people_work(&self, step: Step, avoid: Option<&Avoid>) {
        if self.weather.one_in > 0 && self.weather.pick(6) == 0 {
            self.log.lock().coverage.hit(FaultKind::People, step);
            let side = self.weather.pick(usize::MAX);
            self.people.lock().unwrap_or_else(PoisonError::into_inner).interlude(self.number, avoid, side);
        }
    }

    fn page(&self, fields: &[String], after: Option<Cursor>) -> Result<Page, CallError> {
        let mut state = self.crm.lock();
        // The cursor is (generation, second, stamp within the walk); a second counts as read only when it is over.
        let place: Option<(u64, i64, u64)> =
            after.map(|cursor| serde_json::from_slice(&cursor.data).unwrap_or_default());
        let mut kinds = vec![FaultKind::Duplicated, FaultKind::Reordered];
        // A CRM that can refuse rows changed meanwhile answers from one place, which lags behind nothing; and a scan that says that it is
        // complete is.
        let is_at_head = place.is_some_and(|(_, _, stamp)| stamp == 0);
        kinds.extend((!self.crm.habits.strict && is_at_head).then_some(FaultKind::Stale));
        kinds.push(if place.is_some() { FaultKind::CursorExpired } else { FaultKind::Incomplete });
        let is_cut = place.is_none() && std::mem::take(&mut state.cuts_scan);
        let trouble = is_cut.then_some(FaultKind::Incomplete).or_else(|| self.weather.strikes(Step::Pull, &kinds));
        if place.is_some_and(|(generation, ..)| generation != state.generation) {
            self.log.lock().coverage.hit(FaultKind::CursorExpired, Step::Pull);
            return Err(CallError::Fault(Fault::CursorExpired));
        }
        if trouble == Some(FaultKind::CursorExpired) {
            return Err(CallError::Fault(Fault::CursorExpired));
        }
        let from = place.map_or((0, 0), |(_, second, stamp)| (second, stamp));
        let until_s = self.crm.now_s() - if trouble == Some(FaultKind::Stale) { LAG_S } else { 0 };
        let is_news = |row: &Row| {
            (row.modified_s, row.stamp) > from
                && (row.modified_s > from.0 || row.stamp > from.1)
                && row.modified_s <= until_s
        };
        let mut changed: Vec<(u64, Row)> = state
            .rows
            .iter()
            .filter(|(id, row)| is_news(row) && state.is_seen(**id))
            .map(|(id, row)| (*id, row.clone()))
            .collect();
        changed.sort_by_key(|(_, row)| (row.modified_s, row.stamp));
        let more = changed.len() > PAGE_RECORDS;
        changed.truncate(PAGE_RECORDS);
        let last = changed.last().map(|(_, row)| (row.modified_s, row.stamp)).unwrap_or(from);
        let next = if more { last } else { (last.0.min(until_s - 1).max(from.0), 0) };
        let mut live: Vec<RemoteRecord> = changed
            .iter()
            .filter(|(_, row)| !row.deleted)
            .map(|(id, row)| self.crm.record(&state, *id, row, fields))
            .collect();
        let removed = changed.iter().filter(|(_, row)| row.deleted && self.crm.habits.strict);
        let removed = removed.map(|(id, _)| (id.to_string(), announced(&state, *id))).collect();
        let (mut next, mut more, mut complete) = (next, more, !more);
        match trouble {
            Some(FaultKind::Duplicated) if place.is_some() && self.weather.pick(2) == 0 => (next, more) = (from, true),
            Some(FaultKind::Duplicated) => live.extend(live.first().cloned()),
            Some(FaultKind::Reordered) => live.reverse(),
            Some(FaultKind::Incomplete) if !more && !state.told_incomplete => {
                state.told_incomplete = true;
                live.truncate(live.len() / 2);
                complete = false;
            }
            _ => {}
        }
        let place = (state.generation, next.0, next.1);
        let next = Cursor { format: 1, data: serde_json::to_vec(&place).unwrap_or_default() };
        Ok(Page { live, removed, next, more, complete, population: None })
    }

    fn by_id(&self, ids: &[String], fields: &[String]) -> Fetched {
        let mut state = self.crm.lock();
        let missed_once = state.missed_once.take_if(|missed| ids.contains(missed));
        let mut fetched = Fetched { live: vec![], absent: vec![], removed: vec![] };
        // A record between two states is looked for again where it matters: when known ids are.
        let flickers = fields.is_empty() && self.weather.strikes(Step::Fetch, &[FaultKind::Flicker]).is_some();
        let missed = if flickers { self.weather.pick(ids.len()) } else { usize::MAX };
        for (at, id) in ids.iter().enumerate() {
            let found = state.rows.get(&number(id)).map(|row| (number(id), row));
            match found {
                _ if at == missed || missed_once.as_ref() == Some(id) => fetched.absent.push(id.clone()),
                Some((number, _)) if !state.is_seen(number) || state.cut.contains(&number) => {
                    fetched.absent.push(id.clone());
                }
                Some((number, row)) if !row.deleted => {
                    fetched.live.push(self.crm.record(&state, number, row, fields));
                }
                Some((number, _)) => {
                    fetched.absent.push(id.clone());
                    fetched.removed.extend(state.left_as.get(&number).map(|why| (id.clone(), *why)));
                }
                None => fetched.absent.push(id.clone()),
            }
        }
        fetched
    }

    /// The fields that an unconditional write will overwrite, whatever happens to them now. No delete is conditional.
    fn window_of(&self, request: &PushRequest) -> Avoid {
        let is_open = |row: &&PushRow| !self.crm.habits.strict || row.operation == Operation::Delete;
        let written = request.rows.iter().filter(is_open).flat_map(|row| {
            let is_lost = |value: &Value| value.is_read() || row.operation == Operation::Delete;
            let fields = request.fields.iter().zip(&row.values).filter(move |(_, value)| is_lost(value));
            fields.map(|((name, _), _)| (row.id.clone(), name.clone()))
        });
        written.collect()
    }

    /// Whom a write is about, for the trace.
    fn who(&self, row: &PushRow, names: &[String]) -> String {
        let code = names.iter().position(|name| name == "Code").map(|at| row.values[at].display());
        if row.id.is_empty() { code.unwrap_or_default() } else { row.id.clone() }
    }

    /// One write as it arrives: carried out, refused, or carried out and never answered.
    fn answer(&self, row: &PushRow, names: &[String], read_at_ms: Option<i64>) -> PushOutcome {
        let mut state = self.crm.lock();
        if !self.disk.has_admitted(self.side, row.operation, &row.id, &row.key) {
            self.log.violation(format!("I8: a {} left without an intent", row.operation.as_str()));
        }
        if self.disk.is_early(self.side, &row.id, &row.key, self.crm.host_now_ms()) {
            self.log.violation("I13: a write left before the moment that its CRM had named".into());
        }
        let mut kinds = vec![FaultKind::Lost, FaultKind::Cut, FaultKind::RateLimit];
        kinds.extend((row.operation == Operation::Create).then_some(FaultKind::Late));
        let unknown = || PushOutcome::Failed(Fault::UnknownOutcome("the line went dead".into()));
        match state.next_push.take().or_else(|| self.weather.strikes(Step::Push, &kinds)) {
            None => self.crm.commit(&mut state, row, names, read_at_ms),
            Some(FaultKind::Lost) => unknown(),
            // The client is gone; the server commits it all the same, later.
            Some(FaultKind::Late) => {
                let at_ms = self.crm.host_now_ms() + self.weather.pick(QUIESCE_MS as usize / 2) as i64;
                state.late.push((at_ms, row.clone(), names.to_vec()));
                unknown()
            }
            Some(FaultKind::RateLimit) => PushOutcome::Failed(Fault::RateLimited(1 + self.weather.pick(3) as u64)),
            Some(_) => {
                self.crm.commit(&mut state, row, names, read_at_ms);
                unknown()
            }
        }
    }

    async fn rows(&self, request: PushRequest, admissions: Arc<dyn Admissions>) -> Result<PushReport, CallError> {
        let names: Vec<String> = request.fields.iter().map(|(name, _)| name.clone()).collect();
        let avoid = self.window_of(&request);
        let poisoned = |row: &PushRow| row.values.iter().any(|value| value.display().starts_with(POISON));
        if request.rows.iter().any(poisoned) {
            return Err(CallError::Plugin("the connector breaks on what a record holds".into()));
        }
        let mut outcomes = vec![PushOutcome::NotSent; request.rows.len()];
        let mut breaks = false;
        for (index, row) in request.rows.iter().enumerate() {
            self.let_people_work(Step::Push, Some(&avoid));
            let kinds = [FaultKind::NotSent, FaultKind::NoLine, FaultKind::Breakdown];
            let trouble = self.weather.strikes(Step::Push, &kinds);
            if trouble == Some(FaultKind::NotSent) {
                return Ok(PushReport { outcomes, wait_ms: self.weather.pick(2) as u64 * 5 });
            }
            let asked_at_ms = self.crm.host_now_ms();
            if admissions.admit(&[index as u32]).await.is_err() {
                continue;
            }
            if self.crm.host_now_ms() - asked_at_ms > DEADLINE_MS {
                // The door's deadline has passed while the process was frozen: nothing leaves any more.
                continue;
            }
            if self.pulse.is_stale() {
                self.log.violation("I9: a write was admitted with an old fencing token".into());
            }
            if trouble == Some(FaultKind::NoLine) {
                // The admission is taken back, nothing more is tried.
                admissions.retract(&[index as u32]);
                return Ok(PushReport { outcomes, wait_ms: 0 });
            }
            outcomes[index] = self.answer(row, &names, request.read_at_ms);
            let about = format!("{} {} {}", self.crm.habits.name, row.operation.as_str(), self.who(row, &names));
            self.pulse.call("push", Moment::After, &about).await;
            breaks |= trouble == Some(FaultKind::Breakdown);
            if breaks {
                return Err(CallError::Plugin("the connector broke down".into()));
            }
            self.let_people_work(Step::Push, Some(&avoid));
        }
        Ok(PushReport { outcomes, wait_ms: 0 })
    }
}

/// What a list of removals says: a merge is told, a conversion only when asked by id.
fn announced(state: &State, id: u64) -> RemovalReason {
    match state.left_as.get(&id) {
        Some(RemovalReason::Merged) => RemovalReason::Merged,
        _ => RemovalReason::Deleted,
    }
}

impl Remote for Line {
    fn check(&self) -> BoxFuture<'_, Result<CheckReport, CallError>> {
        Box::pin(async {
            self.begin("check", "").await?;
            let visible_scope = self.crm.lock().scope.clone().unwrap_or_else(|| "all".into());
            self.end("check", "").await;
            Ok(CheckReport { visible_scope, ..CheckReport::default() })
        })
    }

    fn modules(&self) -> BoxFuture<'_, Result<Vec<ModuleInfo>, CallError>> {
        Box::pin(async { Ok(vec![self.crm.module()]) })
    }

    fn describe<'a>(&'a self, _module: &'a str) -> BoxFuture<'a, Result<Vec<FieldInfo>, CallError>> {
        Box::pin(async { Ok(vec![]) })
    }

    fn users(&self) -> BoxFuture<'_, Result<Vec<User>, CallError>> {
        Box::pin(async { Ok(vec![]) })
    }

    fn count<'a>(&'a self, _module: &'a str) -> BoxFuture<'a, Result<Option<u64>, CallError>> {
        Box::pin(async {
            self.begin("count", "").await?;
            let count = {
                let state = self.crm.lock();
                state.rows.iter().filter(|(id, row)| !row.deleted && state.is_seen(**id)).count() as u64
            };
            self.end("count", "").await;
            Ok(Some(count))
        })
    }

    fn pull<'a>(
        &'a self,
        _module: &'a str,
        fields: &'a [String],
        after: Option<Cursor>,
    ) -> BoxFuture<'a, Result<Page, CallError>> {
        Box::pin(async move {
            self.begin("pull", "").await?;
            self.let_people_work(Step::Pull, Some(&Avoid::new()));
            let page = self.page(fields, after)?;
            self.end("pull", &format!("{} records", page.live.len())).await;
            Ok(page)
        })
    }

    fn fetch<'a>(
        &'a self,
        _module: &'a str,
        ids: &'a [String],
        fields: &'a [String],
    ) -> BoxFuture<'a, Result<Fetched, CallError>> {
        Box::pin(async move {
            self.begin("fetch", &ids.join(",")).await?;
            // Where nothing is conditional, the window of an update opens with the first of its reads.
            self.let_people_work(Step::Fetch, self.crm.habits.strict.then(Avoid::new).as_ref());
            let fetched = self.by_id(ids, fields);
            self.end("fetch", "").await;
            Ok(fetched)
        })
    }

    fn find<'a>(
        &'a self,
        _module: &'a str,
        key_field: &'a str,
        keys: &'a [String],
        fields: &'a [String],
    ) -> BoxFuture<'a, Result<Found, CallError>> {
        Box::pin(async move {
            self.begin("find", "").await?;
            let live: Vec<(usize, RemoteRecord)> = {
                let state = self.crm.lock();
                let found = keys.iter().enumerate().flat_map(|(index, key)| {
                    let wanted = Value::Text(key.clone());
                    let rows = state.rows.iter().filter(|(_, row)| !row.deleted);
                    let rows: Vec<_> = rows.filter(|(_, row)| row.fields.get(key_field) == Some(&wanted)).collect();
                    rows.into_iter().map(move |(id, row)| (index, *id, row))
                });
                found.map(|(index, id, row)| (index, self.crm.record(&state, id, row, fields))).collect()
            };
            self.end("find", &format!("{} of {}", live.len(), keys.len())).await;
            Ok(Found { live, consistent: true })
        })
    }

    fn push<'a>(
        &'a self,
        request: PushRequest,
        admissions: Arc<dyn Admissions>,
    ) -> BoxFuture<'a, Result<PushReport, CallError>> {
        Box::pin(async move {
            let rows: BTreeSet<&str> = request.rows.iter().map(|row| row.id.as_str()).collect();
            let about = format!("{} of {}", request.rows.len(), rows.into_iter().collect::<Vec<_>>().join(","));
            self.begin("push", &about).await?;
            self.rows(request, admissions).await
        })
    }
}
