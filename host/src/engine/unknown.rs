//! Writes whose outcome nobody knows: found out by the rules of the create classes before anything else is done with their records.

use std::collections::BTreeMap;

use crmsync_core::Side;
use crmsync_core::decide::{Operation, reason};

use super::error::Error;
use super::remote::CreateClass;
use super::setup::{PairSetup, RunSetup};
use super::stage::{failed, reread};
use crate::store::{IntentRow, OutcomeNote, Settlement};

/// What is still open afterwards.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StillUnknown {
    /// Writes that have to wait until their CRM can no longer commit them.
    pub(super) waiting: u64,
    /// When the first of them can be found out, milliseconds since 1970.
    pub(super) next_at_ms: Option<i64>,
}

/// Records that arrived by themselves and carry the key of an unanswered create: it happened, and this is its record.
pub(super) async fn adopt_arrivals(run: &RunSetup, pair: &PairSetup) -> Result<u64, Error> {
    let arrived = run.store.arrived_creates(run.tenant(), pair.id).await?;
    let count = arrived.len() as u64;
    let settlements = arrived.into_iter().map(|(intent, row)| happened(&intent, row.record)).collect();
    run.store.settle_intents(&run.lease, pair.id, run.run, settlements, run.now_ms()).await?;
    Ok(count)
}

/// The create happened, and its record waits in the inbox. What it shows is held against what we sent: somebody may have edited it
/// before we found it.
fn happened(intent: &IntentRow, record: String) -> Settlement {
    Settlement::Stored { intent: intent.id, record, version: String::new(), shown: BTreeMap::new(), told: false }
}

/// Finds out what can be found out now.
pub(super) async fn find_out(run: &RunSetup, pair: &PairSetup) -> Result<StillUnknown, Error> {
    let mut still = StillUnknown::default();
    for intent in run.store.unknown_intents(run.tenant(), pair.id).await? {
        let module = pair.module(intent.side);
        let quiet_at_ms = intent.admitted_at_ms + module.quiesce_ms;
        let must_wait = match intent.operation {
            Operation::Create => module.create_class == CreateClass::B && !module.key_field.is_empty(),
            // A late conditional write is refused by the CRM itself once the record has changed.
            Operation::Update => !module.conditional_updates,
        };
        if must_wait && run.now_ms() < quiet_at_ms {
            still.waiting += 1;
            still.next_at_ms = Some(still.next_at_ms.map_or(quiet_at_ms, |at_ms: i64| at_ms.min(quiet_at_ms)));
            continue;
        }
        let settlement = match intent.operation {
            Operation::Update => reread_update(run, pair, &intent).await?,
            Operation::Create => look_for_create(run, pair, &intent).await?,
        };
        run.store.settle_intents(&run.lease, pair.id, run.run, vec![settlement], run.now_ms()).await?;
    }
    Ok(still)
}

/// An update is decided again from what the record shows now: if it arrived, nothing is left to do.
async fn reread_update(run: &RunSetup, pair: &PairSetup, intent: &IntentRow) -> Result<Settlement, Error> {
    reread(run, pair, intent.side, std::slice::from_ref(&intent.target)).await?;
    Ok(Settlement::Withdraw { intent: intent.id })
}

async fn look_for_create(run: &RunSetup, pair: &PairSetup, intent: &IntentRow) -> Result<Settlement, Error> {
    let module = pair.module(intent.side);
    match module.create_class {
        // The CRM enforces our key: the same create again either makes the record or finds it.
        CreateClass::A => Ok(Settlement::Again { intent: intent.id, not_before_ms: 0 }),
        CreateClass::B if !module.key_field.is_empty() => look_by_key(run, pair, intent).await,
        CreateClass::B | CreateClass::C => Ok(ask_a_person(intent, "the CRM cannot tell whether the record was created")),
    }
}

async fn look_by_key(run: &RunSetup, pair: &PairSetup, intent: &IntentRow) -> Result<Settlement, Error> {
    let side: Side = intent.side;
    let module = pair.module(side);
    let fields = pair.read_fields(side);
    let keys = [intent.create_key.clone()];
    let found = run
        .side(side)
        .remote
        .find(&module.name, &module.key_field, &keys, &fields)
        .await
        .map_err(|source| failed(run, side, format!("look for a new record of {}", module.name), source))?;
    if !found.consistent {
        return Ok(ask_a_person(intent, "the CRM's search may not show the newest records"));
    }
    let mut live = found.live.into_iter();
    Ok(match (live.next(), live.next()) {
        (None, _) => Settlement::Again { intent: intent.id, not_before_ms: 0 },
        (Some((_, record)), None) => {
            reread(run, pair, side, std::slice::from_ref(&record.id)).await?;
            happened(intent, record.id)
        }
        (Some(_), Some(_)) => ask_a_person(intent, "several records carry the key of this create"),
    })
}

fn ask_a_person(intent: &IntentRow, why: &str) -> Settlement {
    let note = OutcomeNote {
        kind: "needs-attention",
        reason: reason::OUTCOME_UNKNOWN.into(),
        field: String::new(),
        detail: why.to_owned(),
    };
    Settlement::Parked { intent: intent.id, note }
}
