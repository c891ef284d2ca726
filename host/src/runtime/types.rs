//! What goes into a plugin's calls and what comes out, as plain types. A value of these that came out of a call was checked.

use crmsync_cells::{Batch, Kind};

/// One named field of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    /// The field's API name, exactly as the CRM spells it.
    pub name: String,
    /// The kind of its plain values; never absent, empty or raw.
    pub kind: Kind,
}

/// Open facts: names and values.
pub type Extra = Vec<(String, String)>;

/// A CRM's refusal of one value or one record, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The field's API name, if the CRM named one.
    pub field: Option<String>,
    /// The CRM's own code.
    pub code: String,
    /// The CRM's own message, without customers' values.
    pub message: String,
}

/// Why a call, or one row of it, did not succeed: a typed answer of the CRM or of our own gate, not a defect of the plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A person has to log in again.
    #[error("the login does not work any more; log in again")]
    LoggedOut,
    /// Wait so many milliseconds.
    #[error("over the rate limit, try again in {0} ms")]
    RateLimited(u64),
    /// It may work when tried again.
    #[error("a passing disturbance: {0}")]
    Transient(String),
    /// The record does not exist any more, or is not visible.
    #[error("the record is gone")]
    Gone,
    /// The record was changed since the version that the write named; nothing was written.
    #[error("the record was changed meanwhile")]
    Changed,
    /// Refused; trying again changes nothing.
    #[error("refused with {}: {}", .0.code, .0.message)]
    Rejected(Rejection),
    /// A unique field holds this value already, in the record with this id ("" if the CRM does not say).
    #[error("there is such a record already: `{0}`")]
    Duplicate(String),
    /// A new scan is needed.
    #[error("the place in the stream of changes is not known any more; a new scan is needed")]
    CursorExpired,
    /// The CRM, or this edition of it, cannot do that.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// A write may or may not have happened.
    #[error("it is not known whether the write happened: {0}")]
    UnknownOutcome(String),
    /// Anything else.
    #[error("{code}: {message}")]
    Other {
        /// Code for the sync log.
        code: String,
        /// Message for the sync log.
        message: String,
    },
}

/// Whether a login belongs to a production or a sandbox organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrgKind {
    /// Real data.
    Production,
    /// A copy for trying things.
    Sandbox,
    /// The CRM does not say.
    Unknown,
}

/// Which records of a module a login sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VisibleScope {
    /// Every record.
    All,
    /// Some of them.
    Own,
    /// The CRM does not say: to be treated like [`VisibleScope::Own`] wherever absence matters.
    Unknown,
}

/// Who and where we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// Stable id of the organisation.
    pub org_id: String,
    /// Name of the organisation.
    pub org_name: String,
    /// Production or sandbox.
    pub org_kind: OrgKind,
    /// Id of the user who is logged in.
    pub user_id: String,
    /// Name of that user.
    pub user_name: String,
    /// Which records that user sees.
    pub visible_scope: VisibleScope,
    /// IANA name of the user's time zone.
    pub time_zone: String,
    /// ISO 4217 code, or "".
    pub currency: String,
    /// Edition as the CRM names it, or "".
    pub edition: String,
    /// Version as the CRM names it, or "".
    pub version: String,
    /// The CRM's clock in milliseconds since 1970, if it told.
    pub server_clock_ms: Option<i64>,
    /// Missing permissions or scopes, in the CRM's own words.
    pub missing: Vec<String>,
    /// Further facts.
    pub extra: Extra,
}

/// What a CRM guarantees for creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateClass {
    /// It enforces a unique key of ours: creates may be retried freely.
    A,
    /// It has a consistent lookup but no uniqueness.
    B,
    /// Neither: an unknown outcome is a person's to judge.
    C,
}

/// How an update is protected against one made meanwhile by somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateGuard {
    /// The CRM refuses rows changed since the version given.
    Conditional,
    /// It does not: rows are read again immediately before.
    None,
}

/// How deletes become visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removals {
    /// `pull` brings them.
    Feed,
    /// Only `fetch` tells.
    Sweep,
}

/// One module that can be synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleInfo {
    /// API name.
    pub name: String,
    /// Label for people, plural.
    pub label: String,
    /// What the CRM guarantees for creates.
    pub create_class: CreateClass,
    /// API name of the field that holds nothing but our keys, or "".
    pub key_field: String,
    /// How updates are protected.
    pub update_guard: UpdateGuard,
    /// How deletes become visible.
    pub removals: Removals,
    /// Milliseconds after which an unanswered write can no longer be committed.
    pub quiesce_ms: u64,
    /// Rows that one write call takes; at least 1.
    pub push_rows: u32,
    /// Ids that one `fetch` takes best; at least 1, at most [`super::limits::FETCH_IDS_MAX`].
    pub fetch_rows: u32,
    /// Further facts.
    pub extra: Extra,
}

/// One selectable value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What is read and written.
    pub value: String,
    /// What people see.
    pub label: String,
}

/// One field of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldInfo {
    /// API name.
    pub name: String,
    /// Label for people.
    pub label: String,
    /// Kind of its values.
    pub kind: Kind,
    /// The CRM's own word for the type.
    pub native: String,
    /// Must have a value when a record is created.
    pub mandatory: bool,
    /// Cannot be written.
    pub read_only: bool,
    /// No two records share a value.
    pub unique: bool,
    /// Longest text in characters, if the CRM says.
    pub length: Option<u32>,
    /// Selectable values; empty if it is open.
    pub choices: Vec<Choice>,
    /// Modules that a reference may point to.
    pub targets: Vec<String>,
    /// Published code of what the field means, or "".
    pub meaning: String,
    /// Further facts.
    pub extra: Extra,
}

/// A user or group of the CRM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Id, as references spell it.
    pub id: String,
    /// Full name.
    pub name: String,
    /// E-mail address, or "".
    pub email: String,
    /// May own records now.
    pub active: bool,
    /// A group, not a person.
    pub is_group: bool,
}

/// A connector's own place in a stream of changes; opaque.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Number of the format.
    pub format: u32,
    /// The place.
    pub data: Vec<u8>,
}

/// Why a record left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovalReason {
    /// It was deleted.
    Deleted,
    /// It was merged into another.
    Merged,
    /// It was converted to another.
    Converted,
    /// The login does not see it any more.
    NotVisible,
    /// The CRM does not say.
    Unknown,
}

/// A record that left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Its id.
    pub id: String,
    /// Why.
    pub reason: RemovalReason,
    /// The survivor or the new record, as `Module/id`; none if the CRM does not say.
    pub into: Option<String>,
}

/// Records as they are now. All lists have one entry for each row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Columns of `rows`.
    pub columns: Vec<Column>,
    /// Ids; none is empty.
    pub ids: Vec<String>,
    /// Versions: equal text means unchanged.
    pub versions: Vec<String>,
    /// Times of the last change, milliseconds since 1970; 0 if unknown.
    pub modified_ms: Vec<i64>,
    /// The values; well formed for `columns`.
    pub rows: Batch,
}

/// At most one page of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Live records.
    pub live: Snapshot,
    /// Records that left.
    pub removed: Vec<Removal>,
    /// Where to go on.
    pub next: Cursor,
    /// Call again at once.
    pub more: bool,
    /// This walk listed everything that the login may see.
    pub complete: bool,
    /// How many records the CRM says the module has.
    pub population: Option<u64>,
}

/// Records by id. Every id that was asked for is either in `live` or in `absent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Those that are there.
    pub live: Snapshot,
    /// Ids that are not there, or not visible.
    pub absent: Vec<String>,
    /// Of the absent ones those of which the CRM says what became of them.
    pub removed: Vec<Removal>,
}

/// Records by the value of a key field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// For each row the index of the value that was asked for.
    pub asked: Vec<u32>,
    /// The records.
    pub live: Snapshot,
    /// The answer includes every record committed before the call began.
    pub consistent: bool,
}

/// What a push row does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Makes a record.
    Create,
    /// Changes a record.
    Update,
    /// Deletes a record, recoverably where the CRM has a bin.
    Delete,
}

/// One row to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushRow {
    /// What to do.
    pub op: Operation,
    /// The record's id; "" for a create.
    pub id: String,
    /// Version last seen; "" for a create.
    pub version: String,
    /// Our key for a create; "" otherwise.
    pub key: String,
}

/// One write call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushRequest {
    /// Module to write to.
    pub module: String,
    /// Columns of `values`.
    pub columns: Vec<Column>,
    /// What to do with each row.
    pub rows: Vec<PushRow>,
    /// Values to write; absent cells are left alone, empty cells clear the field.
    pub values: Batch,
    /// Start the CRM's automations.
    pub automations: bool,
    /// Open options.
    pub options: Extra,
}

/// A CRM's good answer to one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The record's id; never empty.
    pub id: String,
    /// Its version after the write, or "".
    pub version: String,
    /// Time of the change, milliseconds since 1970, or 0.
    pub modified_ms: i64,
    /// The row of [`PushReport::stored`] that holds what the CRM stored.
    pub stored: Option<u32>,
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
    /// One for each row, in order.
    pub outcomes: Vec<PushOutcome>,
    /// Columns of `stored`.
    pub columns: Vec<Column>,
    /// What the CRM says it stored.
    pub stored: Batch,
    /// Wait so many milliseconds before the next call.
    pub wait_ms: u64,
}

/// Whether a transform can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inversion {
    /// Information is lost.
    No,
    /// The inverse undoes it.
    Exact,
    /// A spelling rule: applied again it changes nothing.
    Stable,
}

/// One function that a mapping can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionInfo {
    /// Name within the plugin.
    pub name: String,
    /// One sentence for people.
    pub summary: String,
    /// Fewest and most fields that it reads.
    pub inputs: (u8, u8),
    /// Fewest and most fields that it gives.
    pub outputs: (u8, u8),
    /// Whether it can be undone.
    pub inversion: Inversion,
    /// Name of the function for the way back, or "".
    pub inverse: String,
    /// JSON Schema of its settings, or "".
    pub settings_schema: String,
}

/// One use of a function in a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Name of the function.
    pub function: String,
    /// Its settings, a JSON text, or "".
    pub settings: String,
    /// Columns of the batch that it reads.
    pub inputs: Vec<u32>,
    /// Columns of the answer that it fills; all steps together fill each column from 0 on exactly once.
    pub outputs: Vec<u32>,
}

/// One cell that could not be transformed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Row of the batch.
    pub row: u32,
    /// Index of the step.
    pub step: u32,
    /// Stable reason code.
    pub reason: String,
}

/// What a transform made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// One column for each output; as many rows as the batch had.
    pub rows: Batch,
    /// Cells left out.
    pub complaints: Vec<Complaint>,
}
