//! What a preview and a run tell people and programs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts of one module pair in a plan: what a run would do, or did decide.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanCounts {
    /// Records looked at: pairs and single ones.
    pub looked_at: u64,
    /// Records that were matched and would be linked.
    pub linked: u64,
    /// Records that would be created on the left.
    pub create_left: u64,
    /// Records that would be created on the right.
    pub create_right: u64,
    /// Left records that would be changed.
    pub update_left: u64,
    /// Right records that would be changed.
    pub update_right: u64,
    /// Left records that would be marked as deleted on the other side, or lose such a mark.
    #[serde(default)]
    pub mark_left: u64,
    /// Right records of which the same holds.
    #[serde(default)]
    pub mark_right: u64,
    /// Left records that would be deleted.
    #[serde(default)]
    pub delete_left: u64,
    /// Right records that would be deleted.
    #[serde(default)]
    pub delete_right: u64,
    /// Pairs and records with nothing to do.
    pub unchanged: u64,
    /// Fields that both sides changed.
    pub conflicts: u64,
    /// Blank fields that would be filled, by side and field.
    pub fills: BTreeMap<String, u64>,
    /// Values that would be replaced, by side and field.
    pub replaces: BTreeMap<String, u64>,
    /// Fields of matched records that differ and stay so, by field.
    pub differs: BTreeMap<String, u64>,
    /// Fields left out, by reason and field.
    pub left_out: BTreeMap<String, u64>,
    /// Records that need a person, by reason.
    pub needs_attention: BTreeMap<String, u64>,
    /// Records that left one side, by side.
    pub removed: BTreeMap<String, u64>,
    /// Records that are not synced, by reason.
    pub out_of_scope: BTreeMap<String, u64>,
}

impl PlanCounts {
    /// The counts that an approval is about: what would be written or linked.
    pub fn approved(&self) -> BTreeMap<String, u64> {
        BTreeMap::from([
            ("linked".to_owned(), self.linked),
            ("create_left".to_owned(), self.create_left),
            ("create_right".to_owned(), self.create_right),
            ("update_left".to_owned(), self.update_left),
            ("update_right".to_owned(), self.update_right),
        ])
    }
}

/// What a preview shows of one module pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairPreview {
    /// Name of the pair.
    pub name: String,
    /// Records on the left.
    pub left: u64,
    /// Records on the right.
    pub right: u64,
    /// What would happen.
    pub plan: PlanCounts,
    /// Write calls to the left that the run would need.
    pub calls_left: u64,
    /// Write calls to the right that the run would need.
    pub calls_right: u64,
    /// Calls to each side by kind, left first.
    #[serde(default)]
    pub calls: [PlannedCalls; 2],
}

/// Calls that a run would need at one side, by kind. Looks for changes and repetitions after faults come on top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCalls {
    /// Calls that create records.
    pub create: u64,
    /// Calls that change records.
    pub update: u64,
    /// Calls that read records again right before they are changed.
    pub read_before: u64,
    /// Calls that read what the CRM made of our values, at most.
    pub read_after: u64,
}

impl PlannedCalls {
    /// All calls.
    pub fn total(&self) -> u64 {
        self.create + self.update + self.read_before + self.read_after
    }
}

/// What a preview shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// Name of the flow.
    pub flow: String,
    /// Names of the two connections.
    pub between: [String; 2],
    /// Hash of the settings that it was made with.
    pub settings_hash: String,
    /// When.
    pub at_ms: i64,
    /// The run that made it, under which the listing is kept.
    #[serde(default)]
    pub run: i64,
    /// Module pairs.
    pub pairs: Vec<PairPreview>,
    /// What the run would cost each side, left first; empty before that is known.
    #[serde(default)]
    pub efforts: Vec<Effort>,
}

/// What a run would cost one side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effort {
    /// Name of the connection.
    pub connection: String,
    /// Calls of all module pairs.
    pub calls: PlannedCalls,
    /// Shortest time that the CRM's limits allow, in seconds; none if no limit is known.
    pub seconds_min: Option<u64>,
    /// Writes by module that start the CRM's own automations, because it has no switch for them or the flow wants them.
    pub automations: BTreeMap<String, u64>,
    /// The CRM has no switch for automations.
    pub automations_always: bool,
}

/// What a run did in one module pair.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairReport {
    /// Name of the pair.
    pub name: String,
    /// Records known on the left after the run.
    pub left: u64,
    /// Records known on the right.
    pub right: u64,
    /// Links after the run.
    pub linked: u64,
    /// Records created on the left in this run.
    pub created_left: u64,
    /// Records created on the right.
    pub created_right: u64,
    /// Left records changed.
    pub updated_left: u64,
    /// Right records changed.
    pub updated_right: u64,
    /// Left records that were marked as deleted on the other side, or lost such a mark.
    #[serde(default)]
    pub marked_left: u64,
    /// Right records of which the same holds.
    #[serde(default)]
    pub marked_right: u64,
    /// Left records deleted.
    #[serde(default)]
    pub deleted_left: u64,
    /// Right records deleted.
    #[serde(default)]
    pub deleted_right: u64,
    /// Removals that the safety stop holds until people consent.
    #[serde(default)]
    pub held_removals: u64,
    /// Fields that both sides had changed.
    pub conflicts: u64,
    /// Writes that wait for a CRM or for certainty about an earlier one.
    pub waiting: u64,
    /// Records that need a person, by reason.
    pub needs_attention: BTreeMap<String, u64>,
    /// Fields left out, by reason and field.
    pub left_out: BTreeMap<String, u64>,
    /// Records that left one side.
    pub removed: BTreeMap<String, u64>,
    /// Records that are not synced, by reason.
    pub out_of_scope: BTreeMap<String, u64>,
    /// Records read from the left in this run.
    pub read_left: u64,
    /// Records read from the right.
    pub read_right: u64,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReport {
    /// Name of the flow.
    pub flow: String,
    /// Number of the run.
    pub run: i64,
    /// Names of the two connections.
    pub between: [String; 2],
    /// Start, milliseconds since 1970.
    pub started_at_ms: i64,
    /// Length in milliseconds.
    pub took_ms: i64,
    /// Module pairs.
    pub pairs: Vec<PairReport>,
    /// Values that the approved preview did not list, and that were therefore left as they are on both sides.
    #[serde(default)]
    pub unlisted: u64,
    /// What people should know: safety stops, odd listings, connectors that broke a rule.
    pub alarms: Vec<String>,
}

/// Adds one to a count by name.
pub(super) fn count(counts: &mut BTreeMap<String, u64>, name: impl Into<String>) {
    *counts.entry(name.into()).or_default() += 1;
}
