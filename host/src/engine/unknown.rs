//! Writes whose outcome nobody knows: found out by the rules of the create classes before anything else is done with their records.

use std::collections::BTreeMap;

use crmsync_core::Side;
use crmsync_core::decide::{Operation, reason};

use super::error::Error;
use super::remote::{CreateClass, ModuleInfo};
use super::setup::{PairSetup, RunSetup};
use super::stage::reread;
use crate::store::{IntentRow, OutcomeNote, Settlement};

/// Unanswered writes that are looked into with one call.
const KEYS_AT_ONCE: usize = 100;

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
    let mut ready: BTreeMap<(Side, bool), Vec<IntentRow>> = BTreeMap::new();
    for intent in run.store.unknown_intents(run.tenant(), pair.id).await? {
        let module = pair.module(intent.side);
        let quiet_at_ms = intent.admitted_at_ms + module.quiesce_ms;
        let must_wait = match intent.operation {
            Operation::Create => can_look_by_key(module),
            // A late conditional write is refused by the CRM itself once the record has changed.
            Operation::Update => !module.conditional_updates,
        };
        if must_wait && run.now_ms() < quiet_at_ms {
            still.waiting += 1;
            still.next_at_ms = Some(still.next_at_ms.map_or(quiet_at_ms, |at_ms: i64| at_ms.min(quiet_at_ms)));
            continue;
        }
        ready.entry((intent.side, intent.operation == Operation::Create)).or_default().push(intent);
    }
    for ((side, is_create), intents) in ready {
        for portion in intents.chunks(KEYS_AT_ONCE) {
            let settlements = match is_create {
                true => look_for_creates(run, pair, side, portion).await?,
                false => reread_updates(run, pair, side, portion).await?,
            };
            run.store.settle_intents(&run.lease, pair.id, run.run, settlements, run.now_ms()).await?;
            super::call::renew(run).await?;
        }
    }
    Ok(still)
}

fn can_look_by_key(module: &ModuleInfo) -> bool {
    module.create_class == CreateClass::B && !module.key_field.is_empty()
}

/// Updates are decided again from what their records show now: of those that arrived nothing is left to do.
async fn reread_updates(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    intents: &[IntentRow],
) -> Result<Vec<Settlement>, Error> {
    let ids: Vec<String> = intents.iter().map(|intent| intent.target.clone()).collect();
    reread(run, pair, side, &ids).await?;
    Ok(intents.iter().map(|intent| Settlement::Withdraw { intent: intent.id, note: None }).collect())
}

async fn look_for_creates(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    intents: &[IntentRow],
) -> Result<Vec<Settlement>, Error> {
    let module = pair.module(side);
    if module.create_class == CreateClass::A {
        // The CRM enforces our key: the same create again either makes the record or finds it.
        return Ok(intents.iter().map(|intent| Settlement::Again { intent: intent.id, not_before_ms: 0 }).collect());
    }
    if !can_look_by_key(module) {
        return Ok(ask_about(intents, "the CRM cannot tell whether the record was created"));
    }
    let fields = pair.read_fields(side);
    let keys: Vec<String> = intents.iter().map(|intent| intent.create_key.clone()).collect();
    let found = super::call::find(run, pair, side, &keys, &fields).await?;
    if !found.consistent {
        return Ok(ask_about(intents, "the CRM's search may not show the newest records"));
    }
    let ids: Vec<String> = found.live.iter().map(|(_, record)| record.id.clone()).collect();
    reread(run, pair, side, &ids).await?;
    let settlements = intents.iter().enumerate().map(|(index, intent)| {
        let mut records = found.live.iter().filter(|(asked, _)| *asked == index);
        match (records.next(), records.next()) {
            (None, _) => Settlement::Again { intent: intent.id, not_before_ms: 0 },
            (Some((_, record)), None) => happened(intent, record.id.clone()),
            (Some(_), Some(_)) => ask_a_person(intent, "several records carry the key of this create"),
        }
    });
    Ok(settlements.collect())
}

fn ask_about(intents: &[IntentRow], why: &str) -> Vec<Settlement> {
    intents.iter().map(|intent| ask_a_person(intent, why)).collect()
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
