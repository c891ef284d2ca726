//! What a connector implements.

pub use crate::bindings::connector::exports::crmsync::plugin::connector::{
    CheckReport, Choice, Cursor, Fetched, FieldInfo, Found, ModuleInfo, Operation, Page, PushOutcome, PushReport,
    PushRequest, PushRow, Receipt, Removal, Snapshot, User,
};

use crate::bindings::connector::exports::crmsync::plugin::connector::Guest;
use crate::fault::Fault;

/// Speaks to one CRM.
///
/// Any function may be called in a fresh instance: a connector keeps caches ([`crate::state`]), never state. Only `push` may send
/// requests that write. Every function fails with the [`Fault`] that tells the engine what to do next.
pub trait Connector {
    /// Tells who and where we are and names missing permissions, with at most 4 requests.
    fn check() -> Result<CheckReport, Fault>;

    /// The modules that can be synced for this login.
    fn modules() -> Result<Vec<ModuleInfo>, Fault>;

    /// The fields of a module.
    fn describe(module: &str) -> Result<Vec<FieldInfo>, Fault>;

    /// Users (and groups) who may own records.
    fn users() -> Result<Vec<User>, Fault>;

    /// How many records of a module the login can see; none if the CRM does not tell with one request.
    fn count(module: &str) -> Result<Option<u64>, Fault>;

    /// At most one page of changes after the cursor; none starts a full scan. Repeating it is harmless, no record is ever skipped,
    /// at most 8 requests are sent. [`Fault::CursorExpired`] asks for a new scan.
    fn pull(module: &str, fields: &[String], after: Option<Cursor>) -> Result<Page, Fault>;

    /// Up to 200 records by id; absent ones are reported, not failed. With no fields it only tells which exist.
    fn fetch(module: &str, ids: &[String], fields: &[String]) -> Result<Fetched, Fault>;

    /// Records whose key field has one of up to 100 values.
    fn find(module: &str, key_field: &str, values: &[String], fields: &[String]) -> Result<Found, Fault>;

    /// Writes rows; partial success is normal. An error of the whole call means that no row was sent.
    fn push(request: &PushRequest) -> Result<PushReport, Fault>;
}

impl<T: Connector> Guest for T {
    fn check() -> Result<CheckReport, Fault> {
        <T as Connector>::check()
    }

    fn modules() -> Result<Vec<ModuleInfo>, Fault> {
        <T as Connector>::modules()
    }

    fn describe(module: String) -> Result<Vec<FieldInfo>, Fault> {
        <T as Connector>::describe(&module)
    }

    fn users() -> Result<Vec<User>, Fault> {
        <T as Connector>::users()
    }

    fn count(module: String) -> Result<Option<u64>, Fault> {
        <T as Connector>::count(&module)
    }

    fn pull(module: String, fields: Vec<String>, after: Option<Cursor>) -> Result<Page, Fault> {
        <T as Connector>::pull(&module, &fields, after)
    }

    fn fetch(module: String, ids: Vec<String>, fields: Vec<String>) -> Result<Fetched, Fault> {
        <T as Connector>::fetch(&module, &ids, &fields)
    }

    fn find(module: String, key_field: String, values: Vec<String>, fields: Vec<String>) -> Result<Found, Fault> {
        <T as Connector>::find(&module, &key_field, &values, &fields)
    }

    fn push(request: PushRequest) -> Result<PushReport, Fault> {
        <T as Connector>::push(&request)
    }
}

/// Makes a type that implements [`Connector`] the component's exports. Once in a crate, with the name of the type.
#[macro_export]
macro_rules! export_connector {
    ($connector:ident) => {
        // The exported symbols have names that only Wasm knows; a native build is for tests.
        #[cfg(target_arch = "wasm32")]
        const _: () = {
    $crate::bindings::connector::export_connector_world!($connector with_types_in $crate::bindings::connector);
        };
    };
}
