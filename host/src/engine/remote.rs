//! What the engine asks of a CRM and of transforms, in the core's own values. The sandboxed plugins answer in production, an
//! in-memory CRM in simulations; the engine cannot tell them apart.

use std::sync::Arc;

use crmsync_core::decide::Operation;
use crmsync_core::{Fault, RemovalReason, Value};
use futures_util::future::BoxFuture;

use crate::egress::Admissions;

/// Why a call gave nothing at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The CRM's typed refusal.
    #[error("{0}")]
    Fault(Fault),
    /// The plugin broke a limit or a rule of the contract, in words that name it. The call is over; the run goes on where it can.
    #[error("{0}")]
    Plugin(String),
}

/// Who and where a connection is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CheckReport {
    /// Stable id of the CRM's organisation.
    pub org_id: String,
    /// Its name.
    pub org_name: String,
    /// production, sandbox or unknown.
    pub org_kind: String,
    /// Id of the user who is logged in.
    pub user_id: String,
    /// Name of that user.
    pub user_name: String,
    /// all, own or unknown.
    pub visible_scope: String,
    /// IANA name of the zone.
    pub time_zone: String,
    /// ISO 4217 code, or "".
    pub currency: String,
    /// Edition.
    pub edition: String,
    /// Version.
    pub version: String,
    /// The CRM's clock minus ours, in milliseconds, if an answer told it.
    pub clock_ahead_ms: Option<i64>,
    /// Missing permissions.
    pub missing: Vec<String>,
    /// Further facts.
    pub extra: Vec<(String, String)>,
}

/// What a CRM guarantees for creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum CreateClass {
    /// It enforces a unique key of ours: retry freely.
    A,
    /// It can be asked, consistently, whether a record with our key exists: look before a retry.
    B,
    /// Neither: an unknown outcome stops and asks.
    C,
}

/// One module of a connection.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ModuleInfo {
    /// API name.
    pub name: String,
    /// Label for people.
    pub label: String,
    /// What creates rely on.
    pub create_class: CreateClass,
    /// Field that holds our keys, or "".
    pub key_field: String,
    /// The CRM refuses rows that were changed since a moment that we name.
    pub conditional_updates: bool,
    /// Removals are seen for sure only by looking for known ids; pages may bring some.
    pub needs_sweep: bool,
    /// Milliseconds after which an unanswered write can no longer be committed.
    pub quiesce_ms: i64,
    /// Rows that one write call takes.
    pub push_rows: usize,
    /// Ids that one fetch takes.
    pub fetch_rows: usize,
    /// How its records can be deleted.
    #[serde(default)]
    pub deletes: DeleteWays,
    /// What this login may not do with its records, as verbs: create, edit, delete.
    #[serde(default)]
    pub refused: Vec<String>,
}

/// How a CRM can delete the records of a module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeleteWays {
    /// They can be moved to a recycle bin.
    pub recycle: bool,
    /// They can be deleted for good.
    pub for_good: bool,
}

/// One selectable value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Choice {
    /// What is read and written.
    pub value: String,
    /// What people see.
    pub label: String,
}

/// One field of a module.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FieldInfo {
    /// API name.
    pub name: String,
    /// Label for people.
    pub label: String,
    /// Kind of its values, the contract's number.
    pub kind: u8,
    /// The CRM's own word for the type.
    pub native: String,
    /// Must have a value at create.
    pub mandatory: bool,
    /// Cannot be written.
    pub read_only: bool,
    /// No two records share a value.
    pub unique: bool,
    /// Longest text in characters.
    pub length: Option<u32>,
    /// Selectable values.
    pub choices: Vec<Choice>,
    /// Modules that a reference may point to.
    pub targets: Vec<String>,
    /// Published code of what the field means, or "".
    pub meaning: String,
}

/// A user who may own records.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct User {
    /// Id.
    pub id: String,
    /// Full name.
    pub name: String,
    /// E-mail address, or "".
    pub email: String,
    /// May own records now.
    pub active: bool,
    /// user or group.
    pub kind: String,
}

/// A connector's place in a stream of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The plugin's number of the format.
    pub format: u32,
    /// The place, opaque.
    pub data: Vec<u8>,
}

/// One record as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteRecord {
    /// Id.
    pub id: String,
    /// Version: equal text means unchanged.
    pub version: String,
    /// Time of the last change as the CRM tells it, milliseconds since 1970; 0 if unknown.
    pub modified_at_ms: i64,
    /// One value for each field that was asked for.
    pub values: Vec<Value>,
}

/// At most one page of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Live records.
    pub live: Vec<RemoteRecord>,
    /// Records that left.
    pub removed: Vec<(String, RemovalReason)>,
    /// Where to go on.
    pub next: Cursor,
    /// More is there now.
    pub more: bool,
    /// This page ends a scan that has shown every record there is.
    pub complete: bool,
    /// How many records the CRM says the module has.
    pub population: Option<u64>,
}

/// Records by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Those that are there.
    pub live: Vec<RemoteRecord>,
    /// Ids that are not there, or not visible.
    pub absent: Vec<String>,
    /// Of the absent ones those of which the CRM says what became of them.
    pub removed: Vec<(String, RemovalReason)>,
}

/// Records by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Index of the value asked for, and the record.
    pub live: Vec<(usize, RemoteRecord)>,
    /// The answer includes every record committed before the call began.
    pub consistent: bool,
}

/// One row to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushRow {
    /// What to do; a mark and the end of one are updates to the CRM.
    pub operation: Operation,
    /// Id, "" for a create.
    pub id: String,
    /// Version last seen.
    pub version: String,
    /// Our key for a create.
    pub key: String,
    /// One value for each field of the request; absent ones are left alone.
    pub values: Vec<Value>,
}

/// One write call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushRequest {
    /// Module.
    pub module: String,
    /// Fields: API name and kind.
    pub fields: Vec<(String, u8)>,
    /// Rows.
    pub rows: Vec<PushRow>,
    /// Start the CRM's automations.
    pub automations: bool,
    /// Deleted rows are gone for good and do not go to the recycle bin, where the CRM can do that.
    pub for_good: bool,
    /// The moment, in our clock, at or after which all rows of this request were last read; none if the CRM has no conditional writes.
    pub read_at_ms: Option<i64>,
}

/// A CRM's good answer to one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Id.
    pub id: String,
    /// Version after the write, or "".
    pub version: String,
    /// What the CRM says it stored: one value for each field of the request, or none.
    pub stored: Option<Vec<Value>>,
    /// The create met a record with our key that was there already.
    pub existed: bool,
}

/// What became of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// Written.
    Stored(Receipt),
    /// Not written, or unknown.
    Failed(Fault),
    /// Not tried.
    NotSent,
}

/// What became of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushReport {
    /// One for each row.
    pub outcomes: Vec<PushOutcome>,
    /// Wait so long before the next call.
    pub wait_ms: u64,
}

/// One CRM, through one connection.
pub trait Remote: Send + Sync {
    /// Who and where we are.
    fn check(&self) -> BoxFuture<'_, Result<CheckReport, CallError>>;
    /// Modules that can be synced.
    fn modules(&self) -> BoxFuture<'_, Result<Vec<ModuleInfo>, CallError>>;
    /// Fields of a module.
    fn describe<'a>(&'a self, module: &'a str) -> BoxFuture<'a, Result<Vec<FieldInfo>, CallError>>;
    /// Users and groups.
    fn users(&self) -> BoxFuture<'_, Result<Vec<User>, CallError>>;
    /// How many records the login can see.
    fn count<'a>(&'a self, module: &'a str) -> BoxFuture<'a, Result<Option<u64>, CallError>>;
    /// One page of changes after the cursor.
    fn pull<'a>(
        &'a self,
        module: &'a str,
        fields: &'a [String],
        after: Option<Cursor>,
    ) -> BoxFuture<'a, Result<Page, CallError>>;
    /// Records by id.
    fn fetch<'a>(
        &'a self,
        module: &'a str,
        ids: &'a [String],
        fields: &'a [String],
    ) -> BoxFuture<'a, Result<Fetched, CallError>>;
    /// Records by key.
    fn find<'a>(
        &'a self,
        module: &'a str,
        key_field: &'a str,
        keys: &'a [String],
        fields: &'a [String],
    ) -> BoxFuture<'a, Result<Found, CallError>>;
    /// Writes rows, each admitted before its first byte leaves.
    fn push<'a>(
        &'a self,
        request: PushRequest,
        admissions: Arc<dyn Admissions>,
    ) -> BoxFuture<'a, Result<PushReport, CallError>>;
}

/// One use of a transform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransformStep {
    /// Plugin that has the function.
    pub plugin: String,
    /// Function.
    pub function: String,
    /// Settings, a JSON text, or "".
    pub settings: String,
    /// Columns that it reads.
    pub inputs: Vec<usize>,
    /// Columns of the answer that it fills.
    pub outputs: Vec<usize>,
}

/// What transforms made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transformed {
    /// One row for each row given, one value for each output column.
    pub rows: Vec<Vec<Value>>,
    /// (row, step, reason) of cells that could not be transformed.
    pub complaints: Vec<(usize, usize, String)>,
}

/// The transforms of a flow.
pub trait Transforms: Send + Sync {
    /// Applies the steps to all rows.
    fn apply<'a>(
        &'a self,
        steps: &'a [TransformStep],
        columns: &'a [(String, u8)],
        rows: &'a [Vec<Value>],
    ) -> BoxFuture<'a, Result<Transformed, CallError>>;
}
