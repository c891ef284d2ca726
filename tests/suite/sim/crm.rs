//! An in-memory CRM with the habits of real ones: times in whole seconds, silent cuts, answers that get lost, commits that come late.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use crmsync::egress::Admissions;
use crmsync::engine::{
    CallError, CheckReport, CreateClass, Cursor, DeleteWays, Fetched, FieldInfo, Found, ModuleInfo, Page, PushOutcome,
    PushReport, PushRequest, PushRow, Receipt, Remote, RemoteRecord, User,
};
use crmsync_core::decide::Operation;
use crmsync_core::{Fault, RemovalReason, Value};
use crmsync_sandbox::rng::Rng;
use futures_util::future::BoxFuture;

/// Milliseconds since 1970, moved by the world only.
pub(crate) type Clock = Arc<AtomicI64>;

const PAGE_RECORDS: usize = 7;

/// How one CRM behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// Enforces our key, refuses rows changed meanwhile, announces removals, says nothing of what it stored. Else the opposite of each.
    pub(crate) strict: bool,
    /// Has no field for our keys.
    pub(crate) keyless: bool,
    /// Texts are cut here.
    pub(crate) text_max: usize,
}

#[derive(Clone, Debug)]
struct Row {
    fields: BTreeMap<String, Value>,
    modified_s: i64,
    stamp: u64,
    deleted: bool,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<u64, Row>,
    next_id: u64,
    stamp: u64,
    /// Writes that were received and commit later: (not before, request row, key).
    late: Vec<(i64, PushRow, Vec<String>)>,
    writes: u64,
    idle_writes: u64,
    /// Of the deleted ones those that left for another reason; only answers by id tell so.
    told: BTreeMap<u64, RemovalReason>,
    /// What a login does not see any more: it is in no answer, and not counted.
    hidden: BTreeSet<u64>,
    /// Left out of answers by id, and counted.
    cut: BTreeSet<u64>,
    /// What the login may see, if not everything.
    scope: Option<String>,
    /// Records that the host deleted: id and what they showed.
    deleted_by_host: Vec<(String, BTreeMap<String, Value>)>,
    chance_of_fault: usize,
}

/// What people may not touch at a moment, because an edit there falls into a documented window: these fields of these records.
pub(crate) type Avoid = BTreeSet<(String, String)>;

/// People at work while a call is under way: given the side that is called and what they leave alone there; `None` is everything.
pub(crate) type Interlude = Arc<dyn Fn(usize, Option<&Avoid>) + Send + Sync>;

/// The CRM. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Crm {
    side: usize,
    habits: Habits,
    clock: Clock,
    interlude: Arc<OnceLock<Interlude>>,
    state: Arc<Mutex<State>>,
    rng: Arc<Mutex<Rng>>,
}

pub(crate) const QUIESCE_MS: i64 = 20_000;
pub(crate) const KEY_FIELD: &str = "Key";

impl Crm {
    pub(crate) fn new(side: usize, habits: Habits, clock: Clock, seed: u64) -> Crm {
        Crm {
            side,
            habits,
            clock,
            interlude: Arc::default(),
            state: Arc::default(),
            rng: Arc::new(Mutex::new(Rng::new(seed))),
        }
    }

    /// One call in so many goes wrong; 0 for none.
    pub(crate) fn disturb(&self, one_in: usize) {
        self.lock().chance_of_fault = one_in;
    }

    /// People who are at work while calls are under way, in disturbed times.
    pub(crate) fn people_at_work(&self, interlude: Interlude) {
        assert!(self.interlude.set(interlude).is_ok(), "people come once");
    }

    fn let_people_work(&self, avoid: Option<&Avoid>) {
        let now_and_then = self.lock().chance_of_fault > 0 && self.pick(6) == 0;
        if let Some(interlude) = self.interlude.get().filter(|_| now_and_then) {
            interlude(self.side, avoid);
        }
    }

    pub(crate) fn writes(&self) -> u64 {
        self.lock().writes
    }

    /// Updates that changed nothing: a CRM stamps them all the same, and its users see a change that is none.
    pub(crate) fn idle_writes(&self) -> u64 {
        self.lock().idle_writes
    }

    /// From now on the login does not see these records, or they are only left out of answers by id; and `check` says so, or not.
    pub(crate) fn hide(&self, ids: &[String], counted: bool, scope: Option<&str>) {
        let mut state = self.lock();
        let ids = ids.iter().map(|id| id.parse().unwrap()).collect();
        if counted {
            state.cut = ids;
        } else {
            state.hidden = ids;
        }
        state.scope = scope.map(str::to_owned);
    }

    /// Records that the host deleted, with what they showed.
    pub(crate) fn deleted_by_host(&self) -> Vec<(String, BTreeMap<String, Value>)> {
        self.lock().deleted_by_host.clone()
    }

    /// Live records: id → fields.
    pub(crate) fn live(&self) -> BTreeMap<String, BTreeMap<String, Value>> {
        let state = self.lock();
        state
            .rows
            .iter()
            .filter(|(_, row)| !row.deleted)
            .map(|(id, row)| (id.to_string(), row.fields.clone()))
            .collect()
    }

    /// A person makes a record.
    pub(crate) fn person_creates(&self, fields: BTreeMap<String, Value>) -> String {
        let now_s = self.now_s();
        let mut state = self.lock();
        state.insert(fields, now_s).to_string()
    }

    /// A person edits a field.
    pub(crate) fn person_edits(&self, id: &str, field: &str, value: Value) {
        let now_s = self.now_s();
        let mut state = self.lock();
        state.change(id.parse().unwrap(), [(field.to_owned(), value)], now_s);
    }

    /// A person deletes a record.
    pub(crate) fn person_deletes(&self, id: &str) {
        let now_s = self.now_s();
        let mut state = self.lock();
        let id = id.parse().unwrap();
        state.change(id, [], now_s);
        state.rows.get_mut(&id).unwrap().deleted = true;
    }

    /// A person converts a record, or merges it into another: it leaves like a deleted one, and who asks for it is told why.
    pub(crate) fn person_loses(&self, id: &str, why: RemovalReason) {
        self.person_deletes(id);
        self.lock().told.insert(id.parse().unwrap(), why);
    }

    /// A person takes a record back from the bin.
    pub(crate) fn person_restores(&self, id: &str) {
        let now_s = self.now_s();
        let mut state = self.lock();
        let id = id.parse().unwrap();
        state.change(id, [], now_s);
        state.rows.get_mut(&id).unwrap().deleted = false;
    }

    /// Records in the bin: id → fields.
    pub(crate) fn bin(&self) -> BTreeMap<String, BTreeMap<String, Value>> {
        let state = self.lock();
        state.rows.iter().filter(|(_, row)| row.deleted).map(|(id, row)| (id.to_string(), row.fields.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap();
        let now_ms = self.clock.load(Ordering::SeqCst);
        let due: Vec<_> = {
            let (due, later) = std::mem::take(&mut state.late).into_iter().partition(|(at, _, _)| *at <= now_ms);
            state.late = later;
            due
        };
        for (_, row, names) in due {
            let _outcome = self.commit(&mut state, &row, &names, None);
        }
        state
    }

    fn now_s(&self) -> i64 {
        self.clock.load(Ordering::SeqCst) / 1000
    }

    fn strikes(&self, state: &State) -> bool {
        state.chance_of_fault > 0 && self.rng.lock().unwrap().below(state.chance_of_fault) == 0
    }

    fn pick(&self, of: usize) -> usize {
        self.rng.lock().unwrap().below(of)
    }

    fn record(&self, id: u64, row: &Row, fields: &[String]) -> RemoteRecord {
        let version =
            if self.habits.strict { row.modified_s.to_string() } else { format!("{}-{}", row.modified_s, row.stamp) };
        RemoteRecord {
            id: id.to_string(),
            version,
            modified_at_ms: row.modified_s * 1000,
            values: fields.iter().map(|name| row.fields.get(name).cloned().unwrap_or(Value::Empty)).collect(),
        }
    }

    fn commit(&self, state: &mut State, row: &PushRow, names: &[String], read_at_ms: Option<i64>) -> PushOutcome {
        let now_s = self.now_s();
        let values = names.iter().cloned().zip(row.values.iter().cloned()).filter(|(_, value)| value.is_read());
        let mut values: Vec<(String, Value)> = values.map(|(name, value)| (name, self.keep(value))).collect();
        let mut existed = false;
        let id = match row.operation {
            Operation::Create => {
                if !self.habits.keyless {
                    values.push((KEY_FIELD.into(), Value::Text(row.key.clone())));
                }
                let known = state
                    .rows
                    .iter()
                    .find(|(_, known)| known.fields.get(KEY_FIELD) == Some(&Value::Text(row.key.clone())));
                match (self.habits.strict, known.map(|(id, _)| *id)) {
                    // Refused as a duplicate of itself: nothing is overwritten.
                    (true, Some(id)) => {
                        existed = true;
                        id
                    }
                    _ => state.insert(values.into_iter().collect(), now_s),
                }
            }
            Operation::Delete => {
                let id = row.id.parse().unwrap();
                let Some(fields) = state.rows.get(&id).filter(|known| !known.deleted).map(|known| known.fields.clone())
                else {
                    return PushOutcome::Failed(Fault::Gone);
                };
                state.change(id, [], now_s);
                state.rows.get_mut(&id).unwrap().deleted = true;
                state.deleted_by_host.push((row.id.clone(), fields));
                state.writes += 1;
                let receipt = Receipt { id: row.id.clone(), version: String::new(), stored: None, existed: false };
                return PushOutcome::Stored(receipt);
            }
            Operation::Update | Operation::Mark | Operation::Unmark => {
                let id = row.id.parse().unwrap();
                match state.rows.get(&id) {
                    None => return PushOutcome::Failed(Fault::Gone),
                    Some(known) if known.deleted => return PushOutcome::Failed(Fault::Gone),
                    Some(known)
                        if self.habits.strict && read_at_ms.is_some_and(|read| known.modified_s > read / 1000 - 1) =>
                    {
                        return PushOutcome::Failed(Fault::Changed);
                    }
                    Some(known) => {
                        let idle =
                            values.iter().all(|(name, value)| known.fields.get(name).unwrap_or(&Value::Empty) == value);
                        state.idle_writes += u64::from(idle);
                        state.change(id, values, now_s);
                    }
                }
                id
            }
        };
        state.writes += u64::from(!existed);
        let record = self.record(id, &state.rows[&id], names);
        PushOutcome::Stored(Receipt {
            id: record.id,
            version: record.version,
            stored: (!self.habits.strict).then_some(record.values),
            existed,
        })
    }

    /// One write as it arrives: carried out, refused, or carried out and never answered.
    fn answer(&self, row: &PushRow, names: &[String], read_at_ms: Option<i64>) -> PushOutcome {
        let mut state = self.lock();
        let lost = PushOutcome::Failed(Fault::UnknownOutcome("the line went dead".into()));
        match (self.strikes(&state), self.pick(4)) {
            (true, 0) => lost,
            (true, 1) => {
                self.commit(&mut state, row, names, read_at_ms);
                lost
            }
            // The client is gone; the server commits it all the same, later.
            (true, 2) if row.operation == Operation::Create => {
                let at_ms = self.clock.load(Ordering::SeqCst) + self.pick(QUIESCE_MS as usize / 2) as i64;
                state.late.push((at_ms, row.clone(), names.to_vec()));
                lost
            }
            (true, _) => PushOutcome::Failed(Fault::RateLimited(1)),
            (false, _) => self.commit(&mut state, row, names, read_at_ms),
        }
    }

    fn keep(&self, value: Value) -> Value {
        match value {
            Value::Text(text) => Value::text(text.chars().take(self.habits.text_max).collect::<String>()),
            other => other,
        }
    }
}

impl State {
    fn insert(&mut self, fields: BTreeMap<String, Value>, now_s: i64) -> u64 {
        self.next_id += 1;
        self.stamp += 1;
        self.rows.insert(self.next_id, Row { fields, modified_s: now_s, stamp: self.stamp, deleted: false });
        self.next_id
    }

    fn change(&mut self, id: u64, values: impl IntoIterator<Item = (String, Value)>, now_s: i64) {
        self.stamp += 1;
        let row = self.rows.get_mut(&id).expect("a known record");
        row.fields.extend(values);
        row.modified_s = now_s;
        row.stamp = self.stamp;
    }
}

fn transient<T>() -> Result<T, CallError> {
    Err(CallError::Fault(Fault::Transient("a passing cloud".into())))
}

impl Remote for Crm {
    fn check(&self) -> BoxFuture<'_, Result<CheckReport, CallError>> {
        let visible_scope = self.lock().scope.clone().unwrap_or_else(|| "all".into());
        Box::pin(async { Ok(CheckReport { visible_scope, ..CheckReport::default() }) })
    }

    fn modules(&self) -> BoxFuture<'_, Result<Vec<ModuleInfo>, CallError>> {
        Box::pin(async { Ok(vec![self.module()]) })
    }

    fn describe<'a>(&'a self, _module: &'a str) -> BoxFuture<'a, Result<Vec<FieldInfo>, CallError>> {
        Box::pin(async { Ok(vec![]) })
    }

    fn users(&self) -> BoxFuture<'_, Result<Vec<User>, CallError>> {
        Box::pin(async { Ok(vec![]) })
    }

    fn count<'a>(&'a self, _module: &'a str) -> BoxFuture<'a, Result<Option<u64>, CallError>> {
        Box::pin(async {
            let state = self.lock();
            Ok(Some(state.rows.iter().filter(|(id, row)| !row.deleted && !state.hidden.contains(*id)).count() as u64))
        })
    }

    fn pull<'a>(
        &'a self,
        _module: &'a str,
        fields: &'a [String],
        after: Option<Cursor>,
    ) -> BoxFuture<'a, Result<Page, CallError>> {
        Box::pin(async move {
            self.let_people_work(Some(&Avoid::new()));
            let state = self.lock();
            if self.strikes(&state) {
                return transient();
            }
            // The cursor is (second, stamp within the walk); a second counts as read only when it is over.
            let from: (i64, u64) = after.map_or((0, 0), |cursor| serde_json::from_slice(&cursor.data).unwrap());
            let mut changed: Vec<_> = state
                .rows
                .iter()
                .filter(|(_, row)| {
                    (row.modified_s, row.stamp) > from && (row.modified_s > from.0 || row.stamp > from.1)
                })
                .collect();
            changed.sort_by_key(|(_, row)| (row.modified_s, row.stamp));
            let more = changed.len() > PAGE_RECORDS;
            changed.truncate(PAGE_RECORDS);
            let last = changed.last().map(|(_, row)| (row.modified_s, row.stamp)).unwrap_or(from);
            let next = if more { last } else { (last.0.min(self.now_s() - 1).max(from.0), 0) };
            let mut live: Vec<RemoteRecord> = changed
                .iter()
                .filter(|(_, row)| !row.deleted)
                .map(|(id, row)| self.record(**id, row, fields))
                .collect();
            if let Some(first) = live.first().cloned().filter(|_| self.strikes(&state)) {
                live.push(first);
            }
            let removed = changed.iter().filter(|(_, row)| row.deleted && self.habits.strict);
            let removed = removed.map(|(id, _)| (id.to_string(), RemovalReason::Deleted)).collect();
            let next = Cursor { format: 1, data: serde_json::to_vec(&next).unwrap() };
            Ok(Page { live, removed, next, more, complete: !more, population: None })
        })
    }

    fn fetch<'a>(
        &'a self,
        _module: &'a str,
        ids: &'a [String],
        fields: &'a [String],
    ) -> BoxFuture<'a, Result<Fetched, CallError>> {
        Box::pin(async move {
            // Where nothing is conditional, the window of an update opens with the first of its reads.
            self.let_people_work(self.habits.strict.then(Avoid::new).as_ref());
            let state = self.lock();
            if self.strikes(&state) {
                return transient();
            }
            let mut fetched = Fetched { live: vec![], absent: vec![], removed: vec![] };
            for id in ids {
                match id.parse().ok().and_then(|number: u64| state.rows.get(&number).map(|row| (number, row))) {
                    Some((number, _)) if state.hidden.contains(&number) || state.cut.contains(&number) => {
                        fetched.absent.push(id.clone());
                    }
                    Some((number, row)) if !row.deleted => fetched.live.push(self.record(number, row, fields)),
                    Some((number, _)) if state.told.contains_key(&number) => {
                        fetched.absent.push(id.clone());
                        fetched.removed.push((id.clone(), state.told[&number]));
                    }
                    _ => fetched.absent.push(id.clone()),
                }
            }
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
            let state = self.lock();
            if self.strikes(&state) {
                return transient();
            }
            let live = keys.iter().enumerate().flat_map(|(index, key)| {
                let wanted = Value::Text(key.clone());
                state
                    .rows
                    .iter()
                    .filter(move |(_, row)| !row.deleted && row.fields.get(key_field) == Some(&wanted))
                    .map(move |(id, row)| (index, *id, row.clone()))
            });
            let live = live.map(|(index, id, row)| (index, self.record(id, &row, fields))).collect();
            Ok(Found { live, consistent: true })
        })
    }

    fn push<'a>(
        &'a self,
        request: PushRequest,
        admissions: Arc<dyn Admissions>,
    ) -> BoxFuture<'a, Result<PushReport, CallError>> {
        Box::pin(async move {
            let names: Vec<String> = request.fields.iter().map(|(name, _)| name.clone()).collect();
            let avoid = self.window_of(&request);
            let mut outcomes = vec![PushOutcome::NotSent; request.rows.len()];
            for (index, row) in request.rows.iter().enumerate() {
                self.let_people_work(Some(&avoid));
                let trouble = self.strikes(&self.lock()).then(|| self.pick(4));
                if trouble == Some(0) {
                    let wait_ms = self.pick(2) as u64 * 50;
                    return Ok(PushReport { outcomes, wait_ms });
                }
                if admissions.admit(&[index as u32]).await.is_err() {
                    continue;
                }
                if trouble == Some(1) {
                    // No connection: the admission is taken back, nothing more is tried.
                    admissions.retract(&[index as u32]);
                    return Ok(PushReport { outcomes, wait_ms: 0 });
                }
                tokio::task::yield_now().await;
                let outcome = self.answer(row, &names, request.read_at_ms);
                if trouble == Some(2) {
                    return Err(CallError::Plugin("the connector broke down".into()));
                }
                tokio::task::yield_now().await;
                outcomes[index] = outcome;
                self.let_people_work(Some(&avoid));
            }
            Ok(PushReport { outcomes, wait_ms: 0 })
        })
    }
}

impl Crm {
    /// The fields that an unconditional write will overwrite, whatever happens to them now. No delete is conditional.
    fn window_of(&self, request: &PushRequest) -> Avoid {
        let is_open = |row: &&PushRow| !self.habits.strict || row.operation == Operation::Delete;
        let unguarded = request.rows.iter().filter(is_open);
        let written = unguarded.flat_map(|row| {
            let is_lost = |value: &Value| value.is_read() || row.operation == Operation::Delete;
            let fields = request.fields.iter().zip(&row.values).filter(move |(_, value)| is_lost(value));
            fields.map(|((name, _), _)| (row.id.clone(), name.clone()))
        });
        written.collect()
    }

    pub(crate) fn module(&self) -> ModuleInfo {
        ModuleInfo {
            name: "People".into(),
            label: "People".into(),
            create_class: if self.habits.strict { CreateClass::A } else { CreateClass::B },
            key_field: if self.habits.keyless { String::new() } else { KEY_FIELD.into() },
            conditional_updates: self.habits.strict,
            needs_sweep: !self.habits.strict,
            quiesce_ms: QUIESCE_MS,
            push_rows: if self.habits.strict { 5 } else { 1 },
            fetch_rows: 5,
            deletes: DeleteWays { recycle: true, for_good: false },
            refused: vec![],
        }
    }
}
