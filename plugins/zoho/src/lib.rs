//! Connector for Zoho CRM, API version 8.
//!
//! What it promises the engine:
//!
//! - **Changes** come from lists in the order of `Modified_Time`, which the connector continues by time and not by page: a place in the
//!   stream does not expire, has no end at 2,000 or 100,000 records, and a full scan is the same walk from its beginning ([`pull`]).
//! - **Deletes** come from the list of deleted records.
//! - **Versions** are the `Modified_Time` as an instant in text, with Zoho's resolution of one second.
//! - **Creates** are of class A where the module has a unique text field named `crmsync_key`, else of class B ([`push`]).
//! - **Updates** are conditional: Zoho refuses rows that were changed since.
//!
//! Start at [`pull`] and [`push`]; [`convert`] and [`fault`] are pure.

mod convert;
mod cursor;
mod fault;
mod meaning;
mod metadata;
mod pull;
mod push;
mod read;
mod schema;
mod wire;

use crmsync_plugin::{
    CheckReport, Connector, Cursor, Fault, Fetched, FieldInfo, Found, ModuleInfo, Page, PushReport, PushRequest, User,
};

/// The connector.
pub struct Zoho;

impl Connector for Zoho {
    fn check() -> Result<CheckReport, Fault> {
        metadata::check()
    }

    fn modules() -> Result<Vec<ModuleInfo>, Fault> {
        metadata::modules()
    }

    fn describe(module: &str) -> Result<Vec<FieldInfo>, Fault> {
        metadata::describe(module)
    }

    fn users() -> Result<Vec<User>, Fault> {
        metadata::users()
    }

    fn count(module: &str) -> Result<Option<u64>, Fault> {
        metadata::count(module)
    }

    fn pull(module: &str, fields: &[String], after: Option<Cursor>) -> Result<Page, Fault> {
        pull::pull(module, fields, after)
    }

    fn fetch(module: &str, ids: &[String], fields: &[String]) -> Result<Fetched, Fault> {
        read::fetch(module, ids, fields)
    }

    fn find(module: &str, key_field: &str, values: &[String], fields: &[String]) -> Result<Found, Fault> {
        read::find(module, key_field, values, fields)
    }

    fn push(request: &PushRequest) -> Result<PushReport, Fault> {
        push::push(request)
    }
}

crmsync_plugin::export_connector!(Zoho);
