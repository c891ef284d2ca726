//! One call that writes, and what its answer means: each intent is admitted before its first byte (rule 1) and settled at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crmsync_core::decide::{Operation, reason};
use crmsync_core::retry::{Next, after_fault};
use crmsync_core::sabotage::{Sabotage, is_on};
use crmsync_core::{DeletePolicy, Fault, Side, Value};
use futures_util::future::BoxFuture;

use super::apply::Drained;
use super::error::Error;
use super::remote::{CallError, PushOutcome, PushReport, PushRequest, PushRow, Receipt};
use super::setup::{PairSetup, RunSetup};
use super::stage::reread;
use crate::egress::Admissions;
use crate::store::{InboxRow, IntentRow, Lease, OutcomeNote, Settlement, Store, told_version};

/// What one portion came to.
pub(super) struct Pushed {
    /// Milliseconds that the CRM asks to wait.
    pub(super) wait_ms: i64,
    /// Intents that are not simply to be sent again.
    pub(super) ended: usize,
    /// Intents whose outcome nobody knows now.
    pub(super) unanswered: usize,
    /// The connector broke down before anything had left.
    pub(super) broken: bool,
    /// The CRM refused the call as a whole: it said the same of all rows, and nothing about one of them.
    pub(super) refused: bool,
}

/// Sends one portion and settles it. A refusal of the whole call is no outcome of its rows if they are sent again by `halves`. Receipts
/// are stored before anything else is asked of the CRM, and a login that does not work any more is reported last: what was written must
/// never be forgotten.
pub(super) async fn push(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    due: &[IntentRow],
    read_at_ms: i64,
    halves: bool,
    drained: &mut Drained,
) -> Result<Pushed, Error> {
    let fields = push_fields(pair, side);
    let request = PushRequest {
        module: pair.module(side).name.clone(),
        rows: due.iter().map(|intent| push_row(pair, side, &fields, intent)).collect(),
        fields: fields.clone(),
        automations: pair.automations,
        for_good: pair.policy.deletes == DeletePolicy::Delete && due.iter().all(super::leaving::goes_for_good),
        read_at_ms: (read_at_ms > 0 && pair.module(side).conditional_updates && !is_on(Sabotage::NoCondition))
            .then_some(read_at_ms),
    };
    let admitted = Arc::new(OutboxGate::new(run, due));
    let gate: Arc<dyn Admissions> = admitted.clone();
    let mut logged_out = false;
    let answer = super::call::with_lease(run, run.side(side).remote.push(request, gate)).await?;
    let admitted = admitted.admitted();
    let broken = admitted.is_empty() && matches!(answer, Err(CallError::Plugin(_)));
    let report = match answer {
        Ok(report) => report,
        Err(CallError::Plugin(why)) if broken && due.len() == 1 => {
            // I12: this row breaks the connector whatever comes with it. A few more attempts, in case it is not the row's doing.
            PushReport { outcomes: vec![PushOutcome::Failed(Fault::Transient(why))], wait_ms: 0 }
        }
        Err(error) => {
            logged_out = error == CallError::Fault(Fault::LoggedOut);
            let report = whole_call_failed(&error, due.len());
            if !broken && !matches!(error, CallError::Fault(Fault::RateLimited(_) | Fault::LoggedOut)) {
                drained.alarms.push(format!("{}: writing failed: {error}", run.side(side).connection));
            }
            report
        }
    };
    let refused = is_refused_whole(pair, side, &report.outcomes);
    if refused && halves && due.len() > 1 {
        let again =
            |intent: &IntentRow| Settlement::Again { intent: intent.id, not_before_ms: 0, attempts: intent.attempts };
        let settlements = due.iter().map(again).collect();
        run.store.settle_intents(&run.lease, pair.id, run.run, settlements, run.now_ms()).await?;
        return Ok(Pushed { wait_ms: 0, ended: 0, unanswered: 0, broken, refused });
    }
    let mut settlements = Vec::with_capacity(due.len());
    let (mut changed, mut withdrawals) = (Vec::new(), Vec::new());
    let mut untold = Vec::new();
    for (index, (intent, outcome)) in due.iter().zip(report.outcomes).enumerate() {
        let was_admitted = admitted.contains(&(index as u32));
        match outcome {
            PushOutcome::Stored(receipt) => {
                drained.count(side, intent.operation);
                if receipt.stored.is_none() && !receipt.existed && intent.operation != Operation::Delete {
                    untold.push(receipt.id.clone());
                }
                settlements.push(stored(pair, side, &fields, intent, receipt));
            }
            PushOutcome::NotSent if was_admitted => {
                settlements.push(Settlement::Unknown { intent: intent.id, detail: "no answer came".into() });
            }
            PushOutcome::NotSent => {
                let not_before_ms = run.now_ms() + report.wait_ms as i64;
                settlements.push(Settlement::Again { intent: intent.id, not_before_ms, attempts: intent.attempts });
            }
            // Seen a moment ago, and gone: somebody was faster.
            PushOutcome::Failed(Fault::Gone) if intent.operation == Operation::Delete => {
                settlements.push(Settlement::GoneAlready { intent: intent.id });
            }
            PushOutcome::Failed(fault) => {
                match fault {
                    Fault::Gone => drained.absent[side as usize].push(intent.target.clone()),
                    Fault::Changed => changed.push(intent.target.clone()),
                    Fault::LoggedOut => logged_out = true,
                    _ => {}
                }
                let settlement = failed(run, pair, intent, &fault, was_admitted);
                let list =
                    if matches!(settlement, Settlement::Withdraw { .. }) { &mut withdrawals } else { &mut settlements };
                list.push(settlement);
            }
        }
    }
    drained.again += withdrawals.len() as u64;
    let unanswered = settlements.iter().filter(|settlement| matches!(settlement, Settlement::Unknown { .. })).count();
    let ended = withdrawals.len()
        + settlements.iter().filter(|settlement| !matches!(settlement, Settlement::Again { .. })).count();
    run.store.settle_intents(&run.lease, pair.id, run.run, settlements, run.now_ms()).await?;
    // S1: what a CRM made of our values is told by the first read whose version is the receipt's. Where the receipt does not tell, we read
    // at once: in whole seconds, an edit that follows ours within the same one could otherwise not be told from it.
    changed.extend(untold.iter().cloned());
    if !changed.is_empty() {
        reread(run, pair, side, &changed).await?;
    }
    take_receipts(run, pair, side, untold).await?;
    run.store.settle_intents(&run.lease, pair.id, run.run, withdrawals, run.now_ms()).await?;
    if logged_out {
        return Err(super::stage::failed(run, side, "write".into(), CallError::Fault(Fault::LoggedOut)));
    }
    Ok(Pushed { wait_ms: report.wait_ms as i64, ended, unanswered, broken, refused })
}

/// What was read right after our writes becomes what was agreed at once. Until it is decided, a later read may take its place in the inbox,
/// and a person who sets a field back to what it was before would then be taken for a CRM that did not keep our value.
async fn take_receipts(run: &RunSetup, pair: &PairSetup, side: Side, records: Vec<String>) -> Result<(), Error> {
    if records.is_empty() {
        return Ok(());
    }
    let of = pair.clone();
    let shown = move |read: &InboxRow| shown_rows(&of, side, &read.image);
    Ok(run.store.take_receipts(&run.lease, pair.id, side, records, shown).await?)
}

/// Whether a CRM that takes many rows in one call refused all of them in the same words, which name no row.
fn is_refused_whole(pair: &PairSetup, side: Side, outcomes: &[PushOutcome]) -> bool {
    let refusal = |outcome: &PushOutcome| match outcome {
        PushOutcome::Failed(fault @ (Fault::Other { .. } | Fault::Unsupported(_))) => Some(fault.clone()),
        _ => None,
    };
    let Some(first) = outcomes.first().and_then(refusal) else { return false };
    pair.module(side).push_rows > 1 && outcomes.iter().all(|outcome| refusal(outcome).as_ref() == Some(&first))
}

/// A call that failed as a whole: rows that were admitted are unknown, the others were not sent.
fn whole_call_failed(error: &CallError, rows: usize) -> PushReport {
    let wait_ms = match error {
        CallError::Fault(Fault::RateLimited(wait_ms)) => *wait_ms,
        _ => 0,
    };
    PushReport { outcomes: vec![PushOutcome::NotSent; rows], wait_ms }
}

/// The fields of a push are those of a pull, so that what the CRM says it stored can stand as the record's base.
fn push_fields(pair: &PairSetup, side: Side) -> Vec<(String, u8)> {
    let mapped = pair.mapping.fields(side);
    pair.read_fields(side)
        .into_iter()
        .map(|name| {
            let mark = pair.mark(side).filter(|mark| mark.field == name).map_or(2, |mark| mark.kind);
            let kind = mapped.iter().find(|field| field.name == name).map_or(mark, |field| field.kind);
            (name, kind)
        })
        .collect()
}

fn push_row(pair: &PairSetup, side: Side, fields: &[(String, u8)], intent: &IntentRow) -> PushRow {
    let mut values: HashMap<&str, &Value> = HashMap::new();
    for change in &intent.body.rows {
        if let Some(row) = pair.mapping.rows.iter().find(|row| row.key.0 == change.row) {
            for (field, value) in row.fields(side).iter().zip(&change.after) {
                values.insert(&field.name, value);
            }
        }
    }
    if let Some(mark) = intent.body.leaving.as_ref().and_then(|leaving| leaving.field.as_ref()) {
        values.insert(&mark.name, &mark.after);
    }
    PushRow {
        operation: intent.operation,
        id: intent.target.clone(),
        version: told_version(&intent.target_version).to_owned(),
        key: if is_on(Sabotage::CreateWithoutKey) { String::new() } else { intent.create_key.clone() },
        values: fields
            .iter()
            .map(|(name, _)| values.get(name.as_str()).map_or(Value::Absent, |value| (*value).clone()))
            .collect(),
    }
}

fn stored(pair: &PairSetup, side: Side, fields: &[(String, u8)], intent: &IntentRow, receipt: Receipt) -> Settlement {
    // A create that met its own earlier attempt: somebody may have edited the record since, so nothing of the answer is taken for
    // what the CRM made of our values.
    if receipt.existed {
        return Settlement::Stored {
            intent: intent.id,
            record: receipt.id,
            version: String::new(),
            shown: BTreeMap::new(),
            told: false,
        };
    }
    let told = receipt.stored.is_some();
    let image: BTreeMap<String, Value> = match receipt.stored {
        Some(values) => {
            fields.iter().map(|(name, _)| name.clone()).zip(values).filter(|(_, value)| value.is_read()).collect()
        }
        None => BTreeMap::new(),
    };
    Settlement::Stored {
        intent: intent.id,
        record: receipt.id,
        version: receipt.version,
        shown: shown_rows(pair, side, &image),
        told,
    }
}

/// The mapping rows that an image shows wholly.
fn shown_rows(pair: &PairSetup, side: Side, image: &BTreeMap<String, Value>) -> BTreeMap<String, Vec<Value>> {
    let rows = pair.mapping.rows.iter().map(|row| (row.key.0.clone(), super::view::values_of(image, row, side)));
    rows.filter(|(_, values)| values.iter().all(Value::is_read)).collect()
}

fn failed(run: &RunSetup, pair: &PairSetup, intent: &IntentRow, fault: &Fault, was_admitted: bool) -> Settlement {
    let id = intent.id;
    let attempts = intent.attempts + 1;
    match after_fault(fault, attempts, run.now_ms()) {
        Next::RetryAt(not_before_ms) => {
            let attempts = if matches!(fault, Fault::RateLimited(_)) { intent.attempts } else { attempts };
            Settlement::Again { intent: id, not_before_ms, attempts }
        }
        Next::DecideAgain => Settlement::Withdraw { intent: id, note: None, counts: false },
        // Rule 5: a CRM says so of records that it only hides, too; the run looks again and says what it is.
        Next::Drop => Settlement::Withdraw { intent: id, note: Some(not_found()), counts: false },
        Next::FindOut if was_admitted => Settlement::Unknown { intent: id, detail: fault.to_string() },
        // Nothing was done, neither by a request that never left nor behind a door that is shut.
        Next::FindOut | Next::PauseConnection => {
            Settlement::Again { intent: id, not_before_ms: run.now_ms(), attempts: intent.attempts }
        }
        Next::Park => {
            let why = match fault {
                Fault::Duplicate(_) => reason::DUPLICATE_VALUE,
                Fault::Transient(_) => reason::ATTEMPTS_USED_UP,
                _ => reason::REFUSED,
            };
            let field = match fault {
                Fault::Rejected { field: Some(field), .. } => field.clone(),
                _ => String::new(),
            };
            let note = |kind, field| OutcomeNote { kind, reason: why.into(), field, detail: fault.to_string() };
            match row_to_leave_out(pair, intent, &field) {
                Some(row) => {
                    let note = note("left-out", row.clone());
                    Settlement::LeaveOut { intent: id, row, note, attempts: intent.attempts }
                }
                None => Settlement::Refused { intent: id, note: note("needs-attention", field) },
            }
        }
    }
}

pub(super) fn not_found() -> OutcomeNote {
    OutcomeNote {
        kind: "waiting",
        reason: reason::NOT_FOUND.into(),
        field: String::new(),
        detail: "the record was not there when it was to be written; whether it was removed is looked into".into(),
    }
}

/// The mapping row of a field that the CRM refused, if the record can do without it: others are written as well, and a create does not
/// demand it.
fn row_to_leave_out(pair: &PairSetup, intent: &IntentRow, field: &str) -> Option<String> {
    let row = pair.mapping.rows.iter().find(|row| {
        intent.body.rows.iter().any(|change| change.row == row.key.0)
            && row.fields(intent.side).iter().any(|known| known.name == field)
    })?;
    let demanded = row.fields(intent.side).iter().any(|field| field.mandatory);
    let needed = intent.body.rows.len() == 1 || (demanded && intent.operation == Operation::Create);
    (!needed).then(|| row.key.0.clone())
}

/// Rule 1 at the gate: rows of a push are marked as admitted, on disk, before their request leaves.
struct OutboxGate {
    store: Store,
    lease: Lease,
    intents: Vec<i64>,
    clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    admitted: Mutex<BTreeSet<u32>>,
}

impl OutboxGate {
    fn new(run: &RunSetup, due: &[IntentRow]) -> OutboxGate {
        OutboxGate {
            store: run.store.clone(),
            lease: run.lease.clone(),
            intents: due.iter().map(|intent| intent.id).collect(),
            clock: run.clock.clone(),
            admitted: Mutex::new(BTreeSet::new()),
        }
    }

    fn admitted(&self) -> BTreeSet<u32> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Admissions for OutboxGate {
    fn admit<'a>(&'a self, rows: &'a [u32]) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let ids: Option<Vec<i64>> = rows.iter().map(|&row| self.intents.get(row as usize).copied()).collect();
            let ids = ids.ok_or_else(|| "the request names a row that the push does not have".to_owned())?;
            if ids.is_empty() {
                return Err("a write that names no row".to_owned());
            }
            self.store.admit_intents(&self.lease, ids, (self.clock)()).await.map_err(|error| error.to_string())?;
            self.admitted.lock().unwrap_or_else(PoisonError::into_inner).extend(rows);
            Ok(())
        })
    }

    fn retract(&self, rows: &[u32]) {
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            admitted.remove(row);
        }
    }
}
