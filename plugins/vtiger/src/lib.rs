//! Connector to Vtiger CRM, open source, through `webservice.php`.
//!
//! The functions of the contract are thin. Where to read on:
//!
//! - `cursor`: scans and walks through changes, as a pure state machine; `pull` joins it to the network. `sync`: the
//!   operation that lists changes and deletes in one call, and which servers can be relied on for it.
//! - `push`: creates, updates, deletes. `lookup`: records by id and by key. `org`: login, modules, owners.
//! - `convert`: the CRM's texts ⇄ cells, and versions. `schema`, `meaning`, `entities`: what `describe` says. `vtql`:
//!   queries.
//! - `wire`: requests and answers. `fault`: the CRM's refusals. `login`: facts and the cache. `reader`: rows as
//!   records.
//!
//! What a Vtiger cannot do, and what is done instead: no bulk writes (parallel sessions), no conditional writes (the
//! host re-reads before it updates), no versions (`modifiedtime` with a digest of the values read), no client key on
//! creates (a custom field `CRMSync Key`, else `source`). Queries show no sign of deletes, so the host sweeps with
//! `fetch`; it does so everywhere, as `removals` says, because no server is sure to keep what it can do.
//!
//! First scans, records by id and everything else go by queries. Changes go by `sync` where a server was seen to list the
//! records of all users, and then deletes come with them; stock servers cannot run it on current PHP, and most others list
//! only what the user owns. It loses what is written in the second of its cursor, so it is read with the same overlap as
//! queries are.

mod convert;
mod cursor;
mod entities;
mod fault;
mod login;
mod lookup;
mod meaning;
mod org;
mod pull;
mod push;
mod reader;
mod schema;
mod sync;
#[cfg(test)]
mod tests;
mod vtql;
mod wire;

use crmsync_plugin::{
    CheckReport, Connector, Cursor, Fault, Fetched, FieldInfo, Found, ModuleInfo, Page, PushReport, PushRequest, User,
};

/// The connector.
pub struct Vtiger;

impl Connector for Vtiger {
    fn check() -> Result<CheckReport, Fault> {
        org::check()
    }

    fn modules() -> Result<Vec<ModuleInfo>, Fault> {
        org::modules()
    }

    fn describe(module: &str) -> Result<Vec<FieldInfo>, Fault> {
        login::describe(module).map(schema::Described::into_fields)
    }

    fn users() -> Result<Vec<User>, Fault> {
        org::users()
    }

    fn count(module: &str) -> Result<Option<u64>, Fault> {
        org::count(module)
    }

    fn pull(module: &str, fields: &[String], after: Option<Cursor>) -> Result<Page, Fault> {
        pull::pull(module, fields, after)
    }

    fn fetch(module: &str, ids: &[String], fields: &[String]) -> Result<Fetched, Fault> {
        lookup::fetch(module, ids, fields)
    }

    fn find(module: &str, key_field: &str, values: &[String], fields: &[String]) -> Result<Found, Fault> {
        lookup::find(module, key_field, values, fields)
    }

    fn push(request: &PushRequest) -> Result<PushReport, Fault> {
        push::push(request)
    }
}

crmsync_plugin::export_connector!(Vtiger);
