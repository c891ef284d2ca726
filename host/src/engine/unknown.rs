//! Writes whose outcome nobody knows: found out by the rules of the create classes before anything else is done with their records.

use std::collections::BTreeMap;

use crmsync_core::decide::{Operation, reason};
use crmsync_core::sabotage::{Sabotage, is_on};
use crmsync_core::{MappingRow, Resemblance, Role, Side, retry};

use super::error::Error;
use super::remote::CreateClass;
use super::setup::{PairSetup, RunSetup};
use super::stage::reread;
use crate::store::{InboxRow, IntentRow, IntentState, OutcomeNote, Settlement};

/// Unanswered writes that are looked into with one call.
const KEYS_AT_ONCE: usize = 100;
/// Unanswered writes that are read from the store at once.
const INTENTS_AT_ONCE: usize = 500;
/// Records that appeared since an unanswered create and are held against it.
const ARRIVALS_MAX: usize = 5_000;
/// How far a CRM's clock may be behind ours.
const CLOCKS_APART_MS: i64 = 300_000;

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
    if is_on(Sabotage::ForgetArrivals) {
        return Ok(0);
    }
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

/// Finds out what can be found out now. `read_at_ms` is, for each side, the moment up to which all its changes have been read.
pub(super) async fn find_out(run: &RunSetup, pair: &PairSetup, read_at_ms: [i64; 2]) -> Result<StillUnknown, Error> {
    let mut still = StillUnknown::default();
    let mut found_out = 0;
    let mut after = 0;
    loop {
        let intents = run.store.unknown_intents(run.tenant(), pair.id, after, INTENTS_AT_ONCE).await?;
        let Some(last) = intents.last() else { break };
        after = last.id;
        let mut ready: BTreeMap<(Side, Looking), Vec<IntentRow>> = BTreeMap::new();
        for intent in intents {
            match certain_at_ms(run, pair, &intent, read_at_ms) {
                Some(at_ms) => {
                    still.waiting += 1;
                    still.next_at_ms = Some(still.next_at_ms.map_or(at_ms, |known: i64| known.min(at_ms)));
                }
                None => ready.entry((intent.side, Looking::of(&intent))).or_default().push(intent),
            }
        }
        for ((side, looking), intents) in ready {
            for portion in intents.chunks(KEYS_AT_ONCE) {
                let settlements = match looking {
                    Looking::Create => {
                        let looked = look_for_creates(run, pair, side, portion).await?;
                        believed(run, pair, side, looked).await?
                    }
                    Looking::Update => reread_updates(run, pair, side, portion).await?,
                    Looking::Leaving => super::leaving::find_out(run, pair, side, portion).await?,
                };
                found_out += settlements.len();
                still.waiting += (portion.len() - settlements.len()) as u64;
                run.store.settle_intents(&run.lease, pair.id, run.run, settlements, run.now_ms()).await?;
                super::call::renew(run).await?;
            }
        }
    }
    if found_out > 0 {
        // Records that were held back because they could have been one of those.
        run.store.touch_left_out(&run.lease, pair.id, vec![reason::OUTCOME_UNKNOWN], i64::MAX).await?;
    }
    Ok(still)
}

/// How the outcome of a write is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Looking {
    Create,
    Update,
    Leaving,
}

impl Looking {
    fn of(intent: &IntentRow) -> Looking {
        match intent.operation {
            Operation::Create => Looking::Create,
            Operation::Update => Looking::Update,
            Operation::Mark | Operation::Unmark | Operation::Delete => Looking::Leaving,
        }
    }
}

/// When the outcome of this write can be found out; none if it can be now.
fn certain_at_ms(run: &RunSetup, pair: &PairSetup, intent: &IntentRow, read_at_ms: [i64; 2]) -> Option<i64> {
    let module = pair.module(intent.side);
    // The CRM itself says whether it has our key; or nobody will ever know.
    let is_create = intent.operation == Operation::Create;
    if (is_create && module.create_class != CreateClass::B) || is_on(Sabotage::SkipQuiesce) {
        return None;
    }
    // Until then the CRM may still carry it out. That holds for updates too: what comes late would look like a person's edit.
    let quiet_at_ms = intent.admitted_at_ms.saturating_add(module.quiesce_ms);
    let now_ms = run.now_ms();
    if now_ms < quiet_at_ms {
        return Some(quiet_at_ms);
    }
    // Without a key it is looked for among the records that have been read since.
    let must_be_read = is_create && module.key_field.is_empty() && read_at_ms[intent.side as usize] < quiet_at_ms;
    must_be_read.then_some(now_ms)
}

/// A record that was not found was not created only if the login would see it: one that sees less than at its beginning (S13) is no witness,
/// and the outcome stays unknown until it sees as much again.
async fn believed(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    looked: Vec<Settlement>,
) -> Result<Vec<Settlement>, Error> {
    let is_absent = |settlement: &Settlement| matches!(settlement, Settlement::Again { .. });
    let by_sight = pair.module(side).create_class == CreateClass::B && looked.iter().any(is_absent);
    if !by_sight || is_on(Sabotage::UnseenIsUncreated) {
        return Ok(looked);
    }
    if super::call::visible_scope(run, side).await? == run.side(side).scope_at_login {
        return Ok(looked);
    }
    Ok(looked.into_iter().filter(|settlement| !is_absent(settlement)).collect())
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
    Ok(intents.iter().map(|intent| Settlement::Withdraw { intent: intent.id, note: None, counts: true }).collect())
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
        return Ok(intents.iter().map(|intent| later(run, intent)).collect());
    }
    if module.create_class == CreateClass::C {
        return Ok(ask_about(intents, "the CRM cannot tell whether the record was created"));
    }
    if module.key_field.is_empty() {
        return look_among_arrivals(run, pair, side, intents).await;
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
            (None, _) => again(intent),
            (Some((_, record)), None) => happened(intent, record.id.clone()),
            (Some(_), Some(_)) => ask_a_person(intent, "several records carry the key of this create", vec![]),
        }
    });
    Ok(settlements.collect())
}

/// Class B without a field for our keys: the record would be among those that appeared since the intent, and all of them have been read.
/// The one that shows all that we sent is ours; one that shows half of it is for a person to tell.
async fn look_among_arrivals(
    run: &RunSetup,
    pair: &PairSetup,
    side: Side,
    intents: &[IntentRow],
) -> Result<Vec<Settlement>, Error> {
    let since_ms = intents.iter().map(|intent| intent.admitted_at_ms).min().unwrap_or(0) - CLOCKS_APART_MS;
    let arrivals = run.store.unlinked_since(run.tenant(), pair.id, side, since_ms, ARRIVALS_MAX).await?;
    if arrivals.len() == ARRIVALS_MAX {
        return Ok(ask_about(intents, "too many records appeared meanwhile to tell whether the record was created"));
    }
    let alike = |intent: &IntentRow, wanted: Resemblance| -> Vec<&str> {
        let rows = arrivals.iter().filter(|row| resemblance(pair, intent, row) == wanted);
        rows.map(|row| row.record.as_str()).collect()
    };
    let whole: Vec<Vec<&str>> = intents.iter().map(|intent| alike(intent, Resemblance::Whole)).collect();
    let claims = |record: &str| whole.iter().filter(|records| records.contains(&record)).count();
    let settlements = intents.iter().zip(&whole).map(|(intent, records)| match records.as_slice() {
        [record] if claims(record) == 1 => happened(intent, (*record).to_owned()),
        [] => {
            // What shows all that another create sent is that one's record.
            let partial = alike(intent, Resemblance::Partial).into_iter().filter(|record| claims(record) == 0);
            let candidates: Vec<String> = partial.map(str::to_owned).collect();
            if candidates.is_empty() {
                return again(intent);
            }
            let why = format!("the record that was to be created may be there already: {}", candidates.join(", "));
            ask_a_person(intent, &why, candidates)
        }
        records => {
            let candidates = records.iter().map(|record| (*record).to_owned()).collect();
            ask_a_person(intent, "several records look like the one that was to be created", candidates)
        }
    });
    Ok(settlements.collect())
}

/// How much an unlinked record looks like what a create sent. Owners do not count, as CRMs hand new records on; nor do constants, which all
/// of our copies show.
fn resemblance(pair: &PairSetup, intent: &IntentRow, row: &InboxRow) -> Resemblance {
    if row.modified_at_ms < intent.admitted_at_ms - CLOCKS_APART_MS {
        return Resemblance::None;
    }
    let rows = intent.body.rows.iter().filter_map(|change| {
        let tells = |row: &&MappingRow| !matches!(row.role, Role::Owner | Role::Constant(_));
        let mapping = pair.mapping.rows.iter().filter(tells).find(|row| row.key.0 == change.row)?;
        Some((change.after.as_slice(), super::view::values_of(&row.image, mapping, intent.side)))
    });
    let rows: Vec<_> = rows.collect();
    crmsync_core::link::resembles(rows.iter().map(|(sent, shown)| (*sent, shown.as_slice())))
}

/// Creates of both sides that cannot be looked for by our key and may have happened: a record that looks like one of them is not
/// decided about until that is known.
pub(super) struct Doubtful([Vec<IntentRow>; 2]);

impl Doubtful {
    pub(super) async fn of(run: &RunSetup, pair: &PairSetup) -> Result<Doubtful, Error> {
        let mut doubtful = Doubtful([Vec::new(), Vec::new()]);
        for side in Side::BOTH {
            if pair.module(side).key_field.is_empty() {
                doubtful.0[side as usize] = run.store.doubtful_creates(run.tenant(), pair.id, side).await?;
            }
        }
        Ok(doubtful)
    }

    /// Whether this unlinked record may be what one of the creates made.
    pub(super) fn may_have_made(&self, pair: &PairSetup, row: &InboxRow) -> bool {
        let quiesce_ms = pair.module(row.side).quiesce_ms;
        self.0[row.side as usize].iter().any(|intent| match intent.state {
            IntentState::Parked if !intent.body.candidates.is_empty() => intent.body.candidates.contains(&row.record),
            // Nobody could look: what appeared in time and shows all that was sent.
            IntentState::Parked => {
                let until_ms = intent.admitted_at_ms.saturating_add(quiesce_ms).saturating_add(CLOCKS_APART_MS);
                row.modified_at_ms <= until_ms && resemblance(pair, intent, row) == Resemblance::Whole
            }
            _ => resemblance(pair, intent, row) != Resemblance::None,
        })
    }
}

/// The same create once more, after a pause that grows.
fn later(run: &RunSetup, intent: &IntentRow) -> Settlement {
    let not_before_ms = run.now_ms() + retry::backoff_ms(intent.attempts);
    Settlement::Again { intent: intent.id, not_before_ms, attempts: intent.attempts }
}

fn again(intent: &IntentRow) -> Settlement {
    Settlement::Again { intent: intent.id, not_before_ms: 0, attempts: intent.attempts }
}

fn ask_about(intents: &[IntentRow], why: &str) -> Vec<Settlement> {
    intents.iter().map(|intent| ask_a_person(intent, why, vec![])).collect()
}

fn ask_a_person(intent: &IntentRow, why: &str, candidates: Vec<String>) -> Settlement {
    let note = OutcomeNote {
        kind: "needs-attention",
        reason: reason::OUTCOME_UNKNOWN.into(),
        field: String::new(),
        detail: why.to_owned(),
    };
    Settlement::Parked { intent: intent.id, candidates, note }
}
