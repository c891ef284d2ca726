//! What one run is given: two sides, the module pairs with their mappings, limits, a clock and a source of keys.

use std::collections::HashMap;
use std::sync::Arc;

use crmsync_core::{Filter, PairMapping, Policy, SafetyStop, Side, Value};

use super::remote::{ModuleInfo, Remote, Transforms};
use crate::store::{Lease, PairId, Store};

/// Limits and pauses of the engine, with their defaults.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Inbox rows that are decided and committed together.
    pub portion_rows: usize,
    /// Rounds of decide and write in one run: a record that keeps changing under our hands waits for the next run after so many.
    pub rounds_max: u32,
    /// Pages of one pull before the run stops and says so.
    pub pages_max: u32,
    /// A run waits at most so long for CRMs that ask to wait, and for creates whose outcome can be known only later.
    pub wait_ms_max: i64,
    /// How long a lease lasts without renewal.
    pub lease_ms: i64,
    /// Writes whose attempts were used up are tried again after this time.
    pub try_again_ms: i64,
    /// Known ids are looked for at least so often where removals are not announced.
    pub sweep_every_ms: i64,
    /// Pause before a round that re-reads what changed under our hands: CRMs tell times in whole seconds, so a condition on the time of
    /// the last change can be trusted only when that second is over.
    pub round_pause_ms: u64,
    /// A record that was not found is looked for once more after this pause.
    pub sweep_grace_ms: i64,
    /// Records that may vanish at once before people are asked.
    pub safety_stop_records: u64,
    /// The same in percent of the known records.
    pub safety_stop_percent: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            portion_rows: 250,
            rounds_max: 6,
            pages_max: 20_000,
            wait_ms_max: 90_000,
            lease_ms: 60_000,
            try_again_ms: 60 * 60_000,
            sweep_every_ms: 15 * 60_000,
            round_pause_ms: 1_100,
            sweep_grace_ms: 1_000,
            safety_stop_records: 50,
            safety_stop_percent: 5,
        }
    }
}

impl Limits {
    /// Records that may leave at once before people are asked.
    pub fn safety_stop(&self) -> SafetyStop {
        SafetyStop { records: self.safety_stop_records, percent: self.safety_stop_percent }
    }
}

/// Owners and references of one direction: what this side's users and records are on the other side.
#[derive(Clone, Debug, Default)]
pub struct OwnerTable {
    /// This side's user id → the other side's user id.
    pub users: HashMap<String, String>,
    /// The other side's user who owns what nobody else can own, at create only (S16).
    pub fallback: Option<String>,
}

/// One side of a flow.
pub struct SideSetup {
    /// Connection's name, for people.
    pub connection: String,
    /// Plugin id.
    pub plugin: String,
    /// The CRM.
    pub remote: Arc<dyn Remote>,
    /// Its owners on the other side.
    pub owners: OwnerTable,
    /// The login sees all records, only its own, or nobody knows: as `check` said now.
    pub visible_scope: String,
    /// The same when the connection was first logged in.
    pub scope_at_login: String,
}

/// One module pair.
#[derive(Clone, Debug)]
pub struct PairSetup {
    /// Number in the store.
    pub id: PairId,
    /// Left module, right module.
    pub modules: [ModuleInfo; 2],
    /// Rows and match rules.
    pub mapping: PairMapping,
    /// Keys of mapping rows whose fields are not there now: their bases are kept (S12).
    pub paused: Vec<String>,
    /// Policies.
    pub policy: Policy,
    /// Which records of each side are synced, left first; none is all.
    pub filters: [Option<Filter>; 2],
    /// Records changed before this moment (milliseconds since 1970) are known, and join only when edited; none syncs all (S18).
    pub records_from_ms: Option<i64>,
    /// Start the CRMs' automations.
    pub automations: bool,
    /// Where the left and the right record say that the other one left; used by the modes `mark`.
    pub marks: [Option<MarkSetup>; 2],
}

impl PairSetup {
    /// One side's module.
    pub fn module(&self, side: Side) -> &ModuleInfo {
        &self.modules[side as usize]
    }

    /// API names of the fields that are read on one side: those of the mapping and of the filter, then the one that holds our keys.
    pub fn read_fields(&self, side: Side) -> Vec<String> {
        let mut fields: Vec<String> = self.mapping.fields(side).into_iter().map(|field| field.name.clone()).collect();
        let key_field = &self.module(side).key_field;
        let filtered = self.filters[side as usize].iter().flat_map(Filter::fields);
        for name in filtered.chain([key_field.as_str()].into_iter().filter(|name| !name.is_empty())) {
            if !fields.iter().any(|field| field == name) {
                fields.push(name.to_owned());
            }
        }
        if let Some(mark) = self.mark(side).filter(|mark| !fields.contains(&mark.field)) {
            fields.push(mark.field.clone());
        }
        fields
    }

    /// Where the records of one side are marked, if they are at all.
    pub fn mark(&self, side: Side) -> Option<&MarkSetup> {
        self.marks[side as usize].as_ref()
    }

    /// The same pair for a first sync, which never deletes (S13).
    pub(super) fn without_deletes(&self) -> PairSetup {
        PairSetup { policy: self.policy.without_deletes(), ..self.clone() }
    }

    /// The same pair for one walk in which the safety stop holds, or does not.
    pub(super) fn with_hold(&self, hold: bool) -> PairSetup {
        PairSetup { policy: Policy { hold, ..self.policy }, ..self.clone() }
    }

    /// Name for people and machine output.
    pub fn name(&self) -> String {
        let [left, right] = &self.modules;
        if left.name == right.name { left.name.clone() } else { format!("{} = {}", left.name, right.name) }
    }
}

/// Where and how a record says that the other side's was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkSetup {
    /// API name of the field.
    pub field: String,
    /// Kind of its values, the contract's number.
    pub kind: u8,
    /// What it says.
    pub value: Value,
}

/// Tells people how far a long run has come.
pub trait Progress: Send + Sync {
    /// A step began or moved: what is done, how many, of how many if that is known.
    fn step(&self, what: &str, done: u64, of: Option<u64>);
}

/// The key that a copy of a record carries: another one for each, and the same whenever it is asked for. So a copy is known again by a host
/// whose database is older than the copy (I15), and nobody who has no share in the host's secret can tell which key a record has.
pub type KeyOf = dyn Fn(&CopyOf<'_>) -> String + Send + Sync;

/// What the key of a copy stands for.
#[derive(Clone, Copy, Debug)]
pub struct CopyOf<'a> {
    /// The pair's modules, left first.
    pub modules: [&'a str; 2],
    /// The side of the record that is copied.
    pub from: Side,
    /// The record that is copied.
    pub record: &'a str,
    /// Which of its copies it is: a record whose link has ended gets another one.
    pub generation: i64,
}

/// Everything of one run.
pub struct RunSetup {
    /// Tenant and flow, with the right to run it.
    pub lease: Lease,
    /// The run's number in the journal.
    pub run: i64,
    /// State.
    pub store: Store,
    /// Left, right.
    pub sides: [SideSetup; 2],
    /// Module pairs in the order of their references.
    pub pairs: Vec<PairSetup>,
    /// Transforms.
    pub transforms: Arc<dyn Transforms>,
    /// Milliseconds since 1970. Only the application owns a clock.
    pub clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// A fresh key for a create, never given twice.
    pub new_key: Arc<dyn Fn() -> String + Send + Sync>,
    /// The key that a copy of a record carries.
    pub key_of: Arc<KeyOf>,
    /// Limits.
    pub limits: Limits,
    /// Progress.
    pub progress: Arc<dyn Progress>,
}

impl RunSetup {
    /// Now, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    /// One side.
    pub fn side(&self, side: Side) -> &SideSetup {
        &self.sides[side as usize]
    }

    /// The key of a record's copy.
    pub(super) fn copy_key(&self, pair: &PairSetup, from: Side, record: &str, generation: i64) -> String {
        let modules = pair.modules.each_ref().map(|module| module.name.as_str());
        (self.key_of)(&CopyOf { modules, from, record, generation })
    }

    /// Tenant.
    pub fn tenant(&self) -> &str {
        &self.lease.tenant
    }
}
