//! An in-memory CRM and what people see of it. How it answers a host is in `line.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crmsync::engine::{CreateClass, DeleteWays, ModuleInfo, PushOutcome, PushRow, Receipt, RemoteRecord};
use crmsync_core::decide::Operation;
use crmsync_core::{Fault, RemovalReason, Value};

use crate::faults::FaultKind;
use crate::invariants::code_of;

/// The host's clock in milliseconds since 1970, moved by the world only.
pub(crate) type Clock = Arc<AtomicI64>;
/// What a record shows, by field.
pub(crate) type Fields = BTreeMap<String, Value>;

/// A write that nobody answered can be committed until then.
pub(crate) const QUIESCE_MS: i64 = 20_000;
/// Holds our keys.
pub(crate) const KEY_FIELD: &str = "Key";
/// The one module.
pub(crate) const MODULE: &str = "People";

/// How one CRM behaves.
#[derive(Clone, Debug)]
pub(crate) struct Habits {
    /// Name of the connection.
    pub(crate) name: &'static str,
    /// Enforces our key, refuses rows changed meanwhile, announces removals, says nothing of what it stored. Else the opposite of each.
    pub(crate) strict: bool,
    /// Has no field for our keys.
    pub(crate) keyless: bool,
    /// Texts are cut here.
    pub(crate) text_max: usize,
    /// Blanks at the ends of texts are dropped.
    pub(crate) trims: bool,
    /// This field is stored in capitals.
    pub(crate) capitals: Option<&'static str>,
    /// Its clock minus the host's, in milliseconds.
    pub(crate) skew_ms: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) fields: Fields,
    /// Second of the last change, by the CRM's own clock.
    pub(crate) modified_s: i64,
    pub(crate) stamp: u64,
    pub(crate) deleted: bool,
}

/// A write that the host made and the CRM carried out.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) id: String,
    pub(crate) operation: Operation,
    /// Who it is about.
    pub(crate) code: String,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) rows: BTreeMap<u64, Row>,
    next_id: u64,
    stamp: u64,
    /// Writes that were received and commit later: not before, request row, names of its values.
    pub(crate) late: Vec<(i64, PushRow, Vec<String>)>,
    /// Writes of the host, in order.
    pub(crate) written: Vec<Written>,
    /// Updates that changed nothing: a CRM stamps them all the same, and its users see a change that is none.
    pub(crate) idle: Vec<String>,
    /// Of the deleted ones those of which the CRM tells more than that.
    pub(crate) left_as: BTreeMap<u64, RemovalReason>,
    /// What a login does not see any more: it is in no answer, and not counted.
    pub(crate) hidden: BTreeSet<u64>,
    /// Left out of answers by id, and counted.
    pub(crate) cut: BTreeSet<u64>,
    /// What the login may see, if not everything.
    pub(crate) scope: Option<String>,
    /// Fields that are not there at the moment.
    pub(crate) vanished: BTreeSet<String>,
    /// Fields that cannot be written at the moment.
    pub(crate) read_only: BTreeSet<String>,
    /// Cursors of earlier generations have expired.
    pub(crate) generation: u64,
    /// The login works no more.
    pub(crate) logged_out: bool,
    /// Records that the host deleted: id and what they showed.
    pub(crate) deleted_by_host: Vec<(String, Fields)>,
    /// Records that a person took back from the bin, and the host has not deleted again.
    pub(crate) taken_back: BTreeSet<u64>,
    /// The first finished read of the whole module said that it was not whole.
    pub(crate) told_incomplete: bool,
    /// The next page of a read of the whole module shows half of what there is, and says so.
    pub(crate) cuts_scan: bool,
    /// Is not found by the next read by id that asks for it, and is there.
    pub(crate) missed_once: Option<String>,
    /// As the next call of this name has ended, somebody fills in this field of this record.
    pub(crate) meanwhile: Option<(&'static str, String, &'static str, &'static str)>,
    /// What becomes of the next write, whatever the weather.
    pub(crate) next_push: Option<FaultKind>,
}

/// The CRM. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Crm {
    pub(crate) habits: Habits,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

impl Crm {
    pub(crate) fn new(habits: Habits, clock: Clock) -> Crm {
        Crm { habits, clock, state: Arc::default() }
    }

    /// Its state, with everything committed that was late until now.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let host_now_ms = self.clock.load(Ordering::SeqCst);
        let (due, later) = std::mem::take(&mut state.late).into_iter().partition(|(at, _, _)| *at <= host_now_ms);
        state.late = later;
        let due: Vec<_> = due;
        for (_, row, names) in due {
            let _nobody_listens = self.commit(&mut state, &row, &names, None);
        }
        state
    }

    /// Milliseconds of the host's clock.
    pub(crate) fn host_now_ms(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    /// Second of its own clock.
    pub(crate) fn now_s(&self) -> i64 {
        (self.host_now_ms() + self.habits.skew_ms) / 1000
    }

    /// Writes of the host that were carried out.
    pub(crate) fn writes(&self) -> usize {
        self.lock().written.len()
    }

    /// Live records: id → fields.
    pub(crate) fn live(&self) -> BTreeMap<String, Fields> {
        let state = self.lock();
        let live = state.rows.iter().filter(|(_, row)| !row.deleted);
        live.map(|(id, row)| (id.to_string(), row.fields.clone())).collect()
    }

    /// Live records as people of the login see them.
    pub(crate) fn visible(&self) -> BTreeMap<String, Fields> {
        let hidden = self.lock().hidden.clone();
        self.live().into_iter().filter(|(id, _)| id.parse().is_ok_and(|id| !hidden.contains(&id))).collect()
    }

    /// Records in the bin: id → fields. What was merged or converted is in none.
    pub(crate) fn bin(&self) -> BTreeMap<String, Fields> {
        let state = self.lock();
        let binned = state.rows.iter().filter(|(id, row)| row.deleted && !state.left_as.contains_key(*id));
        binned.map(|(id, row)| (id.to_string(), row.fields.clone())).collect()
    }

    /// A person makes a record.
    pub(crate) fn person_creates(&self, fields: Fields) -> String {
        let now_s = self.now_s();
        let fields = fields.into_iter().map(|(name, value)| (name.clone(), self.keep(&name, value))).collect();
        self.lock().insert(fields, now_s).to_string()
    }

    /// A person edits a field. Gives what the CRM made of it.
    pub(crate) fn person_edits(&self, id: &str, field: &str, value: Value) -> Value {
        let now_s = self.now_s();
        let kept = self.keep(field, value);
        self.lock().change(number(id), [(field.to_owned(), kept.clone())], now_s);
        kept
    }

    /// A person deletes a record.
    pub(crate) fn person_deletes(&self, id: &str) {
        let now_s = self.now_s();
        self.lock().remove(number(id), now_s);
    }

    /// A person merges or converts a record: it leaves like a deleted one, and the CRM can tell what became of it.
    pub(crate) fn person_ends(&self, id: &str, why: RemovalReason) {
        self.person_deletes(id);
        self.lock().left_as.insert(number(id), why);
    }

    /// A person takes a record back from the bin.
    pub(crate) fn person_restores(&self, id: &str) {
        let now_s = self.now_s();
        let mut state = self.lock();
        state.change(number(id), [], now_s);
        state.taken_back.insert(number(id));
        if let Some(row) = state.rows.get_mut(&number(id)) {
            row.deleted = false;
        }
    }

    /// From now on the login does not see these records, or they are only left out of answers by id (`counted`); and `check` says so, or
    /// not.
    pub(crate) fn hide(&self, ids: &[String], counted: bool, scope: Option<&str>) {
        let mut state = self.lock();
        let ids = ids.iter().map(|id| number(id)).collect();
        if counted {
            state.cut = ids;
        } else {
            state.hidden = ids;
        }
        state.scope = scope.map(str::to_owned);
    }

    /// A record as a host is shown it.
    pub(crate) fn record(&self, state: &State, id: u64, row: &Row, fields: &[String]) -> RemoteRecord {
        let version =
            if self.habits.strict { row.modified_s.to_string() } else { format!("{}-{}", row.modified_s, row.stamp) };
        let shown = |name: &String| match state.vanished.contains(name) {
            true => Value::Absent,
            false => row.fields.get(name).cloned().unwrap_or(Value::Empty),
        };
        RemoteRecord {
            id: id.to_string(),
            version,
            modified_at_ms: row.modified_s * 1000,
            values: fields.iter().map(shown).collect(),
        }
    }

    /// Carries out one write. `read_at_ms` is the condition of an update, in the host's clock.
    pub(crate) fn commit(
        &self,
        state: &mut State,
        row: &PushRow,
        names: &[String],
        read_at_ms: Option<i64>,
    ) -> PushOutcome {
        let now_s = self.now_s();
        let given = names.iter().cloned().zip(row.values.iter().cloned()).filter(|(_, value)| value.is_read());
        let mut values: Vec<(String, Value)> = Vec::new();
        let mut sent: Vec<(String, Value)> = Vec::new();
        for (name, value) in given {
            if state.vanished.contains(&name) || state.read_only.contains(&name) {
                let message = "this field cannot be written".to_owned();
                return PushOutcome::Failed(Fault::Rejected { field: Some(name), code: "field".into(), message });
            }
            let kept = self.keep(&name, value.clone());
            sent.push((name.clone(), value));
            values.push((name, kept));
        }
        let mut existed = false;
        let id = match row.operation {
            Operation::Create => {
                let key = Value::Text(row.key.clone());
                let known = state.rows.iter().find(|(_, known)| known.fields.get(KEY_FIELD) == Some(&key));
                match known.map(|(id, _)| *id).filter(|_| self.habits.strict) {
                    // Refused as a duplicate of itself: nothing is overwritten.
                    Some(id) => {
                        existed = true;
                        id
                    }
                    None => {
                        if !self.habits.keyless {
                            values.push((KEY_FIELD.into(), key));
                        }
                        state.insert(values.into_iter().collect(), now_s)
                    }
                }
            }
            Operation::Delete => {
                let id = number(&row.id);
                let known = state.rows.get(&id).filter(|known| !known.deleted && state.is_seen(id));
                let Some(fields) = known.map(|known| known.fields.clone()) else {
                    return PushOutcome::Failed(Fault::Gone);
                };
                state.remove(id, now_s);
                state.taken_back.remove(&id);
                state.written.push(Written { id: row.id.clone(), operation: row.operation, code: code_of(&fields) });
                state.deleted_by_host.push((row.id.clone(), fields));
                let receipt = Receipt { id: row.id.clone(), version: String::new(), stored: None, existed: false };
                return PushOutcome::Stored(receipt);
            }
            Operation::Update | Operation::Mark | Operation::Unmark => {
                let id = number(&row.id);
                let condition_s = read_at_ms.filter(|_| self.habits.strict).map(|ms| (ms + self.habits.skew_ms) / 1000);
                match state.rows.get(&id) {
                    None => return PushOutcome::Failed(Fault::Gone),
                    Some(known) if known.deleted || !state.is_seen(id) => return PushOutcome::Failed(Fault::Gone),
                    Some(known) if condition_s.is_some_and(|read_s| known.modified_s > read_s - 1) => {
                        return PushOutcome::Failed(Fault::Changed);
                    }
                    Some(known) => {
                        let shows = |name: &String| known.fields.get(name).unwrap_or(&Value::Empty);
                        if sent.iter().all(|(name, value)| shows(name) == value) {
                            state.idle.push(format!("{id} {sent:?}"));
                        }
                        state.change(id, values, now_s);
                    }
                }
                id
            }
        };
        let record = self.record(state, id, &state.rows[&id], names);
        if !existed {
            let code = code_of(&state.rows[&id].fields);
            state.written.push(Written { id: record.id.clone(), operation: row.operation, code });
        }
        PushOutcome::Stored(Receipt {
            id: record.id,
            version: record.version,
            stored: (!self.habits.strict).then_some(record.values),
            existed,
        })
    }

    /// What this CRM makes of a value.
    pub(crate) fn keep(&self, field: &str, value: Value) -> Value {
        let Value::Text(text) = value else { return value };
        let text = if self.habits.capitals == Some(field) { text.to_uppercase() } else { text };
        let text = if self.habits.trims { text.trim().to_owned() } else { text };
        Value::text(text.chars().take(self.habits.text_max).collect::<String>())
    }

    pub(crate) fn module(&self) -> ModuleInfo {
        ModuleInfo {
            name: MODULE.into(),
            label: MODULE.into(),
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

impl State {
    fn insert(&mut self, fields: Fields, now_s: i64) -> u64 {
        self.next_id += 1;
        self.stamp += 1;
        self.rows.insert(self.next_id, Row { fields, modified_s: now_s, stamp: self.stamp, deleted: false });
        self.next_id
    }

    fn change(&mut self, id: u64, values: impl IntoIterator<Item = (String, Value)>, now_s: i64) {
        self.stamp += 1;
        let stamp = self.stamp;
        if let Some(row) = self.rows.get_mut(&id) {
            row.fields.extend(values);
            row.modified_s = now_s;
            row.stamp = stamp;
        }
    }

    fn remove(&mut self, id: u64, now_s: i64) {
        self.change(id, [], now_s);
        if let Some(row) = self.rows.get_mut(&id) {
            row.deleted = true;
        }
    }

    /// Whether the login sees this record, if it is there.
    pub(crate) fn is_seen(&self, id: u64) -> bool {
        !self.hidden.contains(&id)
    }
}

/// A record's number; ids that are none belong to no record.
pub(crate) fn number(id: &str) -> u64 {
    id.parse().unwrap_or(0)
}
